//! State that calls leave in modules: where it is, and its form.

use std::rc::Rc;

use modelyard_graph::ElementType;

use super::interpret::Interpreter;
use super::value::{Number, Object, Tensor, Value};
use crate::pytorch::graph::{Meta, Size};

/// State that calls leave behind: where it is, and its form.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct State {
    pub(super) path: String,
    pub(super) attribute: String,
    pub(super) kept: Kept,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kept {
    Tensor(ElementType, Vec<Size>),
    /// A number or nothing, as it is.
    Plain(String),
}

/// Whether an attribute was set to what it was in the call before.
pub(super) fn is_same(value: &Value, state: &State, _interpreter: &Interpreter<'_>) -> bool {
    match &state.kept {
        Kept::Plain(text) => {
            *text == super::texts::shown(value) && !matches!(value, Value::Tensor(_))
        }
        Kept::Tensor(..) => false,
    }
}

/// The size of an input that is this number in all worlds.
pub(super) fn size_like(interpreter: &mut Interpreter<'_>, number: &Number) -> Option<Value> {
    let worlds = number.worlds.as_ref()?;
    let sizes: Vec<usize> =
        worlds.iter().map(|one| usize::try_from(one.as_i64()).ok()).collect::<Option<_>>()?;
    let mut names: Vec<String> = interpreter.origins.keys().cloned().collect();
    names.sort_unstable();
    for name in names {
        let Some(Value::Tensor(tensor)) = interpreter.values.get(&name).cloned() else { continue };
        for axis in 0..tensor.rank() {
            let own = tensor.worlds.iter().map(|seen| seen.dims.get(axis).copied().unwrap_or(0));
            if own.eq(sizes.iter().copied()) {
                return interpreter.size(&tensor, axis).ok();
            }
        }
    }
    None
}

/// The object at a path from the root.
pub(super) fn find(root: &Rc<Object>, path: &str) -> Option<Rc<Object>> {
    let mut at = Rc::clone(root);
    for part in path.split('.').filter(|part| !part.is_empty()) {
        let next = match at.attributes.borrow().get(part) {
            Some(Value::Object(object)) => Rc::clone(object),
            _ => return None,
        };
        at = next;
    }
    Some(at)
}

/// Attributes of modules that a run has set, with their values at its end.
pub(super) fn left(interpreter: &Interpreter<'_>) -> Vec<(State, Value)> {
    let mut left = Vec::new();
    for (object, attribute) in &interpreter.set {
        if object.path.is_empty() && object.class.base != "Module" {
            // Made by the code itself: gone with the call.
            continue;
        }
        let Some(value) = object.attributes.borrow().get(attribute).cloned() else { continue };
        let kept = match &value {
            Value::Tensor(tensor) => form(interpreter, tensor),
            other => Kept::Plain(super::texts::shown(other)),
        };
        let state = State { path: object.path.clone(), attribute: attribute.clone(), kept };
        left.push((state, value));
    }
    left
}

fn form(interpreter: &Interpreter<'_>, tensor: &Tensor) -> Kept {
    match interpreter.tensor_meta(tensor) {
        Meta::Tensor(element_type, sizes) => Kept::Tensor(element_type, sizes),
        _ => Kept::Tensor(tensor.first().0, Vec::new()),
    }
}
