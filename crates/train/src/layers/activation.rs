//! Activations: `relu`, `softmax` and the others.

use super::network::Network;

/// Their names.
pub(super) const WORDS: &[&str] = &[
    "none",
    "relu",
    "leaky_relu",
    "elu",
    "sigmoid",
    "tanh",
    "softmax",
    "gelu",
    "silu",
    "hardswish",
    "softplus",
];

/// Adds an activation of this name after the current value.
pub(super) fn add(network: &mut Network, activation: &str, name: &str) {
    let output = format!("{name}.{activation}");
    let simple = |op_type: &str, network: &mut Network| {
        network.node(op_type, &[], &output, |node| node);
    };
    match activation {
        "relu" => simple("Relu", network),
        "leaky_relu" => simple("LeakyRelu", network),
        "elu" => simple("Elu", network),
        "sigmoid" => simple("Sigmoid", network),
        "tanh" => simple("Tanh", network),
        "softplus" => simple("Softplus", network),
        "hardswish" => simple("HardSwish", network),
        "softmax" => network.node("Softmax", &[], &output, |node| node.with("axis", -1)),
        "silu" => {
            let input = network.value.clone();
            simple("Sigmoid", network);
            network.node("Mul", &[&input], &format!("{name}.product"), |node| node);
        }
        "gelu" => gelu(network, name),
        _ => {}
    }
}

/// `x/2 (1 + erf(x / sqrt 2))` spelled out: Gelu is an operator only since opset 20.
fn gelu(network: &mut Network, name: &str) {
    let input = network.value.clone();
    let mut constant = |part: &str, value: f32| {
        let constant = format!("{name}.gelu.{part}");
        // One number: it cannot be too many.
        let _ = network.weight(&constant, &[], vec![value]);
        constant
    };
    let root = constant("root", std::f32::consts::SQRT_2);
    let one = constant("one", 1.0);
    let half = constant("half", 0.5);
    network.node("Div", &[&root], &format!("{name}.gelu.scaled"), |node| node);
    network.node("Erf", &[], &format!("{name}.gelu.erf"), |node| node);
    network.node("Add", &[&one], &format!("{name}.gelu.shifted"), |node| node);
    network.node("Mul", &[&input], &format!("{name}.gelu.product"), |node| node);
    network.node("Mul", &[&half], &format!("{name}.gelu.output"), |node| node);
}
