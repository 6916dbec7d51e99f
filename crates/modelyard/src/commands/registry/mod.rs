//! `modelyard registry`: versions of models, names that point to them, and who moved these.
//!
//! | module | does |
//! |---|---|
//! | `mod` | the commands, and the order of things |
//! | `place` | which registry, in whose name |
//! | `materialize` | a version as files, for other commands |
//! | `push`, `pull` | a file becomes a version, and the other way |
//! | `describe` | what a manifest says of a model |
//! | `look`, `text` | models, versions, show, log; how they read |
//! | `diff` | what differs between two versions |
//! | `rollout` | candidates that take over step by step |
//! | `change` | aliases, promotion, rollback, deprecation, removal |
//! | `care` | fsck, gc, rekey |
//! | `backup` | backup, restore, and what there is to restore |
//! | `keys`, `trust` | keys, and whom to trust |

mod backup;
mod care;
mod change;
mod describe;
mod diff;
pub(crate) mod keys;
mod look;
mod materialize;
mod place;
mod pull;
mod push;
mod rollout;
mod text;
mod trust;

use clap::Subcommand;

use crate::cli::Globals;
use crate::config::Overrides;
pub(crate) use materialize::materialize;
use place::{Desk, PlaceArgs};

/// Keep models as immutable, numbered versions, and the names that point to them
///
/// A version is the model's files, known by their SHA-256, and a manifest that says what it takes and
/// gives and where it comes from. MODEL:VERSION names one: digits:3, digits:stable (an alias),
/// digits:latest or just digits (the highest that is not deprecated).
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    modelyard registry push digits.onnx --alias stable --metric accuracy=0.965\n  \
    modelyard registry push digits=better.onnx --alias canary --notes 'twice the data'\n  \
    modelyard registry diff digits:stable digits:canary\n  \
    modelyard registry promote digits:canary\n  \
    modelyard registry rollback digits")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    place: PlaceArgs,
}

#[derive(Subcommand)]
enum Action {
    /// Publish a model as a new version
    Push(push::Args),
    /// Write the files of a version into a folder
    Pull(pull::Args),
    /// List all models
    Models,
    /// List the versions of a model
    Versions(look::VersionsArgs),
    /// Show all that is known of a version
    Show(look::ShowArgs),
    /// Compare two versions: signature, graph, size, metrics, answers
    Diff(diff::Args),
    /// Point a name to a version, or take it away
    Alias(change::AliasArgs),
    /// Point `stable` to a version
    Promote(change::PromoteArgs),
    /// Point `stable` back to where it was before
    Rollback(change::RollbackArgs),
    /// Let a candidate take over step by step, as long as it is no worse
    Rollout(rollout::Args),
    /// Say that a version should not be used any more
    Deprecate(change::DeprecateArgs),
    /// Remove a version that no alias points to
    Rm(change::RmArgs),
    /// Add a signature to a version
    Sign(trust::SignArgs),
    /// Show who did what, newest first
    Log(look::LogArgs),
    /// Remove contents that no version has any more
    Gc(care::GcArgs),
    /// Check everything, and remove what processes that died have left
    Fsck(care::FsckArgs),
    /// Copy what is new to a backup
    Backup(backup::BackupArgs),
    /// List what a backup can restore
    Snapshots(backup::SnapshotsArgs),
    /// Make a registry from a backup
    Restore(backup::RestoreArgs),
    /// Encrypt contents by another key, without touching them
    Rekey(care::RekeyArgs),
}

/// Runs the command.
pub(crate) fn run(args: &Args, globals: &Globals) -> anyhow::Result<()> {
    let overrides = match &args.action {
        Action::Diff(args) => args.overrides(),
        _ => Overrides::default(),
    };
    // Whoever lost a registry looks at its backup.
    if let Action::Snapshots(snapshots) = &args.action {
        return place::block_on(backup::snapshots(snapshots, args.place.json));
    }
    if let Action::Restore(restore) = &args.action {
        place::block_on(backup::require(restore))?;
    }
    let makes = matches!(args.action, Action::Push(_) | Action::Restore(_));
    let desk = Desk::new((&args.place, makes), globals, overrides)?;
    desk.run(async |desk| match &args.action {
        Action::Push(args) => push::run(args, desk).await,
        Action::Pull(args) => pull::run(args, desk).await,
        Action::Models => look::models(desk).await,
        Action::Versions(args) => look::versions(args, desk).await,
        Action::Show(args) => look::show(args, desk).await,
        Action::Diff(args) => diff::run(args, desk).await,
        Action::Alias(args) => change::alias(args, desk).await,
        Action::Promote(args) => change::promote(args, desk).await,
        Action::Rollback(args) => change::rollback(args, desk).await,
        Action::Rollout(args) => rollout::run(args, desk).await,
        Action::Deprecate(args) => change::deprecate(args, desk).await,
        Action::Rm(args) => change::remove(args, desk).await,
        Action::Sign(args) => trust::sign(args, desk).await,
        Action::Log(args) => look::log(args, desk).await,
        Action::Gc(args) => care::gc(args, desk).await,
        Action::Fsck(args) => care::fsck(args, desk).await,
        Action::Backup(args) => backup::backup(args, desk).await,
        Action::Restore(args) => backup::restore(args, desk).await,
        Action::Rekey(args) => care::rekey(args, desk).await,
        Action::Snapshots(args) => backup::snapshots(args, desk.json).await,
    })
}
