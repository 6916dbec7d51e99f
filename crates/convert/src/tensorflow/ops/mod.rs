//! The operators: each with its conversion to ONNX and, written apart from it, what it computes by
//! TensorFlow's definition.
//!
//! A new operator is a file here (or a line in the file of its family) and a line in [`OPERATORS`].

mod activation;
mod add_n;
mod arg;
mod band_part;
mod batch_norm;
mod batch_space;
mod bias_add;
mod binary;
mod broadcast_args;
mod bucketize;
mod cast;
mod clip;
mod complex;
mod concat;
mod conv;
mod conv_transpose;
mod crop_and_resize;
mod cumulative;
mod depth_space;
mod dims;
mod einsum;
mod fake_quant;
mod fill;
mod gather;
mod l2_loss;
mod layout;
mod logical;
mod lookup;
mod lrn;
mod matmul;
mod one_hot;
mod pad;
mod placeholder;
mod pool;
mod range;
mod reduce;
mod reshape;
mod resize;
mod reverse;
mod roll;
mod scatter;
mod select;
mod shape;
mod slice;
mod softmax;
mod spectral;
mod split;
mod squeeze;
mod stack;
mod strided_slice;
mod suppression;
mod tile;
mod top_k;
mod transpose;
mod unary;
mod where_true;
mod window;

use std::sync::Arc;

pub(super) use reshape::Size;

use super::attrs::Attrs;
use super::context::{Call, Context, Converted};
use super::graph::Node;
use super::tables::Table;
use crate::EvaluateError;
use crate::reference::Array;

/// What is known of an operator.
pub(super) struct Operator {
    name: &'static str,
    pub(super) convert: fn(&mut Context<'_>, &Call<'_>) -> Converted,
    pub(super) evaluate: fn(&Given<'_>) -> Evaluated,
}

/// What the evaluation of a node gives.
pub(super) type Evaluated = Result<Vec<Array>, EvaluateError>;

/// What a node is evaluated with.
pub(super) struct Given<'a> {
    pub(super) node: &'a Node,
    /// Its inputs, without handles.
    pub(super) inputs: Vec<Arc<Array>>,
    /// The table that its handle stands for.
    pub(super) table: Option<&'a Table>,
}

impl Given<'_> {
    /// The input of this number.
    pub(super) fn input(&self, index: usize) -> Result<&Array, EvaluateError> {
        let found = self.inputs.get(index).map(Arc::as_ref);
        found.ok_or_else(|| EvaluateError::new(format!("input {index} is missing")))
    }

    /// The integers of an input.
    pub(super) fn integers(&self, index: usize) -> Result<Vec<i64>, EvaluateError> {
        Ok(self.input(index)?.as_ints()?.to_vec())
    }

    /// The only integer of an input.
    pub(super) fn integer(&self, index: usize) -> Result<i64, EvaluateError> {
        match self.input(index)?.as_ints()? {
            [one] => Ok(*one),
            found => {
                let message = format!("expected one integer, found {}", found.len());
                Err(EvaluateError::new(message))
            }
        }
    }

    /// The only number of an input.
    pub(super) fn number(&self, index: usize) -> Result<f64, EvaluateError> {
        match self.input(index)?.to_f64s()?.as_slice() {
            [one] => Ok(*one),
            found => {
                let message = format!("expected one number, found {}", found.len());
                Err(EvaluateError::new(message))
            }
        }
    }

    pub(super) fn attrs(&self) -> &Attrs {
        &self.node.attrs
    }
}

/// Sizes of an input that are given as integers; an error for those below 0.
fn sizes(values: &[i64]) -> Result<Vec<usize>, EvaluateError> {
    let size = |&value: &i64| {
        let negative = || EvaluateError::new(format!("{values:?} are no sizes"));
        usize::try_from(value).map_err(|_| negative())
    };
    values.iter().map(size).collect()
}

/// The operator of this name.
pub(super) fn find(name: &str) -> Option<&'static Operator> {
    OPERATORS.iter().find(|operator| operator.name == name)
}

/// The names of all operators.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    OPERATORS.iter().map(|operator| operator.name)
}

/// Whether an operator takes complex numbers: pairs of floats in one more dimension.
pub(super) fn takes_complex(name: &str) -> bool {
    matches!(name, "ComplexAbs" | "Conj" | "IFFT" | "FFT" | "IRFFT" | "Imag" | "Real")
}

macro_rules! operators {
    ($($name:literal => $module:ident,)*) => {
        const OPERATORS: &[Operator] = &[$(Operator {
            name: $name,
            convert: $module::convert,
            evaluate: $module::evaluate,
        },)*];
    };
}

operators! {
    "Abs" => unary,
    "Acos" => unary,
    "Acosh" => unary,
    "Add" => binary,
    "AddN" => add_n,
    "AddV2" => binary,
    "All" => reduce,
    "Any" => reduce,
    "ArgMax" => arg,
    "ArgMin" => arg,
    "Asin" => unary,
    "Asinh" => unary,
    "Atan" => unary,
    "Atan2" => binary,
    "Atanh" => unary,
    "AvgPool" => pool,
    "AvgPool3D" => pool,
    "BatchMatMul" => matmul,
    "BatchMatMulV2" => matmul,
    "BatchMatMulV3" => matmul,
    "BatchToSpaceND" => batch_space,
    "BiasAdd" => bias_add,
    "BiasAddV1" => bias_add,
    "BroadcastArgs" => broadcast_args,
    "BroadcastTo" => tile,
    "Bucketize" => bucketize,
    "Cast" => cast,
    "Ceil" => unary,
    "ClipByValue" => clip,
    "Complex" => complex,
    "ComplexAbs" => complex,
    "Concat" => concat,
    "ConcatV2" => concat,
    "Conj" => complex,
    "Conv2D" => conv,
    "Conv2DBackpropInput" => conv_transpose,
    "Conv3D" => conv,
    "Conv3DBackpropInputV2" => conv_transpose,
    "Cos" => unary,
    "Cosh" => unary,
    "CropAndResize" => crop_and_resize,
    "Cumprod" => cumulative,
    "Cumsum" => cumulative,
    "DepthToSpace" => depth_space,
    "DepthwiseConv2dNative" => conv,
    "Div" => binary,
    "DivNoNan" => binary,
    "Einsum" => einsum,
    "Elu" => unary,
    "Equal" => logical,
    "Erf" => unary,
    "Erfc" => unary,
    "EuclideanNorm" => reduce,
    "Exp" => unary,
    "ExpandDims" => squeeze,
    "Expm1" => unary,
    "FFT" => spectral,
    "FakeQuantWithMinMaxArgs" => fake_quant,
    "FakeQuantWithMinMaxVars" => fake_quant,
    "FakeQuantWithMinMaxVarsPerChannel" => fake_quant,
    "Fill" => fill,
    "Floor" => unary,
    "FloorDiv" => binary,
    "FloorMod" => binary,
    "FusedBatchNorm" => batch_norm,
    "FusedBatchNormV2" => batch_norm,
    "FusedBatchNormV3" => batch_norm,
    "Gather" => gather,
    "GatherNd" => gather,
    "GatherV2" => gather,
    "Greater" => logical,
    "GreaterEqual" => logical,
    "IFFT" => spectral,
    "IRFFT" => spectral,
    "Imag" => complex,
    "Inv" => unary,
    "InvertPermutation" => scatter,
    "IsFinite" => unary,
    "IsInf" => unary,
    "IsNan" => unary,
    "L2Loss" => l2_loss,
    "LRN" => lrn,
    "LeakyRelu" => activation,
    "Less" => logical,
    "LessEqual" => logical,
    "LinSpace" => range,
    "Log" => unary,
    "Log1p" => unary,
    "LogSoftmax" => softmax,
    "LogicalAnd" => logical,
    "LogicalNot" => unary,
    "LogicalOr" => logical,
    "LookupTableFind" => lookup,
    "LookupTableFindV2" => lookup,
    "MatMul" => matmul,
    "MatrixBandPart" => band_part,
    "Max" => reduce,
    "MaxPool" => pool,
    "MaxPool3D" => pool,
    "MaxPoolV2" => pool,
    "Maximum" => binary,
    "Mean" => reduce,
    "Min" => reduce,
    "Minimum" => binary,
    "MirrorPad" => pad,
    "Mod" => binary,
    "Mul" => binary,
    "MulNoNan" => binary,
    "Neg" => unary,
    "NonMaxSuppression" => suppression,
    "NonMaxSuppressionV2" => suppression,
    "NonMaxSuppressionV3" => suppression,
    "NonMaxSuppressionV4" => suppression,
    "NonMaxSuppressionV5" => suppression,
    "NotEqual" => logical,
    "OneHot" => one_hot,
    "OnesLike" => fill,
    "Pack" => stack,
    "Pad" => pad,
    "PadV2" => pad,
    "PlaceholderWithDefault" => placeholder,
    "Pow" => binary,
    "Prod" => reduce,
    "QuantizeAndDequantizeV2" => fake_quant,
    "QuantizeAndDequantizeV3" => fake_quant,
    "QuantizeAndDequantizeV4" => fake_quant,
    "RFFT" => spectral,
    "Range" => range,
    "Rank" => shape,
    "Real" => complex,
    "RealDiv" => binary,
    "Reciprocal" => unary,
    "Relu" => unary,
    "Relu6" => unary,
    "Reshape" => reshape,
    "ResizeBilinear" => resize,
    "ResizeNearestNeighbor" => resize,
    "ResourceGather" => gather,
    "ReverseSequence" => reverse,
    "ReverseV2" => reverse,
    "Rint" => unary,
    "Roll" => roll,
    "Round" => unary,
    "Rsqrt" => unary,
    "ScatterNd" => scatter,
    "Select" => select,
    "SelectV2" => select,
    "Selu" => unary,
    "Shape" => shape,
    "ShapeN" => shape,
    "Sigmoid" => unary,
    "Sign" => unary,
    "Sin" => unary,
    "Sinh" => unary,
    "Size" => shape,
    "Slice" => slice,
    "Softmax" => softmax,
    "Softplus" => unary,
    "Softsign" => unary,
    "SpaceToBatchND" => batch_space,
    "SpaceToDepth" => depth_space,
    "Split" => split,
    "SplitV" => split,
    "Sqrt" => unary,
    "Square" => unary,
    "SquaredDifference" => binary,
    "Squeeze" => squeeze,
    "StridedSlice" => strided_slice,
    "Sub" => binary,
    "Sum" => reduce,
    "Tan" => unary,
    "Tanh" => unary,
    "TensorScatterAdd" => scatter,
    "TensorScatterMax" => scatter,
    "TensorScatterMin" => scatter,
    "TensorScatterSub" => scatter,
    "TensorScatterUpdate" => scatter,
    "Tile" => tile,
    "TopK" => top_k,
    "TopKV2" => top_k,
    "Transpose" => transpose,
    "TruncateDiv" => binary,
    "TruncateMod" => binary,
    "Unpack" => stack,
    "Where" => where_true,
    "Xdivy" => binary,
    "Xlogy" => binary,
    "ZerosLike" => fill,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_operator_is_listed_once() {
        let all: Vec<&str> = names().collect();
        assert!(all.is_sorted_by(|one, two| one < two));
    }
}
