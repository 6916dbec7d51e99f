//! The Open Inference Protocol over gRPC, with Triton's extensions.

pub mod model_config;
pub mod proto;
#[cfg(test)]
pub(crate) mod testing;

use std::sync::Arc;

use modelyard_serving::Service;
use tonic::service::Routes;

use crate::Limits;

/// Every gRPC service, for one connection after another.
pub(crate) fn routes(_service: &Arc<Service>, _limits: &Limits) -> Routes {
    Routes::default()
}
