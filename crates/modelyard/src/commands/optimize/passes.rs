//! `modelyard optimize --passes-only`: what passes make of a model, one after the other.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, bail};
use modelyard_graph::file::{WriteOptions, write};
use modelyard_graph::rewrite::{self, PASSES, PassRecord, Target};
use serde::Serialize;

use super::Args;
use crate::commands::convert::aside::Aside;
use crate::config::Config;
use crate::exit::{Exit, ExitWith};
use crate::observe::progress::Progress;
use crate::optimizing::prepare;
use crate::output;

/// Which passes run.
#[derive(clap::Args)]
#[command(next_help_heading = "Passes")]
pub(super) struct PassArgs {
    /// Only run passes, which keep the answers but for rounding: no data, no search
    #[arg(long)]
    pub(super) passes_only: bool,
    /// Print the passes, in their order
    #[arg(long)]
    pub(super) list_passes: bool,
    /// Run these passes only
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', requires = "passes_only")]
    passes: Vec<String>,
    /// Run no pass after this one
    #[arg(long, value_name = "NAME", requires = "passes_only")]
    stop_after: Option<String>,
    /// Whose operators fused ones may be
    #[arg(long, value_enum, default_value = "standard", requires = "passes_only")]
    fuse: Fuse,
}

/// Whose operators fused ones may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Fuse {
    /// ONNX's own
    Standard,
    /// Those that ONNX Runtime adds, too
    Onnxruntime,
    /// None: nothing is fused
    None,
}

/// What was done.
#[derive(Serialize)]
struct Report {
    model: String,
    output: String,
    passes: Vec<Line>,
    operators: BTreeMap<String, usize>,
}

#[derive(Serialize)]
struct Line {
    pass: &'static str,
    round: usize,
    nodes_before: usize,
    nodes_after: usize,
    /// Number of nodes before and after, by operator.
    operators: BTreeMap<String, (usize, usize)>,
}

/// Prints the passes.
pub(super) fn list() -> anyhow::Result<()> {
    let lines: Vec<String> =
        PASSES.iter().map(|pass| format!("{:<14}  {}", pass.name, pass.doc)).collect();
    Ok(output::line(lines.join("\n"))?)
}

/// Runs passes.
pub(super) fn run(
    args: &Args,
    (model, target): (&PathBuf, &PathBuf),
    config: &Config,
) -> anyhow::Result<()> {
    if args.data.0.is_some() {
        return Err(anyhow::anyhow!("--passes-only takes no --data")).exit_with(Exit::Usage);
    }
    let progress = Progress::unless(args.json);
    let read = || prepare::read(model, &config.model_limits);
    let original = progress.spin("reading the model", read)?;
    let only: Vec<&str> = args.passes.passes.iter().map(String::as_str).collect();
    let passes =
        rewrite::select(&only, args.passes.stop_after.as_deref()).exit_with(Exit::Usage)?;
    let fuse = match args.passes.fuse {
        Fuse::Standard => Some(Target::Standard),
        Fuse::Onnxruntime => Some(Target::OnnxRuntime),
        Fuse::None => None,
    };
    let options = rewrite::Options { fold_batch_norm: true, fuse };
    let (made, records) =
        progress.spin("running passes", || rewrite::trace(original, &passes, &options));
    let made = made
        .verified(&config.model_limits)
        .context("the passes left a model that is not valid, which is a mistake in modelyard")?;
    let aside = Aside::new(target).exit_with(Exit::Usage)?;
    write(&made, &aside.path, &WriteOptions::default())?;
    aside.publish(target)?;
    let mut operators = BTreeMap::new();
    made.nodes().for_each(|node| *operators.entry(node.operator()).or_default() += 1);
    let report = Report {
        model: model.display().to_string(),
        output: target.display().to_string(),
        passes: records.into_iter().filter(|record| record.changed).map(Line::of).collect(),
        operators,
    };
    match args.json {
        true => output::json(&report),
        false => Ok(output::line(report.text())?),
    }
}

impl Line {
    fn of(record: PassRecord) -> Line {
        let PassRecord { pass, round, nodes_before, nodes_after, operators, .. } = record;
        Line { pass, round, nodes_before, nodes_after, operators }
    }

    fn text(&self) -> String {
        let changes: Vec<String> = self
            .operators
            .iter()
            .map(|(operator, (before, after))| format!("{operator} {before} → {after}"))
            .collect();
        format!(
            "{:>2}  {:<14} {:>6} → {:<6} {}",
            self.round,
            self.pass,
            self.nodes_before,
            self.nodes_after,
            changes.join(", ")
        )
    }
}

impl Report {
    fn text(&self) -> String {
        let nodes: usize = self.operators.values().sum();
        let mut lines: Vec<String> = self.passes.iter().map(Line::text).collect();
        if lines.is_empty() {
            lines.push("no pass changed anything".to_owned());
        }
        lines.push(format!("wrote {}: {nodes} nodes", self.output));
        lines.join("\n")
    }
}

/// A path that the other ways of this command need.
pub(super) fn needed<'a, T>(what: &'a Option<T>, name: &str) -> anyhow::Result<&'a T> {
    match what {
        Some(found) => Ok(found),
        None => bail!("expected {name}; see --help"),
    }
}
