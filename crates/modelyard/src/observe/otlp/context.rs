//! Ids, and the W3C `traceparent` of callers.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};

/// Which trace a span belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct TraceId(pub(super) u128);

/// One span of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct SpanId(pub(super) u64);

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// What a caller says about the trace its request is part of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Caller {
    pub(super) trace: TraceId,
    pub(super) span: SpanId,
    pub(super) sampled: bool,
}

impl Caller {
    /// Reads `version-trace-span-flags`. What is not valid counts as not sent, as W3C Trace
    /// Context (section 3.2) has it.
    pub(super) fn parse(text: &str) -> Option<Caller> {
        let mut parts = text.trim().split('-');
        let version = hex(parts.next()?, 2)?;
        let trace = hex(parts.next()?, 32)?;
        let span = hex(parts.next()?, 16)?;
        let flags = hex(parts.next()?, 2)?;
        // Later versions may have more parts; version 00 has none, ff is no version.
        let whole = parts.next().is_none() || version > 0;
        if version == 0xff || trace == 0 || span == 0 || !whole {
            return None;
        }
        let span = SpanId(u64::try_from(span).ok()?);
        Some(Caller { trace: TraceId(trace), span, sampled: flags & 1 == 1 })
    }
}

/// Exactly so many lower-case hexadecimal digits.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let plain = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (text.len() == digits && text.bytes().all(plain))
        .then(|| u128::from_str_radix(text, 16).ok())
        .flatten()
}

/// Makes ids that nobody else makes: a keyed hash, with the process's random key, of a counter.
pub(super) struct Ids {
    key: RandomState,
    count: AtomicU64,
}

impl Ids {
    pub(super) fn new() -> Ids {
        Ids { key: RandomState::new(), count: AtomicU64::new(0) }
    }

    fn random(&self) -> u64 {
        self.key.hash_one(self.count.fetch_add(1, Ordering::Relaxed))
    }

    pub(super) fn trace(&self) -> TraceId {
        TraceId(u128::from(self.random()) << 64 | u128::from(self.random().max(1)))
    }

    pub(super) fn span(&self) -> SpanId {
        SpanId(self.random().max(1))
    }
}

/// Whether a trace that nobody decided about is recorded: by its id, so that all parts of a
/// system that use the same ratio agree.
pub(super) fn is_sampled(trace: TraceId, ratio: f64) -> bool {
    // The low 63 bits, as OpenTelemetry's TraceIdRatioBased does it.
    let low = (trace.0 as u64) >> 1;
    (low as f64) < ratio * (1u64 << 63) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traceparents() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let caller = Caller::parse(text).unwrap();
        assert_eq!(caller.trace.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(caller.span.to_string(), "00f067aa0ba902b7");
        assert!(caller.sampled);
        assert!(!Caller::parse(&text.replace("-01", "-00")).unwrap().sampled);
        assert!(Caller::parse(&text.replacen("00", "cc", 1)).is_some(), "a later version");
        for bad in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473é-00f067aa0ba902b7-01",
        ] {
            assert!(Caller::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn ratios() {
        let ids = Ids::new();
        let sampled = |ratio| (0..1000).filter(|_| is_sampled(ids.trace(), ratio)).count();
        assert_eq!(sampled(0.0), 0);
        assert_eq!(sampled(1.0), 1000);
        let half = sampled(0.5);
        assert!((300..700).contains(&half), "{half}");
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,80}") {
            let _ = Caller::parse(&text);
        }
    }
}
