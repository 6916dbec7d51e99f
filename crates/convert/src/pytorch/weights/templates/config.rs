//! Hugging Face's `config.json`: which architecture, and how large.

use serde_json::Value as Json;

use super::builder::Builder;
use super::{bert, distilbert, hugging_resnet, hugging_vit};

/// Model types that are built in.
pub(super) const MODEL_TYPES: [&str; 7] =
    ["bert", "roberta", "xlm-roberta", "camembert", "distilbert", "vit", "resnet"];

/// A configuration, as the file has it.
#[derive(Clone, Debug)]
pub(in crate::pytorch::weights) struct Config {
    json: Json,
}

/// Writes the architecture that a configuration describes; says what of it is not covered.
pub(in crate::pytorch::weights) fn build(
    to: &mut Builder<'_>,
    config: &Config,
) -> Result<(), String> {
    match config.model_type() {
        "bert" => bert::build(to, config, bert::Family::Bert),
        "roberta" | "xlm-roberta" | "camembert" => bert::build(to, config, bert::Family::Roberta),
        "distilbert" => distilbert::build(to, config),
        "vit" => hugging_vit::build(to, config),
        "resnet" => hugging_resnet::build(to, config),
        other => Err(format!(
            "model type '{other}' is not built in; those that are: {}. Export the model with \
             torch.export.save instead",
            MODEL_TYPES.join(", ")
        )),
    }
}

impl Config {
    /// Reads a configuration; an error for JSON that is none.
    pub(in crate::pytorch::weights) fn parse(text: &[u8]) -> Result<Config, String> {
        let json: Json = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        match json.get("model_type").and_then(Json::as_str) {
            Some(_) => Ok(Config { json }),
            None => {
                Err("expected a config.json of Hugging Face with a 'model_type', found none".into())
            }
        }
    }

    /// Such as `bert`.
    pub(in crate::pytorch::weights) fn model_type(&self) -> &str {
        self.json.get("model_type").and_then(Json::as_str).unwrap_or_default()
    }

    /// The class that wrote the weights, such as `BertForMaskedLM`.
    pub(in crate::pytorch::weights) fn class(&self) -> &str {
        let classes = self.json.get("architectures").and_then(Json::as_array);
        classes.and_then(|all| all.first()).and_then(Json::as_str).unwrap_or_default()
    }

    /// Labels of classes, in order.
    pub(in crate::pytorch::weights) fn labels(&self) -> Vec<String> {
        let Some(labels) = self.json.get("id2label").and_then(Json::as_object) else {
            return Vec::new();
        };
        let name =
            |at: usize| labels.get(&at.to_string()).and_then(Json::as_str).map(str::to_owned);
        (0..labels.len()).map(name).collect::<Option<Vec<_>>>().unwrap_or_default()
    }

    /// A size; an error where it is missing (and has no default) or not a sensible number.
    pub(super) fn size(&self, name: &str, default: Option<usize>) -> Result<usize, String> {
        const MOST: u64 = 1 << 24;
        match (self.json.get(name), default) {
            (None | Some(Json::Null), Some(default)) => Ok(default),
            (Some(value), _) => {
                let size = value.as_u64().filter(|size| (1..=MOST).contains(size));
                size.map(|size| size as usize)
                    .ok_or_else(|| format!("expected '{name}' to be a size, found {value}"))
            }
            (None, None) => Err(format!("expected a size '{name}' in config.json, found none")),
        }
    }

    /// Sizes in a list.
    pub(super) fn sizes(&self, name: &str, default: &[usize]) -> Result<Vec<usize>, String> {
        let Some(value) = self.json.get(name) else { return Ok(default.to_vec()) };
        let one = |value: &Json| {
            value.as_u64().filter(|size| (1..=1 << 16).contains(size)).map(|size| size as usize)
        };
        let sizes: Option<Vec<usize>> = value
            .as_array()
            .filter(|all| all.len() <= 64)
            .and_then(|all| all.iter().map(one).collect());
        sizes.ok_or_else(|| format!("expected '{name}' to be sizes, found {value}"))
    }

    pub(super) fn integer(&self, name: &str, default: i64) -> i64 {
        self.json.get(name).and_then(Json::as_i64).unwrap_or(default)
    }

    pub(super) fn number(&self, name: &str, default: f64) -> f64 {
        self.json.get(name).and_then(Json::as_f64).unwrap_or(default)
    }

    pub(super) fn text<'a>(&'a self, name: &str, default: &'a str) -> &'a str {
        self.json.get(name).and_then(Json::as_str).unwrap_or(default)
    }

    pub(super) fn flag(&self, name: &str, default: bool) -> bool {
        self.json.get(name).and_then(Json::as_bool).unwrap_or(default)
    }

    /// The name of an activation that is built in.
    pub(super) fn activation<'a>(
        &'a self,
        name: &str,
        default: &'a str,
    ) -> Result<&'a str, String> {
        const KNOWN: [&str; 8] =
            ["gelu", "gelu_new", "gelu_pytorch_tanh", "gelu_fast", "relu", "silu", "swish", "tanh"];
        let found = self.text(name, default);
        let known = KNOWN.contains(&found);
        known.then_some(found).ok_or_else(|| format!("activation '{found}' is not built in"))
    }
}
