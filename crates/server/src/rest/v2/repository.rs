//! Loading and unloading models on request.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::Response;
use modelyard_serving::InferError;
use serde_json::{Map, Value};

use crate::http::{Body, Frames, Inbound, Refusal};
use crate::repository::{Action, Overrides, Parameter, take_unload};
use crate::rest::{Call, with_text};

/// `POST /v2/repository/models/{model}/load`. The answer comes when the model is ready.
pub(in crate::rest) async fn repository_load(
    call: &Call<'_>,
    model: &str,
    request: &mut Inbound,
) -> Result<Response<Frames>, Refusal> {
    let body = receive(call, request).await?;
    // A model given whole takes long to decode: not on a thread that has others to serve.
    let decoded = tokio::task::spawn_blocking(move || overrides(&body)).await;
    let overrides =
        decoded.map_err(|_| InferError::internal("decoding the request panicked"))??;
    ask(call, model, Action::Load(overrides)).await
}

/// `POST /v2/repository/models/{model}/unload`.
pub(in crate::rest) async fn repository_unload(
    call: &Call<'_>,
    model: &str,
    request: &mut Inbound,
) -> Result<Response<Frames>, Refusal> {
    for (name, value) in parameters(&receive(call, request).await?)? {
        take_unload(&name, &parameter(value))?;
    }
    ask(call, model, Action::Unload).await
}

async fn ask(call: &Call<'_>, model: &str, action: Action) -> Result<Response<Frames>, Refusal> {
    call.app.repository()?.ask(model, action).await?;
    Ok(Response::new(Frames::from(Vec::new())))
}

/// Reads the body, where orders are taken at all.
async fn receive(call: &Call<'_>, request: &mut Inbound) -> Result<Body, Refusal> {
    call.app.repository()?;
    call.read(request).await
}

fn overrides(body: &Body) -> Result<Overrides, Refusal> {
    let mut overrides = Overrides::default();
    for (name, value) in parameters(body)? {
        let value = match value {
            // Files are text over HTTP, coded.
            Value::String(text) if name.starts_with("file:") => {
                let content = BASE64_STANDARD.decode(text).map_err(|error| {
                    let name: String = name.chars().take(64).collect();
                    let name = name.escape_debug();
                    Refusal::invalid(format!("parameter '{name}' is not base64: {error}"))
                })?;
                Parameter::Bytes(content.into())
            }
            value => parameter(value),
        };
        overrides.take(&name, value)?;
    }
    Ok(overrides)
}

/// The parameters of a request; a body is not needed.
fn parameters(body: &Body) -> Result<Map<String, Value>, Refusal> {
    with_text(&body.bytes, |text| {
        if text.trim_ascii().is_empty() {
            return Ok(Map::new());
        }
        let document: Value = serde_json::from_slice(text)
            .map_err(|error| Refusal::invalid(format!("invalid JSON: {error}")))?;
        match document {
            Value::Object(mut members) => match members.remove("parameters") {
                None | Some(Value::Null) => Ok(Map::new()),
                Some(Value::Object(parameters)) => Ok(parameters),
                Some(_) => Err(Refusal::invalid("expected an object as 'parameters'")),
            },
            _ => Err(Refusal::invalid("expected a JSON object")),
        }
    })
}

fn parameter(value: Value) -> Parameter {
    match value {
        Value::Bool(_) => Parameter::Bool,
        Value::String(text) => Parameter::Text(text),
        _ => Parameter::Other,
    }
}
