//! `modelyard completions`: a completion script for the user's shell.

use std::io::{self, Write};

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::Cli;

/// Print a completion script for a shell
///
/// For example: `modelyard completions bash > /etc/bash_completion.d/modelyard`, or in
/// `~/.zshrc`: `source <(modelyard completions zsh)`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Which shell
    shell: Shell,
}

/// Prints the script.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    // Written to memory first: the generator panics when its reader goes away.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "modelyard", &mut script);
    io::stdout().write_all(&script)?;
    Ok(())
}
