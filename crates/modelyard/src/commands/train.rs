//! `modelyard train`: a new model from a short description of its layers.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use modelyard_tensor::DataType;
use modelyard_train::layers::{self, Argument, Input, LayerSpec};
use modelyard_train::normalize_input;
use modelyard_train::trainer;
use serde::Deserialize;

use crate::cli::Globals;
use crate::data::args::DataArgs;
use crate::data::{DataSet, InputKind, Task};
use crate::exit::{Exit, ExitWith};
use crate::observe::progress::Progress;
use crate::training::prepare::{self, Bound, Sets, normalization};
use crate::training::recipe::{Normalize, Recipe};
use crate::training::session::{Job, OutputArgs};

/// Train a new model from a description of its layers
///
/// Layers are written one after the other, such as "dense(128, relu), dense(10, softmax)". The
/// input takes the shape of the data's examples. What comes out is plain ONNX, with class names,
/// preprocessing and a record of the training in its metadata.
#[derive(clap::Args)]
#[command(after_help = after_help())]
pub(crate) struct Args {
    /// The layers, one after the other: all kinds are listed below
    #[arg(long, value_name = "LAYERS", required_unless_present = "spec")]
    layers: Option<String>,
    /// A TOML file with `layers` (text, or an array of tables) and a table `[training]`
    #[arg(long, value_name = "FILE")]
    spec: Option<PathBuf>,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    recipe: Recipe,
    #[command(flatten)]
    output: OutputArgs,
}

fn after_help() -> String {
    let mut text = String::from(
        "Examples:\n  \
         modelyard train --layers \"dense(128, relu), dense(10, softmax)\" --data examples/digits\n  \
         modelyard train --spec net.toml --data photos --early-stop 3 --curves curves.svg\n\n\
         Layers:\n",
    );
    for usage in layers::usage() {
        text.push_str(&format!("  {usage}\n"));
    }
    text.push_str(
        "  relu, leaky_relu, elu, sigmoid, tanh, softmax, gelu, silu, hardswish, softplus\n",
    );
    text
}

/// What a TOML file says.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Spec {
    layers: Option<Layers>,
    #[serde(default)]
    training: Recipe,
}

/// Layers as text, or one table each with `type`, and its arguments by name.
#[derive(Deserialize)]
#[serde(untagged)]
enum Layers {
    Text(String),
    Tables(Vec<toml::Table>),
}

impl Spec {
    fn read(path: &Path) -> anyhow::Result<Spec> {
        let context = || format!("failed to read the specification '{}'", path.display());
        let text = std::fs::read_to_string(path).with_context(context)?;
        toml::from_str(&text).with_context(context)
    }
}

impl Layers {
    fn specs(&self) -> anyhow::Result<Vec<LayerSpec>> {
        match self {
            Layers::Text(text) => Ok(layers::parse(text)?),
            Layers::Tables(tables) => tables.iter().map(from_table).collect(),
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

/// Runs the command.
pub(crate) fn run(args: &Args, _globals: &Globals) -> anyhow::Result<()> {
    let spec = match &args.spec {
        Some(path) => Spec::read(path).exit_with(Exit::Usage)?,
        None => Spec::default(),
    };
    let recipe = args.recipe.clone().or(spec.training);
    let layers = match (&args.layers, spec.layers) {
        (Some(text), _) => layers::parse(text).map_err(anyhow::Error::new),
        (None, Some(layers)) => layers.specs(),
        (None, None) => Err(anyhow!("the specification has no layers")),
    };
    let layers = layers.exit_with(Exit::Usage)?;
    let progress = Progress::unless(args.output.json);
    let data = progress.spin("reading the data", || args.data.open(&args.data.options()))?;
    let options = recipe.options(&data.task).exit_with(Exit::Usage)?;
    let sets = Sets::of(&data, &recipe)?;
    let input = input(&data, &layers).exit_with(Exit::Usage)?;
    let mut model = layers::build(&layers, &input, recipe.seed()).exit_with(Exit::Usage)?;
    check_outputs(&model, &data.task).exit_with(Exit::Usage)?;
    if normalizes(&data, &input, &recipe)? {
        let training = sets.training(data.train.as_ref());
        let measured = normalization(&training, (&data.inputs[0].name, 0), &input.shape)?;
        model = normalize_input(model, &input.name, &measured)?;
    }
    let binding = prepare::bind(&data, &model, options.batch).exit_with(Exit::Usage)?;
    let bound = Bound::new(data.train.as_ref(), &binding);
    let training = sets.training(&bound);
    let validation = sets.validation(&bound);
    let test = data.test.as_ref().map(|test| Bound::new(test.as_ref(), &binding));
    let job = Job {
        command: "train",
        trained: trainer::trainable(&model),
        model,
        data: (&data, &args.data.data),
        training: &training,
        validation: validation.as_ref().map(|part| part as _),
        test: test.as_ref().map(|test| test as _),
        options,
    };
    job.run(&args.output, &progress)
}

/// The input of the network: the shape of one example, flat where the first layer is dense.
pub(super) fn input(data: &DataSet, layers: &[LayerSpec]) -> anyhow::Result<Input> {
    let [only] = data.inputs.as_slice() else {
        let names: Vec<&str> = data.inputs.iter().map(|input| input.name.as_str()).collect();
        bail!(
            "layers take one input, the data has {}: {} (--ignore leaves some out)",
            names.len(),
            names.join(", ")
        );
    };
    let first = layers.first().map(|layer| layer.name.as_str());
    let mut shape = only.shape.to_vec();
    if first == Some("dense") {
        shape = vec![shape.iter().product()];
    } else if only.kind == InputKind::Image && shape.len() == 2 {
        shape.insert(0, 1);
    }
    let data_type = if first == Some("embedding") { DataType::Int64 } else { DataType::Fp32 };
    Ok(Input { name: only.name.clone(), shape, data_type })
}

/// Whether mean and deviation are to be taken out.
fn normalizes(data: &DataSet, input: &Input, recipe: &Recipe) -> anyhow::Result<bool> {
    let is_table = matches!(data.inputs[0].kind, InputKind::Table(_));
    let is_float = input.data_type == DataType::Fp32;
    match recipe.normalize {
        Some(Normalize::Standard) if !is_float => {
            Err(anyhow!("--normalize standard is for floats, an embedding takes whole numbers"))
                .exit_with(Exit::Usage)
        }
        Some(normalize) => Ok(normalize == Normalize::Standard),
        None => Ok(is_table && is_float),
    }
}

/// Refuses layers that end in another number of outputs than the data has answers.
pub(super) fn check_outputs(model: &modelyard_graph::Model, task: &Task) -> anyhow::Result<()> {
    let signature = model.signature()?;
    let last = signature.outputs.first().and_then(|output| output.dims.as_ref()?.last().cloned());
    let (wanted, what) = match task {
        Task::Classification { labels } => (labels.len(), "classes"),
        Task::Regression { width } => (*width, "numbers to answer"),
        Task::Unlabelled => return Ok(()),
    };
    match last {
        Some(modelyard_tensor::Dim::Fixed(found))
            if found != wanted && !(found == 1 && wanted == 2) =>
        {
            bail!("the model ends in {found} numbers, but the data has {wanted} {what}")
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_and_text_say_the_same() {
        let spec: Spec = toml::from_str(
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
            spec.layers.unwrap().specs().unwrap().iter().map(LayerSpec::to_string).collect();
        assert_eq!(
            written,
            [
                "conv2d(activation=relu, filters=8, kernel=3)",
                "residual(dense(bias=false, units=4), activation=relu)"
            ]
        );
        assert_eq!(spec.training.epochs, Some(3));
        let text: Spec = toml::from_str("layers = \"dense(3)\"").unwrap();
        assert_eq!(text.layers.unwrap().specs().unwrap().len(), 1);
        assert!(toml::from_str::<Spec>("layer = 1").is_err());
    }
}
