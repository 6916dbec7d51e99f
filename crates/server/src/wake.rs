//! Models that are not in memory: whoever asks first has one loaded, all others wait for the same load.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use modelyard_serving::{ErrorCode, InferError};

use crate::Limits;
use crate::repository::{Action, Repository};

type Load = Shared<BoxFuture<'static, Result<(), InferError>>>;

/// Loads that somebody waits for.
#[derive(Default)]
pub(crate) struct Wakes {
    under_way: Mutex<HashMap<String, Load>>,
    waiting: AtomicUsize,
}

impl std::fmt::Debug for Wakes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Wakes({} waiting)", self.waiting.load(Ordering::Relaxed))
    }
}

/// A request that waits; dropped it waits no more.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Repository {
    /// Waits until a model is in memory, or cannot be; not beyond the caller's deadline.
    pub(crate) async fn wake(
        &self,
        model: &str,
        limits: &Limits,
        deadline: Option<Instant>,
    ) -> Result<(), InferError> {
        let Limits { load_timeout, load_waiting, .. } = *limits;
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        let patience = left.map_or(load_timeout, |left| left.min(load_timeout));
        let wakes = &self.wakes;
        let place = Waiting(&wakes.waiting);
        if wakes.waiting.fetch_add(1, Ordering::Relaxed) >= load_waiting {
            let message = format!("{load_waiting} requests wait for models to be loaded already");
            return Err(
                InferError::new(ErrorCode::Overloaded, message).retry_after(Duration::from_secs(1))
            );
        }
        let load = self.load_of(model);
        let loaded = tokio::time::timeout(patience, load).await;
        drop(place);
        loaded.unwrap_or_else(|_| {
            let message = format!("model '{model}' was not loaded within {patience:?}");
            Err(InferError::new(ErrorCode::DeadlineExceeded, message))
        })
    }

    /// The load under way, or a new one.
    fn load_of(&self, model: &str) -> Load {
        let mut under_way = self.wakes.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        // Ended by now, whoever waited for it.
        under_way.retain(|_, load| load.peek().is_none() && load.strong_count() != Some(1));
        if let Some(load) = under_way.get(model) {
            return load.clone();
        }
        let (repository, name) = (self.clone(), model.to_owned());
        let load = async move { repository.ask(&name, Action::Wake).await };
        let load = load.boxed().shared();
        under_way.insert(model.to_owned(), load.clone());
        load
    }
}

/// Does something with a model. Where that stands by, it is loaded first.
pub(crate) async fn awake<T>(
    repository: Option<&Repository>,
    (model, limits): (&str, &Limits),
    attempt: impl Fn() -> Result<T, InferError>,
) -> Result<T, InferError> {
    match (attempt(), repository) {
        (Err(error), Some(repository)) if error.code == ErrorCode::StandsBy => {
            repository.wake(model, limits, None).await?;
            attempt()
        }
        (done, _) => done,
    }
}
