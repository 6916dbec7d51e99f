//! `LeakyReLU`: the rectifiers that let something through below 0.

use super::super::site::Site;
use super::{Info, Op, Operator, Problem, at, info};
use crate::EvaluateError;
use crate::emitter::node;
use crate::reference::{Array, activations, elementwise};

pub(super) const OPERATOR: Operator = Operator { names: &["LeakyReLU"], infer, convert, evaluate };

fn kind<'a>(op: &Op<'a>) -> &'a str {
    op.attributes.text("act_type").unwrap_or("leaky")
}

fn slope(op: &Op<'_>) -> Result<f64, Problem> {
    op.attributes.float_or("slope", 0.25)
}

/// The slope of the random one when nobody trains: the middle.
fn middle(op: &Op<'_>) -> Result<f64, Problem> {
    let low = op.attributes.float_or("lower_bound", 0.125)?;
    Ok((low + op.attributes.float_or("upper_bound", 0.334)?) / 2.0)
}

fn infer(op: &Op<'_>, inputs: &[Info]) -> Result<Vec<Info>, Problem> {
    let input = info(inputs, 0)?;
    match kind(op) {
        "leaky" | "elu" | "selu" | "gelu" | "rrelu" => {}
        "prelu" => {
            let slopes = info(inputs, 1)?.len()?;
            let channels = input.dims.get(usize::from(input.rank() > 1)).copied().unwrap_or(1);
            if slopes != 1 && slopes != channels {
                return Err(Problem::shape(format!("{slopes} slopes for {channels} channels")));
            }
        }
        other => return Err(Problem::shape(format!("there is no rectifier '{other}'"))),
    }
    Ok(vec![input.clone()])
}

fn convert(site: &mut Site<'_>) -> Result<Vec<String>, Problem> {
    let kind = kind(&site.op);
    let (x, number) = (site.input(0)?, site.kind()?);
    let found = match kind {
        "leaky" => node("LeakyRelu", &[x]).with("alpha", slope(&site.op)? as f32),
        "rrelu" => node("LeakyRelu", &[x]).with("alpha", middle(&site.op)? as f32),
        "elu" => node("Elu", &[x]).with("alpha", slope(&site.op)? as f32),
        "prelu" => {
            let slopes = site.input(1)?;
            // One slope a channel, along the second axis.
            let mut dims = vec![-1];
            dims.resize(site.rank()?.saturating_sub(1).max(1), 1);
            let slopes = site.reshape(&slopes, &dims);
            node("PRelu", &[x, slopes])
        }
        "selu" => {
            // scale * (max(x, 0) + alpha * (exp(min(x, 0)) - 1))
            let elu = site.add(node("Elu", &[x]).with("alpha", SELU_ALPHA as f32));
            let scale = site.number("scale", number, SELU_SCALE);
            node("Mul", &[elu, scale])
        }
        _ => {
            let root = site.number("root", number, std::f64::consts::SQRT_2);
            let (half, one) = (site.number("half", number, 0.5), site.number("one", number, 1.0));
            let scaled = site.op("Div", &[&x, &root]);
            let erf = site.op("Erf", &[&scaled]);
            let sum = site.op("Add", &[&erf, &one]);
            let product = site.op("Mul", &[&x, &sum]);
            node("Mul", &[product, half])
        }
    };
    Ok(vec![site.add(found)])
}

const SELU_ALPHA: f64 = 1.673_263_242_354_377_2;
const SELU_SCALE: f64 = 1.050_700_987_355_480_5;

fn evaluate(op: &Op<'_>, inputs: &[&Array]) -> Result<Vec<Array>, EvaluateError> {
    let x = at(inputs, 0)?;
    let leaky = |slope| elementwise::map(x, move |x| activations::leaky_relu(x, slope));
    let found = match kind(op) {
        "leaky" => leaky(slope(op)?)?,
        "rrelu" => leaky(middle(op)?)?,
        "elu" => {
            let slope = slope(op)?;
            elementwise::map(x, |x| activations::elu(x, slope))?
        }
        "selu" => elementwise::map(x, activations::selu)?,
        "prelu" => {
            let slopes = at(inputs, 1)?;
            let mut dims = vec![1; x.rank()];
            if let Some(channels) = dims.get_mut(usize::from(x.rank() > 1)) {
                *channels = slopes.len();
            }
            let slopes = slopes.clone().reshaped(&dims)?;
            elementwise::zip_floats(x, &slopes, activations::leaky_relu)?
        }
        _ => elementwise::map(x, activations::gelu)?,
    };
    Ok(vec![found])
}
