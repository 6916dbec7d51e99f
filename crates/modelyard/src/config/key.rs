//! Keys: name, kind, default and documentation in one place each.

use super::kind::Kind;
use super::layer::{Layer, unknown};
use super::mistake::{Mistake, Mistakes, nearest};
use super::place::Place;
use super::value::Value;

/// One key of the configuration.
pub(crate) struct Key<K: 'static> {
    /// Its name; tables are joined with dots.
    pub(crate) name: &'static str,
    /// What it does, in one line.
    pub(crate) doc: &'static str,
    /// The default, written as a flag would be.
    pub(crate) default: &'static str,
    /// The kind of its values.
    pub(crate) kind: K,
}

/// A key whose kind does not matter: for listings and name checks.
pub(crate) trait AnyKey: Sync {
    /// Its name.
    fn name(&self) -> &'static str;
    /// What it does.
    fn doc(&self) -> &'static str;
    /// The default.
    fn default(&self) -> &'static str;
    /// What its values are.
    fn expected(&self) -> String;
    /// Whether the default is a value of the kind.
    #[cfg(test)]
    fn default_is_valid(&self) -> bool;
}

impl<K: Kind + Sync> AnyKey for Key<K> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn doc(&self) -> &'static str {
        self.doc.trim()
    }

    fn default(&self) -> &'static str {
        self.default
    }

    fn expected(&self) -> String {
        self.kind.expected()
    }

    #[cfg(test)]
    fn default_is_valid(&self) -> bool {
        self.kind.check(&Value::Text(self.default.into())).is_some()
    }
}

/// Declares keys and lists them all.
macro_rules! keys {
    ($all:ident: $($(#[doc = $doc:literal])+ $id:ident: $kind:ty = $name:literal, $default:literal, $value:expr;)*) => {
        $($(#[doc = $doc])+ pub(crate) static $id: $crate::config::key::Key<$kind> =
            $crate::config::key::Key {
                name: $name,
                doc: concat!($($doc),+),
                default: $default,
                kind: $value,
            };)*
        /// All keys, in the order of the documentation.
        pub(crate) static $all: &[&dyn $crate::config::key::AnyKey] = &[$(&$id),*];
    };
}
pub(crate) use keys;

/// Layers over each other; the first that has a key wins.
pub(crate) struct Stack<'a> {
    /// The layers, strongest first.
    pub(crate) layers: Vec<&'a Layer>,
}

impl Stack<'_> {
    /// The checked value of a key. A wrong value is noted, and the default goes on in its place.
    pub(crate) fn take<K: Kind>(&self, key: &Key<K>, mistakes: &mut Mistakes) -> K::Out {
        self.given(key, mistakes).unwrap_or_else(|| {
            let default = Value::Text(key.default.into());
            key.kind.check(&default).expect("a test checks that every default is valid")
        })
    }

    /// The checked value of a key, where one is given and right.
    pub(crate) fn given<K: Kind>(&self, key: &Key<K>, mistakes: &mut Mistakes) -> Option<K::Out> {
        let entry = self.layers.iter().find_map(|layer| layer.entries.get(key.name))?;
        let checked = key.kind.check(&entry.value);
        if checked.is_none() {
            mistakes.push(Mistake::value(
                entry.place.clone(),
                key.name,
                entry.value.to_string(),
                &key.kind.expected(),
            ));
        }
        checked
    }

    /// Where a key was given.
    pub(crate) fn place<K>(&self, key: &Key<K>) -> Place {
        let entry = self.layers.iter().find_map(|layer| layer.entries.get(key.name));
        entry.map_or(Place::Default, |entry| entry.place.clone())
    }
}

/// Notes the keys of a layer that nobody knows.
pub(crate) fn refuse_unknown(layer: &Layer, known: &[&'static str], mistakes: &mut Mistakes) {
    for (key, entry) in &layer.entries {
        if !known.contains(&key.as_str()) {
            let hint = nearest(key, known.iter().copied());
            mistakes.push(Mistake {
                place: entry.place.clone(),
                key: key.clone(),
                value: String::new(),
                message: unknown("key", hint),
            });
        }
    }
}
