//! Mean and deviation of an input, taken out by the model itself: every server that runs it then
//! does the same.

use modelyard_graph::{Constant, Model, Node, ReadError};

/// What is subtracted from an input, and what it is divided by: arrays of one shape that
/// broadcasts against the input.
#[derive(Clone, Debug, PartialEq)]
pub struct Normalization {
    /// The shape of both.
    pub shape: Vec<usize>,
    /// Subtracted.
    pub mean: Vec<f32>,
    /// Divides.
    pub deviation: Vec<f32>,
}

/// Names of what is added begin so; with a number where a model has such names already.
const PREFIX: &str = "normalization";

/// Whether a weight is the mean or the deviation of an input.
pub(crate) fn is_part(name: &str) -> bool {
    let rest = name.strip_prefix(PREFIX).and_then(|rest| rest.rsplit_once('.'));
    rest.is_some_and(|(number, part)| {
        number.bytes().all(|byte| byte.is_ascii_digit()) && matches!(part, "mean" | "deviation")
    })
}

/// The model with `(input - mean) / deviation` before everything that takes this input.
pub fn normalize_input(
    mut model: Model,
    input: &str,
    normalization: &Normalization,
) -> Result<Model, ReadError> {
    let graph = &mut model.graph;
    let is_taken = |prefix: &str| graph.initializers.iter().any(|it| it.name.starts_with(prefix));
    let mut prefix = format!("{PREFIX}.");
    let mut number = 2;
    while is_taken(&prefix) {
        prefix = format!("{PREFIX}{number}.");
        number += 1;
    }
    let name = |part: &str| format!("{prefix}{part}");
    let (mean, deviation) = (name("mean"), name("deviation"));
    let (centred, scaled) = (name("centred"), name("scaled"));
    let takers = graph.nodes.iter_mut().flat_map(|node| &mut node.inputs);
    takers.filter(|taken| *taken == input).for_each(|taken| *taken = scaled.clone());
    graph.nodes.insert(0, Node::new("Sub", &[input, &mean], &[&centred]));
    graph.nodes.insert(1, Node::new("Div", &[&centred, &deviation], &[&scaled]));
    let shape = &normalization.shape;
    graph.initializers.push(Constant::floats(&mean, shape, &normalization.mean));
    graph.initializers.push(Constant::floats(&deviation, shape, &normalization.deviation));
    model.check()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::{Input, build, parse};

    #[test]
    fn weights_that_are_only_called_so_are_no_part() {
        assert!(is_part("normalization.mean") && is_part("normalization2.deviation"));
        for name in ["normalization_1/gamma", "normalization.weight", "normalizations.mean"] {
            assert!(!is_part(name), "{name}");
        }
    }

    #[test]
    fn stands_before_everything_and_can_be_repeated() {
        let input =
            Input { name: "x".into(), shape: vec![2], data_type: modelyard_tensor::DataType::Fp32 };
        let model = build(&parse("dense(2)").unwrap(), &input, 1).unwrap();
        let normalization =
            Normalization { shape: vec![2], mean: vec![1.0, 2.0], deviation: vec![3.0, 4.0] };
        let model = normalize_input(model, "x", &normalization).unwrap();
        let model = normalize_input(model, "x", &normalization).unwrap();
        let nodes: Vec<String> = model
            .graph
            .nodes
            .iter()
            .map(|node| format!("{}({}) {}", node.op_type, node.inputs.join(" "), node.outputs[0]))
            .collect();
        assert_eq!(
            nodes[..3],
            [
                "Sub(x normalization2.mean) normalization2.centred",
                "Div(normalization2.centred normalization2.deviation) normalization2.scaled",
                "Sub(normalization2.scaled normalization.mean) normalization.centred",
            ]
        );
        assert!(nodes[4].starts_with("Gemm(normalization.scaled dense1.weight"), "{nodes:?}");
    }
}
