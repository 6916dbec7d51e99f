//! The schemas of the OpenAPI document.

use modelyard_tensor::DataType;
use serde_json::{Map, Value, json};

/// Every schema by name.
pub(super) fn all() -> Value {
    let mut schemas = Map::new();
    for group in [inference(), predict(), models(), server()] {
        if let Value::Object(group) = group {
            schemas.extend(group);
        }
    }
    schemas.into()
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn list(name: &str) -> Value {
    json!({ "type": "array", "items": reference(name) })
}

/// An object with these members, the first `required` of which are always there.
fn object<const N: usize>(required: usize, members: [(&str, Value); N]) -> Value {
    let names: Vec<&str> = members.iter().take(required).map(|(name, _)| *name).collect();
    let members: Map<String, Value> =
        members.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect();
    json!({ "type": "object", "required": names, "properties": members })
}

fn string() -> Value {
    json!({ "type": "string" })
}

fn strings() -> Value {
    json!({ "type": "array", "items": string() })
}

fn count() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

fn shape(minimum: i64) -> Value {
    json!({ "type": "array", "items": { "type": "integer", "minimum": minimum } })
}

fn inference() -> Value {
    let datatypes: Vec<&str> = DataType::ALL.iter().map(|data_type| data_type.name()).collect();
    let input_parameters = object(0, [("binary_data_size", count())]);
    let output_parameters = object(
        0,
        [
            ("binary_data", json!({ "type": "boolean" })),
            ("classification", json!({ "type": "integer", "minimum": 1 })),
        ],
    );
    let request_parameters = object(
        0,
        [
            ("binary_data_output", json!({ "type": "boolean" })),
            ("timeout", count()),
            ("priority", count()),
        ],
    );
    json!({
        "Datatype": { "type": "string", "enum": datatypes },
        "Data": {
            "description": "The elements, row-major, nested as the shape says or flat: numbers, \
                            true and false, or strings.",
            "type": "array",
            "items": { "anyOf": [
                { "type": ["number", "boolean", "string"] },
                reference("Data"),
            ] },
        },
        "RequestInput": object(3, [
            ("name", string()),
            ("shape", shape(0)),
            ("datatype", reference("Datatype")),
            ("parameters", input_parameters),
            ("data", reference("Data")),
        ]),
        "RequestOutput": object(1, [("name", string()), ("parameters", output_parameters)]),
        "InferenceRequest": object(1, [
            ("inputs", list("RequestInput")),
            ("id", string()),
            ("parameters", request_parameters),
            ("outputs", list("RequestOutput")),
        ]),
        "ResponseOutput": object(3, [
            ("name", string()),
            ("shape", shape(0)),
            ("datatype", reference("Datatype")),
            ("parameters", object(0, [("binary_data_size", count())])),
            ("data", reference("Data")),
        ]),
        "InferenceResponse": object(3, [
            ("model_name", string()),
            ("model_version", string()),
            ("outputs", list("ResponseOutput")),
            ("id", string()),
        ]),
        "Error": object(1, [("error", string())]),
    })
}

fn predict() -> Value {
    let value = json!({ "anyOf": [
        { "type": ["number", "boolean", "string"] },
        reference("Data"),
    ] });
    let class = json!({ "type": ["integer", "null"], "minimum": 0 });
    let class = json!({ "anyOf": [class, { "type": "array", "items": class }] });
    let label = json!({ "type": ["string", "null"] });
    let label = json!({ "anyOf": [label, { "type": "array", "items": label }] });
    let by_name = json!({ "type": "object", "additionalProperties": value });
    let row = json!({ "type": "object", "additionalProperties": value });
    let rows = json!({ "type": "array", "items": row });
    json!({
        "PredictRequest": {
            "type": "object",
            "minProperties": 1,
            "properties": { "instances": { "anyOf": [value, rows] } },
            "additionalProperties": value,
        },
        "PredictResponse": object(1, [
            ("prediction", json!({ "anyOf": [value, by_name] })),
            ("class", class),
            ("label", label),
        ]),
    })
}

fn models() -> Value {
    let figure = object(2, [("count", count()), ("ns", count())]);
    json!({
        "Models": object(1, [("models", strings())]),
        "TensorMetadata": object(3, [
            ("name", string()),
            ("datatype", reference("Datatype")),
            ("shape", shape(-1)),
        ]),
        "ModelMetadata": object(5, [
            ("name", string()),
            ("versions", strings()),
            ("platform", string()),
            ("inputs", list("TensorMetadata")),
            ("outputs", list("TensorMetadata")),
        ]),
        "ModelReady": object(2, [("name", string()), ("ready", json!({ "type": "boolean" }))]),
        "ModelConfig": {
            "description": "Triton's model configuration.",
            "type": "object",
            "required": ["name", "max_batch_size", "input", "output"],
        },
        "Figure": figure,
        "ModelFigures": object(6, [
            ("name", string()),
            ("version", string()),
            ("last_inference", count()),
            ("inference_count", count()),
            ("execution_count", count()),
            ("inference_stats", json!({
                "type": "object",
                "additionalProperties": reference("Figure"),
            })),
            ("batch_stats", json!({ "type": "array", "items": { "type": "object" } })),
        ]),
        "ModelStatistics": object(1, [("model_stats", list("ModelFigures"))]),
        "RepositoryIndexRequest": object(0, [("ready", json!({ "type": "boolean" }))]),
        "RepositoryOrder": object(0, [("parameters", json!({
            "type": "object",
            "additionalProperties": { "type": ["string", "boolean"] },
        }))]),
        "RepositoryIndex": { "type": "array", "items": object(3, [
            ("name", string()),
            ("version", string()),
            ("state", json!({ "type": "string", "enum": ["READY", "LOADING", "UNLOADING", "UNAVAILABLE"] })),
            ("reason", string()),
        ]) },
    })
}

fn server() -> Value {
    json!({
        "ServerLive": object(1, [("live", json!({ "type": "boolean" }))]),
        "ServerReady": object(1, [("ready", json!({ "type": "boolean" }))]),
        "ServerMetadata": object(3, [
            ("name", string()),
            ("version", string()),
            ("extensions", strings()),
        ]),
        "Document": { "type": "object", "required": ["openapi", "info", "paths"] },
    })
}
