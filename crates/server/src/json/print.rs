//! Typed buffers into JSON text.

use modelyard_tensor::{DataType, strings};

/// Why a tensor has no JSON form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unprintable {
    /// The datatype has none.
    #[error("{0} has no JSON form")]
    DataType(DataType),
    /// An element is no text.
    #[error("element {0} is no UTF-8")]
    NotUtf8(usize),
}

/// Appends the elements of `data`, separated by commas, in shortest form.
pub(crate) fn values(
    out: &mut Vec<u8>,
    data_type: DataType,
    data: &[u8],
) -> Result<(), Unprintable> {
    match data_type {
        DataType::Fp32 => separated(out, data, |out, bytes| float(out, f32::from_le_bytes(bytes))),
        DataType::Fp64 => separated(out, data, |out, bytes| float(out, f64::from_le_bytes(bytes))),
        DataType::Int64 => separated(out, data, |out, b| number(out, i64::from_le_bytes(b))),
        DataType::Int32 => separated(out, data, |out, b| number(out, i32::from_le_bytes(b))),
        DataType::Int16 => separated(out, data, |out, b| number(out, i16::from_le_bytes(b))),
        DataType::Int8 => separated(out, data, |out, b| number(out, i8::from_le_bytes(b))),
        DataType::Uint64 => separated(out, data, |out, b| number(out, u64::from_le_bytes(b))),
        DataType::Uint32 => separated(out, data, |out, b| number(out, u32::from_le_bytes(b))),
        DataType::Uint16 => separated(out, data, |out, b| number(out, u16::from_le_bytes(b))),
        DataType::Uint8 => separated(out, data, |out, b| number(out, u8::from_le_bytes(b))),
        DataType::Bool => separated(out, data, |out, [byte]: [u8; 1]| {
            let text: &[u8] = if byte == 0 { b"false" } else { b"true" };
            out.extend_from_slice(text);
        }),
        DataType::Bytes => return texts(out, data),
        DataType::Fp16 | DataType::Bf16 => return Err(Unprintable::DataType(data_type)),
    }
    Ok(())
}

#[inline(always)]
fn separated<const N: usize>(
    out: &mut Vec<u8>,
    data: &[u8],
    print: impl Fn(&mut Vec<u8>, [u8; N]),
) {
    let (elements, _) = data.as_chunks::<N>();
    let mut elements = elements.iter();
    if let Some(first) = elements.next() {
        print(out, *first);
    }
    for element in elements {
        out.push(b',');
        print(out, *element);
    }
}

#[inline(always)]
fn float<T: zmij::Float + Copy + Into<f64>>(out: &mut Vec<u8>, value: T) {
    let wide: f64 = value.into();
    if wide.is_finite() {
        out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes());
    } else if wide.is_nan() {
        out.extend_from_slice(b"NaN");
    } else {
        let text: &[u8] = if wide > 0.0 { b"Infinity" } else { b"-Infinity" };
        out.extend_from_slice(text);
    }
}

/// Appends an integer.
#[inline(always)]
pub(crate) fn number(out: &mut Vec<u8>, value: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn texts(out: &mut Vec<u8>, data: &[u8]) -> Result<(), Unprintable> {
    for (index, element) in strings::iter(data).enumerate() {
        if index > 0 {
            out.push(b',');
        }
        let text = std::str::from_utf8(element).map_err(|_| Unprintable::NotUtf8(index))?;
        string(out, text);
    }
    Ok(())
}

/// Appends a string with its quotes.
pub(crate) fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(place) = rest.iter().position(|&byte| matches!(byte, b'"' | b'\\' | 0..0x20)) {
        out.extend_from_slice(&rest[..place]);
        escape(out, rest[place]);
        rest = &rest[place + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

#[cold]
fn escape(out: &mut Vec<u8>, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    match byte {
        b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        _ => {
            out.extend_from_slice(b"\\u00");
            out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::json::{Bounds, Scanner, array};

    fn print(data_type: DataType, data: &[u8]) -> Result<String, Unprintable> {
        let mut out = Vec::new();
        values(&mut out, data_type, data)?;
        Ok(String::from_utf8(out).expect("JSON is UTF-8"))
    }

    #[test]
    fn prints_each_datatype() {
        let floats = [0.1f32, 1.0, -0.0, 1e-7, f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
        let text = print(DataType::Fp32, bytemuck::cast_slice(&floats));
        assert_eq!(text.as_deref(), Ok("0.1,1.0,-0.0,1e-7,NaN,Infinity,-Infinity"));
        let integers = [i64::MIN, 0, i64::MAX];
        let text = print(DataType::Int64, bytemuck::cast_slice(&integers));
        assert_eq!(text.as_deref(), Ok("-9223372036854775808,0,9223372036854775807"));
        assert_eq!(print(DataType::Bool, &[1, 0]).as_deref(), Ok("true,false"));
        assert_eq!(print(DataType::Uint8, &[]).as_deref(), Ok(""));
        let data = strings::encode(["a\"\\\n\u{1}é"]);
        assert_eq!(print(DataType::Bytes, &data).as_deref(), Ok(r#""a\"\\\n\u0001é""#));
    }

    #[test]
    fn refuses_what_has_no_form() {
        assert_eq!(print(DataType::Fp16, &[0, 0]), Err(Unprintable::DataType(DataType::Fp16)));
        let data = strings::encode([&b"ok"[..], b"\xff"]);
        assert_eq!(print(DataType::Bytes, &data), Err(Unprintable::NotUtf8(1)));
    }

    proptest! {
        #[test]
        fn every_tensor_survives_its_own_text(data in prop::collection::vec(any::<u8>(), 0..64)) {
            for data_type in DataType::ALL {
                let Some(size) = data_type.size() else { continue };
                let data = &data[..data.len() / size * size];
                let data: Vec<u8> = match data_type {
                    DataType::Bool => data.iter().map(|byte| byte & 1).collect(),
                    _ => data.to_vec(),
                };
                let Ok(text) = print(data_type, &data) else { continue };
                if text.contains("NaN") {
                    continue;
                }
                let text = format!("[{text}]");
                let bounds = Bounds { expected: 0, most: 100 };
                let back = array(&mut Scanner::new(text.as_bytes(), 1), data_type, bounds);
                prop_assert_eq!(&back.expect("our own text").data[..], &data[..]);
            }
        }

        #[test]
        fn strings_are_as_serde_json_reads_them(text: String) {
            let mut out = Vec::new();
            string(&mut out, &text);
            prop_assert_eq!(serde_json::from_slice::<String>(&out).expect("valid"), text);
        }
    }
}
