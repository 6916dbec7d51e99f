//! The operators of ONNX, each written in those of TensorFlow.
//!
//! A new operator is a function in the file of its family (or a file) and a line in [`OPERATORS`].

mod activation;
mod arg;
mod binary;
mod conv;
mod conv_transpose;
mod gather;
mod image;
mod join;
mod kernel;
mod matmul;
mod norm;
mod pad;
mod pool;
mod quantize;
mod reduce;
mod repeat;
mod resize;
mod shapes;
mod slice;
mod unary;
mod window;

use modelyard_graph::{CHANNELS_LAST, Node};

use super::call::{Call, Written};
use super::writer::Writer;

/// Writes a node.
pub(super) type Rule = fn(&mut Writer, &Call<'_>) -> Written;

/// The rule for a node.
pub(super) fn find(node: &Node) -> Option<Rule> {
    let known = node.domain.is_empty() || node.domain == CHANNELS_LAST;
    let found = OPERATORS.iter().find(|(name, _)| known && *name == node.op_type);
    found.map(|(_, rule)| *rule)
}

/// The names of all operators.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    OPERATORS.iter().map(|(name, _)| *name)
}

const OPERATORS: &[(&str, Rule)] = &[
    ("Abs", unary::write),
    ("Acos", unary::write),
    ("Acosh", unary::write),
    ("Add", binary::write),
    ("And", binary::logic),
    ("ArgMax", arg::write),
    ("ArgMin", arg::write),
    ("Asin", unary::write),
    ("Asinh", unary::write),
    ("Atan", unary::write),
    ("Atanh", unary::write),
    ("AveragePool", pool::write),
    ("Cast", unary::cast),
    ("CastLike", unary::cast),
    ("Ceil", unary::write),
    ("Celu", activation::celu),
    ("Clip", activation::clip),
    ("Compress", gather::compress),
    ("Concat", join::concat),
    ("ConstantOfShape", repeat::constant_of_shape),
    ("Conv", conv::write),
    ("ConvTranspose", conv_transpose::write),
    ("Cos", unary::write),
    ("Cosh", unary::write),
    ("CumSum", repeat::cumulative_sum),
    ("DepthToSpace", shapes::blocks),
    ("DequantizeLinear", quantize::dequantize),
    ("Div", binary::write),
    ("Dropout", unary::identity),
    ("DynamicQuantizeLinear", quantize::dynamic),
    ("Einsum", matmul::einsum),
    ("Elu", activation::elu),
    ("Equal", binary::compare),
    ("Erf", unary::write),
    ("Exp", unary::write),
    ("Expand", repeat::expand),
    ("EyeLike", repeat::eye_like),
    ("Flatten", shapes::flatten),
    ("Floor", unary::write),
    ("Gather", gather::gather),
    ("GatherElements", gather::elements),
    ("GatherND", gather::nd),
    ("Gelu", activation::gelu),
    ("Gemm", matmul::gemm),
    ("Greater", binary::compare),
    ("GreaterOrEqual", binary::compare),
    ("HardSigmoid", activation::hard_sigmoid),
    ("HardSwish", activation::hard_swish),
    ("Hardmax", activation::hardmax),
    ("Identity", unary::identity),
    ("IsInf", unary::is_inf),
    ("IsNaN", unary::write),
    ("LRN", norm::local_response),
    ("LeakyRelu", activation::leaky_relu),
    ("Less", binary::compare),
    ("LessOrEqual", binary::compare),
    ("Log", unary::write),
    ("LogSoftmax", activation::softmax),
    ("MatMul", matmul::matmul),
    ("MatMulInteger", matmul::integer),
    ("Max", binary::variadic),
    ("MaxPool", pool::write),
    ("Mean", binary::variadic),
    ("Min", binary::variadic),
    ("Mish", activation::mish),
    ("Mod", binary::write),
    ("Mul", binary::write),
    ("Neg", unary::write),
    ("NonZero", gather::non_zero),
    ("Not", unary::write),
    ("OneHot", gather::one_hot),
    ("Or", binary::logic),
    ("PRelu", activation::prelu),
    ("Pad", pad::write),
    ("Pow", binary::pow),
    ("QuantizeLinear", quantize::quantize),
    ("Range", repeat::range),
    ("Reciprocal", unary::write),
    ("ReduceL1", reduce::write),
    ("ReduceL2", reduce::write),
    ("ReduceLogSum", reduce::write),
    ("ReduceLogSumExp", reduce::write),
    ("ReduceMax", reduce::write),
    ("ReduceMean", reduce::write),
    ("ReduceMin", reduce::write),
    ("ReduceProd", reduce::write),
    ("ReduceSum", reduce::write),
    ("ReduceSumSquare", reduce::write),
    ("Relu", unary::write),
    ("Reshape", shapes::reshape),
    ("Resize", resize::write),
    ("ReverseSequence", repeat::reverse_sequence),
    ("Round", unary::write),
    ("ScatterElements", gather::scatter_elements),
    ("ScatterND", gather::scatter_nd),
    ("Selu", activation::selu),
    ("Shape", shapes::shape),
    ("Shrink", activation::shrink),
    ("Sigmoid", unary::write),
    ("Sign", unary::write),
    ("Sin", unary::write),
    ("Sinh", unary::write),
    ("Size", shapes::size),
    ("Slice", slice::write),
    ("Softmax", activation::softmax),
    ("Softplus", unary::write),
    ("Softsign", unary::write),
    ("SpaceToDepth", shapes::blocks),
    ("Split", join::split),
    ("Sqrt", unary::write),
    ("Squeeze", shapes::squeeze),
    ("Sub", binary::write),
    ("Sum", binary::variadic),
    ("Tan", unary::write),
    ("Tanh", unary::write),
    ("ThresholdedRelu", activation::thresholded_relu),
    ("Tile", repeat::tile),
    ("TopK", arg::top_k),
    ("Transpose", shapes::transpose),
    ("Trilu", repeat::triangle),
    ("Unsqueeze", shapes::unsqueeze),
    ("Where", binary::select),
    ("Xor", binary::compare),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_operator_is_listed_once() {
        let all: Vec<&str> = names().collect();
        assert!(all.is_sorted_by(|one, two| one < two));
    }
}
