//! Branches and loops, and regions that change nothing in inference.

use modelyard_graph::{ElementType, Graph as OnnxGraph};

use super::{Operator, operator};
use crate::EvaluateError;
use crate::emitter::node;
use crate::pytorch::convert::{Call, Refusal};
use crate::pytorch::evaluate::{Eval, Outcome, Value};
use crate::pytorch::graph::Argument;

pub(super) const OPERATORS: &[Operator] = &[
    operator("higher_order.cond", "pred true_fn false_fn operands", convert_cond, evaluate_cond),
    operator("higher_order.wrap_with_set_grad_enabled", "", convert_region, evaluate_region),
    operator("higher_order.wrap_with_autocast", "", convert_region, evaluate_region),
    operator("higher_order.invoke_subgraph", "", convert_region, evaluate_region),
];

/// `If` with both branches as inner graphs, which see the values around them.
fn convert_cond(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let arguments = call.positional();
    let pred = match arguments.first() {
        Some(first) => call.as_operand(first)?,
        None => return Err(Refusal::new("a branch without a condition", "")),
    };
    let pred = super::operands::typed(call, &pred, ElementType::Bool);
    let none = call.to.ints(&[]);
    let pred = call.to.emit("Reshape", &[&pred, &none]);
    let operands = match arguments.get(3) {
        Some(Argument::List(items)) => items.as_slice(),
        _ => &[],
    };
    let mut branches: Vec<OnnxGraph> = Vec::new();
    for index in [1, 2] {
        let Some(graph) = call.graph(index) else {
            return Err(Refusal::new("a branch that is no graph", ""));
        };
        branches.push(call.branch(graph, operands)?);
    }
    let (Some(no), Some(yes)) = (branches.pop(), branches.pop()) else { return Ok(()) };
    let count = call.outputs();
    let choice = node("If", &[pred]).with("then_branch", yes).with("else_branch", no);
    let results = call.to.emitter.add_many(choice, count);
    for (index, result) in results.into_iter().enumerate() {
        call.give(index, result);
    }
    Ok(())
}

fn evaluate_cond(eval: &mut Eval<'_, '_>) -> Outcome {
    let values = eval.positional()?;
    let condition = match values.first() {
        Some(Value::Bool(value)) => *value,
        Some(Value::Int(value)) => *value != 0,
        Some(Value::Tensor(view)) => view.array()?.to_f64s()?.first() == Some(&1.0),
        _ => return Err(EvaluateError::new("a branch without a condition")),
    };
    let graph = eval.graph(if condition { 1 } else { 2 });
    let graph = graph.ok_or_else(|| EvaluateError::new("a branch that is no graph"))?;
    let operands = eval.list(3)?;
    eval.run(graph, operands)
}

/// The graph of a region, and its operands, which follow it.
fn region<'a>(arguments: &[&'a Argument]) -> Option<(usize, Vec<&'a Argument>)> {
    let at = arguments.iter().position(|argument| matches!(argument, Argument::Graph(_)))?;
    let after = arguments.get(at + 1..)?;
    // `invoke_subgraph` has an identifier between.
    let operands = after.iter().copied().filter(|each| !matches!(each, Argument::String(_)));
    Some((at, operands.collect()))
}

fn convert_region(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let arguments = call.positional();
    let Some((at, operands)) = region(&arguments) else {
        return Err(Refusal::new("a region that is no graph", ""));
    };
    let Some(graph) = call.graph(at) else { return Ok(()) };
    let operands: Vec<Argument> = operands.into_iter().cloned().collect();
    call.inline(graph, &operands)
}

fn evaluate_region(eval: &mut Eval<'_, '_>) -> Outcome {
    let (at, operands) = eval.region().ok_or_else(|| EvaluateError::new("a region of no graph"))?;
    let graph = eval.graph(at).ok_or_else(|| EvaluateError::new("a region of no graph"))?;
    eval.run(graph, operands)
}
