//! Runs a converted model and compares its answers with those of everything that knows better: the
//! reference evaluator, given answers, the source's own framework.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use modelyard_convert::verify::{Trial, inputs, quantization_step};
use modelyard_convert::{Conversion, SourceModel, Tolerance};
use modelyard_engine::ModelFile;
use modelyard_graph::summary::describe;
use modelyard_tensor::{Signature, Tensor};
use serde::Serialize;

use super::judge::{Judge, Leg, Question};

pub(in crate::commands) use super::judge::Direction;
use super::python;
use crate::config::Config;
use crate::exit::{self, Exit, ExitWith};
use crate::observe::progress::Progress;
use crate::tensors::{self, npz};

/// How the result is proved.
#[derive(clap::Args)]
#[command(next_help_heading = "Proof")]
pub(super) struct ProofArgs {
    /// Compare with known answers too: .npz files with the inputs and the outputs by name
    #[arg(long, num_args = 2, value_names = ["INPUTS", "OUTPUTS"], conflicts_with = "no_verify")]
    reference: Vec<PathBuf>,
    /// Compare with the source's own framework too, where this machine has it
    #[arg(long, value_name = "WHAT", value_enum, conflicts_with = "no_verify")]
    against: Option<Against>,
    /// Python that has the framework
    #[arg(long, value_name = "FILE", default_value = "python3")]
    python: PathBuf,
    #[command(flatten)]
    trials: TrialArgs,
}

/// With what a model is tried, and how exact it must be.
#[derive(clap::Args)]
#[command(next_help_heading = "Proof")]
pub(in crate::commands) struct TrialArgs {
    /// Difference that is allowed, relative to the largest element of an output [default: 1e-4, or
    /// what the source's precision asks for]
    #[arg(long, value_name = "RATIO", value_parser = ratio)]
    tolerance: Option<f64>,
    /// Size of a free dimension to try the model with, such as sequence=16 (repeatable)
    #[arg(long = "dim", value_name = "NAME=SIZE", value_parser = dim)]
    dims: Vec<(String, usize)>,
    /// Write the model without running it; its metadata will say so
    #[arg(long)]
    pub(in crate::commands) no_verify: bool,
}

/// What else to compare with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Against {
    /// The framework that wrote the source, in Python
    Python,
}

fn ratio(text: &str) -> Result<f64, String> {
    let value = text.parse().ok().filter(|value: &f64| value.is_finite() && *value >= 0.0);
    value.ok_or_else(|| "expected a number such as 1e-4".to_owned())
}

fn dim(text: &str) -> Result<(String, usize), String> {
    let (name, size) = text.split_once('=').ok_or("expected NAME=SIZE")?;
    let size = size.parse().map_err(|_| format!("expected a size, found '{size}'"))?;
    Ok((name.to_owned(), size))
}

impl ProofArgs {
    /// What the model's metadata says of its proof.
    pub(super) fn stated(&self) -> &'static str {
        match (self.trials.no_verify, self.reference.is_empty(), self.against) {
            (true, ..) => "no",
            (_, true, None) => "reference evaluator",
            (_, false, None) => "reference evaluator, given answers",
            (_, true, Some(_)) => "reference evaluator, source framework",
            (_, false, Some(_)) => "reference evaluator, given answers, source framework",
        }
    }
}

/// What was compared.
#[derive(Serialize)]
pub(in crate::commands) struct Proof {
    /// The engine that ran the result; empty when nothing did.
    pub(in crate::commands) engine: &'static str,
    /// What it was compared with.
    pub(in crate::commands) legs: Vec<Leg>,
}

/// Where a proof takes place.
pub(in crate::commands) struct Context<'a> {
    pub(in crate::commands) config: &'a Config,
    /// The source model.
    pub(in crate::commands) source: &'a Path,
    pub(in crate::commands) progress: &'a Progress,
    pub(in crate::commands) direction: Direction,
    /// How far outputs may be apart, by name, where that is not as for the whole model.
    pub(in crate::commands) tolerances: &'a BTreeMap<String, Tolerance>,
}

/// Runs the converted model at `path` and compares. Inputs of the source that were fixed have these
/// values.
///
/// An error when anything disagrees, or when nothing can be compared.
pub(super) fn prove(
    args: &ProofArgs,
    (source, fixed): (&dyn SourceModel, &BTreeMap<String, String>),
    conversion: &Conversion,
    path: &Path,
    context: &Context<'_>,
) -> anyhow::Result<Proof> {
    if args.trials.no_verify {
        return Ok(Proof { engine: "", legs: Vec::new() });
    }
    let signature = signature(conversion)?;
    let mut asked = vec![evaluated(&args.trials, source, conversion, context)?];
    if let [inputs, outputs] = args.reference.as_slice() {
        let given = given(signature, inputs, outputs).exit_with(Exit::Usage)?;
        asked.push((format!("'{}'", outputs.display()), vec![given]));
    }
    if args.against.is_some() {
        let inputs: Vec<Vec<Tensor>> =
            asked[0].1.iter().map(|question| question.inputs.clone()).collect();
        let model = python::Model { source, path: context.source, fixed };
        let ask = || python::answers(&args.python, &model, signature, inputs);
        let answers = context.progress.spin("asking the source's framework", ask)?;
        asked.push(("the source's framework".to_owned(), answers));
    }
    judged(&args.trials, source, (conversion, path), &asked, context)
}

/// Compares the answers of the model at `path` in an engine with those of `source`, by the reference
/// evaluator of its format.
pub(in crate::commands) fn prove_by_evaluator(
    args: &TrialArgs,
    source: &dyn SourceModel,
    conversion: &Conversion,
    path: &Path,
    context: &Context<'_>,
) -> anyhow::Result<Proof> {
    if args.no_verify {
        return Ok(Proof { engine: "", legs: Vec::new() });
    }
    let asked = vec![evaluated(args, source, conversion, context)?];
    judged(args, source, (conversion, path), &asked, context)
}

fn signature(conversion: &Conversion) -> anyhow::Result<&Signature> {
    let signature = conversion.model.signature().map_err(|error| anyhow!(error.clone()));
    signature.context("the result cannot be verified; see --no-verify")
}

/// What the evaluator answers. It comes first: its memory is given back before the engine takes its
/// own.
fn evaluated(
    args: &TrialArgs,
    source: &dyn SourceModel,
    conversion: &Conversion,
    context: &Context<'_>,
) -> anyhow::Result<(String, Vec<Question>)> {
    signature(conversion)?;
    let evaluate = || evaluate(args, source, conversion, context.direction);
    let answers = context.progress.spin("evaluating by the reference evaluator", evaluate)?;
    Ok(("the reference evaluator".to_owned(), answers))
}

/// Runs the model at `path` and compares its answers with all others.
fn judged(
    args: &TrialArgs,
    source: &dyn SourceModel,
    (conversion, path): (&Conversion, &Path),
    asked: &[(String, Vec<Question>)],
    context: &Context<'_>,
) -> anyhow::Result<Proof> {
    let signature = signature(conversion)?;
    let tolerance = |name: &String| {
        let tolerance = *context.tolerances.get(name).unwrap_or(&conversion.tolerance);
        Tolerance { relative: args.tolerance.unwrap_or(tolerance.relative), ..tolerance }
    };
    let tolerances = signature.outputs.iter().map(|output| tolerance(&output.name)).collect();
    let steps = |name: &str| quantization_step(&conversion.model, name);
    let steps: Vec<Option<f64>> =
        signature.outputs.iter().map(|output| steps(&output.name)).collect();
    let config = &context.config.engine;
    let file = ModelFile { path: path.to_path_buf(), model: conversion.model.clone() };
    let load = || config.engines().load(config.choice, &file, &config.load_options());
    let loaded = context.progress.spin("loading the model", load);
    let direction = context.direction;
    let loaded = exit::loaded(loaded).with_context(|| {
        format!(
            "no engine runs {}, so the result cannot be verified; `modelyard engine install \
             onnxruntime` gets one that runs more, --no-verify goes without",
            direction.run()
        )
    })?;
    let judge = Judge { source, signature, tolerances, direction, steps };
    let run = || {
        let legs = asked
            .iter()
            .map(|(against, questions)| judge.leg(&*loaded.session, against, questions));
        legs.collect::<anyhow::Result<Vec<Leg>>>()
    };
    let legs = context.progress.spin("comparing the answers", run).exit_with(Exit::Model)?;
    Ok(Proof { engine: loaded.engine, legs })
}

/// What the source says by its own definitions, for inputs of every kind.
fn evaluate(
    args: &TrialArgs,
    source: &dyn SourceModel,
    conversion: &Conversion,
    direction: Direction,
) -> anyhow::Result<Vec<Question>> {
    let sizes: BTreeMap<String, usize> = args.dims.iter().cloned().collect();
    let mut sets = source.samples();
    for trial in trials(conversion, &sizes) {
        sets.push(inputs(conversion, &trial).context("failed to make inputs to verify with")?);
    }
    let question = |inputs: Vec<Tensor>| {
        let answers = source.evaluate(&inputs).with_context(|| {
            format!(
                "failed to evaluate {} by its own definitions, so the result cannot be verified; \
                 --no-verify goes without",
                direction.evaluated()
            )
        })?;
        Ok(Question { inputs, answers })
    };
    sets.into_iter().map(question).collect()
}

/// Operations of one example above which a model is tried less often.
const HEAVY: u64 = 2_000_000_000;
/// Operations above which it is tried with one example only.
const HUGE: u64 = 60_000_000_000;

/// A small model is tried often; a large one with what finds most mistakes in one go.
fn trials(conversion: &Conversion, sizes: &BTreeMap<String, usize>) -> Vec<Trial> {
    let trial = |batch, seed, edges| Trial { batch, sizes: sizes.clone(), seed, edges };
    match describe(&conversion.model).flops {
        HUGE.. => vec![trial(1, 1, true)],
        HEAVY.. => vec![trial(2, 1, true)],
        _ => vec![trial(1, 1, false), trial(3, 2, true), trial(2, 3, false)],
    }
}

/// Inputs and answers that the caller has from elsewhere.
fn given(signature: &Signature, inputs: &Path, outputs: &Path) -> anyhow::Result<Question> {
    let read = |path: &Path| {
        let context = || format!("failed to read '{}'", path.display());
        npz::read(&tensors::read_file(path)?).with_context(context)
    };
    let names = |specs: &[modelyard_tensor::TensorSpec]| {
        specs.iter().map(|spec| spec.name.clone()).collect::<Vec<_>>()
    };
    let inputs = by_name(read(inputs)?, &names(&signature.inputs), "input")?;
    let answers = by_name(read(outputs)?, &names(&signature.outputs), "output")?;
    Ok(Question { inputs, answers })
}

/// Arrays in the order of these names; a lone array needs no name.
fn by_name(
    mut arrays: Vec<(String, Tensor)>,
    names: &[String],
    role: &str,
) -> anyhow::Result<Vec<Tensor>> {
    if let ([_], [_]) = (arrays.as_slice(), names) {
        return Ok(arrays.into_iter().map(|(_, tensor)| tensor).collect());
    }
    let mut found = Vec::new();
    for name in names {
        let Some(index) = arrays.iter().position(|(other, _)| other == name) else {
            let there: Vec<&str> = arrays.iter().map(|(name, _)| name.as_str()).collect();
            bail!("expected an array for {role} '{name}', found {}", there.join(", "));
        };
        found.push(arrays.swap_remove(index).1);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(name: &str, value: f32) -> (String, Tensor) {
        (name.into(), Tensor::from_vec([1].into(), vec![value]).unwrap())
    }

    #[test]
    fn given_arrays_are_found_by_name_and_a_lone_one_without() {
        let names = ["a".to_owned(), "b".to_owned()];
        let found = by_name(vec![array("b", 2.0), array("a", 1.0)], &names, "input").unwrap();
        assert_eq!(found[0].values::<f32>().unwrap()[..], [1.0]);
        assert!(by_name(vec![array("x", 1.0)], &names[..1], "input").is_ok());
        let error = by_name(vec![array("b", 2.0), array("c", 1.0)], &names, "input").unwrap_err();
        assert_eq!(error.to_string(), "expected an array for input 'a', found b, c");
    }
}
