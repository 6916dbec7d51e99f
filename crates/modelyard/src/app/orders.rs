//! What clients order: loading and unloading models, in `--model-control-mode explicit`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use modelyard_server::repository::{Action, Order, Orders, Overrides};
use modelyard_serving::{ErrorCode, InferError};
use tokio::task::JoinSet;

use super::controller::{Controller, Outcome};
use crate::config::ControlMode;
use crate::source::{Catalogue, Given};

/// Whoever carries orders out.
pub(super) struct Clerk {
    pub(super) controller: Arc<Controller>,
    pub(super) catalogue: Arc<Catalogue>,
    pub(super) mode: ControlMode,
    /// The models that follow the registry.
    pub(super) followed: Arc<BTreeSet<String>>,
}

impl Clerk {
    /// Takes orders for as long as this runs; several are under way at once. When it is given up,
    /// whoever waits is told that the server is stopping.
    pub(super) async fn work(self: Arc<Self>, mut orders: Orders) {
        let mut under_way = JoinSet::new();
        while let Some(order) = orders.recv().await {
            let this = self.clone();
            under_way.spawn(async move { this.carry_out(order).await });
            while under_way.try_join_next().is_some() {}
        }
    }

    async fn carry_out(&self, order: Order) {
        let Order { model, action, reply } = order;
        let done = match action {
            Action::Wake => self.wake(&model).await,
            _ if self.mode != ControlMode::Explicit => Err(self.refusal()),
            _ if self.followed.contains(&model) => Err(InferError::invalid(format!(
                "model '{model}' follows the registry: move its alias there to change what is served"
            ))),
            Action::Load(overrides) => self.load(model, overrides).await,
            Action::Unload => self.unload(&model).await,
        };
        // The client may have gone.
        let _ = reply.send(done);
    }

    fn refusal(&self) -> InferError {
        InferError::invalid(format!(
            "models are loaded and unloaded on request only with --model-control-mode explicit; \
             this server runs with '{}'",
            self.mode.name()
        ))
    }

    async fn load(&self, model: String, overrides: Overrides) -> Result<(), InferError> {
        let catalogue = self.catalogue.clone();
        let name = model.clone();
        // It reads folders and writes given files.
        let source = tokio::task::spawn_blocking(move || {
            let given = given(&name, overrides)?;
            catalogue.named(&name, given)
        });
        let source =
            source.await.map_err(|_| InferError::internal("finding the model panicked"))?;
        let Some(source) = source.map_err(InferError::invalid)? else {
            return Err(InferError::not_found(format!(
                "failed to load '{model}': there is no such model in any repository"
            )));
        };
        let outcome = self.controller.load(source).await.map_err(|_| stopping())?;
        told(&model, &outcome)
    }

    async fn wake(&self, model: &str) -> Result<(), InferError> {
        let outcome = self.controller.wake(model).await.map_err(|_| stopping())?;
        if let Some(reason) = &outcome.no_room {
            return Err(no_room(model, reason));
        }
        match outcome.failures.first() {
            // Of several versions some may have been loaded: the request says which it is for.
            Some(failure) if outcome.ready == 0 => Err(InferError::unavailable(format!(
                "version {} of model '{model}' is unavailable: {}",
                failure.version, failure.reason
            ))),
            _ => Ok(()),
        }
    }

    async fn unload(&self, model: &str) -> Result<(), InferError> {
        if !self.controller.knows(model) {
            let message = format!("failed to unload '{model}': there is no such model");
            return Err(InferError::not_found(message));
        }
        self.controller.remove(model).await.map_err(|_| stopping())?;
        Ok(())
    }
}

fn given(model: &str, overrides: Overrides) -> Result<Option<Arc<Given>>, String> {
    let Overrides { config, files } = overrides;
    if config.is_none() && files.is_empty() {
        return Ok(None);
    }
    // It becomes the name of a folder.
    crate::source::validate_name(model)?;
    let files: Vec<(&str, &[u8])> =
        files.iter().map(|(path, content)| (path.as_str(), content.as_ref())).collect();
    Given::new(model, config, &files).map(|given| Some(Arc::new(given)))
}

fn no_room(model: &str, reason: &str) -> InferError {
    let message = format!("model '{model}' cannot be loaded: {reason}");
    InferError::new(ErrorCode::OutOfMemory, message).retry_after(Duration::from_secs(1))
}

fn stopping() -> InferError {
    InferError::unavailable("the server is stopping")
}

fn told(model: &str, outcome: &Outcome) -> Result<(), InferError> {
    if let Some(reason) = &outcome.no_room {
        return Err(no_room(model, reason));
    }
    if outcome.failures.is_empty() {
        return Ok(());
    }
    let failures = outcome.failures.iter();
    let reasons: Vec<String> = failures
        .map(|failure| format!("version {} is not available: {}", failure.version, failure.reason))
        .collect();
    Err(InferError::invalid(format!("failed to load '{model}': {}", reasons.join("; "))))
}
