//! `modelyard registry rollout`: a candidate takes over from the version that an alias points to, step by
//! step, as long as it is no worse.

use anyhow::{Context, anyhow, bail};
use clap::Subcommand;
use modelyard_registry::{
    Actor, AliasName, Begin, ModelName, Reference, RegistryError, Selector, State as VersionState,
    Version,
};
use modelyard_rollout::{
    Event, MetricLimit, Observations, Plan, State, Thresholds, VersionFigures, judge,
};
use serde_json::{Value, json};

use super::place::{OpenDesk, coded};
use super::text::table;
use crate::exit::{Exit, ExitWith};
use crate::follow::{Rolling, StepError, now};

/// Let a candidate take over from the version that an alias points to, step by step
///
/// The servers that follow the alias share the requests, count errors and latencies of both versions, and
/// judge them with a test that may be looked at at any time: a candidate that is worse is rolled back, one
/// that is not goes on to the next step, and at the end the alias points to it. Every step is in the log,
/// with the figures that led to it.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    modelyard registry rollout start digits:canary\n  \
    modelyard registry rollout start digits:7 --plan 'shadow=20%:1000,1%:1000:10m,10%:8000:30m,100%'\n  \
    modelyard registry rollout status digits\n  \
    modelyard registry rollout pause digits")]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Begin a rollout
    Start(Box<StartArgs>),
    /// Show where a model's rollout stands, and what was counted
    Status(ModelArgs),
    /// Stay at this step
    Pause(ModelArgs),
    /// Go on after a pause
    Resume(ModelArgs),
    /// Take all requests from the candidate
    Abort(ModelArgs),
    /// Give all requests to the candidate now, and point the alias to it
    Promote(ModelArgs),
}

#[derive(clap::Args)]
struct ModelArgs {
    /// The model
    #[arg(value_name = "MODEL")]
    model: String,
}

#[derive(clap::Args)]
struct StartArgs {
    /// The candidate, as MODEL:VERSION; without a version it is what `canary` points to
    #[arg(value_name = "REFERENCE")]
    version: String,
    /// The alias that moves in the end
    #[arg(long, value_name = "NAME", default_value = "stable")]
    alias: String,
    /// Stages as SHARE:REQUESTS:TIME, least requests of the candidate and least time each; first perhaps
    /// shadow=SHARE..., where copies are compared and nobody gets the candidate's answers; the last is 100%
    /// [default: 1%:1000:10m,10%:8000:30m,50%:5000:1h,100%]
    #[arg(long, value_name = "STAGES")]
    plan: Option<String>,
    /// Keep clients with one version by the value of this HTTP header or gRPC metadata
    #[arg(long, value_name = "HEADER", conflicts_with = "sticky_parameter")]
    sticky_header: Option<String>,
    /// The same by this parameter of v2 requests, a text
    #[arg(long, value_name = "NAME")]
    sticky_parameter: Option<String>,
    /// Chance of rolling back a candidate that is no worse [default: 0.05]
    #[arg(long, value_name = "P")]
    false_rollback: Option<f64>,
    /// A rise of the error rate that is borne [default: 0.001]
    #[arg(long, value_name = "SHARE")]
    error_margin: Option<f64>,
    /// A rise of latencies that is borne [default: 1.1]
    #[arg(long, value_name = "FACTOR")]
    latency_ratio: Option<f64>,
    /// Most that answers may differ on average, relative to their size; takes a shadow stage
    #[arg(long, value_name = "X")]
    mean_relative_error: Option<f64>,
    /// Largest share of answers with another top class; takes a shadow stage
    #[arg(long, value_name = "SHARE")]
    class_changes: Option<f64>,
    /// Most that any answer may differ; takes a shadow stage
    #[arg(long, value_name = "X")]
    max_relative_error: Option<f64>,
    /// A limit on a metric of the candidate's manifest, such as accuracy>=0.96 (repeatable)
    #[arg(long, value_name = "METRIC>=X")]
    limit: Vec<String>,
}

pub(super) async fn run(args: &Args, desk: &OpenDesk) -> anyhow::Result<()> {
    match &args.action {
        Action::Start(args) => start(args, desk).await,
        Action::Status(args) => status(args, desk).await,
        Action::Pause(args) => happen(args, &Event::Pause, desk).await,
        Action::Resume(args) => happen(args, &Event::Resume, desk).await,
        Action::Abort(args) => happen(args, &Event::Abort, desk).await,
        Action::Promote(args) => happen(args, &Event::PromoteNow, desk).await,
    }
}

async fn start(args: &StartArgs, desk: &OpenDesk) -> anyhow::Result<()> {
    let plan = plan(args).exit_with(Exit::Usage)?;
    let alias: AliasName = args.alias.parse().map_err(coded)?;
    let mut reference: Reference = args.version.parse().map_err(coded)?;
    if !args.version.contains(':') {
        reference.selector = Selector::Alias("canary".parse().map_err(coded)?);
    }
    let candidate = desk.registry.find(&reference).await.map_err(coded)?;
    let stable = Reference { selector: Selector::Alias(alias.clone()), ..reference };
    let stable = desk.registry.find(&stable).await.map_err(coded)?;
    refuse_unlike(&stable, &candidate).exit_with(Exit::Model)?;
    let header = args.sticky_header.as_deref().map(str::to_ascii_lowercase);
    let parameter = args.sticky_parameter.as_ref().map(|name| format!("parameter:{name}"));
    let sticky = header.or(parameter);
    let state = State::begin(&plan, now());
    let manifest = &candidate.manifest;
    let begin = Begin {
        model: &manifest.model,
        alias: &alias,
        candidate: manifest.version,
        plan: &serde_json::to_string(&plan)?,
        sticky: sticky.as_deref(),
        state: &serde_json::to_string(&state)?,
        stage: &state.stage.to_string(),
    };
    let begun = desk.registry.begin_rollout(&begin, &desk.actor).await.map_err(coded)?;
    desk.tell(&begun, || {
        format!(
            "{}:{} takes over from {} ({alias}), {}; servers with --from-registry {}:{alias} take part",
            begun.model, begun.candidate, begun.stable, begun.stage, begun.model
        )
    })
}

/// Both answer the same requests, and are compared by their answers.
fn refuse_unlike(stable: &Version, candidate: &Version) -> anyhow::Result<()> {
    let (one, other) = (&stable.manifest, &candidate.manifest);
    if candidate.state == VersionState::Removed {
        bail!("version {} of model '{}' was removed", other.version, other.model);
    }
    if one.about.signature != other.about.signature {
        bail!(
            "versions {} and {} of model '{}' take or give other tensors (`modelyard registry diff` \
             shows it): requests cannot be shared between them; move the alias instead",
            one.version,
            other.version,
            one.model
        );
    }
    Ok(())
}

fn plan(args: &StartArgs) -> anyhow::Result<Plan> {
    let plan: Plan = match &args.plan {
        Some(text) => text.parse().context("wrong --plan")?,
        None => Plan::default(),
    };
    let usual = Thresholds::default();
    let thresholds = Thresholds {
        false_rollback: args.false_rollback.unwrap_or(usual.false_rollback),
        error_margin: args.error_margin.unwrap_or(usual.error_margin),
        latency_ratio: args.latency_ratio.unwrap_or(usual.latency_ratio),
        mean_relative_error: args.mean_relative_error,
        class_changes: args.class_changes,
        max_relative_error: args.max_relative_error,
        metrics: args.limit.iter().map(|text| limit(text)).collect::<anyhow::Result<_>>()?,
    };
    Ok(plan.with_thresholds(thresholds)?)
}

fn limit(text: &str) -> anyhow::Result<MetricLimit> {
    let (name, at_most, at_least) = match (text.split_once("<="), text.split_once(">=")) {
        (Some((name, value)), None) => (name, Some(value.trim().parse()?), None),
        (None, Some((name, value))) => (name, None, Some(value.trim().parse()?)),
        _ => bail!("expected METRIC>=X or METRIC<=X for --limit, found '{text}'"),
    };
    Ok(MetricLimit { name: name.trim().to_owned(), at_most, at_least })
}

/// The rollout of a model.
async fn rolling(args: &ModelArgs, desk: &OpenDesk) -> anyhow::Result<Rolling> {
    let model: ModelName = args.model.parse().map_err(coded)?;
    let found = desk.registry.rollout(&model).await.map_err(coded)?;
    match found {
        Some(record) => Rolling::read(record).exit_with(Exit::Failure),
        None => {
            // Says so where there is no such model.
            desk.registry.versions(&model).await.map_err(coded)?;
            let text = anyhow!("model '{model}' has had no rollout");
            Err(Exit::Failure.coded(text))
        }
    }
}

async fn happen(args: &ModelArgs, event: &Event<'_>, desk: &OpenDesk) -> anyhow::Result<()> {
    let rolling = rolling(args, desk).await?;
    let actor: &Actor = &desk.actor;
    let state = match rolling.happen(&desk.registry, event, actor).await {
        Ok(state) => state.unwrap_or(rolling.state),
        Err(StepError::Registry(error)) => return Err(coded(error)),
        Err(error) => return Err(Exit::Failure.coded(error.into())),
    };
    let (model, stage) = (&rolling.record.model, state.stage.to_string());
    let told = json!({"model": model, "stage": stage, "epoch": state.epoch});
    desk.tell(&told, || format!("the rollout of {model}:{} is {stage}", rolling.record.candidate))
}

async fn status(args: &ModelArgs, desk: &OpenDesk) -> anyhow::Result<()> {
    let rolling = rolling(args, desk).await?;
    let observed = observed(&rolling, desk).await.map_err(coded)?;
    let Rolling { record, plan, state } = &rolling;
    let decision = judge(plan, state, &observed, now());
    let told = json!({
        "model": record.model, "alias": record.alias, "stable": record.stable,
        "candidate": record.candidate, "stage": record.stage, "epoch": record.epoch,
        "has_ended": record.has_ended, "plan": plan, "share_bp": state.share(plan).get(),
        "begun_us": record.begun_us, "begun_by": record.begun_by,
        "stable_figures": figures(&observed.stable),
        "candidate_figures": figures(&observed.candidate),
        "drift": observed.drift, "decision": decision,
    });
    desk.tell(&told, || {
        let mut text = format!(
            "{}:{} takes over from {} ({}): {}\n",
            record.model, record.candidate, record.stable, record.alias, record.stage
        );
        if !record.has_ended {
            text.push_str(&format!("plan: {plan}\n{}\n\n", decision.reason));
            text.push_str(&table(&[
                row(["VERSION", "REQUESTS", "ERRORS", "P50 MS", "P99 MS"].map(str::to_owned)),
                counted(record.stable, &observed.stable),
                counted(record.candidate, &observed.candidate),
            ]));
        }
        text
    })
}

/// What all servers have counted in this stage.
async fn observed(rolling: &Rolling, desk: &OpenDesk) -> Result<Observations, RegistryError> {
    let mut all = Observations::default();
    let key = rolling.stage_key();
    for figures in desk.registry.figures(&rolling.record.model, &key).await? {
        if let Ok(figures) = serde_json::from_str(&figures) {
            all.merge(&figures);
        }
    }
    Ok(all)
}

fn figures(figures: &VersionFigures) -> Value {
    json!({
        "requests": figures.requests, "errors": figures.errors,
        "p50_ms": quantile_ms(figures, 0.5), "p99_ms": quantile_ms(figures, 0.99),
    })
}

fn counted(version: u64, figures: &VersionFigures) -> Vec<String> {
    let ms =
        |quantile| quantile_ms(figures, quantile).map(|ms| format!("{ms:.2}")).unwrap_or_default();
    row([
        version.to_string(),
        figures.requests.to_string(),
        figures.errors.to_string(),
        ms(0.5),
        ms(0.99),
    ])
}

fn quantile_ms(figures: &VersionFigures, quantile: f64) -> Option<f64> {
    figures.latency.quantile(quantile).map(|latency| latency.as_secs_f64() * 1e3)
}

fn row(cells: [String; 5]) -> Vec<String> {
    cells.into()
}
