//! Raw values, and the kinds of checked values they become.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// A value as written. Flags and environment variables are always text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// Text.
    Text(String),
    /// A whole number.
    Integer(i128),
    /// A number with a fraction.
    Float(f64),
    /// True or false.
    Bool(bool),
    /// Several values.
    List(Vec<Value>),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(text) => write!(f, "{text:?}"),
            Value::Integer(number) => write!(f, "{number}"),
            Value::Float(number) => write!(f, "{number}"),
            Value::Bool(value) => write!(f, "{value}"),
            Value::List(values) => {
                let values: Vec<String> = values.iter().map(ToString::to_string).collect();
                write!(f, "[{}]", values.join(", "))
            }
        }
    }
}

impl Value {
    fn text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    fn integer(&self) -> Option<u64> {
        match self {
            Value::Integer(number) => u64::try_from(*number).ok(),
            Value::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// The elements of a list; text is split at commas, so that flags can hold lists.
    fn list(&self) -> Option<Vec<Value>> {
        match self {
            Value::List(values) => Some(values.clone()),
            Value::Text(text) if text.trim().is_empty() => Some(Vec::new()),
            Value::Text(text) => {
                Some(text.split(',').map(|part| Value::Text(part.trim().to_owned())).collect())
            }
            Value::Integer(_) => Some(vec![self.clone()]),
            _ => None,
        }
    }
}

/// A kind of checked value.
pub(crate) trait Kind {
    /// What a value of this kind becomes.
    type Out;

    /// What is expected, for messages: "a duration such as \"30s\"".
    fn expected(&self) -> String;

    /// The checked value, if the raw one is right.
    fn check(&self, value: &Value) -> Option<Self::Out>;
}

/// `true` or `false`.
pub(crate) struct Switch;

impl Kind for Switch {
    type Out = bool;

    fn expected(&self) -> String {
        "true or false".into()
    }

    fn check(&self, value: &Value) -> Option<bool> {
        match value {
            Value::Bool(value) => Some(*value),
            Value::Text(text) => match text.trim().to_ascii_lowercase().as_str() {
                "true" | "1" | "yes" | "on" => Some(true),
                "false" | "0" | "no" | "off" => Some(false),
                _ => None,
            },
            _ => None,
        }
    }
}

/// A whole number within bounds.
pub(crate) struct Count {
    /// Smallest.
    pub(crate) min: u64,
    /// Largest.
    pub(crate) max: u64,
}

impl Kind for Count {
    type Out = usize;

    fn expected(&self) -> String {
        format!("a whole number from {} to {}", self.min, self.max)
    }

    fn check(&self, value: &Value) -> Option<usize> {
        let number = value.integer().filter(|number| (self.min..=self.max).contains(number))?;
        usize::try_from(number).ok()
    }
}

/// A number from 0 to 1.
pub(crate) struct Ratio;

impl Kind for Ratio {
    type Out = f64;

    fn expected(&self) -> String {
        "a number from 0 to 1".into()
    }

    fn check(&self, value: &Value) -> Option<f64> {
        let number = match value {
            Value::Float(number) => *number,
            Value::Integer(number) => *number as f64,
            Value::Text(text) => text.trim().parse().ok()?,
            _ => return None,
        };
        (0.0..=1.0).contains(&number).then_some(number)
    }
}

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

/// Where to listen: `HOST:PORT`. The host is resolved when it is bound.
pub(crate) struct Address;

impl Kind for Address {
    type Out = String;

    fn expected(&self) -> String {
        "HOST:PORT, such as \"127.0.0.1:8000\" or \"[::]:0\"".into()
    }

    fn check(&self, value: &Value) -> Option<String> {
        let text = value.text()?.trim();
        let (host, port) = text.rsplit_once(':')?;
        port.parse::<u16>().ok()?;
        let host = match host.strip_prefix('[') {
            Some(host) => host.strip_suffix(']')?,
            None if host.contains(':') => return None,
            None => host,
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._:%".contains(c);
        (!host.is_empty() && host.chars().all(plain)).then(|| text.to_owned())
    }
}

/// A file or folder; whether it is there is checked by whoever opens it.
pub(crate) struct FilePath;

impl Kind for FilePath {
    type Out = PathBuf;

    fn expected(&self) -> String {
        "a path".into()
    }

    fn check(&self, value: &Value) -> Option<PathBuf> {
        value.text().filter(|text| !text.is_empty()).map(PathBuf::from)
    }
}

/// Any text but the empty one.
pub(crate) struct Text;

impl Kind for Text {
    type Out = String;

    fn expected(&self) -> String {
        "text".into()
    }

    fn check(&self, value: &Value) -> Option<String> {
        value.text().filter(|text| !text.is_empty()).map(str::to_owned)
    }
}

/// One of a few words, each standing for a value.
pub(crate) struct Choice<T: 'static>(pub(crate) &'static [(&'static str, T)]);

impl<T: Copy> Kind for Choice<T> {
    type Out = T;

    fn expected(&self) -> String {
        let words: Vec<&str> = self.0.iter().map(|(word, _)| *word).collect();
        format!("one of {}", words.join(", "))
    }

    fn check(&self, value: &Value) -> Option<T> {
        let text = value.text()?.trim();
        self.0.iter().find(|(word, _)| word.eq_ignore_ascii_case(text)).map(|(_, value)| *value)
    }
}

/// Several values of one kind: a list, or text with commas.
pub(crate) struct ListOf<K>(pub(crate) K);

impl<K: Kind> Kind for ListOf<K> {
    type Out = Vec<K::Out>;

    fn expected(&self) -> String {
        format!("a list; each element {}", self.0.expected())
    }

    fn check(&self, value: &Value) -> Option<Vec<K::Out>> {
        value.list()?.iter().map(|value| self.0.check(value)).collect()
    }
}

/// A value, or a word that stands for none.
pub(crate) struct Maybe<K> {
    /// The word that stands for none, such as `auto`.
    pub(crate) none: &'static str,
    /// The kind otherwise.
    pub(crate) kind: K,
}

impl<K: Kind> Kind for Maybe<K> {
    type Out = Option<K::Out>;

    fn expected(&self) -> String {
        format!("{}, or \"{}\"", self.kind.expected(), self.none)
    }

    fn check(&self, value: &Value) -> Option<Option<K::Out>> {
        match value.text() {
            Some(text) if text.trim() == self.none => Some(None),
            _ => self.kind.check(value).map(Some),
        }
    }
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

    #[test]
    fn addresses() {
        for good in ["127.0.0.1:8000", "0.0.0.0:0", "[::]:8001", "localhost:65535"] {
            assert_eq!(Address.check(&text(good)).as_deref(), Some(good));
        }
        for bad in ["", "8000", ":8000", "localhost", "a:b", "::1:80", "h:65536", "h:-1", "h h:1"] {
            assert_eq!(Address.check(&text(bad)), None, "{bad}");
        }
    }

    #[test]
    fn lists_may_be_text_with_commas() {
        let kind = ListOf(Count { min: 1, max: 64 });
        assert_eq!(kind.check(&text("1, 8,16")), Some(vec![1, 8, 16]));
        assert_eq!(kind.check(&Value::List(vec![Value::Integer(4)])), Some(vec![4]));
        assert_eq!(kind.check(&text("")), Some(vec![]));
        assert_eq!(kind.check(&text("1,,2")), None);
        assert_eq!(kind.check(&text("65")), None);
    }

    #[test]
    fn a_word_stands_for_none() {
        let kind = Maybe { none: "auto", kind: Count { min: 1, max: 8 } };
        assert_eq!(kind.check(&text("auto")), Some(None));
        assert_eq!(kind.check(&Value::Integer(8)), Some(Some(8)));
        assert_eq!(kind.check(&text("automatic")), None);
    }
}
