//! `POST /v2/models/{model}[/versions/{version}]/infer`.

use std::sync::Arc;

use http::Response;
use http::header::HeaderMap;
use modelyard_serving::{InferRequest, Version};
use modelyard_tensor::Rope;

use super::decode::{Decoded, decode, decode_raw};
use super::encode::{HEADER_LENGTH, encode};
use crate::http::{Frames, Inbound, Refusal};
use crate::rest::{Call, with_text};

/// Answers an inference request.
pub(in crate::rest) async fn infer(
    call: &Call<'_>,
    version: &Arc<Version>,
    request: &mut Inbound,
) -> Result<Response<Frames>, Refusal> {
    let json_length = json_length(&request.head.headers);
    let received = call.receive(version, request).await?;
    let decoded = json_length
        .and_then(|length| decode_body(call, version, received.body.bytes.clone(), length));
    let Decoded { inputs, options, reply } = received.parsed(decoded)?;
    let outputs = reply.outputs.iter().flatten().map(|wanted| wanted.output).collect();
    let request = InferRequest { version: version.clone(), inputs, outputs, options };
    let answer = call.app.service.infer(request).await?;
    call.encoded(version, || encode(version, &reply, answer.outputs))
}

/// What the header says about the JSON's length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum JsonLength {
    /// The body is JSON.
    Whole,
    /// The first bytes of the body are JSON, tensors follow.
    First(usize),
    /// The body is the only input.
    None,
}

/// Presence of the header alone decides: clients send all kinds of content types, or none.
fn json_length(headers: &HeaderMap) -> Result<JsonLength, Refusal> {
    let Some(value) = headers.get(HEADER_LENGTH) else {
        return Ok(JsonLength::Whole);
    };
    match value.to_str().ok().and_then(|text| text.trim().parse().ok()) {
        Some(0) => Ok(JsonLength::None),
        Some(length) => Ok(JsonLength::First(length)),
        None => Err(Refusal::invalid("Inference-Header-Content-Length is no number of bytes")),
    }
}

fn decode_body(
    call: &Call<'_>,
    version: &Version,
    mut body: Rope,
    json_length: JsonLength,
) -> Result<Decoded, Refusal> {
    let (limits, arrived) = (call.app.limits(), std::time::Instant::now());
    let whole = body.len();
    let json = match json_length {
        JsonLength::None => return decode_raw(version, body, arrived),
        JsonLength::Whole => body.split_to(whole),
        JsonLength::First(length) => body.split_to(length),
    };
    let json = json.ok_or_else(|| {
        Refusal::invalid(format!(
            "Inference-Header-Content-Length is more than the {whole} bytes of the body"
        ))
    })?;
    with_text(&json, |json| decode(version, json, body, limits, arrived))
}
