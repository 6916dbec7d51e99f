//! What the process says about itself: logs, progress, spans.

pub(crate) mod logging;
pub(crate) mod otlp;
pub(crate) mod progress;
