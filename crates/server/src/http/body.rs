//! Request bodies: in the pieces they came in, bounded in size and time.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use http::{HeaderMap, Version};
use http_body::{Body as _, Frame};
use hyper::body::Incoming;
use modelyard_serving::InferError;
use modelyard_tensor::Rope;

use super::{Coding, Inbound, Refusal};
use crate::Limits;
use crate::io::Watch;

/// Bodies up to this size are not counted against the sum of all: the connections bound them.
const SMALL: usize = 64 << 10;

/// The memory that all large bodies take together, over REST and gRPC.
pub(crate) struct Bodies {
    held: AtomicUsize,
    most: usize,
}

impl Bodies {
    /// Bodies of `most` bytes together, besides small ones.
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Bodies { held: AtomicUsize::new(0), most })
    }
}

/// Room taken in [`Bodies`], given back when dropped.
#[derive(Default)]
pub(crate) struct Hold {
    bodies: Option<Arc<Bodies>>,
    bytes: usize,
}

impl Hold {
    /// Takes as much more room as a body needs of which `received` bytes are there.
    pub(crate) fn cover(
        &mut self,
        bodies: &Arc<Bodies>,
        received: usize,
    ) -> Result<(), InferError> {
        self.take(bodies, received.saturating_sub(SMALL + self.bytes))
    }

    /// Takes room for a body that this one turned out to stand for, decompressed.
    pub(crate) fn add(&mut self, bodies: &Arc<Bodies>, decoded: usize) -> Result<(), InferError> {
        self.take(bodies, decoded.saturating_sub(SMALL))
    }

    fn take(&mut self, bodies: &Arc<Bodies>, bytes: usize) -> Result<(), InferError> {
        if bytes == 0 {
            return Ok(());
        }
        let held = self.bodies.get_or_insert_with(|| bodies.clone()).held.fetch_add(bytes, Relaxed);
        self.bytes += bytes;
        if held + bytes > bodies.most {
            return Err(InferError::unavailable(format!(
                "the bodies under way take the {} bytes that they may take together",
                bodies.most
            )));
        }
        Ok(())
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(bodies) = &self.bodies {
            bodies.held.fetch_sub(self.bytes, Relaxed);
        }
    }
}

/// A body that has been read, and the room that it takes until it is dropped.
pub(crate) struct Body {
    /// The bytes, decoded.
    pub(crate) bytes: Rope,
    _hold: Hold,
}

/// Reads the body to its end and undoes its content coding.
pub(crate) async fn read(
    request: &mut Inbound,
    limits: &Limits,
    bodies: &Arc<Bodies>,
    watch: &Watch,
) -> Result<Body, Refusal> {
    let (mut body, coding) = receive(request, limits, bodies, watch).await?;
    if let Some(coding) = coding {
        let decoded = coding.decode_in_steps(&body.bytes, limits).await?;
        body._hold.add(bodies, decoded.len())?;
        body.bytes = decoded;
    }
    Ok(body)
}

async fn receive(
    request: &mut Inbound,
    limits: &Limits,
    bodies: &Arc<Bodies>,
    watch: &Watch,
) -> Result<(Body, Option<Coding>), Refusal> {
    let head = &request.head;
    let coding = content_coding(&head.headers)?;
    check_length(&head.headers, limits.body_bytes)?;
    let incoming = request.body.as_mut();
    let incoming = incoming.ok_or_else(|| InferError::internal("the body was read before"))?;
    let reader = Reader {
        incoming,
        limits,
        bodies,
        hold: Hold::default(),
        received: Rope::default(),
        pace: Pace::new(head.version, limits, watch),
    };
    let body = reader.read().await?;
    request.body = None;
    Ok((body, coding))
}

fn content_coding(headers: &HeaderMap) -> Result<Option<Coding>, Refusal> {
    let Some(value) = headers.get(CONTENT_ENCODING) else {
        return Ok(None);
    };
    let name = value.to_str().unwrap_or("?").trim();
    match name {
        "" | "identity" => Ok(None),
        name => Coding::named(name.as_bytes()).map(Some).ok_or_else(|| Refusal::coding(name)),
    }
}

fn check_length(headers: &HeaderMap, most: usize) -> Result<(), Refusal> {
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    match length.map(str::parse::<usize>) {
        Some(Ok(length)) if length <= most => Ok(()),
        Some(_) => Err(too_large(most)),
        None => Ok(()),
    }
}

fn too_large(most: usize) -> Refusal {
    Refusal::too_large(format!("the body is larger than the {most} bytes of limits.body_bytes"))
}

struct Reader<'a> {
    incoming: &'a mut Incoming,
    limits: &'a Limits,
    bodies: &'a Arc<Bodies>,
    hold: Hold,
    received: Rope,
    pace: Pace<'a>,
}

impl Reader<'_> {
    async fn read(mut self) -> Result<Body, Refusal> {
        while let Some(frame) = poll_fn(|cx| self.poll_frame(cx)).await? {
            // Trailers mean nothing here.
            let Ok(piece) = frame.into_data() else { continue };
            let grown = self.received.len() + piece.len();
            if grown > self.limits.body_bytes {
                return Err(too_large(self.limits.body_bytes));
            }
            self.hold.cover(self.bodies, grown)?;
            self.received.push(piece);
        }
        Ok(Body { bytes: self.received, _hold: self.hold })
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame<Bytes>>, Refusal>> {
        if self.incoming.is_end_stream() {
            return Poll::Ready(Ok(None));
        }
        match Pin::new(&mut *self.incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Ok(Some(frame))),
            Poll::Ready(Some(Err(error))) => {
                let message = format!("the body ended early: {error}");
                Poll::Ready(Err(Refusal::invalid(message)))
            }
            Poll::Ready(None) => Poll::Ready(Ok(None)),
            Poll::Pending => {
                let late = self.pace.poll_late(cx, self.received.len());
                late.map(|()| {
                    // Nor is the rest worth waiting for.
                    self.pace.watch.leaves_body_unread();
                    Err(Refusal::slow_body())
                })
            }
        }
    }
}

/// How slowly a body may come: some time for a start, and a rate.
///
/// The first wait for a body is part of nearly every request over HTTP/1.1, so no timer is set
/// for it: the sweep over the connections wakes one whose body is late. Streams of HTTP/2 share
/// their connection's watch and use timers.
struct Pace<'a> {
    watch: &'a Watch,
    limits: &'a Limits,
    shared: bool,
    started: Option<Instant>,
    timer: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl<'a> Pace<'a> {
    fn new(version: Version, limits: &'a Limits, watch: &'a Watch) -> Self {
        let shared = version >= Version::HTTP_2;
        Pace { watch, limits, shared, started: None, timer: None }
    }

    /// The time that a body of which `received` bytes have come may have taken.
    fn allowed(&self, received: usize) -> Duration {
        let rate = f64::from(self.limits.body_bytes_per_second.max(1));
        self.limits.body_timeout + Duration::from_secs_f64(received as f64 / rate)
    }

    /// Ready when the body is late.
    fn poll_late(&mut self, cx: &mut Context<'_>, received: usize) -> Poll<()> {
        if !self.shared {
            let late = self.watch.awaits_body(self.allowed(received));
            return if late { Poll::Ready(()) } else { Poll::Pending };
        }
        let started = *self.started.get_or_insert_with(Instant::now);
        let late = (started + self.allowed(received)).into();
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(late)));
        if timer.deadline() != late {
            timer.as_mut().reset(late);
        }
        timer.as_mut().poll(cx)
    }
}

impl Drop for Pace<'_> {
    fn drop(&mut self) {
        if !self.shared {
            self.watch.has_body();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_is_too_large_is_told_which_limit_it_meets() {
        let check = |length: &'static str| {
            let headers = [(CONTENT_LENGTH, http::HeaderValue::from_static(length))];
            check_length(&headers.into_iter().collect(), 10).map_err(|refusal| refusal.message)
        };
        check("10").unwrap();
        let message = check("11").unwrap_err();
        assert_eq!(message, "the body is larger than the 10 bytes of limits.body_bytes");
    }
}
