//! `EinsumDense`: a product with a kernel over named axes.

use modelyard_tensor::Dim;

use crate::EvaluateError;
use crate::emitter::node;
use crate::keras::activations::Activation;
use crate::keras::argument::Arguments;
use crate::keras::config::Config;
use crate::keras::converter::Converter;
use crate::keras::einsum::Equation;
use crate::keras::evaluator::{Evaluator, Sample};
use crate::keras::fault::Fault;
use crate::keras::layer::{Layer, Operation};
use crate::keras::reader::Context;
use crate::keras::value::Value;
use crate::keras::variables::Variables;
use crate::keras::weight::Weight;
use crate::reference::elementwise::add;

/// A product with a kernel, plus a bias.
#[derive(Debug)]
struct EinsumDense {
    equation: String,
    /// The axes of the output that the bias has.
    bias_axes: Option<String>,
    activation: Activation,
}

/// Reads one.
pub(crate) fn read(
    _: &str,
    config: &Config,
    context: &mut Context<'_>,
) -> Result<Box<dyn Operation>, Fault> {
    super::refuse_quantized(context)?;
    let equation = config.text(&["equation"], "")?.replace(' ', "");
    let bias_axes = config.text(&["bias_axes"], "")?;
    Ok(Box::new(EinsumDense {
        equation,
        bias_axes: Some(bias_axes).filter(|axes| !axes.is_empty()),
        activation: Activation::read(config.get(&["activation"]), context.reader.major)?,
    }))
}

impl EinsumDense {
    /// The equation with letters for the axes that an ellipsis stands for.
    fn equation(&self, rank: usize) -> Result<Equation, Fault> {
        if !self.equation.contains("...") {
            return Equation::parse(&self.equation);
        }
        let named = self.equation.split(',').next().unwrap_or_default().replace("...", "");
        let free: String = ('A'..='Z')
            .filter(|letter| !self.equation.contains(*letter))
            .take(rank.saturating_sub(named.chars().count()))
            .collect();
        // The ellipsis of the kernel, if there is one, stands for nothing.
        let mut parts = self.equation.splitn(2, ',');
        let (one, rest) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let (two, out) = rest.split_once("->").unwrap_or((rest, ""));
        let text = format!(
            "{},{}->{}",
            one.replace("...", &free),
            two.replace("...", ""),
            out.replace("...", &free)
        );
        Equation::parse(&text)
    }

    /// The bias in a shape that broadcasts to the output.
    fn bias(&self, weight: Weight, equation: &Equation) -> Result<Weight, Fault> {
        let axes: Vec<char> = self.bias_axes.iter().flat_map(|axes| axes.chars()).collect();
        let Some(first) = equation.out.iter().position(|axis| axes.contains(axis)) else {
            return Err(Fault::malformed("the axes of the bias are none of the output"));
        };
        let mut sizes = weight.dims.iter();
        let dims: Vec<usize> = equation.out[first..]
            .iter()
            .map(|axis| match axes.contains(axis) {
                true => sizes.next().copied().unwrap_or(1),
                false => 1,
            })
            .collect();
        weight.reshaped(&dims)
    }
}

impl Operation for EinsumDense {
    fn variables(&self, base: Variables) -> Variables {
        base.trained(if self.bias_axes.is_some() { &["kernel", "bias"] } else { &["kernel"] })
    }

    fn convert(
        &self,
        layer: &Layer,
        call: &Arguments<Value>,
        to: &mut Converter<'_>,
    ) -> Result<Vec<Value>, Fault> {
        let x = to.float(call.input()?);
        let equation = self.equation(x.rank())?;
        if x.rank() != equation.one.len() {
            let (found, text) = (x.rank(), equation.text());
            return Err(Fault::malformed(format!("{found} dimensions do not fit '{text}'")));
        }
        let of = layer.variables();
        let (kernel, dims) = to.weight(&of, "kernel")?;
        if dims.len() != equation.two.len() {
            return Err(Fault::malformed(format!(
                "a kernel {dims:?} does not fit '{}'",
                equation.text()
            )));
        }
        let size = |axis: &char| {
            let from_input = equation.one.iter().position(|name| name == axis);
            let from_kernel = equation.two.iter().position(|name| name == axis);
            match (from_input, from_kernel) {
                (Some(place), _) => x.dims[place].clone(),
                (_, Some(place)) => Dim::Fixed(dims[place]),
                _ => Dim::Free,
            }
        };
        let out: Vec<Dim> = equation.out.iter().map(size).collect();
        let einsum = node("Einsum", &[&x.name, &kernel]).with("equation", equation.text().as_str());
        let name = to.add(einsum);
        let mut y = to.value(name, out, x.element_type);
        if self.bias_axes.is_some() {
            let (bias, _) = to.weight_as(&of, "bias", |bias| self.bias(bias, &equation))?;
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
        let equation = self.equation(x.rank())?;
        let of = layer.variables();
        let mut y = equation.evaluate(&x, &with.weight(&of, "kernel")?)?;
        if self.bias_axes.is_some() {
            let bias = self.bias(with.read(&of, "bias")?, &equation)?;
            y = add(&y, &bias.array()?)?;
        }
        Ok(Sample::only(self.activation.evaluate(&y)?))
    }
}
