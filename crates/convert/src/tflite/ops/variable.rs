//! Variables: `VAR_HANDLE` names one, `READ_VARIABLE` and `ASSIGN_VARIABLE` use it, `CALL_ONCE` runs
//! the graph that initializes them.

use std::collections::HashMap;

use super::super::convert::Converter;
use super::super::evaluate::Evaluation;
use super::super::model::{Operator, Subgraph};
use super::super::stop::{Stop, mismatch, refused};
use super::super::variables::variable_name;

pub(super) fn convert_handle(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    cx.scope.handles.insert(op.output(0)?, variable_name(op)?);
    Ok(())
}

pub(super) fn evaluate_handle(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    cx.handles.insert(op.output(0)?, variable_name(op)?);
    Ok(())
}

fn unknown_handle() -> Stop {
    refused("a handle that comes from elsewhere", "name variables in the graph that uses them")
}

pub(super) fn convert_read(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let name = cx.scope.handles.get(&op.input(0)?).cloned().ok_or_else(unknown_handle)?;
    let value = cx.variables.read(&name)?;
    cx.give_raw(op.output(0)?, value);
    Ok(())
}

pub(super) fn evaluate_read(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let name = cx.handles.get(&op.input(0)?).ok_or_else(unknown_handle)?;
    let value = cx.variables.get(name).cloned();
    let value = value.ok_or_else(|| mismatch(format!("variable '{name}' has no value")))?;
    cx.give(op.output(0)?, crate::reference::Array::clone(&value))
}

pub(super) fn convert_assign(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let name = cx.scope.handles.get(&op.input(0)?).cloned().ok_or_else(unknown_handle)?;
    if cx.is_inner() {
        let way_out = "assign variables outside of conditions and loops";
        return Err(refused("an assignment inside of control flow", way_out));
    }
    let value = cx.raw(op.input(1)?)?;
    cx.variables.assign(&name, value);
    Ok(())
}

pub(super) fn evaluate_assign(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let name = cx.handles.get(&op.input(0)?).cloned().ok_or_else(unknown_handle)?;
    let value = cx.raw(op.input(1)?)?;
    cx.variables.insert(name, value);
    Ok(())
}

/// The graph that `CALL_ONCE` runs.
fn initializer<'m>(subgraphs: &'m [Subgraph], op: &Operator) -> Result<&'m Subgraph, Stop> {
    let index = usize::try_from(op.options.i32(0)?).ok();
    let graph = index.and_then(|index| subgraphs.get(index));
    graph.ok_or_else(|| mismatch("the graph that it runs does not exist"))
}

/// State is an input, so that only variables that are constants from here on get a value.
pub(super) fn convert_once(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let graph = initializer(&cx.model.subgraphs, op)?;
    let mut handles = HashMap::new();
    for inner in &graph.operators {
        match inner.kind.as_str() {
            "VAR_HANDLE" => {
                handles.insert(inner.output(0)?, variable_name(inner)?);
            }
            "ASSIGN_VARIABLE" => {
                let Some(name) = handles.get(&inner.input(0)?) else { continue };
                if cx.variables.current(name).is_none() {
                    let value = cx.constant_of(graph, inner.input(1)?)?;
                    cx.variables.assign(name, value);
                }
            }
            // Tables are read where they are used.
            "HASHTABLE" | "HASHTABLE_IMPORT" => {}
            other => {
                let reason = format!("{other} in the graph that initializes variables");
                return Err(refused(reason, "initialize variables with constants"));
            }
        }
    }
    Ok(())
}

pub(super) fn evaluate_once(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let graph = initializer(&cx.model.subgraphs, op)?;
    let mut handles = HashMap::new();
    for inner in &graph.operators {
        match inner.kind.as_str() {
            "VAR_HANDLE" => {
                handles.insert(inner.output(0)?, variable_name(inner)?);
            }
            "ASSIGN_VARIABLE" => {
                let Some(name) = handles.get(&inner.input(0)?) else { continue };
                if !cx.variables.contains_key(name) {
                    let value = cx.constant_of(graph, inner.input(1)?)?;
                    cx.variables.insert(name.clone(), value);
                }
            }
            _ => {}
        }
    }
    Ok(())
}
