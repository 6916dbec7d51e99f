//! A request over HTTP, and what becomes of a body that nobody reads.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::EXPECT;
use http::request::Parts;
use http::{Request, Version};
use http_body::Body as _;
use hyper::body::Incoming;

use crate::io::Watch;

/// Bytes of an unread body up to which reading them is cheaper than a new connection.
const DRAINED: u64 = 1 << 20;

/// How long a client may take to send them.
const PATIENCE: Duration = Duration::from_secs(5);

/// A request as it came in. Whoever answers it may read the body, or leave it.
pub(crate) struct Inbound {
    pub(crate) head: Parts,
    /// `None` once it has been read to its end.
    pub(super) body: Option<Incoming>,
}

impl Inbound {
    pub(crate) fn new(request: Request<Incoming>) -> Self {
        let (head, body) = request.into_parts();
        Inbound { head, body: Some(body) }
    }

    /// Leaves what was not read of the body.
    ///
    /// Over HTTP/1 it stands between the client and its next request. If there is little left it
    /// is dropped as it comes in, and the connection goes on; else the connection has to end.
    /// Over HTTP/2 only the stream ends.
    pub(crate) fn leave(self, watch: &Arc<Watch>) {
        let Some(body) = self.body.filter(|body| !body.is_end_stream()) else { return };
        if self.head.version >= Version::HTTP_2 || watch.left_body_unread() {
            return;
        }
        let little = body.size_hint().upper().is_some_and(|left| left <= DRAINED);
        // Who asks first whether to send a body may well not send it after a refusal.
        if little && !self.head.headers.contains_key(EXPECT) {
            tokio::spawn(drain(body, watch.clone()));
        } else {
            watch.leaves_body_unread();
        }
    }
}

/// Drops a body as it comes in. Giving up closes the connection.
async fn drain(mut body: Incoming, watch: Arc<Watch>) {
    let _under_way = watch.request();
    let ended =
        tokio::time::timeout(PATIENCE, async { while let Some(Ok(_)) = next(&mut body).await {} });
    if ended.await.is_err() {
        watch.leaves_body_unread();
    }
}

async fn next(body: &mut Incoming) -> Option<Result<http_body::Frame<bytes::Bytes>, hyper::Error>> {
    std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await
}
