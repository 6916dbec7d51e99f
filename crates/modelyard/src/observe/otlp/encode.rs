//! The JSON of OTLP (opentelemetry-proto, `ExportTraceServiceRequest`): ids in hexadecimal,
//! 64-bit integers as text, enums as numbers.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value as Json, json};

use super::context::{SpanId, TraceId};

/// `SPAN_KIND_SERVER`.
const KIND_SERVER: u8 = 2;
/// `STATUS_CODE_ERROR`.
const STATUS_ERROR: u8 = 2;

/// A finished span.
pub(super) struct Finished {
    pub(super) trace: TraceId,
    pub(super) span: SpanId,
    pub(super) parent: Option<SpanId>,
    pub(super) name: &'static str,
    pub(super) start: SystemTime,
    pub(super) end: SystemTime,
    pub(super) attributes: Vec<(&'static str, Attribute)>,
    /// Why the request failed, if it did.
    pub(super) error: Option<String>,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Attribute {
    Text(String),
    Integer(i64),
    Float(f64),
    Bool(bool),
}

impl Attribute {
    fn json(&self) -> Json {
        match self {
            Attribute::Text(text) => json!({ "stringValue": text }),
            Attribute::Integer(number) => json!({ "intValue": number.to_string() }),
            Attribute::Float(number) => json!({ "doubleValue": number }),
            Attribute::Bool(value) => json!({ "boolValue": value }),
        }
    }
}

/// The body of one export.
pub(super) fn body(service_name: &str, spans: &[Finished]) -> Vec<u8> {
    let service = [("service.name", Attribute::Text(service_name.to_owned()))];
    let body = json!({
        "resourceSpans": [{
            "resource": { "attributes": attributes(&service) },
            "scopeSpans": [{
                "scope": { "name": "modelyard", "version": env!("CARGO_PKG_VERSION") },
                "spans": spans.iter().map(span).collect::<Vec<_>>(),
            }],
        }],
    });
    body.to_string().into_bytes()
}

fn attributes(pairs: &[(&'static str, Attribute)]) -> Vec<Json> {
    pairs.iter().map(|(key, value)| json!({ "key": key, "value": value.json() })).collect()
}

fn span(span: &Finished) -> Json {
    let status = match &span.error {
        Some(message) => json!({ "code": STATUS_ERROR, "message": message }),
        None => json!({}),
    };
    let mut json = json!({
        "traceId": span.trace.to_string(),
        "spanId": span.span.to_string(),
        "name": span.name,
        "kind": KIND_SERVER,
        "startTimeUnixNano": unix_nanoseconds(span.start),
        "endTimeUnixNano": unix_nanoseconds(span.end),
        "attributes": attributes(&span.attributes),
        "status": status,
    });
    if let Some(parent) = span.parent {
        json["parentSpanId"] = parent.to_string().into();
    }
    json
}

fn unix_nanoseconds(time: SystemTime) -> String {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_span_in_the_form_of_the_specification() {
        let finished = Finished {
            trace: TraceId(0x4bf9),
            span: SpanId(0xf0),
            parent: Some(SpanId(1)),
            name: "infer",
            start: UNIX_EPOCH + Duration::from_nanos(5),
            end: UNIX_EPOCH + Duration::from_nanos(7),
            attributes: vec![("status", Attribute::Integer(500))],
            error: Some("no".into()),
        };
        let json: Json = serde_json::from_slice(&body("svc", &[finished])).unwrap();
        let resource = &json["resourceSpans"][0];
        assert_eq!(resource["resource"]["attributes"][0]["value"]["stringValue"], "svc");
        let expected = json!({
            "traceId": "00000000000000000000000000004bf9",
            "spanId": "00000000000000f0",
            "parentSpanId": "0000000000000001",
            "name": "infer",
            "kind": 2,
            "startTimeUnixNano": "5",
            "endTimeUnixNano": "7",
            "attributes": [{ "key": "status", "value": { "intValue": "500" } }],
            "status": { "code": 2, "message": "no" },
        });
        assert_eq!(resource["scopeSpans"][0]["spans"][0], expected);
    }
}
