//! `modelyard registry push`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::{Context, bail};
use modelyard_registry::{AliasName, Lineage, Parent, Publication};

use super::describe;
use super::place::{OpenDesk, coded};
use super::trust::SignerArgs;
use crate::exit::{Exit, ExitWith};
use crate::source;

/// Publish a model as a new version
///
/// The model is read and checked first. Files that the model has as a version already are not published
/// again: that version is told.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The ONNX model: a path, or NAME=PATH; the name is the file's otherwise
    #[arg(value_name = "[NAME=]PATH")]
    model: String,
    /// Point this alias to it (repeatable)
    #[arg(long, value_name = "NAME")]
    alias: Vec<String>,
    /// What there is to say of it
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    notes: String,
    /// A name that it is found by (repeatable)
    #[arg(long, value_name = "NAME")]
    tag: Vec<String>,
    /// Something that was measured, such as accuracy=0.965 (repeatable)
    #[arg(long, value_name = "NAME=NUMBER")]
    metric: Vec<String>,
    /// The version that it was made of, as MODEL:VERSION
    #[arg(long, value_name = "REFERENCE")]
    parent: Option<String>,
    /// A file to keep beside the model, such as labels.txt (repeatable)
    #[arg(long, value_name = "FILE")]
    with: Vec<PathBuf>,
    #[command(flatten)]
    signer: SignerArgs,
}

pub(super) async fn run(args: &Args, desk: &OpenDesk) -> anyhow::Result<()> {
    let (name, path) = source::split_argument(&args.model);
    let model = source::one(name, path, &desk.config).map_err(anyhow::Error::msg);
    let model = model.exit_with(Exit::Model)?;
    let Some(version) = model.versions.last() else {
        return Err(Exit::Model.coded(model.mistakes.into()));
    };
    let checked = source::check::check(&model, version).exit_with(Exit::Model)?;
    let mut files = describe::files(&checked.file).exit_with(Exit::Model)?;
    for path in args.with.iter().chain(&model.labels_file) {
        let name = path.file_name().context("expected a file for --with")?;
        let name = name.to_string_lossy().into_owned();
        if !files.iter().any(|(other, _)| *other == name) {
            files.push((name, path.clone()));
        }
    }
    let mut about = describe::about(&checked).exit_with(Exit::Model)?;
    about.metrics.extend(metrics(&args.metric).exit_with(Exit::Usage)?);
    about.lineage = Lineage { parent: parent(args, desk).await?, ..about.lineage };
    let aliases: Result<Vec<AliasName>, _> = args.alias.iter().map(|name| name.parse()).collect();
    let publication = Publication {
        model: model.name.parse().map_err(coded)?,
        files,
        about,
        notes: args.notes.clone(),
        tags: args.tag.iter().cloned().collect::<BTreeSet<_>>(),
        aliases: aliases.map_err(coded)?,
    };
    let signer = args.signer.read().map_err(coded)?;
    let published = desk.registry.publish(&publication, signer.as_ref(), &desk.actor).await;
    let published = published.map_err(coded)?;
    desk.tell(&published, || {
        let (name, version, digest) =
            (&published.model, published.version, published.manifest.short());
        let aliases: Vec<String> =
            args.alias.iter().map(|alias| format!(", {alias} points to it")).collect();
        match published.is_new {
            true => format!("published {name}:{version} ({digest}){}", aliases.concat()),
            false => format!("{name}:{version} has these files already{}", aliases.concat()),
        }
    })
}

async fn parent(args: &Args, desk: &OpenDesk) -> anyhow::Result<Option<Parent>> {
    let Some(reference) = &args.parent else { return Ok(None) };
    let version = desk.find(reference).await.context("failed to find the parent")?;
    let (model, number) = (version.manifest.model, version.manifest.version);
    Ok(Some(Parent { model, version: number, manifest: version.digest }))
}

fn metrics(given: &[String]) -> anyhow::Result<BTreeMap<String, f64>> {
    let metric = |text: &String| {
        let parsed = text.split_once('=').and_then(|(name, value)| {
            let value: f64 = value.parse().ok().filter(|value: &f64| value.is_finite())?;
            Some((name.to_owned(), value))
        });
        match parsed {
            Some((name, value)) if !name.is_empty() => Ok((name, value)),
            _ => bail!("expected NAME=NUMBER for --metric, such as accuracy=0.965, found '{text}'"),
        }
    };
    given.iter().map(metric).collect()
}
