//! The corpus of `predict`, from the head of a request to its answer.

use std::time::Instant;

use modelyard_serving::{InferRequest, RequestOptions};
use smallvec::SmallVec;

use super::decode::decode;
use super::encode::encode;
use crate::http::Refusal;
use crate::rest::hostile::{Received, receive};
use crate::rest::routes::Operation;
use crate::rest::with_text;
use crate::{Limits, hostile};

fn answer(file: &[u8], limits: &Limits) -> Result<(), Refusal> {
    let Received { version, body, .. } = receive(file, Operation::Predict)?;
    let (inputs, form) = with_text(&body, |text| decode(&version, text, limits))?;
    let options = RequestOptions::arrived(Instant::now());
    let outputs = SmallVec::new();
    let request = InferRequest { version: version.clone().into(), inputs, outputs, options };
    let answer = hostile::wait(hostile::service().infer(request))?;
    encode(&version, form, &answer.outputs).map(drop)
}

#[test]
fn hostile_requests_are_answered_or_refused() {
    let limits = Limits::default();
    hostile::feed("predict", |file| answer(file, &limits).map_err(Into::into));
}
