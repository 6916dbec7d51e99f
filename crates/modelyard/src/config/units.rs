//! Kinds with units: bytes and durations.

use std::time::Duration;

use super::kind::Kind;
use super::value::Value;

/// An amount of bytes within bounds: `1048576`, `"64MiB"`, `"2 GB"`.
pub(crate) struct ByteSize {
    /// Smallest.
    pub(crate) min: u64,
    /// Largest.
    pub(crate) max: u64,
}

impl Kind for ByteSize {
    type Out = usize;

    fn expected(&self) -> String {
        format!("bytes from {} to {}, such as 1048576 or \"64MiB\"", self.min, self.max)
    }

    fn check(&self, value: &Value) -> Option<usize> {
        let bytes = match value.integer() {
            Some(bytes) => bytes,
            None => parse_bytes(value.text()?)?,
        };
        if !(self.min..=self.max).contains(&bytes) {
            return None;
        }
        usize::try_from(bytes).ok()
    }
}

fn parse_bytes(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text)?;
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "b" => 1,
        "k" | "kb" => 1000,
        "m" | "mb" => 1000 * 1000,
        "g" | "gb" => 1000 * 1000 * 1000,
        "ki" | "kib" => 1 << 10,
        "mi" | "mib" => 1 << 20,
        "gi" | "gib" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// A duration within bounds: `"30s"`, `"250ms"`, `"100us"`, `"5m"`, `"1h"`, `0`.
pub(crate) struct Span {
    /// Shortest.
    pub(crate) min: Duration,
    /// Longest.
    pub(crate) max: Duration,
}

impl Kind for Span {
    type Out = Duration;

    fn expected(&self) -> String {
        format!("a duration from {:?} to {:?}, such as \"30s\" or \"250ms\"", self.min, self.max)
    }

    fn check(&self, value: &Value) -> Option<Duration> {
        let duration = match value {
            Value::Integer(0) => Duration::ZERO,
            value => parse_duration(value.text()?)?,
        };
        (self.min..=self.max).contains(&duration).then_some(duration)
    }
}

fn parse_duration(text: &str) -> Option<Duration> {
    if text.trim() == "0" {
        return Some(Duration::ZERO);
    }
    let (number, unit) = split_unit(text)?;
    let unit_ns: f64 = match unit {
        "ns" => 1.0,
        "us" | "µs" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        "m" | "min" => 60e9,
        "h" => 3600e9,
        "d" => 86_400e9,
        _ => return None,
    };
    let nanoseconds = number.parse::<f64>().ok()? * unit_ns;
    Duration::try_from_secs_f64((nanoseconds.round()) / 1e9).ok()
}

fn split_unit(text: &str) -> Option<(&str, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(end);
    (!number.is_empty()).then(|| (number, unit.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::Text(text.into())
    }

    #[test]
    fn durations() {
        let kind = Span { min: Duration::ZERO, max: Duration::from_secs(3600) };
        let good = [
            ("30s", Duration::from_secs(30)),
            ("250ms", Duration::from_millis(250)),
            ("100 us", Duration::from_micros(100)),
            ("1.5s", Duration::from_millis(1500)),
            ("5m", Duration::from_secs(300)),
            ("0", Duration::ZERO),
        ];
        for (written, expected) in good {
            assert_eq!(kind.check(&text(written)), Some(expected), "{written}");
        }
        for bad in ["", "s", "30", "-1s", "1 fortnight", "2h", "1e400s", "..s"] {
            assert_eq!(kind.check(&text(bad)), None, "{bad}");
        }
        assert_eq!(kind.check(&Value::Integer(30)), None, "a number without a unit");
    }

    #[test]
    fn byte_sizes() {
        let kind = ByteSize { min: 1, max: 1 << 40 };
        let good = [("64MiB", 64 << 20), ("64 MB", 64_000_000), ("7", 7), ("1k", 1000)];
        for (written, expected) in good {
            assert_eq!(kind.check(&text(written)), Some(expected), "{written}");
        }
        assert_eq!(kind.check(&Value::Integer(5)), Some(5));
        for bad in ["", "0", "-1", "1.5MiB", "99999999999999999999GiB", "2048GiB", "64 bits"] {
            assert_eq!(kind.check(&text(bad)), None, "{bad}");
        }
    }
}
