//! Says when to look at a registry again.
//!
//! Looking is what counts: PostgreSQL's notifications only make it sooner, and one that is lost costs the
//! interval. SQLite has none.

use std::time::Duration;

use sqlx::postgres::PgListener;

use crate::Registry;
use crate::database::Url;
use crate::database::schema::CHANNEL;

/// Says when to look again.
pub struct Wake {
    /// Where notifications come from, if any do.
    url: Option<Url>,
    listener: Option<Listener>,
    interval: Duration,
}

/// A connection on which the database tells of changes in one schema.
struct Listener {
    connection: PgListener,
    schema: String,
}

/// Why it is time to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// The database said that something changed.
    Told,
    /// The interval is over.
    Polled,
}

impl Registry {
    /// Says when to look again: when something changed, and at every interval whatever was said.
    pub fn wake(&self, interval: Duration) -> Wake {
        Wake { url: self.database.url(), listener: None, interval }
    }
}

impl Wake {
    /// Waits until it is time to look. May be dropped while it waits.
    pub async fn next(&mut self) -> Woken {
        let Some(url) = self.url.clone() else {
            tokio::time::sleep(self.interval).await;
            return Woken::Polled;
        };
        let interval = self.interval;
        match tokio::time::timeout(interval, self.told(&url)).await {
            Ok(()) => Woken::Told,
            Err(_) => Woken::Polled,
        }
    }

    /// Returns when the database says that something changed. While it cannot be reached, never.
    async fn told(&mut self, url: &Url) {
        let Some(listener) = &mut self.listener else {
            match listen(url).await {
                // Whatever happened before this connection was not told: look at once.
                Ok(listener) => return self.listener = Some(listener),
                Err(_) => return std::future::pending().await,
            }
        };
        if listener.told().await.is_err() {
            self.listener = None;
            std::future::pending().await
        }
    }
}

impl Listener {
    /// Returns when something changed. There may be other registries in other schemas.
    async fn told(&mut self) -> Result<(), sqlx::Error> {
        while self.connection.recv().await?.payload() != self.schema {}
        // Of many changes at once the first is enough.
        while self.connection.next_buffered().is_some() {}
        Ok(())
    }
}

async fn listen(url: &Url) -> Result<Listener, sqlx::Error> {
    let mut connection = PgListener::connect(url.secret()).await?;
    connection.listen(CHANNEL).await?;
    let schema = sqlx::query_scalar("SELECT CAST(current_schema() AS TEXT)");
    let schema = schema.fetch_one(&mut connection).await?;
    Ok(Listener { connection, schema })
}
