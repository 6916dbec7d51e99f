//! Requests as bytes, made once before the measurement.

use std::fmt::Write as _;

use anyhow::bail;
use bytes::{BufMut, Bytes, BytesMut};
use modelyard_server::grpc::proto::ModelInferRequest;
use modelyard_server::grpc::proto::model_infer_request::InferInputTensor;
use modelyard_tensor::{DataType, Tensor, strings};

use super::grpc;
use super::inputs::Example;

/// An HTTP body and what its head must say about it.
pub(crate) struct Body {
    bytes: Bytes,
    /// Length of the JSON part of a binary request.
    json_length: Option<usize>,
}

impl Body {
    /// A body that is JSON throughout.
    pub(crate) fn json(bytes: impl Into<Bytes>) -> Self {
        Body { bytes: bytes.into(), json_length: None }
    }
}

/// A whole HTTP/1.1 request.
pub(crate) fn http(host: &str, path: &str, body: &Body) -> Bytes {
    let kind = if body.json_length.is_some() { "octet-stream" } else { "json" };
    let mut head = format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/{kind}\r\n\
         Content-Length: {}\r\n",
        body.bytes.len()
    );
    if let Some(length) = body.json_length {
        let _ = write!(head, "Inference-Header-Content-Length: {length}\r\n");
    }
    head.push_str("\r\n");
    let mut request = BytesMut::with_capacity(head.len() + body.bytes.len());
    request.put(head.as_bytes());
    request.put(&*body.bytes);
    request.freeze()
}

/// v2 REST, all JSON.
pub(crate) fn rest_json(example: &Example) -> anyhow::Result<Body> {
    let mut text = String::from("{\"inputs\":[");
    for (number, (name, tensor)) in example.tensors.iter().enumerate() {
        separate(&mut text, number);
        describe(&mut text, name, tensor);
        text.push_str(",\"data\":");
        flat(&mut text, tensor)?;
        text.push('}');
    }
    text.push_str("]}");
    Ok(Body::json(text))
}

/// v2 REST with the binary tensor extension in both directions.
pub(crate) fn rest_binary(example: &Example) -> Body {
    let mut text = String::from("{\"inputs\":[");
    for (number, (name, tensor)) in example.tensors.iter().enumerate() {
        separate(&mut text, number);
        describe(&mut text, name, tensor);
        let size = tensor.data().len();
        let _ = write!(text, ",\"parameters\":{{\"binary_data_size\":{size}}}}}");
    }
    text.push_str("],\"parameters\":{\"binary_data_output\":true}}");
    let json_length = Some(text.len());
    let mut bytes = BytesMut::from(text.as_bytes());
    for (_, tensor) in &example.tensors {
        bytes.put(&**tensor.data());
    }
    Body { bytes: bytes.freeze(), json_length }
}

/// `POST /predict`: `image` for a model with one input, else its inputs by name. One example
/// goes flat, several as a list of them.
pub(crate) fn predict(example: &Example) -> anyhow::Result<Body> {
    let lone = example.tensors.len() == 1;
    let mut text = String::from("{");
    for (number, (name, tensor)) in example.tensors.iter().enumerate() {
        separate(&mut text, number);
        string(&mut text, if lone { "image" } else { name });
        text.push(':');
        match example.rows {
            1 => flat(&mut text, tensor)?,
            rows => {
                for row in 0..rows {
                    text.push(if row == 0 { '[' } else { ',' });
                    let Some(part) = tensor.rows(row, 1) else {
                        bail!(
                            "/predict cannot carry batches of {} input '{name}'",
                            tensor.data_type()
                        );
                    };
                    flat(&mut text, &part)?;
                }
                text.push(']');
            }
        }
    }
    text.push('}');
    Ok(Body::json(text))
}

/// A v2 gRPC message with raw contents, framed.
pub(crate) fn grpc(model: &str, version: &str, example: &Example) -> Bytes {
    let input = |(name, tensor): &(String, Tensor)| InferInputTensor {
        name: name.clone(),
        datatype: tensor.data_type().name().into(),
        shape: tensor.shape().iter().map(|size| *size as i64).collect(),
        ..Default::default()
    };
    grpc::framed(&ModelInferRequest {
        model_name: model.into(),
        model_version: version.into(),
        inputs: example.tensors.iter().map(input).collect(),
        raw_input_contents: example
            .tensors
            .iter()
            .map(|(_, tensor)| tensor.data().clone())
            .collect(),
        ..Default::default()
    })
}

fn separate(text: &mut String, number: usize) {
    if number > 0 {
        text.push(',');
    }
}

/// Opens the object of an input, up to its data.
fn describe(text: &mut String, name: &str, tensor: &Tensor) {
    text.push_str("{\"name\":");
    string(text, name);
    let dims: Vec<String> = tensor.shape().iter().map(ToString::to_string).collect();
    let _ = write!(text, ",\"shape\":[{}],\"datatype\":\"{}\"", dims.join(","), tensor.data_type());
}

fn string(text: &mut String, value: &str) {
    text.push_str(&serde_json::Value::from(value).to_string());
}

/// All elements in one JSON array.
fn flat(text: &mut String, tensor: &Tensor) -> anyhow::Result<()> {
    text.push('[');
    match tensor.data_type() {
        DataType::Bool => {
            for (number, element) in tensor.data().iter().enumerate() {
                separate(text, number);
                text.push_str(if *element == 0 { "false" } else { "true" });
            }
        }
        DataType::Uint8 => numbers::<u8>(text, tensor)?,
        DataType::Uint16 => numbers::<u16>(text, tensor)?,
        DataType::Uint32 => numbers::<u32>(text, tensor)?,
        DataType::Uint64 => numbers::<u64>(text, tensor)?,
        DataType::Int8 => numbers::<i8>(text, tensor)?,
        DataType::Int16 => numbers::<i16>(text, tensor)?,
        DataType::Int32 => numbers::<i32>(text, tensor)?,
        DataType::Int64 => numbers::<i64>(text, tensor)?,
        DataType::Fp32 => numbers::<f32>(text, tensor)?,
        DataType::Fp64 => numbers::<f64>(text, tensor)?,
        DataType::Bytes => {
            for (number, element) in strings::iter(tensor.data()).enumerate() {
                separate(text, number);
                let Ok(element) = std::str::from_utf8(element) else {
                    bail!("an element is not UTF-8: send it with --protocol rest-binary or grpc");
                };
                string(text, element);
            }
        }
        data_type @ (DataType::Fp16 | DataType::Bf16) => {
            bail!("{data_type} has no JSON form: use --protocol rest-binary or grpc")
        }
    }
    text.push(']');
    Ok(())
}

fn numbers<T>(text: &mut String, tensor: &Tensor) -> anyhow::Result<()>
where
    T: modelyard_tensor::Element + std::fmt::Display,
{
    for (number, value) in tensor.values::<T>()?.iter().enumerate() {
        separate(text, number);
        let _ = write!(text, "{value}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;

    fn example(rows: usize) -> Example {
        let values: Vec<f32> = (0..2 * rows).map(|value| value as f32 / 4.0).collect();
        let tensor = Tensor::from_vec([rows, 2].into(), values).unwrap();
        Example { tensors: vec![("x".into(), tensor)], rows }
    }

    #[test]
    fn json_bodies_are_what_the_protocols_say() {
        let body = rest_json(&example(1)).unwrap();
        assert_eq!(
            body.bytes,
            r#"{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[0,0.25]}]}"#
        );
        assert_eq!(predict(&example(1)).unwrap().bytes, r#"{"image":[0,0.25]}"#);
        assert_eq!(predict(&example(2)).unwrap().bytes, r#"{"image":[[0,0.25],[0.5,0.75]]}"#);
        let half = Tensor::new(DataType::Fp16, [1].into(), Bytes::from_static(&[0, 0])).unwrap();
        let half = Example { tensors: vec![("x".into(), half)], rows: 1 };
        assert!(rest_json(&half).is_err());
    }

    #[test]
    fn binary_bodies_say_where_the_json_ends() {
        let body = rest_binary(&example(1));
        let json = body.json_length.unwrap();
        let header: serde_json::Value = serde_json::from_slice(&body.bytes[..json]).unwrap();
        assert_eq!(header["inputs"][0]["parameters"]["binary_data_size"], 8);
        assert_eq!(body.bytes[json..], [0f32.to_le_bytes(), 0.25f32.to_le_bytes()].concat());
        let request = http("h:1", "/v2/models/m/infer", &body);
        let text = String::from_utf8_lossy(&request);
        assert!(text.contains(&format!("Inference-Header-Content-Length: {json}\r\n")));
        assert!(text.contains(&format!("Content-Length: {}\r\n", json + 8)));
    }

    #[test]
    fn grpc_messages_are_framed() {
        let bytes = grpc("m", "", &example(1));
        assert_eq!(bytes[..5], [&[0], &((bytes.len() - 5) as u32).to_be_bytes()[..]].concat());
        let request = ModelInferRequest::decode(&bytes[5..]).unwrap();
        assert_eq!(request.inputs[0].shape, [1, 2]);
        assert_eq!(request.raw_input_contents[0].len(), 8);
    }
}
