//! `UpSampling1D` to `3D`, `Resizing`, `CenterCrop`.

use modelyard_graph::Node;
use modelyard_tensor::Dim;

use crate::EvaluateError;
use crate::emitter::node;
use crate::keras::argument::Arguments;
use crate::keras::config::Config;
use crate::keras::converter::{Converter, Size};
use crate::keras::evaluator::{Evaluator, Sample};
use crate::keras::fault::Fault;
use crate::keras::layer::{Layer, Operation};
use crate::keras::layers::window::channels_first;
use crate::keras::reader::Context;
use crate::keras::value::{Value, derived};
use crate::reference::resize::{Coordinates, Interpolation, Resize, Rounding, Sized, resize};
use crate::reference::{Array, normalize, shape};

/// How elements between elements are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Nearest,
    Bilinear,
    Bicubic,
}

/// Images in another size.
#[derive(Debug)]
struct Resizing {
    size: Target,
    method: Method,
    channels_first: bool,
    aspect: Aspect,
}

#[derive(Clone, Debug)]
enum Target {
    /// So many times as large on each axis.
    Times(Vec<usize>),
    /// This height and width.
    Size([usize; 2]),
    /// This height and width cut out of the middle.
    Middle([usize; 2]),
}

/// What is done where height and width have another ratio.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Aspect {
    Change,
    Crop,
    Pad(f32),
}

/// Reads one.
pub(crate) fn read(
    class: &str,
    config: &Config,
    context: &mut Context<'_>,
) -> Result<Box<dyn Operation>, Fault> {
    let channels_first = channels_first(config)?;
    if let Some(axes) = class.strip_prefix("UpSampling") {
        let rank = super::rank_of(axes);
        let size = config.sizes(&["size", "length"], rank, Some(2))?;
        let method = method(&config.text(&["interpolation"], "nearest")?)?;
        let (size, aspect) = (Target::Times(size), Aspect::Change);
        return Ok(Box::new(Resizing { size, method, channels_first, aspect }));
    }
    let size = [config.size(&["height"])?, config.size(&["width"])?];
    if class == "CenterCrop" {
        let (size, aspect) = (Target::Middle(size), Aspect::Crop);
        return Ok(Box::new(Resizing { size, method: Method::Bilinear, channels_first, aspect }));
    }
    let crop = config.flag(&["crop_to_aspect_ratio"], false)?;
    let pad = config.flag(&["pad_to_aspect_ratio"], false)?;
    let aspect = match (crop, pad) {
        (true, _) => Aspect::Crop,
        (_, true) => Aspect::Pad(config.number_or(&["fill_value"], 0.0)? as f32),
        _ => Aspect::Change,
    };
    if config.flag(&["antialias"], false)? {
        return Err(Fault::unsupported("antialias", "resize without it, or before the model"));
    }
    let _ = context;
    let method = method(&config.text(&["interpolation"], "bilinear")?)?;
    Ok(Box::new(Resizing { size: Target::Size(size), method, channels_first, aspect }))
}

/// The method of this name.
pub(crate) fn method(name: &str) -> Result<Method, Fault> {
    match name {
        "nearest" => Ok(Method::Nearest),
        "bilinear" => Ok(Method::Bilinear),
        "bicubic" => Ok(Method::Bicubic),
        other => Err(Fault::unsupported(
            format!("interpolation '{other}'"),
            "use 'nearest', 'bilinear' or 'bicubic'",
        )),
    }
}

impl Method {
    /// The attributes of ONNX: pixels are areas, as TensorFlow 2 has them.
    pub(crate) fn on(self, node: Node) -> Node {
        let node = node.with("coordinate_transformation_mode", "half_pixel");
        match self {
            Method::Nearest => {
                node.with("mode", "nearest").with("nearest_mode", "round_prefer_ceil")
            }
            Method::Bilinear => node.with("mode", "linear"),
            Method::Bicubic => {
                node.with("mode", "cubic").with("cubic_coeff_a", -0.5f32).with("exclude_outside", 1)
            }
        }
    }

    fn reference(self) -> Resize {
        let (interpolation, coordinates) = match self {
            Method::Nearest => {
                (Interpolation::Nearest(Rounding::Floor), Coordinates::HalfPixelForNearest)
            }
            Method::Bilinear => (Interpolation::Linear, Coordinates::HalfPixel),
            Method::Bicubic => {
                let cubic = Interpolation::Cubic { coefficient: -0.5, inside: true };
                (cubic, Coordinates::HalfPixel)
            }
        };
        Resize { interpolation, coordinates, antialias: false }
    }
}

/// What the reader should know of images that are resized by cubic curves.
const NOTE: &str = "TensorFlow rounds the factors of bicubic interpolation, so answers may differ by \
                    about one in a thousand";

/// An image `[batch, channels, height, width]` in another size.
pub(crate) fn resized(
    x: &Value,
    size: [usize; 2],
    method: Method,
    to: &mut Converter<'_>,
) -> Value {
    if x.size(2) == Some(size[0]) && x.size(3) == Some(size[1]) {
        return x.clone();
    }
    if method == Method::Bicubic {
        to.approximate(2e-3, NOTE);
        let grows = (0..2).all(|axis| x.size(axis + 2).is_some_and(|from| from <= size[axis]));
        if let Some(channels) = x.size(1).filter(|&channels| channels != 1 && !grows) {
            // ONNX Runtime 1.32 pulls transposes through, and then refuses what becomes smaller:
            // with one channel there is nothing to pull.
            let one = [Size::Product(0, 1), Size::Fixed(1), Size::Axis(2), Size::Axis(3)];
            let images = to.reshape(x, &one);
            let images = resized(&images, size, method, to);
            let [height, width] = size.map(Size::Fixed);
            let mut y = to.reshape(&images, &[Size::Rest, Size::Fixed(channels), height, width]);
            y.dims[0] = x.dims[0].clone();
            return y;
        }
    }
    let (batch, channels) = (to.size_of(x, 0), to.size_of(x, 1));
    let wanted = to.emitter.integers("size", &size.map(|size| size as i64));
    let sizes = to.add(node("Concat", &[&batch, &channels, &wanted]).with("axis", 0));
    let name = to.add(method.on(node("Resize", &[&x.name, "", "", &sizes])));
    let mut dims = x.dims[..2].to_vec();
    dims.extend(size.map(Dim::Fixed));
    to.value(name, dims, x.element_type)
}

/// An image `[batch, channels, height, width]` in another size, by TensorFlow's definition.
pub(crate) fn evaluated(
    x: &Array,
    size: [usize; 2],
    method: Method,
) -> Result<Array, EvaluateError> {
    let axes = [2, 3].map(|axis| Sized { axis, size: size[axis - 2], scale: None });
    resize(x, &axes, method.reference())
}

/// The part of an image that has the ratio of the target: where it begins and its size.
fn cut(image: [usize; 2], target: [usize; 2]) -> ([usize; 2], [usize; 2]) {
    let other = |one: usize, by: usize, over: usize| {
        ((one as f32 * by as f32) / over.max(1) as f32) as usize
    };
    let height = other(image[1], target[0], target[1]).min(image[0]).max(1);
    let width = other(image[0], target[1], target[0]).min(image[1]).max(1);
    ([(image[0] - height) / 2, (image[1] - width) / 2], [height, width])
}

/// What is added on each side for an image to have the ratio of the target.
fn added(image: [usize; 2], target: [usize; 2]) -> [usize; 2] {
    let other = |one: usize, by: usize, over: usize| {
        ((one as f32 * by as f32) / over.max(1) as f32) as usize
    };
    let height = other(image[1], target[0], target[1]).max(image[0]);
    let width = other(image[0], target[1], target[0]).max(image[1]);
    [(height - image[0]) / 2, (width - image[1]) / 2]
}

impl Resizing {
    fn spatial(&self) -> usize {
        match &self.size {
            Target::Times(times) => times.len(),
            Target::Size(_) | Target::Middle(_) => 2,
        }
    }

    /// Height and width, which have to be known for what is done.
    fn known(x: &Value) -> Result<[usize; 2], Fault> {
        match (x.size(2), x.size(3)) {
            (Some(height), Some(width)) => Ok([height, width]),
            _ => Err(Fault::unsupported(
                "an image whose size is not known before it comes",
                "give the input of the model a fixed height and width",
            )),
        }
    }

    fn crop(x: &Value, begin: [usize; 2], size: [usize; 2], to: &mut Converter<'_>) -> Value {
        let mut y = x.clone();
        for axis in 0..2 {
            if y.size(axis + 2) != Some(size[axis]) {
                let (begin, end) = (begin[axis] as i64, (begin[axis] + size[axis]) as i64);
                y = to.slice(&y, axis + 2, (begin, end, 1));
            }
        }
        y
    }

    /// Resizes as the option says where the ratio is another.
    fn to_size(&self, x: &Value, size: [usize; 2], to: &mut Converter<'_>) -> Result<Value, Fault> {
        match self.aspect {
            Aspect::Change => Ok(resized(x, size, self.method, to)),
            Aspect::Crop => {
                let (begin, part) = cut(Self::known(x)?, size);
                let part = Self::crop(x, begin, part, to);
                Ok(resized(&part, size, self.method, to))
            }
            Aspect::Pad(value) => {
                let [height, width] = added(Self::known(x)?, size).map(|size| size as i64);
                let pads = to.emitter.integers("pads", &[0, 0, height, width, 0, 0, height, width]);
                let value = to.emitter.scalar("value", value);
                let name = to.op("Pad", &[&x.name, &pads, &value]);
                let mut dims = x.dims.clone();
                for (dim, size) in dims[2..].iter_mut().zip([height, width]) {
                    *dim = derived(dim, |dim| dim.checked_add(2 * usize::try_from(size).ok()?));
                }
                let padded = to.value(name, dims, x.element_type);
                Ok(resized(&padded, size, self.method, to))
            }
        }
    }

    fn times(&self, x: &Value, times: &[usize], to: &mut Converter<'_>) -> Value {
        let mut scales = vec![1.0; 2];
        scales.extend(times.iter().map(|&times| times as f32));
        let scales = to.emitter.floats("scales", &[scales.len()], &scales);
        let resize = match self.method {
            // Each element as often as it says.
            Method::Nearest => node("Resize", &[&x.name, "", &scales])
                .with("mode", "nearest")
                .with("coordinate_transformation_mode", "asymmetric")
                .with("nearest_mode", "floor"),
            method => method.on(node("Resize", &[&x.name, "", &scales])),
        };
        let name = to.add(resize);
        let mut dims = x.dims[..2].to_vec();
        dims.extend(
            x.dims[2..]
                .iter()
                .zip(times)
                .map(|(dim, &by)| derived(dim, |size| size.checked_mul(by))),
        );
        to.value(name, dims, x.element_type)
    }

    fn evaluate_to_size(&self, x: &Array, size: [usize; 2]) -> Result<Array, EvaluateError> {
        let image = [x.dims()[2], x.dims()[3]];
        let part = match self.aspect {
            Aspect::Change => x.clone(),
            Aspect::Crop => {
                let (begin, part) = cut(image, size);
                let rows = shape::narrow(x, 2, begin[0], part[0])?;
                shape::narrow(&rows, 3, begin[1], part[1])?
            }
            Aspect::Pad(value) => {
                let [height, width] = added(image, size).map(|size| size as i64);
                let pads = [0, 0, height, width];
                shape::pad(x, &pads, &pads, shape::Padding::Constant(value.into()))?
            }
        };
        evaluated(&part, size, self.method)
    }
}

impl Operation for Resizing {
    fn convert(
        &self,
        _: &Layer,
        call: &Arguments<Value>,
        to: &mut Converter<'_>,
    ) -> Result<Vec<Value>, Fault> {
        let x = to.float(super::of_rank(call.input()?, self.spatial() + 2)?);
        let x = if self.channels_first { x } else { to.channels_first(&x) };
        let y = match &self.size {
            Target::Times(times) => self.times(&x, times, to),
            Target::Size(size) => self.to_size(&x, *size, to)?,
            Target::Middle(size) => {
                let known = Self::known(&x)?;
                match known[0] >= size[0] && known[1] >= size[1] {
                    true => {
                        let begin = [(known[0] - size[0]) / 2, (known[1] - size[1]) / 2];
                        Self::crop(&x, begin, *size, to)
                    }
                    // Too small for it: cut to the ratio, and enlarged.
                    false => self.to_size(&x, *size, to)?,
                }
            }
        };
        Ok(vec![if self.channels_first { y } else { to.channels_last(&y) }])
    }

    fn evaluate(
        &self,
        _: &Layer,
        call: &Arguments<Sample>,
        _: &Evaluator<'_>,
    ) -> Result<Vec<Sample>, EvaluateError> {
        let x = super::floats(&call.input()?.array)?;
        if x.rank() != self.spatial() + 2 {
            return Err(EvaluateError::new("the image has another number of dimensions"));
        }
        let x = if self.channels_first { x } else { normalize::channels_first(&x)? };
        let y = match &self.size {
            Target::Times(times) if self.method == Method::Nearest => {
                let mut y = x;
                for (axis, &times) in times.iter().enumerate() {
                    y = repeated(&y, axis + 2, times)?;
                }
                y
            }
            Target::Times(times) => {
                let size = |axis: usize| x.dims()[axis].saturating_mul(times[axis - 2]);
                let axes: Vec<Sized> = (2..x.rank())
                    .map(|axis| Sized { axis, size: size(axis), scale: None })
                    .collect();
                resize(&x, &axes, self.method.reference())?
            }
            Target::Size(size) => self.evaluate_to_size(&x, *size)?,
            Target::Middle(size) => {
                let image = [x.dims()[2], x.dims()[3]];
                if image[0] >= size[0] && image[1] >= size[1] {
                    let rows = shape::narrow(&x, 2, (image[0] - size[0]) / 2, size[0])?;
                    shape::narrow(&rows, 3, (image[1] - size[1]) / 2, size[1])?
                } else {
                    self.evaluate_to_size(&x, *size)?
                }
            }
        };
        Ok(Sample::only(if self.channels_first { y } else { normalize::channels_last(&y)? }))
    }
}

/// Each element along an axis so many times.
pub(crate) fn repeated(x: &Array, axis: usize, times: usize) -> Result<Array, EvaluateError> {
    let mut repeats = vec![1; x.rank() + 1];
    repeats[axis + 1] = times;
    let taller = shape::expand_dims(x, &[axis as i64 + 1])?;
    let mut dims = x.dims().to_vec();
    dims[axis] = dims[axis].saturating_mul(times);
    shape::tile(&taller, &repeats)?.reshaped(&dims)
}
