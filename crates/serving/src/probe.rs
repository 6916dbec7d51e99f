//! Gets to know a model before it takes traffic: warms it up, measures it, and finds out whether
//! its outermost dimension really is a batch dimension.
//!
//! A free first dimension is only a hint: a model may mix its rows (a softmax over the batch, a
//! list of boxes). Batching such a model would answer one caller with another's data, so rows
//! are run one by one and together, and batching is on only when the answers agree.
//!
//! Two comparisons, because two things differ. Another neighbour in a batch of the same size must
//! change nothing that counts ([`CLOSE`]): the same kernels run, so what changes comes from the
//! neighbour. A row alone runs through other kernels than a row in a batch; a model that amplifies
//! rounding (magika 1.0.3 on our made-up bytes: 0.8 %) is not to be mistaken for one that mixes,
//! so there the answers need only be about the same ([`ALIKE`]).

use std::time::{Duration, Instant};

use modelyard_engine::{Parallelism, RunError, Session};
use modelyard_tensor::{AlignedBuffer, DataType, Dim, Shape, Signature, Tensor, TensorView};

use crate::cost::{CostModel, size_class, thread_cpu_time};

/// Sizes tried for free dimensions until the model takes one.
const FREE_SIZES: [usize; 5] = [16, 1, 32, 224, 640];
/// Largest difference that another neighbour may make, as a share of the largest value.
const CLOSE: f64 = 1e-3;
/// Largest difference between a row alone and in a batch, likewise.
const ALIKE: f64 = 5e-2;
/// Measuring stops after so long, or so many runs.
const MEASURE_FOR: Duration = Duration::from_millis(30);
const MEASURE_RUNS: usize = 5;
/// No generated input is larger: a model that wants more is warmed by its first request.
const MAX_INPUT_BYTES: usize = 64 << 20;

/// A batch that would take longer is not run for the sake of warmth: its first callers do that.
const WARM_AT_MOST: Duration = Duration::from_secs(10);

/// What came out.
pub(crate) struct Probe {
    /// Whether rows are independent; `None` when that could not be tried.
    pub(crate) rows_independent: Option<bool>,
    /// A row that the model took.
    pub(crate) example: Option<Example>,
}

impl Probe {
    /// Runs batches of these sizes once, so that their first callers need not wait for what an
    /// engine sets up for a shape. Here an error counts: the model took the same row alone.
    pub(crate) fn warm(
        &self,
        session: &dyn Session,
        costs: &[CostModel],
        sizes: impl Iterator<Item = usize>,
    ) -> Result<(), (usize, RunError)> {
        let Some(example) = &self.example else { return Ok(()) };
        let costs = &costs[size_class(example.bytes())];
        for rows in sizes {
            let bytes = example.bytes().saturating_mul(rows);
            let dear = costs.run_cost(rows).is_some_and(|cost| cost > WARM_AT_MOST);
            if bytes <= MAX_INPUT_BYTES && !dear {
                let batch = example.repeated(rows);
                batch.run(session, Parallelism::One).map_err(|error| (rows, error))?;
            }
        }
        Ok(())
    }
}

/// Runs the model on made-up inputs. Only an engine's panic is an error: a model may well refuse
/// what was made up.
pub(crate) fn probe(session: &dyn Session, costs: &[CostModel]) -> Result<Probe, RunError> {
    let signature = session.signature();
    let known = |spec: &modelyard_tensor::TensorSpec| {
        spec.dims.is_some() && spec.data_type != DataType::Bytes
    };
    let mut probe = Probe { rows_independent: None, example: None };
    if !signature.inputs.iter().all(known) {
        return Ok(probe);
    }
    for free in FREE_SIZES {
        let Some(first) = Example::new(signature, free, 1) else { continue };
        match first.run(session, Parallelism::One) {
            Ok(alone) => {
                measure(session, &first, costs)?;
                if signature.has_batch_dimension() {
                    probe.rows_independent = rows_independent(session, free, &first, &alone)?;
                }
                probe.example = Some(first);
                return Ok(probe);
            }
            Err(RunError::Panicked(message)) => return Err(RunError::Panicked(message)),
            Err(_) => {}
        }
    }
    Ok(probe)
}

fn measure(session: &dyn Session, example: &Example, costs: &[CostModel]) -> Result<(), RunError> {
    let class = size_class(example.bytes());
    let begin = Instant::now();
    for _ in 0..MEASURE_RUNS {
        let started = thread_cpu_time();
        example.run(session, Parallelism::One)?;
        costs[class].record(1, thread_cpu_time() - started);
        if begin.elapsed() > MEASURE_FOR {
            break;
        }
    }
    // Engines set up their threads at the first such call: not while a caller waits.
    example.run(session, Parallelism::All).map(drop)
}

/// Runs two different rows alone and together, and each of them beside a third.
fn rows_independent(
    session: &dyn Session,
    free: usize,
    first: &Example,
    first_alone: &[Tensor],
) -> Result<Option<bool>, RunError> {
    let signature = session.signature();
    let (Some(second), Some(third)) =
        (Example::new(signature, free, 2), Example::new(signature, free, 3))
    else {
        return Ok(None);
    };
    let run = |example: &Example| example.run(session, Parallelism::One);
    let agree = || -> Result<bool, RunError> {
        let both = run(&first.above(&second))?;
        let second_alone = run(&second)?;
        Ok(has_rows(&both, 2)
            && row_agrees(&both, 0, first_alone, 0, ALIKE)
            && row_agrees(&both, 1, &second_alone, 0, ALIKE)
            && row_agrees(&both, 0, &run(&first.above(&third))?, 0, CLOSE)
            && row_agrees(&both, 1, &run(&third.above(&second))?, 1, CLOSE))
    };
    match agree() {
        Err(RunError::Panicked(message)) => Err(RunError::Panicked(message)),
        // It runs on one row and not on two: no batch dimension.
        Err(_) => Ok(Some(false)),
        Ok(agree) => Ok(Some(agree)),
    }
}

fn has_rows(outputs: &[Tensor], rows: usize) -> bool {
    outputs.iter().all(|output| output.shape().first() == Some(&rows))
}

/// Whether one row of all outputs is the same in two answers.
fn row_agrees(
    left: &[Tensor],
    left_row: usize,
    right: &[Tensor],
    right_row: usize,
    tolerance: f64,
) -> bool {
    left.iter().zip(right).all(|(left, right)| {
        let rows = left.rows(left_row, 1).zip(right.rows(right_row, 1));
        rows.is_some_and(|(left, right)| same(&left, &right, tolerance))
    })
}

/// Whether two answers agree: floats within a share of the largest value, all else exactly.
fn same(left: &Tensor, right: &Tensor, tolerance: f64) -> bool {
    if left.shape() != right.shape() || left.data_type() != right.data_type() {
        return false;
    }
    let (Some(left_values), Some(right_values)) = (left.to_f64s(), right.to_f64s()) else {
        return left.data() == right.data();
    };
    let finite = left_values.iter().filter(|value| value.is_finite());
    let largest = finite.fold(1e-3f64, |most, value| most.max(value.abs()));
    left_values.iter().zip(&right_values).all(|(left, right)| {
        (left - right).abs() <= largest * tolerance
            || (left.is_nan() && right.is_nan())
            || left == right
    })
}

/// Inputs where engines want them.
pub(crate) struct Example {
    pub(crate) inputs: Vec<(DataType, Shape, AlignedBuffer)>,
}

impl Example {
    /// One row; another `seed` gives other values.
    fn new(signature: &Signature, free: usize, seed: u64) -> Option<Self> {
        let mut values = Values(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let batches = signature.has_batch_dimension();
        let inputs = signature
            .inputs
            .iter()
            .map(|spec| {
                let dims = spec.dims.as_ref()?;
                let size = |(index, dim): (usize, &Dim)| match dim {
                    Dim::Fixed(size) => *size,
                    _ if index == 0 && batches => 1,
                    _ => free,
                };
                let shape: Shape = dims.iter().enumerate().map(size).collect();
                let bytes = shape.byte_len(spec.data_type).filter(|&len| len <= MAX_INPUT_BYTES)?;
                let mut buffer = AlignedBuffer::zeroed(bytes);
                values.fill(spec.data_type, buffer.as_mut_slice());
                Some((spec.data_type, shape, buffer))
            })
            .collect::<Option<_>>()?;
        Some(Example { inputs })
    }

    /// This row and `below` it another one.
    fn above(&self, below: &Example) -> Self {
        let join = |(above, below): (&(DataType, Shape, AlignedBuffer), &(_, _, AlignedBuffer))| {
            let (data_type, shape, data) = above;
            let (head, tail) = (data.as_ref(), below.2.as_ref());
            let mut joined = AlignedBuffer::zeroed(head.len() + tail.len());
            joined.as_mut_slice()[..head.len()].copy_from_slice(head);
            joined.as_mut_slice()[head.len()..].copy_from_slice(tail);
            (*data_type, shape.with_rows(2), joined)
        };
        let below: &Vec<(DataType, Shape, AlignedBuffer)> = &below.inputs;
        Example { inputs: self.inputs.iter().zip(below).map(join).collect() }
    }

    /// The first row alone.
    pub(crate) fn first_row(&self) -> Self {
        let first = |(data_type, shape, data): &(DataType, Shape, AlignedBuffer)| {
            let rows = shape.first().copied().unwrap_or(1).max(1);
            let bytes = data.as_ref().len() / rows;
            let mut row = AlignedBuffer::zeroed(bytes);
            row.as_mut_slice().copy_from_slice(&data.as_ref()[..bytes]);
            (*data_type, shape.with_rows(1), row)
        };
        Example { inputs: self.inputs.iter().map(first).collect() }
    }

    /// So many times this row.
    fn repeated(&self, rows: usize) -> Self {
        let repeat = |(data_type, shape, data): &(DataType, Shape, AlignedBuffer)| {
            let row = data.as_ref();
            let mut all = AlignedBuffer::zeroed(row.len() * rows);
            if !row.is_empty() {
                all.as_mut_slice()
                    .chunks_exact_mut(row.len())
                    .for_each(|to| to.copy_from_slice(row));
            }
            (*data_type, shape.with_rows(rows), all)
        };
        Example { inputs: self.inputs.iter().map(repeat).collect() }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.inputs.iter().map(|(_, _, data)| data.as_ref().len()).sum()
    }

    pub(crate) fn run(
        &self,
        session: &dyn Session,
        parallelism: Parallelism,
    ) -> Result<Vec<Tensor>, RunError> {
        let views: Vec<TensorView<'_>> = self
            .inputs
            .iter()
            .map(|(data_type, shape, data)| TensorView {
                data_type: *data_type,
                shape,
                data: data.as_ref(),
            })
            .collect();
        let outputs: Vec<usize> = (0..session.signature().outputs.len()).collect();
        session.run(&views, &outputs, parallelism)
    }
}

/// A small reproducible source of plausible values: floats in 0..1, integers 0 or 1.
struct Values(u64);

impl Values {
    fn next(&mut self) -> u64 {
        // xorshift64 (Marsaglia 2003).
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn fill(&mut self, data_type: DataType, target: &mut [u8]) {
        let size = data_type.size().unwrap_or(1);
        for element in target.chunks_exact_mut(size) {
            let random = self.next();
            let unit = (random >> 40) as f32 / (1u64 << 24) as f32;
            match data_type {
                DataType::Fp32 => element.copy_from_slice(&unit.to_le_bytes()),
                DataType::Fp64 => element.copy_from_slice(&f64::from(unit).to_le_bytes()),
                // The upper half of an f32 is a BF16; 0 and 1 as FP16 are 0x0000 and 0x3C00.
                DataType::Bf16 => element.copy_from_slice(&unit.to_le_bytes()[2..]),
                DataType::Fp16 if random & 1 == 1 => element.copy_from_slice(&[0x00, 0x3C]),
                DataType::Fp16 => {}
                _ => element[0] = (random & 1) as u8,
            }
        }
    }
}
