//! The Open Inference Protocol over gRPC, with Triton's extensions.
//!
//! | module | holds |
//! |---|---|
//! | `infer`, `stream` | `ModelInfer` and `ModelStreamInfer`: the path that has to be fast |
//! | `message`, `wire`, `parameters`, `contents`, `decode` | from a message to the core's request |
//! | `encode`, `body`, `framing`, `status` | from the core's answer to the wire |
//! | `control`, `statistics`, [`model_config`] | the other methods of the service |
//! | `observe` | what is counted, logged and traced of a call |
//! | `health` | `grpc.health.v1` |
//! | [`proto`] | the generated messages |
//!
//! # Why not tonic's server
//! tonic joins the chunks of a message in a buffer of its own, decodes every name into a string,
//! and boxes the call, the decoder and both bodies. Instructions per request in user space
//! (callgrind, 1,600 requests of 3 kB after a warm-up, 8 at a time, an engine that does nothing,
//! two runs within 0.3 %):
//!
//! | server | instructions |
//! |---|---|
//! | empty handler, tonic's whole server | 52,900 |
//! | empty handler, tonic's generated service on hyper | 50,300 |
//! | empty handler, prost on hyper's HTTP/2 | 40,700 |
//! | this module, with decoding, checks, the serving core and its figures | 50,300 |
//!
//! So what tonic would add pays for all that is done here, and no more than that: the system
//! calls are the same, and CPU time was not told apart on a busy machine. Using `h2` without
//! hyper did not clearly gain anything. The chunks of a tensor go to the batch buffer as they
//! came, and a message is read in place, which also bounds what a hostile one can cost. What has
//! no need to be fast and is ready-made (health, reflection) is tonic's.

mod body;
mod contents;
mod control;
mod decode;
mod encode;
mod framing;
mod health;
#[cfg(test)]
mod hostile;
mod infer;
mod message;
pub mod model_config;
mod observe;
mod parameters;
pub mod proto;
mod statistics;
mod status;
mod stream;
#[cfg(test)]
pub(crate) mod testing;
mod wire;

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use modelyard_serving::{ErrorCode, InferError, Service};
use tonic_health::pb::health_server::HealthServer;
use tracing::Instrument;

pub(crate) use self::body::Body;
use self::control::Control;
pub(crate) use self::framing::Room;
use self::health::ServiceHealth;
use self::infer::Inference;
use self::observe::Observed;
use self::status::refusal;
use crate::io::Watch;
use crate::repository::Repository;

/// Full name of the inference service.
const SERVICE: &str = "inference.GRPCInferenceService";

/// Every gRPC service, for all connections.
pub(crate) struct Grpc {
    inference: Arc<Inference>,
    control: Control,
    /// Services made by tonic, by the path prefix of their methods.
    others: [(&'static str, Handler); 3],
}

impl Grpc {
    pub(crate) fn new(service: Arc<Service>, room: Room, repository: Option<Repository>) -> Self {
        let inference = Arc::new(Inference {
            service: service.clone(),
            room: room.clone(),
            repository: repository.clone(),
        });
        let others = [
            ("/grpc.health.v1.Health/", handler(HealthServer::new(ServiceHealth(service.clone())))),
            (
                "/grpc.reflection.v1.ServerReflection/",
                handler(reflection().build_v1().expect("the committed descriptors are valid")),
            ),
            (
                "/grpc.reflection.v1alpha.ServerReflection/",
                handler(reflection().build_v1alpha().expect("the committed descriptors are valid")),
            ),
        ];
        Grpc { inference, control: Control { service, room, repository }, others }
    }

    /// Answers one call. Dropping the future gives the call up.
    pub(crate) async fn answer(
        &self,
        request: Request<Incoming>,
        watch: &Arc<Watch>,
    ) -> Response<Body> {
        let call = Observed::begin(&request, watch);
        let span = call.span().clone();
        let response = self.dispatch(request).instrument(span).await;
        call.answered(response)
    }

    async fn dispatch(&self, request: Request<Incoming>) -> Response<Body> {
        let content_type = request.headers().get(http::header::CONTENT_TYPE);
        if !content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc")) {
            let mut response = Response::new(Body::default());
            *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return response;
        }
        let path = request.uri().path();
        match path.strip_prefix("/inference.GRPCInferenceService/") {
            Some("ModelInfer") => self.inference.unary(request).await,
            Some("ModelStreamInfer") => stream::answer(&self.inference, request),
            Some(method) => {
                let method = method.to_owned();
                self.control.answer(&method, request).await
            }
            None => match self.others.iter().find(|(prefix, _)| path.starts_with(prefix)) {
                Some((_, handler)) => handler(request).await.map(Body::from),
                None => refusal(&InferError::new(ErrorCode::Unimplemented, "unknown service")),
            },
        }
    }
}

type Handler = Box<
    dyn Fn(Request<Incoming>) -> Pin<Box<dyn Future<Output = Response<tonic::body::Body>> + Send>>
        + Send
        + Sync,
>;

/// Hides the type of a service made by tonic.
fn handler<S>(service: S) -> Handler
where
    S: tonic::codegen::Service<
            Request<Incoming>,
            Response = Response<tonic::body::Body>,
            Error = Infallible,
            Future: Send,
        > + Clone
        + Send
        + Sync
        + 'static,
{
    Box::new(move |request| {
        let answer = service.clone().call(request);
        Box::pin(async move {
            let Ok(response) = answer.await;
            response
        })
    })
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(proto::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}
