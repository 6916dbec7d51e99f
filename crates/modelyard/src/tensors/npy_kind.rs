//! NumPy's names for what an element is.

use modelyard_tensor::DataType;

/// What the elements of a file are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A number or a boolean.
    Number(DataType),
    /// Bytes, padded with zeros to this many.
    ByteString(usize),
    /// Code points of four bytes each, padded with zeros to this many.
    Unicode(usize),
}

impl Kind {
    /// Bytes of one element, `None` when that overflows.
    pub(super) fn size(self) -> Option<usize> {
        match self {
            Kind::Number(data_type) => data_type.size(),
            Kind::ByteString(length) => Some(length),
            Kind::Unicode(length) => length.checked_mul(4),
        }
    }
}

/// What a NumPy type string such as `<f4` says: kind, and whether it is big-endian. `None` when
/// that is no tensor.
pub(super) fn kind(descr: &str) -> Option<(Kind, bool)> {
    let (order, rest) = match descr.as_bytes().first() {
        Some(b'<' | b'>' | b'|' | b'=') => descr.split_at(1),
        _ => ("|", descr),
    };
    let number = |data_type| Some((Kind::Number(data_type), order == ">"));
    match rest {
        "b1" | "?" => number(DataType::Bool),
        "u1" => number(DataType::Uint8),
        "u2" => number(DataType::Uint16),
        "u4" => number(DataType::Uint32),
        "u8" => number(DataType::Uint64),
        "i1" => number(DataType::Int8),
        "i2" => number(DataType::Int16),
        "i4" => number(DataType::Int32),
        "i8" => number(DataType::Int64),
        "f2" => number(DataType::Fp16),
        "f4" => number(DataType::Fp32),
        "f8" => number(DataType::Fp64),
        _ => {
            let (letter, length) = rest.split_at_checked(1)?;
            let length = length.parse().ok()?;
            match letter {
                "S" | "a" => Some((Kind::ByteString(length), false)),
                "U" => Some((Kind::Unicode(length), order == ">")),
                _ => None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_strings() {
        let number = |data_type, big_endian| Some((Kind::Number(data_type), big_endian));
        assert_eq!(kind("<f4"), number(DataType::Fp32, false));
        assert_eq!(kind(">i8"), number(DataType::Int64, true));
        assert_eq!(kind("?"), number(DataType::Bool, false));
        assert_eq!(kind("|S3"), Some((Kind::ByteString(3), false)));
        assert_eq!(kind(">U2"), Some((Kind::Unicode(2), true)));
        for refused in ["", "|", "O", "|O", "c8", "Sx", "<M8[ns]", "\u{fc}2"] {
            assert_eq!(kind(refused), None, "{refused}");
        }
    }
}
