//! What a connection is doing, so that one that does nothing can be ended.
//!
//! Timers per request are costly (an allocation and two visits to the timer wheel). Instead each
//! connection notes, in ticks of a coarse clock, when it last got on, and a sweep every
//! [`TICK`] ends those that take too long over a header, over taking an answer, or over nothing
//! at all. Noting costs a plain store: a watch is written by its IO thread only.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tonic::Code;

use super::traffic::Traffic;
use crate::Limits;

/// How often connections are looked at.
pub(super) const TICK: Duration = Duration::from_millis(250);

/// Ticks for which a client may go on to send a body that nobody wants.
const LINGER: u32 = 8;

/// Bytes with which an HTTP/2 client opens: the preface and the head of its settings.
const HTTP2_OPENING: usize = 24 + 9;

/// What a connection has been told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Order {
    /// Go on.
    Serve,
    /// End after the requests under way.
    Finish,
    /// End now.
    Kill,
}

/// Bounds in ticks.
pub(super) struct Patience {
    header: u32,
    idle: u32,
    write: u32,
}

impl Patience {
    pub(super) fn new(limits: &Limits) -> Self {
        Patience {
            header: ticks(limits.header_timeout),
            idle: ticks(limits.idle_timeout),
            write: ticks(limits.write_timeout),
        }
    }
}

/// A time in ticks, rounded up; one more, since the first may be over at once.
fn ticks(time: Duration) -> u32 {
    let ticks = time.as_millis().div_ceil(TICK.as_millis()) + 1;
    u32::try_from(ticks).unwrap_or(u32::MAX)
}

/// What a connection is doing. Times are ticks; 0 stands for "not".
pub(crate) struct Watch {
    now: AtomicU32,
    in_flight: AtomicU32,
    header_since: AtomicU32,
    active: AtomicU32,
    blocked_since: AtomicU32,
    order: AtomicU8,
    finishing_since: AtomicU32,
    unread: AtomicBool,
    lingering_since: AtomicU32,
    body_since: AtomicU32,
    body_until: AtomicU32,
    closed: AtomicBool,
    waker: OnceLock<Waker>,
    /// For answers that would go on: streams have tasks of their own.
    finishing: Notify,
    peer: Option<SocketAddr>,
    traffic: Arc<Traffic>,
}

impl Watch {
    /// A connection opened at tick `now`, which owes its first header from then on.
    pub(super) fn new(now: u32, peer: Option<SocketAddr>, traffic: Arc<Traffic>) -> Self {
        Watch {
            now: AtomicU32::new(now),
            in_flight: AtomicU32::new(0),
            header_since: AtomicU32::new(now),
            active: AtomicU32::new(now),
            blocked_since: AtomicU32::new(0),
            order: AtomicU8::new(Order::Serve as u8),
            finishing_since: AtomicU32::new(0),
            unread: AtomicBool::new(false),
            lingering_since: AtomicU32::new(0),
            body_since: AtomicU32::new(0),
            body_until: AtomicU32::new(0),
            closed: AtomicBool::new(false),
            waker: OnceLock::new(),
            finishing: Notify::new(),
            peer,
            traffic,
        }
    }

    /// Who is at the other end, where known.
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// Notes that a request begins; it ends when the guard is dropped.
    pub(crate) fn request(self: &Arc<Self>) -> InFlight {
        self.header_since.store(0, Relaxed);
        self.in_flight.store(self.in_flight.load(Relaxed) + 1, Relaxed);
        InFlight(self.clone())
    }

    /// Notes that a request over HTTP was answered.
    pub(crate) fn answered(&self, status: StatusCode) {
        self.traffic.response(status);
    }

    /// Notes that a gRPC call ended.
    pub(crate) fn call_ended(&self, code: Code) {
        self.traffic.call(code);
    }

    /// Notes that a request was answered before its body was read to the end, and that the rest
    /// of it is not waited for.
    pub(crate) fn leaves_body_unread(&self) {
        self.unread.store(true, Relaxed);
    }

    /// Notes that a body is waited for, which may take `allowed` from the first such note on.
    /// Tells whether that is over; the sweep wakes the connection when it is.
    pub(crate) fn awaits_body(&self, allowed: Duration) -> bool {
        let now = self.now.load(Relaxed);
        if self.body_since.load(Relaxed) == 0 {
            self.body_since.store(now, Relaxed);
        }
        let until = self.body_since.load(Relaxed).saturating_add(ticks(allowed));
        self.body_until.store(until, Relaxed);
        now >= until
    }

    /// Notes that no body is waited for any more.
    pub(crate) fn has_body(&self) {
        self.body_since.store(0, Relaxed);
        self.body_until.store(0, Relaxed);
    }

    /// Whether that was so of any.
    pub(crate) fn left_body_unread(&self) -> bool {
        self.unread.load(Relaxed)
    }

    /// Notes that nothing more is said here. The sweep ends the connection soon.
    pub(super) fn lingers(&self) {
        self.lingering_since.store(self.now.load(Relaxed), Relaxed);
    }

    /// What the connection has been told.
    pub(super) fn order(&self) -> Order {
        match self.order.load(Relaxed) {
            0 => Order::Serve,
            1 => Order::Finish,
            _ => Order::Kill,
        }
    }

    /// Tells the connection something; a stronger order stands.
    pub(super) fn tell(&self, order: Order) {
        if order > self.order() {
            self.order.store(order as u8, Relaxed);
            self.finishing_since.store(self.now.load(Relaxed), Relaxed);
            self.wake();
            self.finishing.notify_waiters();
        }
    }

    /// Whether the connection is to end after what is under way.
    pub(crate) fn is_finishing(&self) -> bool {
        self.order() >= Order::Finish
    }

    /// Waits until that is so.
    pub(crate) async fn finishing(&self) {
        let told = self.finishing.notified();
        if !self.is_finishing() {
            told.await;
        }
    }

    /// Where to wake the connection when it is told something.
    pub(super) fn wake_by(&self, waker: &Waker) {
        // The waker of a task stands for the task as long as it lives: once is enough.
        self.waker.get_or_init(|| waker.clone());
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Relaxed);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Relaxed)
    }

    /// Looks at the connection at tick `now` and ends it when it has taken too long.
    pub(super) fn sweep(&self, now: u32, patience: &Patience) {
        self.now.store(now, Relaxed);
        let over = |since: u32, bound: u32| since != 0 && now.saturating_sub(since) >= bound;
        let idle = self.in_flight.load(Relaxed) == 0;
        if over(self.blocked_since.load(Relaxed), patience.write)
            || over(self.lingering_since.load(Relaxed), LINGER)
            || (idle && over(self.header_since.load(Relaxed), patience.header))
            || (idle && over(self.leaving_since(), patience.write))
        {
            self.tell(Order::Kill);
        } else if idle && over(self.active.load(Relaxed), patience.idle) {
            self.tell(Order::Finish);
        }
        let body_until = self.body_until.load(Relaxed);
        if body_until != 0 && now >= body_until {
            self.wake();
        }
    }

    /// Since when the client has been asked to go and nothing was left to say. An HTTP/2 client
    /// that never answers would stay for ever: a graceful end waits for its answer.
    fn leaving_since(&self) -> u32 {
        match self.finishing_since.load(Relaxed) {
            0 => 0,
            since => since.max(self.active.load(Relaxed)),
        }
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }

    fn has_read(&self) {
        if self.header_since.load(Relaxed) == 0 && self.in_flight.load(Relaxed) == 0 {
            self.header_since.store(self.now.load(Relaxed), Relaxed);
        }
    }

    /// From an HTTP/2 client's opening on, only idleness counts.
    fn has_opened(&self) {
        self.header_since.store(0, Relaxed);
    }

    fn has_written(&self, blocked: bool) {
        let now = self.now.load(Relaxed);
        if !blocked {
            self.blocked_since.store(0, Relaxed);
            self.active.store(now, Relaxed);
        } else if self.blocked_since.load(Relaxed) == 0 {
            self.blocked_since.store(now, Relaxed);
        }
    }
}

/// A request under way.
pub(crate) struct InFlight(Arc<Watch>);

impl Drop for InFlight {
    fn drop(&mut self) {
        let watch = &self.0;
        watch.active.store(watch.now.load(Relaxed), Relaxed);
        watch.in_flight.store(watch.in_flight.load(Relaxed) - 1, Relaxed);
    }
}

/// A socket that notes in a [`Watch`] how it gets on.
pub(super) struct WatchedStream<'a> {
    stream: &'a mut TcpStream,
    watch: &'a Watch,
    /// False for HTTP/2, where bytes between requests are not yet a header.
    headers: bool,
    /// Bytes of an HTTP/2 client's opening that are still to come.
    opening: usize,
}

impl<'a> WatchedStream<'a> {
    pub(super) fn http1(stream: &'a mut TcpStream, watch: &'a Watch) -> Self {
        WatchedStream { stream, watch, headers: true, opening: 0 }
    }

    pub(super) fn http2(stream: &'a mut TcpStream, watch: &'a Watch) -> Self {
        WatchedStream { stream, watch, headers: false, opening: HTTP2_OPENING }
    }
}

impl AsyncRead for WatchedStream<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut *self.stream).poll_read(cx, buffer);
        let count = buffer.filled().len() - before;
        if self.headers && count > 0 {
            self.watch.has_read();
        } else if self.opening > 0 {
            self.opening = self.opening.saturating_sub(count);
            if self.opening == 0 {
                self.watch.has_opened();
            }
        }
        polled
    }
}

impl AsyncWrite for WatchedStream<'_> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let polled = Pin::new(&mut *self.stream).poll_write(cx, data);
        self.watch.has_written(polled.is_pending());
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        let polled = Pin::new(&mut *self.stream).poll_write_vectored(cx, data);
        self.watch.has_written(polled.is_pending());
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut *self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut *self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience { header: 4, idle: 12, write: 8 };

    /// The order at each tick of a connection to which nothing happens but what `then` does.
    fn orders(ticks: u32, then: impl Fn(&Watch, u32)) -> Vec<Order> {
        let watch = Watch::new(1, None, Arc::default());
        let tick = |now| {
            watch.sweep(now, &PATIENCE);
            then(&watch, now);
            watch.order()
        };
        (2..ticks).map(tick).collect()
    }

    fn first(orders: &[Order], wanted: Order) -> Option<usize> {
        orders.iter().position(|order| *order == wanted)
    }

    #[test]
    fn a_connection_that_never_opens_is_ended() {
        let orders = orders(20, |_, _| {});
        assert_eq!(first(&orders, Order::Kill), Some(3));
    }

    #[test]
    fn an_idle_client_that_does_not_go_when_asked_is_ended() {
        let orders = orders(40, |watch, now| {
            if now == 2 {
                watch.has_opened();
            }
            // The farewell is written; no answer comes.
            if watch.order() == Order::Finish && now == 13 {
                watch.has_written(false);
            }
        });
        assert_eq!(first(&orders, Order::Finish), Some(11));
        assert_eq!(first(&orders, Order::Kill), Some(19));
    }

    #[test]
    fn requests_under_way_are_waited_for() {
        let watch = Arc::new(Watch::new(1, None, Arc::default()));
        let under_way = watch.request();
        watch.tell(Order::Finish);
        (2..100).for_each(|now| watch.sweep(now, &PATIENCE));
        assert_eq!(watch.order(), Order::Finish);
        drop(under_way);
        (100..107).for_each(|now| watch.sweep(now, &PATIENCE));
        assert_eq!(watch.order(), Order::Finish);
        watch.sweep(107, &PATIENCE);
        assert_eq!(watch.order(), Order::Kill);
    }
}
