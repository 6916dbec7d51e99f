//! Everything that is said over HTTP.
//!
//! | module | holds |
//! |---|---|
//! | `routes` | every path, in one table |
//! | `call` | one request on its way, and its times |
//! | `v2` | the Open Inference Protocol with Triton's extensions |
//! | `predict` | the plain way |
//! | `openapi`, `docs` | the document of all that, and a page to read it |

mod call;
mod docs;
#[cfg(test)]
mod hostile;
mod openapi;
mod predict;
mod routes;
mod v2;

use std::borrow::Cow;
use std::convert::Infallible;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, VARY};
use http::{HeaderMap, HeaderValue, Request, Response};
use hyper::body::Incoming;
use modelyard_serving::{ErrorCode, InferError, Routed, Service, Version};
use tracing::Instrument;

use self::call::{Call, with_text};
use self::routes::{Captures, Operation};
use crate::access::{Access, REQUEST_ID};
use crate::http::{Bodies, Coding, Frames, Inbound, JSON, Refusal, accepted, value_in};
use crate::identity::Missing;
use crate::io::{Protocol, Traffic, Watch, figures};
use crate::metrics;
use crate::repository::Repository;
use crate::wake::awake;
use crate::{Limits, ServerConfig, trace};

/// What every request handler can see.
pub(crate) struct App {
    service: Arc<Service>,
    config: ServerConfig,
    bodies: Arc<Bodies>,
    /// By IO thread.
    traffic: Vec<Arc<Traffic>>,
    /// Made when first asked for.
    openapi: OnceLock<Bytes>,
}

impl App {
    pub(crate) fn new(
        service: Arc<Service>,
        config: ServerConfig,
        bodies: Arc<Bodies>,
        traffic: Vec<Arc<Traffic>>,
    ) -> Self {
        App { service, config, bodies, traffic, openapi: OnceLock::new() }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.config.limits
    }

    /// Who loads and unloads models.
    fn repository(&self) -> Result<&Repository, InferError> {
        let what = "loading and unloading models on request";
        self.config.repository.as_ref().ok_or_else(|| Missing::Loading.error(what))
    }

    /// The version that answers a request to this path.
    async fn route(&self, captures: &Captures<'_>, headers: &HeaderMap) -> Result<Routed, Refusal> {
        let model = decode_segment(captures.model.unwrap_or_default())?;
        self.route_to(&model, version_number(captures)?, headers).await
    }

    /// The version that answers a request for a model, which is loaded where it stands by.
    async fn route_to(
        &self,
        model: &str,
        version: Option<u64>,
        headers: &HeaderMap,
    ) -> Result<Routed, Refusal> {
        let route = || self.service.route(model, version, value_in(headers));
        Ok(awake(self.config.repository.as_ref(), (model, self.limits()), route).await?)
    }

    /// The version that a path means, which is loaded where it stands by.
    async fn resolve(&self, captures: &Captures<'_>) -> Result<Arc<Version>, Refusal> {
        let model = decode_segment(captures.model.unwrap_or_default())?;
        let version = version_number(captures)?;
        let resolve = || self.service.resolve(&model, version);
        Ok(awake(self.config.repository.as_ref(), (&model, self.limits()), resolve).await?)
    }

    /// Refuses a path whose model or version is not there.
    fn exists(&self, captures: &Captures<'_>) -> Result<(), Refusal> {
        let model = decode_segment(captures.model.unwrap_or_default())?;
        match self.service.resolve(&model, version_number(captures)?) {
            Err(error) if error.code != ErrorCode::StandsBy => Err(error.into()),
            _ => Ok(()),
        }
    }
}

/// Answers one request.
pub(crate) async fn answer(
    app: &App,
    request: Request<Incoming>,
    protocol: Protocol,
    watch: &Arc<Watch>,
) -> Result<Response<Frames>, Infallible> {
    let _under_way = watch.request();
    let call = Call { app, watch, arrived: Instant::now() };
    let log = Access::begin(&request, watch);
    let coding = accepted(request.headers());
    let request_id = request.headers().get(REQUEST_ID).cloned();
    let span = trace::span(&request);
    let mut request = Inbound::new(request);
    let answered = dispatch(&call, &mut request, protocol).instrument(span.clone()).await;
    let mut response = answered.unwrap_or_else(Refusal::into_response);
    let shared = request.head.version >= http::Version::HTTP_2;
    request.leave(watch);
    if !shared && watch.left_body_unread() {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    trace::end(&span, response.status());
    if let Some(coding) = coding
        && response.body().len() >= app.limits().compress_from_bytes as u64
    {
        response = compressed(response, coding);
    }
    if let Some(id) = request_id {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    watch.answered(response.status());
    if let Some(log) = log {
        log.http(&response, call.arrived);
    }
    Ok(response)
}

async fn dispatch(
    call: &Call<'_>,
    request: &mut Inbound,
    protocol: Protocol,
) -> Result<Response<Frames>, Refusal> {
    let app = call.app;
    let (operation, captures) = routes::find(&request.head.method, request.head.uri.path())?;
    if protocol == Protocol::Metrics && operation != Operation::Metrics {
        return Err(InferError::not_found("only /metrics is answered on this port").into());
    }
    match operation {
        Operation::Infer => {
            let version = app.route(&captures, &request.head.headers).await?;
            v2::infer(call, &version, request).await
        }
        Operation::Predict => {
            let version = predict::route(app, &captures, &request.head.headers).await?;
            predict::predict(call, &version, request).await
        }
        Operation::RepositoryIndex => v2::repository_index(call, request).await,
        Operation::RepositoryLoad => {
            let model = decode_segment(captures.model.unwrap_or_default())?.into_owned();
            v2::repository_load(call, &model, request).await
        }
        Operation::RepositoryUnload => {
            let model = decode_segment(captures.model.unwrap_or_default())?.into_owned();
            v2::repository_unload(call, &model, request).await
        }
        Operation::ModelMetadata => {
            Ok(v2::model_metadata(&app.service, &*app.resolve(&captures).await?))
        }
        Operation::ModelConfig => {
            Ok(v2::model_config(&app.service, &*app.resolve(&captures).await?))
        }
        _ => about(app, operation, &captures),
    }
}

/// What is answered without looking at a body.
fn about(
    app: &App,
    operation: Operation,
    captures: &Captures<'_>,
) -> Result<Response<Frames>, Refusal> {
    match operation {
        Operation::ServerLive => v2::server_live(&app.service),
        Operation::ServerReady => v2::server_ready(&app.service),
        Operation::ServerMetadata => Ok(v2::server_metadata()),
        Operation::Models => Ok(v2::models(&app.service)),
        Operation::ModelReady => v2::model_ready(app, captures),
        Operation::ModelStatistics => v2::statistics(app, captures),
        Operation::Metrics => Ok(metrics_page(app)),
        Operation::OpenApi => {
            let document = app.openapi.get_or_init(openapi::document);
            Ok(text(document.clone(), JSON))
        }
        Operation::Docs => Ok(text(docs::page(), docs::TYPE)),
        // Those with bodies, see `dispatch`.
        _ => Err(InferError::internal("the operation has no answer without a body").into()),
    }
}

fn metrics_page(app: &App) -> Response<Frames> {
    const TYPE: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    let page = metrics::render(&app.service, &figures(&app.traffic));
    text(page.into_bytes(), TYPE)
}

fn text(body: impl Into<Frames>, content_type: HeaderValue) -> Response<Frames> {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

/// Undoes the percent-encoding of a segment.
fn decode_segment(segment: &str) -> Result<Cow<'_, str>, Refusal> {
    if !segment.contains('%') {
        return Ok(segment.into());
    }
    let invalid = || Refusal::invalid("the path has an invalid percent-encoding");
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (digits, tail) = rest.split_first_chunk::<2>().ok_or_else(invalid)?;
        let digit = |digit: u8| char::from(digit).to_digit(16);
        let (high, low) = digit(digits[0]).zip(digit(digits[1])).ok_or_else(invalid)?;
        bytes.push((high << 4 | low) as u8);
        rest = tail;
    }
    String::from_utf8(bytes).map(Cow::Owned).map_err(|_| invalid())
}

fn version_number(captures: &Captures<'_>) -> Result<Option<u64>, Refusal> {
    let Some(text) = captures.version else {
        return Ok(None);
    };
    text.parse().map(Some).map_err(|_| {
        const SHOWN: usize = 32;
        let text: String = text.chars().take(SHOWN).collect();
        Refusal::invalid(format!("'{text}' is no version, expected a number"))
    })
}

/// The same answer, coded.
fn compressed(response: Response<Frames>, coding: Coding) -> Response<Frames> {
    let (mut head, body) = response.into_parts();
    let coded = coding.encode(body.pieces());
    head.headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
    head.headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    Response::from_parts(head, coded.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_decoded() {
        assert_eq!(decode_segment("plain").unwrap(), "plain");
        assert_eq!(decode_segment("a%20b%2Fc%C3%a9").unwrap(), "a b/cé");
        for wrong in ["%", "%2", "%zz", "%ff"] {
            assert!(decode_segment(wrong).is_err(), "{wrong}");
        }
    }
}
