//! The corpus of `v2`, from the head of a request to its answer.

use modelyard_serving::InferRequest;

use super::decode::Decoded;
use super::encode::encode;
use super::infer::{decode_body, json_length};
use crate::http::Refusal;
use crate::rest::hostile::{Received, receive};
use crate::rest::routes::Operation;
use crate::{Limits, hostile};

fn answer(file: &[u8], limits: &Limits) -> Result<(), Refusal> {
    let Received { version, headers, body } = receive(file, Operation::Infer)?;
    let decoded = decode_body(&version, body, json_length(&headers)?, limits)?;
    let Decoded { inputs, options, reply } = decoded;
    let outputs = reply.outputs.iter().flatten().map(|wanted| wanted.output).collect();
    let request = InferRequest { version: version.clone().into(), inputs, outputs, options };
    let answer = hostile::wait(hostile::service().infer(request))?;
    encode(&version, &reply, answer.outputs).map(drop)
}

#[test]
fn hostile_requests_are_answered_or_refused() {
    let limits = Limits::default();
    hostile::feed("v2", |file| answer(file, &limits).map_err(Into::into));
}

/// Without a limit, memory taken for what a shape says would be more than there is.
#[test]
fn no_memory_is_taken_for_what_a_shape_says() {
    let limits = Limits { tensor_elements: usize::MAX, ..Limits::default() };
    hostile::feed("v2", |file| answer(file, &limits).map_err(Into::into));
}
