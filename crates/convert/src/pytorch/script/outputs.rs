//! What `forward` gives, under names: tensors in tuples, lists and dicts, one by one.

use std::collections::HashSet;

use super::interpret::{Interpreter, Result, Stop};
use super::value::Value;
use crate::pytorch::graph::Argument;

/// Outputs by name, in order.
#[derive(Debug, Default)]
pub(super) struct Outputs {
    pub(super) found: Vec<(String, Argument)>,
    taken: HashSet<String>,
}

impl Outputs {
    /// The outputs that a result consists of, under names that no input has.
    pub(super) fn new(
        interpreter: &mut Interpreter<'_>,
        result: &Value,
        inputs: impl Iterator<Item = String>,
    ) -> Result<Outputs> {
        let mut outputs = Outputs { taken: inputs.collect(), ..Outputs::default() };
        outputs.add(interpreter, "", result)?;
        Ok(outputs)
    }

    /// Adds what a value consists of.
    pub(super) fn add(
        &mut self,
        interpreter: &mut Interpreter<'_>,
        name: &str,
        value: &Value,
    ) -> Result<()> {
        interpreter.step()?;
        match value {
            Value::None => Ok(()),
            Value::Tuple(items, class) => {
                for (index, item) in items.iter().enumerate() {
                    let field = class.as_ref().and_then(|class| class.fields.get(index));
                    let part = match field {
                        Some(field) => field.name.clone(),
                        None => index.to_string(),
                    };
                    self.add(interpreter, &under(name, &part), item)?;
                }
                Ok(())
            }
            Value::List(items) => {
                let items = items.borrow().clone();
                for (index, item) in items.iter().enumerate() {
                    self.add(interpreter, &under(name, &index.to_string()), item)?;
                }
                Ok(())
            }
            Value::Dict(entries) => {
                let entries = entries.borrow().clone();
                for (key, value) in &entries {
                    let part = match key {
                        Value::Text(text) => text.to_string(),
                        other => super::texts::shown(other),
                    };
                    self.add(interpreter, &under(name, &part), value)?;
                }
                Ok(())
            }
            Value::Tensor(_)
            | Value::Number(_)
            | Value::Int(_)
            | Value::Float(_)
            | Value::Bool(_) => {
                let argument = interpreter.argument(value)?;
                self.put(if name.is_empty() { "output" } else { name }, argument);
                Ok(())
            }
            Value::Lost => Err(Stop::Lost),
            other => {
                let reason = format!("an output that is {}", other.type_name());
                Err(interpreter.refusal("an output", reason, "return tensors only"))
            }
        }
    }

    /// Adds one under this name, or another one where that is taken.
    pub(super) fn put(&mut self, name: &str, argument: Argument) {
        // Names that begin with a digit are those of tuples.
        let mut name = match name.starts_with(|first: char| first.is_ascii_digit()) {
            true => format!("output_{name}"),
            false => name.to_owned(),
        };
        while !self.taken.insert(name.clone()) {
            name.push_str("_out");
        }
        self.found.push((name, argument));
    }
}

fn under(name: &str, part: &str) -> String {
    if name.is_empty() { part.to_owned() } else { format!("{name}_{part}") }
}
