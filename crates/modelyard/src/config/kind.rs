//! Kinds of checked values: what a raw value must be, and what it becomes.

use std::path::PathBuf;

use super::value::Value;

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
