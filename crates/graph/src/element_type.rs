//! What the tensors of an ONNX model are made of.

use std::fmt;

use modelyard_tensor::DataType;

macro_rules! element_types {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $name:literal, $bits:literal, $wire:expr;)*) => {
        /// The element types of ONNX. More than the wire knows: see [`ElementType::data_type`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[allow(missing_docs, reason = "the names say it")]
        pub enum ElementType { $($(#[$doc])* $variant = $code,)* }

        impl ElementType {
            /// Every element type, in the order of their numbers in `onnx.proto`.
            pub const ALL: &[ElementType] = &[$(ElementType::$variant,)*];

            /// The number in `onnx.proto`.
            pub const fn code(self) -> i32 {
                self as i32
            }

            /// The name as ONNX writes it in text, such as `float16`.
            pub const fn name(self) -> &'static str {
                match self { $(ElementType::$variant => $name,)* }
            }

            /// Bits of one element; 0 for strings, whose elements vary.
            pub const fn bits(self) -> usize {
                match self { $(ElementType::$variant => $bits,)* }
            }

            /// The datatype that carries such elements on the wire, where there is one.
            pub const fn data_type(self) -> Option<DataType> {
                match self { $(ElementType::$variant => $wire,)* }
            }
        }
    };
}

element_types! {
    Float32 = 1, "float", 32, Some(DataType::Fp32);
    Uint8 = 2, "uint8", 8, Some(DataType::Uint8);
    Int8 = 3, "int8", 8, Some(DataType::Int8);
    Uint16 = 4, "uint16", 16, Some(DataType::Uint16);
    Int16 = 5, "int16", 16, Some(DataType::Int16);
    Int32 = 6, "int32", 32, Some(DataType::Int32);
    Int64 = 7, "int64", 64, Some(DataType::Int64);
    String = 8, "string", 0, Some(DataType::Bytes);
    Bool = 9, "bool", 8, Some(DataType::Bool);
    Float16 = 10, "float16", 16, Some(DataType::Fp16);
    Float64 = 11, "double", 64, Some(DataType::Fp64);
    Uint32 = 12, "uint32", 32, Some(DataType::Uint32);
    Uint64 = 13, "uint64", 64, Some(DataType::Uint64);
    Complex64 = 14, "complex64", 64, None;
    Complex128 = 15, "complex128", 128, None;
    Bfloat16 = 16, "bfloat16", 16, Some(DataType::Bf16);
    Float8E4M3FN = 17, "float8e4m3fn", 8, None;
    Float8E4M3FNUZ = 18, "float8e4m3fnuz", 8, None;
    Float8E5M2 = 19, "float8e5m2", 8, None;
    Float8E5M2FNUZ = 20, "float8e5m2fnuz", 8, None;
    Uint4 = 21, "uint4", 4, None;
    Int4 = 22, "int4", 4, None;
    Float4E2M1 = 23, "float4e2m1", 4, None;
    Float8E8M0 = 24, "float8e8m0", 8, None;
    Uint2 = 25, "uint2", 2, None;
    Int2 = 26, "int2", 2, None;
}

impl ElementType {
    /// The type with this number in `onnx.proto`.
    pub fn from_code(code: i32) -> Option<ElementType> {
        ElementType::ALL.iter().copied().find(|element_type| element_type.code() == code)
    }

    /// Bytes of `elements` elements side by side, the last byte padded for types below 8 bits.
    /// `None` on overflow and for strings.
    pub fn byte_len(self, elements: usize) -> Option<usize> {
        match self.bits() {
            0 => None,
            bits if bits < 8 => Some(elements.div_ceil(8 / bits)),
            bits => elements.checked_mul(bits / 8),
        }
    }
}

impl From<DataType> for ElementType {
    fn from(data_type: DataType) -> Self {
        match data_type {
            DataType::Bool => ElementType::Bool,
            DataType::Uint8 => ElementType::Uint8,
            DataType::Uint16 => ElementType::Uint16,
            DataType::Uint32 => ElementType::Uint32,
            DataType::Uint64 => ElementType::Uint64,
            DataType::Int8 => ElementType::Int8,
            DataType::Int16 => ElementType::Int16,
            DataType::Int32 => ElementType::Int32,
            DataType::Int64 => ElementType::Int64,
            DataType::Fp16 => ElementType::Float16,
            DataType::Bf16 => ElementType::Bfloat16,
            DataType::Fp32 => ElementType::Float32,
            DataType::Fp64 => ElementType::Float64,
            DataType::Bytes => ElementType::String,
        }
    }
}

impl fmt::Display for ElementType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_wire_types_round_trip() {
        for &element_type in ElementType::ALL {
            assert_eq!(ElementType::from_code(element_type.code()), Some(element_type));
            if let Some(data_type) = element_type.data_type() {
                assert_eq!(ElementType::from(data_type), element_type);
                assert_eq!(data_type.size().unwrap_or(0) * 8, element_type.bits());
            }
        }
        assert_eq!(ElementType::from_code(0), None);
        assert_eq!(ElementType::from_code(27), None);
    }

    #[test]
    fn small_types_are_packed() {
        assert_eq!(ElementType::Int4.byte_len(3), Some(2));
        assert_eq!(ElementType::Uint2.byte_len(5), Some(2));
        assert_eq!(ElementType::Float64.byte_len(usize::MAX), None);
        assert_eq!(ElementType::String.byte_len(1), None);
    }
}
