//! Softmax and the like, normalization, encodings, images.

use modelyard_graph::ElementType;
use modelyard_tensor::Dim;

use crate::emitter::node;
use crate::keras::activations::Activation;
use crate::keras::converter::Converter;
use crate::keras::fault::Fault;
use crate::keras::functions::Entry;
use crate::keras::functions::bound::Bound;
use crate::keras::functions::elementwise::float;
use crate::keras::layers::input::element_type;
use crate::keras::layers::resize::{evaluated, method, resized};
use crate::keras::value::{Value, axis_of};
use crate::reference::elementwise::{cast, map, mul};
use crate::reference::layout::elements;
use crate::reference::reduce::{Over, sum_of_squares};
use crate::reference::{Array, normalize};

/// An activation with parameters.
macro_rules! parametrized {
    ($names:expr, $parameters:expr) => {
        Entry {
            names: $names,
            parameters: $parameters,
            convert: |bound, to| {
                let activation = activation($names[0], bound)?;
                Ok(vec![activation.convert(bound.value("x")?, to)?])
            },
            evaluate: |bound| {
                let activation = activation($names[0], bound)?;
                Ok(vec![activation.evaluate(&float(bound.value("x")?)?)?])
            },
        }
    };
}

/// The functions.
pub(super) const ENTRIES: &[Entry] = &[
    parametrized!(&["Softmax"], &["x", "axis"]),
    parametrized!(&["LogSoftmax"], &["x", "axis"]),
    parametrized!(&["Glu"], &["x", "axis"]),
    parametrized!(&["LeakyRelu"], &["x", "negative_slope"]),
    parametrized!(&["Elu"], &["x", "alpha"]),
    parametrized!(&["Celu"], &["x", "alpha"]),
    parametrized!(&["Gelu"], &["x", "approximate"]),
    parametrized!(&["SoftShrink"], &["x", "threshold"]),
    parametrized!(&["HardShrink"], &["x", "threshold"]),
    parametrized!(&["Threshold"], &["x", "threshold", "default_value"]),
    parametrized!(&["Squareplus"], &["x", "b"]),
    Entry {
        names: &["OneHot"],
        parameters: &["x", "num_classes", "axis", "dtype"],
        convert: one_hot,
        evaluate: |bound| {
            let indices = cast(bound.value("x")?, ElementType::Int64)?;
            let (depth, _) = depth(bound)?;
            let wanted = element_type(bound.text("dtype")?.as_deref());
            // What is outside of the classes is none of them.
            let mut dims = indices.dims().to_vec();
            dims.push(depth);
            let mut hot = vec![0.0; elements(&dims)?];
            for (row, &index) in indices.as_ints()?.iter().enumerate() {
                if let Some(place) = usize::try_from(index).ok().filter(|&index| index < depth) {
                    hot[row * depth + place] = 1.0;
                }
            }
            Ok(vec![Array::from_f64s(wanted, &dims, hot)?])
        },
    },
    Entry {
        names: &["Normalize"],
        parameters: &["x", "axis", "order", "epsilon"],
        convert: |bound, to| {
            second_order(bound)?;
            let x = to.float(bound.value("x")?);
            let axis = bound.integer("axis")?.unwrap_or(-1);
            let axis =
                axis_of(axis, x.rank()).ok_or_else(|| Fault::malformed("expected an axis"))?;
            let length = to.reduce("ReduceL2", &x, &[axis], true);
            let length = to.with_scalar("Max", &length, epsilon(bound)? as f32);
            Ok(vec![to.binary("Div", &x, &length)?])
        },
        evaluate: |bound| {
            let x = float(bound.value("x")?)?;
            let axis = [bound.integer("axis")?.unwrap_or(-1)];
            let most = 1.0 / epsilon(bound)?;
            let square = sum_of_squares(&x, Over::kept(&axis))?;
            Ok(vec![mul(&x, &map(&square, |square| square.sqrt().recip().min(most))?)?])
        },
    },
    Entry {
        names: &["Resize"],
        parameters: &["images", "size", "interpolation", "antialias", "data_format"],
        convert: |bound, to| {
            let size = image_size(bound)?;
            let method =
                method(&bound.text("interpolation")?.unwrap_or_else(|| "bilinear".into()))?;
            let x = to.float(bound.value("images")?);
            if x.rank() != 4 {
                return Err(Fault::unsupported("an image without a batch", "add a batch axis"));
            }
            let first = is_first(bound)?;
            let x = if first { x } else { to.channels_first(&x) };
            let y = resized(&x, size, method, to);
            Ok(vec![if first { y } else { to.channels_last(&y) }])
        },
        evaluate: |bound| {
            let method =
                method(&bound.text("interpolation")?.unwrap_or_else(|| "bilinear".into()))?;
            let x = float(bound.value("images")?)?;
            let first = is_first(bound)?;
            let x = if first { x } else { normalize::channels_first(&x)? };
            let y = evaluated(&x, image_size(bound)?, method)?;
            Ok(vec![if first { y } else { normalize::channels_last(&y)? }])
        },
    },
];

fn activation<V>(name: &str, bound: &Bound<V>) -> Result<Activation, Fault> {
    let number = |name: &str, default: f64| -> Result<f32, Fault> {
        Ok(bound.number(name)?.unwrap_or(default) as f32)
    };
    let axis = || -> Result<i64, Fault> { Ok(bound.integer("axis")?.unwrap_or(-1)) };
    Ok(match name {
        "Softmax" => Activation::Softmax(axis()?),
        "LogSoftmax" => Activation::LogSoftmax(axis()?),
        "Glu" => Activation::Glu(axis()?),
        "LeakyRelu" => {
            Activation::Relu { max: None, slope: number("negative_slope", 0.2)?, threshold: 0.0 }
        }
        "Elu" => Activation::Elu(number("alpha", 1.0)?),
        "Celu" => Activation::Celu(number("alpha", 1.0)?),
        "Gelu" => {
            let exact =
                bound.json("approximate")?.is_some_and(|json| json.as_bool() == Some(false));
            Activation::Gelu { approximate: !exact }
        }
        "SoftShrink" => Activation::SoftShrink(number("threshold", 0.5)?),
        "HardShrink" => Activation::HardShrink(number("threshold", 0.5)?),
        "Threshold" => Activation::Threshold {
            threshold: number("threshold", 0.0)?,
            other: number("default_value", 0.0)?,
        },
        _ => Activation::Squareplus(number("b", 4.0)?),
    })
}

fn depth<V>(bound: &Bound<V>) -> Result<(usize, i64), Fault> {
    let depth = bound.integer("num_classes")?.and_then(|depth| usize::try_from(depth).ok());
    let axis = bound.integer("axis")?.unwrap_or(-1);
    match depth.filter(|&depth| depth > 0 && axis == -1) {
        Some(depth) => Ok((depth, axis)),
        None => Err(Fault::unsupported("an encoding along another axis", "encode along the last")),
    }
}

fn one_hot(bound: &Bound<Value>, to: &mut Converter<'_>) -> Result<Vec<Value>, Fault> {
    let x = to.cast(bound.value("x")?, ElementType::Int64);
    let (depth, axis) = depth(bound)?;
    let count = to.emitter.integer("depth", depth as i64);
    let values = to.emitter.floats("values", &[2], &[0.0, 1.0]);
    let hot = node("OneHot", &[&x.name, &count, &values]).with("axis", axis);
    let name = to.add(hot);
    let mut dims = x.dims.clone();
    dims.push(Dim::Fixed(depth));
    let hot = to.value(name, dims, ElementType::Float32);
    let wanted = element_type(bound.text("dtype")?.as_deref());
    Ok(vec![to.cast(&hot, wanted)])
}

fn second_order<V>(bound: &Bound<V>) -> Result<(), Fault> {
    match bound.integer("order")? {
        None | Some(2) => Ok(()),
        Some(order) => Err(Fault::unsupported(format!("the norm {order}"), "use the norm 2")),
    }
}

fn epsilon<V>(bound: &Bound<V>) -> Result<f64, Fault> {
    Ok(bound.number("epsilon")?.filter(|&epsilon| epsilon > 0.0).unwrap_or(1e-7))
}

fn image_size<V>(bound: &Bound<V>) -> Result<[usize; 2], Fault> {
    if bound.flag("antialias")? {
        return Err(Fault::unsupported("antialias", "resize without it, or before the model"));
    }
    let size = bound.integers("size")?.unwrap_or_default();
    let sizes: Vec<usize> = size.iter().filter_map(|&size| usize::try_from(size).ok()).collect();
    match sizes.as_slice() {
        [height, width] if *height > 0 && *width > 0 => Ok([*height, *width]),
        _ => Err(Fault::malformed(format!("expected a height and a width, found {size:?}"))),
    }
}

fn is_first<V>(bound: &Bound<V>) -> Result<bool, Fault> {
    Ok(bound.text("data_format")?.as_deref() == Some("channels_first"))
}
