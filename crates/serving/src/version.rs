//! One loaded version of one model.

use std::sync::Arc;
use std::time::SystemTime;

use modelyard_engine::{LoadError, Loaded, Session};
use modelyard_tensor::Signature;

use crate::{ModelConfig, VersionStats};

/// Names of classes, one list an output (by its position in the signature), where known.
pub type Labels = Vec<Option<Arc<[String]>>>;

/// What is needed to bring a version up, and up again after its engine panicked.
pub struct VersionSpec {
    /// Name of the model.
    pub model: String,
    /// Version number, at least 1.
    pub number: u64,
    /// How to serve it.
    pub config: ModelConfig,
    /// Class names.
    pub labels: Labels,
    /// Loads the model; called off the serving threads, more than once if the engine panics.
    pub load: Box<dyn Fn() -> Result<Loaded, LoadError> + Send + Sync>,
}

/// One loaded version of one model, with its queue and its figures.
pub struct Version {
    spec: VersionSpec,
    loaded: Loaded,
    stats: VersionStats,
    max_batch_size: usize,
    since: SystemTime,
}

impl Version {
    /// Loads a version. Blocks, perhaps for seconds.
    pub fn load(spec: VersionSpec) -> Result<Self, LoadError> {
        let loaded = (spec.load)()?;
        let batches = loaded.session.signature().has_batch_dimension();
        let max_batch_size = match spec.config.batching.max_batch_size {
            Some(size) => size,
            None if batches => 128,
            None => 0,
        };
        let stats = VersionStats::default();
        Ok(Version { spec, loaded, stats, max_batch_size, since: SystemTime::now() })
    }

    /// Name of the model.
    pub fn model(&self) -> &str {
        &self.spec.model
    }

    /// Version number.
    pub fn number(&self) -> u64 {
        self.spec.number
    }

    /// What the model takes and gives, batch dimension included.
    pub fn signature(&self) -> &Signature {
        self.loaded.session.signature()
    }

    /// Class names by output position.
    pub fn labels(&self) -> &Labels {
        &self.spec.labels
    }

    /// How it is served.
    pub fn config(&self) -> &ModelConfig {
        &self.spec.config
    }

    /// Most rows in one batch; 0 when the model takes no batches.
    pub fn max_batch_size(&self) -> usize {
        self.max_batch_size
    }

    /// Name of the engine that runs it.
    pub fn engine(&self) -> &'static str {
        self.loaded.engine
    }

    /// Its figures.
    pub fn stats(&self) -> &VersionStats {
        &self.stats
    }

    /// When it was loaded.
    pub fn since(&self) -> SystemTime {
        self.since
    }

    pub(crate) fn session(&self) -> &dyn Session {
        self.loaded.session.as_ref()
    }
}
