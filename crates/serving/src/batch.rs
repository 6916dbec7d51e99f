//! One batch: gather the inputs, run the engine, split the outputs.
//!
//! Input bytes are copied once, from the pieces they arrived in to the batch buffer; a lone
//! request whose bytes lie in one aligned piece is not copied at all. Outputs are not copied:
//! each request gets a slice of the engine's own memory.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use modelyard_engine::{Parallelism, RunError, Session};
use modelyard_tensor::{
    AlignedBuffer, DataType, Rope, Shape, Signature, Tensor, TensorView, strings,
};
use smallvec::SmallVec;

use crate::admit::Admitted;

/// Scratch memory that a thread keeps between batches, at most.
const KEPT_BYTES: usize = 32 << 20;

thread_local! {
    /// One buffer an input, reused from batch to batch: fresh memory would cost page faults.
    static SCRATCH: RefCell<Vec<AlignedBuffer>> = const { RefCell::new(Vec::new()) };
}

/// What came of one batch.
pub(crate) struct BatchOutcome {
    /// For each request its outputs in the order it wants them.
    pub(crate) outputs: Result<Vec<SmallVec<[Tensor; 2]>>, BatchError>,
    pub(crate) times: BatchTimes,
}

/// Where the time of one batch went.
#[derive(Clone, Copy, Default)]
pub(crate) struct BatchTimes {
    pub(crate) input: Duration,
    pub(crate) infer: Duration,
    pub(crate) output: Duration,
}

/// Why a batch failed.
#[derive(Debug)]
pub(crate) enum BatchError {
    /// The engine refused or failed.
    Run(RunError),
    /// The outputs cannot be divided among the requests: this model's batch dimension is none.
    NotDivisible {
        /// The output.
        output: String,
        /// Its shape.
        shape: Shape,
        /// Rows that were expected.
        rows: usize,
    },
}

/// Runs requests together. They share a shape bucket; `requests` is not empty.
pub(crate) fn run(
    session: &dyn Session,
    signature: &Signature,
    requests: &[&Admitted],
    parallelism: Parallelism,
) -> BatchOutcome {
    let started = Instant::now();
    let wanted = union_of_outputs(requests);
    let mut gathered = started;
    let result = with_views(requests, |views| {
        gathered = Instant::now();
        session.run(views, &wanted, parallelism)
    });
    let ran = Instant::now();
    let outputs = match result {
        Ok(outputs) => split(signature, requests, &wanted, outputs),
        Err(error) => Err(BatchError::Run(error)),
    };
    let times =
        BatchTimes { input: gathered - started, infer: ran - gathered, output: ran.elapsed() };
    BatchOutcome { outputs, times }
}

/// Every output that one of the requests wants, ascending.
fn union_of_outputs(requests: &[&Admitted]) -> SmallVec<[usize; 4]> {
    let mut wanted: SmallVec<[usize; 4]> = SmallVec::new();
    for request in requests {
        for &output in &request.outputs {
            if let Err(place) = wanted.binary_search(&output) {
                wanted.insert(place, output);
            }
        }
    }
    wanted
}

/// Calls `body` with one view an input, over gathered or original memory.
fn with_views<R>(requests: &[&Admitted], body: impl FnOnce(&[TensorView<'_>]) -> R) -> R {
    let inputs = requests[0].inputs.len();
    let shapes: SmallVec<[Shape; 2]> =
        (0..inputs).map(|index| batch_shape(requests, index)).collect();
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.resize_with(scratch.len().max(inputs), || AlignedBuffer::zeroed(0));
        for (index, buffer) in scratch.iter_mut().enumerate().take(inputs) {
            gather(requests, index, buffer);
        }
        let views: SmallVec<[TensorView<'_>; 2]> = (0..inputs)
            .map(|index| {
                let first = &requests[0].inputs[index];
                let data = in_place(requests, index).unwrap_or_else(|| scratch[index].as_ref());
                TensorView { data_type: first.data_type, shape: &shapes[index], data }
            })
            .collect();
        let result = body(&views);
        drop(views);
        if scratch.iter().map(|buffer| buffer.as_ref().len()).sum::<usize>() > KEPT_BYTES {
            scratch.clear();
        }
        result
    })
}

fn batch_shape(requests: &[&Admitted], input: usize) -> Shape {
    let first = &requests[0].inputs[input].shape;
    match requests {
        [_] => first.clone(),
        several => first.with_rows(several.iter().map(|request| request.rows).sum()),
    }
}

/// The bytes of a lone request when they can be used where they are.
fn in_place<'a>(requests: &[&'a Admitted], input: usize) -> Option<&'a [u8]> {
    match requests {
        [only] => {
            let input = &only.inputs[input];
            input.data.as_contiguous(input.data_type.size().unwrap_or(1))
        }
        _ => None,
    }
}

fn gather(requests: &[&Admitted], input: usize, buffer: &mut AlignedBuffer) {
    if in_place(requests, input).is_some() {
        return;
    }
    let pieces = || requests.iter().map(|request| &request.inputs[input].data);
    buffer.resize(pieces().map(Rope::len).sum());
    let mut rest = buffer.as_mut_slice();
    for piece in pieces() {
        let (head, tail) = rest.split_at_mut(piece.len());
        piece.copy_to(head);
        rest = tail;
    }
}

/// Divides the outputs of a batch among its requests.
fn split(
    signature: &Signature,
    requests: &[&Admitted],
    wanted: &[usize],
    outputs: Vec<Tensor>,
) -> Result<Vec<SmallVec<[Tensor; 2]>>, BatchError> {
    if let [only] = requests
        && only.outputs.as_slice() == wanted
    {
        return Ok(vec![outputs.into()]);
    }
    let place = |output: &usize| wanted.binary_search(output).unwrap_or_default();
    if let [only] = requests {
        return Ok(vec![
            only.outputs.iter().map(|output| outputs[place(output)].clone()).collect(),
        ]);
    }
    let rows = requests.iter().map(|request| request.rows).sum();
    let parts = wanted
        .iter()
        .zip(&outputs)
        .map(|(&output, tensor)| {
            divide(tensor, requests, rows).ok_or_else(|| BatchError::NotDivisible {
                output: signature.outputs[output].name.clone(),
                shape: tensor.shape().clone(),
                rows,
            })
        })
        .collect::<Result<Vec<Vec<Tensor>>, _>>()?;
    let share = |(index, request): (usize, &&Admitted)| {
        request.outputs.iter().map(|output| parts[place(output)][index].clone()).collect()
    };
    Ok(requests.iter().enumerate().map(share).collect())
}

/// One output cut into the requests' rows; `None` when it does not have `rows` rows.
fn divide(tensor: &Tensor, requests: &[&Admitted], rows: usize) -> Option<Vec<Tensor>> {
    if tensor.shape().first() != Some(&rows) {
        return None;
    }
    if tensor.data_type() == DataType::Bytes {
        return divide_strings(tensor, requests, rows);
    }
    let mut start = 0;
    requests
        .iter()
        .map(|request| {
            let part = tensor.rows(start, request.rows);
            start += request.rows;
            part
        })
        .collect()
}

fn divide_strings(tensor: &Tensor, requests: &[&Admitted], rows: usize) -> Option<Vec<Tensor>> {
    let per_row = tensor.shape().elements()? / rows;
    let mut lengths = strings::iter(tensor.data()).map(|element| element.len() + 4);
    let mut start = 0;
    requests
        .iter()
        .map(|request| {
            let bytes: usize = lengths.by_ref().take(per_row * request.rows).sum();
            let data = tensor.data().slice(start..start + bytes);
            start += bytes;
            Tensor::new(DataType::Bytes, tensor.shape().with_rows(request.rows), data).ok()
        })
        .collect()
}
