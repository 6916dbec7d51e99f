//! Triton's `config.pbtxt`, read where it lies beside a model.
//!
//! What we serve by becomes a configuration [`Layer`] (so `model.toml` goes over it and every
//! value keeps its line); what it says about inputs and outputs is kept to be checked against the
//! ONNX file; fields we don't act on are warned about by name, and unknown ones refused, as
//! Triton does. Names are those of Triton's published `ModelConfig` message.

mod fields;
mod json;
mod read;
mod tensors;

use std::path::Path;

use modelyard_tensor::DataType;

use crate::config::Place;
use crate::config::layer::{Layer, read_text};
use crate::config::mistake::{Mistake, Mistakes};

pub(crate) use tensors::check_signature;

/// What a `config.pbtxt` says.
#[derive(Clone, Debug, Default)]
pub(crate) struct TritonConfig {
    /// The keys of `model.toml` it gives.
    pub(crate) layer: Layer,
    /// The model's name, where it says one.
    pub(crate) name: Option<(String, Place)>,
    /// The largest batch, where it says one.
    pub(crate) max_batch_size: Option<u64>,
    /// The file inside a version folder.
    pub(crate) default_model_filename: Option<String>,
    /// Inputs it declares.
    pub(crate) inputs: Vec<Declared>,
    /// Outputs it declares.
    pub(crate) outputs: Vec<Declared>,
    /// What it asks for and does not get.
    pub(crate) warnings: Vec<Mistake>,
}

/// An input or output as declared, without the batch dimension where there is one.
#[derive(Clone, Debug)]
pub(crate) struct Declared {
    /// Its name.
    pub(crate) name: String,
    /// Its elements, where declared.
    pub(crate) data_type: Option<DataType>,
    /// Its dimensions, -1 for free.
    pub(crate) dims: Vec<i64>,
    /// File with class names (outputs).
    pub(crate) label_filename: Option<String>,
    /// Where it is declared.
    pub(crate) place: Place,
}

impl TritonConfig {
    /// Reads a file; mistakes are noted, what could be read is kept.
    pub(crate) fn read(path: &Path, mistakes: &mut Mistakes) -> TritonConfig {
        let whole = |line| Place::File { path: path.to_owned(), line };
        match read_text(path) {
            Ok(text) => TritonConfig::parse(&text, path, mistakes),
            Err(message) => {
                mistakes.push(Mistake::general(whole(None), message));
                TritonConfig::default()
            }
        }
    }

    /// Reads the JSON form of the same message, as clients send it.
    pub(crate) fn from_json(text: &str, mistakes: &mut Mistakes) -> TritonConfig {
        let path = Path::new("config");
        match json::parse(text) {
            Ok(message) => read::read(&message, path, mistakes),
            Err(message) => {
                let place = Place::File { path: path.to_owned(), line: None };
                mistakes.push(Mistake::general(place, message));
                TritonConfig::default()
            }
        }
    }

    fn parse(text: &str, path: &Path, mistakes: &mut Mistakes) -> TritonConfig {
        match super::pbtxt::parse(text) {
            Ok(message) => {
                let mut found = Mistakes::default();
                let mut config = read::read(&message, path, &mut found);
                // Names are checked before values; people read from top to bottom.
                found.0.sort_by_key(|mistake| mistake.place.line());
                config.warnings.sort_by_key(|warning| warning.place.line());
                mistakes.0.extend(found.0);
                config
            }
            Err(error) => {
                let place = Place::File { path: path.to_owned(), line: Some(error.line) };
                mistakes.push(Mistake::general(place, error.message));
                TritonConfig::default()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ModelSettings;
    use crate::config::model::VersionPolicy;
    use std::time::Duration;

    fn parse(text: &str) -> (TritonConfig, Vec<String>) {
        let mut mistakes = Mistakes::default();
        let config = TritonConfig::parse(text, Path::new("config.pbtxt"), &mut mistakes);
        (config, mistakes.0.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_whole_configuration() {
        let text = r#"
            name: "digits"
            platform: "onnxruntime_onnx"
            max_batch_size: 64
            input [{ name: "x" data_type: TYPE_FP32 dims: [ 784 ] }]
            output { name: "y" data_type: TYPE_FP32 dims: 10 label_filename: "labels.txt" }
            version_policy: { specific { versions: [1, 3] } }
            instance_group [{ count: 2 kind: KIND_CPU }, { count: 1 }]
            dynamic_batching {
                preferred_batch_size: [ 8, 16 ]
                max_queue_delay_microseconds: 500
                default_queue_policy { max_queue_size: 7 default_timeout_microseconds: 20000 }
            }
            parameters { key: "colour" value: { string_value: "blue" } }
            optimization { graph { level: 1 } }
        "#;
        let (config, mistakes) = parse(text);
        assert_eq!(mistakes, Vec::<String>::new());
        assert_eq!(config.name.unwrap().0, "digits");
        assert_eq!(config.inputs[0].dims, [784]);
        assert_eq!(config.outputs[0].label_filename.as_deref(), Some("labels.txt"));
        let warnings: Vec<String> = config.warnings.iter().map(ToString::to_string).collect();
        assert_eq!(
            warnings,
            [
                "config.pbtxt:14: parameters = colour: not used by this server",
                "config.pbtxt:15: optimization: not used by this server",
            ]
        );
        let mut mistakes = Mistakes::default();
        let settings = ModelSettings::check(vec![&config.layer], &mut mistakes);
        assert_eq!(mistakes, Mistakes::default());
        assert_eq!(settings.version_policy, VersionPolicy::Specific(vec![1, 3]));
        let serving = settings.serving;
        assert_eq!(serving.instances, Some(3));
        assert_eq!(serving.batching.max_batch_size, Some(64));
        assert_eq!(serving.batching.preferred_batch_sizes, [8, 16]);
        assert_eq!(serving.batching.max_queue_delay, Duration::from_micros(500));
        assert_eq!(serving.queue.max_requests, 7);
        assert_eq!(serving.queue.default_timeout, Some(Duration::from_millis(20)));
    }

    #[test]
    fn mistakes_are_named_with_their_lines_all_at_once() {
        let text = "backend: \"tensorrt\"\nmax_bach_size: 3\nmax_batch_size: lots\n\
                    input { name: \"x\" data_type: TYPE_FP31 dims: [ 1 ] }\n\
                    dynamic_batching { max_delay: 3 }\ninput: 3\nname: \"x\"\nname: \"y\"";
        let expected = [
            "config.pbtxt:1: backend = tensorrt: expected \"onnxruntime\": this server runs ONNX \
             models",
            "config.pbtxt:2: max_bach_size: unknown field, did you mean 'max_batch_size'?",
            "config.pbtxt:3: max_batch_size = lots: expected a whole number",
            "config.pbtxt:4: input.data_type = TYPE_FP31: expected a tensor type such as TYPE_FP32",
            "config.pbtxt:5: dynamic_batching.max_delay: unknown field, did you mean \
             'max_queue_delay_microseconds'?",
            "config.pbtxt:6: input = 3: expected fields in braces",
            "config.pbtxt:8: name: given twice",
        ];
        assert_eq!(parse(text).1, expected);
    }
}
