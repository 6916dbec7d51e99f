//! Weights that Keras quantized to 8 bits.

use crate::keras::converter::Converter;
use crate::keras::fault::Fault;
use crate::keras::reader::Context;
use crate::keras::variables::Variables;
use crate::keras::weight::Weight;

/// How the weights of a layer are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quantized {
    /// As floats.
    No,
    /// In 8 bits, with a scale for each output: the number is the integer divided by the scale.
    Int8,
}

/// Reads a weight of a layer.
pub(crate) type Read<'a> = &'a dyn Fn(&Variables, &str) -> Result<Weight, Fault>;

/// What the way out of every quantization that is not covered is.
pub(crate) const WAY_OUT: &str = "convert the model before it is quantized";

impl Quantized {
    /// How the layer that is being read keeps its weights.
    pub(crate) fn read(context: &Context<'_>) -> Result<Quantized, Fault> {
        match context.quantized.as_deref() {
            None => Ok(Quantized::No),
            Some("int8") => Ok(Quantized::Int8),
            Some(mode) => Err(Fault::unsupported(format!("quantization '{mode}'"), WAY_OUT)),
        }
    }

    /// With the scales that there are.
    pub(crate) fn variables(self, base: Variables) -> Variables {
        match self {
            Quantized::No => base,
            Quantized::Int8 => base.fixed(&["kernel_scale"]),
        }
    }

    /// The weight as floats; its scale is along the last axes.
    pub(crate) fn weight(
        self,
        of: &Variables,
        name: &str,
        read: Read<'_>,
    ) -> Result<Weight, Fault> {
        let weight = read(of, name)?;
        if self == Quantized::No {
            return Ok(weight);
        }
        let scale = read(of, "kernel_scale")?.to_floats();
        dequantized(&weight, &scale, false)
    }

    /// Tells the reader what becomes of it.
    pub(crate) fn note(self, to: &mut Converter<'_>) {
        if self == Quantized::Int8 {
            to.approximate(RELATIVE, NOTE);
        }
    }
}

/// How far the answers of models that are quantized may be apart.
pub(crate) const RELATIVE: f64 = 3e-2;

/// What the reader should know of models that are quantized.
pub(crate) const NOTE: &str = "layers that Keras quantized to int8 compute in float with their 8-bit \
                               weights; what Keras rounds of their inputs is not rounded, so answers \
                               differ by about one in a hundred";

/// Integers divided by scales, one for each element of the last axes, or (`rows`) of the first.
pub(crate) fn dequantized(weight: &Weight, scale: &[f32], rows: bool) -> Result<Weight, Fault> {
    let values = weight.to_floats();
    if scale.is_empty() || !values.len().is_multiple_of(scale.len()) {
        let (found, count) = (&weight.dims, scale.len());
        return Err(Fault::malformed(format!("{count} scales do not fit a weight {found:?}")));
    }
    let width = values.len() / scale.len();
    let factor =
        |index: usize| if rows { scale[index / width] } else { scale[index % scale.len()] };
    let values: Vec<f32> =
        values.iter().enumerate().map(|(index, value)| value / factor(index)).collect();
    Ok(Weight::floats(&weight.dims, &values))
}
