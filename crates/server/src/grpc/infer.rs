//! `ModelInfer`: from a framed message to a framed answer.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderValue, Response};
use modelyard_serving::{ErrorCode, InferError, InferResponse, Service, Stage, Version};
use modelyard_tensor::{Rope, Tensor};
use smallvec::SmallVec;

use super::body::{self, Body};
use super::decode::{Decoded, Decoder, Refused};
use super::encode::{Answer, Pieces};
use super::framing::{Messages, Room};
use super::message::Message;
use super::status::refusal;
use crate::classification::{Classes, classify};
use crate::error::wire;
use crate::http::Coding;
use crate::repository::Repository;

/// Answers inferences, unary or in a stream.
pub(super) struct Inference {
    pub(super) service: Arc<Service>,
    pub(super) room: Room,
    /// Who loads models that are not in memory.
    pub(super) repository: Option<Repository>,
}

/// When a message came and how to answer it.
#[derive(Clone, Copy)]
pub(super) struct Call {
    pub(super) arrived: Instant,
    pub(super) deadline: Option<Instant>,
    pub(super) streamed: bool,
}

impl Inference {
    /// Answers a `ModelInfer` call.
    pub(super) async fn unary<B>(&self, request: http::Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = bytes::Bytes> + Unpin,
    {
        let (head, body) = request.into_parts();
        let mut messages = Messages::new(&head.headers, body);
        match self.only_message(&head.headers, &mut messages).await {
            Ok(pieces) => ok(messages.coding(), |coding| match coding {
                Some(coding) => Body::answer(body::compress(coding, pieces)),
                None => Body::answer(pieces),
            }),
            Err(error) => refusal(&error),
        }
    }

    /// Answers the first message of a call.
    pub(super) async fn only_message<B>(
        &self,
        headers: &HeaderMap,
        messages: &mut Messages<B>,
    ) -> Result<Pieces, InferError>
    where
        B: http_body::Body<Data = bytes::Bytes> + Unpin,
    {
        let arrived = Instant::now();
        let deadline = deadline(headers, arrived)?;
        let message = poll_fn(|cx| messages.poll_next(cx, &self.room)).await?;
        let message = message.ok_or_else(|| InferError::invalid("the request has no message"))?;
        let call = Call { arrived, deadline, streamed: false };
        self.infer(message.bytes, call, headers).await.map_err(|refused| refused.error)
    }

    /// Answers one message.
    pub(super) async fn infer(
        &self,
        message: Rope,
        call: Call,
        headers: &HeaderMap,
    ) -> Result<Pieces, Refused> {
        let (mut call, mut start) = (call, Instant::now());
        let decoded = match self.decode(message.clone(), call, headers) {
            Err(refused) if refused.error.code == ErrorCode::StandsBy => {
                self.wake(&message, call, refused).await?;
                // It arrives anew: no queue and no parser took that long.
                start = Instant::now();
                call.arrived = start;
                self.decode(message, call, headers)?
            }
            decoded => decoded?,
        };
        let Decoded { request, id, classes } = decoded;
        let (version, wanted) = (request.version.clone(), request.outputs.clone());
        version.stats().record_stage(Stage::Parse, start.elapsed());
        let answered = self.service.infer_called(request, &id).await;
        let encoding = Instant::now();
        let encoded = answered.and_then(|response| {
            let outputs =
                name(&version, &wanted, classify_outputs(&version, &wanted, &classes, response)?);
            let answer =
                Answer { model: version.model(), version: version.number(), id: &id, outputs };
            if call.streamed { answer.streamed() } else { answer.unary() }
        });
        let pieces = encoded.map_err(|error| Refused { error, id, version: None })?;
        let end = Instant::now();
        version.stats().record_stage(Stage::Encode, end - encoding);
        version.stats().record_stage(Stage::Request, end - call.arrived);
        Ok(pieces)
    }

    /// Has the model of a request loaded.
    async fn wake(&self, message: &Rope, call: Call, refused: Refused) -> Result<(), Refused> {
        let Some(repository) = &self.repository else { return Err(refused) };
        let message = Message::split(message.clone())?;
        let model = message.head()?.model_name.to_owned();
        let woken = repository.wake(&model, &self.room.limits, call.deadline).await;
        woken.map_err(|error| Refused { error, ..refused })
    }

    fn decode(&self, message: Rope, call: Call, headers: &HeaderMap) -> Result<Decoded, Refused> {
        let tensor_elements = self.room.limits.tensor_elements;
        let decoder = Decoder { service: &self.service, headers, tensor_elements };
        decoder.decode(message, call.arrived, call.deadline).inspect_err(|refused| {
            if let Some(version) = &refused.version {
                let reason = wire(refused.error.code).reason;
                version.stats().record_failure(reason, call.arrived.elapsed());
            }
        })
    }
}

/// The headers of an answer that goes well so far, and its body.
pub(super) fn ok(
    coding: Option<Coding>,
    body: impl FnOnce(Option<Coding>) -> Body,
) -> Response<Body> {
    let mut response = Response::new(body(coding));
    let headers = response.headers_mut();
    headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    if let Some(coding) = coding {
        headers.insert("grpc-encoding", HeaderValue::from_static(coding.name()));
    }
    response
}

type Tensors = SmallVec<[Tensor; 2]>;

/// Replaces outputs by their best classes where these are wanted.
fn classify_outputs(
    version: &Version,
    wanted: &[usize],
    classes: &[Option<usize>],
    response: InferResponse,
) -> Result<Tensors, InferError> {
    let mut outputs = response.outputs;
    for ((output, &count), &position) in outputs.iter_mut().zip(classes).zip(wanted) {
        if let Some(count) = count {
            let labels = version.labels().get(position).and_then(Option::as_deref);
            let batched = version.max_batch_size() > 0;
            *output = classify(output, &Classes { count, batched, labels })?;
        }
    }
    Ok(outputs)
}

/// Puts the names of the signature to the outputs wanted; none wanted means all.
fn name<'a>(
    version: &'a Version,
    wanted: &[usize],
    outputs: Tensors,
) -> SmallVec<[(&'a str, Tensor); 2]> {
    let specs = &version.signature().outputs;
    let name = |index: usize| {
        let position = wanted.get(index).copied().unwrap_or(index);
        specs.get(position).map_or("", |spec| spec.name.as_str())
    };
    outputs.into_iter().enumerate().map(|(index, tensor)| (name(index), tensor)).collect()
}

/// The deadline that `grpc-timeout` sets.
pub(super) fn deadline(
    headers: &HeaderMap,
    arrived: Instant,
) -> Result<Option<Instant>, InferError> {
    let Some(timeout) = headers.get("grpc-timeout") else { return Ok(None) };
    let timeout = parse_timeout(timeout.as_bytes()).ok_or_else(|| {
        InferError::new(
            ErrorCode::InvalidArgument,
            "header grpc-timeout is not understood: expected at most 8 digits and one of H M S m u n",
        )
    })?;
    // A timeout past the end of the clock is none.
    Ok(arrived.checked_add(timeout))
}

fn parse_timeout(text: &[u8]) -> Option<Duration> {
    const MOST_DIGITS: usize = 8;
    let (&unit, digits) = text.split_last()?;
    if digits.is_empty() || digits.len() > MOST_DIGITS || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let count = digits.iter().fold(0, |count, digit| count * 10 + u64::from(digit - b'0'));
    Some(match unit {
        b'H' => Duration::from_secs(count * 3600),
        b'M' => Duration::from_secs(count * 60),
        b'S' => Duration::from_secs(count),
        b'm' => Duration::from_millis(count),
        b'u' => Duration::from_micros(count),
        b'n' => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_the_specification_has_them() {
        let cases: [(&[u8], Option<Duration>); 8] = [
            (b"1H", Some(Duration::from_secs(3600))),
            (b"2M", Some(Duration::from_secs(120))),
            (b"99999999S", Some(Duration::from_secs(99_999_999))),
            (b"100m", Some(Duration::from_millis(100))),
            (b"7n", Some(Duration::from_nanos(7))),
            (b"123456789S", None),
            (b"S", None),
            (b"-1S", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_timeout(text), expected, "{}", String::from_utf8_lossy(text));
        }
    }
}
