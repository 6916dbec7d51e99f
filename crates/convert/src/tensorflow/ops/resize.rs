//! `ResizeBilinear` and `ResizeNearestNeighbor`: images `[batch, height, width, channels]` in
//! another size.

use modelyard_graph::ElementType;
use modelyard_tensor::Dim;

use super::layout::Layout;
use super::{Evaluated, Given};
use crate::emitter::node;
use crate::reference::resize::{Coordinates, Interpolation, Resize, Rounding, Sized, resize};
use crate::reference::{elementwise, layout as axes};
use crate::tensorflow::attrs::Attrs;
use crate::tensorflow::context::{Call, Context, Converted};

/// Where the elements of the result lie in the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Placing {
    /// The corners of both are in the same place.
    Corners,
    /// Elements are areas.
    Centers,
    /// Elements are points, counted from the first.
    Points,
}

impl Placing {
    fn of(attrs: &Attrs) -> Placing {
        match (attrs.bool("align_corners", false), attrs.bool("half_pixel_centers", false)) {
            (true, _) => Placing::Corners,
            (false, true) => Placing::Centers,
            (false, false) => Placing::Points,
        }
    }
}

pub(super) fn convert(context: &mut Context<'_>, call: &Call<'_>) -> Converted {
    let (value, size) = (call.input(0)?, call.input(1)?);
    let is_linear = call.node.op == "ResizeBilinear";
    let placing = Placing::of(&call.node.attrs);
    let (mut x, dims) = Layout::Last.channels_first(context, value)?;
    let mut element_type = value.element_type;
    if is_linear && element_type != ElementType::Float32 {
        x = context.cast(&x, ElementType::Float32);
        element_type = ElementType::Float32;
    }
    let known = context.integers(size, "").ok();
    let wanted = context.shape(size)?;
    let shape = context.add_node(node("Shape", &[&x]).with("end", 2));
    let sizes = context.add_node(node("Concat", &[shape, wanted]).with("axis", 0));
    let written = node("Resize", &[x.as_str(), "", "", &sizes])
        .with("mode", if is_linear { "linear" } else { "nearest" })
        .with(
            "coordinate_transformation_mode",
            match placing {
                Placing::Corners => "align_corners",
                Placing::Centers => "half_pixel",
                Placing::Points => "asymmetric",
            },
        );
    let written = match (is_linear, placing) {
        (true, _) => written,
        (false, Placing::Points) => written.with("nearest_mode", "floor"),
        // Half a pixel more, then down, is the nearest, halves up.
        (false, _) => written.with("nearest_mode", "round_prefer_ceil"),
    };
    let found = context.add_node(written);
    let mut out = dims.get(..2).unwrap_or_default().to_vec();
    let side = |index: usize| {
        let size = known.as_ref().and_then(|known| usize::try_from(*known.get(index)?).ok());
        size.map_or(Dim::Free, Dim::Fixed)
    };
    out.extend([side(0), side(1)]);
    Ok(vec![Layout::Last.back(context, found, element_type, out)])
}

pub(super) fn evaluate(given: &Given<'_>) -> Evaluated {
    let (x, wanted) = (given.input(0)?, super::sizes(&given.integers(1)?)?);
    let is_linear = given.node.op == "ResizeBilinear";
    let placing = Placing::of(given.attrs());
    let x = if is_linear { elementwise::cast(x, ElementType::Float32)? } else { x.clone() };
    let coordinates = match (placing, is_linear) {
        (Placing::Corners, _) => Coordinates::AlignCorners,
        (Placing::Centers, true) => Coordinates::HalfPixel,
        (Placing::Centers, false) => Coordinates::HalfPixelForNearest,
        (Placing::Points, _) => Coordinates::Asymmetric,
    };
    let interpolation = match (is_linear, placing) {
        (true, _) => Interpolation::Linear,
        (false, Placing::Corners) => Interpolation::Nearest(Rounding::HalfUp),
        (false, _) => Interpolation::Nearest(Rounding::Floor),
    };
    let [height, width] = wanted.as_slice() else {
        return Err(crate::EvaluateError::new("expected a height and a width"));
    };
    axes::elements(&[*height, *width])?;
    let sizes = [(1, *height), (2, *width)].map(|(axis, size)| Sized { axis, size, scale: None });
    let how = Resize { interpolation, coordinates, antialias: false };
    Ok(vec![resize(&x, &sizes, how)?])
}
