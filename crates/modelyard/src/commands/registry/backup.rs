//! All of a registry elsewhere, and back.

use modelyard_registry::Archive;
use serde_json::json;

use super::place::{OpenDesk, coded, tell};
use super::text::{bytes, table, time};
use crate::config::environment;

/// Copy what is new to a backup
///
/// Contents that are there already are not copied again; every backup can be restored as it was. A tar
/// file has all of one backup. What is encrypted stays so: keep the key, too.
#[derive(clap::Args)]
pub(super) struct BackupArgs {
    /// A folder, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX, or a file that ends in .tar
    #[arg(value_name = "PLACE")]
    to: String,
}

/// List what a backup can restore
#[derive(clap::Args)]
pub(super) struct SnapshotsArgs {
    /// The backup
    #[arg(value_name = "PLACE")]
    from: String,
}

/// Make a registry from a backup
///
/// The registry must be empty or not there yet. Everything is checked before anything of it counts: of a
/// damaged backup nothing is restored, what is damaged is named, and the exit code is 3.
#[derive(clap::Args)]
pub(super) struct RestoreArgs {
    /// The backup
    #[arg(value_name = "PLACE")]
    from: String,
    /// As it was then [default: the newest]
    #[arg(long, value_name = "NAME")]
    snapshot: Option<String>,
}

fn archive(text: &str) -> anyhow::Result<Archive> {
    Ok(Archive::parse(text).map_err(coded)?.with_environment(environment()))
}

pub(super) async fn backup(args: &BackupArgs, desk: &OpenDesk) -> anyhow::Result<()> {
    let done = desk.registry.back_up(&archive(&args.to)?, &desk.actor).await.map_err(coded)?;
    desk.tell(&done, || {
        format!(
            "backed up {} models, {} versions as {}: copied {} of {} contents, {}",
            done.models,
            done.versions,
            done.snapshot,
            done.copied,
            done.contents,
            bytes(done.copied_bytes)
        )
    })
}

pub(super) async fn snapshots(args: &SnapshotsArgs, json: bool) -> anyhow::Result<()> {
    let found = archive(&args.from)?.snapshots().await.map_err(coded)?;
    tell(json, &json!({"snapshots": found}), || {
        let mut rows = vec![["SNAPSHOT", "MADE", "BY"].map(str::to_owned).to_vec()];
        rows.extend(found.iter().map(|one| {
            let made = one.made_us.map(time).unwrap_or_default();
            vec![one.name.clone(), made, one.by.clone()]
        }));
        table(&rows)
    })
}

/// Refuses what is no backup, before there is a registry.
pub(super) async fn require(args: &RestoreArgs) -> anyhow::Result<()> {
    archive(&args.from)?.require().await.map_err(coded)
}

pub(super) async fn restore(args: &RestoreArgs, desk: &OpenDesk) -> anyhow::Result<()> {
    let how = (args.snapshot.as_deref(), &desk.actor);
    let done = desk.registry.restore(&archive(&args.from)?, how).await.map_err(coded)?;
    desk.tell(&done, || {
        format!(
            "restored {} models, {} versions, {} contents ({}) of {}",
            done.models,
            done.versions,
            done.contents,
            bytes(done.bytes),
            done.snapshot
        )
    })
}
