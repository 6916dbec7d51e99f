//! One command, one file: its options, its work, its tests. Several commands share [`local_model`].

pub(crate) mod completions;
pub(crate) mod convert;
pub(crate) mod distill;
pub(crate) mod engine;
pub(crate) mod evaluate;
pub(crate) mod export;
pub(crate) mod finetune;
pub(crate) mod inspect;
pub(crate) mod local_model;
pub(crate) mod merge;
pub(crate) mod optimize;
pub(crate) mod predict;
pub(crate) mod prune;
pub(crate) mod quantize;
pub(crate) mod quickstart;
pub(crate) mod registry;
pub(crate) mod replay;
pub(crate) mod serve;
pub(crate) mod train;
pub(crate) mod validate;

use crate::cli::{Cli, Command};

/// Runs the command that was asked for.
pub(crate) fn run(cli: Cli) -> anyhow::Result<()> {
    let globals = &cli.globals;
    match cli.command {
        Command::Serve(args) => serve::run(&args, globals),
        Command::Predict(args) => predict::run(&args, globals),
        Command::Evaluate(args) => evaluate::run(&args, globals),
        Command::Train(args) => train::run(&args, globals),
        Command::Finetune(args) => finetune::run(&args, globals),
        Command::Distill(args) => distill::run(&args, globals),
        Command::Convert(args) => convert::run(&args, globals),
        Command::Export(args) => export::run(&args, globals),
        Command::Optimize(args) => optimize::run(&args, globals),
        Command::Prune(args) => prune::run(&args, globals),
        Command::Merge(args) => merge::run(&args, globals),
        Command::Quantize(args) => quantize::run(&args, globals),
        Command::Inspect(args) => inspect::run(&args, globals),
        Command::Validate(args) => validate::run(&args, globals),
        Command::Bench(args) => crate::bench::run(&args, globals),
        Command::Replay(args) => replay::run(&args, globals),
        Command::Registry(args) => registry::run(&args, globals),
        Command::Keys(args) => registry::keys::run(&args),
        Command::Engine(args) => engine::run(&args, globals),
        Command::Quickstart(args) => quickstart::run(&args, globals),
        Command::Completions(args) => completions::run(&args),
    }
}
