//! Who serves what, by their own word.

use super::{Database, Kind, Writing, commit, count, text};
use crate::error::database;
use crate::replicas::{LEASE, Replica};
use crate::{ModelName, RegistryError};

impl Database {
    /// Replaces what a replica said before, and forgets those that have not been heard of for long.
    pub(crate) async fn report(
        &self,
        replica: &str,
        serving: &[(ModelName, u64)],
    ) -> Result<(), RegistryError> {
        let mut transaction = self.write().await?;
        // Constants only.
        let gone = sqlx::AssertSqlSafe(format!(
            "DELETE FROM replicas WHERE id = $1 OR NOT ({})",
            self.kind.is_fresh()
        ));
        sqlx::query(gone)
            .bind(replica)
            .execute(&mut *transaction)
            .await
            .map_err(database("write to"))?;
        for (model, number) in serving {
            let add = sqlx::AssertSqlSafe(format!(
                "INSERT INTO replicas (id, model, number, seen_us) VALUES ($1, $2, $3, {})",
                self.kind.now_us()
            ));
            sqlx::query(add)
                .bind(replica)
                .bind(model.as_str())
                .bind(number.cast_signed())
                .execute(&mut *transaction)
                .await
                .map_err(database("write to"))?;
        }
        commit(transaction).await
    }

    /// The replicas that serve anything, or anything of one model, by name, model and version.
    pub(crate) async fn replicas(
        &self,
        model: Option<&ModelName>,
    ) -> Result<Vec<Replica>, RegistryError> {
        let query = sqlx::AssertSqlSafe(format!(
            "SELECT id, model, number FROM replicas WHERE ($1 = '' OR model = $1) AND {} \
             ORDER BY id, model, number",
            self.kind.is_fresh()
        ));
        let rows = sqlx::query(query)
            .bind(model.map_or("", ModelName::as_str))
            .fetch_all(self.pool())
            .await
            .map_err(database("read"))?;
        let replica = |row| {
            let (id, model) = (text(row, 0)?, text(row, 1)?.parse()?);
            Ok(Replica { id, model, version: count(row, 2)? })
        };
        rows.iter().map(replica).collect()
    }

    /// The replicas that serve a version.
    pub(crate) async fn serving(
        &self,
        transaction: &mut Writing,
        (model, number): (&ModelName, u64),
    ) -> Result<Vec<String>, RegistryError> {
        let query = sqlx::AssertSqlSafe(format!(
            "SELECT id FROM replicas WHERE model = $1 AND number = $2 AND {} ORDER BY id",
            self.kind.is_fresh()
        ));
        let rows = sqlx::query(query)
            .bind(model.as_str())
            .bind(number.cast_signed())
            .fetch_all(&mut **transaction)
            .await
            .map_err(database("read"))?;
        rows.iter().map(|row| text(row, 0)).collect()
    }
}

impl Kind {
    /// The database's own clock, in microseconds since 1970: those of replicas may differ.
    fn now_us(self) -> &'static str {
        match self {
            Kind::Sqlite => "CAST(unixepoch('subsec') * 1000000 AS INTEGER)",
            Kind::Postgres => "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)",
        }
    }

    /// Whether a row's replica was heard of within the lease. A clock that jumped back makes no row
    /// live for ever.
    fn is_fresh(self) -> String {
        let (now, lease) = (self.now_us(), LEASE.as_micros());
        format!("seen_us BETWEEN {now} - {lease} AND {now} + {lease}")
    }
}
