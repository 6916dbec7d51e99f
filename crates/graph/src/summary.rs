//! What is in a model, in figures.

use std::collections::{BTreeMap, BTreeSet};

use modelyard_tensor::Dim;

use crate::Model;
use crate::infer::{Sizes, estimate, stored_bytes};

/// A model in figures. FLOPs and memory are estimates of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// How many nodes there are of each operator, graphs inside nodes and functions included.
    pub operators: BTreeMap<String, usize>,
    /// Elements of all constants in the file or beside it.
    pub parameters: u64,
    /// Bytes of these.
    pub parameter_bytes: u64,
    /// Elements of constants that nodes make from nothing (`ConstantOfShape` of a constant
    /// shape): weights, in files that leave them out.
    pub generated_parameters: u64,
    /// Floating-point (or integer) operations: a multiplication with its addition is two; an
    /// element of an elementwise operator is one; moving data is none. What nodes make of
    /// constants only is left out.
    pub flops: u64,
    /// The largest sum of the sizes of all values that are needed at the same time, when nodes
    /// run in the order of the file and nothing is computed in place.
    pub activation_bytes: u64,
    /// Weights (generated ones included) and activations.
    pub memory_bytes: u64,
    /// Symbolic dimensions of inputs that stood for 1 in the estimate; `?` for those without a
    /// name.
    pub assumed: BTreeSet<String>,
    /// What could not be estimated, and counts nothing above.
    pub unknown: Vec<UnknownOperator>,
}

/// An operator with nodes whose cost or shape is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownOperator {
    /// The operator.
    pub operator: String,
    /// How many of its nodes.
    pub nodes: usize,
    /// The first of them.
    pub first: String,
}

/// Describes `model` with every free dimension standing for 1.
pub fn describe(model: &Model) -> Summary {
    describe_with(model, &Sizes::default())
}

/// Describes `model` with these sizes for what it leaves open; the rest stands for 1.
pub fn describe_with(model: &Model, sizes: &Sizes) -> Summary {
    let mut operators: BTreeMap<String, usize> = BTreeMap::new();
    for node in model.nodes() {
        *operators.entry(node.operator()).or_default() += 1;
    }
    let sum = |figure: fn(&crate::Constant) -> u64| {
        model.constants().map(figure).fold(0, u64::saturating_add)
    };
    let parameter_bytes = sum(stored_bytes);
    let estimate = estimate(model, sizes);
    let weights = parameter_bytes.saturating_add(estimate.generated_bytes);
    let unknown = estimate.unknown.into_iter();
    Summary {
        operators,
        parameters: sum(|constant| constant.elements().map_or(0, |elements| elements as u64)),
        parameter_bytes,
        generated_parameters: estimate.generated,
        flops: estimate.flops,
        activation_bytes: estimate.peak_bytes,
        memory_bytes: weights.saturating_add(estimate.peak_bytes),
        assumed: assumed(model, sizes),
        unknown: unknown
            .map(|(operator, (nodes, first))| UnknownOperator { operator, nodes, first })
            .collect(),
    }
}

fn assumed(model: &Model, sizes: &Sizes) -> BTreeSet<String> {
    let open = model.graph.inputs.iter().filter(|input| !sizes.inputs.contains_key(&input.name));
    let dims = open.filter_map(|input| input.value_type.as_tensor()?.1);
    dims.flatten()
        .filter_map(|dim| match dim {
            Dim::Fixed(_) => None,
            Dim::Symbol(name) if sizes.symbols.contains_key(name) => None,
            Dim::Symbol(name) => Some(name.clone()),
            Dim::Free => Some("?".into()),
        })
        .collect()
}
