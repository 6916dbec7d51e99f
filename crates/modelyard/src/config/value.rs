//! Raw values: what is written in a file, a flag or a variable, before anybody checked it.

use std::fmt;

/// A value as written. Flags and environment variables are always text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// Text.
    Text(String),
    /// A whole number.
    Integer(i128),
    /// A number with a fraction.
    Float(f64),
    /// True or false.
    Bool(bool),
    /// Several values.
    List(Vec<Value>),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(text) => write!(f, "{text:?}"),
            Value::Integer(number) => write!(f, "{number}"),
            Value::Float(number) => write!(f, "{number}"),
            Value::Bool(value) => write!(f, "{value}"),
            Value::List(values) => {
                let values: Vec<String> = values.iter().map(ToString::to_string).collect();
                write!(f, "[{}]", values.join(", "))
            }
        }
    }
}

impl Value {
    /// The text, if it is one.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The whole number, if it is one and not negative; text may hold one.
    pub(super) fn integer(&self) -> Option<u64> {
        match self {
            Value::Integer(number) => u64::try_from(*number).ok(),
            Value::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// The elements of a list; text is split at commas, so that flags can hold lists.
    pub(super) fn list(&self) -> Option<Vec<Value>> {
        match self {
            Value::List(values) => Some(values.clone()),
            Value::Text(text) if text.trim().is_empty() => Some(Vec::new()),
            Value::Text(text) => {
                Some(text.split(',').map(|part| Value::Text(part.trim().to_owned())).collect())
            }
            Value::Integer(_) => Some(vec![self.clone()]),
            _ => None,
        }
    }
}
