//! What is said of a conversion: notes for the reader, and why there is none.

use super::FORMAT;
use super::inputs::Input;
use super::interpret::{Interpreter, Stop};
use super::objects::joined;
use super::state::{State, is_same};
use super::value::Value;
use crate::{ConvertError, Missing, Options};

/// Conditions that are listed.
const MOST_GUARDS: usize = 20;

/// What the reader should know.
pub(super) fn notes(
    options: &Options,
    interpreter: &Interpreter<'_>,
    inputs: &[Input],
    kept: &[Input],
    left: &[(State, Value)],
) -> Vec<String> {
    let mut notes = Vec::new();
    for input in inputs {
        if !options.types.contains_key(&input.name) {
            notes.push(format!(
                "input '{}' is taken as {}: TorchScript does not say; --type {0}=TYPE gives another",
                input.name, input.element_type
            ));
        }
    }
    for (name, value) in &options.values {
        notes.push(format!("input '{name}' is fixed as {value}"));
    }
    notes.extend(interpreter.guards.iter().take(MOST_GUARDS).cloned());
    if let Some(more) = interpreter.guards.len().checked_sub(MOST_GUARDS).filter(|&more| more > 0) {
        notes.push(format!("takes {more} more conditions on sizes for granted"));
    }
    for input in kept {
        notes.push(format!(
            "state '{}' is an input; give it what '{0}.next' was in the call before. In the first \
             call the model has what was saved, which may be of another shape",
            input.name
        ));
    }
    for (state, value) in left {
        let name = joined(&state.path, &state.attribute);
        let is_kept = kept.iter().any(|input| input.name == format!("state.{name}"));
        if !is_kept && !is_same(value, state, interpreter) {
            notes.push(format!(
                "the model sets '{name}' in each call; the converted model starts each time from {}",
                if kept.is_empty() { "what was saved" } else { "what it is after the first call" }
            ));
        }
    }
    notes
}

/// An exception with the place where it was raised.
pub(super) fn placed(stop: Stop, interpreter: &Interpreter<'_>) -> Stop {
    match stop {
        Stop::Raised(text) => interpreter.refusal(
            "an exception",
            format!("what the code raises for these inputs: {text}"),
            "give other shapes or values (--shape, --value)",
        ),
        other => other,
    }
}

/// What is missing; where nothing is and the code decides on what has no value, why it has none.
pub(super) fn lacking(stop: &Stop, interpreter: &mut Interpreter<'_>) -> Vec<Missing> {
    let mut missing = std::mem::take(&mut interpreter.missing);
    if !missing.is_empty() || !matches!(stop, Stop::Lost) {
        return missing;
    }
    let asked = |variable: &Option<String>| {
        variable.as_ref().is_some_and(|variable| interpreter.asked.contains(variable))
    };
    let is_asked = interpreter.doubts.iter().any(|(variable, _)| asked(variable));
    for (variable, doubt) in &interpreter.doubts {
        if (asked(variable) || !is_asked) && !missing.contains(doubt) {
            missing.push(doubt.clone());
        }
    }
    missing
}

/// The error of an evaluation that ended early, with all that was missing before.
pub(super) fn error(stop: Stop, mut missing: Vec<Missing>) -> ConvertError {
    match stop {
        Stop::Refused(last) => missing.push(*last),
        Stop::Failed(error) if missing.is_empty() => return error,
        Stop::Raised(text) => missing.push(Missing {
            operator: "an exception".into(),
            place: FORMAT.into(),
            reason: format!("what the code raises: {text}"),
            way_out: String::new(),
        }),
        Stop::Failed(_) | Stop::Lost | Stop::Retype(_) | Stop::Leave(_) | Stop::Beyond(..) => {}
    }
    if missing.is_empty() {
        missing.push(Missing {
            operator: "a value".into(),
            place: "forward".into(),
            reason: "a decision or output that depends on a variable without a value".into(),
            way_out: "save the model with torch.export.save instead".into(),
        });
    }
    ConvertError::Unsupported(missing)
}
