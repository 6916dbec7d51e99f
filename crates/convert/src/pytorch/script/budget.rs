//! How much the code may do and make: an archive is untrusted, whatever its loops and calls say.

use super::interpret::{Interpreter, Result, Stop};
use super::value::Value;
use crate::ConvertError;

/// How deep calls, blocks and expressions may nest together. Each level takes some kilobytes of
/// [`STACK_BYTES`](super::STACK_BYTES).
const MOST_DEPTH: usize = 2_000;

/// How often values may be put into others: whoever walks a value, or drops it, goes as deep.
const MOST_NESTINGS: usize = 20_000;

impl Interpreter<'_> {
    /// Counts what is done: loops of the code may not go on for ever.
    pub(super) fn step(&mut self) -> Result<()> {
        self.steps_of(1)
    }

    /// Counts what was made: each item and letter is a step.
    pub(super) fn charge(&mut self, made: &Value) -> Result<()> {
        match made {
            Value::Text(text) => self.steps_of(text.len() / 512),
            Value::List(items) => {
                let count = items.borrow().len();
                self.steps_of(count)
            }
            Value::Tuple(items, _) => self.steps_of(items.len()),
            Value::Dict(entries) => {
                let count = entries.borrow().len();
                self.steps_of(count)
            }
            _ => Ok(()),
        }
    }

    /// Counts a walk over the items or letters of a value.
    pub(super) fn charge_scan(&mut self, over: &[Value]) -> Result<()> {
        let length = match over.first() {
            Some(Value::Text(text)) => text.len() / 8,
            Some(Value::List(items)) => items.borrow().len(),
            Some(Value::Dict(entries)) => entries.borrow().len(),
            _ => 0,
        };
        if length < 64 { Ok(()) } else { self.steps_of(length / 64) }
    }

    /// Counts values that are put into another one and may have others in them.
    pub(super) fn nested(&mut self, items: &[Value]) -> Result<()> {
        let deep = |value: &&Value| {
            matches!(value, Value::List(_) | Value::Tuple(..) | Value::Dict(_) | Value::Object(_))
        };
        self.nestings += items.iter().filter(deep).count();
        if self.nestings > MOST_NESTINGS {
            return Err(Stop::Failed(ConvertError::TooLarge {
                place: self.place(),
                what: "lists, tuples and dicts within others",
                found: self.nestings as u64,
                limit: MOST_NESTINGS as u64,
            }));
        }
        Ok(())
    }

    /// Goes one level deeper for a step.
    pub(super) fn deeper<T>(&mut self, step: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth >= MOST_DEPTH {
            return Err(Stop::Failed(ConvertError::TooLarge {
                place: self.place(),
                what: "levels of calls, blocks and expressions",
                found: self.depth as u64 + 1,
                limit: MOST_DEPTH as u64,
            }));
        }
        self.depth += 1;
        let result = step(self);
        self.depth -= 1;
        result
    }

    pub(super) fn steps_of(&mut self, count: usize) -> Result<()> {
        self.steps = self.steps.saturating_add(count);
        let limit = self.limits.nodes.saturating_mul(4);
        if self.steps > limit {
            return Err(Stop::Failed(ConvertError::TooLarge {
                place: self.place(),
                what: "steps of the code",
                found: self.steps as u64,
                limit: limit as u64,
            }));
        }
        Ok(())
    }
}
