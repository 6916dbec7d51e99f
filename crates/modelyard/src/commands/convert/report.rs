//! What is said about a conversion.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use modelyard_convert::{Conversion, SourceModel, Step};
use modelyard_tensor::TensorSpec;
use serde::Serialize;

use super::judge::Leg;
use super::prove::Proof;

/// What is said about a conversion.
#[derive(Serialize)]
pub(super) struct Report {
    source: String,
    format: &'static str,
    /// Who wrote the source.
    producer: String,
    output: String,
    /// Size of the model file; external data is beside it.
    bytes: u64,
    /// Time for reading and converting, without proof.
    seconds: f64,
    opsets: BTreeMap<String, i64>,
    inputs: Vec<Spec>,
    outputs: Vec<Spec>,
    /// How many nodes there are of each operator.
    operators: BTreeMap<String, usize>,
    /// Approximations, guards, state.
    notes: Vec<String>,
    /// Class names found.
    labels: usize,
    proof: Proof,
    /// By layer or node of the source.
    steps: Vec<Mapping>,
}

/// An input or output.
#[derive(Serialize)]
pub(in crate::commands) struct Spec {
    name: String,
    datatype: &'static str,
    shape: String,
}

/// What became of a layer or node.
#[derive(Serialize)]
pub(in crate::commands) struct Mapping {
    label: String,
    operator: String,
    nodes: Vec<String>,
}

impl Report {
    /// Puts together what is known.
    pub(super) fn new(
        (source, output): (&Path, &Path),
        model: &dyn SourceModel,
        conversion: &Conversion,
        (steps, proof): (&[Step], Proof),
        time: Duration,
    ) -> Report {
        let signature = conversion.model.signature().ok();
        let specs = |specs: Option<&Vec<TensorSpec>>| {
            specs.into_iter().flatten().map(Spec::new).collect::<Vec<_>>()
        };
        let mut operators = BTreeMap::new();
        for node in conversion.model.nodes() {
            *operators.entry(node.operator()).or_default() += 1;
        }
        Report {
            source: source.display().to_string(),
            format: model.format().name(),
            producer: model.producer(),
            output: output.display().to_string(),
            bytes: output.metadata().map_or(0, |metadata| metadata.len()),
            seconds: time.as_secs_f64(),
            opsets: conversion.model.opsets.clone(),
            inputs: specs(signature.map(|signature| &signature.inputs)),
            outputs: specs(signature.map(|signature| &signature.outputs)),
            operators,
            notes: conversion.notes.clone(),
            labels: conversion.labels.len(),
            proof,
            steps: steps.iter().map(Mapping::new).collect(),
        }
    }

    /// The report for people; with what became of each layer where it is asked for.
    pub(super) fn text(&self, explain: bool) -> String {
        let mut lines = Vec::new();
        if explain {
            lines.extend(mapping_lines(&self.steps));
            lines.push(String::new());
        }
        lines.push(format!("{}  {} ({})", self.source, self.format, self.producer));
        let opsets: Vec<String> = self
            .opsets
            .iter()
            .map(|(domain, version)| match domain.as_str() {
                "" => format!("opset {version}"),
                domain => format!("{domain} {version}"),
            })
            .collect();
        let nodes: usize = self.operators.values().sum();
        lines.push(format!(
            "{}  {}, {nodes} nodes of {} operators, {} bytes, in {:.2} s",
            self.output,
            opsets.join(", "),
            self.operators.len(),
            self.bytes,
            self.seconds
        ));
        lines.extend(signature_lines(&self.inputs, &self.outputs));
        if self.labels > 0 {
            lines.push(format!("  {} class names", self.labels));
        }
        lines.extend(self.notes.iter().map(|note| format!("  note: {note}")));
        lines.extend(proof_lines(&self.proof));
        lines.join("\n")
    }
}

/// Inputs and outputs, a line each.
pub(in crate::commands) fn signature_lines(inputs: &[Spec], outputs: &[Spec]) -> Vec<String> {
    let inputs = inputs.iter().map(|spec| ("input ", spec));
    let all = inputs.chain(outputs.iter().map(|spec| ("output", spec)));
    let line = |(role, spec): (&str, &Spec)| {
        format!("  {role}  {}  {} {}", spec.name, spec.datatype, spec.shape)
    };
    all.map(line).collect()
}

/// What became of each layer or node, a line each.
pub(in crate::commands) fn mapping_lines(steps: &[Mapping]) -> Vec<String> {
    let width = |text: fn(&Mapping) -> usize| steps.iter().map(text).max();
    let label = width(|step| step.label.chars().count()).unwrap_or(0).min(60);
    let operator = width(|step| step.operator.chars().count()).unwrap_or(0).min(40);
    let line = |step: &Mapping| {
        let nodes = match step.nodes.is_empty() {
            true => "nothing".to_owned(),
            false => step.nodes.join(" "),
        };
        format!("{:<label$}  {:<operator$}  {nodes}", step.label, step.operator)
    };
    steps.iter().map(line).collect()
}

/// What was compared, a line each.
pub(in crate::commands) fn proof_lines(proof: &Proof) -> Vec<String> {
    if proof.legs.is_empty() {
        return vec!["not verified (--no-verify)".to_owned()];
    }
    let line = |leg: &Leg| {
        format!("verified in {} against {}: {}", proof.engine, leg.against, leg.in_words())
    };
    proof.legs.iter().map(line).collect()
}

impl Spec {
    /// In words.
    pub(in crate::commands) fn new(spec: &TensorSpec) -> Spec {
        let shape = match &spec.dims {
            Some(dims) => {
                let dims: Vec<String> = dims.iter().map(ToString::to_string).collect();
                format!("[{}]", dims.join(","))
            }
            None => "of any rank".to_owned(),
        };
        Spec { name: spec.name.clone(), datatype: spec.data_type.name(), shape }
    }
}

impl Mapping {
    /// As it is reported.
    pub(in crate::commands) fn new(step: &Step) -> Mapping {
        Mapping {
            label: step.label.clone(),
            operator: step.operator.clone(),
            nodes: step.nodes.clone(),
        }
    }
}
