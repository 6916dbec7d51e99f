//! `Conv1D`, `Conv2D`, `Conv3D`.

use modelyard_tensor::Dim;

use crate::EvaluateError;
use crate::emitter::node;
use crate::keras::activations::Activation;
use crate::keras::argument::Arguments;
use crate::keras::config::Config;
use crate::keras::converter::Converter;
use crate::keras::evaluator::{Evaluator, Sample};
use crate::keras::fault::Fault;
use crate::keras::layer::{Layer, Operation};
use crate::keras::layers::window::{Padding, Window, channels_first};
use crate::keras::reader::Context;
use crate::keras::value::Value;
use crate::keras::variables::{Old, Variables};
use crate::keras::weight::Weight;
use crate::reference::convolution::{Convolution, convolve};
use crate::reference::normalize;

/// A convolution over images of one to three axes.
#[derive(Debug)]
pub(crate) struct Conv {
    pub(crate) window: Window,
    pub(crate) groups: usize,
    pub(crate) use_bias: bool,
    pub(crate) channels_first: bool,
    pub(crate) activation: Activation,
}

/// Names of the options of a window's size, over the versions of Keras.
const SIZE: [&str; 2] = ["kernel_size", "filter_length"];

/// Reads one; `class` says over how many axes.
pub(crate) fn read(
    class: &str,
    config: &Config,
    context: &mut Context<'_>,
) -> Result<Box<dyn Operation>, Fault> {
    super::refuse_quantized(context)?;
    let rank = super::rank_of(class);
    Ok(Box::new(Conv {
        window: window(config, rank)?,
        groups: config.size_option(&["groups"])?.unwrap_or(1),
        use_bias: config.flag(&["use_bias", "bias"], true)?,
        channels_first: channels_first(config)?,
        activation: Activation::read(config.get(&["activation"]), context.reader.major)?,
    }))
}

/// The window that a convolution has.
pub(crate) fn window(config: &Config, rank: usize) -> Result<Window, Fault> {
    let size = match kernel_dims(config, rank)? {
        Some(size) => size,
        None => config.sizes(&SIZE, rank, None)?,
    };
    let window = Window {
        size,
        strides: config.sizes(&["strides", "subsample", "subsample_length"], rank, Some(1))?,
        dilations: config.sizes(&["dilation_rate", "atrous_rate"], rank, Some(1))?,
        padding: Padding::read(config)?,
    };
    if window.padding == Padding::Causal && rank != 1 {
        return Err(Fault::malformed("expected causal padding over one axis only"));
    }
    Ok(window)
}

/// Keras 1 had a size for each axis: `nb_row`, `nb_col`, or `kernel_dim1` to `kernel_dim3`.
fn kernel_dims(config: &Config, rank: usize) -> Result<Option<Vec<usize>>, Fault> {
    let names: &[&str] = match rank {
        2 => &["nb_row", "nb_col"],
        3 => &["kernel_dim1", "kernel_dim2", "kernel_dim3"],
        _ => return Ok(None),
    };
    if config.get(&names[..1]).is_none() {
        return Ok(None);
    }
    names.iter().map(|&name| config.size(&[name])).collect::<Result<_, _>>().map(Some)
}

impl Operation for Conv {
    fn variables(&self, base: Variables) -> Variables {
        let (rank, channels_first) = (self.window.size.len(), self.channels_first);
        let base =
            Variables { old: Old::Kernel { rank, channels_first, transposed: false }, ..base };
        base.trained(if self.use_bias { &["kernel", "bias"] } else { &["kernel"] })
    }

    fn convert(
        &self,
        layer: &Layer,
        call: &Arguments<Value>,
        to: &mut Converter<'_>,
    ) -> Result<Vec<Value>, Fault> {
        let rank = self.window.size.len();
        let x = to.float(super::of_rank(call.input()?, rank + 2)?);
        let x = if self.channels_first { x } else { to.channels_first(&x) };
        let of = layer.variables();
        let (kernel, dims) = to.weight_as(&of, "kernel", |weight| outputs_first(&weight, rank))?;
        self.check(&dims[..], x.size(1))?;
        let mut inputs = vec![x.name.clone(), kernel];
        if self.use_bias {
            inputs.push(to.weight(&of, "bias")?.0);
        }
        let conv = self.window.on(node("Conv", &inputs), &x.dims[2..]);
        let conv = match self.groups {
            1 => conv,
            groups => conv.with("group", groups as i64),
        };
        let name = to.add(conv);
        let mut out = vec![x.dims[0].clone(), Dim::Fixed(dims[0])];
        out.extend(self.window.output(&x.dims[2..]));
        let y = to.value(name, out, x.element_type);
        let y = if self.channels_first { y } else { to.channels_last(&y) };
        Ok(vec![self.activation.convert(&y, to)?])
    }

    fn evaluate(
        &self,
        layer: &Layer,
        call: &Arguments<Sample>,
        with: &Evaluator<'_>,
    ) -> Result<Vec<Sample>, EvaluateError> {
        let x = super::floats(&call.input()?.array)?;
        let x = if self.channels_first { x } else { normalize::channels_first(&x)? };
        let of = layer.variables();
        let kernel = outputs_first(&with.read(&of, "kernel")?, self.window.size.len())?.array()?;
        let bias = if self.use_bias { Some(with.weight(&of, "bias")?) } else { None };
        let how = super::walking(&self.window, &x.dims()[2..], self.groups)?;
        let y = convolve(&x, &kernel, bias.as_ref(), &how)?;
        let y = if self.channels_first { y } else { normalize::channels_last(&y)? };
        Ok(Sample::only(self.activation.evaluate(&y)?))
    }
}

impl Conv {
    fn check(&self, dims: &[usize], channels: Option<usize>) -> Result<(), Fault> {
        let fits = dims[2..] == self.window.size[..]
            && dims[0].is_multiple_of(self.groups)
            && channels.is_none_or(|channels| Some(channels) == dims[1].checked_mul(self.groups));
        if fits {
            return Ok(());
        }
        Err(Fault::malformed(format!(
            "expected a kernel of size {:?} for {channels:?} channels in {} groups, found {dims:?}",
            self.window.size, self.groups
        )))
    }
}

/// A kernel with its outputs first, then its inputs, as ONNX has it, from the order of Keras:
/// spatial axes, inputs, outputs.
pub(crate) fn outputs_first(weight: &Weight, rank: usize) -> Result<Weight, Fault> {
    let mut order = vec![rank + 1, rank];
    order.extend(0..rank);
    weight.transposed(&order)
}

/// A [`Convolution`] with these pads.
pub(crate) fn padded(window: &Window, pads: &[(usize, usize)], groups: usize) -> Convolution {
    Convolution {
        strides: window.strides.clone(),
        dilations: window.dilations.clone(),
        pads_begin: pads.iter().map(|pad| pad.0).collect(),
        pads_end: pads.iter().map(|pad| pad.1).collect(),
        groups,
    }
}
