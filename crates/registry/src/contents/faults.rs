//! What tests make go wrong: nothing unless they say so.

use std::fmt;
use std::io::ErrorKind;
use std::sync::Arc;

use crate::RegistryError;

/// What is about to be done with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(hidden)]
pub enum Step {
    /// A file is begun.
    Create,
    /// A piece is written; where that fails, half of it is.
    Write,
    /// Half a piece was written.
    Torn,
    /// What was written is put on disk.
    Sync,
    /// It gets its name.
    Rename,
    /// It has its name, and the one who wrote it is not told yet.
    Settle,
    /// A piece is read.
    Read,
    /// A file is removed.
    Remove,
    /// Names are looked up.
    Look,
}

/// Says what goes wrong with a step, or ends the process.
#[doc(hidden)]
pub type Hook = Arc<dyn Fn(Step) -> Option<ErrorKind> + Send + Sync>;

/// What goes wrong.
#[derive(Clone, Default)]
pub(crate) struct Faults(Option<Hook>);

impl Faults {
    pub(crate) fn new(hook: Hook) -> Faults {
        Faults(Some(hook))
    }

    /// Goes wrong where a test said so.
    pub(crate) fn strike(&self, step: Step, name: &str) -> Result<(), RegistryError> {
        match self.0.as_ref().and_then(|hook| hook(step)) {
            None => Ok(()),
            Some(kind) => Err(RegistryError::Io {
                action: "use (as a test wants it)",
                path: name.into(),
                source: kind.into(),
            }),
        }
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Faults(some)" } else { "Faults(none)" })
    }
}
