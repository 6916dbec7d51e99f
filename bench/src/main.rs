//! Measures Modelyard beside its peers: `cargo run --release -p modelyard-bench -- SUITE`.
//!
//! Each suite starts ours and the others as processes, checks their predictions before and after
//! the load, lets them take turns in several rounds, and prints ratios with their spread. The
//! load comes from `modelyard bench`; the CPU time is the server's own, as the kernel counts it.
//!
//! | module | holds |
//! |---|---|
//! | `env` | where things are, how long to measure |
//! | `process` | a server as a child process: addresses, CPU, memory |
//! | `contender` | which servers there are, and how to talk to each |
//! | `load` | one run of the load generator |
//! | `check` | predictions, over a minimal HTTP client |
//! | `digits` | real digits as requests |
//! | `compare` | contenders taking turns |
//! | `registry` | a registry, a repository folder, models that differ in a note |
//! | `report` | tables, Markdown and JSON |
//! | `suites` | one file a suite |

mod check;
mod compare;
mod contender;
mod digits;
mod env;
mod load;
mod process;
mod registry;
mod report;
mod suites;

use clap::Parser;

use env::{Env, Options};
use suites::Suite;

/// Measures Modelyard beside its peers.
#[derive(Parser)]
#[command(name = "modelyard-bench")]
struct Args {
    /// What to measure
    #[arg(value_enum, required = true)]
    suites: Vec<Suite>,
    #[command(flatten)]
    options: Options,
    /// Print Markdown
    #[arg(long)]
    markdown: bool,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let env = Env::prepare(args.options)?;
    for suite in args.suites {
        let report = suite.run(&env)?;
        print!("{}", if args.markdown { report.markdown() } else { report.text() });
        let path = report.write(&env.results)?;
        eprintln!("written to {}", path.display());
    }
    Ok(())
}
