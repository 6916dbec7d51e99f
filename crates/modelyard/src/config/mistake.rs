//! What is wrong with a configuration: all of it, not just the first thing.

use std::fmt;

use serde::Serialize;

use super::place::Place;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mistake {
    /// Where it is written.
    pub(crate) place: Place,
    /// The key; empty when the file as a whole is wrong.
    pub(crate) key: String,
    /// The value found, as written; empty when the key itself is wrong.
    pub(crate) value: String,
    /// What is wrong, what was expected, what to do.
    pub(crate) message: String,
}

impl Mistake {
    /// A mistake in the value of a key.
    pub(crate) fn value(place: Place, key: &str, value: String, expected: &str) -> Self {
        let message = format!("expected {expected}");
        Mistake { place, key: key.to_owned(), value, message }
    }

    /// A mistake that is not about one value.
    pub(crate) fn general(place: Place, message: impl Into<String>) -> Self {
        Mistake { place, key: String::new(), value: String::new(), message: message.into() }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if !self.key.is_empty() {
            f.write_str(&self.key)?;
            if !self.value.is_empty() {
                write!(f, " = {}", self.value)?;
            }
            f.write_str(": ")?;
        }
        f.write_str(&self.message)
    }
}

impl Serialize for Mistake {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut object = serializer.serialize_struct("Mistake", 4)?;
        object.serialize_field("place", &self.place.to_string())?;
        object.serialize_field("key", &self.key)?;
        object.serialize_field("value", &self.value)?;
        object.serialize_field("message", &self.message)?;
        object.end()
    }
}

/// All that is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mistakes(pub(crate) Vec<Mistake>);

impl Mistakes {
    /// Notes one more.
    pub(crate) fn push(&mut self, mistake: Mistake) {
        self.0.push(mistake);
    }

    /// All of them in one line, for logs and the wire.
    pub(crate) fn line(&self) -> String {
        let all: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        all.join("; ")
    }

    /// The value, unless there were mistakes.
    pub(crate) fn or<T>(self, value: T) -> Result<T, Mistakes> {
        if self.0.is_empty() { Ok(value) } else { Err(self) }
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [only] => write!(f, "{only}"),
            all => {
                write!(f, "{} mistakes", all.len())?;
                all.iter().try_for_each(|mistake| write!(f, "\n  {mistake}"))
            }
        }
    }
}

impl std::error::Error for Mistakes {}

/// The name nearest to a misspelt one, if any is near.
pub(crate) fn nearest<'a>(
    wrong: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    names
        .into_iter()
        .map(|name| (strsim::jaro_winkler(wrong, name), name))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_finds_its_neighbour() {
        let names = ["http_address", "grpc_address", "drain_timeout"];
        assert_eq!(nearest("htp_address", names), Some("http_address"));
        assert_eq!(nearest("drain-timeout", names), Some("drain_timeout"));
        assert_eq!(nearest("colour", names), None);
    }
}
