//! Warms a version with requests that were recorded of an earlier one.
//!
//! Made-up inputs have made-up sizes: where dimensions are free, only what callers really send makes
//! an engine set up what they need. So recorded requests run as they came, and a row of the newest
//! stands in for the made-up one in batches of the sizes that are warmed anyway.

use std::time::{Duration, Instant};

use modelyard_engine::{Parallelism, RunError, Session};
use modelyard_tensor::{AlignedBuffer, DataType, Signature, Tensor, TensorSpec};

use crate::cost::{CostModel, size_class, thread_cpu_time};
use crate::probe::Example;

/// The inputs of a recorded request, by name.
pub type RecordedInputs = Vec<(String, Tensor)>;

/// Warming with recorded requests ends after so long.
const AT_MOST: Duration = Duration::from_secs(10);

/// Runs recorded requests, newest first, as long as there is time. Answers a single row that the
/// model took, where rows are independent. What does not fit, or is refused, is passed over: it was
/// meant for another version. Only an engine's panic is an error.
pub(crate) fn warm(
    session: &dyn Session,
    costs: &[CostModel],
    recorded: &[RecordedInputs],
    rows_independent: bool,
) -> Result<(usize, Option<Example>), RunError> {
    let begin = Instant::now();
    let (mut ran, mut row) = (0, None);
    for inputs in recorded {
        if begin.elapsed() > AT_MOST {
            break;
        }
        let Some(example) = fitting(session.signature(), inputs) else { continue };
        if !took(session, &example)? {
            continue;
        }
        ran += 1;
        if rows_independent && row.is_none() {
            let first = example.first_row();
            let class = &costs[size_class(first.bytes())];
            let started = thread_cpu_time();
            if took(session, &first)? {
                class.record(1, thread_cpu_time() - started);
                row = Some(first);
            }
        }
    }
    Ok((ran, row))
}

fn took(session: &dyn Session, example: &Example) -> Result<bool, RunError> {
    match example.run(session, Parallelism::One) {
        Ok(_) => Ok(true),
        Err(RunError::Panicked(message)) => Err(RunError::Panicked(message)),
        Err(_) => Ok(false),
    }
}

/// The inputs in the model's order, where it takes them.
fn fitting(signature: &Signature, recorded: &RecordedInputs) -> Option<Example> {
    if recorded.len() != signature.inputs.len() {
        return None;
    }
    let input = |spec: &TensorSpec| {
        let (_, tensor) = recorded.iter().find(|(name, _)| *name == spec.name)?;
        let fits = tensor.data_type() == spec.data_type
            && spec.accepts(tensor.shape())
            // As for requests: engines take a byte for a truth value only when it is 0 or 1.
            && (spec.data_type != DataType::Bool || tensor.data().iter().all(|byte| *byte <= 1));
        fits.then(|| {
            let mut buffer = AlignedBuffer::zeroed(tensor.data().len());
            buffer.as_mut_slice().copy_from_slice(tensor.data());
            (tensor.data_type(), tensor.shape().clone(), buffer)
        })
    };
    let inputs = signature.inputs.iter().map(input).collect::<Option<Vec<_>>>()?;
    Some(Example { inputs })
}
