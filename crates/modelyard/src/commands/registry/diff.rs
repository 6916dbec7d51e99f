//! `modelyard registry diff`: what differs between two versions.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use modelyard_engine::Session;
use modelyard_graph::{Model, summary};
use modelyard_registry::{Tensor, Version};
use serde::Serialize;

use super::place::{OpenDesk, coded};
use super::text::{bytes, table};
use crate::cli::EngineArgs;
use crate::config::Overrides;
use crate::data::args::DataIfAny;
use crate::observe::progress::Progress;
use crate::optimizing::answers::{Agreement, Question, Score};
use crate::optimizing::prepare;
use crate::optimizing::sample::{self, Sample};
use crate::optimizing::workshop::Workshop;
use crate::source::labels;

/// Compare two versions: signature, graph, size, metrics, answers
///
/// With --data both answer the same examples.
#[derive(clap::Args)]
pub(super) struct Args {
    /// One version, as MODEL:VERSION
    #[arg(value_name = "REFERENCE")]
    one: String,
    /// The other
    #[arg(value_name = "REFERENCE")]
    two: String,
    #[command(flatten)]
    data: DataIfAny,
    /// Examples that both answer, at most
    #[arg(long, value_name = "N", default_value = "1000", requires = "data")]
    samples: usize,
    #[command(flatten)]
    engine: EngineArgs,
}

impl Args {
    /// What the configuration is to say of engines.
    pub(super) fn overrides(&self) -> Overrides {
        self.engine.overrides()
    }
}

/// What differs. Pairs are of the first version and of the second.
#[derive(Serialize)]
struct Difference {
    one: String,
    two: String,
    same_files: bool,
    bytes: [u64; 2],
    parameters: [u64; 2],
    flops: [u64; 2],
    /// What only one of them takes or gives, or both in another form.
    signature: Vec<Changed>,
    opsets: Vec<Changed>,
    /// Operators of which there are more or fewer.
    operators: Vec<Changed>,
    metrics: Vec<Changed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answers: Option<Answers>,
}

/// Something that is not the same in both; nothing where one of them has none.
#[derive(Serialize)]
struct Changed {
    name: String,
    one: Option<String>,
    two: Option<String>,
}

#[derive(Serialize)]
struct Answers {
    engine: &'static str,
    agreement: Agreement,
    one: Option<Score>,
    two: Option<Score>,
}

pub(super) async fn run(args: &Args, desk: &OpenDesk) -> anyhow::Result<()> {
    let versions = [desk.find(&args.one).await?, desk.find(&args.two).await?];
    let folder = tempfile::TempDir::new().context("failed to make a folder for both versions")?;
    let mut models = Vec::new();
    for (number, version) in versions.iter().enumerate() {
        let to = folder.path().join(number.to_string());
        desk.registry.fetch(version, &to).await.map_err(coded)?;
        let file = version.manifest.files.first().context("a version has a file")?;
        models.push(prepare::read(&to.join(&file.name), &desk.config.model_limits)?);
    }
    let [one, two] = [&models[0], &models[1]];
    let mut found = compared(&versions, (one, two));
    if args.data.0.is_some() {
        found.answers = Some(answers(args, desk, (one, two))?);
    }
    desk.tell(&found, || found.text())
}

fn compared([one, two]: &[Version; 2], models: (&Model, &Model)) -> Difference {
    let summaries = [summary::describe(models.0), summary::describe(models.1)];
    let [first, second] = &summaries;
    let (about, other) = (&one.manifest.about, &two.manifest.about);
    let named =
        |version: &Version| format!("{}:{}", version.manifest.model, version.manifest.version);
    let numbers = |all: &BTreeMap<String, f64>| -> BTreeMap<String, String> {
        all.iter().map(|(name, value)| (name.clone(), value.to_string())).collect()
    };
    Difference {
        one: named(one),
        two: named(two),
        same_files: one.manifest.content() == two.manifest.content(),
        bytes: [one.manifest.bytes(), two.manifest.bytes()],
        parameters: [first.parameters, second.parameters],
        flops: [first.flops, second.flops],
        signature: changed(&tensors(&about.signature), &tensors(&other.signature)),
        opsets: changed(&texts(&about.opsets), &texts(&other.opsets)),
        operators: changed(&texts(&first.operators), &texts(&second.operators)),
        metrics: changed(&numbers(&about.metrics), &numbers(&other.metrics)),
        answers: None,
    }
}

/// Both versions on the same examples.
fn answers(args: &Args, desk: &OpenDesk, (one, two): (&Model, &Model)) -> anyhow::Result<Answers> {
    let progress = Progress::unless(desk.json);
    let data = sample::read(args.data.0.as_ref(), one, &progress)?;
    let data = data.context("there are no examples")?;
    let examples = data.test.as_deref().unwrap_or(data.train.as_ref());
    let workshop = Workshop::new(&desk.config)?;
    let size = (args.samples, 32, 0);
    let ask = |model: &Model, session: &dyn Session| {
        let sample = Sample::new(&data, examples, model, size)?;
        let labels = labels::of_model(session.signature(), &model.metadata);
        let question = Question::new(session, (&data.task, labels), None)?;
        question.ask(session, &sample, || ())
    };
    let first = workshop.load(one)?;
    let before = ask(one, first.session.as_ref())?;
    drop(first);
    let second = workshop.load(two)?;
    let after = ask(two, second.session.as_ref())?;
    anyhow::ensure!(
        before.values.len() == after.values.len(),
        "the answers cannot be compared: one version gives {} numbers, the other {}",
        before.values.len(),
        after.values.len()
    );
    Ok(Answers {
        engine: second.engine,
        agreement: Agreement::between(&before, &after),
        one: before.score(),
        two: after.score(),
    })
}

fn tensors(signature: &modelyard_registry::Signature) -> BTreeMap<String, String> {
    let of = |kind: &str, tensors: &[Tensor]| -> Vec<(String, String)> {
        let entry = |tensor: &Tensor| {
            let form = format!("{} {:?}", tensor.datatype, tensor.shape);
            (format!("{kind} {}", tensor.name), form)
        };
        tensors.iter().map(entry).collect()
    };
    let all = of("input", &signature.inputs).into_iter();
    all.chain(of("output", &signature.outputs)).collect()
}

fn texts<T: ToString>(all: &BTreeMap<String, T>) -> BTreeMap<String, String> {
    all.iter().map(|(name, value)| (name.clone(), value.to_string())).collect()
}

fn changed(one: &BTreeMap<String, String>, two: &BTreeMap<String, String>) -> Vec<Changed> {
    let names: BTreeSet<&String> = one.keys().chain(two.keys()).collect();
    let names = names.into_iter().filter(|name| one.get(*name) != two.get(*name));
    let changed = |name: &String| Changed {
        name: name.clone(),
        one: one.get(name).cloned(),
        two: two.get(name).cloned(),
    };
    names.map(changed).collect()
}

impl Difference {
    fn text(&self) -> String {
        let mut rows = vec![vec![String::new(), self.one.clone(), self.two.clone()]];
        let mut row = |name: &str, one: String, two: String| {
            if one != two {
                rows.push(vec![name.to_owned(), one, two]);
            }
        };
        row("size", bytes(self.bytes[0]), bytes(self.bytes[1]));
        row("parameters", self.parameters[0].to_string(), self.parameters[1].to_string());
        row("FLOPs", self.flops[0].to_string(), self.flops[1].to_string());
        let lists = [
            ("", &self.signature),
            ("opset ", &self.opsets),
            ("operator ", &self.operators),
            ("metric ", &self.metrics),
        ];
        for (kind, list) in lists {
            for changed in list {
                let text = |side: &Option<String>| side.clone().unwrap_or_else(|| "-".into());
                row(&format!("{kind}{}", changed.name), text(&changed.one), text(&changed.two));
            }
        }
        if let Some(answers) = &self.answers {
            let score = |score: &Option<Score>| match score {
                Some(Score::Accuracy(accuracy)) => format!("{:.2} % right", 100.0 * accuracy),
                Some(Score::MeanSquaredError(error)) => format!("mean squared error {error:.4e}"),
                None => String::new(),
            };
            row("score", score(&answers.one), score(&answers.two));
        }
        let mut text = table(&rows);
        if self.same_files {
            text.push_str("the files are the same\n");
        }
        if let Some(answers) = &self.answers {
            let Agreement { examples, top_1, cosine, .. } = &answers.agreement;
            let top =
                top_1.map(|top| format!("{:.2} % have the same highest score, ", 100.0 * top));
            text.push_str(&format!(
                "on {examples} examples in {}: {}cosine {cosine:.5}\n",
                answers.engine,
                top.unwrap_or_default()
            ));
        }
        text
    }
}
