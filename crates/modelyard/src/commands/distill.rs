//! `modelyard distill`: a small model learns from a large one.

use std::path::PathBuf;

use anyhow::{Context, anyhow, bail};
use modelyard_graph::{Limits, Model, Value, ValueType, file};
use modelyard_tensor::{DataType, Dim};
use modelyard_train::data::{Batches, Examples, Joined, Order, Taught};
use modelyard_train::trainer::{self, LossKind};
use modelyard_train::{Array, layers, normalize_input};

use super::finetune;
use super::local_model::{self, LocalModel};
use crate::cli::{EngineArgs, Globals, LibraryArgs};
use crate::data::args::DataArgs;
use crate::data::binding::{Binding, Rows};
use crate::data::{DataSet, Options, Task, TaskKind};
use crate::exit::{Exit, ExitWith};
use crate::observe::progress::Progress;
use crate::source::labels;
use crate::training::network::{input, normalizes};
use crate::training::prepare::{self, Bound, Sets, normalization};
use crate::training::recipe::{Normalize, Recipe};
use crate::training::session::{Job, OutputArgs};

/// Train a small model to answer as a large one does
///
/// The student learns the teacher's answers, softened by a temperature, and the labels where the
/// data has them (Hinton, Vinyals, Dean, 2015). The teacher runs once over the data, in any engine;
/// where it ends in a softmax its logits are taken from before it.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    modelyard distill --teacher big.onnx --layers \"dense(32, relu), dense(10, softmax)\" \
    --data examples/digits\n  \
    modelyard distill --teacher big.onnx --student small.onnx --data labelled --unlabelled more")]
pub(crate) struct Args {
    /// The model to learn from
    #[arg(long, value_name = "MODEL")]
    teacher: PathBuf,
    /// The model that learns
    #[arg(long, value_name = "MODEL", required_unless_present = "layers")]
    student: Option<PathBuf>,
    /// A new model that learns, as `modelyard train` describes it
    #[arg(long, value_name = "LAYERS", conflicts_with = "student")]
    layers: Option<String>,
    /// Divides the logits of both: above 1, the teacher's wrong answers speak louder
    #[arg(long, value_name = "T", default_value = "4")]
    temperature: f32,
    /// Weight of the teacher beside the labels, 0 to 1
    #[arg(long, value_name = "SHARE", default_value = "0.7")]
    alpha: f32,
    /// More data of the same kind, whose labels do not matter
    #[arg(long, value_name = "PATH")]
    unlabelled: Option<PathBuf>,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    recipe: Recipe,
    #[command(flatten)]
    output: OutputArgs,
    /// Engine to run the teacher with: auto (the best that loads it), rten, onnxruntime
    #[arg(long, value_name = "ENGINE")]
    engine: Option<String>,
    #[command(flatten)]
    library: LibraryArgs,
}

impl Args {
    /// What the teacher runs with; its threads are those of the training.
    fn engine(&self) -> EngineArgs {
        EngineArgs {
            engine: self.engine.clone(),
            library: self.library.clone(),
            threads: self.output.threads.map(|threads| threads.to_string()),
        }
    }
}

/// Runs the command.
pub(crate) fn run(args: &Args, globals: &Globals) -> anyhow::Result<()> {
    check(args).exit_with(Exit::Usage)?;
    let progress = Progress::unless(args.output.json);
    let teacher = Teacher::load(args, globals, &progress)?;
    let options = finetune::picture_options(args.data.options(), &teacher.cut);
    let data = progress.spin("reading the data", || args.data.open(&options))?;
    let more = match &args.unlabelled {
        Some(path) => {
            let options = Options { task: Some(TaskKind::Unlabelled), ..options };
            let open = || DataSet::open(path, &options).exit_with(Exit::Usage);
            Some(progress.spin("reading the unlabelled data", open)?)
        }
        None => None,
    };
    let sets = Sets::of(&data, &args.recipe)?;
    let mut options = args.recipe.taught(&data.task).exit_with(Exit::Usage)?;
    options.loss = LossKind::Distillation(args.temperature, args.alpha);

    let limit = options.memory_limit_bytes;
    let logits = teacher.answers((&data, data.train.as_ref()), limit, &progress)?;
    teacher.check_classes(&data.task, &logits).exit_with(Exit::Usage)?;
    let mut student = student(args, (&data, &sets), &logits)?;
    teacher.name_classes(&mut student)?;
    let binding = prepare::bind(&data, &student, options.batch).exit_with(Exit::Usage)?;
    let bound = Bound::new(data.train.as_ref(), &binding);
    let taught = Taught { of: &bound, labelled: true, logits };
    let (own, validation) = (sets.training(&taught), sets.validation(&taught));
    let extra = more.as_ref().map(|more| teach_more(&teacher, more, (&student, limit), &progress));
    let extra = extra.transpose()?;
    let extra = more.as_ref().zip(extra).map(|(more, (binding, logits))| (more, binding, logits));
    let extra = extra
        .as_ref()
        .map(|(more, binding, logits)| (Bound::new(more.train.as_ref(), binding), logits.clone()));
    let extra =
        extra.as_ref().map(|(of, logits)| Taught { of, labelled: false, logits: logits.clone() });
    let joined = extra.as_ref().map(|extra| Joined { first: &own, second: extra });
    let training: &dyn Examples = match &joined {
        Some(joined) => joined,
        None => &own,
    };
    let labelled = !matches!(data.task, Task::Unlabelled);
    let test = data.test.as_ref().filter(|_| labelled);
    let test = test.map(|test| Bound::new(test.as_ref(), &binding));
    let job = Job {
        command: "distill",
        trained: trainer::trainable(&student),
        model: student,
        data: (&data, &args.data.data),
        training,
        validation: validation.as_ref().map(|part| part as _),
        test: test.as_ref().map(|test| test as _),
        options,
    };
    job.run(&args.output, &progress)
}

fn check(args: &Args) -> anyhow::Result<()> {
    if !(args.temperature > 0.0 && args.temperature.is_finite()) {
        bail!("expected a number above 0 for --temperature, found {}", args.temperature);
    }
    if !(0.0..=1.0).contains(&args.alpha) {
        bail!("expected a number from 0 to 1 for --alpha, found {}", args.alpha);
    }
    if args.recipe.loss.is_some() {
        bail!("--loss does not go with distill: its loss is that of distillation");
    }
    Ok(())
}

/// The model to learn from, giving its logits.
struct Teacher {
    /// The model whose only output is the logits.
    cut: Model,
    loaded: LocalModel,
    /// Names of its classes, where it has any.
    labels: Option<Vec<String>>,
}

impl Teacher {
    fn load(args: &Args, globals: &Globals, progress: &Progress) -> anyhow::Result<Teacher> {
        let path = &args.teacher;
        let whole = file::read_whole(path, &Limits::default())
            .with_context(|| format!("failed to use the teacher '{}'", path.display()))
            .exit_with(Exit::Model)?;
        let cut = logits_only(whole).exit_with(Exit::Model)?;
        let folder = tempfile::TempDir::with_prefix("modelyard-teacher-")
            .context("failed to make a folder for the teacher")?;
        let file = folder.path().join("teacher.onnx");
        std::fs::write(&file, cut.encode()).context("failed to write the teacher")?;
        let file = file.to_string_lossy();
        let loaded = local_model::load((&file, None), &args.engine(), globals, progress)?;
        let labels = labels::of_metadata(&cut.metadata);
        Ok(Teacher { cut, loaded, labels })
    }

    /// Its logits for all examples, a row each.
    fn answers(
        &self,
        (data, examples): (&DataSet, &dyn Examples),
        limit_bytes: usize,
        progress: &Progress,
    ) -> anyhow::Result<Array> {
        let session = self.loaded.loaded.session.as_ref();
        let binding =
            Binding::new(&data.inputs, &session.signature().inputs).exit_with(Exit::Usage)?;
        let size = match binding.rows() {
            Rows::Free => 64,
            Rows::Fixed(rows) => rows,
            Rows::Single => 1,
        };
        let mut bar = progress.bar("asking the teacher", examples.len().div_ceil(size) as u64);
        let (mut logits, mut rows) = (Vec::new(), 0);
        std::thread::scope(|scope| -> anyhow::Result<()> {
            for batch in Batches::start(scope, examples, Order::Sequential, (size, 0)) {
                let batch = batch?;
                let inputs = binding.tensors(&batch).exit_with(Exit::Usage)?;
                let outputs = local_model::run(session, &inputs, &[0])?;
                let output = outputs.first().context("the engine gave no output")?;
                let values =
                    output.values::<f32>().context("the teacher's answers are no floats")?;
                let wanted = match binding.rows() {
                    Rows::Fixed(rows) => values.len() / rows.max(1) * batch.len(),
                    _ => values.len(),
                };
                logits.extend_from_slice(&values[..wanted]);
                rows += batch.len();
                if 4 * logits.len() > limit_bytes {
                    bail!("the teacher's answers outgrow the memory limit of {limit_bytes} bytes");
                }
                bar.step();
            }
            Ok(())
        })?;
        let columns = logits.len() / rows.max(1);
        if rows == 0 || logits.len() != rows * columns {
            bail!("the teacher gave {} numbers for {rows} examples", logits.len());
        }
        Ok(Array::floats([rows, columns], logits))
    }

    /// Refuses data whose classes are not the teacher's.
    fn check_classes(&self, task: &Task, logits: &Array) -> anyhow::Result<()> {
        let columns = logits.shape()[1];
        let Task::Classification { labels } = task else {
            return match task {
                Task::Regression { .. } => {
                    Err(anyhow!("distillation is for classes, and the targets are values"))
                }
                _ => Ok(()),
            };
        };
        if labels.len() != columns {
            bail!("the teacher tells {columns} classes apart, the data has {}", labels.len());
        }
        match &self.labels {
            Some(own) if own != labels => bail!(
                "the teacher's classes are {}, those of the data {}: name and order them alike",
                own.join(", "),
                labels.join(", ")
            ),
            _ => Ok(()),
        }
    }

    /// Gives the student the names of the classes that it learns to tell apart.
    fn name_classes(&self, student: &mut Model) -> anyhow::Result<()> {
        if let Some(labels) = &self.labels {
            student.metadata.insert("labels".into(), serde_json::to_string(labels)?);
        }
        Ok(())
    }
}

/// The model with its logits as only output.
pub(crate) fn logits_only(mut model: Model) -> anyhow::Result<Model> {
    let output = model.graph.outputs.first().context("the teacher has no output")?.name.clone();
    let logits = trainer::logits_of(&model, &output);
    if logits != output {
        let dims = [Dim::Symbol("batch".into()), Dim::Free];
        let value_type = ValueType::tensor(DataType::Fp32, &dims);
        model.graph.outputs = vec![Value { name: logits, value_type }];
    } else {
        model.graph.outputs.truncate(1);
    }
    Ok(model.check()?)
}

/// The model that learns.
fn student(args: &Args, (data, sets): (&DataSet, &Sets), logits: &Array) -> anyhow::Result<Model> {
    let mut model = match (&args.student, &args.layers) {
        (Some(_), _) if args.recipe.normalize == Some(Normalize::Standard) => {
            return Err(anyhow!("--normalize goes with --layers: a student has its own"))
                .exit_with(Exit::Usage);
        }
        (Some(path), _) => finetune::read(path)?,
        (None, layers) => {
            let text = layers.as_deref().unwrap_or_default();
            let layers = layers::parse(text).exit_with(Exit::Usage)?;
            let input = input(data, &layers).exit_with(Exit::Usage)?;
            let model = layers::build(&layers, &input, args.recipe.seed());
            let model = model.exit_with(Exit::Usage)?;
            match normalizes(data, &input, &args.recipe)? {
                true => {
                    let training = sets.training(data.train.as_ref());
                    let name = (data.inputs[0].name.as_str(), 0);
                    let measured = normalization(&training, name, &input.shape)?;
                    normalize_input(model, &input.name, &measured)?
                }
                false => model,
            }
        }
    };
    if let Some(labels) = labels::of_metadata(&model.metadata)
        && labels.len() != logits.shape()[1]
    {
        model.metadata.remove("labels");
    }
    let columns = logits.shape()[1];
    let signature = model.signature()?;
    let last = signature.outputs.first().and_then(|output| output.dims.as_ref()?.last().cloned());
    if let Some(Dim::Fixed(found)) = last
        && found != columns
    {
        return Err(anyhow!("the student ends in {found} numbers, the teacher in {columns}"))
            .exit_with(Exit::Usage);
    }
    Ok(model)
}

/// How more data goes into the student, and the teacher's answers to it.
fn teach_more(
    teacher: &Teacher,
    more: &DataSet,
    (student, limit_bytes): (&Model, usize),
    progress: &Progress,
) -> anyhow::Result<(Binding, Array)> {
    let logits = teacher.answers((more, more.train.as_ref()), limit_bytes, progress)?;
    let binding = Binding::new(&more.inputs, &student.signature()?.inputs);
    Ok((binding.context("the unlabelled data differs").exit_with(Exit::Usage)?, logits))
}
