//! The life of one connection, whatever is spoken on it.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::StatusCode;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;

use super::watch::{Order, Watch, WatchedStream};
use crate::grpc::Grpc;
use crate::rest::{self, App};
use crate::{Limits, access};

/// What is spoken on a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// REST over HTTP/1.1, or over HTTP/2 for clients that begin with its preface.
    Http,
    /// gRPC over HTTP/2.
    Grpc,
    /// `/metrics` alone.
    Metrics,
}

/// Everything that connections of one IO thread share.
pub(super) struct Speaker {
    app: Arc<App>,
    grpc: Arc<Grpc>,
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
}

impl Speaker {
    pub(super) fn new(app: Arc<App>, grpc: Arc<Grpc>) -> Self {
        let (http1, http2) = (http1_builder(app.limits()), http2_builder(app.limits()));
        Speaker { app, grpc, http1, http2 }
    }

    /// Serves a connection to its end.
    pub(super) async fn serve(&self, stream: TcpStream, protocol: Protocol, watch: &Arc<Watch>) {
        let mut life = pin!(self.speak(stream, protocol, watch));
        poll_fn(|cx| {
            watch.wake_by(cx.waker());
            if watch.order() == Order::Kill {
                return Poll::Ready(());
            }
            life.as_mut().poll(cx)
        })
        .await;
    }

    async fn speak(&self, stream: TcpStream, protocol: Protocol, watch: &Arc<Watch>) {
        match protocol {
            Protocol::Grpc => self.grpc(stream, watch).await,
            Protocol::Http | Protocol::Metrics => {
                match begins_with_http2_preface(&stream, watch).await {
                    Some(true) => self.rest_http2(stream, protocol, watch).await,
                    Some(false) => self.rest_http1(stream, protocol, watch).await,
                    None => {}
                }
            }
        }
    }

    async fn rest_http1(&self, mut stream: TcpStream, protocol: Protocol, watch: &Arc<Watch>) {
        let ended = {
            let io = TokioIo::new(WatchedStream::http1(&mut stream, watch));
            let service = service_fn(|request| rest::answer(&self.app, request, protocol, watch));
            let connection = pin!(self.http1.serve_connection(io, service));
            to_the_end(connection, watch, |connection| connection.graceful_shutdown()).await
        };
        let garbage = ended.as_ref().is_err_and(hyper::Error::is_parse);
        if let Some(error) = ended.as_ref().err().filter(|error| error.is_parse()) {
            // hyper has answered it by itself.
            let status = match error.is_parse_too_large() {
                true => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                false => StatusCode::BAD_REQUEST,
            };
            watch.answered(status);
            access::garbage(watch, status);
        }
        log_end(ended.err());
        if garbage || watch.left_body_unread() {
            linger(stream, watch).await;
        }
    }

    async fn rest_http2(&self, mut stream: TcpStream, protocol: Protocol, watch: &Arc<Watch>) {
        let io = TokioIo::new(WatchedStream::http2(&mut stream, watch));
        let (app, streams) = (self.app.clone(), watch.clone());
        let service = service_fn(move |request| {
            let (app, watch) = (app.clone(), streams.clone());
            // Boxed for the same reason as in `grpc`.
            Box::pin(async move { rest::answer(&app, request, protocol, &watch).await })
        });
        let connection = pin!(self.http2.serve_connection(io, service));
        let ended = to_the_end(connection, watch, |connection| connection.graceful_shutdown());
        log_end(ended.await.err());
    }

    async fn grpc(&self, mut stream: TcpStream, watch: &Arc<Watch>) {
        // Until the client has opened, hyper cannot be told to finish.
        if poll_fn(|cx| poll_peek(&stream, watch, &mut [0], cx)).await.is_none() {
            return;
        }
        let io = TokioIo::new(WatchedStream::http2(&mut stream, watch));
        let (grpc, streams) = (self.grpc.clone(), watch.clone());
        let service = service_fn(move |request| {
            let (grpc, watch) = (grpc.clone(), streams.clone());
            // hyper moves the future of a stream from hand to hand before it runs: boxed, that is
            // a pointer instead of the 5 kB that all states of a call take.
            Box::pin(async move { Ok::<_, Infallible>(grpc.answer(request, &watch).await) })
        });
        let connection = pin!(self.http2.serve_connection(io, service));
        let ended = to_the_end(connection, watch, |connection| connection.graceful_shutdown());
        log_end(ended.await.err());
    }
}

/// Reads on and drops what comes until the client closes or the sweep loses patience.
///
/// Closing while a client still sends would reset the connection, and the reset overtakes the
/// answer that says what was wrong.
async fn linger(mut stream: TcpStream, watch: &Watch) {
    watch.lingers();
    let mut dropped = vec![0; 16 << 10];
    if stream.shutdown().await.is_ok() {
        while let Ok(1..) = stream.read(&mut dropped).await {}
    }
}

/// Drives a connection to its end, and passes [`Order::Finish`] on to it, once.
///
/// Only after it has been polled: a request that has come in by then is under way.
async fn to_the_end<C: Future>(
    mut connection: Pin<&mut C>,
    watch: &Watch,
    finish: impl Fn(Pin<&mut C>),
) -> C::Output {
    let mut told = false;
    poll_fn(|cx| {
        let polled = connection.as_mut().poll(cx);
        if polled.is_ready() || told || watch.order() < Order::Finish {
            return polled;
        }
        told = true;
        finish(connection.as_mut());
        connection.as_mut().poll(cx)
    })
    .await
}

/// Connections end badly all the time (resets, garbage): worth a line only to who looks for it.
fn log_end(error: Option<hyper::Error>) {
    if let Some(error) = error {
        tracing::debug!(error = &error as &dyn std::error::Error, "connection ended early");
    }
}

/// Whether the client speaks HTTP/2 from the first byte on ("prior knowledge"). No method of
/// HTTP/1 begins with the preface's `PRI`. `None` when the connection has been told to end before
/// anything came.
async fn begins_with_http2_preface(stream: &TcpStream, watch: &Watch) -> Option<bool> {
    const PREFACE: &[u8] = b"PRI ";
    const PAUSE: Duration = Duration::from_millis(5);
    let mut seen = [0; PREFACE.len()];
    loop {
        match poll_fn(|cx| poll_peek(stream, watch, &mut seen, cx)).await? {
            Ok(count) if count == PREFACE.len() => return Some(seen == PREFACE),
            Ok(1..) if watch.is_finishing() => return None,
            Ok(count) if count > 0 && PREFACE.starts_with(&seen[..count]) => {}
            _ => return Some(false),
        }
        // Too few bytes to tell, and peeking again would give the same ones at once. The sweep
        // ends clients that leave it at that.
        tokio::time::sleep(PAUSE).await;
    }
}

/// Looks at the first bytes; `None` when there are none yet and none are to come.
fn poll_peek(
    stream: &TcpStream,
    watch: &Watch,
    seen: &mut [u8],
    cx: &mut Context<'_>,
) -> Poll<Option<std::io::Result<usize>>> {
    match stream.poll_peek(cx, &mut ReadBuf::new(seen)) {
        Poll::Pending if watch.order() >= Order::Finish => Poll::Ready(None),
        polled => polled.map(Some),
    }
}

fn http1_builder(limits: &Limits) -> http1::Builder {
    // A body is kept in the pieces it was read in, and hyper would make them as large as 400 kB,
    // the last ones mostly empty.
    const READ_BYTES: usize = 32 << 10;
    let mut builder = http1::Builder::new();
    builder
        .half_close(true)
        .max_buf_size(READ_BYTES.max(limits.header_bytes))
        // Holds answers back while part of the next request, or garbage, is in the buffer.
        .pipeline_flush(false)
        .max_headers(limits.header_count)
        .max_header_size(limits.header_bytes)
        // The sweep bounds the header's time.
        .header_read_timeout(None);
    builder
}

fn http2_builder(limits: &Limits) -> http2::Builder<TokioExecutor> {
    const STREAM_WINDOW: u32 = 1 << 20;
    const CONNECTION_WINDOW: u32 = 4 << 20;
    const FRAME: u32 = 64 << 10;
    // A stream that waits for a client which is gone would never count as idle.
    const PING_AFTER: Duration = Duration::from_secs(60);
    const PING_TIMEOUT: Duration = Duration::from_secs(20);
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_AFTER)
        .keep_alive_timeout(PING_TIMEOUT)
        .max_concurrent_streams(limits.concurrent_streams)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME);
    builder
}
