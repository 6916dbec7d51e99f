//! The `modelyard` binary: command line, configuration, wiring.
//!
//! The order of life: parse the command line, then the command's own file in [`commands`] takes
//! over (`serve` goes on to configuration → logging → `App::build` → `App::run`), and whatever
//! comes back decides the exit code in one place, [`exit`].

mod app;
mod bench;
mod chart;
mod cli;
mod commands;
mod config;
mod data;
mod exit;
mod files;
mod follow;
mod http_client;
mod metrics;
mod observe;
mod optimizing;
mod output;
mod source;
mod tensors;
mod training;

use clap::Parser;

// Serving allocates on every request, from many threads at once: what mimalloc is made for.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    // While this is the only thread: no engine phones home or starts threads beyond the budget.
    modelyard_engine::prepare_process(modelyard_engine::threads::budget());
    let cli = cli::Cli::parse_from(cli::arguments());
    modelyard_engine::end_process(exit::report(commands::run(cli)) as u8)
}
