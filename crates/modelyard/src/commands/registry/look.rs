//! What a registry holds: models, versions, one version, the log.

use modelyard_registry::{Alias, Event, ModelName, Replica, State, Version};
use serde_json::{Value, json};

use super::place::{OpenDesk, coded};
use super::text::{bytes, table, time};

/// List the versions of a model
#[derive(clap::Args)]
pub(super) struct VersionsArgs {
    /// The model
    #[arg(value_name = "MODEL")]
    model: String,
    /// Those that were removed too
    #[arg(long)]
    all: bool,
}

/// Show all that is known of a version
#[derive(clap::Args)]
pub(super) struct ShowArgs {
    /// The version, as MODEL:VERSION
    #[arg(value_name = "REFERENCE")]
    version: String,
}

/// Show who did what, newest first
#[derive(clap::Args)]
pub(super) struct LogArgs {
    /// The model [default: all]
    #[arg(value_name = "MODEL")]
    model: Option<String>,
    /// Lines at most
    #[arg(short = 'n', long, value_name = "N", default_value = "50")]
    lines: u32,
}

pub(super) async fn models(desk: &OpenDesk) -> anyhow::Result<()> {
    let models = desk.registry.models().await.map_err(coded)?;
    let mut rows = vec![headings(&["MODEL", "VERSIONS", "LATEST", "ALIASES"])];
    let mut told = Vec::new();
    for model in &models {
        let aliases = desk.registry.aliases(&model.name).await.map_err(coded)?;
        rows.push(vec![
            model.name.to_string(),
            model.versions.to_string(),
            model.latest.map(|latest| latest.to_string()).unwrap_or_default(),
            list(aliases.iter().map(|alias| format!("{}:{}", alias.name, alias.version))),
        ]);
        told.push(json!({
            "name": model.name, "versions": model.versions, "latest": model.latest,
            "aliases": aliases,
        }));
    }
    desk.tell(&json!({"models": told}), || match models.is_empty() {
        true => "the registry is empty; `modelyard registry push` publishes a model".into(),
        false => table(&rows),
    })
}

pub(super) async fn versions(args: &VersionsArgs, desk: &OpenDesk) -> anyhow::Result<()> {
    let model: ModelName = args.model.parse().map_err(coded)?;
    let mut versions = desk.registry.versions(&model).await.map_err(coded)?;
    versions.retain(|version| args.all || version.state != State::Removed);
    let uses = Uses::of(&model, desk).await?;
    let names = ["VERSION", "STATE", "PUBLISHED", "BY", "SIZE", "ALIASES", "SERVED BY", "NOTES"];
    let mut rows = vec![headings(&names)];
    for version in &versions {
        let manifest = &version.manifest;
        rows.push(vec![
            manifest.version.to_string(),
            state(version).to_owned(),
            time(manifest.created_us),
            manifest.author.clone(),
            bytes(manifest.bytes()),
            list(uses.aliases(version).into_iter()),
            list(uses.replicas(version).into_iter()),
            manifest.notes.lines().next().unwrap_or_default().chars().take(60).collect(),
        ]);
    }
    let told: Vec<Value> = versions.iter().map(|version| describe(version, &uses)).collect();
    desk.tell(&json!({"model": model, "versions": told}), || table(&rows))
}

pub(super) async fn show(args: &ShowArgs, desk: &OpenDesk) -> anyhow::Result<()> {
    let version = desk.find(&args.version).await?;
    let uses = Uses::of(&version.manifest.model, desk).await?;
    desk.tell(&describe(&version, &uses), || shown(&version, &uses))
}

pub(super) async fn log(args: &LogArgs, desk: &OpenDesk) -> anyhow::Result<()> {
    let model: Option<ModelName> =
        args.model.as_deref().map(str::parse).transpose().map_err(coded)?;
    let events = desk.registry.events(model.as_ref(), args.lines).await.map_err(coded)?;
    desk.tell(&json!({"events": events}), || {
        let rows: Vec<Vec<String>> = events.iter().map(line).collect();
        table(&rows)
    })
}

fn line(event: &Event) -> Vec<String> {
    let of = match (event.model.as_str(), event.subject.as_str()) {
        ("", _) => String::new(),
        (model, subject) => format!("{model}:{subject}"),
    };
    let is_digest = event.action == "publish";
    let change = match (event.was.as_str(), event.now.as_str()) {
        ("", now) if is_digest => now.chars().take(12).collect(),
        ("", now) => now.to_owned(),
        (was, "") => format!("was {was}"),
        (was, now) => format!("{was} -> {now}"),
    };
    vec![
        time(event.at_us),
        event.actor.clone(),
        event.action.clone(),
        of,
        change,
        event.why.clone(),
    ]
}

/// A version as JSON: all of its manifest, and what moved since.
fn describe(version: &Version, uses: &Uses) -> Value {
    json!({
        "manifest": version.manifest, "digest": version.digest, "state": version.state,
        "signatures": version.signatures, "aliases": uses.aliases(version),
        "served_by": uses.replicas(version),
    })
}

fn shown(version: &Version, uses: &Uses) -> String {
    let manifest = &version.manifest;
    let about = &manifest.about;
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut row = |name: &str, text: String| {
        if !text.is_empty() {
            rows.push(vec![name.to_owned(), text]);
        }
    };
    row("version", format!("{}:{} ({})", manifest.model, manifest.version, state(version)));
    row("aliases", list(uses.aliases(version).into_iter()));
    row("served by", list(uses.replicas(version).into_iter()));
    row("manifest", version.digest.to_string());
    row("signed by", list(version.signatures.iter().map(|signature| signature.key.to_string())));
    row("published", format!("{} by {}", time(manifest.created_us), manifest.author));
    row("notes", manifest.notes.clone());
    row("tags", list(manifest.tags.iter().cloned()));
    for file in &manifest.files {
        row("file", format!("{}  {}  {}", file.name, bytes(file.bytes), file.sha256.short()));
    }
    for (name, tensors) in
        [("input", &about.signature.inputs), ("output", &about.signature.outputs)]
    {
        for tensor in tensors {
            row(name, format!("{} {} {:?}", tensor.name, tensor.datatype, tensor.shape));
        }
    }
    row("opsets", list(about.opsets.iter().map(|(domain, version)| format!("{domain} {version}"))));
    for (output, labels) in &about.labels {
        row("labels", format!("{} of {output}", labels.len()));
    }
    row("metrics", list(about.metrics.iter().map(|(name, value)| format!("{name} {value}"))));
    if let Some(parent) = &about.lineage.parent {
        row("parent", format!("{}:{} ({})", parent.model, parent.version, parent.manifest.short()));
    }
    for (name, value) in [
        ("source", &about.lineage.source),
        ("optimized", &about.lineage.optimized),
        ("training", &about.lineage.training),
    ] {
        let text = value.as_ref().map(Value::to_string).unwrap_or_default();
        let shown: String = text.chars().take(200).collect();
        row(name, if shown.len() < text.len() { shown + " …" } else { shown });
    }
    table(&rows)
}

/// What points to the versions of a model, and who serves them.
struct Uses {
    aliases: Vec<Alias>,
    replicas: Vec<Replica>,
}

impl Uses {
    async fn of(model: &ModelName, desk: &OpenDesk) -> anyhow::Result<Uses> {
        let aliases = desk.registry.aliases(model).await.map_err(coded)?;
        let replicas = desk.registry.replicas(Some(model)).await.map_err(coded)?;
        Ok(Uses { aliases, replicas })
    }

    fn aliases(&self, version: &Version) -> Vec<String> {
        let its = self.aliases.iter().filter(|alias| alias.version == version.manifest.version);
        its.map(|alias| alias.name.to_string()).collect()
    }

    fn replicas(&self, version: &Version) -> Vec<String> {
        let number = version.manifest.version;
        let its = self.replicas.iter().filter(|replica| replica.version == number);
        its.map(|replica| replica.id.clone()).collect()
    }
}

fn state(version: &Version) -> &'static str {
    match version.state {
        State::Active => "active",
        State::Deprecated => "deprecated",
        State::Removed => "removed",
    }
}

fn list(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}

fn headings(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}
