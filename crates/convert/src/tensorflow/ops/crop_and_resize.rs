//! `CropAndResize`: parts of images, each brought to one size.
//!
//! In ONNX the four neighbours of each point are gathered and weighed.

use modelyard_graph::ElementType;
use modelyard_tensor::Dim;

use super::{Evaluated, Given, range};
use crate::EvaluateError;
use crate::emitter::node;
use crate::reference::{Array, layout};
use crate::tensorflow::context::{Call, Context, Converted};
use crate::tensorflow::value::Refusal;

/// Pixels along a side of a crop.
const MAX_SIZE: usize = 1 << 14;

pub(super) fn convert(context: &mut Context<'_>, call: &Call<'_>) -> Converted {
    let image = call.input(0)?;
    let &[_, Dim::Fixed(height), Dim::Fixed(width), ref channels] = image.known_dims()? else {
        let way_out = "give the images a fixed size when the model is exported";
        return Err(Refusal::new("crops of images of any size", way_out));
    };
    let crop = context.integers(call.input(3)?, "the size of crops")?;
    let crop: Vec<usize> = crop.iter().filter_map(|&size| usize::try_from(size).ok()).collect();
    let &[rows @ ..=MAX_SIZE, columns @ ..=MAX_SIZE] = crop.as_slice() else {
        return Err(Refusal::new("crops of that size", "the file may be damaged"));
    };
    let is_nearest = call.node.attrs.text("method", "bilinear") == "nearest";
    let [mut x, boxes, owners] = context.names(call)?;
    if image.element_type != ElementType::Float32 {
        x = context.cast(&x, ElementType::Float32);
    }
    let owners = context.cast(&owners, ElementType::Int64);
    let vertical = Side::of(context, &boxes, (0, height, rows))?;
    let horizontal = Side::of(context, &boxes, (1, width, columns))?;
    let mut crops = Crops { x, owners, rows, columns };
    let value = match is_nearest {
        true => {
            let (y, x) = (vertical.nearest(context), horizontal.nearest(context));
            crops.gather(context, &y, &x)
        }
        false => crops.bilinear(context, &vertical, &horizontal),
    };
    // Points outside of the image.
    let inside_y = context.with_axes("Unsqueeze", &vertical.inside, &[2, 3]);
    let inside_x = context.with_axes("Unsqueeze", &horizontal.inside, &[1, 3]);
    let inside = context.add("And", &[inside_y, inside_x]);
    let outside = call.node.attrs.float("extrapolation_value", 0.0);
    let outside = context.emitter.scalar("outside", outside);
    let found = context.add("Where", &[inside, value, outside]);
    let count = call.input(1)?.dims.as_ref().and_then(|dims| dims.first().cloned());
    let dims =
        vec![count.unwrap_or(Dim::Free), Dim::Fixed(rows), Dim::Fixed(columns), channels.clone()];
    Ok(vec![context.value(found, ElementType::Float32, Some(dims))])
}

/// The points of all crops along one side of the images: `[crops, points]`.
struct Side {
    /// Where they are, within the image.
    place: String,
    /// Whether they are within the image.
    inside: String,
}

impl Side {
    fn of(
        context: &mut Context<'_>,
        boxes: &str,
        (side, size, points): (i64, usize, usize),
    ) -> Result<Side, Refusal> {
        let column = |context: &mut Context<'_>, index: i64| {
            let index = context.emitter.integers("column", &[index]);
            context.add_node(node("Gather", &[boxes, &index]).with("axis", 1))
        };
        let (first, last) = (column(context, side), column(context, side + 2));
        let end = context.emitter.scalar("end", size as f32 - 1.0);
        let place = if points > 1 {
            let steps = range::up_to(context, points, ElementType::Float32)?;
            let gaps = context.emitter.scalar("gaps", points as f32 - 1.0);
            let span = context.add("Sub", &[last, first.clone()]);
            let span = context.add("Mul", &[span, end.clone()]);
            let step = context.add("Div", &[span, gaps]);
            let start = context.add("Mul", &[first, end.clone()]);
            let moved = context.add("Mul", &[steps, step]);
            context.add("Add", &[start, moved])
        } else {
            let half = context.emitter.scalar("half", 0.5 * (size as f32 - 1.0));
            let both = context.add("Add", &[first, last]);
            context.add("Mul", &[both, half])
        };
        let zero = context.emitter.scalar("zero", 0.0);
        let above = context.add("GreaterOrEqual", &[&place, &zero]);
        let below = context.add("LessOrEqual", &[&place, &end]);
        let inside = context.add("And", &[above, below]);
        let place = context.add("Max", &[place, zero]);
        let place = context.add("Min", &[place, end]);
        Ok(Side { place, inside })
    }

    /// The nearest element, halves away from 0.
    fn nearest(&self, context: &mut Context<'_>) -> String {
        let half = context.emitter.scalar("half", 0.5);
        let moved = context.add("Add", &[&self.place, &half]);
        let found = context.add("Floor", &[moved]);
        context.cast(&found, ElementType::Int64)
    }

    /// The elements before and after, and the share of the latter.
    fn neighbours(&self, context: &mut Context<'_>) -> [String; 3] {
        let before = context.add("Floor", &[&self.place]);
        let after = context.add("Ceil", &[&self.place]);
        let share = context.add("Sub", &[&self.place, &before]);
        let [before, after] = [before, after].map(|name| context.cast(&name, ElementType::Int64));
        [before, after, share]
    }
}

struct Crops {
    x: String,
    owners: String,
    rows: usize,
    columns: usize,
}

impl Crops {
    /// The pixels at these rows and columns of each crop's image.
    fn gather(&mut self, context: &mut Context<'_>, y: &str, x: &str) -> String {
        let grid = [1, self.rows as i64, self.columns as i64, 1];
        let ones = context.emitter.integers("grid", &grid);
        let part = |context: &mut Context<'_>, name: &str, axes: &[i64]| {
            let part = context.with_axes("Unsqueeze", name, axes);
            context.add("Expand", &[part, ones.clone()])
        };
        let parts = [
            part(context, &self.owners, &[1, 2, 3]),
            part(context, y, &[2, 3]),
            part(context, x, &[1, 3]),
        ];
        let places = context.add_node(node("Concat", &parts).with("axis", 3));
        context.add("GatherND", &[self.x.clone(), places])
    }

    fn bilinear(&mut self, context: &mut Context<'_>, y: &Side, x: &Side) -> String {
        let [top, bottom, y_share] = y.neighbours(context);
        let [left, right, x_share] = x.neighbours(context);
        let y_share = context.with_axes("Unsqueeze", &y_share, &[2, 3]);
        let x_share = context.with_axes("Unsqueeze", &x_share, &[1, 3]);
        let mut row = |context: &mut Context<'_>, y: &str| {
            let one = self.gather(context, y, &left);
            let two = self.gather(context, y, &right);
            between(context, one, two, &x_share)
        };
        let (one, two) = (row(context, &top), row(context, &bottom));
        between(context, one, two, &y_share)
    }
}

/// `one + (two - one) * share`
fn between(context: &mut Context<'_>, one: String, two: String, share: &str) -> String {
    let apart = context.add("Sub", &[&two, &one]);
    let part = context.add("Mul", &[apart.as_str(), share]);
    context.add("Add", &[one, part])
}

pub(super) fn evaluate(given: &Given<'_>) -> Evaluated {
    let (image, boxes, owners) = (given.input(0)?, given.input(1)?, given.integers(2)?);
    let crop = super::sizes(&given.integers(3)?)?;
    let (&[batch, height, width, channels], &[rows, columns]) = (image.dims(), crop.as_slice())
    else {
        return Err(EvaluateError::new("expected images of rank 4 and a size of crops"));
    };
    let pixels = image.to_f64s()?;
    let corners = boxes.to_f64s()?;
    let (corners, _) = corners.as_chunks::<4>();
    let dims = [corners.len(), rows, columns, channels];
    let mut found = Vec::with_capacity(layout::elements(&dims)?);
    let outside = f64::from(given.attrs().float("extrapolation_value", 0.0));
    let is_nearest = given.attrs().text("method", "bilinear") == "nearest";
    for (&[y1, x1, y2, x2], &owner) in corners.iter().zip(&owners) {
        let owner = usize::try_from(owner).ok().filter(|&owner| owner < batch);
        let owner =
            owner.ok_or_else(|| EvaluateError::new("a crop of an image that is not there"))?;
        let pixel = |y: usize, x: usize, c: usize| {
            pixels[((owner * height + y) * width + x) * channels + c]
        };
        for row in 0..rows {
            for column in 0..columns {
                let y = place((y1, y2), height, (row, rows));
                let x = place((x1, x2), width, (column, columns));
                let is_inside = (0.0..=(height as f64 - 1.0)).contains(&y)
                    && (0.0..=(width as f64 - 1.0)).contains(&x);
                found.extend((0..channels).map(|c| match (is_inside, is_nearest) {
                    (false, _) => outside,
                    (true, true) => {
                        pixel((y + 0.5).floor() as usize, (x + 0.5).floor() as usize, c)
                    }
                    (true, false) => {
                        let (top, left) = (y.floor() as usize, x.floor() as usize);
                        let (bottom, right) = (y.ceil() as usize, x.ceil() as usize);
                        let mix = |a: f64, b: f64, share: f64| a + (b - a) * share;
                        let share = x - x.floor();
                        let upper = mix(pixel(top, left, c), pixel(top, right, c), share);
                        let lower = mix(pixel(bottom, left, c), pixel(bottom, right, c), share);
                        mix(upper, lower, y - y.floor())
                    }
                }));
            }
        }
    }
    Ok(vec![Array::from_f64s(ElementType::Float32, &dims, found)?])
}

/// Where a point of a crop is in the image. In single precision, as TensorFlow computes it.
fn place((first, last): (f64, f64), size: usize, (index, points): (usize, usize)) -> f64 {
    let (first, last, end) = (first as f32, last as f32, size as f32 - 1.0);
    let place = match points {
        ..=1 => 0.5 * (first + last) * end,
        _ => first * end + index as f32 * ((last - first) * end / (points as f32 - 1.0)),
    };
    place.into()
}
