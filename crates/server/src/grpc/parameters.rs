//! The parameters of requests, inputs and outputs.

use modelyard_serving::InferError;

use super::wire::{Fields, Value, malformed};

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

    /// A boolean.
    pub(super) fn bool(&self) -> Result<bool, InferError> {
        match self.value {
            ParameterValue::Bool(value) => Ok(value),
            _ => Err(self.expected("bool_param")),
        }
    }

    /// A number that is not negative.
    pub(super) fn unsigned(&self) -> Result<u64, InferError> {
        match self.value {
            ParameterValue::Uint64(value) => Ok(value),
            ParameterValue::Int64(value) => u64::try_from(value).map_err(|_| {
                InferError::invalid(format!(
                    "parameter '{}' is {value}, expected 0 or more",
                    self.name
                ))
            }),
            _ => Err(self.expected("int64_param or uint64_param")),
        }
    }

    fn expected(&self, kind: &str) -> InferError {
        let found = match self.value {
            ParameterValue::Bool(_) => "bool_param",
            ParameterValue::Int64(_) => "int64_param",
            ParameterValue::String(_) => "string_param",
            ParameterValue::Double(_) => "double_param",
            ParameterValue::Uint64(_) => "uint64_param",
            ParameterValue::None => "none",
        };
        let message = format!("parameter '{}' has {found}, expected {kind}", self.name);
        InferError::invalid(message)
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
