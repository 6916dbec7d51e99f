//! Access to the fields of one message, by name and type, with every mistake noted.

use std::path::Path;

use crate::config::Place;
use crate::config::layer::unknown;
use crate::config::mistake::{Mistake, Mistakes, nearest};
use crate::source::pbtxt::{Field, Message, Scalar, Value};

/// Where notes go while a file is read.
pub(super) struct Notes<'a> {
    pub(super) path: &'a Path,
    pub(super) mistakes: &'a mut Mistakes,
    pub(super) warnings: Vec<Mistake>,
}

impl Notes<'_> {
    pub(super) fn place(&self, line: usize) -> Place {
        // JSON has no lines.
        Place::File { path: self.path.to_owned(), line: Some(line).filter(|line| *line > 0) }
    }

    pub(super) fn wrong(&mut self, field: &Named<'_>, expected: &str) {
        let value = match &field.field.value {
            Value::Scalar(Scalar::Word(word) | Scalar::Either(word)) => word.clone(),
            Value::Scalar(Scalar::Text(text)) => String::from_utf8_lossy(text).into_owned(),
            Value::Message(_) => "{...}".into(),
        };
        let place = self.place(field.field.line);
        self.mistakes.push(Mistake::value(place, &field.path, value, expected));
    }

    pub(super) fn unused(&mut self, field: &Named<'_>, value: &str) {
        self.warnings.push(Mistake {
            place: self.place(field.field.line),
            key: field.path.clone(),
            value: value.to_owned(),
            message: "not used by this server".into(),
        });
    }
}

/// A field and its full name, such as `dynamic_batching.preferred_batch_size`.
pub(super) struct Named<'a> {
    pub(super) field: &'a Field,
    pub(super) path: String,
}

impl<'a> Named<'a> {
    pub(super) fn message(&self, notes: &mut Notes<'_>) -> Option<&'a Message> {
        match &self.field.value {
            Value::Message(message) => Some(message),
            Value::Scalar(_) => {
                notes.wrong(self, "fields in braces");
                None
            }
        }
    }

    pub(super) fn text(&self, notes: &mut Notes<'_>) -> Option<String> {
        match &self.field.value {
            Value::Scalar(Scalar::Either(text)) => return Some(text.clone()),
            Value::Scalar(Scalar::Text(text)) => {
                if let Ok(text) = String::from_utf8(text.clone()) {
                    return Some(text);
                }
            }
            _ => {}
        }
        notes.wrong(self, "text in quotes");
        None
    }

    pub(super) fn is_text(&self, text: &str) -> bool {
        match &self.field.value {
            Value::Scalar(Scalar::Either(found)) => found == text,
            Value::Scalar(Scalar::Text(found)) => found == text.as_bytes(),
            _ => false,
        }
    }

    pub(super) fn word(&self, notes: &mut Notes<'_>) -> Option<&'a str> {
        if let Value::Scalar(Scalar::Word(word) | Scalar::Either(word)) = &self.field.value {
            return Some(word);
        }
        notes.wrong(self, "a word without quotes");
        None
    }

    pub(super) fn integer(&self, notes: &mut Notes<'_>) -> Option<i64> {
        if let Value::Scalar(Scalar::Word(word) | Scalar::Either(word)) = &self.field.value
            && let Ok(number) = word.parse()
        {
            return Some(number);
        }
        notes.wrong(self, "a whole number");
        None
    }

    pub(super) fn count(&self, notes: &mut Notes<'_>) -> Option<u64> {
        let number = self.integer(notes)?;
        let count = u64::try_from(number).ok();
        if count.is_none() {
            notes.wrong(self, "a whole number that is not negative");
        }
        count
    }

    /// Whether a switch is on; used to warn only about what is asked for.
    pub(super) fn is_on(&self) -> bool {
        self.field.value != Value::Scalar(Scalar::Word("false".into()))
    }
}

/// What may stand in a message.
pub(super) struct Schema {
    /// Fields that we act on, at most once each.
    pub(super) single: &'static [&'static str],
    /// Fields that we act on, any number of times.
    pub(super) repeated: &'static [&'static str],
    /// Fields that there are, and that we do nothing about.
    pub(super) unused: &'static [&'static str],
}

impl Schema {
    /// The fields of `message` that we act on. Others are warned about or refused.
    pub(super) fn fields<'a>(
        &self,
        message: &'a Message,
        prefix: &str,
        notes: &mut Notes<'_>,
    ) -> Vec<Named<'a>> {
        let mut seen: Vec<&str> = Vec::new();
        let mut fields = Vec::new();
        for field in &message.fields {
            let name = field.name.as_str();
            let path = if prefix.is_empty() { name.into() } else { format!("{prefix}.{name}") };
            let named = Named { field, path };
            if self.repeated.contains(&name) {
                fields.push(named);
            } else if self.unused.contains(&name) {
                if named.is_on() && !seen.contains(&name) {
                    notes.unused(&named, "");
                }
            } else if !self.single.contains(&name) {
                let known = [self.single, self.repeated, self.unused].concat();
                self.refuse(&named, unknown("field", nearest(name, known)), notes);
            } else if seen.contains(&name) {
                self.refuse(&named, "given twice".into(), notes);
            } else {
                fields.push(named);
            }
            seen.push(name);
        }
        fields
    }

    fn refuse(&self, field: &Named<'_>, message: String, notes: &mut Notes<'_>) {
        let place = notes.place(field.field.line);
        let key = field.path.clone();
        notes.mistakes.push(Mistake { place, key, value: String::new(), message });
    }
}
