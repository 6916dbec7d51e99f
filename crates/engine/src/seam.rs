//! The seam between serving and the engines.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use modelyard_graph::{Model, Node, ReadError};
use modelyard_tensor::{Signature, Tensor, TensorView};

/// A model on disk, read and verified.
pub struct ModelFile {
    /// Where it lies; external data lies beside it.
    pub path: PathBuf,
    /// What is in it.
    pub model: Model,
}

/// A way to run models.
pub trait Engine: Send + Sync {
    /// The name users choose it by, such as `rten`.
    fn name(&self) -> &'static str;

    /// Version of the library behind it.
    fn version(&self) -> String;

    /// What of `model` this engine cannot run or is known to answer wrongly, by operator and
    /// node. Empty when nothing stands against loading.
    fn refusals(&self, model: &Model) -> Vec<Refusal>;

    /// Loads a model so that every later call is fast: optimized, weights prepacked.
    ///
    /// Refuses what [`Engine::refusals`] lists. May take seconds: never called on a serving thread.
    fn load(&self, file: &ModelFile, options: &LoadOptions) -> Result<Loaded, LoadError>;
}

/// A loaded model.
///
/// # Contract
/// * Callable from many threads at once; calls don't wait for each other.
/// * Inputs are in the order of the signature, all present, agree with it in datatype and rank,
///   are row-major and aligned to their element size. Nobody checks again.
/// * `outputs` are positions in the signature's outputs, each at most once; the answer has them
///   in that order, in the engine's own memory where it allows it (no copy).
/// * With [`Parallelism::One`] the work stays on the calling thread. A thread made by
///   [`crate::threads::spawn`] pays no hand-over.
/// * Never panics: an engine's panic becomes [`RunError::Panicked`], after which the session is
///   not used again (its owner loads a new one).
pub trait Session: Send + Sync {
    /// What the model takes and gives.
    fn signature(&self) -> &Signature;

    /// Runs the model once.
    fn run(
        &self,
        inputs: &[TensorView<'_>],
        outputs: &[usize],
        parallelism: Parallelism,
    ) -> Result<Vec<Tensor>, RunError>;

    /// Whether calls with [`Parallelism::All`] use several threads because such calls came. Engines
    /// that need nothing for it need not say so.
    fn is_spread(&self) -> bool {
        false
    }

    /// Gets ready for calls with [`Parallelism::All`] now, not when they come. May take as long as
    /// loading.
    fn spread(&self) {}
}

/// How many threads one call may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parallelism {
    /// The calling thread only: best when other calls keep the other cores busy.
    One,
    /// The whole thread budget: best for a lone call.
    All,
}

/// How to load.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// Threads that a call with [`Parallelism::All`] may use.
    pub threads: usize,
    /// Whether calls come one at a time, each with [`Parallelism::All`]: nothing is kept ready for
    /// others beside them, and no call is slower because another way is still being prepared.
    pub lone: bool,
}

/// A session and what it cost.
pub struct Loaded {
    /// The session.
    pub session: Box<dyn Session>,
    /// Name of the engine that loaded it.
    pub engine: &'static str,
    /// Time it took.
    pub time: Duration,
    /// Growth of the process's memory while loading, in bytes (an estimate when several models
    /// load at once).
    pub bytes: u64,
}

/// One reason why an engine does not take a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The operator, such as `Resize` or `com.microsoft.Attention`; or `input`, `output`,
    /// `initializer` or `model`, when it is that.
    pub operator: String,
    /// The node's name, or its first output where it has none; the name of what else it is.
    pub node: String,
    /// What stands against it.
    pub reason: String,
}

impl Refusal {
    /// A refusal of this node.
    pub(crate) fn new(node: &Node, reason: impl Into<String>) -> Self {
        Refusal { operator: node.operator(), node: node.label().to_owned(), reason: reason.into() }
    }
}

/// Why a model was not loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Operators stand against it.
    #[error("engine '{engine}' cannot run the model: {}", summary(.refusals))]
    Refused {
        /// The engine.
        engine: &'static str,
        /// What it cannot run.
        refusals: Vec<Refusal>,
    },
    /// The engine tried and failed.
    #[error("engine '{engine}' failed to load the model: {message}")]
    Failed {
        /// The engine.
        engine: &'static str,
        /// What it said.
        message: String,
    },
    /// The engine itself is not usable.
    #[error("engine '{engine}' is not usable: {message}")]
    Unusable {
        /// The engine.
        engine: &'static str,
        /// Why, and what to do.
        message: String,
    },
    /// The file could not be read again.
    #[error("failed to read the model")]
    Read(#[from] ReadError),
    /// There is no engine of this name.
    #[error("there is no engine '{0}', expected one of onnxruntime, rten")]
    Unknown(String),
    /// None of the engines took it; what each said.
    #[error("no engine runs the model: {}", listed(.0))]
    NoEngine(Vec<LoadError>),
}

impl LoadError {
    /// The engine that did not load the model, if it was one.
    pub fn engine(&self) -> Option<&'static str> {
        match self {
            LoadError::Refused { engine, .. }
            | LoadError::Failed { engine, .. }
            | LoadError::Unusable { engine, .. } => Some(engine),
            LoadError::Read(_) | LoadError::Unknown(_) | LoadError::NoEngine(_) => None,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Refusal { operator, node, reason } = self;
        match operator.as_str() {
            "model" => f.write_str(reason),
            "input" | "output" | "initializer" => write!(f, "{operator} '{node}' {reason}"),
            _ => write!(f, "operator {operator} at node '{node}' ({reason})"),
        }
    }
}

fn listed(errors: &[LoadError]) -> String {
    errors.iter().map(LoadError::to_string).collect::<Vec<_>>().join("; ")
}

fn summary(refusals: &[Refusal]) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<String> = refusals.iter().take(SHOWN).map(Refusal::to_string).collect();
    let more = refusals.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", shown.join(", "))
}

/// Why a call failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RunError {
    /// The model does not work on these inputs (shapes that disagree inside, say): the caller's
    /// fault as far as anybody can tell.
    #[error("the model refused the inputs: {0}")]
    Inputs(String),
    /// The engine failed.
    #[error("the engine failed: {0}")]
    Failed(String),
    /// The engine panicked; the session must not be used again.
    #[error("the engine panicked: {0}")]
    Panicked(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_say_what_is_refused() {
        let refusal = |operator: &str, reason: &str| {
            let (operator, node) = (operator.to_owned(), "x".to_owned());
            Refusal { operator, node, reason: reason.to_owned() }.to_string()
        };
        assert_eq!(refusal("Abs", "not there"), "operator Abs at node 'x' (not there)");
        assert_eq!(
            refusal("input", "has datatype BYTES, which rten has not"),
            "input 'x' has datatype BYTES, which rten has not"
        );
    }
}
