//! The corpora of `grpc` and `frames`, from the body of a call to its answer.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderValue};
use http_body::Frame;
use http_body_util::StreamBody;
use modelyard_serving::InferError;

use super::framing::{Messages, Room};
use super::infer::Inference;
use crate::http::Bodies;
use crate::{Limits, hostile};

fn inference(limits: Limits) -> Inference {
    let bodies = Bodies::new(limits.all_bodies_bytes);
    let room = Room { limits, bodies };
    Inference { service: hostile::service().clone(), room, repository: None }
}

/// Answers a `ModelInfer` call with this body.
fn answer(inference: &Inference, body: &[u8]) -> Result<(), InferError> {
    let headers =
        [(http::HeaderName::from_static("grpc-encoding"), HeaderValue::from_static("gzip"))];
    let headers = HeaderMap::from_iter(headers);
    // In pieces, as it comes from the network.
    let pieces = body
        .chunks(48)
        .map(|piece| Ok::<_, Infallible>(Frame::data(Bytes::copy_from_slice(piece))));
    let mut messages = Messages::new(&headers, StreamBody::new(stream::iter(pieces)));
    hostile::wait(inference.only_message(&headers, &mut messages)).map(drop)
}

/// The message as it stands in the body of a call.
fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap();
    [&[0], &length.to_be_bytes()[..], message].concat()
}

#[test]
fn hostile_messages_are_answered_or_refused() {
    let inference = inference(Limits::default());
    hostile::feed("grpc", |message| answer(&inference, &framed(message)));
}

/// Without a limit, memory taken for what a shape says would be more than there is.
#[test]
fn no_memory_is_taken_for_what_a_shape_says() {
    let inference = inference(Limits { tensor_elements: usize::MAX, ..Limits::default() });
    hostile::feed("grpc", |message| answer(&inference, &framed(message)));
}

#[test]
fn hostile_frames_are_answered_or_refused() {
    let limits = Limits { decompressed_bytes: 64 << 10, ..Limits::default() };
    let inference = inference(limits);
    hostile::feed("frames", |body| answer(&inference, body));
}
