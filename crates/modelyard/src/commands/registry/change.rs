//! What moves: aliases, and whether a version is to be used.

use anyhow::bail;
use modelyard_registry::{Alias, AliasName, Expected, ModelName, Reference, Selector, State};
use serde_json::json;

use super::place::{OpenDesk, coded};
use crate::exit::{Exit, ExitWith};

/// The alias that a promotion moves unless told otherwise.
const STABLE: &str = "stable";

/// Point a name to a version, or take it away
#[derive(clap::Args)]
pub(super) struct AliasArgs {
    /// The version, as MODEL:VERSION; with --remove the alias, as MODEL:ALIAS
    #[arg(value_name = "REFERENCE")]
    version: String,
    /// The alias
    #[arg(value_name = "ALIAS", required_unless_present = "remove")]
    alias: Option<String>,
    /// Only if it points to this version now; 0: only if it is not there
    #[arg(long, value_name = "VERSION")]
    expect: Option<u64>,
    /// Take the alias away
    #[arg(long, conflicts_with = "alias")]
    remove: bool,
}

/// Point `stable` to a version
///
/// Without a version in the reference it is the one that `canary` points to.
#[derive(clap::Args)]
pub(super) struct PromoteArgs {
    /// The version, as MODEL:VERSION
    #[arg(value_name = "REFERENCE")]
    version: String,
    /// The alias that moves
    #[arg(long, value_name = "NAME", default_value = STABLE)]
    alias: String,
    /// Only if the alias points to this version now; 0: only if it is not there
    #[arg(long, value_name = "VERSION")]
    expect: Option<u64>,
}

/// Point `stable` back to where it was before
///
/// A second time it goes to what was before that: moves that were rolled back do not count.
#[derive(clap::Args)]
pub(super) struct RollbackArgs {
    /// The model
    #[arg(value_name = "MODEL")]
    model: String,
    /// The alias that moves
    #[arg(long, value_name = "NAME", default_value = STABLE)]
    alias: String,
}

/// Say that a version should not be used any more
///
/// `latest` passes it over; aliases and whoever names its number still get it.
#[derive(clap::Args)]
pub(super) struct DeprecateArgs {
    /// The version, as MODEL:VERSION
    #[arg(value_name = "REFERENCE")]
    version: String,
    /// Say that it should be used again
    #[arg(long)]
    undo: bool,
}

/// Remove a version that no alias points to
///
/// Its number is never used again, and its manifest stays for the record. Its contents go with the next
/// `modelyard registry gc`, where no other version has them.
#[derive(clap::Args)]
pub(super) struct RmArgs {
    /// The version, as MODEL:NUMBER
    #[arg(value_name = "REFERENCE")]
    version: String,
}

pub(super) async fn alias(args: &AliasArgs, desk: &OpenDesk) -> anyhow::Result<()> {
    let expected = expected(args.expect);
    let Some(name) = &args.alias else {
        let reference: Reference = args.version.parse().map_err(coded)?;
        let Selector::Alias(name) = reference.selector else {
            return Err(anyhow::anyhow!(
                "expected MODEL:ALIAS for --remove, found '{}'",
                args.version
            ))
            .exit_with(Exit::Usage);
        };
        let model = reference.model;
        let dropped = desk.registry.drop_alias((&model, &name), expected, &desk.actor).await;
        dropped.map_err(coded)?;
        let told = json!({"model": model, "alias": name, "version": null});
        return desk.tell(&told, || format!("{model}:{name} is no alias any more"));
    };
    let version = desk.find(&args.version).await?.manifest;
    let alias = name.parse().map_err(coded)?;
    move_to(desk, (&version.model, &alias), (expected, version.version)).await
}

pub(super) async fn promote(args: &PromoteArgs, desk: &OpenDesk) -> anyhow::Result<()> {
    let version = match args.version.contains(':') {
        true => desk.find(&args.version).await?,
        false => desk.find(&format!("{}:canary", args.version)).await?,
    };
    let manifest = version.manifest;
    let alias: AliasName = args.alias.parse().map_err(coded)?;
    move_to(desk, (&manifest.model, &alias), (expected(args.expect), manifest.version)).await
}

async fn move_to(
    desk: &OpenDesk,
    (model, alias): (&ModelName, &AliasName),
    change: (Expected, u64),
) -> anyhow::Result<()> {
    let moved = desk.registry.swap_alias((model, alias), change, &desk.actor).await;
    tell(desk, model, &moved.map_err(coded)?)
}

fn tell(desk: &OpenDesk, model: &ModelName, alias: &Alias) -> anyhow::Result<()> {
    let told = json!({
        "model": model, "alias": alias.name, "version": alias.version, "epoch": alias.epoch,
    });
    desk.tell(&told, || format!("{model}:{} is version {} now", alias.name, alias.version))
}

pub(super) async fn rollback(args: &RollbackArgs, desk: &OpenDesk) -> anyhow::Result<()> {
    let model: ModelName = args.model.parse().map_err(coded)?;
    let alias = args.alias.parse().map_err(coded)?;
    let moved = desk.registry.roll_back(&model, &alias, &desk.actor).await.map_err(coded)?;
    tell(desk, &model, &moved)
}

pub(super) async fn deprecate(args: &DeprecateArgs, desk: &OpenDesk) -> anyhow::Result<()> {
    let state = if args.undo { State::Active } else { State::Deprecated };
    set_state(desk, &args.version, state).await
}

pub(super) async fn remove(args: &RmArgs, desk: &OpenDesk) -> anyhow::Result<()> {
    let reference: Reference = args.version.parse().map_err(coded)?;
    if !matches!(reference.selector, Selector::Number(_)) {
        let removed = || bail!("say which version to remove, such as '{}:1'", reference.model);
        return removed().exit_with(Exit::Usage);
    }
    set_state(desk, &args.version, State::Removed).await
}

async fn set_state(desk: &OpenDesk, reference: &str, state: State) -> anyhow::Result<()> {
    let manifest = desk.find(reference).await?.manifest;
    let (model, number) = (&manifest.model, manifest.version);
    desk.registry.set_state(model, number, state, &desk.actor).await.map_err(coded)?;
    let told = json!({"model": model, "version": number, "state": state});
    desk.tell(&told, || {
        let what = match state {
            State::Active => "is to be used again",
            State::Deprecated => "is deprecated now",
            State::Removed => "is removed",
        };
        format!("{model}:{number} {what}")
    })
}

fn expected(version: Option<u64>) -> Expected {
    match version {
        None => Expected::Anything,
        Some(0) => Expected::Nothing,
        Some(version) => Expected::Version(version),
    }
}
