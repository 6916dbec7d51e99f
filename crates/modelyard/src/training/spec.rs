//! The TOML file of a training: its layers, and how to train.

use std::path::Path;

use anyhow::{Context, bail};
use modelyard_train::layers::{self, Argument, LayerSpec};
use serde::Deserialize;

use super::recipe::Recipe;

/// What a TOML file says.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    layers: Option<Layers>,
    #[serde(default)]
    pub(crate) training: Recipe,
}

/// Layers as text, or one table each with `type`, and its arguments by name.
#[derive(Deserialize)]
#[serde(untagged)]
enum Layers {
    Text(String),
    Tables(Vec<toml::Table>),
}

impl Spec {
    /// Reads a file.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Spec> {
        let read = || Spec::parse(&std::fs::read_to_string(path)?);
        read().with_context(|| format!("failed to read the specification '{}'", path.display()))
    }

    /// Reads the text of a file.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Spec> {
        Ok(toml::from_str(text)?)
    }

    /// The layers that it describes.
    pub(crate) fn layers(&self) -> anyhow::Result<Vec<LayerSpec>> {
        match &self.layers {
            None => bail!("the specification has no layers"),
            Some(Layers::Text(text)) => Ok(layers::parse(text)?),
            Some(Layers::Tables(tables)) => tables.iter().map(from_table).collect(),
        }
    }
}

/// A layer from a table: `type`, and arguments by name; `layers` of a residual block are text or
/// tables again.
fn from_table(table: &toml::Table) -> anyhow::Result<LayerSpec> {
    let name = table.get("type").and_then(toml::Value::as_str);
    let name = name.with_context(|| format!("a layer has no type: {table}"))?;
    let mut layer = LayerSpec { name: name.to_owned(), positional: Vec::new(), named: Vec::new() };
    for (key, value) in table.iter().filter(|(key, _)| *key != "type") {
        match (key.as_str(), value) {
            ("layers", toml::Value::String(text)) => {
                layer.positional.extend(layers::parse(text)?.into_iter().map(Argument::Layer));
            }
            ("layers", toml::Value::Array(inner)) => {
                for inner in inner {
                    let inner = inner.as_table().context("expected tables in layers")?;
                    layer.positional.push(Argument::Layer(from_table(inner)?));
                }
            }
            (key, value) => layer.named.push((key.to_owned(), argument(key, value)?)),
        }
    }
    Ok(layer)
}

fn argument(key: &str, value: &toml::Value) -> anyhow::Result<Argument> {
    Ok(match value {
        toml::Value::Integer(number) => Argument::Number(*number as f64),
        toml::Value::Float(number) => Argument::Number(*number),
        toml::Value::Boolean(flag) => Argument::Word(flag.to_string()),
        toml::Value::String(word) => Argument::Word(word.clone()),
        _ => bail!("expected a number, a word or true/false for {key}, found {value}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_and_text_say_the_same() {
        let spec = Spec::parse(
            r#"
            [[layers]]
            type = "conv2d"
            filters = 8
            kernel = 3
            activation = "relu"

            [[layers]]
            type = "residual"
            layers = [{ type = "dense", units = 4, bias = false }]
            activation = "relu"

            [training]
            epochs = 3
            "#,
        )
        .unwrap();
        let written: Vec<String> =
            spec.layers().unwrap().iter().map(LayerSpec::to_string).collect();
        assert_eq!(
            written,
            [
                "conv2d(activation=relu, filters=8, kernel=3)",
                "residual(dense(bias=false, units=4), activation=relu)"
            ]
        );
        assert_eq!(spec.training.epochs, Some(3));
        let text = Spec::parse("layers = \"dense(3)\"").unwrap();
        assert_eq!(text.layers().unwrap().len(), 1);
        assert!(Spec::parse("layer = 1").is_err());
        assert!(Spec::parse("").unwrap().layers().is_err());
    }
}
