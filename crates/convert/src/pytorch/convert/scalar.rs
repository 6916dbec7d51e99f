//! Numbers of Python as constants of a type.

use modelyard_graph::{Constant, ElementType};

use crate::pytorch::graph::Argument;
use crate::pytorch::types::Kind;

/// A Python number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::pytorch) enum Scalar {
    Int(i64),
    Float(f64),
    Bool(bool),
}

impl Scalar {
    /// It as a float.
    pub(in crate::pytorch) fn as_f64(self) -> f64 {
        match self {
            Scalar::Int(value) => value as f64,
            Scalar::Float(value) => value,
            Scalar::Bool(value) => f64::from(value),
        }
    }

    /// It as an integer: cut off, saturated.
    pub(in crate::pytorch) fn as_i64(self) -> i64 {
        match self {
            Scalar::Int(value) => value,
            Scalar::Float(value) => value as i64,
            Scalar::Bool(value) => i64::from(value),
        }
    }

    /// Its kind.
    pub(in crate::pytorch) fn kind(self) -> Kind {
        match self {
            Scalar::Int(_) => Kind::Int,
            Scalar::Float(_) => Kind::Float,
            Scalar::Bool(_) => Kind::Bool,
        }
    }

    /// Little-endian bytes of it as an element of this type.
    fn bytes(self, element_type: ElementType) -> Vec<u8> {
        let (float, int) = (self.as_f64(), self.as_i64());
        match element_type {
            ElementType::Float32 => (float as f32).to_le_bytes().to_vec(),
            ElementType::Float64 => float.to_le_bytes().to_vec(),
            ElementType::Float16 => half::f16::from_f64(float).to_le_bytes().to_vec(),
            ElementType::Bfloat16 => half::bf16::from_f64(float).to_le_bytes().to_vec(),
            ElementType::Bool => vec![u8::from(float != 0.0)],
            ElementType::Int8 | ElementType::Uint8 => vec![int as u8],
            ElementType::Int16 | ElementType::Uint16 => (int as u16).to_le_bytes().to_vec(),
            ElementType::Int32 | ElementType::Uint32 => (int as u32).to_le_bytes().to_vec(),
            _ => int.to_le_bytes().to_vec(),
        }
    }

    /// A constant of this type with this one element, of shape `dims` (all ones).
    pub(super) fn constant(self, element_type: ElementType, dims: &[usize]) -> Constant {
        Constant::raw("value", element_type, dims, self.bytes(element_type))
    }
}

/// The number that an argument is.
pub(in crate::pytorch) fn scalar(argument: &Argument) -> Option<Scalar> {
    match argument {
        Argument::Int(value) => Some(Scalar::Int(*value)),
        Argument::Float(value) => Some(Scalar::Float(*value)),
        Argument::Bool(value) => Some(Scalar::Bool(*value)),
        _ => None,
    }
}
