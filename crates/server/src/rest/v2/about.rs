//! What server and models are, which are there, and what they have done.
//!
//! Cold paths: bodies are built as documents.

use http::Response;
use modelyard_serving::{
    BatchStats, CountAndTime, IndexEntry, InferError, Phase, Service, Version,
};
use modelyard_tensor::TensorSpec;
use serde_json::{Value, json};

use crate::grpc::model_config;
use crate::http::{Frames, Inbound, JSON, Refusal};
use crate::identity;
use crate::json::{JsonError, Scanner};
use crate::rest::routes::Captures;
use crate::rest::{App, Call, decode_segment, text, version_number, with_text};

fn document(value: &Value) -> Response<Frames> {
    text(value.to_string().into_bytes(), JSON)
}

/// `GET /v2/health/live`. Clients look at the status only; the body is KServe's.
pub(in crate::rest) fn server_live(service: &Service) -> Result<Response<Frames>, Refusal> {
    match service.live() {
        true => Ok(document(&json!({ "live": true }))),
        false => Err(InferError::unavailable("the server is not live").into()),
    }
}

/// `GET /v2/health/ready`.
pub(in crate::rest) fn server_ready(service: &Service) -> Result<Response<Frames>, Refusal> {
    if service.ready() {
        return Ok(document(&json!({ "ready": true })));
    }
    let why = match service.phase() {
        Phase::Starting => "it is starting",
        Phase::Ready => return Err(incomplete(&service.index())),
        Phase::Draining => "it is draining",
        Phase::Stopped => "it has stopped",
    };
    Err(InferError::unavailable(format!("the server is not ready: {why}")).into())
}

/// Strict readiness asks for these versions; they are not all there.
fn incomplete(index: &[IndexEntry]) -> Refusal {
    const SHOWN: usize = 8;
    let absent: Vec<&IndexEntry> =
        index.iter().filter(|entry| entry.required && entry.state != "READY").collect();
    let text =
        |entry: &&IndexEntry| format!("'{}' {} ({})", entry.model, entry.version, entry.state);
    let shown: Vec<String> = absent.iter().take(SHOWN).map(text).collect();
    let more = absent.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let versions = if absent.len() == 1 { "version does" } else { "versions do" };
    let refusal = Refusal::from(InferError::unavailable(format!(
        "the server is not ready: strict readiness asks for every model, but {} {versions} not \
         answer: {}{more}",
        absent.len(),
        shown.join(", ")
    )));
    match absent.iter().any(|entry| entry.state == "LOADING") {
        true => refusal,
        false => refusal.for_good(),
    }
}

/// `GET /v2`.
pub(in crate::rest) fn server_metadata() -> Response<Frames> {
    document(&json!({
        "name": identity::NAME,
        "version": identity::VERSION,
        "extensions": identity::EXTENSIONS,
    }))
}

/// `GET /v2/models`, as KServe has it.
pub(in crate::rest) fn models(service: &Service) -> Response<Frames> {
    document(&json!({ "models": service.models() }))
}

/// `GET /v2/models/{model}`.
pub(in crate::rest) fn model_metadata(service: &Service, version: &Version) -> Response<Frames> {
    let tensors = |specs: &[TensorSpec]| -> Value {
        let tensor = |spec: &TensorSpec| {
            json!({
                "name": spec.name,
                "datatype": spec.data_type.name(),
                "shape": spec.wire_shape(),
            })
        };
        specs.iter().map(tensor).collect()
    };
    let versions = service.versions();
    let same = versions.iter().filter(|other| other.model() == version.model());
    let versions: Vec<String> = same.map(|version| version.number().to_string()).collect();
    document(&json!({
        "name": version.model(),
        "versions": versions,
        "platform": model_config::PLATFORM,
        "inputs": tensors(&version.signature().inputs),
        "outputs": tensors(&version.signature().outputs),
    }))
}

/// `GET /v2/models/{model}/ready`.
pub(in crate::rest) fn model_ready(
    app: &App,
    captures: &Captures<'_>,
) -> Result<Response<Frames>, Refusal> {
    let model = decode_segment(captures.model.unwrap_or_default())?;
    let version = version_number(captures)?;
    if app.service.model_ready(&model, version) {
        return Ok(document(&json!({ "name": model, "ready": true })));
    }
    // Says whether there is no such model or it does not answer (yet).
    app.service.resolve(&model, version)?;
    Err(InferError::unavailable("the server is not ready").into())
}

/// `GET /v2/models/{model}/config`.
pub(in crate::rest) fn model_config(service: &Service, version: &Version) -> Response<Frames> {
    document(&model_config::json(service, version))
}

/// `GET /v2/models[/{model}[/versions/{version}]]/stats`.
pub(in crate::rest) fn statistics(
    app: &App,
    captures: &Captures<'_>,
) -> Result<Response<Frames>, Refusal> {
    let versions = app.service.versions();
    let model = captures.model.map(decode_segment).transpose()?;
    if model.is_some() {
        // For the error where there is none. One that is not in memory has no figures.
        app.exists(captures)?;
    }
    let number = version_number(captures)?;
    let wanted = versions.iter().filter(|version| {
        model.as_ref().is_none_or(|model| version.model() == model)
            && number.is_none_or(|number| version.number() == number)
    });
    let figures: Vec<Value> = wanted.map(|version| version_figures(version)).collect();
    Ok(document(&json!({ "model_stats": figures })))
}

fn version_figures(version: &Version) -> Value {
    let figures = version.statistics();
    let failed = figures.failures.iter().fold(CountAndTime::default(), |all, failed| {
        CountAndTime { count: all.count + failed.count, time: all.time + failed.time }
    });
    json!({
        "name": version.model(),
        "version": version.number().to_string(),
        "last_inference": figures.last_inference_ms,
        "inference_count": figures.inference_count,
        "execution_count": figures.execution_count,
        "inference_stats": {
            "success": figure(figures.success),
            "fail": figure(failed),
            "queue": figure(figures.queue),
            "compute_input": figure(figures.compute_input),
            "compute_infer": figure(figures.compute_infer),
            "compute_output": figure(figures.compute_output),
            "cache_hit": figure(CountAndTime::default()),
            "cache_miss": figure(CountAndTime::default()),
        },
        "response_stats": {},
        "batch_stats": figures.batches.iter().map(batch_figures).collect::<Vec<_>>(),
        "memory_usage": [],
    })
}

fn batch_figures(batch: &BatchStats) -> Value {
    json!({
        "batch_size": batch.batch_size,
        "compute_input": figure(batch.compute_input),
        "compute_infer": figure(batch.compute_infer),
        "compute_output": figure(batch.compute_output),
    })
}

fn figure(figure: CountAndTime) -> Value {
    let ns = u64::try_from(figure.time.as_nanos()).unwrap_or(u64::MAX);
    json!({ "count": figure.count, "ns": ns })
}

/// `POST /v2/repository/index`. Clients post it with an empty body, or none at all.
pub(in crate::rest) async fn repository_index(
    call: &Call<'_>,
    request: &mut Inbound,
) -> Result<Response<Frames>, Refusal> {
    let body = call.read(request).await?;
    let depth = call.app.limits().json_depth;
    let only_ready = with_text(&body.bytes, |text| only_ready(text, depth))?;
    let index = call.app.service.index();
    let entries: Vec<Value> = index
        .iter()
        .filter(|entry| !only_ready || entry.state == "READY")
        .map(|entry| {
            let mut value = json!({
                "name": entry.model,
                "version": entry.version.to_string(),
                "state": entry.state,
            });
            if !entry.reason.is_empty() {
                value["reason"] = entry.reason.clone().into();
            }
            value
        })
        .collect();
    Ok(document(&entries.into()))
}

fn only_ready(body: &[u8], depth: usize) -> Result<bool, JsonError> {
    if body.trim_ascii().is_empty() {
        return Ok(false);
    }
    let mut ready = false;
    let mut scanner = Scanner::new(body, depth);
    scanner.object::<JsonError>(|scanner, key| {
        match key {
            "ready" => ready = scanner.boolean("ready")?,
            _ => scanner.skip()?,
        }
        Ok(())
    })?;
    scanner.end()?;
    Ok(ready)
}
