//! One caller: what sends a request and waits for its answer, and how that can fail.

use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::time::Sleep;

/// Sends one request at a time over one transport.
///
/// # Contract
/// * `call` resolves when the whole answer has arrived, or when it is known that none will.
/// * After a failure the next `call` starts afresh (reconnects); a caller that cannot connect
///   waits a little before it says so, lest the generator spins.
/// * `call` may be dropped at any time; `abandon` is called then.
pub(crate) trait Caller {
    /// Sends the prepared request with this number.
    async fn call(&mut self, request: usize) -> Result<(), Failure>;

    /// The call under way was given up: whatever it left behind is unusable.
    fn abandon(&mut self);
}

/// Why a request got no good answer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Failure {
    /// The server said that it cannot take more: HTTP 429 and 503, gRPC RESOURCE_EXHAUSTED and
    /// UNAVAILABLE, the core's `Overloaded` and `Unavailable`.
    Refused(Answer),
    /// The server answered something else than success.
    Answered(Answer),
    /// No connection.
    Connect(std::io::ErrorKind),
    /// The connection broke off.
    Broken(std::io::ErrorKind),
    /// The answer does not follow the protocol.
    Malformed(&'static str),
    /// No answer in time.
    Timeout,
    /// Open loop: no connection was free before the end of the measurement.
    Unsent,
}

/// An answer that is not success.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Answer {
    /// An HTTP status.
    Http(u16),
    /// A gRPC status.
    Grpc(u16),
    /// An error of the core or of the engine.
    InProcess(String),
}

impl Failure {
    /// A failure by HTTP status.
    pub(crate) fn http(status: u16) -> Self {
        match status {
            429 | 503 => Failure::Refused(Answer::Http(status)),
            _ => Failure::Answered(Answer::Http(status)),
        }
    }

    /// A failure by gRPC status.
    pub(crate) fn grpc(status: u16) -> Self {
        match status {
            8 | 14 => Failure::Refused(Answer::Grpc(status)),
            _ => Failure::Answered(Answer::Grpc(status)),
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answer::Http(status) => write!(f, "HTTP {status}"),
            Answer::Grpc(status) => write!(f, "gRPC status {status}"),
            Answer::InProcess(message) => f.write_str(message),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Refused(answer) => write!(f, "refused ({answer})"),
            Failure::Answered(answer) => write!(f, "{answer}"),
            Failure::Connect(kind) => write!(f, "no connection ({kind})"),
            Failure::Broken(kind) => write!(f, "connection broke off ({kind})"),
            Failure::Malformed(what) => write!(f, "malformed answer ({what})"),
            Failure::Timeout => f.write_str("timeout"),
            Failure::Unsent => f.write_str("not sent before the end"),
        }
    }
}

/// Gives up calls that take longer than the timeout, without setting a timer for each.
///
/// The one timer is only looked at while a call waits, and moved on when it fires too early: a
/// few nanoseconds a call instead of a timer registration.
pub(crate) struct Watchdog {
    timeout: Duration,
    timer: Pin<Box<Sleep>>,
}

impl Watchdog {
    /// A watchdog with this timeout. Needs a tokio runtime around it.
    pub(crate) fn new(timeout: Duration) -> Self {
        Watchdog { timeout, timer: Box::pin(tokio::time::sleep(timeout)) }
    }

    /// Calls, or says [`Failure::Timeout`] when the answer is not there `timeout` after `begin`.
    pub(crate) async fn call<C: Caller>(
        &mut self,
        caller: &mut C,
        request: usize,
        begin: Instant,
    ) -> Result<(), Failure> {
        let deadline = tokio::time::Instant::from_std(begin + self.timeout);
        let answer = self.race(pin!(caller.call(request)), deadline).await;
        answer.unwrap_or_else(|| {
            caller.abandon();
            Err(Failure::Timeout)
        })
    }

    async fn race<T>(
        &mut self,
        mut call: Pin<&mut impl Future<Output = T>>,
        deadline: tokio::time::Instant,
    ) -> Option<T> {
        std::future::poll_fn(|context| {
            if let Poll::Ready(answer) = call.as_mut().poll(context) {
                return Poll::Ready(Some(answer));
            }
            while self.timer.as_mut().poll(context).is_ready() {
                if tokio::time::Instant::now() >= deadline {
                    return Poll::Ready(None);
                }
                self.timer.as_mut().reset(deadline);
            }
            Poll::Pending
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Slow(Duration, bool);

    impl Caller for Slow {
        async fn call(&mut self, _request: usize) -> Result<(), Failure> {
            tokio::time::sleep(self.0).await;
            Ok(())
        }

        fn abandon(&mut self) {
            self.1 = true;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_answer_is_a_timeout_and_an_early_one_is_not() {
        let mut watchdog = Watchdog::new(Duration::from_secs(1));
        let mut slow = Slow(Duration::from_millis(600), false);
        for _ in 0..3 {
            // The one timer fires during the second call, and must not end it.
            let begin = tokio::time::Instant::now().into_std();
            assert_eq!(watchdog.call(&mut slow, 0, begin).await, Ok(()));
        }
        slow.0 = Duration::from_secs(2);
        let begin = tokio::time::Instant::now().into_std();
        assert_eq!(watchdog.call(&mut slow, 0, begin).await, Err(Failure::Timeout));
        assert!(slow.1, "the caller was not told");
    }

    #[test]
    fn refusals_are_told_from_errors() {
        assert!(matches!(Failure::http(503), Failure::Refused(_)));
        assert!(matches!(Failure::http(500), Failure::Answered(_)));
        assert!(matches!(Failure::grpc(8), Failure::Refused(_)));
        assert_eq!(Failure::grpc(3).to_string(), "gRPC status 3");
    }
}
