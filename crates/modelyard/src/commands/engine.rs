//! `modelyard engine`.

use crate::cli::Globals;

/// Options.
#[derive(clap::Args)]
pub(crate) struct Args {}

/// Runs the command.
pub(crate) fn run(_args: &Args, _globals: &Globals) -> anyhow::Result<()> {
    anyhow::bail!("not built in")
}
