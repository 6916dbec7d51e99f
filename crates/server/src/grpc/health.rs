//! `grpc.health.v1`: asked anew at every call, so that it never lags behind.
//!
//! The empty name and the inference service stand for the server; other names are models.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use modelyard_serving::Service;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::SERVICE;

/// How often a watcher's answer is looked at anew.
pub(super) const PERIOD: Duration = Duration::from_millis(200);

/// The health of the server and its models.
pub(super) struct ServiceHealth(pub(super) Arc<Service>);

impl ServiceHealth {
    fn of(&self, name: &str) -> ServingStatus {
        let service = &self.0;
        let serving = match name {
            "" | SERVICE => service.ready(),
            model if service.model_ready(model, None) => true,
            model if service.models().iter().any(|known| known == model) => false,
            _ => return ServingStatus::ServiceUnknown,
        };
        if serving { ServingStatus::Serving } else { ServingStatus::NotServing }
    }
}

#[tonic::async_trait]
impl Health for ServiceHealth {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        match self.of(&request.get_ref().service) {
            ServingStatus::ServiceUnknown => Err(Status::not_found("unknown service or model")),
            known => Ok(Response::new(HealthCheckResponse { status: known.into() })),
        }
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let watcher = Watcher {
            health: ServiceHealth(self.0.clone()),
            name: request.into_inner().service,
            told: None,
        };
        let changes = futures_util::stream::unfold(watcher, |mut watcher| async {
            let status = watcher.change().await.into();
            Some((Ok(HealthCheckResponse { status }), watcher))
        });
        Ok(Response::new(Box::pin(changes)))
    }
}

struct Watcher {
    health: ServiceHealth,
    name: String,
    told: Option<ServingStatus>,
}

impl Watcher {
    /// The status, once it is another than told before.
    async fn change(&mut self) -> ServingStatus {
        loop {
            let status = self.health.of(&self.name);
            if self.told.replace(status) != Some(status) {
                return status;
            }
            tokio::time::sleep(PERIOD).await;
        }
    }
}
