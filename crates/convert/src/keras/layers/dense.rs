//! `Dense`.

use modelyard_tensor::Dim;

use crate::EvaluateError;
use crate::keras::activations::Activation;
use crate::keras::argument::Arguments;
use crate::keras::config::Config;
use crate::keras::converter::Converter;
use crate::keras::evaluator::{Evaluator, Sample};
use crate::keras::fault::Fault;
use crate::keras::layer::{Layer, Masks, Operation};
use crate::keras::layers::quantized::{self, Quantized};
use crate::keras::reader::Context;
use crate::keras::value::Value;
use crate::keras::variables::Variables;
use crate::keras::weight::Weight;
use crate::reference::elementwise::add;
use crate::reference::matmul::matmul;

/// The last axis times a matrix, plus a bias.
#[derive(Debug)]
struct Dense {
    use_bias: bool,
    activation: Activation,
    quantized: Quantized,
}

/// Reads one.
pub(crate) fn read(
    _: &str,
    config: &Config,
    context: &mut Context<'_>,
) -> Result<Box<dyn Operation>, Fault> {
    Ok(Box::new(Dense {
        use_bias: config.flag(&["use_bias", "bias"], true)?,
        activation: Activation::read(config.get(&["activation"]), context.reader.major)?,
        quantized: Quantized::read(context)?,
    }))
}

impl Dense {
    fn kernel(&self, of: &Variables, read: quantized::Read<'_>) -> Result<Weight, Fault> {
        let kernel = self.quantized.weight(of, "kernel", read)?;
        kernel.of_rank(2)?;
        Ok(kernel)
    }
}

impl Operation for Dense {
    fn variables(&self, base: Variables) -> Variables {
        let names: &[&str] = if self.use_bias { &["kernel", "bias"] } else { &["kernel"] };
        self.quantized.variables(base.trained(names))
    }

    fn masks(&self) -> Masks {
        Masks::Pass
    }

    fn convert(
        &self,
        layer: &Layer,
        call: &Arguments<Value>,
        to: &mut Converter<'_>,
    ) -> Result<Vec<Value>, Fault> {
        let x = to.float(call.input()?);
        let of = layer.variables();
        self.quantized.note(to);
        let (kernel, dims) =
            to.derived_weight(&of, "kernel", |to| self.kernel(&of, &|of, name| to.read(of, name)))?;
        let features = x.dims.last().and_then(crate::keras::value::fixed);
        if x.rank() == 0 || features.is_some_and(|features| features != dims[0]) {
            let found = &x.dims;
            return Err(Fault::malformed(format!(
                "expected {} features for a kernel of shape {dims:?}, found {found:?}",
                dims[0]
            )));
        }
        let mut out = x.dims.clone();
        out[x.rank() - 1] = Dim::Fixed(dims[1]);
        let name = to.op("MatMul", &[&x.name, &kernel]);
        let mut y = to.value(name, out, x.element_type);
        if self.use_bias {
            let (bias, _) = to.weight(&of, "bias")?;
            let name = to.op("Add", &[&y.name, &bias]);
            y = to.like(&y, name);
        }
        Ok(vec![self.activation.convert(&y, to)?])
    }

    fn evaluate(
        &self,
        layer: &Layer,
        call: &Arguments<Sample>,
        with: &Evaluator<'_>,
    ) -> Result<Vec<Sample>, EvaluateError> {
        let x = super::floats(&call.input()?.array)?;
        let of = layer.variables();
        let kernel = self.kernel(&of, &|of, name| with.read_weight(of, name))?.array()?;
        let mut y = matmul(&x, &kernel)?;
        if self.use_bias {
            y = add(&y, &with.weight(&of, "bias")?)?;
        }
        Ok(Sample::only(self.activation.evaluate(&y)?))
    }
}
