//! Convolutions.

use modelyard_graph::Constant;

use super::image::Image;
use super::window::Window;
use crate::export::saved_model::call::{Call, Written};
use crate::export::saved_model::constant;
use crate::export::saved_model::op::Op;
use crate::export::saved_model::sizes::{Cut, Size};
use crate::export::saved_model::value::{Refusal, Tensor, Value};
use crate::export::saved_model::writer::Writer;

/// More groups than any model has.
const MOST_GROUPS: usize = 1 << 16;

pub(super) fn write(writer: &mut Writer, call: &Call<'_>) -> Written {
    let image = Image::of(writer, call)?;
    let filter = call.value(1)?;
    let sizes = filter.sizes().filter(|sizes| sizes.len() == image.rank);
    let sizes = sizes.ok_or_else(|| {
        Refusal::new("a filter whose shape is not known", "make the filter a constant")
    })?;
    let window = Window::of(call, &sizes[2..])?;
    let groups = usize::try_from(call.int("group", 1)).unwrap_or(0);
    if groups == 0 || sizes[0] % groups != 0 || groups > MOST_GROUPS {
        return Err(Refusal::new(format!("{groups} groups of {} outputs", sizes[0]), "damaged"));
    }
    let x = &image.tensor;
    let filter = Filter { value: filter, sizes, groups };
    let mut found = match window.kernel.len() {
        2 if filter.is_depthwise(&window) => depthwise(writer, x, &filter, &window)?,
        2 => {
            let filter = filter.tensor(writer)?;
            // Groups follow from the numbers of channels.
            convolution(writer, "Conv2D", (x, &filter), &window, &window.all_dilations())
        }
        _ => volume(writer, x, &filter, &window)?,
    };
    if let Some(bias) = call.optional_tensor(writer, 2)? {
        found = biased(writer, &found, &bias);
    }
    Ok(vec![found])
}

/// One number a channel added, where channels are last.
pub(super) fn biased(writer: &mut Writer, x: &Tensor, bias: &Tensor) -> Tensor {
    let op = Op::new("BiasAdd").input(x).input(bias).kind("T", x.element_type);
    writer.add(op.text("data_format", "NHWC"), x.element_type)
}

fn convolution(
    writer: &mut Writer,
    name: &str,
    (x, filter): (&Tensor, &Tensor),
    window: &Window,
    dilations: &[i64],
) -> Tensor {
    let op = Op::new(name).input(x).input(filter).kind("T", x.element_type);
    let format = if name == "Conv3D" { "NDHWC" } else { "NHWC" };
    let op = op.ints("strides", &window.all_strides()).text("data_format", format);
    let op = op.text("padding", window.padding).ints("dilations", dilations);
    writer.add(op, x.element_type)
}

/// A filter, `[outputs, inputs / groups, space...]`.
struct Filter<'a> {
    value: &'a Value,
    sizes: Vec<usize>,
    groups: usize,
}

impl Filter<'_> {
    /// Whether each group is one channel, in a form that TensorFlow's operator takes: equal
    /// strides, and gaps only where they can be filled with zeros.
    fn is_depthwise(&self, window: &Window) -> bool {
        let is_plain = !window.is_dilated() || self.value.constant().is_some();
        let equal = window.strides.windows(2).all(|two| two[0] == two[1]);
        self.sizes[1] == 1 && self.groups > 1 && is_plain && equal
    }

    /// `[space..., inputs / groups, outputs]`.
    fn tensor(&self, writer: &mut Writer) -> Result<Tensor, Refusal> {
        let rank = self.sizes.len();
        let order: Vec<usize> = (2..rank).chain([1, 0]).collect();
        match self.value.constant() {
            Some(filter) => writer.constant(&named(constant::transposed(filter, &order)?)),
            None => {
                let filter = writer.tensor(self.value)?;
                writer.transpose(&filter, &order)
            }
        }
    }

    /// `[space..., inputs, outputs / inputs]`, with zeros in its gaps.
    fn depthwise_tensor(&self, writer: &mut Writer, window: &Window) -> Result<Tensor, Refusal> {
        let (outputs, rank) = (self.sizes[0], self.sizes.len());
        let apart: Vec<usize> =
            [self.groups, outputs / self.groups].iter().chain(&self.sizes[2..]).copied().collect();
        let order: Vec<usize> = (2..rank).chain([0, 1]).collect();
        let Some(filter) = self.value.constant() else {
            let filter = writer.tensor(self.value)?;
            let apart: Vec<i64> = apart.iter().map(|&size| size as i64).collect();
            let filter = writer.reshape(&filter, &apart)?;
            return writer.transpose(&filter, &order);
        };
        let moved = constant::transposed(&constant::reshaped(filter, &apart), &order)?;
        writer.constant(&named(constant::dilated(&moved, &window.dilations)?))
    }
}

fn named(constant: Constant) -> Constant {
    Constant { name: "filter".into(), ..constant }
}

fn depthwise(
    writer: &mut Writer,
    x: &Tensor,
    filter: &Filter<'_>,
    window: &Window,
) -> Result<Tensor, Refusal> {
    let filter = filter.depthwise_tensor(writer, window)?;
    Ok(convolution(writer, "DepthwiseConv2dNative", (x, &filter), window, &[1; 4]))
}

/// Of three dimensions of space, where TensorFlow has neither groups nor gaps on a CPU.
fn volume(
    writer: &mut Writer,
    x: &Tensor,
    filter: &Filter<'_>,
    window: &Window,
) -> Result<Tensor, Refusal> {
    let whole = match (filter.value.constant(), window.is_dilated()) {
        (Some(constant), true) => {
            let moved = constant::transposed(constant, &[2, 3, 4, 1, 0])?;
            writer.constant(&named(constant::dilated(&moved, &window.dilations)?))?
        }
        (None, true) => {
            return Err(Refusal::new("a dilated filter that is computed", "make it a constant"));
        }
        (_, false) => filter.tensor(writer)?,
    };
    if filter.groups == 1 {
        return Ok(convolution(writer, "Conv3D", (x, &whole), window, &[1; 5]));
    }
    let mut parts = Vec::with_capacity(filter.groups);
    let outputs = filter.sizes[0] / filter.groups;
    for group in 0..filter.groups {
        let part = part(writer, x, (4, group, filter.sizes[1]))?;
        let weights = self::part(writer, &whole, (4, group, outputs))?;
        parts.push(convolution(writer, "Conv3D", (&part, &weights), window, &[1; 5]));
    }
    writer.concat(&parts, 4)
}

/// One of equal parts along an axis.
fn part(
    writer: &mut Writer,
    x: &Tensor,
    (axis, index, size): (usize, usize, usize),
) -> Result<Tensor, Refusal> {
    let (begin, end) = ((index * size) as i64, ((index + 1) * size) as i64);
    let (begin, end) = (Some(Size::Fixed(begin)), Some(Size::Fixed(end)));
    writer.cut(x, &[Cut { axis, begin, end, step: 1 }])
}
