//! Everything that is said over HTTP.

use std::convert::Infallible;
use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;
use modelyard_serving::Service;

use crate::http::Frames;
use crate::io::{Protocol, Watch};
use crate::{Limits, ServerConfig};

/// What every request handler can see.
pub(crate) struct App {
    service: Arc<Service>,
    config: ServerConfig,
}

impl App {
    pub(crate) fn new(service: Arc<Service>, config: ServerConfig) -> Self {
        App { service, config }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.config.limits
    }
}

/// Answers one request.
pub(crate) async fn answer(
    app: &App,
    request: Request<Incoming>,
    _protocol: Protocol,
    watch: &Watch,
) -> Result<Response<Frames>, Infallible> {
    let _under_way = watch.request();
    let ready = request.uri().path() == "/v2/health/ready" && app.service.ready();
    let mut response = Response::new(Frames::default());
    *response.status_mut() = if ready { http::StatusCode::OK } else { http::StatusCode::NOT_FOUND };
    Ok(response)
}
