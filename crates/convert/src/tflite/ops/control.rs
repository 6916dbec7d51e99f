//! Control flow: `IF`, `WHILE`, `CALL` and `STABLEHLO_COMPOSITE`, whose graph stands for it.

use modelyard_graph::{ElementType, Graph};

use super::super::convert::Converter;
use super::super::evaluate::Evaluation;
use super::super::model::Operator;
use super::super::stop::{Stop, mismatch};
use crate::emitter::node;
use crate::reference::Array;

/// Rounds of a loop that the evaluator goes at most.
const ROUNDS_MAX: usize = 1 << 16;

/// Number of the graph that an option names.
fn graph_index(op: &Operator, field: usize) -> Result<usize, Stop> {
    let index = op.options.i32(field)?;
    usize::try_from(index).map_err(|_| mismatch(format!("there is no graph {index}")))
}

/// The inputs of an operator from the one at `first` on, as they are stored.
fn given(
    cx: &mut Converter<'_>,
    op: &Operator,
    first: usize,
) -> Result<Vec<(usize, String)>, Stop> {
    let mut given = Vec::new();
    for index in first..op.inputs.len() {
        let tensor = op.input(index)?;
        given.push((tensor, cx.raw(tensor)?));
    }
    Ok(given)
}

pub(super) fn convert_if(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let condition = cx.raw(op.input(0)?)?;
    let given = given(cx, op, 1)?;
    let yes = branch(cx, op, graph_index(op, 0)?, &given)?;
    let no = branch(cx, op, graph_index(op, 1)?, &given)?;
    let choice = node("If", &[condition]).with("then_branch", yes).with("else_branch", no);
    let names = cx.emitter.add_many(choice, op.outputs.len());
    for (&output, name) in op.outputs.iter().zip(names) {
        cx.give_raw(output, name);
    }
    Ok(())
}

/// One branch, as a graph without inputs: it sees the values around it.
fn branch(
    cx: &mut Converter<'_>,
    op: &Operator,
    index: usize,
    given: &[(usize, String)],
) -> Result<Graph, Stop> {
    let around = cx.emitter.begin_inner("branch");
    let result = cx.inner(index, given);
    let outputs = match result {
        Ok(outputs) if outputs.len() == op.outputs.len() => outputs,
        Ok(outputs) => {
            cx.emitter.end_inner(around);
            let (expected, found) = (op.outputs.len(), outputs.len());
            return Err(mismatch(format!("a branch gives {found} values, not {expected}")));
        }
        Err(stop) => {
            cx.emitter.end_inner(around);
            return Err(stop);
        }
    };
    for (&output, value) in op.outputs.iter().zip(outputs) {
        let element_type = cx.element_type(output)?;
        let name = cx.emitter.unique("branch.output");
        cx.emitter.output(&name, &value, element_type, None);
    }
    Ok(cx.emitter.end_inner(around))
}

pub(super) fn evaluate_if(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let condition = holds(&*cx.raw(op.input(0)?)?)?;
    let mut inputs = Vec::new();
    for index in 1..op.inputs.len() {
        inputs.push(cx.raw(op.input(index)?)?);
    }
    let chosen = graph_index(op, if condition { 0 } else { 1 })?;
    let outputs = cx.call(chosen, inputs)?;
    for (&output, value) in op.outputs.iter().zip(outputs) {
        cx.give(output, Array::clone(&value))?;
    }
    Ok(())
}

fn holds(condition: &Array) -> Result<bool, Stop> {
    let value = condition.as_bools()?.first().copied();
    value.ok_or_else(|| mismatch("a condition is empty"))
}

/// `Loop`: the condition is the graph of the condition, before the loop and after each round.
pub(super) fn convert_while(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let (condition, body) = (graph_index(op, 0)?, graph_index(op, 1)?);
    let given = given(cx, op, 0)?;
    let first = condition_of(cx, condition, &given)?;
    let around = cx.emitter.begin_inner("body");
    let result = round(cx, op, condition, body);
    let graph = cx.emitter.end_inner(around);
    result?;
    let mut inputs = vec![String::new(), first];
    inputs.extend(given.into_iter().map(|(_, name)| name));
    let repeat = node("Loop", &inputs).with("body", graph);
    let names = cx.emitter.add_many(repeat, op.outputs.len());
    for (&output, name) in op.outputs.iter().zip(names) {
        cx.give_raw(output, name);
    }
    Ok(())
}

/// The one value that the graph of a condition gives, as a boolean without dimensions.
fn condition_of(
    cx: &mut Converter<'_>,
    graph: usize,
    given: &[(usize, String)],
) -> Result<String, Stop> {
    let outputs = cx.inner(graph, given)?;
    let value = outputs.first().ok_or_else(|| mismatch("a condition gives no value"))?;
    let shape = cx.emitter.integers("shape", &[]);
    Ok(cx.emitter.add(node("Reshape", &[value, &shape])))
}

/// The body of a loop: one round, then the condition of the next.
fn round(cx: &mut Converter<'_>, op: &Operator, condition: usize, body: usize) -> Result<(), Stop> {
    let scalar: &[modelyard_tensor::Dim] = &[];
    let iteration = cx.emitter.unique("iteration");
    cx.emitter.input(&iteration, ElementType::Int64, Some(scalar));
    let going = cx.emitter.unique("going");
    cx.emitter.input(&going, ElementType::Bool, Some(scalar));
    let mut variables = Vec::new();
    for &tensor in op.inputs.iter().flatten() {
        let element_type = cx.element_type(tensor)?;
        let name = cx.emitter.unique("variable");
        cx.emitter.input(&name, element_type, None);
        // Not a constant inside, whatever it is outside.
        variables.push((usize::MAX, name));
    }
    let next = cx.inner(body, &variables)?;
    let next: Vec<(usize, String)> = next.into_iter().map(|name| (usize::MAX, name)).collect();
    let goes_on = condition_of(cx, condition, &next)?;
    let name = cx.emitter.unique("goes_on");
    cx.emitter.output(&name, &goes_on, ElementType::Bool, Some(scalar));
    for (&tensor, (_, value)) in op.inputs.iter().flatten().zip(&next) {
        let element_type = cx.element_type(tensor)?;
        let name = cx.emitter.unique("variable.next");
        cx.emitter.output(&name, value, element_type, None);
    }
    Ok(())
}

pub(super) fn evaluate_while(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let (condition, body) = (graph_index(op, 0)?, graph_index(op, 1)?);
    let mut values = Vec::new();
    for index in 0..op.inputs.len() {
        values.push(cx.raw(op.input(index)?)?);
    }
    for _ in 0..ROUNDS_MAX {
        let goes_on = cx.call(condition, values.clone())?;
        let goes_on = goes_on.first().ok_or_else(|| mismatch("a condition gives no value"))?;
        if !holds(goes_on)? {
            for (&output, value) in op.outputs.iter().zip(values) {
                cx.give(output, Array::clone(&value))?;
            }
            return Ok(());
        }
        values = cx.call(body, values)?;
    }
    Err(mismatch(format!("the loop goes on after {ROUNDS_MAX} rounds")))
}

/// The option that names the graph that stands for an operator.
fn stand_in(op: &Operator) -> usize {
    if op.kind == "CALL" { 0 } else { 1 }
}

pub(super) fn convert_call(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let given = given(cx, op, 0)?;
    let outputs = cx.inner(graph_index(op, stand_in(op))?, &given)?;
    for (&output, name) in op.outputs.iter().zip(outputs) {
        cx.give_raw(output, name);
    }
    Ok(())
}

pub(super) fn evaluate_call(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let mut inputs = Vec::new();
    for index in 0..op.inputs.len() {
        inputs.push(cx.raw(op.input(index)?)?);
    }
    let outputs = cx.call(graph_index(op, stand_in(op))?, inputs)?;
    for (&output, value) in op.outputs.iter().zip(outputs) {
        cx.give(output, Array::clone(&value))?;
    }
    Ok(())
}
