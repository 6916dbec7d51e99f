//! Exit codes, and the one place that prints an error.

use std::fmt;
use std::io;

use modelyard_engine::LoadError;

/// What the process tells its caller. Printed in `--help`; scripts rely on the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Everything went well.
    Ok = 0,
    /// Something failed while running.
    Failure = 1,
    /// The command line or the configuration is wrong.
    Usage = 2,
    /// A model is not usable, or validation found mistakes.
    Model = 3,
    /// An engine that was asked for is not usable.
    Engine = 4,
    /// A remote server could not be reached or refused the request.
    Remote = 5,
    /// What was measured is past a threshold that was given.
    Threshold = 6,
    /// Ctrl-C or SIGTERM came before the work was done; what can be resumed was saved. The number
    /// is what shells report for a process that ctrl-C ended.
    Interrupted = 130,
}

impl Exit {
    /// Every code with what it means, for `--help`.
    pub(crate) const ALL: [(Exit, &'static str); 8] = [
        (Exit::Ok, "success"),
        (Exit::Failure, "failed while running"),
        (Exit::Usage, "wrong command line or configuration"),
        (Exit::Model, "a model is not usable, or validation found mistakes"),
        (Exit::Engine, "an engine that was asked for is not usable"),
        (Exit::Remote, "a remote server could not be reached or refused the request"),
        (Exit::Threshold, "what was measured is past a threshold"),
        (Exit::Interrupted, "stopped by ctrl-C or SIGTERM before the work was done"),
    ];
}

impl From<&LoadError> for Exit {
    fn from(error: &LoadError) -> Self {
        match error {
            LoadError::Unusable { .. } => Exit::Engine,
            _ => Exit::Model,
        }
    }
}

/// An error that knows its exit code; without one an error means [`Exit::Failure`].
struct Coded {
    exit: Exit,
    error: anyhow::Error,
}

impl fmt::Display for Coded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl fmt::Debug for Coded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for Coded {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.chain().nth(1)
    }
}

impl Exit {
    /// The same error, which ends the process with this code.
    pub(crate) fn coded(self, error: anyhow::Error) -> anyhow::Error {
        Coded { exit: self, error }.into()
    }
}

/// Gives an error its exit code.
pub(crate) trait ExitWith<T> {
    /// The same result; its error ends the process with `exit`.
    fn exit_with(self, exit: Exit) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> ExitWith<T> for Result<T, E> {
    fn exit_with(self, exit: Exit) -> anyhow::Result<T> {
        self.map_err(|error| exit.coded(error.into()))
    }
}

/// What came of loading a model, with its exit code.
pub(crate) fn loaded<T>(result: Result<T, LoadError>) -> anyhow::Result<T> {
    result.or_else(|error| {
        let exit = Exit::from(&error);
        Err(error).exit_with(exit)
    })
}

/// The exit code an error carries: the outermost one wins.
fn code_of(error: &anyhow::Error) -> Exit {
    error
        .chain()
        .find_map(|cause| cause.downcast_ref::<Coded>())
        .map_or(Exit::Failure, |coded| coded.exit)
}

/// Whether the reader of our output went away (`modelyard ... | head`), which is no failure.
fn reader_left(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

/// Prints the error, if any, as one chain on stderr and gives the exit code.
pub(crate) fn report(result: anyhow::Result<()>) -> Exit {
    let Err(error) = result else { return Exit::Ok };
    if reader_left(&error) {
        return Exit::Ok;
    }
    let mut text = format!("error: {error}");
    for cause in error.chain().skip(1) {
        text.push_str(&format!("\n  caused by: {cause}"));
    }
    crate::output::complain(&text);
    code_of(&error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::{Context, anyhow};

    #[test]
    fn an_error_keeps_its_code_and_chain_under_more_context() {
        let error = Err::<(), _>(anyhow!("bottom").context("middle"))
            .exit_with(Exit::Model)
            .context("top")
            .unwrap_err();
        assert_eq!(code_of(&error), Exit::Model);
        let chain: Vec<String> = error.chain().map(ToString::to_string).collect();
        assert_eq!(chain, ["top", "middle", "bottom"]);
    }

    #[test]
    fn an_error_without_a_code_is_a_failure() {
        assert_eq!(code_of(&anyhow!("whatever")), Exit::Failure);
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        let error = anyhow::Error::from(io::Error::from(io::ErrorKind::BrokenPipe)).context("x");
        assert!(reader_left(&error));
        assert!(!reader_left(&anyhow!("x")));
    }

    #[test]
    fn help_lists_every_code_in_order() {
        assert!(Exit::ALL.is_sorted_by(|(exit, _), (next, _)| (*exit as u8) < (*next as u8)));
    }
}
