//! The OpenAPI 3.1 document, made from the table of routes.

mod schemas;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::routes::{Operation, ROUTES, Route};
use crate::identity;

const ABOUT: &str = "\
Serves models over the Open Inference Protocol v2 with Triton's extensions, and in a plain way \
(/predict).

JSON bodies are JSON as RFC 8259 has it, with one exception in both directions: the tokens NaN, \
Infinity and -Infinity stand for the floats that JSON has no number for. They occur in tensors \
only.

Bodies may be coded with gzip or deflate (Content-Encoding); answers are coded when \
Accept-Encoding asks for it and they are large enough. Every error is an object with the member \
error. 429 carries Retry-After, and so does 503 where waiting may help. A header x-request-id comes \
back as it was sent.

What is no HTTP at all (a malformed or ambiguous header: 400; too long a one: 431 or 414) is \
answered without a body, and the connection is closed. Triton's paths for shared memory, tracing \
and logging are answered with 501.";

/// The document as text.
pub(super) fn document() -> Bytes {
    let mut paths = Map::new();
    for route in ROUTES {
        let method = route.method.as_str().to_lowercase();
        let path = paths.entry(route.pattern).or_insert_with(|| json!({}));
        path[method] = operation(route);
    }
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Modelyard",
            "version": identity::VERSION,
            "description": ABOUT,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "tags": [
            { "name": "predict", "description": "The plain way: no datatypes, no shapes." },
            { "name": "inference", "description": "Open Inference Protocol v2: run a model." },
            { "name": "models", "description": "What models are, and what they have done." },
            { "name": "server", "description": "What the server is and how it is." },
        ],
        "paths": paths,
        "components": { "schemas": schemas::all(), "responses": responses() },
    });
    document.to_string().into()
}

fn operation(route: &Route) -> Value {
    let what = describe(route.operation);
    let mut operation = json!({
        "operationId": operation_id(route),
        "tags": [what.tag],
        "summary": route.summary,
        "parameters": parameters(route),
        "responses": answers(&what),
    });
    if !what.description.is_empty() {
        operation["description"] = what.description.into();
    }
    if let Some(request) = what.request {
        operation["requestBody"] = request;
    }
    operation
}

/// `POST /predict/{model}` is `post_predict_model`.
fn operation_id(route: &Route) -> String {
    let words = route.pattern.split(['/', '{', '}', '.']).filter(|word| !word.is_empty());
    let path: Vec<&str> = words.collect();
    format!("{}_{}", route.method.as_str().to_lowercase(), path.join("_"))
}

fn parameters(route: &Route) -> Value {
    let mut parameters: Vec<Value> = route
        .pattern
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| {
            let schema = match name {
                "version" => json!({ "type": "integer", "minimum": 1 }),
                _ => json!({ "type": "string", "minLength": 1 }),
            };
            json!({ "name": name, "in": "path", "required": true, "schema": schema })
        })
        .collect();
    if route.operation == Operation::Infer {
        parameters.push(json!({
            "name": "Inference-Header-Content-Length",
            "in": "header",
            "description": "Bytes of JSON at the start of the body, where tensors in binary \
                            follow; 0 for a body that is nothing but the only input. Without it \
                            the body is JSON, whatever its Content-Type.",
            "schema": { "type": "integer", "minimum": 0 },
        }));
    }
    parameters.into()
}

/// What one operation takes and gives.
struct Description {
    tag: &'static str,
    description: &'static str,
    request: Option<Value>,
    /// Media type and schema or example of the answer.
    answer: Value,
    /// Errors besides those that every operation has.
    errors: &'static [&'static str],
}

const MODEL: &[&str] = &["400", "404", "503"];
const BODY: &[&str] = &["400", "404", "408", "413", "415", "429", "500", "501", "503", "504"];

fn describe(operation: Operation) -> Description {
    let about = |tag, schema: &str, errors| Description {
        tag,
        description: "",
        request: None,
        answer: media("application/json", schema),
        errors,
    };
    match operation {
        Operation::Infer => infer(),
        Operation::Predict => predict(),
        Operation::ServerLive => about("server", "ServerLive", &["503"]),
        Operation::ServerReady => about("server", "ServerReady", &["503"]),
        Operation::ServerMetadata => about("server", "ServerMetadata", &[]),
        Operation::Models => about("models", "Models", &[]),
        Operation::ModelMetadata => about("models", "ModelMetadata", MODEL),
        Operation::ModelReady => about("models", "ModelReady", MODEL),
        Operation::ModelConfig => about("models", "ModelConfig", MODEL),
        Operation::ModelStatistics => about("models", "ModelStatistics", MODEL),
        Operation::RepositoryIndex => Description {
            request: Some(json!({
                "required": false,
                "content": media("application/json", "RepositoryIndexRequest"),
            })),
            ..about("models", "RepositoryIndex", &["400", "408", "413", "415", "503"])
        },
        Operation::RepositoryLoad => Description {
            description: "Offered with --model-control-mode explicit. Answered when the model is \
                          ready, without a body. A model that is loaded is loaded again only \
                          where it has changed; if that fails, what was loaded before goes on. \
                          Parameter config is a model configuration as a JSON string, in place of \
                          config.pbtxt; file:<version>/<name> is a file of the model in base64, \
                          in place of its folder, and needs config.",
            ..order()
        },
        Operation::RepositoryUnload => Description {
            description: "Offered with --model-control-mode explicit. Answered when the model \
                          takes no more requests, without a body; those under way end as usual.",
            ..order()
        },
        Operation::Metrics => Description {
            description: "Prometheus's text format, with Triton's names and our own.",
            answer: json!({ "text/plain": { "schema": { "type": "string" } } }),
            ..about("server", "", &[])
        },
        Operation::OpenApi => about("server", "Document", &[]),
        Operation::Docs => Description {
            answer: json!({ "text/html": { "schema": { "type": "string" } } }),
            ..about("server", "", &[])
        },
    }
}

/// What is ordered of the repository.
fn order() -> Description {
    Description {
        tag: "models",
        description: "",
        request: Some(json!({
            "required": false,
            "content": media("application/json", "RepositoryOrder"),
        })),
        answer: json!({}),
        errors: &["400", "404", "408", "413", "415", "429", "501", "503"],
    }
}

fn infer() -> Description {
    let binary = json!({ "schema": {
        "type": "string",
        "contentMediaType": "application/octet-stream",
        "description": "JSON as in application/json, of the length that \
                        Inference-Header-Content-Length says, then the tensors.",
    } });
    let mut request = media("application/json", "InferenceRequest");
    request["application/octet-stream"] = binary.clone();
    let mut answer = media("application/json", "InferenceResponse");
    answer["application/octet-stream"] = binary;
    Description {
        tag: "inference",
        description: "Tensors go as JSON (nested or flat data, row-major) or in binary behind \
                      the JSON (parameter binary_data_size), in each direction as the client \
                      likes.\n\nFP16 and BF16 have no JSON form. Integers are exact to the last \
                      bit. BYTES are strings in JSON.",
        request: Some(json!({ "required": true, "content": request })),
        answer,
        errors: BODY,
    }
}

fn predict() -> Description {
    let mut request = media("application/json", "PredictRequest");
    request["application/json"]["example"] = json!({ "image": [0.0, 0.5, 1.0] });
    let mut answer = media("application/json", "PredictResponse");
    answer["application/json"]["example"] =
        json!({ "prediction": [0.1, 0.9], "class": 1, "label": "one" });
    Description {
        tag: "predict",
        description: "An object with one member an input of the model: its name, or, for models \
                      with one input, also image (the same) or instances (always a list of \
                      examples). instances may also be a list of objects, one an example, with \
                      one member an input. The value is one example or a list of them; nested as the \
                      model's shape is, or each example flat.\n\nFor one example, prediction is \
                      what the model gives for it; for a list of examples, a list of that. With \
                      several outputs it is an object of them by name.\n\nclass is the position \
                      of the largest element, for models whose only output is a row of two or \
                      more floats an example, or null where all are NaN; label is its name, where \
                      the model has labels.",
        request: Some(json!({ "required": true, "content": request })),
        answer,
        errors: BODY,
    }
}

fn media(media_type: &str, schema: &str) -> Value {
    json!({ media_type: { "schema": { "$ref": format!("#/components/schemas/{schema}") } } })
}

fn answers(what: &Description) -> Value {
    let mut answers = Map::new();
    answers.insert("200".into(), json!({ "description": "OK", "content": what.answer }));
    for status in what.errors {
        let reference = format!("#/components/responses/{status}");
        answers.insert((*status).into(), json!({ "$ref": reference }));
    }
    answers.into()
}

/// Every error, by status.
fn responses() -> Value {
    let errors = [
        ("400", "The request is wrong; the error says what was expected and what was found"),
        ("404", "There is no such model or version"),
        ("408", "The body came too slowly"),
        ("413", "The body, or a tensor, is larger than allowed"),
        ("415", "The content coding is unknown; Accept-Encoding says which are known"),
        ("429", "The model's queue is full; Retry-After says when to try again"),
        ("500", "The engine or the server failed"),
        ("501", "A part of the protocol that is not offered"),
        ("503", "The model or the server is not ready; Retry-After says when to try again"),
        ("504", "The answer would have come, or came, after the deadline"),
    ];
    let response = |(status, description): (&str, &str)| {
        let value =
            json!({ "description": description, "content": media("application/json", "Error") });
        (status.to_owned(), value)
    };
    errors.into_iter().map(response).collect::<Map<_, _>>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed() -> Value {
        serde_json::from_slice(&document()).unwrap()
    }

    #[test]
    fn every_route_is_in_it_and_names_are_unique() {
        let document = parsed();
        let mut ids = std::collections::BTreeSet::new();
        for route in ROUTES {
            let method = route.method.as_str().to_lowercase();
            let operation = &document["paths"][route.pattern][method];
            assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()));
            assert!(!operation["responses"].as_object().unwrap().is_empty(), "{}", route.pattern);
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn check(root: &Value, value: &Value) {
            match value {
                Value::Object(members) => {
                    if let Some(Value::String(reference)) = members.get("$ref") {
                        let pointer = reference.strip_prefix('#').unwrap();
                        assert!(root.pointer(pointer).is_some(), "{reference}");
                    }
                    members.values().for_each(|member| check(root, member));
                }
                Value::Array(items) => items.iter().for_each(|item| check(root, item)),
                _ => {}
            }
        }
        let document = parsed();
        check(&document, &document);
    }
}
