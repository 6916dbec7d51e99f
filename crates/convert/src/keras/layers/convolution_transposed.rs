//! `Conv1DTranspose`, `Conv2DTranspose`, `Conv3DTranspose`.

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
use crate::keras::layers::convolution::{self, outputs_first, padded};
use crate::keras::layers::window::{Padding, Window, channels_first, onnx_pads};
use crate::keras::reader::Context;
use crate::keras::value::{Value, derived};
use crate::keras::variables::{Old, Variables};
use crate::reference::convolution::convolve_transposed;
use crate::reference::normalize;

/// The transpose of a convolution: what makes images larger.
#[derive(Debug)]
struct ConvTransposed {
    window: Window,
    output_padding: Option<Vec<usize>>,
    use_bias: bool,
    channels_first: bool,
    activation: Activation,
}

/// Reads one.
pub(crate) fn read(
    class: &str,
    config: &Config,
    context: &mut Context<'_>,
) -> Result<Box<dyn Operation>, Fault> {
    super::refuse_quantized(context)?;
    let rank = super::rank_of(class);
    let output_padding = match config.integers(&["output_padding"])? {
        None => None,
        Some(list) => {
            let list: Option<Vec<usize>> =
                list.iter().map(|&value| usize::try_from(value).ok()).collect();
            let list = list.filter(|list| list.len() == rank || list.len() == 1);
            let list =
                list.ok_or_else(|| Fault::malformed("expected one output padding an axis"))?;
            Some((0..rank).map(|axis| list[axis % list.len()]).collect())
        }
    };
    let window = convolution::window(config, rank)?;
    if window.padding == Padding::Causal {
        return Err(Fault::malformed("expected padding 'valid' or 'same', found 'causal'"));
    }
    Ok(Box::new(ConvTransposed {
        window,
        output_padding,
        use_bias: config.flag(&["use_bias", "bias"], true)?,
        channels_first: channels_first(config)?,
        activation: Activation::read(config.get(&["activation"]), context.reader.major)?,
    }))
}

/// What is cut off of the full result on one axis, and what is added to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cut {
    before: usize,
    after: usize,
    extra: usize,
    /// Elements more than `input * stride`.
    beyond: isize,
}

impl ConvTransposed {
    /// TensorFlow takes the size of the output as that of an input of the convolution whose
    /// transpose this is, and cuts off what that would have been padded with.
    fn cut(&self, axis: usize) -> Option<Cut> {
        let signed = |value: usize| isize::try_from(value).ok();
        let extent = self.window.dilations[axis].checked_mul(self.window.size[axis] - 1)?;
        let extent = signed(extent.checked_add(1)?)?;
        let stride = signed(self.window.strides[axis])?;
        let is_same = self.window.padding == Padding::Same;
        let beyond = match (&self.output_padding, is_same) {
            (None, true) => 0,
            (None, false) => (extent - stride).max(0),
            (Some(extra), same) => {
                let cut = if same { 2 * (extent / 2) } else { 0 };
                extent - stride - cut + signed(extra[axis])?
            }
        };
        // The full result has (input - 1) * stride + extent elements.
        let total = extent - stride - beyond;
        let size = |value: isize| usize::try_from(value.max(0)).unwrap_or(0);
        let before = if is_same { size(total) / 2 } else { 0 };
        Some(Cut { before, after: size(total) - before, extra: size(-total), beyond })
    }

    fn cuts(&self) -> Result<Vec<Cut>, Fault> {
        let cuts: Option<Vec<Cut>> =
            (0..self.window.size.len()).map(|axis| self.cut(axis)).collect();
        cuts.ok_or_else(|| Fault::malformed("a window is larger than can be"))
    }
}

impl Operation for ConvTransposed {
    fn variables(&self, base: Variables) -> Variables {
        let (rank, channels_first) = (self.window.size.len(), self.channels_first);
        let base =
            Variables { old: Old::Kernel { rank, channels_first, transposed: true }, ..base };
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
        // Keras has spatial axes, outputs, inputs; ONNX inputs, outputs, spatial axes.
        let (kernel, dims) = to.weight_as(&of, "kernel", |weight| outputs_first(&weight, rank))?;
        let mut inputs = vec![x.name.clone(), kernel];
        if self.use_bias {
            inputs.push(to.weight(&of, "bias")?.0);
        }
        let list = |values: &[usize]| values.iter().map(|&value| value as i64).collect::<Vec<_>>();
        let cuts = self.cuts()?;
        let pads = cuts.iter().map(|cut| (cut.before, cut.after)).collect();
        let mut conv = node("ConvTranspose", &inputs)
            .with("dilations", &list(&self.window.dilations)[..])
            .with("kernel_shape", &list(&self.window.size)[..])
            .with("strides", &list(&self.window.strides)[..])
            .with("pads", &onnx_pads(&pads)[..]);
        let extra: Vec<usize> = cuts.iter().map(|cut| cut.extra).collect();
        if extra.iter().any(|&extra| extra != 0) {
            conv = conv.with("output_padding", &list(&extra)[..]);
        }
        let name = to.add(conv);
        let mut out = vec![x.dims[0].clone(), Dim::Fixed(dims[1])];
        out.extend(x.dims[2..].iter().enumerate().map(|(axis, dim)| {
            let stride = self.window.strides[axis];
            derived(dim, |size| size.checked_mul(stride)?.checked_add_signed(cuts[axis].beyond))
        }));
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
        let cuts = self.cuts()?;
        let pads: Vec<(usize, usize)> = cuts.iter().map(|cut| (cut.before, cut.after)).collect();
        let extra: Vec<usize> = cuts.iter().map(|cut| cut.extra).collect();
        let how = padded(&self.window, &pads, 1);
        let y = convolve_transposed(&x, &kernel, bias.as_ref(), (&how, &extra))?;
        let y = if self.channels_first { y } else { normalize::channels_last(&y)? };
        Ok(Sample::only(self.activation.evaluate(&y)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(size: usize, stride: usize, padding: Padding, extra: Option<usize>) -> Cut {
        let window =
            Window { size: vec![size], strides: vec![stride], dilations: vec![1], padding };
        ConvTransposed {
            window,
            output_padding: extra.map(|extra| vec![extra]),
            use_bias: false,
            channels_first: false,
            activation: Activation::Linear,
        }
        .cut(0)
        .unwrap()
    }

    #[test]
    fn outputs_have_the_size_of_keras() {
        let found = cut(3, 2, Padding::Same, None);
        assert_eq!(found, Cut { before: 0, after: 1, extra: 0, beyond: 0 });
        let found = cut(4, 2, Padding::Same, None);
        assert_eq!(found, Cut { before: 1, after: 1, extra: 0, beyond: 0 });
        let found = cut(1, 2, Padding::Valid, None);
        assert_eq!(found, Cut { before: 0, after: 0, extra: 1, beyond: 0 });
        let found = cut(5, 2, Padding::Valid, None);
        assert_eq!(found, Cut { before: 0, after: 0, extra: 0, beyond: 3 });
        // (input - 1) * 2 + 3 - 2 * 1 + 1 = 2 * input
        assert_eq!(cut(3, 2, Padding::Same, Some(1)).beyond, 0);
        assert_eq!(cut(3, 2, Padding::Same, Some(0)).beyond, -1);
    }
}
