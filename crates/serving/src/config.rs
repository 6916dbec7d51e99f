//! How one model is served. Raw forms (`model.toml`, `config.pbtxt`) are read elsewhere.

use std::time::Duration;

/// How one model is served: checked values with defaults that need no thought.
#[derive(Clone, Debug)]
pub struct ModelConfig {
    /// How requests are put together.
    pub batching: BatchingConfig,
    /// How requests wait.
    pub queue: QueueConfig,
    /// Batches of this model that run at once; `None` means as many as there are threads.
    pub instances: Option<usize>,
    /// Share of its requests that is recorded, 0 to 1; `None` is the recorder's own.
    pub tape_sample: Option<f64>,
}

/// How requests are put together.
#[derive(Clone, Debug)]
pub struct BatchingConfig {
    /// Most rows in one batch. `None` means: as many as pay, when the model takes batches;
    /// 0 means that the model has no batch dimension, as in Triton. A model whose rows were seen
    /// to depend on each other takes requests of so many rows, but each runs alone.
    pub max_batch_size: Option<usize>,
    /// Sizes to prefer when waiting at all.
    pub preferred_batch_sizes: Vec<usize>,
    /// How long a batch may wait for more rows. Zero serves at once.
    pub max_queue_delay: Duration,
}

/// How requests wait.
#[derive(Clone, Debug)]
pub struct QueueConfig {
    /// Most requests waiting; one more is refused.
    pub max_requests: usize,
    /// Most bytes of inputs waiting; more are refused.
    pub max_bytes: usize,
    /// Deadline of requests that bring none.
    pub default_timeout: Option<Duration>,
}

impl Default for ModelConfig {
    fn default() -> Self {
        ModelConfig {
            batching: BatchingConfig {
                max_batch_size: None,
                preferred_batch_sizes: Vec::new(),
                max_queue_delay: Duration::ZERO,
            },
            queue: QueueConfig { max_requests: 1024, max_bytes: 256 << 20, default_timeout: None },
            instances: None,
            tape_sample: None,
        }
    }
}
