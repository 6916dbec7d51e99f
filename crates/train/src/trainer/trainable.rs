//! Which weights can be trained, and which the penalties are for.

use modelyard_graph::{Constant, ElementType, Model, Node};

/// Names of all weights that can be trained: floats of the graph, but for running statistics,
/// ratios of dropout, bounds and scales, and the mean and deviation that normalize the input.
pub fn trainable(model: &Model) -> Vec<String> {
    constants(model)
        .filter(|(name, constant)| is_weight(constant) && !is_state(model, name))
        .map(|(name, _)| name.to_owned())
        .collect()
}

/// Whether the penalties are for a weight: not for biases and scales, which do not make a model
/// complex. Those are weights of fewer than two dimensions, and the biases of recurrent layers,
/// which have one more for the direction.
pub(super) fn is_penalized(model: &Model, name: &str) -> bool {
    let has_columns =
        constants(model).any(|(found, constant)| found == name && constant.dims.len() >= 2);
    let is_bias = |node: &Node| {
        matches!(node.op_type.as_str(), "LSTM" | "GRU" | "RNN") && node.input(3) == Some(name)
    };
    has_columns && !model.graph.nodes.iter().any(is_bias)
}

/// Constants by the name of their value: initializers, and tensors of `Constant` nodes.
fn constants(model: &Model) -> impl Iterator<Item = (&str, &Constant)> {
    let initializers =
        model.graph.initializers.iter().map(|constant| (constant.name.as_str(), constant));
    let nodes = model.graph.nodes.iter().filter(|node| node.is("Constant"));
    initializers.chain(nodes.filter_map(|node| Some((node.output(0)?, node.tensor("value")?))))
}

fn is_weight(constant: &Constant) -> bool {
    use ElementType::{Bfloat16, Float16, Float32, Float64};
    matches!(constant.element_type, Float32 | Float64 | Float16 | Bfloat16)
        // Numbers of formulas, such as the half of a GELU, are no weights.
        && !constant.dims.is_empty()
}

fn is_state(model: &Model, name: &str) -> bool {
    let takes = |node: &Node| {
        let position = node.inputs.iter().position(|input| input == name);
        match node.op_type.as_str() {
            "BatchNormalization" => position.is_some_and(|position| position >= 3),
            "Dropout" | "Clip" | "Pad" | "Resize" | "QuantizeLinear" | "DequantizeLinear" => {
                position.is_some_and(|position| position >= 1)
            }
            _ => false,
        }
    };
    crate::normalization::is_part(name) || model.graph.nodes.iter().any(takes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::{Input, build, parse};
    use modelyard_tensor::DataType;

    fn model(layers: &str, shape: &[usize]) -> Model {
        let input = Input { name: "x".into(), shape: shape.to_vec(), data_type: DataType::Fp32 };
        build(&parse(layers).unwrap(), &input, 1).unwrap()
    }

    #[test]
    fn statistics_and_ratios_are_not_trained() {
        let model = model("dense(3), batchnorm, dropout(0.5), gelu", &[2]);
        let expected = ["dense1.weight", "dense1.bias", "batchnorm1.scale", "batchnorm1.bias"];
        assert_eq!(trainable(&model), expected);
    }

    #[test]
    fn biases_of_recurrent_layers_are_not_penalized() {
        let model = model("lstm(3), dense(2)", &[4, 2]);
        let penalized: Vec<String> =
            trainable(&model).into_iter().filter(|name| is_penalized(&model, name)).collect();
        assert_eq!(penalized, ["lstm1.input", "lstm1.recurrent", "dense1.weight"]);
    }

    #[test]
    fn weights_in_nodes_are_weights_too() {
        let mut model = model("dense(3)", &[2]);
        let weight = model.graph.initializers.remove(0);
        let mut node = Node::new("Constant", &[], &["dense1.weight"]);
        node = node.with("value", weight);
        model.graph.nodes.insert(0, node);
        assert_eq!(trainable(&model), ["dense1.bias", "dense1.weight"]);
        assert!(is_penalized(&model, "dense1.weight"));
    }
}
