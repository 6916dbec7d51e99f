//! Transfer learning: a new head on a model that has learned something else.

use std::collections::HashSet;

use fastrand::Rng;
use modelyard_graph::{Constant, Graph, Model, Node, Value, ValueType};
use modelyard_tensor::{DataType, Dim, Shape};

use crate::array::Array;
use crate::buffers::Buffers;
use crate::error::{CompileError, RunError};
use crate::program::{Mode, Program, Run};
use crate::workers::Workers;

/// Why a head cannot be replaced.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// There is no place to cut.
    #[error("failed to find where to cut: {0}")]
    NoCut(String),
    /// The value at the cut cannot be given a head.
    #[error("failed to attach a head to '{value}': {reason}")]
    Attach {
        /// The value.
        value: String,
        /// Why.
        reason: String,
    },
    /// The part before the cut cannot be run.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// The part before the cut fails to run.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The result is no valid model.
    #[error("the model with its new head is not valid")]
    Invalid(#[from] modelyard_graph::ReadError),
}

/// What a head ends in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// A softmax: one class of several.
    Softmax,
    /// A sigmoid: yes or no.
    Sigmoid,
    /// The numbers themselves.
    Plain,
}

/// A new head.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// Classes, or numbers for regression.
    pub units: usize,
    /// What it ends in.
    pub end: End,
    /// The value to attach it to; `None` is what the last Gemm or MatMul with weights takes.
    pub at: Option<&'a str>,
    /// Decides the first weights.
    pub seed: u64,
}

/// Outputs of a head at most.
const UNITS_MAX: usize = 1 << 20;

/// Names of a head's values begin so; with a number where a model has one already.
const HEAD: &str = "head";

/// The model up to the cut, with a new head: a dense layer on what is there, after a mean over
/// space where there is space. What only the old head used is gone.
pub fn replace_head(base: &Model, head: Head<'_>) -> Result<Model, TransferError> {
    let cut = match head.at {
        Some(name) => name.to_owned(),
        None => default_cut(&base.graph)?,
    };
    let shape = shape_at(base, &cut)?;
    let mut model = base.clone();
    if head.units == 0 || head.units > UNITS_MAX {
        return Err(TransferError::Attach {
            value: cut,
            reason: format!("expected 1 to {UNITS_MAX} outputs, found {}", head.units),
        });
    }
    prune_to(&mut model.graph, &cut);
    let prefix = free_prefix(&model.graph);
    let features = pool(&mut model.graph, (&cut, &shape), &prefix)?;
    attach(&mut model.graph, (&features.0, features.1), &prefix, head);
    Ok(model.check()?)
}

/// What the last Gemm or MatMul with weights takes.
fn default_cut(graph: &Graph) -> Result<String, TransferError> {
    let weighted = |node: &&Node| {
        let is_constant = |name: &str| {
            let mut nodes = graph.nodes.iter().filter(|node| node.is("Constant"));
            graph.initializer(name).is_some() || nodes.any(|node| node.output(0) == Some(name))
        };
        (node.is("Gemm") || node.is("MatMul")) && node.input(1).is_some_and(is_constant)
    };
    let last = graph.nodes.iter().rev().find(weighted);
    last.map(|node| node.inputs[0].clone()).ok_or_else(|| {
        TransferError::NoCut(
            "the model has no Gemm or MatMul with weights; name a tensor with --cut".into(),
        )
    })
}

/// The shape of a value for a batch of one, by running the model up to it on zeros.
fn shape_at(model: &Model, value: &str) -> Result<Shape, TransferError> {
    let program = Program::compile(model)?;
    let plan = program.plan(&[value], &[])?;
    let signature = model.signature().map_err(|error| TransferError::Attach {
        value: value.to_owned(),
        reason: error.to_string(),
    })?;
    let mut inputs = Vec::new();
    for spec in &signature.inputs {
        let dims = spec.dims.as_deref().unwrap_or_default();
        let shape: Shape = dims
            .iter()
            .map(|dim| match dim {
                Dim::Fixed(size) => *size,
                _ => 1,
            })
            .collect();
        let len = shape.elements().unwrap_or(0);
        let array = match spec.data_type {
            DataType::Fp32 | DataType::Fp64 | DataType::Fp16 | DataType::Bf16 => {
                Array::floats(shape, vec![0.0; len])
            }
            DataType::Bool => Array::bools(shape, vec![false; len]),
            _ => Array::ints(shape, vec![0; len]),
        };
        inputs.push((spec.name.as_str(), array));
    }
    let workers = Workers::new(1).map_err(|error| TransferError::Attach {
        value: value.to_owned(),
        reason: format!("failed to start a thread: {error}"),
    })?;
    let mut buffers = Buffers::default();
    let mut run = Run {
        buffers: &mut buffers,
        workers: &workers,
        mode: Mode::Evaluate,
        memory_limit_bytes: usize::MAX,
    };
    let pass = program.forward(&plan, program.weights(), inputs, &mut run)?;
    Ok(pass.value(value).shape().clone())
}

/// One row of features an example: the name of the value and how many there are.
fn pool(
    graph: &mut Graph,
    (cut, shape): (&str, &Shape),
    prefix: &str,
) -> Result<(String, usize), TransferError> {
    let rows = format!("{prefix}features");
    match shape.dims() {
        &[_, features] => Ok((cut.to_owned(), features)),
        [_, channels, _, ..] if shape.len() >= 4 => {
            let pool = format!("{prefix}pool");
            graph.nodes.push(node("GlobalAveragePool", &[cut], &pool));
            graph.nodes.push(node("Flatten", &[&pool], &rows));
            Ok((rows, *channels))
        }
        &[_, _, features] => {
            // Steps of a sequence: their mean.
            graph.nodes.push(
                node("Transpose", &[cut], &format!("{prefix}turned")).with("perm", [0, 2, 1]),
            );
            graph.nodes.push(node(
                "GlobalAveragePool",
                &[&format!("{prefix}turned")],
                &format!("{prefix}mean"),
            ));
            graph.nodes.push(node("Flatten", &[&format!("{prefix}mean")], &rows));
            Ok((rows, features))
        }
        _ => Err(TransferError::Attach {
            value: cut.to_owned(),
            reason: format!(
                "expected [batch, features], [batch, steps, features] or [batch, channels, \
                 height, width], found shape {shape}"
            ),
        }),
    }
}

fn node(op_type: &str, inputs: &[&str], output: &str) -> Node {
    let mut node = Node::new(op_type, inputs, &[output]);
    node.name = output.to_owned();
    node
}

fn attach(graph: &mut Graph, (features, count): (&str, usize), prefix: &str, head: Head<'_>) {
    let mut random = Rng::with_seed(head.seed);
    // Glorot and Bengio, 2010.
    let bound = (6.0 / (count + head.units) as f32).sqrt();
    let weights = (0..count * head.units).map(|_| (random.f32() * 2.0 - 1.0) * bound);
    let weights: Vec<f32> = weights.collect();
    let zeros = vec![0.0; head.units];
    let (weight, bias) = (format!("{prefix}weight"), format!("{prefix}bias"));
    graph.initializers.push(Constant::floats(&weight, &[count, head.units], &weights));
    graph.initializers.push(Constant::floats(&bias, &[head.units], &zeros));
    let is_plain = head.end == End::Plain;
    let output = free_name(graph, if is_plain { "output" } else { "probabilities" });
    let sum = if is_plain { output.clone() } else { format!("{prefix}sum") };
    graph.nodes.push(node("Gemm", &[features, &weight, &bias], &sum));
    match head.end {
        End::Softmax => graph.nodes.push(node("Softmax", &[&sum], &output).with("axis", 1)),
        End::Sigmoid => graph.nodes.push(node("Sigmoid", &[&sum], &output)),
        End::Plain => {}
    }
    let dims = [Dim::Symbol("batch".into()), Dim::Fixed(head.units)];
    let value_type = ValueType::tensor(DataType::Fp32, &dims);
    graph.outputs = vec![Value { name: output, value_type }];
}

/// `head.`, or `head2.` and so on where names of the graph begin so already.
fn free_prefix(graph: &Graph) -> String {
    let is_taken = |prefix: &str| {
        graph.initializers.iter().any(|constant| constant.name.starts_with(prefix))
            || graph
                .nodes
                .iter()
                .flat_map(|node| &node.outputs)
                .any(|name| name.starts_with(prefix))
    };
    let more = (2..).map(|number: u64| format!("{HEAD}{number}."));
    let mut prefixes = std::iter::once(format!("{HEAD}.")).chain(more);
    prefixes.find(|prefix| !is_taken(prefix)).unwrap_or_default()
}

/// This name, with a `_` more for each time that the graph has it already.
fn free_name(graph: &Graph, name: &str) -> String {
    let outputs = graph.nodes.iter().flat_map(|node| &node.outputs);
    let constants = graph.initializers.iter().map(|constant| &constant.name);
    let inputs = graph.inputs.iter().map(|input| &input.name);
    let taken: HashSet<&String> = outputs.chain(constants).chain(inputs).collect();
    let mut name = name.to_owned();
    while taken.contains(&name) {
        name.push('_');
    }
    name
}

/// Removes nodes and constants that this value does not need.
fn prune_to(graph: &mut Graph, value: &str) {
    let mut needed = HashSet::from([value.to_owned()]);
    let mut kept = Vec::new();
    for node in std::mem::take(&mut graph.nodes).into_iter().rev() {
        if node.outputs.iter().any(|output| needed.contains(output)) {
            needed.extend(node.inputs.iter().cloned());
            // What graphs inside the node take from outside is needed too.
            needed.extend(
                node.subgraphs()
                    .flat_map(|inner| &inner.nodes)
                    .flat_map(|node| node.inputs.iter().cloned()),
            );
            kept.push(node);
        }
    }
    kept.reverse();
    graph.nodes = kept;
    graph.initializers.retain(|constant| needed.contains(&constant.name));
    graph.value_info.retain(|value| needed.contains(&value.name));
    graph.quantization.retain(|entry| needed.contains(&entry.tensor));
}

/// Whether a name matches a pattern in which `*` stands for anything.
pub fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(rest) = parts.next().and_then(|first| name.strip_prefix(first)) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    let mut rest = rest;
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::{Input, build, parse};

    fn model(layers: &str, shape: &[usize]) -> Model {
        let input = Input { name: "x".into(), shape: shape.to_vec(), data_type: DataType::Fp32 };
        build(&parse(layers).unwrap(), &input, 1).unwrap()
    }

    const HEAD_OF_3: Head<'_> = Head { units: 3, end: End::Softmax, at: None, seed: 1 };

    fn names(model: &Model) -> Vec<&str> {
        model.graph.initializers.iter().map(|constant| constant.name.as_str()).collect()
    }

    #[test]
    fn the_last_dense_layer_is_replaced() {
        let base = model("dense(8, relu), dense(5, softmax)", &[4]);
        let model = replace_head(&base, HEAD_OF_3).unwrap();
        assert_eq!(names(&model), ["dense1.weight", "dense1.bias", "head.weight", "head.bias"]);
        assert_eq!(model.graph.initializer("head.weight").unwrap().dims, [8, 3]);
        assert_eq!(model.signature().unwrap().outputs[0].shape_text(), "[batch,3]");
    }

    #[test]
    fn a_cut_in_space_is_pooled() {
        let base = model("conv2d(6, 3, relu), flatten, dense(5)", &[1, 8, 8]);
        let head = Head { at: Some("conv2d1.relu"), end: End::Plain, ..HEAD_OF_3 };
        let model = replace_head(&base, head).unwrap();
        assert_eq!(model.graph.initializer("head.weight").unwrap().dims, [6, 3]);
        assert_eq!(model.graph.outputs[0].name, "output");
    }

    #[test]
    fn places_that_do_not_exist_are_named() {
        let base = model("dense(8, relu), dense(5)", &[4]);
        let head = Head { at: Some("dense1.rele"), ..HEAD_OF_3 };
        let error = replace_head(&base, head).unwrap_err().to_string();
        assert!(
            error.contains("no value 'dense1.rele'; did you mean one of: dense1.relu"),
            "{error}"
        );
        let base = model("relu", &[4]);
        let error = replace_head(&base, HEAD_OF_3).unwrap_err().to_string();
        assert!(error.contains("name a tensor with --cut"), "{error}");
    }

    #[test]
    fn patterns() {
        for (pattern, name, expected) in [
            ("layer1.*", "layer1.weight", true),
            ("layer1.*", "layer10.weight", false),
            ("*.bias", "a.bias", true),
            ("*.bias", "a.bias.b", false),
            ("a*b*c", "aXbYc", true),
            ("a*b*c", "acb", false),
            ("exact", "exact", true),
            ("exact", "exactly", false),
            ("*", "", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
