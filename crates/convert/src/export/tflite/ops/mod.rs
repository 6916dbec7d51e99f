//! The operators, a file for each or for a small family.

mod activation;
mod arithmetic;
mod cast;
mod convolution;
mod fill;
mod gather;
mod join;
mod matmul;
mod moves;
mod order;
mod pad;
mod pool;
mod reduce;
mod resize;
mod slice;
mod softmax;
mod space;
mod transposed;
mod unary;

use modelyard_graph::{CHANNELS_LAST, Node};

use super::stop::{Stop, refused};
use super::writer::Writer;

/// Writes a node.
pub(super) type Write = for<'a> fn(&mut Writer<'a>, &'a Node) -> Result<(), Stop>;

/// What writes each operator of ONNX.
const OPERATORS: &[(&str, Write)] = &[
    ("Abs", unary::direct),
    ("Add", arithmetic::binary),
    ("And", arithmetic::logical),
    ("ArgMax", order::arg),
    ("ArgMin", order::arg),
    ("Cast", cast::write),
    ("Ceil", unary::direct),
    ("Celu", activation::write),
    ("Clip", activation::clip),
    ("Concat", join::concat),
    ("Constant", fill::constant),
    ("ConstantOfShape", fill::constant_of_shape),
    ("Cos", unary::direct),
    ("Cosh", unary::composed),
    ("CumSum", order::cumulative),
    ("DequantizeLinear", |cx, node| cx.write_dequantize(node)),
    ("Div", arithmetic::binary),
    ("Dropout", moves::identity),
    ("Elu", activation::write),
    ("Equal", arithmetic::compare),
    ("Erf", unary::composed),
    ("Exp", unary::direct),
    ("Expand", fill::expand),
    ("Flatten", moves::reshape),
    ("Floor", unary::direct),
    ("Gather", gather::gather),
    ("GatherND", gather::gather_nd),
    ("Gelu", activation::write),
    ("Gemm", matmul::gemm),
    ("Greater", arithmetic::compare),
    ("GreaterOrEqual", arithmetic::compare),
    ("HardSigmoid", activation::write),
    ("HardSwish", activation::write),
    ("Identity", moves::identity),
    ("IsNaN", unary::composed),
    ("LeakyRelu", activation::write),
    ("Less", arithmetic::compare),
    ("LessOrEqual", arithmetic::compare),
    ("Log", unary::direct),
    ("LogSoftmax", softmax::write),
    ("MatMul", matmul::matmul),
    ("Max", arithmetic::variadic),
    ("Mean", arithmetic::variadic),
    ("Min", arithmetic::variadic),
    ("Mish", activation::write),
    ("Mod", arithmetic::modulo),
    ("Mul", arithmetic::binary),
    ("Neg", unary::direct),
    ("NonZero", gather::non_zero),
    ("Not", unary::direct),
    ("OneHot", gather::one_hot),
    ("Or", arithmetic::logical),
    ("PRelu", activation::write),
    ("Pad", pad::write),
    ("Pow", arithmetic::power),
    ("QuantizeLinear", |cx, node| cx.write_quantize(node)),
    ("Range", fill::range),
    ("Reciprocal", unary::composed),
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
    ("Relu", activation::write),
    ("Reshape", moves::reshape),
    ("Round", unary::direct),
    ("Selu", activation::write),
    ("Shape", fill::shape),
    ("Sigmoid", activation::write),
    ("Sign", unary::direct),
    ("Sin", unary::direct),
    ("Sinh", unary::composed),
    ("Slice", slice::write),
    ("Softmax", softmax::write),
    ("Softplus", activation::write),
    ("Softsign", activation::write),
    ("Split", join::split),
    ("Sqrt", unary::direct),
    ("Squeeze", moves::squeeze),
    ("Sub", arithmetic::binary),
    ("Sum", arithmetic::variadic),
    ("Tan", unary::composed),
    ("Tanh", activation::write),
    ("ThresholdedRelu", activation::write),
    ("Tile", moves::tile),
    ("TopK", order::top_k),
    ("Transpose", moves::transpose),
    ("Trilu", fill::triangle),
    ("Unsqueeze", moves::unsqueeze),
    ("Where", arithmetic::select),
    ("Xor", arithmetic::logical),
];

/// What writes operators whose images have their channels last.
const IMAGES: &[(&str, Write)] = &[
    ("AveragePool", pool::write),
    ("Conv", convolution::write),
    ("ConvTranspose", transposed::write),
    ("DepthToSpace", space::blocks),
    ("LRN", space::response_normalization),
    ("MaxPool", pool::write),
    ("Resize", resize::write),
    ("SpaceToDepth", space::blocks),
];

/// What writes a node.
pub(super) fn find(node: &Node) -> Option<Write> {
    let list = match node.domain.as_str() {
        "" => OPERATORS,
        CHANNELS_LAST => IMAGES,
        _ => return None,
    };
    let found = list.iter().find(|(operator, _)| *operator == node.op_type);
    found.map(|(_, write)| *write)
}

/// The names of all operators.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    OPERATORS.iter().chain(IMAGES).map(|(operator, _)| *operator)
}

/// Why a node has no counterpart.
pub(super) fn unknown(node: &Node) -> Stop {
    let way_out = match node.op_type.as_str() {
        "If" | "Loop" | "Scan" => {
            "export the model without control flow, for inputs of fixed sizes"
        }
        "LSTM" | "GRU" | "RNN" => "run the model as ONNX, or export its TensorFlow original",
        _ => "write it with simpler operators where the model was trained",
    };
    refused("the operator", way_out)
}
