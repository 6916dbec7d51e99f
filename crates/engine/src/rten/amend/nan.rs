//! Relu and Clip: what is no number has to stay none; rten answers a bound instead, and with it
//! something plausible.
//!
//! Most models make no NaN of finite inputs. They stay as they are, and the session refuses
//! inputs that are not finite: looking at these costs nanoseconds, where the nodes below cost a
//! small model a quarter of its time. What is not seen is a value that outgrows 32 bits inside.
//!
//! In a model that may make NaN itself, or that asks for it, the nodes are replaced. rten's
//! HardSigmoid keeps NaN, and with a large offset it is 1 for everything else (0 for minus
//! infinity): a mark that the answer is multiplied by. That is two passes more; rten's Max and
//! Min, which keep NaN too, take ten times as long as its Relu and Clip.

use std::collections::HashSet;

use modelyard_graph::{Constant, ElementType, Model, Node};

use super::elementwise::is_float;
use super::{Amender, Answer, Instead};

pub(super) fn relu(amender: &mut Amender, node: &Node) -> Answer {
    let (Some(input), Some(output)) = (node.input(0), node.output(0)) else { return Ok(None) };
    if amender.leaves_to_inputs(node) {
        return Ok(None);
    }
    let mut instead = Instead::of(node, amender);
    let bounded = instead.make("Relu", &[input]);
    instead.keep_nan(input, &bounded, output);
    Ok(Some(instead.nodes))
}

pub(super) fn clip(amender: &mut Amender, node: &Node) -> Answer {
    let (Some(input), Some(output)) = (node.input(0), node.output(0)) else { return Ok(None) };
    let kind = amender.kind(input);
    if kind.is_some_and(|kind| !is_float(kind.element_type)) || amender.leaves_to_inputs(node) {
        return Ok(None);
    }
    if kind.is_none() && (node.input(1).is_none() || node.input(2).is_none()) {
        return Err("answers a bound for NaN, and the datatype is not known");
    }
    let low = amender.bound(node, "min", 1, f32::MIN);
    let high = amender.bound(node, "max", 2, f32::MAX);
    let from_zero = amender.is_zero(&low);
    let mut instead = Instead::of(node, amender);
    if from_zero {
        let bounded = instead.make("Clip", &[input, &low, &high]);
        instead.keep_nan(input, &bounded, output);
    } else {
        let above = instead.make("Max", &[input, &low]);
        instead.last("Min", &[&above, &high], &[], output);
    }
    Ok(Some(instead.nodes))
}

impl Amender {
    /// Whether the inputs alone can bring NaN to this node; takes note of it then.
    fn leaves_to_inputs(&mut self, node: &Node) -> bool {
        if !self.makes_nan && self.loses_nan.is_none() {
            self.loses_nan = Some(format!("{} at node '{}'", node.op_type, node.label()));
        }
        !self.makes_nan
    }

    /// The name of a bound: an input, an attribute in old operator sets, or none.
    fn bound(&mut self, node: &Node, attribute: &str, index: usize, widest: f32) -> String {
        match node.input(index) {
            Some(input) => input.to_owned(),
            None => self.floats(&[], &[node.float(attribute).unwrap_or(widest)]),
        }
    }
}

impl Instead<'_> {
    /// `output` is `bounded`, or NaN where `input` is. Where `input` is minus infinity, `bounded`
    /// must be 0.
    fn keep_nan(&mut self, input: &str, bounded: &str, output: &str) {
        let far = [("alpha", 1e-10f32.into()), ("beta", 1e30f32.into())];
        let mark = self.make_with("HardSigmoid", &[input], &far);
        self.last("Mul", &[bounded, &mark], &[], output);
    }
}

/// Whether NaN may come up at a Relu or Clip though the model's inputs are finite, or whether it
/// is asked for.
pub(super) fn comes_up(model: &Model) -> bool {
    let bounds = |node: &Node| node.is("Relu") || node.is("Clip");
    if !model.nodes().any(bounds) {
        return false;
    }
    let constants = constants(model);
    model.nodes().any(|node| node.domain.is_empty() && makes_nan(&constants, node))
        || constants.iter().any(|(_, constant)| !is_finite(constant))
}

fn makes_nan(constants: &[(&str, &Constant)], node: &Node) -> bool {
    // All constants of this name: names may come again inside graphs.
    let second = |is_harmless: fn(f32) -> bool| {
        let Some(name) = node.input(1) else { return false };
        let mut named = constants.iter().filter(|(other, _)| *other == name).peekable();
        named.peek().is_some() && named.all(|(_, constant)| all_floats(constant, is_harmless))
    };
    match node.op_type.as_str() {
        "Log" | "Sqrt" | "Exp" | "Reciprocal" | "Mod" | "Acos" | "Asin" | "Acosh" | "Atanh"
        | "Sinh" | "Cosh" | "ReduceLogSum" | "ReduceLogSumExp" | "LpNormalization" | "IsNaN"
        | "IsInf" => true,
        "Div" => !second(|divisor| divisor != 0.0),
        "Pow" => !second(|power| power >= 0.0 && power.fract() == 0.0),
        _ => false,
    }
}

/// Names of the constants that are the number 0.
pub(super) fn zeros(model: &Model) -> HashSet<String> {
    let zero = |constant: &Constant| {
        constant.elements() == Some(1) && all_floats(constant, |value| value == 0.0)
    };
    let zeros = constants(model).into_iter().filter(|(_, constant)| zero(constant));
    zeros.map(|(name, _)| name.to_owned()).collect()
}

/// Every constant of a model by name: initializers, and what Constant nodes give.
fn constants(model: &Model) -> Vec<(&str, &Constant)> {
    let graphs = model.nodes().flat_map(Node::subgraphs).chain([&model.graph]);
    let stored = graphs.flat_map(|graph| &graph.initializers);
    let nodes = model.nodes().filter(|node| node.is("Constant"));
    let made = nodes.filter_map(|node| Some((node.output(0)?, node.tensor("value")?)));
    stored.map(|stored| (stored.name.as_str(), stored)).chain(made).collect()
}

/// Whether it holds floats, and all are like that.
fn all_floats(constant: &Constant, like_that: fn(f32) -> bool) -> bool {
    constant.element_type == ElementType::Float32
        && constant.bytes().is_some_and(|bytes| {
            bytes.as_chunks().0.iter().all(|&value| like_that(f32::from_le_bytes(value)))
        })
}

/// Whether all elements are numbers; those in other files are taken to be.
fn is_finite(constant: &Constant) -> bool {
    constant.element_type != ElementType::Float32
        || constant.external().is_some()
        || all_floats(constant, f32::is_finite)
}
