//! A loaded model of rten.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use modelyard_tensor::{Signature, Tensor, TensorView};
use rten::{NodeId, RunErrorKind, RunOptions, ThreadPool, Value};
use smallvec::SmallVec;

use super::border;
use crate::{Parallelism, RunError, Session, threads};

/// [`Session`] over rten.
pub(super) struct RtenSession {
    pub(super) model: rten::Model,
    pub(super) signature: Signature,
    pub(super) inputs: Vec<NodeId>,
    pub(super) outputs: Vec<NodeId>,
    /// A node that would lose NaN: inputs have to be finite then.
    pub(super) loses_nan: Option<String>,
    /// All threads of the budget, shared by all models.
    pub(super) all: Arc<ThreadPool>,
}

impl Session for RtenSession {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn run(
        &self,
        inputs: &[TensorView<'_>],
        outputs: &[usize],
        parallelism: Parallelism,
    ) -> Result<Vec<Tensor>, RunError> {
        let values = self
            .inputs
            .iter()
            .zip(&self.signature.inputs)
            .zip(inputs)
            .map(|((&id, spec), view)| {
                let value = border::input(spec, view)?;
                if let Some(node) = &self.loses_nan {
                    border::check_finite(spec, &value, node)?;
                }
                Ok((id, value))
            })
            .collect::<Result<Vec<_>, RunError>>()?;
        let ids: SmallVec<[NodeId; 8]> = outputs.iter().map(|&index| self.outputs[index]).collect();
        let pool = match parallelism {
            Parallelism::All => Arc::clone(&self.all),
            Parallelism::One => threads::pool(),
        };
        let options = RunOptions::default().with_thread_pool(Some(pool));
        // The model is never changed by a run; what a panic leaves behind is dropped, and the
        // session is not used again.
        let run = AssertUnwindSafe(|| self.model.run(values, &ids, Some(options)));
        let answers: Vec<Value> = match catch_unwind(run) {
            Ok(answers) => answers.map_err(run_error)?,
            Err(panic) => return Err(RunError::Panicked(panic_message(panic.as_ref()))),
        };
        outputs
            .iter()
            .zip(answers)
            .map(|(&index, value)| border::output(&self.signature.outputs[index], value))
            .collect()
    }
}

fn run_error(error: rten::RunError) -> RunError {
    let message = error.to_string();
    // What an operator cannot do at all is not the caller's fault.
    let by_inputs = match error.kind() {
        RunErrorKind::InvalidInput => true,
        RunErrorKind::OperatorError => !message.contains("unsupported"),
        _ => false,
    };
    if by_inputs { RunError::Inputs(message) } else { RunError::Failed(message) }
}

/// What a panic said.
pub(super) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned())
}
