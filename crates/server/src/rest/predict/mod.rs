//! The plain way: `POST /predict` and `POST /predict/{model}`.
//!
//! The request is an object with one member an input: the input's name, or for models with one
//! input also `image` (the same), or `instances` (always a list of examples). Its value is one
//! example or a list of them, nested or each flat; no datatype, no shape. For any model
//! `instances` may also be a list of objects, one an example, with one member an input
//! (`{"instances": [{"a": ..., "b": ...}, ...]}`). The answer is
//! `{"prediction": ..., "class": ..., "label": ...}`: for one example what the model gives for
//! it, for a list of examples a list of that under each member.
//!
//! * `prediction` is the output, nested by its shape; with several outputs an object of them by
//!   name.
//! * `class` is the position of the largest element, for models whose only output is one row of
//!   two or more floats an example. NaN is never the largest; `null` for a row of nothing else.
//! * `label` is the name of that class, where the model has labels; `null` where it has none for
//!   this class, or there is no class.

mod decode;
mod encode;
#[cfg(test)]
mod hostile;
mod rows;
mod shape;

use http::{HeaderMap, Response};
use modelyard_serving::{InferError, InferRequest, RequestOptions, Routed};
use smallvec::SmallVec;

use self::decode::decode;
use self::encode::encode;
use super::routes::Captures;
use super::{App, Call, with_text};
use crate::http::{Frames, Inbound, Refusal};

/// The version that a path means: the named model, the default one, or the only one.
pub(super) async fn route(
    app: &App,
    captures: &Captures<'_>,
    headers: &HeaderMap,
) -> Result<Routed, Refusal> {
    if captures.model.is_some() {
        return app.route(captures, headers).await;
    }
    if let Some(model) = &app.config.default_model {
        return app.route_to(model, None, headers).await;
    }
    match app.service.models().as_slice() {
        [only] => app.route_to(only, None, headers).await,
        [] => Err(InferError::unavailable("there is no model (yet)").into()),
        several => Err(Refusal::invalid(format!(
            "there are several models: post to /predict/{{model}} with one of {}, or start the \
             server with a default model",
            several.join(", ")
        ))),
    }
}

/// Answers a prediction.
pub(super) async fn predict(
    call: &Call<'_>,
    version: &Routed,
    request: &mut Inbound,
) -> Result<Response<Frames>, Refusal> {
    let received = call.receive(version, request).await?;
    let arrived = std::time::Instant::now();
    let limits = call.app.limits();
    let decoded = with_text(&received.body.bytes, |text| decode(version, text, limits));
    let (inputs, form) = received.parsed(decoded)?;
    let options = RequestOptions::arrived(arrived);
    let outputs = SmallVec::new();
    let request = InferRequest { version: version.clone(), inputs, outputs, options };
    let answer = call.app.service.infer(request).await?;
    call.encoded(version, || encode(version, form, &answer.outputs))
}
