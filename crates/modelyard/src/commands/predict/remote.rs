//! A prediction by a server: Open Inference Protocol v2 over REST, tensors in binary.

use std::time::Instant;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use modelyard_tensor::{DataType, Dim, Shape, Signature, Tensor, TensorSpec};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::Answer;
use super::{Args, input};
use crate::exit::{Exit, ExitWith};
use crate::http_client::HttpClient;
use crate::tensors::json as tensor_json;

/// Says where the JSON ends and the tensors begin.
pub(crate) const HEADER_LENGTH: HeaderName =
    HeaderName::from_static("inference-header-content-length");

/// Asks the server at `url`.
pub(super) fn answer(url: &str, args: &Args) -> anyhow::Result<Answer> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(ask(url, args))
}

async fn ask(url: &str, args: &Args) -> anyhow::Result<Answer> {
    let mut client = HttpClient::connect(url, args.timeout).await.exit_with(Exit::Remote)?;
    let model = match &args.model {
        Some(model) => model.clone(),
        None => only_model(&mut client).await.exit_with(Exit::Remote)?,
    };
    let path = path(&model, args.model_version);
    let signature = signature(&mut client, &path).await.exit_with(Exit::Remote)?;
    let inputs = input::read(&args.inputs, &signature, args.invert).exit_with(Exit::Usage)?;
    let (headers, body) = request(&signature, &inputs);
    let start = Instant::now();
    let reply = client.post(&format!("{path}/infer"), headers, body).await;
    let reply = reply.and_then(|reply| reply.successful()).exit_with(Exit::Remote)?;
    let time = start.elapsed();
    let (head, outputs) = response(&reply.headers, reply.body)
        .context("failed to understand the server's answer")
        .exit_with(Exit::Remote)?;
    let labels = vec![None; outputs.len()];
    let version = head.model_version.filter(|version| !version.is_empty());
    Ok(Answer { model: head.model_name, version, by: url.to_owned(), outputs, labels, time })
}

/// The route of a model, its name percent-encoded.
fn path(model: &str, version: Option<u64>) -> String {
    let mut path = String::from("/v2/models/");
    for &byte in model.as_bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                path.push(char::from(byte));
            }
            _ => path.push_str(&format!("%{byte:02X}")),
        }
    }
    if let Some(version) = version {
        path.push_str(&format!("/versions/{version}"));
    }
    path
}

/// The model that the server has, if it has only one.
async fn only_model(client: &mut HttpClient) -> anyhow::Result<String> {
    #[derive(Deserialize)]
    struct Entry {
        name: String,
    }
    let reply = client.post("/v2/repository/index", HeaderMap::new(), Bytes::from_static(b"{}"));
    let reply = reply.await?.successful().context("say which model by --model")?;
    let index: Vec<Entry> = serde_json::from_slice(&reply.body)?;
    let mut names: Vec<String> = index.into_iter().map(|entry| entry.name).collect();
    names.dedup();
    match names.as_slice() {
        [] => bail!("the server has no model"),
        [name] => Ok(name.clone()),
        several => bail!("say which model by --model: the server has {}", several.join(", ")),
    }
}

/// What the model takes and gives, as the server says.
pub(crate) async fn signature(client: &mut HttpClient, path: &str) -> anyhow::Result<Signature> {
    #[derive(Deserialize)]
    struct Metadata {
        inputs: Vec<Spec>,
        outputs: Vec<Spec>,
    }
    #[derive(Deserialize)]
    struct Spec {
        name: String,
        datatype: String,
        shape: Vec<i64>,
    }
    let reply = client.get(path).await?.successful()?;
    let metadata: Metadata = serde_json::from_slice(&reply.body)
        .context("failed to understand the server's model metadata")?;
    let specs = |specs: Vec<Spec>| {
        let specs = specs.into_iter().map(|spec| {
            let dim = |size: &i64| usize::try_from(*size).map_or(Dim::Free, Dim::Fixed);
            let dims = Some(spec.shape.iter().map(dim).collect());
            Ok(TensorSpec { name: spec.name, data_type: spec.datatype.parse()?, dims })
        });
        specs.collect::<anyhow::Result<Vec<TensorSpec>>>()
    };
    Ok(Signature { inputs: specs(metadata.inputs)?, outputs: specs(metadata.outputs)? })
}

/// An infer request with every tensor in binary, which asks for the outputs in binary.
pub(crate) fn request(signature: &Signature, inputs: &[Tensor]) -> (HeaderMap, Bytes) {
    let described: Vec<Value> = signature
        .inputs
        .iter()
        .zip(inputs)
        .map(|(spec, tensor)| {
            json!({
                "name": spec.name,
                "datatype": tensor.data_type().name(),
                "shape": tensor.shape().dims(),
                "parameters": {"binary_data_size": tensor.data().len()},
            })
        })
        .collect();
    let head = json!({"inputs": described, "parameters": {"binary_data_output": true}});
    let mut body = head.to_string().into_bytes();
    let mut headers = HeaderMap::new();
    headers.insert(HEADER_LENGTH, HeaderValue::from(body.len()));
    inputs.iter().for_each(|tensor| body.extend_from_slice(tensor.data()));
    (headers, body.into())
}

/// The JSON part of an answer.
#[derive(Deserialize)]
pub(crate) struct Head {
    model_name: String,
    model_version: Option<String>,
    outputs: Vec<Output>,
}

#[derive(Deserialize)]
struct Output {
    name: String,
    datatype: String,
    shape: Vec<usize>,
    data: Option<Value>,
    #[serde(default)]
    parameters: Parameters,
}

#[derive(Default, Deserialize)]
struct Parameters {
    binary_data_size: Option<usize>,
}

/// The outputs of an answer, be they in binary or in JSON.
pub(crate) fn response(
    headers: &HeaderMap,
    body: Bytes,
) -> anyhow::Result<(Head, Vec<(String, Tensor)>)> {
    let length = match headers.get(HEADER_LENGTH) {
        Some(length) => {
            length.to_str()?.parse().context("wrong Inference-Header-Content-Length")?
        }
        None => body.len(),
    };
    if length > body.len() {
        bail!("the JSON part is said to take {length} bytes, but {} came", body.len());
    }
    let mut binary = body.slice(length..);
    let mut head: Head = serde_json::from_slice(&body[..length])?;
    let mut outputs = Vec::new();
    for output in std::mem::take(&mut head.outputs) {
        let name = output.name.clone();
        let tensor = tensor(output, &mut binary).with_context(|| format!("output '{name}'"))?;
        outputs.push((name, tensor));
    }
    if !binary.is_empty() {
        bail!("{} more bytes came than the outputs take", binary.len());
    }
    Ok((head, outputs))
}

fn tensor(output: Output, binary: &mut Bytes) -> anyhow::Result<Tensor> {
    let data_type: DataType = output.datatype.parse()?;
    let shape = Shape::new(&output.shape);
    match (output.parameters.binary_data_size, output.data) {
        (Some(size), _) if size <= binary.len() => {
            Ok(Tensor::new(data_type, shape, binary.split_to(size))?)
        }
        (Some(size), _) => bail!("{size} bytes expected, but only {} are left", binary.len()),
        (None, Some(data)) => Ok(tensor_json::tensor(&data, data_type)?.reshaped(shape)?),
        (None, None) => bail!("neither binary nor JSON data came"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn answered(length: Option<&str>, body: &str) -> anyhow::Result<Vec<(String, Tensor)>> {
        let mut headers = HeaderMap::new();
        if let Some(length) = length {
            headers.insert(HEADER_LENGTH, length.parse().unwrap());
        }
        response(&headers, Bytes::copy_from_slice(body.as_bytes())).map(|(_, outputs)| outputs)
    }

    #[test]
    fn json_and_binary_outputs_are_read() {
        let body = r#"{"model_name":"m","outputs":[{"name":"a","datatype":"INT8","shape":[1,2],"parameters":{"binary_data_size":2}},{"name":"b","datatype":"FP32","shape":[1],"data":[0.5]}]}"#;
        let outputs = answered(Some(&body.len().to_string()), &format!("{body}\x01\x02")).unwrap();
        assert_eq!(outputs[0].1.data().as_ref(), [1, 2]);
        assert_eq!(outputs[1].1.values::<f32>().unwrap().as_ref(), [0.5]);
    }

    #[test]
    fn a_lying_server_is_an_error() {
        let body = r#"{"model_name":"m","outputs":[{"name":"a","datatype":"FP32","shape":[9999999999,9999999999],"parameters":{"binary_data_size":4}}]}"#;
        let length = body.len().to_string();
        assert!(answered(Some(&length), &format!("{body}abcd")).is_err());
        assert!(answered(Some(&length), body).is_err());
        assert!(answered(Some("999999"), body).is_err());
        assert!(answered(Some("-1"), body).is_err());
        assert!(answered(None, r#"{"model_name":"m","outputs":[]} "#).is_ok());
        assert!(answered(Some("31"), r#"{"model_name":"m","outputs":[]}more"#).is_err());
    }

    #[test]
    fn names_are_percent_encoded() {
        assert_eq!(path("a b/ü", Some(3)), "/v2/models/a%20b%2F%C3%BC/versions/3");
    }

    proptest! {
        #[test]
        fn any_answer_is_read_or_refused(length in 0usize..300, cut in 0usize..300, byte: u8) {
            let body = r#"{"model_name":"m","outputs":[{"name":"a","datatype":"INT8","shape":[1,2],"parameters":{"binary_data_size":2}}]}"#;
            let mut bytes = body.as_bytes().to_vec();
            bytes.extend([1, 2]);
            let end = bytes.len();
            bytes[cut % end] = byte;
            let mut headers = HeaderMap::new();
            headers.insert(HEADER_LENGTH, HeaderValue::from(length));
            let _ = response(&headers, bytes.into());
        }
    }
}
