//! Quantization by a true division.
//!
//! `x / scale` may lie just below the middle of two steps where `x * (1 / scale)`, which rten
//! computes, lies on it, and the answer is then another integer. So `x` is divided first, and
//! quantized with a scale of 1, which is exact. rten's Div by a single element also multiplies by
//! `1 / scale`; by several it divides.

use modelyard_graph::{AttributeValue, ElementType, Node};

use super::elementwise::is_float;
use super::{Amender, Answer, Instead};

/// `QuantizeLinear(x, scale, zero) = QuantizeLinear(x / scale, 1, zero)`.
pub(super) fn linear(amender: &mut Amender, node: &Node) -> Answer {
    let (Some(input), Some(scale)) = (node.input(0), node.input(1)) else { return Ok(None) };
    if amender.kind(input).is_some_and(|kind| !is_float(kind.element_type)) {
        return Err("rounds wrongly, and its input is no float");
    }
    let is_scalar = amender.kind(scale).is_some_and(|kind| kind.rank == 0);
    let dims = amender.dims.get(scale).cloned().or_else(|| is_scalar.then(Vec::new));
    match dims.ok_or("rounds wrongly where its scale is neither constant nor a scalar")?[..] {
        [] => Ok(one_scale(amender, node, false)),
        [1] => Ok(one_scale(amender, node, true)),
        [count] => scale_by_index(amender, node, count),
        _ => Err("rounds wrongly where its scale has several dimensions"),
    }
}

/// One scale for all, a scalar or (`listed`) a list of one.
fn one_scale(amender: &mut Amender, node: &Node, listed: bool) -> Option<Vec<Node>> {
    let (input, scale) = (node.input(0)?, node.input(1)?);
    let one = amender.floats(&[], &[1.0]);
    let mut instead = Instead::of(node, amender);
    let scale = instead.scalar(scale, listed);
    let zero_point = match node.input(2) {
        Some(name) => Some(instead.scalar(name, listed)),
        None if node.int("output_dtype").is_some_and(|dtype| dtype != 0) => None,
        // rten demands what ONNX takes for granted.
        None => Some(instead.amender.byte_zero()),
    };
    let steps = instead.divide(input, &scale);
    let mut inputs = vec![steps.as_str(), &one];
    inputs.extend(zero_point.as_deref());
    instead.last("QuantizeLinear", &inputs, &kept(node), node.output(0)?);
    Some(instead.nodes)
}

/// One scale for each index of an axis.
fn scale_by_index(amender: &mut Amender, node: &Node, count: usize) -> Answer {
    let (Some(input), Some(scale), Some(output)) = (node.input(0), node.input(1), node.output(0))
    else {
        return Ok(None);
    };
    const UNKNOWN: &str = "rounds wrongly, and the rank of its input is not known";
    let rank = amender.kind(input).ok_or(UNKNOWN)?.rank;
    let axis = node.int("axis").unwrap_or(1);
    let axis = if axis < 0 { axis + rank as i64 } else { axis };
    let place = usize::try_from(axis).ok().filter(|&axis| axis < rank).ok_or(UNKNOWN)?;
    let mut shape = vec![1; rank - place];
    shape[0] = -1;
    let shape = amender.integers(&shape);
    let ones = amender.floats(&[count], &vec![1.0; count]);
    let mut instead = Instead::of(node, amender);
    let scale = instead.make("Reshape", &[scale, &shape]);
    let steps = instead.make("Div", &[input, &scale]);
    let mut inputs = vec![steps.as_str(), &ones];
    inputs.extend(node.input(2));
    let mut attributes = kept(node);
    // Said in any case: rten's default is another one than ONNX's.
    attributes.push(("axis", axis.into()));
    instead.last("QuantizeLinear", &inputs, &attributes, output);
    Ok(Some(instead.nodes))
}

/// The attributes without the axis.
fn kept(node: &Node) -> Vec<(&str, AttributeValue)> {
    let kept = node.attributes.iter().filter(|attribute| attribute.name != "axis");
    kept.map(|attribute| (attribute.name.as_str(), attribute.value.clone())).collect()
}

impl Instead<'_> {
    /// A tensor divided by a scalar.
    fn divide(&mut self, tensor: &str, scalar: &str) -> String {
        let shape = self.make("Shape", &[tensor]);
        let divisors = self.make("Expand", &[scalar, &shape]);
        self.make("Div", &[tensor, &divisors])
    }

    /// A scalar divided by a scalar.
    fn divide_scalars(&mut self, dividend: &str, divisor: &str) -> String {
        let two = self.amender.integers(&[2]);
        let first = self.amender.zero();
        let divisors = self.make("Expand", &[divisor, &two]);
        let quotients = self.make("Div", &[dividend, &divisors]);
        self.make("Gather", &[&quotients, &first])
    }

    /// `name` as a scalar; `listed` if it is a list of one.
    fn scalar(&mut self, name: &str, listed: bool) -> String {
        if !listed {
            return name.to_owned();
        }
        let shape = self.amender.integers(&[]);
        self.make("Reshape", &[name, &shape])
    }
}

/// The function that ONNX defines the operator by, but with a scale of 1 where all elements are
/// 0, as runtimes have it.
pub(super) fn dynamic(amender: &mut Amender, node: &Node) -> Answer {
    let Some(input) = node.input(0) else { return Ok(None) };
    let named = |amender: &mut Amender, index| {
        node.output(index).map_or_else(|| amender.fresh(), str::to_owned)
    };
    let (output, scale, zero_point) = (named(amender, 0), named(amender, 1), named(amender, 2));
    let [zero, one, most] = [0.0, 1.0, 255.0].map(|value| amender.floats(&[], &[value]));
    let mut instead = Instead::of(node, amender);
    let whole = [("keepdims", 0i64.into())];
    let min = instead.make_with("ReduceMin", &[input], &whole);
    let max = instead.make_with("ReduceMax", &[input], &whole);
    let min = instead.make("Min", &[&min, &zero]);
    let max = instead.make("Max", &[&max, &zero]);
    let range = instead.make("Sub", &[&max, &min]);
    let step = instead.divide_scalars(&range, &most);
    let flat = instead.make("Equal", &[&step, &zero]);
    instead.last("Where", &[&flat, &one, &step], &[], &scale);
    let below = instead.make("Sub", &[&zero, &min]);
    let zero_step = instead.divide_scalars(&below, &scale);
    let zero_step = instead.make("Round", &[&zero_step]);
    let zero_step = instead.make("Clip", &[&zero_step, &zero, &most]);
    let byte = [("to", i64::from(ElementType::Uint8.code()).into())];
    instead.last("Cast", &[&zero_step], &byte, &zero_point);
    let steps = instead.divide(input, &scale);
    instead.last("QuantizeLinear", &[&steps, &one, &zero_point], &[], &output);
    Ok(Some(instead.nodes))
}
