//! `DepthwiseConv1D` and `DepthwiseConv2D`, `SeparableConv1D` and `SeparableConv2D`: each channel
//! by itself, and then perhaps all of them at each place.

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
use crate::keras::layers::convolution::{self, outputs_first};
use crate::keras::layers::window::{Padding, Window, channels_first};
use crate::keras::reader::Context;
use crate::keras::value::Value;
use crate::keras::variables::Variables;
use crate::keras::weight::Weight;
use crate::reference::convolution::{Convolution, convolve};
use crate::reference::normalize;

/// A convolution of each channel by itself.
#[derive(Debug)]
struct Depthwise {
    window: Window,
    use_bias: bool,
    channels_first: bool,
    activation: Activation,
    /// Whether a convolution over all channels at each place follows.
    pointwise: bool,
    /// Name of the kernel: `depthwise_kernel` up to Keras 2, `kernel` since, in the first kind.
    kernel: &'static str,
}

/// Reads one.
pub(crate) fn read(
    class: &str,
    config: &Config,
    context: &mut Context<'_>,
) -> Result<Box<dyn Operation>, Fault> {
    let rank = super::rank_of(class);
    let pointwise = class.starts_with("Separable");
    let mut window = convolution::window(config, rank)?;
    // Keras takes the first step for both axes: TensorFlow has only one.
    if rank == 2 {
        window.strides = vec![window.strides[0]; 2];
    }
    let old = pointwise || context.reader.major < 3;
    Ok(Box::new(Depthwise {
        window,
        use_bias: config.flag(&["use_bias", "bias"], true)?,
        channels_first: channels_first(config)?,
        activation: Activation::read(config.get(&["activation"]), context.reader.major)?,
        pointwise,
        kernel: if old { "depthwise_kernel" } else { "kernel" },
    }))
}

/// A kernel `[spatial..., channels, multiplier]` as one output for each, groups of one channel.
fn grouped(weight: &Weight, rank: usize) -> Result<Weight, Fault> {
    let mut order = vec![rank, rank + 1];
    order.extend(0..rank);
    let weight = weight.transposed(&order)?;
    let outputs = weight.dims[0].checked_mul(weight.dims[1]);
    let mut dims = vec![outputs.unwrap_or(0), 1];
    dims.extend_from_slice(&weight.dims[2..]);
    weight.reshaped(&dims)
}

impl Operation for Depthwise {
    fn variables(&self, base: Variables) -> Variables {
        let base = base.trained(&[self.kernel]);
        let base = if self.pointwise { base.trained(&["pointwise_kernel"]) } else { base };
        if self.use_bias { base.trained(&["bias"]) } else { base }
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
        let (kernel, dims) = to.weight_as(&of, self.kernel, |weight| grouped(&weight, rank))?;
        let channels = x.size(1).ok_or_else(|| Fault::malformed("the channels are not known"))?;
        if channels == 0 || !dims[0].is_multiple_of(channels) || dims[2..] != self.window.size[..] {
            return Err(Fault::malformed(format!(
                "expected a kernel of size {:?} for {channels} channels, found {dims:?}",
                self.window.size
            )));
        }
        let mut inputs = vec![x.name.clone(), kernel];
        if self.use_bias && !self.pointwise {
            inputs.push(to.weight(&of, "bias")?.0);
        }
        let conv = self.window.on(node("Conv", &inputs), &x.dims[2..]);
        let name = to.add(conv.with("group", channels as i64));
        let mut out = vec![x.dims[0].clone(), Dim::Fixed(dims[0])];
        out.extend(self.window.output(&x.dims[2..]));
        let mut y = to.value(name, out, x.element_type);
        if self.pointwise {
            let (kernel, dims) =
                to.weight_as(&of, "pointwise_kernel", |weight| outputs_first(&weight, rank))?;
            let mut inputs = vec![y.name.clone(), kernel];
            if self.use_bias {
                inputs.push(to.weight(&of, "bias")?.0);
            }
            let ones = vec![1; rank];
            let place = Window {
                size: ones.clone(),
                strides: ones.clone(),
                dilations: ones,
                padding: Padding::Valid,
            };
            let name = to.add(place.on(node("Conv", &inputs), &y.dims[2..]));
            let mut out = y.dims.clone();
            out[1] = Dim::Fixed(dims[0]);
            y = to.value(name, out, x.element_type);
        }
        let y = if self.channels_first { y } else { to.channels_last(&y) };
        Ok(vec![self.activation.convert(&y, to)?])
    }

    fn evaluate(
        &self,
        layer: &Layer,
        call: &Arguments<Sample>,
        with: &Evaluator<'_>,
    ) -> Result<Vec<Sample>, EvaluateError> {
        let rank = self.window.size.len();
        let x = super::floats(&call.input()?.array)?;
        let x = if self.channels_first { x } else { normalize::channels_first(&x)? };
        let of = layer.variables();
        let kernel = grouped(&with.read(&of, self.kernel)?, rank)?.array()?;
        let bias = if self.use_bias { Some(with.weight(&of, "bias")?) } else { None };
        let how = super::walking(&self.window, &x.dims()[2..], x.dims()[1])?;
        let y = if self.pointwise {
            let y = convolve(&x, &kernel, None, &how)?;
            let kernel = outputs_first(&with.read(&of, "pointwise_kernel")?, rank)?.array()?;
            convolve(&y, &kernel, bias.as_ref(), &Convolution::default())?
        } else {
            convolve(&x, &kernel, bias.as_ref(), &how)?
        };
        let y = if self.channels_first { y } else { normalize::channels_last(&y)? };
        Ok(Sample::only(self.activation.evaluate(&y)?))
    }
}
