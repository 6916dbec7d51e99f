//! `POST /v2/models/{model}[/versions/{version}]/infer`.

use http::Response;
use http::header::HeaderMap;
use modelyard_serving::{InferRequest, Routed, Version};
use modelyard_tensor::Rope;

use super::decode::{Decoded, decode, decode_raw};
use super::encode::{HEADER_LENGTH, encode};
use crate::Limits;
use crate::http::{Frames, Inbound, Refusal};
use crate::json::{JsonError, Scanner};
use crate::rest::{Call, with_text};
use crate::wording::{bytes, shown};

/// Answers an inference request.
pub(in crate::rest) async fn infer(
    call: &Call<'_>,
    version: &Routed,
    request: &mut Inbound,
) -> Result<Response<Frames>, Refusal> {
    let json_length = json_length(&request.head.headers);
    let received = call.receive(version, request).await?;
    let version = &match version.sticky_parameter() {
        Some(name) => rerouted(call, (version, name), &received.body.bytes, &json_length)?,
        None => version.clone(),
    };
    let limits = call.app.limits();
    let decoded = json_length
        .and_then(|length| decode_body(version, received.body.bytes.clone(), length, limits));
    let Decoded { inputs, options, reply } = received.parsed(decoded)?;
    let outputs = reply.outputs.iter().flatten().map(|wanted| wanted.output).collect();
    let request = InferRequest { version: version.clone(), inputs, outputs, options };
    let answer = call.app.service.infer_called(request, &reply.id).await?;
    call.encoded(version, || encode(version, &reply, answer.outputs))
}

/// The version for a request whose parameter says who it is from.
fn rerouted(
    call: &Call<'_>,
    (version, name): (&Routed, &str),
    body: &Rope,
    json_length: &Result<JsonLength, Refusal>,
) -> Result<Routed, Refusal> {
    let mut body = body.clone();
    let json = match json_length {
        Ok(JsonLength::Whole) => Some(body),
        Ok(JsonLength::First(length)) => body.split_to(*length),
        Ok(JsonLength::None) | Err(_) => None,
    };
    // What is wrong with it is said when it is decoded.
    let depth = call.app.limits().json_depth;
    let user = json.and_then(|json| with_text(&json, |text| text_parameter(text, name, depth)));
    match user {
        Some(user) => {
            Ok(call.app.service.route(version.model(), None, |_| Some(user.as_bytes()))?)
        }
        None => Ok(version.clone()),
    }
}

/// The value of a request's parameter, where it is a text. All else is passed over here.
fn text_parameter(text: &[u8], name: &str, depth: usize) -> Option<String> {
    let mut found = None;
    let mut scanner = Scanner::new(text, depth);
    // What is wrong with the text is said when it is decoded.
    let _ = scanner.object::<JsonError>(|scanner, key| match key {
        "parameters" => scanner.object(|scanner, key| {
            if key == name && scanner.peek() == b'"' {
                found = Some(scanner.string()?.into_owned());
                return Ok(());
            }
            scanner.skip()
        }),
        _ => scanner.skip(),
    });
    found
}

/// What the header says about the JSON's length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JsonLength {
    /// The body is JSON.
    Whole,
    /// The first bytes of the body are JSON, tensors follow.
    First(usize),
    /// The body is the only input.
    None,
}

/// Presence of the header alone decides: clients send all kinds of content types, or none.
pub(super) fn json_length(headers: &HeaderMap) -> Result<JsonLength, Refusal> {
    let Some(value) = headers.get(HEADER_LENGTH) else {
        return Ok(JsonLength::Whole);
    };
    match number(value.as_bytes().trim_ascii()) {
        Some(0) => Ok(JsonLength::None),
        Some(length) => Ok(JsonLength::First(length)),
        None => Err(Refusal::invalid(format!(
            "Inference-Header-Content-Length is '{}', expected the number of bytes of JSON",
            shown(&String::from_utf8_lossy(value.as_bytes()))
        ))),
    }
}

/// Digits alone: the standard library's numbers may have a sign.
fn number(text: &[u8]) -> Option<usize> {
    let digits = std::str::from_utf8(text).ok()?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// Decodes a body that has just been read.
pub(super) fn decode_body(
    version: &Version,
    mut body: Rope,
    json_length: JsonLength,
    limits: &Limits,
) -> Result<Decoded, Refusal> {
    let arrived = std::time::Instant::now();
    let whole = body.len();
    let json = match json_length {
        JsonLength::None => return decode_raw(version, body, arrived),
        JsonLength::Whole => body.split_to(whole),
        JsonLength::First(length) => body.split_to(length),
    };
    let json = json.ok_or_else(|| {
        Refusal::invalid(format!(
            "Inference-Header-Content-Length is more than the {} of the body",
            bytes(whole)
        ))
    })?;
    with_text(&json, |json| decode(version, json, body, limits, arrived))
}
