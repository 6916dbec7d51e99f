//! The four ways to ask, each with requests made beforehand and answers read to a class.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use http::{HeaderMap, Uri};
use modelyard_server::grpc::proto::{
    ModelInferRequest, ModelInferResponse, model_infer_request::InferInputTensor,
};
use modelyard_tensor::{DataType, Signature, Tensor, TensorSpec};
use prost::Message;
use serde::Serialize;
use serde_json::{Value, json};

use super::MODEL_NAME;
use crate::bench::grpc::{Channel, framed};
use crate::commands::predict::remote;
use crate::http_client::HttpClient;
use crate::tensors::json as tensor_json;

/// Longest wait for one answer.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes before each gRPC message.
const GRPC_PREFIX: usize = 5;

/// A way to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Protocol {
    /// Open Inference Protocol v2 over HTTP, tensors in binary.
    RestBinary,
    /// The same with tensors in JSON.
    RestJson,
    /// Open Inference Protocol v2 over gRPC.
    Grpc,
    /// `POST /predict`.
    Predict,
}

impl Protocol {
    /// All of them.
    pub(super) const ALL: [Protocol; 4] =
        [Protocol::RestBinary, Protocol::RestJson, Protocol::Grpc, Protocol::Predict];

    /// The name for people.
    pub(super) fn name(self) -> &'static str {
        match self {
            Protocol::RestBinary => "REST v2, binary",
            Protocol::RestJson => "REST v2, JSON",
            Protocol::Grpc => "gRPC v2",
            Protocol::Predict => "POST /predict",
        }
    }

    /// Makes the request about one digit.
    pub(super) fn request(self, image: Vec<f32>) -> anyhow::Result<Request> {
        let mut headers = HeaderMap::new();
        let body = match self {
            Protocol::RestBinary => {
                let pixels = Tensor::from_vec([1, image.len()].into(), image)?;
                let (head, body) = remote::request(&image_signature(), &[pixels]);
                headers = head;
                body
            }
            Protocol::RestJson => {
                let input = json!({
                    "name": "image",
                    "datatype": "FP32",
                    "shape": [1, image.len()],
                    "data": numbers(&image),
                });
                json!({"inputs": [input]}).to_string().into()
            }
            Protocol::Grpc => framed(&grpc_request(&image)),
            Protocol::Predict => predict_body(&image).into(),
        };
        Ok(Request { headers, body })
    }

    /// Reads which class the model gave the highest probability, and that.
    pub(super) fn read(self, answer: Answer) -> anyhow::Result<(usize, f32)> {
        match self {
            Protocol::RestBinary | Protocol::RestJson => {
                let (_, outputs) = remote::response(&answer.headers, answer.body)?;
                let (_, tensor) = outputs.first().context("the answer has no output")?;
                highest(&tensor.values::<f32>()?)
            }
            Protocol::Grpc => {
                let message = answer.body.get(GRPC_PREFIX..).context("the answer is cut off")?;
                let message = ModelInferResponse::decode(message)?;
                let raw = message.raw_output_contents.first().context("the answer is empty")?;
                let tensor = Tensor::new(DataType::Fp32, [raw.len() / 4].into(), raw.clone())?;
                highest(&tensor.values::<f32>()?)
            }
            Protocol::Predict => read_predict(&answer.body),
        }
    }
}

/// What is sent, ready to go.
pub(super) struct Request {
    headers: HeaderMap,
    body: Bytes,
}

/// What came back, unread.
pub(super) struct Answer {
    headers: HeaderMap,
    body: Bytes,
}

/// Connections to the server.
pub(super) struct Clients {
    http: HttpClient,
    grpc: Channel,
    grpc_uri: Uri,
}

impl Clients {
    /// Connects, and waits until the server is ready. Must be used inside a `LocalSet`.
    pub(super) async fn connect(http: SocketAddr, grpc: SocketAddr) -> anyhow::Result<Clients> {
        const LOOK_EVERY: Duration = Duration::from_millis(2);
        let mut client = HttpClient::connect(&format!("http://{http}"), TIMEOUT).await?;
        let ready = async {
            while !client.get("/v2/health/ready").await?.status.is_success() {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            anyhow::Ok(())
        };
        let in_time = tokio::time::timeout(TIMEOUT, ready).await;
        in_time.map_err(|_| anyhow!("the server was not ready within {TIMEOUT:?}"))??;
        let uri = format!("http://{grpc}/inference.GRPCInferenceService/ModelInfer");
        Ok(Clients { http: client, grpc: Channel::new(grpc), grpc_uri: uri.parse()? })
    }

    /// Sends a request and waits for all of the answer.
    pub(super) async fn ask(
        &mut self,
        protocol: Protocol,
        request: &Request,
    ) -> anyhow::Result<Answer> {
        let path = match protocol {
            Protocol::RestBinary | Protocol::RestJson => "/v2/models/digits/infer",
            Protocol::Predict => "/predict",
            Protocol::Grpc => return self.ask_grpc(&request.body).await,
        };
        let answer = self.http.post(path, request.headers.clone(), request.body.clone()).await?;
        let answer = answer.successful()?;
        Ok(Answer { headers: answer.headers, body: answer.body })
    }

    async fn ask_grpc(&self, message: &Bytes) -> anyhow::Result<Answer> {
        let mut body = Vec::new();
        let call = self.grpc.unary(&self.grpc_uri, message.clone(), |piece| {
            body.extend_from_slice(piece);
        });
        match tokio::time::timeout(TIMEOUT, call).await {
            Ok(Ok(())) => Ok(Answer { headers: HeaderMap::new(), body: body.into() }),
            Ok(Err(failure)) => bail!("the gRPC call failed: {failure}"),
            Err(_) => bail!("no answer over gRPC within {TIMEOUT:?}"),
        }
    }
}

/// The body of `POST /predict` for one digit.
pub(super) fn predict_body(image: &[f32]) -> Vec<u8> {
    json!({"image": numbers(image)}).to_string().into_bytes()
}

fn numbers(image: &[f32]) -> Vec<Value> {
    image.iter().map(|&pixel| tensor_json::single(pixel)).collect()
}

fn image_signature() -> Signature {
    let spec = TensorSpec { name: "image".into(), data_type: DataType::Fp32, dims: None };
    Signature { inputs: vec![spec], outputs: Vec::new() }
}

fn grpc_request(image: &[f32]) -> ModelInferRequest {
    let input = InferInputTensor {
        name: "image".into(),
        datatype: "FP32".into(),
        shape: vec![1, i64::try_from(image.len()).unwrap_or(i64::MAX)],
        ..InferInputTensor::default()
    };
    let raw: Vec<u8> = image.iter().flat_map(|pixel| pixel.to_le_bytes()).collect();
    ModelInferRequest {
        model_name: MODEL_NAME.into(),
        inputs: vec![input],
        raw_input_contents: vec![raw.into()],
        ..ModelInferRequest::default()
    }
}

/// `{"prediction": [...], "class": n}`.
fn read_predict(body: &[u8]) -> anyhow::Result<(usize, f32)> {
    let answer: Value = serde_json::from_slice(body).context("the answer is no JSON")?;
    let class = answer.get("class").and_then(Value::as_u64).context("the answer has no class")?;
    let class = usize::try_from(class)?;
    let probability = answer.get("prediction").and_then(|scores| scores.get(class)?.as_f64());
    let probability = probability.context("the answer has no probability of its class")?;
    Ok((class, probability as f32))
}

fn highest(scores: &[f32]) -> anyhow::Result<(usize, f32)> {
    // The first of equal ones.
    let best = scores.iter().copied().enumerate().reduce(
        |best, next| {
            if next.1 > best.1 { next } else { best }
        },
    );
    best.context("the answer has no scores")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_the_highest_scores_wins() {
        assert_eq!(highest(&[0.1, 0.45, 0.45]).unwrap(), (1, 0.45));
        assert!(highest(&[]).is_err());
        let body = br#"{"prediction": [0.25, 0.75], "class": 1}"#;
        assert_eq!(read_predict(body).unwrap(), (1, 0.75));
        assert!(read_predict(br#"{"prediction": [0.25], "class": 1}"#).is_err());
    }
}
