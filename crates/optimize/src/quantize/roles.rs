//! What quantization has to know of operators.

use modelyard_graph::{ElementType, Node};

use crate::links::Links;

/// A node with a weight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Weighted<'a> {
    /// The activation.
    pub(crate) input: &'a str,
    /// The weight: a constant of floats.
    pub(crate) weight: &'a str,
    /// Which of the node's inputs the weight is.
    pub(crate) slot: usize,
    /// The dimension of the weight that its output channels are along; `None` where no dimension is.
    pub(crate) axis: Option<usize>,
    /// The bias, if it is a constant; input 2.
    pub(crate) bias: Option<&'a str>,
}

/// How a node of small integers is computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Role<'a> {
    /// With a weight, from one activation; sums are 32-bit integers.
    Weighted(Weighted<'a>),
    /// A product of two activations.
    Product,
    /// From integers to integers, each input and output with a scale of its own.
    Elementwise,
    /// It picks rows of a constant table.
    Table,
    /// It moves numbers and makes none: its output has the scale of its input.
    Moves,
    /// It only cuts the range, which quantization does anyway.
    Clamps,
}

/// The role of a node; or why it has none.
pub(crate) fn role<'a>(node: &'a Node, links: &Links<'a>) -> Result<Role<'a>, &'static str> {
    if !node.domain.is_empty() {
        return Err("an operator of another domain");
    }
    let is_float = |name: &str| {
        links.constant(name).is_some_and(|constant| constant.element_type == ElementType::Float32)
    };
    match node.op_type.as_str() {
        "Conv" | "ConvTranspose" | "Gemm" => {
            let (input, weight) = node.input(0).zip(node.input(1)).ok_or("inputs are missing")?;
            if links.constant(input).is_some() {
                return Err("it has no activation");
            }
            if !is_float(weight) {
                return Err("its weight is computed, or is no float");
            }
            let bias = match node.input(2) {
                None => None,
                Some(bias) if is_float(bias) && is_row(links, bias) => Some(bias),
                Some(_) => return Err("its bias is computed, or is no row of floats"),
            };
            let axis = match node.op_type.as_str() {
                "Conv" => Some(0),
                "ConvTranspose" => (node.int("group").unwrap_or(1) == 1).then_some(1),
                _ if !is_plain_gemm(node) => return Err("it scales or transposes its input"),
                _ => Some(usize::from(node.int("transB").unwrap_or(0) == 0)),
            };
            Ok(Role::Weighted(Weighted { input, weight, slot: 1, axis, bias }))
        }
        "MatMul" => {
            let (input, weight) = node.input(0).zip(node.input(1)).ok_or("inputs are missing")?;
            match (links.constant(input), links.constant(weight)) {
                (None, None) => Ok(Role::Product),
                (None, Some(constant)) if constant.element_type == ElementType::Float32 => {
                    let axis = (constant.dims.len() == 2).then_some(1);
                    Ok(Role::Weighted(Weighted { input, weight, slot: 1, axis, bias: None }))
                }
                _ => Err("its constant comes first, or is no float"),
            }
        }
        "Gather" if node.input(0).is_some_and(is_float) => Ok(Role::Table),
        "Add" | "AveragePool" | "Concat" | "GlobalAveragePool" | "LeakyRelu" | "Mul"
        | "Sigmoid" | "Softmax" => Ok(Role::Elementwise),
        "DepthToSpace" | "Flatten" | "Gather" | "Identity" | "MaxPool" | "Reshape" | "Slice"
        | "SpaceToDepth" | "Squeeze" | "Transpose" | "Unsqueeze"
            if node.outputs.iter().filter(|output| !output.is_empty()).count() == 1 =>
        {
            Ok(Role::Moves)
        }
        "Resize" if node.string("mode").unwrap_or("nearest") == "nearest" => Ok(Role::Moves),
        "Relu" | "Clip" => Ok(Role::Clamps),
        _ => Err("no operator of integers stands for it"),
    }
}

/// Whether a bias is one row of numbers.
fn is_row(links: &Links<'_>, bias: &str) -> bool {
    links.constant(bias).is_some_and(|constant| constant.dims.len() == 1)
}

fn is_plain_gemm(node: &Node) -> bool {
    let is_one = |name: &str| node.float(name).is_none_or(|factor| factor == 1.0);
    is_one("alpha") && is_one("beta") && node.int("transA").unwrap_or(0) == 0
}
