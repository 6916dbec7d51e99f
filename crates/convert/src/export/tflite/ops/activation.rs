//! Activations.

use modelyard_graph::{ElementType, Node};

use super::super::file::Quantization;
use super::super::options::{self, Options};
use super::super::stop::{Stop, refused};
use super::super::writer::{FLOAT, Id, Writer};
use super::unary::ends;

/// The quantization that the result of an operator of integers must have; `None` for any.
type Demand = Option<(f32, i64)>;

pub(super) fn write<'a>(cx: &mut Writer<'a>, node: &'a Node) -> Result<(), Stop> {
    let (input, output) = ends(node)?;
    let alpha = |default: f32| node.float("alpha").unwrap_or(default);
    let direct: Option<(&'static str, Option<Options>, Demand)> = match node.op_type.as_str() {
        "Relu" => Some(("RELU", None, None)),
        "Sigmoid" => Some(("LOGISTIC", None, Some((1.0 / 256.0, -128)))),
        "Tanh" => Some(("TANH", None, Some((1.0 / 128.0, 0)))),
        "LeakyRelu" => Some(("LEAKY_RELU", Some(options::leaky_relu(alpha(0.01))), None)),
        "HardSwish" => Some(("HARD_SWISH", options::none("HARD_SWISH"), None)),
        _ => None,
    };
    let is_real = matches!(cx.facts.element_type(input), None | Some(ElementType::Float32));
    if node.is("Relu") && !is_real {
        return positive(cx, input, output);
    }
    if let Some((operator, options, demand)) = direct {
        let (value, made) = cx.activated(input, output, demand)?;
        cx.with(operator, &[Some(value)], &[made], options);
        return Ok(());
    }
    let value = cx.value(input)?;
    if cx.tensor(value).type_code != FLOAT {
        return Err(refused("values that are not float", "compute it in float"));
    }
    match node.op_type.as_str() {
        "Gelu" => {
            let approximate = node.string("approximate") == Some("tanh");
            let made = cx.output(output)?;
            cx.with("GELU", &[Some(value)], &[made], Some(options::gelu(approximate)));
        }
        "PRelu" => {
            let slope = cx.input(node, 1)?;
            let slope = leading_axis_dropped(cx, slope, value)?;
            let made = cx.output(output)?;
            cx.plain("PRELU", &[value, slope], made);
        }
        "Elu" if alpha(1.0) == 1.0 => {
            let made = cx.output(output)?;
            cx.plain("ELU", &[value], made);
        }
        "Elu" => exponential(cx, value, output, [1.0, alpha(1.0), 1.0])?,
        "Celu" => exponential(cx, value, output, [1.0, alpha(1.0), 1.0 / alpha(1.0)])?,
        "Selu" => {
            let (alpha, gamma) = (alpha(1.673_263_2), node.float("gamma").unwrap_or(1.050_701));
            exponential(cx, value, output, [gamma, gamma * alpha, 1.0])?;
        }
        "HardSigmoid" => {
            let (slope, shift) =
                (cx.scalar(alpha(0.2)), cx.scalar(node.float("beta").unwrap_or(0.5)));
            let line = cx.alike("MUL", &[value, slope]);
            let line = cx.alike("ADD", &[line, shift]);
            bounded(cx, line, output, [Some(0.0), Some(1.0)])?;
        }
        "Softsign" => {
            let one = cx.scalar(1.0);
            let size = cx.alike("ABS", &[value]);
            let below = cx.alike("ADD", &[size, one]);
            let made = cx.output(output)?;
            cx.arithmetic("DIV", &[value, below], made);
        }
        "ThresholdedRelu" => {
            let limit = cx.scalar(alpha(1.0));
            let dims = cx.tensor(value).dims.clone();
            let is_above = cx.typed("GREATER", super::super::writer::BOOL, &dims);
            cx.plain("GREATER", &[value, limit], is_above);
            let zero = cx.scalar(0.0);
            let made = cx.output(output)?;
            cx.plain("SELECT_V2", &[is_above, value, zero], made);
        }
        "Softplus" => {
            let made = cx.output(output)?;
            softplus(cx, value, made);
        }
        // Mish: x * tanh(softplus(x)).
        _ => {
            let dims = cx.tensor(value).dims.clone();
            let soft = cx.between("softplus", value, &dims);
            softplus(cx, value, soft);
            let tanh = cx.alike("TANH", &[soft]);
            let made = cx.output(output)?;
            cx.arithmetic("MUL", &[value, tanh], made);
        }
    }
    Ok(())
}

/// `Relu` of integers, for which `RELU` has no kernel.
fn positive(cx: &mut Writer<'_>, input: &str, output: &str) -> Result<(), Stop> {
    let value = cx.value(input)?;
    let zero = super::pad::filler_like(cx, 0.0, value)?;
    let made = cx.output(output)?;
    cx.plain("MAXIMUM", &[value, zero], made);
    Ok(())
}

impl Writer<'_> {
    /// The tensors of an activation: of integers where it takes and gives some, and those that it
    /// gives are of the quantization that the operator demands.
    pub(super) fn activated(
        &mut self,
        input: &str,
        output: &str,
        demand: Option<(f32, i64)>,
    ) -> Result<(Id, Id), Stop> {
        let fits = |wanted: &Quantization| match demand {
            None => true,
            Some((scale, zero_point)) => {
                wanted.scales == [scale] && wanted.zero_points == [zero_point]
            }
        };
        if let Some(value) = self.quantized(input)
            && let Some(wanted) = self.wanted(output).filter(fits)
        {
            return Ok((value, self.quantized_output(output, wanted)));
        }
        Ok((self.value(input)?, self.output(output)?))
    }
}

/// Slopes without the axis of the batch, as `PRELU` wants them.
fn leading_axis_dropped(cx: &mut Writer<'_>, slope: Id, value: Id) -> Result<Id, Stop> {
    let rank = cx.tensor(value).dims.len();
    let mut dims = cx.tensor(slope).dims.clone();
    if dims.len() == rank && dims.first() == Some(&Some(1)) {
        dims.remove(0);
    } else if dims.len() >= rank {
        return Err(refused("slopes that differ by example", "give them by channel"));
    }
    while dims.len() + 1 < rank {
        dims.insert(0, Some(1));
    }
    if dims == cx.tensor(slope).dims { Ok(slope) } else { Ok(cx.reshaped(slope, &dims)) }
}

/// `a * max(x, 0) + b * (exp(c * min(x, 0)) - 1)`.
fn exponential(
    cx: &mut Writer<'_>,
    value: Id,
    output: &str,
    [positive, negative, inner]: [f32; 3],
) -> Result<(), Stop> {
    let zero = cx.scalar(0.0);
    let mut up = cx.alike("RELU", &[value]);
    if positive != 1.0 {
        let factor = cx.scalar(positive);
        up = cx.alike("MUL", &[up, factor]);
    }
    let mut down = cx.alike("MINIMUM", &[value, zero]);
    if inner != 1.0 {
        let factor = cx.scalar(inner);
        down = cx.alike("MUL", &[down, factor]);
    }
    let down = cx.alike("ELU", &[down]);
    let factor = cx.scalar(negative);
    let down = cx.alike("MUL", &[down, factor]);
    let made = cx.output(output)?;
    cx.arithmetic("ADD", &[up, down], made);
    Ok(())
}

/// `max(x, 0) + log(1 + exp(-|x|))`
fn softplus(cx: &mut Writer<'_>, value: Id, made: Id) {
    let one = cx.scalar(1.0);
    let up = cx.alike("RELU", &[value]);
    let size = cx.alike("ABS", &[value]);
    let negative = cx.alike("NEG", &[size]);
    let power = cx.alike("EXP", &[negative]);
    let sum = cx.alike("ADD", &[power, one]);
    let log = cx.alike("LOG", &[sum]);
    cx.arithmetic("ADD", &[up, log], made);
}

pub(super) fn clip<'a>(cx: &mut Writer<'a>, node: &'a Node) -> Result<(), Stop> {
    let (input, output) = ends(node)?;
    let bounds = [cx.facts.number(node, 1), cx.facts.number(node, 2)];
    let is_zero_to_six = bounds == [Some(0.0), Some(6.0)];
    if is_zero_to_six && cx.facts.element_type(input) == Some(ElementType::Float32) {
        let (value, made) = cx.activated(input, output, None)?;
        cx.plain("RELU6", &[value], made);
        return Ok(());
    }
    let mut value = cx.value(input)?;
    let limits: Vec<(usize, &'static str)> = [(1, "MAXIMUM"), (2, "MINIMUM")]
        .into_iter()
        .filter(|(slot, _)| node.input(*slot).is_some())
        .collect();
    let made = cx.output(output)?;
    for (index, (slot, operator)) in limits.iter().enumerate() {
        let limit = cx.input(node, *slot)?;
        if index + 1 == limits.len() {
            cx.plain(operator, &[value, limit], made);
        } else {
            value = cx.alike(operator, &[value, limit]);
        }
    }
    if limits.is_empty() {
        let dims = cx.tensor(made).dims.clone();
        cx.reshape_into(value, made, &dims)?;
    }
    Ok(())
}

fn bounded(
    cx: &mut Writer<'_>,
    value: Id,
    output: &str,
    [least, most]: [Option<f32>; 2],
) -> Result<(), Stop> {
    let made = cx.output(output)?;
    let least = cx.scalar(least.unwrap_or(f32::MIN));
    let value = cx.alike("MAXIMUM", &[value, least]);
    let most = cx.scalar(most.unwrap_or(f32::MAX));
    cx.plain("MINIMUM", &[value, most], made);
    Ok(())
}
