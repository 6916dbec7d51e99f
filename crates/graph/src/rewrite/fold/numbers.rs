//! The elements of constants as numbers.

use crate::{Constant, ElementType};

/// Elements; truth values are 0 and 1.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Numbers {
    Ints(Vec<i64>),
    /// Of `float` or `double`.
    Floats(Vec<f64>),
}

macro_rules! ints {
    ($bytes:expr, $type:ty) => {
        Numbers::Ints(
            $bytes.as_chunks().0.iter().map(|&item| <$type>::from_le_bytes(item).into()).collect(),
        )
    };
}

impl Numbers {
    /// The elements of a constant; `None` where they are not at hand, or of a type that is not
    /// computed with here.
    pub(super) fn decode(constant: &Constant) -> Option<Numbers> {
        let bytes = constant.bytes()?;
        Some(match constant.element_type {
            ElementType::Float32 => Numbers::Floats(
                bytes.as_chunks().0.iter().map(|&item| f32::from_le_bytes(item).into()).collect(),
            ),
            ElementType::Float64 => Numbers::Floats(
                bytes.as_chunks().0.iter().map(|&item| f64::from_le_bytes(item)).collect(),
            ),
            ElementType::Bool => {
                Numbers::Ints(bytes.iter().map(|&item| i64::from(item != 0)).collect())
            }
            ElementType::Int8 => ints!(bytes, i8),
            ElementType::Uint8 => ints!(bytes, u8),
            ElementType::Int16 => ints!(bytes, i16),
            ElementType::Uint16 => ints!(bytes, u16),
            ElementType::Int32 => ints!(bytes, i32),
            ElementType::Uint32 => ints!(bytes, u32),
            ElementType::Int64 => ints!(bytes, i64),
            _ => return None,
        })
    }

    /// A constant of these elements, as their type rounds or wraps them.
    pub(super) fn encode(self, element_type: ElementType, dims: &[usize]) -> Option<Constant> {
        fn all<T, const N: usize>(items: Vec<T>, bytes: impl Fn(T) -> [u8; N]) -> Vec<u8> {
            items.into_iter().flat_map(bytes).collect()
        }
        let data = match (element_type, self) {
            (ElementType::Float32, Numbers::Floats(items)) => {
                all(items, |item| (item as f32).to_le_bytes())
            }
            (ElementType::Float64, Numbers::Floats(items)) => all(items, f64::to_le_bytes),
            (ElementType::Bool, Numbers::Ints(items)) => all(items, |item| [u8::from(item != 0)]),
            (ElementType::Int8 | ElementType::Uint8, Numbers::Ints(items)) => {
                all(items, |item| [item as u8])
            }
            (ElementType::Int16 | ElementType::Uint16, Numbers::Ints(items)) => {
                all(items, |item| (item as u16).to_le_bytes())
            }
            (ElementType::Int32 | ElementType::Uint32, Numbers::Ints(items)) => {
                all(items, |item| (item as u32).to_le_bytes())
            }
            (ElementType::Int64, Numbers::Ints(items)) => all(items, i64::to_le_bytes),
            _ => return None,
        };
        Some(Constant::raw("", element_type, dims, data))
    }
}
