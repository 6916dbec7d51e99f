//! The operators of MXNet: one file for each, or for a family of alike ones. Each says the shape of
//! its outputs, writes ONNX, and evaluates by MXNet's definition.
//!
//! Adding one is a file and a line in [`OPERATORS`].

mod activation;
mod arithmetic;
mod attention;
mod batch_norm;
mod box_nms;
mod boxes;
mod broadcast;
mod cast;
mod clip;
mod comparison;
mod concat;
mod convolution;
mod create;
mod deconvolution;
mod deformable;
mod depth;
mod dims;
mod dot;
mod fully_connected;
mod group_norm;
mod identity;
mod index;
mod l2_normalization;
mod layer_norm;
mod leaky_relu;
mod order;
mod pad;
mod pooling;
mod reduce;
mod reshape;
mod resize;
pub(super) mod rnn;
mod roi_align;
mod scalar;
mod select;
mod sequence;
mod slice;
mod softmax;
mod split;
mod tile;
mod transpose;
mod unary;

use modelyard_graph::ElementType;

use super::attributes::Attributes;
use super::infer::Info;
use super::problem::Problem;
use super::site::Site;
use super::symbol::Node;
use crate::EvaluateError;
use crate::reference::Array;

/// One node, as its operator sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Op<'a> {
    /// The name of the operator: a file may hold several.
    pub(super) operator: &'a str,
    pub(super) attributes: &'a Attributes,
}

impl<'a> Op<'a> {
    pub(super) fn of(node: &'a Node) -> Op<'a> {
        Op { operator: &node.operator, attributes: &node.attributes }
    }
}

/// What an operator can do.
pub(super) struct Operator {
    /// All its names.
    pub(super) names: &'static [&'static str],
    /// Shapes and types of the outputs; as many as may be used.
    pub(super) infer: fn(&Op<'_>, &[Info]) -> Result<Vec<Info>, Problem>,
    /// Writes ONNX; the names of the outputs.
    pub(super) convert: fn(&mut Site<'_>) -> Result<Vec<String>, Problem>,
    /// The outputs.
    pub(super) evaluate: fn(&Op<'_>, &[&Array]) -> Result<Vec<Array>, EvaluateError>,
}

const OPERATORS: &[Operator] = &[
    activation::OPERATOR,
    arithmetic::OPERATOR,
    attention::SCALE,
    attention::SCORES,
    attention::VALUES,
    batch_norm::OPERATOR,
    box_nms::OPERATOR,
    boxes::DECODE,
    boxes::PRIOR,
    broadcast::OPERATOR,
    cast::OPERATOR,
    clip::OPERATOR,
    comparison::OPERATOR,
    concat::ADD_N,
    concat::CONCAT,
    concat::STACK,
    convolution::OPERATOR,
    create::FILL,
    create::LIKE,
    create::RANGE,
    create::SHAPE,
    deconvolution::OPERATOR,
    deformable::OPERATOR,
    depth::OPERATOR,
    dims::EXPAND,
    dims::SQUEEZE,
    dot::BATCH_DOT,
    dot::DOT,
    fully_connected::OPERATOR,
    group_norm::GROUP,
    group_norm::INSTANCE,
    identity::OPERATOR,
    index::EMBEDDING,
    index::GATHER,
    index::ONE_HOT,
    index::PICK,
    index::TAKE,
    l2_normalization::L2,
    l2_normalization::LRN,
    layer_norm::OPERATOR,
    leaky_relu::OPERATOR,
    order::OPERATOR,
    pad::OPERATOR,
    pooling::OPERATOR,
    reduce::ARG,
    reduce::OPERATOR,
    reshape::FLATTEN,
    reshape::LIKE,
    reshape::RESHAPE,
    resize::ADAPTIVE,
    resize::BILINEAR,
    resize::UP,
    rnn::OPERATOR,
    roi_align::OPERATOR,
    scalar::OPERATOR,
    select::OPERATOR,
    sequence::OPERATOR,
    slice::AXIS,
    slice::CROP,
    slice::LIKE,
    slice::SLICE,
    softmax::LOSS,
    softmax::OPERATOR,
    split::OPERATOR,
    tile::REPEAT,
    tile::REVERSE,
    tile::TILE,
    transpose::SWAP,
    transpose::TRANSPOSE,
    unary::OPERATOR,
];

/// The operator of this name.
pub(super) fn find(name: &str) -> Option<&'static Operator> {
    OPERATORS.iter().find(|operator| operator.names.contains(&name))
}

/// The names of all operators.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    OPERATORS.iter().flat_map(|operator| operator.names).copied()
}

/// What to say about an operator that is not known.
pub(super) fn unknown(name: &str) -> Problem {
    let way_out = match name {
        _ if name.contains("quantize") || name.starts_with("_sg_mkldnn") => {
            "convert the model before it was quantized, and quantize the result"
        }
        "_foreach" | "_while_loop" | "_cond" => "unroll the loop before exporting",
        "_contrib_MultiBoxDetection" => {
            "take the outputs before it: class probabilities and box offsets"
        }
        "Custom" => "its code is not in the model; replace it before exporting",
        _ => "replace it before exporting",
    };
    Problem::refused("the operator", way_out)
}

/// Losses answer with their first input when nobody trains; the label is of no use then.
pub(super) fn has_label(operator: &str) -> bool {
    softmax::LABELLED.contains(&operator)
}

/// The name of an output, as `list_outputs` says it.
pub(super) fn output_name(node: &Node, output: usize) -> String {
    let name = &node.name;
    match node.operator.as_str() {
        "SliceChannel" | "split" | "_split_v2" => format!("{name}_output{output}"),
        "BatchNorm" | "BatchNorm_v1" => {
            format!("{name}_{}", ["output", "mean", "var"].get(output).copied().unwrap_or("output"))
        }
        // These have more outputs than anybody sees.
        "sort" | "_contrib_box_nms" | "_contrib_box_non_maximum_suppression" => {
            format!("{name}_output{output}")
        }
        "topk" if !matches!(node.attributes.text("ret_typ"), None | Some("indices")) => {
            format!("{name}_output{output}")
        }
        "RNN" => {
            let names = ["output", "state_output", "statecell_output"];
            format!("{name}_{}", names.get(output).copied().unwrap_or("output"))
        }
        _ if output == 0 => format!("{name}_output"),
        _ => format!("{name}_output{output}"),
    }
}

/// The element type of a code of `mshadow`.
pub(super) fn kind_of_code(code: i64) -> Option<ElementType> {
    Some(match code {
        0 => ElementType::Float32,
        1 => ElementType::Float64,
        2 => ElementType::Float16,
        3 => ElementType::Uint8,
        4 => ElementType::Int32,
        5 => ElementType::Int8,
        6 => ElementType::Int64,
        7 => ElementType::Bool,
        _ => return None,
    })
}

/// The element type of an attribute such as `dtype=float32`.
fn kind_of(attributes: &Attributes, key: &str) -> Result<Option<ElementType>, Problem> {
    let Some(text) = attributes.text(key) else { return Ok(None) };
    let kind = match text {
        "float32" => Some(ElementType::Float32),
        "float64" => Some(ElementType::Float64),
        "float16" => Some(ElementType::Float16),
        "uint8" => Some(ElementType::Uint8),
        "int32" => Some(ElementType::Int32),
        "int8" => Some(ElementType::Int8),
        "int64" => Some(ElementType::Int64),
        "bool" => Some(ElementType::Bool),
        code => code.parse().ok().and_then(kind_of_code),
    };
    kind.map(Some).ok_or_else(|| Problem::shape(format!("there is no type '{text}'")))
}

/// The input at `index`, or an error that says how many there are.
fn at<'a>(inputs: &[&'a Array], index: usize) -> Result<&'a Array, EvaluateError> {
    inputs.get(index).copied().ok_or_else(|| {
        let found = inputs.len();
        EvaluateError::new(format!("expected at least {} inputs, found {found}", index + 1))
    })
}

/// The shape of the input at `index`.
fn info(inputs: &[Info], index: usize) -> Result<&Info, Problem> {
    inputs.get(index).ok_or_else(|| {
        let found = inputs.len();
        Problem::shape(format!("expected at least {} inputs, found {found}", index + 1))
    })
}

/// An operator that has the shape and type of its first input.
fn same(_: &Op<'_>, inputs: &[Info]) -> Result<Vec<Info>, Problem> {
    Ok(vec![info(inputs, 0)?.clone()])
}

impl From<Problem> for EvaluateError {
    fn from(problem: Problem) -> Self {
        EvaluateError::new(problem.to_string())
    }
}
