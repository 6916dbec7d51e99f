//! The JSON form of `ModelConfig`, as protobuf's JSON mapping has it, in the same tree as the text
//! form.

use serde_json::Value as Json;

use crate::source::pbtxt::{Field, Message, Scalar, Value};

/// Fields that are maps: an entry is a message of key and value.
const MAPS: [&str; 3] = ["parameters", "cc_model_filenames", "metric_tags"];

/// Reads a configuration.
pub(super) fn parse(text: &str) -> Result<Message, String> {
    let json: Json =
        serde_json::from_str(text).map_err(|error| format!("invalid JSON: {error}"))?;
    match json {
        Json::Object(_) => Ok(message(&json)),
        _ => Err("expected a JSON object such as {\"max_batch_size\": 8}".into()),
    }
}

fn message(json: &Json) -> Message {
    let entries = json.as_object().into_iter().flatten();
    Message { fields: entries.flat_map(|(name, value)| fields(name, value)).collect() }
}

/// A list stands for as many fields, and null for none.
fn fields(name: &str, json: &Json) -> Vec<Field> {
    let field = |value| Field { name: name.to_owned(), line: 0, value };
    match json {
        Json::Null => Vec::new(),
        Json::Array(elements) => elements.iter().flat_map(|json| fields(name, json)).collect(),
        Json::Object(entries) if MAPS.contains(&name) => {
            entries.iter().map(|(key, value)| field(Value::Message(entry(key, value)))).collect()
        }
        Json::Object(_) => vec![field(Value::Message(message(json)))],
        Json::String(text) => vec![field(Value::Scalar(Scalar::Either(text.clone())))],
        Json::Bool(_) | Json::Number(_) => {
            vec![field(Value::Scalar(Scalar::Word(json.to_string())))]
        }
    }
}

fn entry(key: &str, value: &Json) -> Message {
    let key = Value::Scalar(Scalar::Either(key.to_owned()));
    let mut fields = fields("value", value);
    fields.insert(0, Field { name: "key".into(), line: 0, value: key });
    Message { fields }
}

#[cfg(test)]
mod tests {
    use crate::config::ModelSettings;
    use crate::config::mistake::Mistakes;
    use crate::config::model::VersionPolicy;
    use crate::source::triton::TritonConfig;

    #[test]
    fn json_means_what_the_text_form_means() {
        let json = r#"{
            "name": "digits", "platform": "onnxruntime_onnx", "max_batch_size": 64,
            "input": [{"name": "x", "data_type": "TYPE_FP32", "dims": ["784"]}],
            "output": [{"name": "y", "data_type": "TYPE_FP32", "dims": [10]}],
            "version_policy": {"specific": {"versions": ["1", 3]}},
            "instance_group": [{"count": 2, "kind": "KIND_CPU"}],
            "dynamic_batching": {"preferred_batch_size": [8], "max_queue_delay_microseconds": "500"},
            "parameters": {"colour": {"string_value": "blue"}},
            "optimization": null
        }"#;
        let mut mistakes = Mistakes::default();
        let config = TritonConfig::from_json(json, &mut mistakes);
        let settings = ModelSettings::check(vec![&config.layer], &mut mistakes);
        assert_eq!(mistakes, Mistakes::default());
        assert_eq!(config.name.unwrap().0, "digits");
        assert_eq!(config.inputs[0].dims, [784]);
        assert_eq!(settings.version_policy, VersionPolicy::Specific(vec![1, 3]));
        assert_eq!(settings.serving.instances, Some(2));
        assert_eq!(settings.serving.batching.preferred_batch_sizes, [8]);
        let warnings: Vec<String> = config.warnings.iter().map(ToString::to_string).collect();
        assert_eq!(warnings, ["config: parameters = colour: not used by this server"]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let said = |json: &str| {
            let mut mistakes = Mistakes::default();
            TritonConfig::from_json(json, &mut mistakes);
            mistakes.to_string()
        };
        assert!(said("{").starts_with("config: invalid JSON: "), "{}", said("{"));
        assert!(said("[]").starts_with("config: expected a JSON object"));
        assert!(said(r#"{"max_bach_size": 3}"#).contains("did you mean 'max_batch_size'"));
        assert_eq!(
            said(r#"{"max_batch_size": "lots"}"#),
            "config: max_batch_size = lots: expected a whole number"
        );
    }
}
