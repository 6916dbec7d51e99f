//! The numbers of TensorFlow's types, as `types.proto` has them.

use modelyard_graph::ElementType;

/// The type with this number; quantized integers are what they are stored as. `None` for handles
/// and the like.
pub(crate) fn element_type(number: i32) -> Option<ElementType> {
    // References (TensorFlow 1 variables) are numbered 100 higher.
    Some(match if number > 100 { number - 100 } else { number } {
        1 => ElementType::Float32,
        2 => ElementType::Float64,
        3 | 13 => ElementType::Int32,
        4 | 12 => ElementType::Uint8,
        5 | 15 => ElementType::Int16,
        6 | 11 => ElementType::Int8,
        7 => ElementType::String,
        8 => ElementType::Complex64,
        9 => ElementType::Int64,
        10 => ElementType::Bool,
        14 => ElementType::Bfloat16,
        16 | 17 => ElementType::Uint16,
        18 => ElementType::Complex128,
        19 => ElementType::Float16,
        22 => ElementType::Uint32,
        23 => ElementType::Uint64,
        _ => return None,
    })
}

/// The number of this type; `None` where TensorFlow has no such type.
pub(crate) fn number(element_type: ElementType) -> Option<i32> {
    Some(match element_type {
        ElementType::Float32 => 1,
        ElementType::Float64 => 2,
        ElementType::Int32 => 3,
        ElementType::Uint8 => 4,
        ElementType::Int16 => 5,
        ElementType::Int8 => 6,
        ElementType::String => 7,
        ElementType::Complex64 => 8,
        ElementType::Int64 => 9,
        ElementType::Bool => 10,
        ElementType::Bfloat16 => 14,
        ElementType::Uint16 => 17,
        ElementType::Complex128 => 18,
        ElementType::Float16 => 19,
        ElementType::Uint32 => 22,
        ElementType::Uint64 => 23,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_both_ways() {
        for &each in ElementType::ALL {
            if let Some(number) = number(each) {
                assert_eq!(element_type(number), Some(each));
            }
        }
    }
}
