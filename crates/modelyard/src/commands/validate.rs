//! `modelyard validate`: everything that is wrong with configuration and models, before a
//! release rather than after it. Opens no port and loads no model.

use anyhow::anyhow;
use modelyard_engine::{EngineChoice, Engines, LoadError, ModelFile};
use serde::Serialize;

use super::serve::ModelArgs;
use crate::cli::Globals;
use crate::config::key::AnyKey;
use crate::config::layer::environment_name;
use crate::config::mistake::{Mistake, Mistakes};
use crate::config::{self, Config, model};
use crate::exit::{Exit, ExitWith};
use crate::observe::progress::Progress;
use crate::output;
use crate::source::check::check;
use crate::source::{self, ModelSource};

/// Check configuration and models without serving them
///
/// Reports all mistakes at once: the configuration as `serve` would read it, each model's
/// settings, each ONNX file (structure, types, external data), what `config.pbtxt` says against
/// what the file says, and operators that no engine runs. Ends with code 3 if there are any in
/// models, with code 2 if only the configuration is wrong.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    models: ModelArgs,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    /// List every configuration key with its default, and end
    #[arg(long)]
    keys: bool,
}

/// What was found.
#[derive(Serialize)]
struct Report {
    valid: bool,
    /// Mistakes that would keep the server from starting.
    configuration: Vec<Mistake>,
    models: Vec<ModelReport>,
}

/// What was found about one version of a model.
#[derive(Serialize)]
struct ModelReport {
    model: String,
    version: Option<u64>,
    mistakes: Vec<Mistake>,
    warnings: Vec<Mistake>,
}

/// Validates and reports.
pub(crate) fn run(args: &Args, globals: &Globals) -> anyhow::Result<()> {
    if args.keys {
        return print_keys(args.json);
    }
    let progress = Progress::unless(args.json);
    let report = progress.spin("checking models", || validate(args, globals));
    if args.json {
        output::json(&report)?;
    } else {
        output::line(report.text())?;
    }
    match report.valid {
        true => Ok(()),
        false => Err(anyhow!("found {}", report.count_text())).exit_with(report.exit()),
    }
}

fn validate(args: &Args, globals: &Globals) -> Report {
    let mut mistakes = Mistakes::default();
    let config = Config::read(globals, args.models.overrides(), &mut mistakes);
    let sources = source::find_all(&args.models.models, &config, &mut mistakes);
    mistakes.0.extend(source::empty_repositories(&sources, &config));
    let engines = config.engine.engines();
    let runs = |choice: Option<EngineChoice>, file: &ModelFile| {
        runnable(&engines, choice.unwrap_or(config.engine.choice), file)
    };
    let models = sources.iter().flat_map(|source| validate_model(source, &runs)).collect();
    let mut report = Report { valid: false, configuration: mistakes.0, models };
    report.valid = report.count() == 0;
    report
}

fn validate_model(
    source: &ModelSource,
    runs: &impl Fn(Option<EngineChoice>, &ModelFile) -> Result<(), String>,
) -> Vec<ModelReport> {
    let of = |version: Option<u64>, mistakes: Mistakes| ModelReport {
        model: source.name.clone(),
        version,
        mistakes: mistakes.0,
        warnings: source.triton.warnings.clone(),
    };
    if source.versions.is_empty() {
        return vec![of(None, source.mistakes.clone())];
    }
    let versions = source.versions.iter();
    let reports = versions.map(|version| {
        let mistakes = match check(source, version) {
            Ok(checked) => {
                let mut mistakes = Mistakes::default();
                if let Err(message) = runs(source.settings.engine, &checked.file) {
                    let path = checked.file.path.clone();
                    let place = config::Place::File { path, line: None };
                    mistakes.push(Mistake::general(place, message));
                }
                mistakes
            }
            Err(mistakes) => mistakes,
        };
        of(Some(version.number), mistakes)
    });
    reports.collect()
}

/// Whether an engine of the choice takes a model, or what stands against each.
fn runnable(engines: &Engines, choice: EngineChoice, file: &ModelFile) -> Result<(), String> {
    let mut errors = Vec::new();
    for report in engines.check(file) {
        let engine = report.engine;
        if matches!(choice, EngineChoice::Named(name) if name != engine) {
            continue;
        }
        match report.unusable {
            Some(message) => errors.push(message),
            None if report.refusals.is_empty() => return Ok(()),
            None => {
                errors.push(LoadError::Refused { engine, refusals: report.refusals }.to_string())
            }
        }
    }
    Err(errors.join("; "))
}

impl Report {
    fn count(&self) -> usize {
        let models = self.models.iter().map(|model| model.mistakes.len());
        self.configuration.len() + models.sum::<usize>()
    }

    /// The code that `serve` would end with, were the models that are wrong the only ones.
    fn exit(&self) -> Exit {
        match self.models.iter().all(|model| model.mistakes.is_empty()) {
            true => Exit::Usage,
            false => Exit::Model,
        }
    }

    fn count_text(&self) -> String {
        match self.count() {
            1 => "1 mistake".into(),
            count => format!("{count} mistakes"),
        }
    }

    fn text(&self) -> String {
        let mut lines: Vec<String> =
            self.configuration.iter().map(|mistake| format!("error: {mistake}")).collect();
        for model in &self.models {
            let version = model.version.map(|version| format!(" {version}")).unwrap_or_default();
            let verdict = if model.mistakes.is_empty() { "ok" } else { "not valid" };
            lines.push(format!("{}{version}: {verdict}", model.model));
            lines.extend(model.mistakes.iter().map(|mistake| format!("  error: {mistake}")));
            lines.extend(model.warnings.iter().map(|warning| format!("  warning: {warning}")));
        }
        if lines.is_empty() {
            lines.push("configuration: ok (no models named)".into());
        }
        lines.join("\n")
    }
}

/// One key, for machines.
#[derive(Serialize)]
struct KeyReport {
    key: String,
    environment: Option<String>,
    default: &'static str,
    expected: String,
    description: &'static str,
}

fn print_keys(as_json: bool) -> anyhow::Result<()> {
    let report = |prefix: &str, key: &dyn AnyKey| {
        let name = format!("{prefix}{}", key.name());
        KeyReport {
            environment: (!name.starts_with("models.")).then(|| environment_name(&name)),
            key: name,
            default: key.default(),
            expected: key.expected(),
            description: key.doc(),
        }
    };
    let mut keys: Vec<KeyReport> = config::global_keys().map(|key| report("", key)).collect();
    for key in model::ALL {
        let prefix = if key.name() == model::PATH.name { "models.NAME." } else { "model." };
        keys.push(report(prefix, *key));
    }
    if as_json {
        return output::json(&keys);
    }
    for key in keys {
        output::line(format!("{} = {:?}", key.key, key.default))?;
        output::line(format!("    {}", key.description))?;
        output::line(format!("    expected: {}", key.expected))?;
    }
    Ok(())
}
