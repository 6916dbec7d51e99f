//! The parameters of requests, inputs and outputs.

use modelyard_serving::InferError;

use super::wire::{Fields, Value, malformed};
use crate::options;

/// One parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Parameter<'a> {
    pub(super) name: &'a str,
    pub(super) value: ParameterValue<'a>,
}

/// The value of a parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum ParameterValue<'a> {
    Bool(bool),
    Int64(i64),
    String(&'a str),
    Double(f64),
    Uint64(u64),
    /// Nothing was chosen.
    None,
}

impl<'a> Parameter<'a> {
    /// Reads an entry of a `parameters` map.
    pub(super) fn read(entry: &'a [u8]) -> Result<Self, InferError> {
        let mut parameter = Parameter { name: "", value: ParameterValue::None };
        let mut fields = Fields::new(entry);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => parameter.name = value.text()?,
                2 => parameter.value = ParameterValue::read(value.block()?)?,
                _ => {}
            }
        }
        Ok(parameter)
    }

    /// Its text, if it has this name and is text.
    pub(super) fn text(&self, name: &str) -> Option<&'a [u8]> {
        match self.value {
            ParameterValue::String(value) if self.name == name => Some(value.as_bytes()),
            _ => None,
        }
    }

    /// The value in the form that REST's have too.
    pub(super) fn value(&self) -> options::Value<'a> {
        match self.value {
            ParameterValue::Bool(value) => options::Value::Bool(value),
            ParameterValue::Int64(value) => options::Value::Integer(value.into()),
            ParameterValue::Uint64(value) => options::Value::Integer(value.into()),
            ParameterValue::String(value) => options::Value::Text(value.into()),
            ParameterValue::Double(_) | ParameterValue::None => options::Value::Other,
        }
    }
}

impl<'a> ParameterValue<'a> {
    fn read(message: &'a [u8]) -> Result<Self, InferError> {
        let mut chosen = ParameterValue::None;
        let mut fields = Fields::new(message);
        while let Some((number, value)) = fields.next()? {
            chosen = match (number, value) {
                (1, Value::Varint(value)) => ParameterValue::Bool(value != 0),
                (2, Value::Varint(value)) => ParameterValue::Int64(value.cast_signed()),
                (3, Value::Block(_)) => ParameterValue::String(value.text()?),
                (4, Value::Fixed64(value)) => ParameterValue::Double(f64::from_le_bytes(value)),
                (5, Value::Varint(value)) => ParameterValue::Uint64(value),
                (1..=5, _) => return Err(malformed("a parameter has another type than its field")),
                _ => chosen,
            };
        }
        Ok(chosen)
    }
}
