//! The one entry of all adapters.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use arc_swap::ArcSwap;
use modelyard_engine::Parallelism;
use modelyard_tensor::{AlignedBuffer, TensorView};

use crate::table::RoutingTable;
use crate::{IndexEntry, InferError, InferRequest, InferResponse, Timing, Version, VersionState};

/// Where the server stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Models are being loaded.
    Starting,
    /// Requests are answered.
    Ready,
    /// Told to stop: not ready any more, but requests are still answered.
    Draining,
    /// Requests are refused.
    Stopped,
}

/// How the core runs.
#[derive(Clone, Debug)]
pub struct ServiceConfig {
    /// Threads that run models; from [`modelyard_engine::threads::budget`] unless told.
    pub threads: usize,
    /// Whether one model that failed makes the server not ready (Triton's `--strict-readiness`).
    pub strict_readiness: bool,
}

/// The serving core.
pub struct Service {
    config: ServiceConfig,
    table: ArcSwap<RoutingTable>,
    phase: AtomicU8,
}

impl Service {
    /// A service without models, in [`Phase::Starting`].
    pub fn new(config: ServiceConfig) -> Arc<Self> {
        Arc::new(Service { config, table: ArcSwap::default(), phase: AtomicU8::new(0) })
    }

    /// The version that answers requests for `model`: the given one, or the highest that is ready.
    pub fn resolve(&self, model: &str, version: Option<u64>) -> Result<Arc<Version>, InferError> {
        let table = self.table.load();
        let versions = table
            .models
            .get(model)
            .ok_or_else(|| InferError::not_found(format!("unknown model '{model}'")))?;
        let ready = versions.iter().rev().find_map(|(number, state)| match state {
            VersionState::Ready(ready) if version.is_none_or(|wanted| wanted == *number) => {
                Some(ready.clone())
            }
            _ => None,
        });
        ready.ok_or_else(|| InferError::not_found(format!("model '{model}' is not ready")))
    }

    /// Answers a request. Dropping the future gives the request up and frees its place.
    pub async fn infer(&self, request: InferRequest) -> Result<InferResponse, InferError> {
        let version = &request.version;
        let buffers: Vec<AlignedBuffer> = request
            .inputs
            .iter()
            .map(|input| {
                let mut buffer = AlignedBuffer::zeroed(input.data.len());
                input.data.copy_to(buffer.as_mut_slice());
                buffer
            })
            .collect();
        let views: Vec<TensorView<'_>> = request
            .inputs
            .iter()
            .zip(&buffers)
            .map(|(input, buffer)| TensorView {
                data_type: input.data_type,
                shape: &input.shape,
                data: buffer.as_ref(),
            })
            .collect();
        let outputs: Vec<usize> = match request.outputs.is_empty() {
            true => (0..version.signature().outputs.len()).collect(),
            false => request.outputs.to_vec(),
        };
        let outputs = version
            .session()
            .run(&views, &outputs, Parallelism::One)
            .map_err(|error| InferError::internal(error.to_string()))?;
        Ok(InferResponse { outputs: outputs.into(), timing: Timing::default() })
    }

    /// Whether the process answers at all.
    pub fn live(&self) -> bool {
        self.phase() != Phase::Stopped
    }

    /// Whether requests may be sent here.
    pub fn ready(&self) -> bool {
        self.phase() == Phase::Ready
    }

    /// Whether this model (this version, or any) answers requests.
    pub fn model_ready(&self, model: &str, version: Option<u64>) -> bool {
        self.ready() && self.resolve(model, version).is_ok()
    }

    /// Every model's versions and where they stand, by name and number.
    pub fn index(&self) -> Vec<IndexEntry> {
        Vec::new()
    }

    /// Every version that answers, by model and number.
    pub fn versions(&self) -> Vec<Arc<Version>> {
        Vec::new()
    }

    /// Puts a version into the routing table, or replaces where it stands.
    pub fn set_version(&self, model: &str, number: u64, state: VersionState) {
        self.table.rcu(|table| {
            let mut table = RoutingTable::clone(table);
            let versions = table.models.entry(model.to_owned()).or_default();
            versions.insert(number, state.clone());
            table
        });
    }

    /// Where the server stands.
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Starting,
            1 => Phase::Ready,
            2 => Phase::Draining,
            _ => Phase::Stopped,
        }
    }

    /// Moves the server on in its life.
    pub fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Release);
    }

    /// Requests under way, waiting or running.
    pub fn in_flight(&self) -> usize {
        0
    }

    /// How the core runs.
    pub fn config(&self) -> &ServiceConfig {
        &self.config
    }
}
