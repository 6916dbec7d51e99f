//! `modelyard train`: a new model from a short description of its layers.

use std::path::PathBuf;

use modelyard_train::layers;

use crate::cli::Globals;
use crate::data::args::DataArgs;
use crate::exit::{Exit, ExitWith};
use crate::observe::progress::Progress;
use crate::training::network::Network;
use crate::training::recipe::Recipe;
use crate::training::session::OutputArgs;
use crate::training::spec::Spec;

/// Train a new model from a description of its layers
///
/// Layers are written one after the other, such as "dense(128, relu), dense(10, softmax)". The
/// input takes the shape of the data's examples. What comes out is plain ONNX, with class names,
/// preprocessing and a record of the training in its metadata.
#[derive(clap::Args)]
#[command(after_help = after_help())]
pub(crate) struct Args {
    /// The layers
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

/// Runs the command.
pub(crate) fn run(args: &Args, _globals: &Globals) -> anyhow::Result<()> {
    let spec = match &args.spec {
        Some(path) => Spec::read(path).exit_with(Exit::Usage)?,
        None => Spec::default(),
    };
    let layers = match &args.layers {
        Some(text) => layers::parse(text).map_err(anyhow::Error::from),
        None => spec.layers(),
    };
    let layers = layers.exit_with(Exit::Usage)?;
    let recipe = args.recipe.clone().or(spec.training);
    let progress = Progress::unless(args.output.json);
    let data = progress.spin("reading the data", || args.data.open(&args.data.options()))?;
    let network = Network { layers: &layers, recipe: &recipe, data: (&data, &args.data.data) };
    network.train(|job| job.run(&args.output, &progress))
}
