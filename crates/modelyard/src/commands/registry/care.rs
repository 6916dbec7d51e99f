//! Keeping a registry in order.

use std::time::Duration;

use anyhow::anyhow;
use modelyard_registry::{FaultKind, Fsck};

use super::place::{OpenDesk, coded};
use super::text::bytes;
use crate::cli::duration;
use crate::exit::Exit;

/// Remove contents that no version has any more
#[derive(clap::Args)]
pub(super) struct GcArgs {
    /// Keep what was stored more recently than this: somebody may be publishing it
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = duration)]
    grace: Duration,
}

/// Check everything, and remove what processes that died have left
///
/// Reads every content. Exit code 3 where a version is damaged: what is missing comes back only from a
/// backup, or by publishing it again.
#[derive(clap::Args)]
pub(super) struct FsckArgs {
    /// Remove leftovers
    #[arg(long)]
    repair: bool,
    /// Leave what was stored more recently than this: somebody may be publishing it
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = duration)]
    grace: Duration,
}

/// Encrypt contents by another key, without touching them
///
/// The first --encryption-key is the new one; those that encrypt now follow it. What was stored before there
/// was a key stays as it is.
#[derive(clap::Args)]
pub(super) struct RekeyArgs {}

pub(super) async fn rekey(_: &RekeyArgs, desk: &OpenDesk) -> anyhow::Result<()> {
    let done = desk.registry.rekey(&desk.actor).await.map_err(coded)?;
    desk.tell(&done, || {
        let mut text = format!("key {} encrypts {} more contents", done.key, done.changed);
        if done.unchanged > 0 {
            text.push_str(&format!(", and {} as before", done.unchanged));
        }
        if done.open > 0 {
            text.push_str(&format!("; {} are not encrypted", done.open));
        }
        text
    })
}

pub(super) async fn gc(args: &GcArgs, desk: &OpenDesk) -> anyhow::Result<()> {
    let collected = desk.registry.collect(args.grace, &desk.actor).await.map_err(coded)?;
    desk.tell(&collected, || {
        format!("removed {} contents, {}", collected.contents, bytes(collected.bytes))
    })
}

pub(super) async fn fsck(args: &FsckArgs, desk: &OpenDesk) -> anyhow::Result<()> {
    let how = (args.repair, args.grace);
    let found = desk.registry.fsck(how, &desk.actor).await.map_err(coded)?;
    desk.tell(&found, || text(&found))?;
    let damaged = found.faults.iter().filter(|fault| fault.kind == FaultKind::Damage).count();
    match damaged {
        0 => Ok(()),
        damaged => Err(Exit::Model.coded(anyhow!("{damaged} faults make versions unusable"))),
    }
}

fn text(found: &Fsck) -> String {
    let mut text = format!(
        "{} models, {} versions, {} contents ({})\n",
        found.models,
        found.versions,
        found.contents,
        bytes(found.bytes)
    );
    for fault in &found.faults {
        let kind = match (fault.kind, fault.mended) {
            (FaultKind::Damage, _) => "damaged",
            (FaultKind::Leftover, true) => "removed",
            (FaultKind::Leftover, false) => "left over",
        };
        text.push_str(&format!("{kind}  {}: {}\n", fault.subject, fault.text));
    }
    for (key, contents) in &found.sealed {
        text.push_str(&format!(
            "{contents} contents are encrypted by key {key}, which was not given: only what lies there was \
             checked\n"
        ));
    }
    let left = found.faults.iter().filter(|fault| fault.kind == FaultKind::Leftover);
    if left.clone().count() > 0 && left.clone().all(|fault| !fault.mended) {
        text.push_str("(--repair removes what is left over)\n");
    }
    text
}
