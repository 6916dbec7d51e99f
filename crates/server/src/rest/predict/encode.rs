//! Answers of `/predict`.

use http::Response;
use http::header::CONTENT_TYPE;
use modelyard_serving::Version;
use modelyard_tensor::{DataType, Tensor, strings};

use super::shape::Form;
use crate::http::{Frames, JSON, Refusal};
use crate::json::{self, Unprintable};
use crate::rest::v2::unprintable;

/// Encodes all outputs of `version`.
pub(super) fn encode(
    version: &Version,
    form: Form,
    outputs: &[Tensor],
) -> Result<Response<Frames>, Refusal> {
    let elements = outputs.iter().map(|output| output.shape().elements().unwrap_or(0));
    let mut out = Vec::with_capacity(64 + 14 * elements.sum::<usize>().min(1 << 16));
    out.extend_from_slice(b"{\"prediction\":");
    let mut names = version.signature().outputs.iter().map(|spec| spec.name.as_str());
    if let [only] = outputs {
        prediction(&mut out, names.next().unwrap_or_default(), form, only)?;
        classes(&mut out, version, form, only);
    } else {
        for (index, (name, output)) in names.zip(outputs).enumerate() {
            out.push(if index == 0 { b'{' } else { b',' });
            json::string(&mut out, name);
            out.push(b':');
            prediction(&mut out, name, form, output)?;
        }
        out.push(b'}');
    }
    out.push(b'}');
    let mut response = Response::new(Frames::from(out));
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    Ok(response)
}

fn prediction(out: &mut Vec<u8>, name: &str, form: Form, output: &Tensor) -> Result<(), Refusal> {
    let dims = match (form, output.shape().dims()) {
        (Form::Single, [1, rest @ ..]) => rest,
        (_, dims) => dims,
    };
    nested(out, dims, output.data_type(), output.data())
        .map_err(|error| unprintable(name, output.data_type(), error))
}

/// Prints elements, nested as `dims` say.
fn nested(
    out: &mut Vec<u8>,
    dims: &[usize],
    data_type: DataType,
    data: &[u8],
) -> Result<(), Unprintable> {
    let Some((&count, rest)) = dims.split_first() else {
        return elements(out, data_type, data);
    };
    out.push(b'[');
    if rest.is_empty() {
        elements(out, data_type, data)?;
    } else {
        let each = rest.iter().product();
        let mut data = data;
        for index in 0..count {
            if index > 0 {
                out.push(b',');
            }
            let (head, tail) = data.split_at(byte_len(data_type, data, each));
            nested(out, rest, data_type, head)?;
            data = tail;
        }
    }
    out.push(b']');
    Ok(())
}

/// Bytes of the first `count` elements.
fn byte_len(data_type: DataType, data: &[u8], count: usize) -> usize {
    let bytes = match data_type.size() {
        Some(size) => count * size,
        None => strings::iter(data).take(count).map(|element| element.len() + 4).sum(),
    };
    bytes.min(data.len())
}

/// Prints elements side by side; halves as the floats that they are.
fn elements(out: &mut Vec<u8>, data_type: DataType, data: &[u8]) -> Result<(), Unprintable> {
    let (halves, _) = data.as_chunks::<2>();
    let floats: Vec<[u8; 4]> = match data_type {
        DataType::Fp16 => {
            let float = |half: &[u8; 2]| half::f16::from_le_bytes(*half).to_f32().to_le_bytes();
            halves.iter().map(float).collect()
        }
        DataType::Bf16 => {
            let float = |half: &[u8; 2]| half::bf16::from_le_bytes(*half).to_f32().to_le_bytes();
            halves.iter().map(float).collect()
        }
        _ => return json::values(out, data_type, data),
    };
    json::values(out, DataType::Fp32, floats.as_flattened())
}

/// Prints the class of each row, and its label where there are labels.
fn classes(out: &mut Vec<u8>, version: &Version, form: Form, output: &Tensor) {
    let columns = match (output.shape().dims(), output.data_type()) {
        (&[_, columns], DataType::Fp32 | DataType::Fp64) if columns >= 2 => columns,
        _ => return,
    };
    let classes: smallvec::SmallVec<[Option<usize>; 8]> = match output.data_type() {
        DataType::Fp32 => rows(output.data(), columns, |bytes| f32::from_le_bytes(bytes).into()),
        _ => rows(output.data(), columns, f64::from_le_bytes),
    };
    out.extend_from_slice(b",\"class\":");
    list(out, form, &classes, |out, class| match class {
        Some(class) => json::number(out, class),
        None => out.extend_from_slice(b"null"),
    });
    if let Some(labels) = version.labels().first().and_then(Option::as_ref) {
        out.extend_from_slice(b",\"label\":");
        list(out, form, &classes, |out, class| match class.and_then(|class| labels.get(class)) {
            Some(label) => json::string(out, label),
            None => out.extend_from_slice(b"null"),
        });
    }
}

/// The position of the largest element of each row; the first of equal ones; none where all are
/// NaN.
fn rows<const N: usize, C: FromIterator<Option<usize>>>(
    data: &[u8],
    columns: usize,
    value: impl Fn([u8; N]) -> f64,
) -> C {
    let (elements, _) = data.as_chunks::<N>();
    let largest = |row: &[[u8; N]]| {
        let mut best: Option<(usize, f64)> = None;
        for (index, bytes) in row.iter().enumerate() {
            let value = value(*bytes);
            if !value.is_nan() && best.is_none_or(|(_, best)| value > best) {
                best = Some((index, value));
            }
        }
        best.map(|(index, _)| index)
    };
    elements.chunks_exact(columns).map(largest).collect()
}

fn list(
    out: &mut Vec<u8>,
    form: Form,
    classes: &[Option<usize>],
    print: impl Fn(&mut Vec<u8>, Option<usize>),
) {
    if let (Form::Single, [only]) = (form, classes) {
        return print(out, *only);
    }
    out.push(b'[');
    for (index, &class) in classes.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        print(out, class);
    }
    out.push(b']');
}

#[cfg(test)]
mod tests {
    use modelyard_tensor::Shape;

    use super::*;

    #[test]
    fn arrays_are_nested_by_their_shape() {
        let print = |tensor: &Tensor| {
            let mut out = Vec::new();
            nested(&mut out, tensor.shape(), tensor.data_type(), tensor.data()).unwrap();
            String::from_utf8(out).unwrap()
        };
        let numbers = Tensor::from_vec(Shape::from([2, 1, 2]), vec![1i32, 2, 3, 4]).unwrap();
        assert_eq!(print(&numbers), "[[[1,2]],[[3,4]]]");
        let texts = Tensor::from_strings(Shape::from([2, 2]), ["a", "bc", "", "d"]).unwrap();
        assert_eq!(print(&texts), r#"[["a","bc"],["","d"]]"#);
        let empty = Tensor::from_vec(Shape::from([2, 0]), Vec::<f32>::new()).unwrap();
        assert_eq!(print(&empty), "[[],[]]");
        let halves = vec![half::f16::from_f32(0.5), half::f16::INFINITY];
        assert_eq!(print(&Tensor::from_vec(Shape::from([2]), halves).unwrap()), "[0.5,Infinity]");
        let scalar = Tensor::from_vec(Shape::default(), vec![7u8]).unwrap();
        assert_eq!(print(&scalar), "7");
    }

    #[test]
    fn the_largest_element_is_the_class() {
        let values = [0.1f32, 0.7, 0.7, f32::NAN, 0.2, 0.0, f32::NAN, f32::NAN, f32::NAN];
        let classes: Vec<Option<usize>> =
            rows(bytemuck::cast_slice(&values), 3, |bytes| f32::from_le_bytes(bytes).into());
        assert_eq!(classes, [Some(1), Some(1), None]);
        let lowest = [f32::NAN, f32::NEG_INFINITY, f32::NEG_INFINITY];
        let classes: Vec<Option<usize>> =
            rows(bytemuck::cast_slice(&lowest), 3, |bytes| f32::from_le_bytes(bytes).into());
        assert_eq!(classes, [Some(1)]);
    }
}
