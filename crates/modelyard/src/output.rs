//! What commands print: results on stdout, everything else on stderr.
//!
//! `println!` panics when the reader has gone (`modelyard inspect ... | head`); these return the
//! error instead, and [`crate::exit::report`] treats it as a normal end.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

/// Prints a line on stdout.
pub(crate) fn line(text: impl AsRef<str>) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_ref().as_bytes())?;
    stdout.write_all(b"\n")?;
    stdout.flush()
}

/// Prints a value as readable JSON on stdout.
pub(crate) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    Ok(line(serde_json::to_string_pretty(value)?)?)
}

/// Prints a line on stderr; there is nobody to tell if that fails.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Whether a person is watching: progress bars are for them only.
pub(crate) fn is_watched() -> bool {
    io::stderr().is_terminal()
}
