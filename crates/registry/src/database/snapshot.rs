//! All of a database as lines that any database can be filled from.

use super::blobs::{self, Blob, blob};
use super::events::{self, Action, Actor, Change, event};
use super::publish::{self, Entry};
use super::versions::{Version, version};
use super::{Database, Kind, Writing, commit, count, text};
use crate::backup::snapshot::Line;
use crate::error::database;
use crate::seal::Seal;
use crate::{Manifest, ModelName, RegistryError};

/// Lines of the log that are read at once.
const PAGE: i64 = 1_000;

impl Database {
    /// Gives all that is known, as it is at one moment. Contents that no version has are left out.
    pub(crate) async fn dump(
        &self,
        mut write: impl FnMut(&Line) -> Result<(), RegistryError>,
    ) -> Result<(), RegistryError> {
        let mut transaction = self.snapshot().await?;
        let reading = &mut transaction;
        let rows = sqlx::query(
            "SELECT sha256, bytes, place, seal FROM blobs WHERE EXISTS \
             (SELECT 1 FROM version_blobs WHERE version_blobs.sha256 = blobs.sha256) ORDER BY sha256",
        );
        let rows = rows.fetch_all(&mut **reading).await.map_err(database("read"))?;
        for row in &rows {
            let Blob { sha256, bytes, place, seal } = blob(row)?;
            write(&Line::Content { sha256, bytes, place, seal: Seal::parse(&seal)? })?;
        }
        let rows = sqlx::query("SELECT name, next_version FROM models ORDER BY name");
        let rows = rows.fetch_all(&mut **reading).await.map_err(database("read"))?;
        for row in &rows {
            let (name, next_version): (ModelName, u64) = (text(row, 0)?.parse()?, count(row, 1)?);
            write(&Line::Model { name: name.clone(), next_version })?;
            dump_versions(reading, (&name, next_version), &mut write).await?;
        }
        let rows = sqlx::query(
            "SELECT model, name, coalesce(number, 0), epoch FROM aliases ORDER BY model, name",
        );
        let rows = rows.fetch_all(&mut **reading).await.map_err(database("read"))?;
        for row in &rows {
            let version = Some(count(row, 2)?).filter(|version| *version > 0);
            let (model, name) = (text(row, 0)?.parse()?, text(row, 1)?.parse()?);
            write(&Line::Alias { model, name, version, epoch: count(row, 3)? })?;
        }
        dump_events(reading, &mut write).await
    }

    /// Fills a database that is empty. All of it becomes visible at once, or nothing.
    pub(crate) async fn load(
        &self,
        lines: impl Iterator<Item = Result<Line, RegistryError>>,
        (actor, snapshot): (&Actor, &str),
    ) -> Result<(), RegistryError> {
        let mut transaction = self.write().await?;
        if self.kind == Kind::Postgres {
            let lock = sqlx::raw_sql("LOCK TABLE models, events IN EXCLUSIVE MODE");
            lock.execute(&mut *transaction).await.map_err(database("lock"))?;
        }
        refuse_filled(&mut transaction).await?;
        for line in lines {
            load_line(&mut transaction, line?, actor).await?;
        }
        let change = Change { now: snapshot, ..Change::default() };
        events::add(&mut transaction, actor, (Action::Recover, change)).await?;
        commit(transaction).await
    }

    /// Refuses a database that is not empty.
    pub(crate) async fn require_empty(&self) -> Result<(), RegistryError> {
        refuse_filled(&mut self.snapshot().await?).await
    }
}

async fn dump_versions(
    reading: &mut Writing,
    (model, next_version): (&ModelName, u64),
    write: &mut impl FnMut(&Line) -> Result<(), RegistryError>,
) -> Result<(), RegistryError> {
    // One by one: manifests may be large.
    for number in 1..next_version {
        let row = sqlx::query(
            "SELECT model, number, manifest, digest, signatures, state FROM versions \
             WHERE model = $1 AND number = $2",
        );
        let row = row.bind(model.as_str()).bind(number.cast_signed());
        let row = row.fetch_optional(&mut **reading).await.map_err(database("read"))?;
        let Some(row) = row else { continue };
        let Version { bytes, signatures, state, .. } = version(&row)?;
        let manifest = String::from_utf8(bytes).map_err(|_| {
            RegistryError::Untrusted(format!("the manifest of '{model}:{number}' is no text"))
        })?;
        write(&Line::Version { manifest, signatures, state })?;
    }
    Ok(())
}

async fn dump_events(
    reading: &mut Writing,
    write: &mut impl FnMut(&Line) -> Result<(), RegistryError>,
) -> Result<(), RegistryError> {
    let mut last = i64::MIN;
    loop {
        let rows = sqlx::query(
            "SELECT id, at_us, actor, action, model, subject, was, now, why FROM events \
             WHERE id > $1 ORDER BY id LIMIT $2",
        );
        let rows = rows.bind(last).bind(PAGE).fetch_all(&mut **reading).await;
        let rows = rows.map_err(database("read"))?;
        for row in &rows {
            let event = event(row)?;
            last = event.id;
            write(&Line::Event(event))?;
        }
        if rows.is_empty() {
            return Ok(());
        }
    }
}

async fn refuse_filled(transaction: &mut Writing) -> Result<(), RegistryError> {
    let query = "SELECT (SELECT count(*) FROM models) + (SELECT count(*) FROM events)";
    let row = sqlx::query(query).fetch_one(&mut **transaction).await.map_err(database("read"))?;
    match count(&row, 0)? {
        0 => Ok(()),
        _ => Err(RegistryError::Conflict(
            "the registry is not empty: restore into one that is not there yet".into(),
        )),
    }
}

async fn load_line(
    transaction: &mut Writing,
    line: Line,
    actor: &Actor,
) -> Result<(), RegistryError> {
    match line {
        Line::Model { name, next_version } => {
            let query = sqlx::query("INSERT INTO models (name, next_version) VALUES ($1, $2)");
            let query = query.bind(name.as_str().to_owned()).bind(next_version.cast_signed());
            query.execute(&mut **transaction).await.map_err(database("write to"))?;
        }
        Line::Version { manifest, signatures, state } => {
            let bytes = manifest.into_bytes();
            let manifest = Manifest::decode(&bytes)?;
            let entry = Entry { manifest, bytes, signatures, state };
            publish::insert(transaction, &entry, actor.now_us).await?;
        }
        Line::Content { sha256, bytes, place, seal } => {
            let seal = seal.map(|seal| seal.encode()).transpose()?.unwrap_or_default();
            let blob = Blob { sha256, bytes, place, seal };
            blobs::add(transaction, &blob, actor.now_us).await?;
        }
        Line::Alias { model, name, version, epoch } => {
            let query = sqlx::query(
                "INSERT INTO aliases (model, name, number, epoch) VALUES ($1, $2, nullif($3, 0), $4)",
            );
            let query = query.bind(model.as_str().to_owned()).bind(name.as_str().to_owned());
            let query = query.bind(version.unwrap_or(0).cast_signed()).bind(epoch.cast_signed());
            query.execute(&mut **transaction).await.map_err(database("write to"))?;
        }
        Line::Event(event) => events::insert(transaction, &event).await?,
        Line::Head { .. } | Line::End { .. } => {}
    }
    Ok(())
}
