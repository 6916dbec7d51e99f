//! Gets to know a model before it takes traffic: warms it up, measures it, and finds out whether
//! its outermost dimension really is a batch dimension.
//!
//! A free first dimension is only a hint: a model may mix its rows (a softmax over the batch, a
//! list of boxes). Batching such a model would answer one caller with another's data, so rows
//! are run one by one and together, and batching is on only when the answers agree.

use std::time::{Duration, Instant};

use modelyard_engine::{Parallelism, RunError, Session};
use modelyard_tensor::{AlignedBuffer, DataType, Dim, Shape, Signature, Tensor, TensorView};

use crate::cost::{CostModel, size_class};

/// Sizes tried for free dimensions until the model takes one.
const FREE_SIZES: [usize; 5] = [16, 1, 32, 224, 640];
/// Measuring stops after so long, or so many runs.
const MEASURE_FOR: Duration = Duration::from_millis(30);
const MEASURE_RUNS: usize = 5;
/// No generated input is larger: a model that wants more is warmed by its first request.
const MAX_INPUT_BYTES: usize = 64 << 20;

/// What came out.
pub(crate) struct Probe {
    /// Whether rows are independent; `None` when that could not be tried.
    pub(crate) rows_independent: Option<bool>,
}

/// Runs the model on made-up inputs. Only an engine's panic is an error: a model may well refuse
/// what was made up.
pub(crate) fn probe(session: &dyn Session, costs: &[CostModel]) -> Result<Probe, RunError> {
    let signature = session.signature();
    let known = |spec: &modelyard_tensor::TensorSpec| {
        spec.dims.is_some() && spec.data_type != DataType::Bytes
    };
    let mut probe = Probe { rows_independent: None };
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
        let started = Instant::now();
        example.run(session, Parallelism::One)?;
        costs[class].record(1, started.elapsed());
        if begin.elapsed() > MEASURE_FOR {
            break;
        }
    }
    // Engines set up their threads at the first such call: not while a caller waits.
    example.run(session, Parallelism::All).map(drop)
}

/// Runs two different rows alone and together.
fn rows_independent(
    session: &dyn Session,
    free: usize,
    first: &Example,
    alone: &[Tensor],
) -> Result<Option<bool>, RunError> {
    let signature = session.signature();
    let (Some(second), Some(both)) =
        (Example::new(signature, free, 2), Example::both(signature, free, first))
    else {
        return Ok(None);
    };
    let outcome = second
        .run(session, Parallelism::One)
        .and_then(|second| Ok((second, both.run(session, Parallelism::One)?)));
    match outcome {
        Ok((second, both)) => {
            Ok(Some(alone.iter().zip(&second).zip(&both).all(|((first, second), both)| {
                both.rows(0, 1).is_some_and(|row| same(&row, first))
                    && both.rows(1, 1).is_some_and(|row| same(&row, second))
                    && both.shape().first() == Some(&2)
            })))
        }
        Err(RunError::Panicked(message)) => Err(RunError::Panicked(message)),
        // It runs on one row and not on two: no batch dimension.
        Err(_) => Ok(Some(false)),
    }
}

/// Whether two answers agree: floats within a thousandth of the largest value, all else exactly.
fn same(left: &Tensor, right: &Tensor) -> bool {
    if left.shape() != right.shape() || left.data_type() != right.data_type() {
        return false;
    }
    let (Ok(left_values), Ok(right_values)) = (left.values::<f32>(), right.values::<f32>()) else {
        return left.data() == right.data();
    };
    let largest = left_values.iter().fold(1e-3f32, |most, value| most.max(value.abs()));
    left_values.iter().zip(right_values.iter()).all(|(left, right)| {
        (left - right).abs() <= largest * 1e-3 || (left.is_nan() && right.is_nan()) || left == right
    })
}

/// Made-up inputs.
struct Example {
    inputs: Vec<(DataType, Shape, AlignedBuffer)>,
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

    /// `first` and the row of seed 2, together.
    fn both(signature: &Signature, free: usize, first: &Example) -> Option<Self> {
        let second = Example::new(signature, free, 2)?;
        let join =
            |(first, second): (&(DataType, Shape, AlignedBuffer), &(_, _, AlignedBuffer))| {
                let (data_type, shape, data) = first;
                let (head, tail) = (data.as_ref(), second.2.as_ref());
                let mut joined = AlignedBuffer::zeroed(head.len() + tail.len());
                joined.as_mut_slice()[..head.len()].copy_from_slice(head);
                joined.as_mut_slice()[head.len()..].copy_from_slice(tail);
                (*data_type, shape.with_rows(2), joined)
            };
        let second: &Vec<(DataType, Shape, AlignedBuffer)> = &second.inputs;
        Some(Example { inputs: first.inputs.iter().zip(second).map(join).collect() })
    }

    fn bytes(&self) -> usize {
        self.inputs.iter().map(|(_, _, data)| data.as_ref().len()).sum()
    }

    fn run(
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
