//! Activations as nodes.

use crate::emitter::node;
use crate::keras::activations::Activation;
use crate::keras::converter::Converter;
use crate::keras::fault::Fault;
use crate::keras::value::{Value, axis_of, derived};

/// The scale of the self-normalizing unit (arXiv:1706.02515), and its alpha.
const SELU: (f32, f32) = (1.050_701, 1.673_263_2);

impl Activation {
    /// Writes the function as nodes.
    pub(crate) fn convert(self, x: &Value, to: &mut Converter<'_>) -> Result<Value, Fault> {
        let x = &to.float(x);
        Ok(match self {
            Activation::Linear => x.clone(),
            Activation::Relu { max, slope, threshold } => relu(x, to, (max, slope, threshold)),
            Activation::Elu(alpha) => elu(x, to, alpha),
            Activation::Celu(alpha) => {
                // alpha * elu(x / alpha)
                let inner = to.with_scalar("Div", x, alpha);
                let inner = elu(&inner, to, 1.0);
                to.with_scalar("Mul", &inner, alpha)
            }
            Activation::Selu => {
                let inner = elu(x, to, SELU.1);
                to.with_scalar("Mul", &inner, SELU.0)
            }
            Activation::Gelu { approximate } => gelu(x, to, approximate)?,
            Activation::Sigmoid => to.unary("Sigmoid", x),
            Activation::Silu => {
                let gate = to.unary("Sigmoid", x);
                to.binary("Mul", x, &gate)?
            }
            Activation::HardSigmoid(alpha) => hard_sigmoid(x, to, alpha),
            Activation::HardSilu => {
                let gate = hard_sigmoid(x, to, 1.0 / 6.0);
                to.binary("Mul", x, &gate)?
            }
            Activation::Tanh => to.unary("Tanh", x),
            Activation::HardTanh => clip(x, to, Some(-1.0), Some(1.0)),
            Activation::TanhShrink => {
                let tanh = to.unary("Tanh", x);
                to.binary("Sub", x, &tanh)?
            }
            Activation::HardShrink(threshold) => {
                let size = to.unary("Abs", x);
                let beyond = to.with_scalar("Greater", &size, threshold);
                choose(&beyond, x, 0.0, to)
            }
            Activation::SoftShrink(threshold) => {
                // What the value has beyond the threshold on both sides.
                let within = clip(x, to, Some(-threshold), Some(threshold));
                to.binary("Sub", x, &within)?
            }
            Activation::Threshold { threshold, other } => {
                let above = to.with_scalar("Greater", x, threshold);
                choose(&above, x, other, to)
            }
            Activation::Softplus => to.unary("Softplus", x),
            Activation::Softsign => to.unary("Softsign", x),
            Activation::Squareplus(b) => {
                let square = to.binary("Mul", x, x)?;
                let square = to.with_scalar("Add", &square, b);
                let root = to.unary("Sqrt", &square);
                let sum = to.binary("Add", x, &root)?;
                to.with_scalar("Mul", &sum, 0.5)
            }
            Activation::SparsePlus => sparse_plus(x, to)?,
            Activation::SparseSigmoid => {
                let half = to.with_scalar("Mul", x, 0.5);
                let half = to.with_scalar("Add", &half, 0.5);
                clip(&half, to, Some(0.0), Some(1.0))
            }
            Activation::Mish => {
                let inner = to.unary("Softplus", x);
                let inner = to.unary("Tanh", &inner);
                to.binary("Mul", x, &inner)?
            }
            Activation::Exponential => to.unary("Exp", x),
            Activation::LogSigmoid => {
                let negative = to.unary("Neg", x);
                let inner = to.unary("Softplus", &negative);
                to.unary("Neg", &inner)
            }
            Activation::Softmax(axis) => along(x, to, "Softmax", axis)?,
            Activation::LogSoftmax(axis) => along(x, to, "LogSoftmax", axis)?,
            Activation::Glu(axis) => glu(x, to, axis)?,
        })
    }
}

/// The value within bounds.
pub(crate) fn clip(
    x: &Value,
    to: &mut Converter<'_>,
    low: Option<f32>,
    high: Option<f32>,
) -> Value {
    let mut bound = |name: &str, bound: Option<f32>| {
        bound.map_or_else(String::new, |bound| to.emitter.scalar(name, bound))
    };
    let (low, high) = (bound("min", low), bound("max", high));
    let mut inputs = vec![x.name.clone(), low, high];
    while inputs.last().is_some_and(String::is_empty) {
        inputs.pop();
    }
    let name = to.op("Clip", &inputs);
    to.like(x, name)
}

fn relu(
    x: &Value,
    to: &mut Converter<'_>,
    (max, slope, threshold): (Option<f32>, f32, f32),
) -> Value {
    if threshold == 0.0 {
        return match (max, slope) {
            (None, 0.0) => to.unary("Relu", x),
            (Some(max), 0.0) => clip(x, to, Some(0.0), Some(max)),
            (max, slope) => {
                let name = to.add(node("LeakyRelu", &[&x.name]).with("alpha", slope));
                let leaky = to.like(x, name);
                match max {
                    Some(_) => clip(&leaky, to, None, max),
                    None => leaky,
                }
            }
        };
    }
    let below = to.with_scalar("Sub", x, threshold);
    let below = to.with_scalar("Mul", &below, slope);
    let reached = to.with_scalar("Greater", x, threshold);
    let name = to.op("Where", &[&reached.name, &x.name, &below.name]);
    let whole = to.like(x, name);
    match max {
        Some(_) => clip(&whole, to, None, max),
        None => whole,
    }
}

fn elu(x: &Value, to: &mut Converter<'_>, alpha: f32) -> Value {
    let name = to.add(node("Elu", &[&x.name]).with("alpha", alpha));
    to.like(x, name)
}

fn hard_sigmoid(x: &Value, to: &mut Converter<'_>, alpha: f32) -> Value {
    let hard = node("HardSigmoid", &[&x.name]).with("alpha", alpha).with("beta", 0.5);
    let name = to.add(hard);
    to.like(x, name)
}

fn gelu(x: &Value, to: &mut Converter<'_>, approximate: bool) -> Result<Value, Fault> {
    let inner = if approximate {
        let square = to.binary("Mul", x, x)?;
        let cube = to.binary("Mul", &square, x)?;
        let cube = to.with_scalar("Mul", &cube, 0.044_715);
        let sum = to.binary("Add", x, &cube)?;
        let scaled = to.with_scalar("Mul", &sum, (2.0 / std::f32::consts::PI).sqrt());
        to.unary("Tanh", &scaled)
    } else {
        let scaled = to.with_scalar("Div", x, std::f32::consts::SQRT_2);
        to.unary("Erf", &scaled)
    };
    let gate = to.with_scalar("Add", &inner, 1.0);
    let product = to.binary("Mul", x, &gate)?;
    Ok(to.with_scalar("Mul", &product, 0.5))
}

/// `x` where the condition holds, a number elsewhere.
fn choose(condition: &Value, x: &Value, other: f32, to: &mut Converter<'_>) -> Value {
    let other = to.scalar(other);
    let name = to.op("Where", &[&condition.name, &x.name, &other.name]);
    to.like(x, name)
}

fn sparse_plus(x: &Value, to: &mut Converter<'_>) -> Result<Value, Fault> {
    let within = clip(x, to, Some(-1.0), Some(1.0));
    let sum = to.with_scalar("Add", &within, 1.0);
    let square = to.binary("Mul", &sum, &sum)?;
    let quarter = to.with_scalar("Mul", &square, 0.25);
    let above = to.with_scalar("Greater", x, 1.0);
    let name = to.op("Where", &[&above.name, &x.name, &quarter.name]);
    Ok(to.like(x, name))
}

fn axis(x: &Value, axis: i64) -> Result<usize, Fault> {
    axis_of(axis, x.rank()).ok_or_else(|| {
        Fault::malformed(format!("expected an axis of {} dimensions, found {axis}", x.rank()))
    })
}

fn along(x: &Value, to: &mut Converter<'_>, op_type: &str, along: i64) -> Result<Value, Fault> {
    let axis = axis(x, along)?;
    let name = to.add(node(op_type, &[&x.name]).with("axis", axis as i64));
    Ok(to.like(x, name))
}

fn glu(x: &Value, to: &mut Converter<'_>, along: i64) -> Result<Value, Fault> {
    let axis = axis(x, along)?;
    let halves = node("Split", &[&x.name]).with("axis", axis as i64).with("num_outputs", 2);
    let names = to.emitter.add_many(halves, 2);
    let mut dims = x.dims.clone();
    dims[axis] = derived(&x.dims[axis], |size| Some(size / 2));
    let [one, two] = [0, 1].map(|half| to.value(names[half].clone(), dims.clone(), x.element_type));
    let gate = to.unary("Sigmoid", &two);
    to.binary("Mul", &one, &gate)
}
