//! `modelyard finetune`: a trained model learns something new.

use std::path::PathBuf;

use anyhow::{Context, bail};
use modelyard_graph::{Limits, Model, file};
use modelyard_tensor::Dim;
use modelyard_train::transfer::{self, End, Head};
use modelyard_train::{normalize_input, trainer, with_statistics};

use crate::cli::Globals;
use crate::data::args::DataArgs;
use crate::data::{DataSet, InputKind, Options, Task};
use crate::exit::{Exit, ExitWith};
use crate::observe::progress::Progress;
use crate::source::labels::METADATA_KEYS;
use crate::tensors::image;
use crate::training::lesson::Lesson;
use crate::training::network::check_outputs;
use crate::training::prepare::{self, Bound, Sets, normalization};
use crate::training::recipe::{Normalize, Recipe};
use crate::training::session::OutputArgs;

/// Train a model further, or give it a new head for other classes
///
/// With --replace-head the model is cut before its last layer with weights (or at --cut) and gets a
/// new one; that is then what is trained, unless --train or --freeze say more. Without, all of the
/// model is trained. Batch normalization that is not trained keeps its statistics.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    modelyard finetune resnet.onnx --replace-head --data flowers\n  \
    modelyard finetune resnet.onnx --replace-head 10 --freeze 'layer1.*' --freeze 'layer2.*' \
    --data flowers\n  \
    modelyard finetune digits.onnx --data examples/digits --learning-rate 0.0001")]
pub(crate) struct Args {
    /// The model to start from
    #[arg(value_name = "MODEL")]
    base: PathBuf,
    /// Put a new last layer of N outputs on it [N: the number of classes of the data]
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "0")]
    replace_head: Option<usize>,
    /// The value to attach the new head to [default: what the last Gemm or MatMul takes]
    #[arg(long, value_name = "TENSOR", requires = "replace_head")]
    cut: Option<String>,
    /// Train all weights but those of this name; * stands for anything (repeatable)
    #[arg(long, value_name = "PATTERN", conflicts_with = "train")]
    freeze: Vec<String>,
    /// Train the weights of this name, and a new head; * stands for anything (repeatable)
    #[arg(long, value_name = "PATTERN")]
    train: Vec<String>,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    recipe: Recipe,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs the command.
pub(crate) fn run(args: &Args, _globals: &Globals) -> anyhow::Result<()> {
    let progress = Progress::unless(args.output.json);
    let base = read(&args.base)?;
    let data = args.data.options();
    let data = picture_options(data, &base);
    let data = progress.spin("reading the data", || args.data.open(&data))?;
    let options = args.recipe.options(&data.task).exit_with(Exit::Usage)?;
    let (mut model, head) = with_head(args, &base, &data.task)?;
    check_outputs(&model, &data.task)
        .context("the model needs a new head (--replace-head)")
        .exit_with(Exit::Usage)?;
    let trained = chosen(args, &model, &head).exit_with(Exit::Usage)?;
    if args.recipe.normalize == Some(Normalize::Standard) {
        let binding = prepare::bind(&data, &model, options.batch).exit_with(Exit::Usage)?;
        model = normalized(model, &Sets::of(&data, &args.recipe)?, (&data, &binding))?;
    }
    let lesson = Lesson {
        command: "finetune",
        model,
        trained,
        data: (&data, &args.data.data),
        recipe: &args.recipe,
        teacher: None,
    };
    lesson.give(|job| job.run(&args.output, &progress))
}

/// The model at a path with all its weights in memory.
pub(super) fn read(path: &std::path::Path) -> anyhow::Result<Model> {
    let read = || anyhow::Ok(with_statistics(&file::read_whole(path, &Limits::default())?)?);
    read()
        .with_context(|| format!("failed to use the model '{}'", path.display()))
        .exit_with(Exit::Model)
}

/// Pictures as the model takes them, unless told otherwise.
pub(crate) fn picture_options(mut options: Options, model: &Model) -> Options {
    if let Ok(signature) = model.signature()
        && let [spec] = signature.inputs.as_slice()
        && let Some((height, width, channels)) = image::size(spec)
    {
        options.image_channels = Some(channels);
        options.image_size = options.image_size.or(height.zip(width));
    }
    options
}

/// The model with the head that was asked for, and the names of the head's weights.
fn with_head(args: &Args, base: &Model, task: &Task) -> anyhow::Result<(Model, Vec<String>)> {
    let Some(units) = args.replace_head else { return Ok((base.clone(), Vec::new())) };
    let wanted = match task {
        Task::Classification { labels } => labels.len(),
        Task::Regression { width } => *width,
        Task::Unlabelled => 0,
    };
    let units = if units == 0 { wanted } else { units };
    let head = Head {
        units,
        end: match task {
            Task::Classification { .. } if units == 1 => End::Sigmoid,
            Task::Classification { .. } => End::Softmax,
            _ => End::Plain,
        },
        at: args.cut.as_deref(),
        seed: args.recipe.seed(),
    };
    let mut model = transfer::replace_head(base, head).exit_with(Exit::Model)?;
    // They named the old classes.
    for key in METADATA_KEYS {
        model.metadata.remove(key);
    }
    let weights = model.graph.initializers.iter().map(|constant| constant.name.clone());
    let names = weights.filter(|name| base.graph.initializer(name).is_none()).collect();
    Ok((model, names))
}

/// Names of the weights to train.
fn chosen(args: &Args, model: &Model, head: &[String]) -> anyhow::Result<Vec<String>> {
    let all = trainer::trainable(model);
    for pattern in args.freeze.iter().chain(&args.train) {
        if !all.iter().any(|name| transfer::matches(pattern, name)) {
            let shown: Vec<&str> = all.iter().take(10).map(String::as_str).collect();
            bail!(
                "no weight of the model matches '{pattern}'; its {} weights are: {}{}",
                all.len(),
                shown.join(", "),
                if all.len() > shown.len() { ", …" } else { "" }
            );
        }
    }
    let matching = |patterns: &[String], name: &String| {
        patterns.iter().any(|pattern| transfer::matches(pattern, name))
    };
    let is_chosen = |name: &String| match (args.freeze.as_slice(), args.train.as_slice()) {
        ([], []) => head.is_empty() || head.contains(name),
        ([], train) => head.contains(name) || matching(train, name),
        (freeze, _) => !matching(freeze, name),
    };
    let chosen: Vec<String> = all.into_iter().filter(is_chosen).collect();
    if chosen.is_empty() {
        bail!("nothing is left to train: every weight is frozen");
    }
    Ok(chosen)
}

/// The model with mean and deviation of the training examples taken out of its input.
fn normalized(
    model: Model,
    sets: &Sets,
    (data, binding): (&DataSet, &crate::data::binding::Binding),
) -> anyhow::Result<Model> {
    let signature = model.signature()?;
    let ([spec], [input]) = (signature.inputs.as_slice(), data.inputs.as_slice()) else {
        return Err(anyhow::anyhow!("--normalize is for models with one input"))
            .exit_with(Exit::Usage);
    };
    let dims = spec.dims.as_deref().unwrap_or_default();
    let measured = match dims {
        // Flat, as are pictures for dense layers: measured before they are flattened.
        [] | [_] | [_, _] => {
            let training = sets.training(data.train.as_ref());
            normalization(&training, (&input.name, 0), &[input.shape.iter().product()])?
        }
        [_, first, .., last] => {
            let channels = input.shape.first().map(|&channels| Dim::Fixed(channels));
            let is_last = input.kind == InputKind::Image
                && channels.as_ref() == Some(last)
                && channels.as_ref() != Some(first);
            let axis = if is_last { dims.len() - 2 } else { 0 };
            let bound = Bound::new(data.train.as_ref(), binding);
            normalization(&sets.training(&bound), (&spec.name, axis), &vec![1; dims.len() - 1])?
        }
    };
    let name = spec.name.clone();
    Ok(normalize_input(model, &name, &measured)?)
}
