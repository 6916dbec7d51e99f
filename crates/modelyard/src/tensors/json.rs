//! Tensors as JSON: nested arrays in, flat arrays out.

use bytes::Bytes;
use half::{bf16, f16};
use modelyard_tensor::{DataType, Shape, Tensor, strings};
use serde_json::{Number, Value};

/// Why a JSON value is no tensor.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JsonError {
    #[error(
        "the arrays are ragged: {found} elements at depth {depth}, where others have {expected}"
    )]
    Ragged { depth: usize, expected: usize, found: usize },
    #[error("arrays and single values stand side by side at depth {0}")]
    Mixed(usize),
    #[error("expected {expected}, found {found}")]
    Element { expected: DataType, found: String },
}

/// Parses JSON as the server does: bare `NaN`, `Infinity` and `-Infinity` are values too.
pub(crate) fn parse(text: &[u8]) -> serde_json::Result<Value> {
    serde_json::from_slice(text).or_else(|error| {
        // The first error has the place in what the user wrote.
        serde_json::from_slice(&quoted(text)).map_err(|_| error)
    })
}

/// The same text with quotes around bare non-numbers, as [`float`] takes them.
fn quoted(text: &[u8]) -> Vec<u8> {
    const TOKENS: [&[u8]; 3] = [b"NaN", b"Infinity", b"-Infinity"];
    let mut out = Vec::with_capacity(text.len());
    let (mut rest, mut in_string) = (text, false);
    while let Some(&byte) = rest.first() {
        let token = TOKENS.iter().find(|token| !in_string && rest.starts_with(token));
        // A backslash in a string belongs to the character after it.
        let length = match token {
            Some(token) => token.len(),
            None if in_string && byte == b'\\' => rest.len().min(2),
            None => 1,
        };
        in_string ^= byte == b'"';
        let (piece, after) = rest.split_at(length);
        match token {
            Some(_) => out.extend([b"\"", piece, b"\""].concat()),
            None => out.extend(piece),
        }
        rest = after;
    }
    out
}

/// The tensor of this datatype that nested arrays spell out. A single value is a scalar.
pub(crate) fn tensor(value: &Value, data_type: DataType) -> Result<Tensor, JsonError> {
    let shape = shape_of(value);
    let mut leaves = Vec::new();
    flatten(value, &shape, 0, &mut leaves)?;
    let data = encode(&leaves, data_type)?;
    Ok(Tensor::new(data_type, shape, data).expect("flatten has checked that shape and count agree"))
}

/// The shape along the first elements; [`flatten`] checks that all others agree.
fn shape_of(mut value: &Value) -> Shape {
    let mut shape = Shape::default();
    while let Value::Array(items) = value {
        shape.push(items.len());
        match items.first() {
            Some(first) => value = first,
            None => break,
        }
    }
    shape
}

fn flatten<'a>(
    value: &'a Value,
    shape: &Shape,
    depth: usize,
    leaves: &mut Vec<&'a Value>,
) -> Result<(), JsonError> {
    match (value, shape.get(depth)) {
        (Value::Array(items), Some(&expected)) => {
            if items.len() != expected {
                return Err(JsonError::Ragged { depth, expected, found: items.len() });
            }
            items.iter().try_for_each(|item| flatten(item, shape, depth + 1, leaves))
        }
        (Value::Array(_), None) | (_, Some(_)) => Err(JsonError::Mixed(depth)),
        (leaf, None) => {
            leaves.push(leaf);
            Ok(())
        }
    }
}

fn encode(leaves: &[&Value], data_type: DataType) -> Result<Bytes, JsonError> {
    /// Each leaf through `$read`, as little-endian bytes.
    macro_rules! collect {
        ($read:expr) => {{
            let mut data = Vec::with_capacity(leaves.len() * data_type.size().unwrap_or(0));
            for leaf in leaves {
                let read = $read;
                let value = read(leaf).ok_or_else(|| wrong(leaf, data_type))?;
                data.extend_from_slice(&value.to_le_bytes());
            }
            Bytes::from(data)
        }};
    }
    Ok(match data_type {
        DataType::Bool => collect!(|leaf: &Value| match leaf {
            Value::Bool(value) => Some(u8::from(*value)),
            leaf => leaf.as_u64().filter(|value| *value <= 1).map(|value| value as u8),
        }),
        DataType::Uint8 => {
            collect!(|leaf: &Value| leaf.as_u64().and_then(|v| u8::try_from(v).ok()))
        }
        DataType::Uint16 => {
            collect!(|leaf: &Value| leaf.as_u64().and_then(|v| u16::try_from(v).ok()))
        }
        DataType::Uint32 => {
            collect!(|leaf: &Value| leaf.as_u64().and_then(|v| u32::try_from(v).ok()))
        }
        DataType::Uint64 => collect!(Value::as_u64),
        DataType::Int8 => collect!(|leaf: &Value| leaf.as_i64().and_then(|v| i8::try_from(v).ok())),
        DataType::Int16 => {
            collect!(|leaf: &Value| leaf.as_i64().and_then(|v| i16::try_from(v).ok()))
        }
        DataType::Int32 => {
            collect!(|leaf: &Value| leaf.as_i64().and_then(|v| i32::try_from(v).ok()))
        }
        DataType::Int64 => collect!(Value::as_i64),
        DataType::Fp16 => collect!(|leaf: &Value| narrow(leaf, f16::from_f64, f16::is_finite)),
        DataType::Bf16 => collect!(|leaf: &Value| narrow(leaf, bf16::from_f64, bf16::is_finite)),
        DataType::Fp32 => {
            collect!(|leaf: &Value| narrow(leaf, |value| value as f32, f32::is_finite))
        }
        DataType::Fp64 => collect!(float),
        DataType::Bytes => {
            let texts: Result<Vec<&str>, JsonError> = leaves
                .iter()
                .map(|leaf| leaf.as_str().ok_or_else(|| wrong(leaf, data_type)))
                .collect();
            strings::encode(texts?)
        }
    })
}

/// A number; `"NaN"`, `"Infinity"` and `"-Infinity"`, which JSON has no numbers for, as text.
fn float(leaf: &Value) -> Option<f64> {
    match leaf.as_str() {
        Some("NaN") => Some(f64::NAN),
        Some("Infinity") => Some(f64::INFINITY),
        Some("-Infinity") => Some(f64::NEG_INFINITY),
        Some(_) => None,
        None => leaf.as_f64(),
    }
}

/// A number in a narrower type, unless it is too large for that.
fn narrow<T: Copy>(leaf: &Value, to: fn(f64) -> T, is_finite: fn(T) -> bool) -> Option<T> {
    let value = float(leaf)?;
    let narrowed = to(value);
    (is_finite(narrowed) || !value.is_finite()).then_some(narrowed)
}

fn wrong(leaf: &Value, expected: DataType) -> JsonError {
    let found = match leaf {
        Value::Object(_) => "an object".into(),
        leaf => leaf.to_string().chars().take(40).collect(),
    };
    JsonError::Element { expected, found }
}

/// All elements in one flat array, as the Open Inference Protocol has them. What JSON has no
/// number for becomes text: `"NaN"`, `"Infinity"`; so do bytes, undecodable ones replaced.
pub(crate) fn elements(tensor: &Tensor) -> Vec<Value> {
    /// Every element of type `$rust` through `$show`.
    macro_rules! map {
        ($rust:ty, $show:expr) => {
            tensor
                .data()
                .chunks_exact(size_of::<$rust>())
                .map(bytemuck::pod_read_unaligned::<$rust>)
                .map($show)
                .collect()
        };
    }
    match tensor.data_type() {
        DataType::Bool => map!(u8, |value| Value::Bool(value != 0)),
        DataType::Uint8 => map!(u8, Value::from),
        DataType::Uint16 => map!(u16, Value::from),
        DataType::Uint32 => map!(u32, Value::from),
        DataType::Uint64 => map!(u64, Value::from),
        DataType::Int8 => map!(i8, Value::from),
        DataType::Int16 => map!(i16, Value::from),
        DataType::Int32 => map!(i32, Value::from),
        DataType::Int64 => map!(i64, Value::from),
        DataType::Fp16 => map!(f16, |value| single(value.to_f32())),
        DataType::Bf16 => map!(bf16, |value| single(value.to_f32())),
        DataType::Fp32 => map!(f32, single),
        DataType::Fp64 => map!(f64, double),
        DataType::Bytes => strings::iter(tensor.data())
            .map(|element| Value::from(String::from_utf8_lossy(element)))
            .collect(),
    }
}

/// The shortest decimal that reads back as the same f32 (0.1, not 0.10000000149011612).
pub(crate) fn single(value: f32) -> Value {
    double(value.to_string().parse().unwrap_or(f64::from(value)))
}

fn double(value: f64) -> Value {
    match Number::from_f64(value) {
        Some(number) => Value::Number(number),
        None if value.is_nan() => Value::from("NaN"),
        None if value > 0.0 => Value::from("Infinity"),
        None => Value::from("-Infinity"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(value: Value, data_type: DataType, shape: &[usize], flat: Value) {
        let tensor = tensor(&value, data_type).unwrap();
        assert_eq!(tensor.shape().dims(), shape);
        assert_eq!(Value::from(elements(&tensor)), flat);
    }

    fn refusal(value: Value, data_type: DataType) -> String {
        tensor(&value, data_type).unwrap_err().to_string()
    }

    #[test]
    fn nested_arrays_become_tensors() {
        check(json!([[1, 2.5], [3, 4]]), DataType::Fp32, &[2, 2], json!([1.0, 2.5, 3.0, 4.0]));
        check(json!(0.1), DataType::Fp32, &[], json!([0.1]));
        check(json!([true, 0]), DataType::Bool, &[2], json!([true, false]));
        check(json!([u64::MAX]), DataType::Uint64, &[1], json!([u64::MAX]));
        check(json!([i64::MIN]), DataType::Int64, &[1], json!([i64::MIN]));
        check(json!(["a", ""]), DataType::Bytes, &[2], json!(["a", ""]));
        check(json!([]), DataType::Fp32, &[0], json!([]));
        check(json!([[], []]), DataType::Fp32, &[2, 0], json!([]));
        let special = json!(["NaN", "Infinity", "-Infinity"]);
        check(special.clone(), DataType::Fp16, &[3], special);
    }

    #[test]
    fn bare_non_numbers_are_values_as_on_the_server() {
        let parsed = parse(br#"{"NaN\\": [NaN, -Infinity, Infinity, 1, "\"NaN"]}"#).unwrap();
        assert_eq!(parsed, json!({"NaN\\": ["NaN", "-Infinity", "Infinity", 1, "\"NaN"]}));
        for wrong in ["[NaN", "[nan]", "[+Infinity]", "[NaNs]", "[\"\\"] {
            assert!(parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn numbers_never_saturate_silently() {
        assert_eq!(refusal(json!([300]), DataType::Uint8), "expected UINT8, found 300");
        assert_eq!(refusal(json!([-1]), DataType::Uint64), "expected UINT64, found -1");
        assert_eq!(refusal(json!([1.5]), DataType::Int32), "expected INT32, found 1.5");
        assert_eq!(refusal(json!(["1"]), DataType::Fp32), "expected FP32, found \"1\"");
        assert_eq!(refusal(json!([null]), DataType::Fp32), "expected FP32, found null");
        assert_eq!(refusal(json!([1e39]), DataType::Fp32), "expected FP32, found 1e+39");
        assert_eq!(refusal(json!([70000]), DataType::Fp16), "expected FP16, found 70000");
        assert_eq!(refusal(json!([2]), DataType::Bool), "expected BOOL, found 2");
    }

    #[test]
    fn ragged_arrays_are_refused() {
        assert_eq!(
            refusal(json!([[1, 2], [3]]), DataType::Fp32),
            "the arrays are ragged: 1 elements at depth 1, where others have 2"
        );
        assert!(refusal(json!([[1], 2]), DataType::Fp32).contains("side by side at depth 1"));
        assert!(refusal(json!([1, [2]]), DataType::Fp32).contains("side by side at depth 1"));
        assert!(refusal(json!([[], [1]]), DataType::Fp32).contains("ragged"));
    }
}
