//! How far the answers of what is written may be from those of the ONNX model, output by output.
//!
//! Where a number is rounded to a step of a quantization, two ways to compute it may fall to two
//! sides. Each such rounding on the way to an output moves it by a step or not at all, in either
//! direction: `n` of them in a row move it by about the square root of `n`.

use std::collections::{BTreeMap, HashMap};

use modelyard_graph::Model;

use crate::Tolerance;
use crate::verify::quantization_step;

/// Share of elements that may be further apart where something is rounded to steps.
const OUTLIERS: f64 = 0.01;

/// The steps that a quantization to 8 bits has to either side.
const STEPS_OF_8_BITS: f64 = 127.0;

/// The tolerance of each output, by name. `rounds` says whether the target rounds between operators
/// in its own way; else it does as ONNX says.
pub(super) fn tolerances(model: &Model, rounds: bool) -> BTreeMap<String, Tolerance> {
    let roundings = roundings(model);
    let of = |name: &String| {
        let count = roundings.get(name.as_str()).copied().unwrap_or(0);
        (name.clone(), tolerance(model, name, if rounds { count } else { count.min(1) }))
    };
    model.graph.outputs.iter().map(|output| of(&output.name)).collect()
}

fn tolerance(model: &Model, output: &str, roundings: usize) -> Tolerance {
    if roundings == 0 {
        return Tolerance::default();
    }
    let steps = 1.0 + (roundings as f64).sqrt().ceil();
    let mut tolerance = Tolerance { steps, outliers: OUTLIERS, ..Tolerance::default() };
    if quantization_step(model, output).is_none() {
        // Computed in float from what is quantized: its steps are not known, only how fine they are.
        tolerance.relative = steps / STEPS_OF_8_BITS;
    }
    tolerance
}

/// By value: the most roundings in a row on the way to it.
fn roundings(model: &Model) -> HashMap<&str, usize> {
    let mut roundings: HashMap<&str, usize> = HashMap::new();
    for node in &model.graph.nodes {
        let before = node.inputs.iter().filter_map(|name| roundings.get(name.as_str())).max();
        let count = before.copied().unwrap_or(0) + usize::from(node.is("QuantizeLinear"));
        let outputs = node.outputs.iter().filter(|name| !name.is_empty() && count > 0);
        roundings.extend(outputs.map(|name| (name.as_str(), count)));
    }
    roundings
}

#[cfg(test)]
mod tests {
    use modelyard_graph::{ElementType, GraphBuilder, Node};
    use modelyard_tensor::{DataType, Dim};

    use super::*;

    /// `steps` roundings in a row, and a sum beside them that has none.
    fn chain(steps: usize) -> Model {
        let dims = [Dim::Fixed(4)];
        let mut graph = GraphBuilder::new("g")
            .input("x", DataType::Fp32, &dims)
            .floats("scale", &[], &[0.1])
            .initializer(modelyard_graph::Constant::raw("zero", ElementType::Int8, &[], vec![0u8]))
            .node(Node::new("Add", &["x", "x"], &["exact"]));
        let mut value = "x".to_owned();
        for index in 0..steps {
            let (rounded, next) = (format!("q{index}"), format!("d{index}"));
            graph = graph
                .node(Node::new("QuantizeLinear", &[&value, "scale", "zero"], &[&rounded]))
                .node(Node::new("DequantizeLinear", &[&rounded, "scale", "zero"], &[&next]));
            value = next;
        }
        graph
            .node(Node::new("Identity", &[&value], &["stepped"]))
            .node(Node::new("Softmax", &[&value], &["smooth"]))
            .output("exact", DataType::Fp32, &dims)
            .output("stepped", DataType::Fp32, &dims)
            .output("smooth", DataType::Fp32, &dims)
            .model()
    }

    #[test]
    fn an_output_that_nothing_rounds_is_exact() {
        assert_eq!(tolerances(&chain(9), true)["exact"], Tolerance::default());
    }

    #[test]
    fn steps_are_those_of_the_output_and_grow_with_the_root_of_the_roundings() {
        let found = |count| tolerances(&chain(count), true)["stepped"];
        assert_eq!((found(1).steps, found(9).steps), (2.0, 4.0));
        assert_eq!(found(9).relative, Tolerance::default().relative);
        assert_eq!(found(9).outliers, OUTLIERS);
    }

    #[test]
    fn what_is_computed_from_steps_is_as_fine_as_they_are() {
        assert_eq!(tolerances(&chain(1), true)["smooth"].relative, 2.0 / 127.0);
    }

    #[test]
    fn a_target_that_rounds_as_onnx_does_adds_up_nothing() {
        assert_eq!(tolerances(&chain(9), false)["stepped"].steps, 2.0);
    }
}
