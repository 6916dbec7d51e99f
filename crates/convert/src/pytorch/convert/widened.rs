//! Programs in 16-bit floats, computed in 32 bits.
//!
//! Few engines calculate in 16 bits on a CPU, and those that do are slower and less exact. Weights,
//! inputs and outputs stay as they are; what lies between is computed in 32 bits.

use modelyard_graph::ElementType;

use crate::pytorch::graph::{Argument, Graph, Meta, Program};

/// How far answers may be off from those that were computed in 16 bits: rounding errors of a deep
/// network add up.
const FLOAT16: f64 = 1e-2;
const BFLOAT16: f64 = 8e-2;

/// The type that elements are computed in.
pub(super) fn computed(element_type: ElementType) -> ElementType {
    match element_type {
        ElementType::Float16 | ElementType::Bfloat16 => ElementType::Float32,
        other => other,
    }
}

/// The program with all values but its weights in wide types.
pub(super) fn widened(program: &Program) -> Program {
    Program { graph: widened_graph(&program.graph), ..program.clone() }
}

fn widened_graph(graph: &Graph) -> Graph {
    let mut graph = graph.clone();
    for meta in graph.values.values_mut() {
        if let Meta::Tensor(element_type, _) = meta {
            *element_type = computed(*element_type);
        }
    }
    for named in graph.nodes.iter_mut().flat_map(|node| &mut node.arguments) {
        match &mut named.value {
            Argument::Type(element_type) => *element_type = computed(*element_type),
            Argument::Graph(inner) => **inner = widened_graph(inner),
            _ => {}
        }
    }
    graph
}

/// The least tolerance of a program's answers: wider where it computes in 16 bits.
pub(super) fn tolerance(graph: &Graph) -> f64 {
    let of = |meta: &Meta| match meta {
        Meta::Tensor(ElementType::Float16, _) => FLOAT16,
        Meta::Tensor(ElementType::Bfloat16, _) => BFLOAT16,
        _ => 0.0,
    };
    graph.values.values().map(of).fold(0.0, f64::max)
}
