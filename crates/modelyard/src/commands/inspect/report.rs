//! What there is to say about a model; its form as JSON.

use std::collections::BTreeMap;
use std::path::Path;

use modelyard_engine::{EngineReport, Engines, ModelFile, Refusal};
use modelyard_graph::summary::{Summary, UnknownOperator, describe_with};
use modelyard_graph::{Model, Sizes};
use modelyard_tensor::TensorSpec;
use serde::Serialize;

/// What there is to say about a model.
#[derive(Serialize)]
pub(super) struct Report {
    /// The file.
    pub(super) file: String,
    /// Its size; external data is beside it.
    pub(super) file_bytes: u64,
    /// Files beside it that hold weights.
    pub(super) external_files: Vec<String>,
    /// What its author wrote about it.
    pub(super) doc: String,
    /// The tool that wrote it, with version.
    pub(super) producer: String,
    /// Version of the file format.
    pub(super) ir_version: i64,
    /// Operator set versions by domain.
    pub(super) opsets: BTreeMap<String, i64>,
    /// The author's keys and values.
    pub(super) metadata: BTreeMap<String, String>,
    /// What it takes.
    pub(super) inputs: Vec<Spec>,
    /// What it gives.
    pub(super) outputs: Vec<Spec>,
    /// Why it cannot be served, if so: types that the protocol does not carry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) not_servable: Option<String>,
    /// Nodes by operator.
    pub(super) operators: BTreeMap<String, usize>,
    /// What one run costs.
    pub(super) cost: Cost,
    /// Which engines run it.
    pub(super) engines: Vec<EngineVerdict>,
}

/// One input or output.
#[derive(Serialize)]
pub(super) struct Spec {
    /// Its name.
    pub(super) name: String,
    /// Its datatype.
    pub(super) datatype: &'static str,
    /// Its shape, -1 for free dimensions.
    pub(super) shape: Vec<i64>,
    /// Its shape with the names of free dimensions.
    pub(super) shape_text: String,
}

/// What one run costs; estimates.
#[derive(Serialize)]
pub(super) struct Cost {
    /// Elements of all constants.
    pub(super) parameters: u64,
    /// Their bytes.
    pub(super) parameter_bytes: u64,
    /// Elements of constants that nodes make from nothing.
    pub(super) generated_parameters: u64,
    /// Operations, a multiplication with its addition being two.
    pub(super) flops: u64,
    /// The most that values between nodes take at one time.
    pub(super) activation_bytes: u64,
    /// Weights and activations.
    pub(super) memory_bytes: u64,
    /// The sizes that `--dim` gave.
    pub(super) dims: BTreeMap<String, usize>,
    /// The shapes that `--shape` gave.
    pub(super) shapes: BTreeMap<String, Vec<usize>>,
    /// Free dimensions that stood for 1.
    pub(super) assumed_one: Vec<String>,
    /// Operators that count nothing above, as their cost is not known.
    pub(super) unknown: Vec<Unknown>,
}

/// An operator whose cost is not known.
#[derive(Serialize)]
pub(super) struct Unknown {
    /// The operator.
    pub(super) operator: String,
    /// How many nodes of it there are.
    pub(super) nodes: usize,
    /// The first of them.
    pub(super) first: String,
}

/// Whether an engine runs the model.
#[derive(Serialize)]
pub(super) struct EngineVerdict {
    /// The engine.
    pub(super) engine: &'static str,
    /// Whether it runs it.
    pub(super) runs: bool,
    /// Why the engine itself is not usable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unusable: Option<String>,
    /// What stands against this model.
    pub(super) refusals: Vec<Stop>,
}

/// A node that an engine does not run.
#[derive(Serialize)]
pub(super) struct Stop {
    /// Its operator.
    pub(super) operator: String,
    /// Its name, or its first output.
    pub(super) node: String,
    /// Why not.
    pub(super) reason: String,
}

impl Report {
    /// Everything about `model`, read from `path`.
    pub(super) fn new(path: &Path, model: &Model, sizes: &Sizes, engines: &Engines) -> Report {
        let signature = model.signature();
        let specs = |specs: &[TensorSpec]| specs.iter().map(Spec::new).collect();
        let (inputs, outputs, not_servable) = match signature {
            Ok(signature) => (specs(&signature.inputs), specs(&signature.outputs), None),
            Err(error) => (Vec::new(), Vec::new(), Some(error.to_string())),
        };
        let summary = describe_with(model, sizes);
        let file = ModelFile { path: path.to_owned(), model: model.clone() };
        Report {
            file: path.display().to_string(),
            file_bytes: std::fs::metadata(path).map_or(0, |metadata| metadata.len()),
            external_files: model.external_files().into_iter().map(str::to_owned).collect(),
            doc: model.doc.clone(),
            producer: format!("{} {}", model.producer, model.producer_version).trim().to_owned(),
            ir_version: model.ir_version,
            opsets: model.opsets.clone(),
            metadata: model.metadata.clone(),
            inputs,
            outputs,
            not_servable,
            operators: summary.operators.clone(),
            cost: Cost::new(summary, sizes),
            engines: engines.check(&file).into_iter().map(EngineVerdict::new).collect(),
        }
    }
}

impl Spec {
    fn new(spec: &TensorSpec) -> Spec {
        Spec {
            name: spec.name.clone(),
            datatype: spec.data_type.name(),
            shape: spec.wire_shape(),
            shape_text: spec.shape_text(),
        }
    }
}

impl Cost {
    fn new(summary: Summary, sizes: &Sizes) -> Cost {
        let unknown = |unknown: UnknownOperator| Unknown {
            operator: unknown.operator,
            nodes: unknown.nodes,
            first: unknown.first,
        };
        Cost {
            parameters: summary.parameters,
            parameter_bytes: summary.parameter_bytes,
            generated_parameters: summary.generated_parameters,
            flops: summary.flops,
            activation_bytes: summary.activation_bytes,
            memory_bytes: summary.memory_bytes,
            dims: sizes.symbols.clone(),
            shapes: sizes.inputs.clone(),
            assumed_one: summary.assumed.into_iter().collect(),
            unknown: summary.unknown.into_iter().map(unknown).collect(),
        }
    }
}

impl EngineVerdict {
    fn new(report: EngineReport) -> EngineVerdict {
        let stop = |refusal: Refusal| Stop {
            operator: refusal.operator,
            node: refusal.node,
            reason: refusal.reason,
        };
        // The engine's name and the verdict are beside it already.
        let known = format!("engine '{}' is not usable: ", report.engine);
        let why = |text: String| text.strip_prefix(&known).map(str::to_owned).unwrap_or(text);
        EngineVerdict {
            engine: report.engine,
            runs: report.unusable.is_none() && report.refusals.is_empty(),
            unusable: report.unusable.map(why),
            refusals: report.refusals.into_iter().map(stop).collect(),
        }
    }
}
