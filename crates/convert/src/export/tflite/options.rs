//! Parameters of operators: tables of TensorFlow Lite's schema, by the number of the table in the
//! union of all of them.

use super::flatbuffer::Table;
use crate::tflite::schema::{Activation, Padding};

/// Parameters of an operator.
#[derive(Clone, Debug)]
pub(super) struct Options {
    /// Which table it is.
    pub(super) kind: i8,
    pub(super) table: Table,
}

fn options(kind: i8, table: Table) -> Options {
    Options { kind, table }
}

/// Tables without fields, by operator. `None` for operators that have no table.
pub(super) fn none(operator: &str) -> Option<Options> {
    const KINDS: &[(&str, i8)] = &[
        ("ABS", 78),
        ("BROADCAST_TO", 104),
        ("COS", 84),
        ("DEQUANTIZE", 38),
        ("EQUAL", 53),
        ("EXP", 33),
        ("EXPAND_DIMS", 52),
        ("FILL", 68),
        ("FLOOR_DIV", 65),
        ("FLOOR_MOD", 72),
        ("GATHER_ND", 83),
        ("GREATER", 44),
        ("GREATER_EQUAL", 45),
        ("HARD_SWISH", 91),
        ("LESS", 41),
        ("LESS_EQUAL", 46),
        ("LOGICAL_AND", 61),
        ("LOGICAL_NOT", 62),
        ("LOGICAL_OR", 60),
        ("LOG_SOFTMAX", 36),
        ("MAXIMUM", 39),
        ("MINIMUM", 39),
        ("NEG", 42),
        ("NOT_EQUAL", 54),
        ("PAD", 22),
        ("PADV2", 43),
        ("POW", 56),
        ("QUANTIZE", 89),
        ("RANGE", 73),
        ("RESHAPE", 17),
        ("REVERSE_V2", 81),
        ("SELECT_V2", 98),
        ("SIGN", 0),
        ("SLICE", 48),
        ("SQUARE", 66),
        ("TILE", 51),
        ("TOPK_V2", 34),
        ("TRANSPOSE", 26),
        ("WHERE", 85),
    ];
    let (_, kind) = KINDS.iter().find(|(name, kind)| *name == operator && *kind != 0)?;
    Some(options(*kind, Table::new()))
}

fn padding(padding: Padding) -> i8 {
    match padding {
        Padding::Same => 0,
        Padding::Valid => 1,
    }
}

/// The number of an activation.
pub(super) fn activation(activation: Activation) -> i8 {
    match activation {
        Activation::None => 0,
        Activation::Relu => 1,
        Activation::ReluN1To1 => 2,
        Activation::Relu6 => 3,
        Activation::Tanh => 4,
    }
}

/// How a window slides over an image; each pair is height, then width.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slide {
    pub(super) padding: Padding,
    pub(super) strides: [i32; 2],
    pub(super) dilations: [i32; 2],
}

pub(super) fn conv(slide: Slide, fused: Activation) -> Options {
    let [height, width] = slide.strides;
    let table = Table::new().byte(0, padding(slide.padding)).int(1, width).int(2, height);
    let [height, width] = slide.dilations;
    options(1, table.byte(3, activation(fused)).int(4, width).int(5, height))
}

pub(super) fn depthwise(slide: Slide, multiplier: i32, fused: Activation) -> Options {
    let [height, width] = slide.strides;
    let table = Table::new().byte(0, padding(slide.padding)).int(1, width).int(2, height);
    let [height, width] = slide.dilations;
    let table = table.int(3, multiplier).byte(4, activation(fused));
    options(2, table.int(5, width).int(6, height))
}

/// Three dimensions: depth, height, width.
pub(super) fn conv_3d(
    same: Padding,
    strides: [i32; 3],
    dilations: [i32; 3],
    fused: Activation,
) -> Options {
    let [depth, height, width] = strides;
    let table = Table::new().byte(0, padding(same)).int(1, depth).int(2, width).int(3, height);
    let [depth, height, width] = dilations;
    let table = table.byte(4, activation(fused)).int(5, depth).int(6, width).int(7, height);
    options(106, table)
}

pub(super) fn transpose_conv(slide: Slide, fused: Activation) -> Options {
    let [height, width] = slide.strides;
    let table = Table::new().byte(0, padding(slide.padding)).int(1, width).int(2, height);
    options(49, table.byte(3, activation(fused)))
}

pub(super) fn pool(slide: Slide, [height, width]: [i32; 2], fused: Activation) -> Options {
    let [stride_h, stride_w] = slide.strides;
    let table = Table::new().byte(0, padding(slide.padding)).int(1, stride_w).int(2, stride_h);
    options(5, table.int(3, width).int(4, height).byte(5, activation(fused)))
}

pub(super) fn fully_connected(keep_dims: bool, fused: Activation) -> Options {
    options(8, Table::new().byte(0, activation(fused)).bool(2, keep_dims))
}

pub(super) fn batch_matmul(transpose_left: bool, transpose_right: bool) -> Options {
    options(101, Table::new().bool(0, transpose_left).bool(1, transpose_right))
}

/// `ADD`, `SUB`, `MUL`, `DIV`.
pub(super) fn arithmetic(operator: &str, fused: Activation) -> Options {
    let kind = match operator {
        "ADD" => 11,
        "SUB" => 28,
        "MUL" => 21,
        _ => 29,
    };
    options(kind, Table::new().byte(0, activation(fused)))
}

pub(super) fn softmax() -> Options {
    options(9, Table::new().float(0, 1.0))
}

pub(super) fn concatenation(axis: i32) -> Options {
    options(10, Table::new().int(0, axis))
}

pub(super) fn response_normalization(radius: i32, [bias, alpha, beta]: [f32; 3]) -> Options {
    let table = Table::new().int(0, radius).float(1, bias);
    options(13, table.float(2, alpha).float(3, beta))
}

pub(super) fn resize_bilinear(align_corners: bool, half_pixels: bool) -> Options {
    options(15, Table::new().bool(2, align_corners).bool(3, half_pixels))
}

pub(super) fn resize_nearest(align_corners: bool, half_pixels: bool) -> Options {
    options(74, Table::new().bool(0, align_corners).bool(1, half_pixels))
}

pub(super) fn reshape(shape: &[i32]) -> Options {
    options(17, Table::new().ints(0, shape))
}

pub(super) fn blocks(to_depth: bool, size: i32) -> Options {
    options(if to_depth { 19 } else { 94 }, Table::new().int(0, size))
}

pub(super) fn gather(axis: i32) -> Options {
    options(23, Table::new().int(0, axis))
}

pub(super) fn reducer(keep_dims: bool) -> Options {
    options(27, Table::new().bool(0, keep_dims))
}

pub(super) fn squeeze(axes: &[i32]) -> Options {
    options(30, Table::new().ints(0, axes))
}

pub(super) fn strided_slice(begin_mask: i32, end_mask: i32) -> Options {
    options(32, Table::new().int(0, begin_mask).int(1, end_mask).int(2, 0).int(3, 0).int(4, 0))
}

pub(super) fn split(count: i32) -> Options {
    options(35, Table::new().int(0, count))
}

pub(super) fn split_by_sizes(count: i32) -> Options {
    options(79, Table::new().int(0, count))
}

pub(super) fn cast(from: i8, to: i8) -> Options {
    options(37, Table::new().byte(0, from).byte(1, to))
}

pub(super) fn arg(largest: bool, output_type: i8) -> Options {
    options(if largest { 40 } else { 57 }, Table::new().byte(0, output_type))
}

pub(super) fn shape(output_type: i8) -> Options {
    options(55, Table::new().byte(0, output_type))
}

pub(super) fn one_hot(axis: i32) -> Options {
    options(61, Table::new().int(0, axis))
}

pub(super) fn leaky_relu(alpha: f32) -> Options {
    options(75, Table::new().float(0, alpha))
}

/// Whether the border itself is repeated.
pub(super) fn mirror_pad(symmetric: bool) -> Options {
    options(77, Table::new().byte(0, symmetric.into()))
}

pub(super) fn cumulative(exclusive: bool, reverse: bool) -> Options {
    options(102, Table::new().bool(0, exclusive).bool(1, reverse))
}

pub(super) fn gelu(approximate: bool) -> Options {
    options(116, Table::new().bool(0, approximate))
}
