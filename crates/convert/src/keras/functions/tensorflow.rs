//! What TensorFlow calls the functions, in files of Keras 2 (`TFOpLambda`, `SlicingOpLambda`).

/// Names in TensorFlow, the name here, and what TensorFlow calls the arguments in their order here.
type Row = (&'static [&'static str], &'static str, &'static [&'static str]);

const XY: &[&str] = &["x", "y"];
const X: &[&str] = &["x"];
const REDUCE: &[&str] = &["input_tensor", "axis", "keepdims"];

const FUNCTIONS: &[Row] = &[
    (&["__operators__.add", "math.add", "add"], "Add", XY),
    (&["math.subtract", "subtract"], "Subtract", XY),
    (&["math.multiply", "multiply"], "Multiply", XY),
    (&["math.truediv", "truediv", "math.divide", "realdiv", "divide"], "Divide", XY),
    (&["math.floordiv", "floordiv"], "FloorDivide", XY),
    (&["math.floormod", "math.mod"], "Mod", XY),
    (&["math.pow", "pow"], "Power", XY),
    (&["math.maximum", "maximum"], "Maximum", XY),
    (&["math.minimum", "minimum"], "Minimum", XY),
    (&["math.squared_difference"], "SquaredDifference", XY),
    (&["math.equal", "__operators__.eq", "equal"], "Equal", XY),
    (&["math.not_equal", "__operators__.ne", "not_equal"], "NotEqual", XY),
    (&["math.less", "less"], "Less", XY),
    (&["math.less_equal", "less_equal"], "LessEqual", XY),
    (&["math.greater", "greater"], "Greater", XY),
    (&["math.greater_equal", "greater_equal"], "GreaterEqual", XY),
    (&["math.logical_and", "__operators__.logical_and"], "LogicalAnd", XY),
    (&["math.logical_or", "__operators__.logical_or"], "LogicalOr", XY),
    (&["math.logical_xor", "__operators__.logical_xor"], "LogicalXor", XY),
    (&["math.logical_not", "__operators__.logical_not"], "LogicalNot", X),
    (&["math.abs", "abs"], "Absolute", X),
    (&["math.negative", "negative"], "Negative", X),
    (&["math.sign", "sign"], "Sign", X),
    (&["math.square", "square"], "Square", X),
    (&["math.sqrt", "sqrt"], "Sqrt", X),
    (&["math.rsqrt"], "Rsqrt", X),
    (&["math.reciprocal"], "Reciprocal", X),
    (&["math.exp", "exp"], "Exp", X),
    (&["math.expm1"], "Expm1", X),
    (&["math.log"], "Log", X),
    (&["math.log1p"], "Log1p", X),
    (&["math.sin", "sin"], "Sin", X),
    (&["math.cos", "cos"], "Cos", X),
    (&["math.tan", "tan"], "Tan", X),
    (&["math.floor", "floor"], "Floor", X),
    (&["math.ceil"], "Ceil", X),
    (&["math.round", "round"], "Round", X),
    (&["math.erf"], "Erf", X),
    (&["math.tanh", "tanh", "nn.tanh"], "Tanh", X),
    (&["math.sigmoid", "sigmoid", "nn.sigmoid"], "Sigmoid", X),
    (&["math.softplus", "nn.softplus"], "Softplus", &["features"]),
    (&["nn.relu"], "Relu", &["features"]),
    (&["nn.relu6"], "Relu6", &["features"]),
    (&["nn.elu"], "Elu", &["features"]),
    (&["nn.selu"], "Selu", &["features"]),
    (&["nn.softsign"], "Softsign", &["features"]),
    (&["nn.silu", "nn.swish"], "Silu", &["features"]),
    (&["nn.leaky_relu"], "LeakyRelu", &["features", "alpha"]),
    (&["nn.gelu"], "Gelu", &["features", "approximate"]),
    (&["nn.softmax"], "Softmax", &["logits", "axis"]),
    (&["nn.log_softmax"], "LogSoftmax", &["logits", "axis"]),
    (&["nn.l2_normalize", "math.l2_normalize"], "Normalize", &["x", "axis"]),
    (&["clip_by_value"], "Clip", &["t", "clip_value_min", "clip_value_max"]),
    (&["where"], "Where", &["condition", "x", "y"]),
    (&["cast"], "Cast", &["x", "dtype"]),
    (&["identity"], "Identity", &["input"]),
    (&["stop_gradient"], "StopGradient", &["input"]),
    (&["convert_to_tensor"], "ConvertToTensor", &["value"]),
    (&["zeros_like"], "ZerosLike", &["input", "dtype"]),
    (&["ones_like"], "OnesLike", &["input", "dtype"]),
    (&["math.reduce_sum"], "Sum", REDUCE),
    (&["math.reduce_mean"], "Mean", REDUCE),
    (&["math.reduce_max"], "Max", REDUCE),
    (&["math.reduce_min"], "Min", REDUCE),
    (&["math.reduce_prod"], "Prod", REDUCE),
    (&["math.reduce_any"], "Any", REDUCE),
    (&["math.reduce_all"], "All", REDUCE),
    (&["math.reduce_variance"], "Var", REDUCE),
    (&["math.reduce_std"], "Std", REDUCE),
    (&["math.reduce_logsumexp"], "Logsumexp", REDUCE),
    (&["math.argmax", "argmax"], "Argmax", &["input", "axis"]),
    (&["math.argmin", "argmin"], "Argmin", &["input", "axis"]),
    (&["norm"], "Norm", &["tensor", "ord", "axis", "keepdims"]),
    (&["reshape"], "Reshape", &["tensor", "shape"]),
    (&["squeeze"], "Squeeze", &["input", "axis"]),
    (&["expand_dims"], "ExpandDims", &["input", "axis"]),
    (&["transpose"], "Transpose", &["a", "perm"]),
    (&["broadcast_to"], "BroadcastTo", &["input", "shape"]),
    (&["tile"], "Tile", &["input", "multiples"]),
    (&["repeat"], "Repeat", &["input", "repeats", "axis"]),
    (&["reverse"], "Flip", &["tensor", "axis"]),
    (&["pad"], "Pad", &["tensor", "paddings", "mode", "constant_values"]),
    (&["concat"], "Concatenate", &["values", "axis"]),
    (&["stack"], "Stack", &["values", "axis"]),
    (&["math.add_n"], "AddN", &["inputs"]),
    (&["split"], "SplitSizes", &["value", "num_or_size_splits", "axis"]),
    (&["unstack"], "Unstack", &["value", "num", "axis"]),
    (&["__operators__.getitem"], "GetItem", &["tensor", "slice_spec"]),
    (&["gather"], "Take", &["params", "indices", "axis"]),
    (&["math.cumsum", "cumsum"], "Cumsum", &["x", "axis"]),
    (&["math.top_k"], "TopK", &["input", "k", "sorted"]),
    (&["linalg.matmul", "matmul"], "Matmul", &["a", "b", "transpose_a", "transpose_b"]),
    (&["one_hot"], "OneHot", &["indices", "depth", "axis", "dtype"]),
    (&["image.resize"], "Resize", &["images", "size", "method", "antialias"]),
];

/// The name here, and what the arguments are called.
pub(crate) fn find(function: &str) -> Option<(&'static str, &'static [&'static str])> {
    let name = function.trim_start_matches("tf.").trim_start_matches("compat.v1.");
    let row = FUNCTIONS.iter().find(|(names, ..)| names.contains(&name))?;
    Some((row.1, row.2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keras::functions::entry;

    #[test]
    fn every_name_leads_to_a_function_with_as_many_parameters() {
        for (names, own, parameters) in FUNCTIONS {
            let entry = entry(own).unwrap_or_else(|| panic!("{own} is missing"));
            assert!(parameters.len() <= entry.parameters.len(), "{names:?}");
        }
    }

    #[test]
    fn names_come_with_and_without_the_package() {
        assert_eq!(find("tf.math.add").map(|found| found.0), Some("Add"));
        assert_eq!(find("__operators__.getitem").map(|found| found.0), Some("GetItem"));
        assert_eq!(find("math.lgamma"), None);
    }
}
