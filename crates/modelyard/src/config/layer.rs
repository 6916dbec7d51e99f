//! One source of raw values: a file, the environment, the flags. Layers are stacked, the first
//! that has a key wins.

use std::collections::BTreeMap;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::mistake::{Mistake, Mistakes};
use super::place::Place;
use super::value::Value;

/// The largest configuration file that is read.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// A raw value and where it was written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    /// The value.
    pub(crate) value: Value,
    /// Where it was written.
    pub(crate) place: Place,
}

/// Raw values by key; tables are joined with dots (`log.level`).
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Layer {
    /// The values.
    pub(crate) entries: BTreeMap<String, Entry>,
}

impl Layer {
    /// Adds a value; a later one replaces an earlier one.
    pub(crate) fn insert(&mut self, key: impl Into<String>, value: Value, place: Place) {
        self.entries.insert(key.into(), Entry { value, place });
    }

    /// The entries below `prefix`, without it.
    pub(crate) fn under(&self, prefix: &str) -> Layer {
        let below = |key: &String| Some(key.strip_prefix(prefix)?.strip_prefix('.')?.to_owned());
        let entries = self.entries.iter();
        Layer {
            entries: entries
                .filter_map(|(key, entry)| Some((below(key)?, entry.clone())))
                .collect(),
        }
    }

    /// Reads a TOML file. Syntax mistakes are noted, what could be read is kept.
    pub(crate) fn from_file(path: &Path, mistakes: &mut Mistakes) -> Layer {
        let place = Place::File { path: path.to_owned(), line: None };
        match read_text(path) {
            Ok(text) => Layer::from_toml(&text, path, mistakes),
            Err(message) => {
                mistakes.push(Mistake::general(place, message));
                Layer::default()
            }
        }
    }

    /// Reads TOML text that came from `path`.
    pub(crate) fn from_toml(text: &str, path: &Path, mistakes: &mut Mistakes) -> Layer {
        let (table, mut errors) = DeTable::parse_recoverable(text);
        errors.sort_by_key(|error| error.span().map_or(0, |span| span.start));
        let line = |offset: usize| Place::File {
            path: path.to_owned(),
            line: Some(1 + text.as_bytes().iter().take(offset).filter(|b| **b == b'\n').count()),
        };
        for error in errors {
            let offset = error.span().map_or(0, |span| span.start);
            mistakes.push(Mistake::general(line(offset), error.message()));
        }
        let mut layer = Layer::default();
        flatten(table.get_ref(), "", &line, &mut layer, mistakes);
        layer
    }

    /// Reads `MODELYARD_*` variables: `MODELYARD_LOG_LEVEL` is `log.level`. `keys` are the keys
    /// there are.
    pub(crate) fn from_environment(
        variables: impl IntoIterator<Item = (String, String)>,
        keys: &[&'static str],
        mistakes: &mut Mistakes,
    ) -> Layer {
        let names: BTreeMap<String, &str> =
            keys.iter().map(|key| (environment_name(key), *key)).collect();
        let mut layer = Layer::default();
        for (name, value) in variables {
            if !name.starts_with("MODELYARD_") || OF_FLAGS.contains(&name.as_str()) {
                continue;
            }
            let place = Place::Environment(name.clone());
            match names.get(&name) {
                Some(key) => layer.insert(*key, Value::Text(value), place),
                None if is_service_link(&name, &value) => {}
                None => {
                    let known = names.keys().map(String::as_str);
                    let hint = super::mistake::nearest(&name, known);
                    mistakes.push(Mistake::general(place, unknown("variable", hint)));
                }
            }
        }
        layer
    }
}

/// Variables that stand for flags of commands and are no keys of the configuration.
const OF_FLAGS: [&str; 6] = [
    "MODELYARD_ACTOR",
    "MODELYARD_CONFIG",
    "MODELYARD_REGISTRY",
    "MODELYARD_REGISTRY_CONTENTS",
    "MODELYARD_REGISTRY_ENCRYPTION_KEY",
    "MODELYARD_SIGNING_KEY",
];

/// Reads a small text file, or says what stands against it.
pub(crate) fn read_text(path: &Path) -> Result<String, String> {
    let size = std::fs::metadata(path).map_err(|error| format!("failed to read: {error}"))?.len();
    if size > MAX_FILE_BYTES {
        return Err(format!("expected at most {MAX_FILE_BYTES} bytes, found {size}"));
    }
    std::fs::read_to_string(path).map_err(|error| format!("failed to read: {error}"))
}

/// "unknown key, did you mean ...".
pub(crate) fn unknown(what: &str, hint: Option<&str>) -> String {
    match hint {
        Some(hint) => format!("unknown {what}, did you mean '{hint}'?"),
        None => format!("unknown {what}"),
    }
}

/// The environment variable for a key.
pub(crate) fn environment_name(key: &str) -> String {
    format!("MODELYARD_{}", key.replace('.', "_").to_ascii_uppercase())
}

/// Kubernetes sets such variables in every pod beside a Service called `modelyard` or
/// `modelyard-something`. `_PORT` alone is told by its value: a port is what a user would write.
fn is_service_link(name: &str, value: &str) -> bool {
    let is_address = ["tcp://", "udp://", "sctp://"].iter().any(|start| value.starts_with(start));
    let is_service = name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_");
    is_address || is_service || name.split("_PORT_").skip(1).any(is_port_and_protocol)
}

/// `8000_TCP`, or `8000_TCP_ADDR` and the like.
fn is_port_and_protocol(text: &str) -> bool {
    let mut words = text.split('_');
    let is_port = words.next().is_some_and(|port| port.parse::<u16>().is_ok());
    is_port && words.next().is_some_and(|word| ["TCP", "UDP", "SCTP"].contains(&word))
}

fn flatten(
    table: &DeTable<'_>,
    prefix: &str,
    line: &impl Fn(usize) -> Place,
    layer: &mut Layer,
    mistakes: &mut Mistakes,
) {
    for (name, value) in table {
        let key = match prefix {
            "" => name.get_ref().to_string(),
            prefix => format!("{prefix}.{}", name.get_ref()),
        };
        match value.get_ref() {
            DeValue::Table(table) => flatten(table, &key, line, layer, mistakes),
            other => {
                let place = line(name.span().start);
                match scalar(other) {
                    Some(value) => layer.insert(key, value, place),
                    None => mistakes.push(Mistake {
                        place,
                        key,
                        value: String::new(),
                        message: "expected text, a number, true, false or a list of them".into(),
                    }),
                }
            }
        }
    }
}

fn scalar(value: &DeValue<'_>) -> Option<Value> {
    Some(match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => {
            Value::Integer(i128::from_str_radix(number.as_str(), number.radix()).ok()?)
        }
        DeValue::Float(number) => Value::Float(number.as_str().parse().ok()?),
        DeValue::Boolean(value) => Value::Bool(*value),
        DeValue::Array(values) => {
            Value::List(values.iter().map(|value| scalar(value.get_ref())).collect::<Option<_>>()?)
        }
        DeValue::Datetime(_) | DeValue::Table(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> (Layer, Vec<String>) {
        let mut mistakes = Mistakes::default();
        let layer = Layer::from_toml(text, Path::new("m.toml"), &mut mistakes);
        (layer, mistakes.0.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn tables_become_dotted_keys_with_their_lines() {
        let (layer, mistakes) = parse("threads = 2\n\n[log]\nlevel = \"info\"\nx = [1, 2]\n");
        assert!(mistakes.is_empty(), "{mistakes:?}");
        let level = &layer.entries["log.level"];
        assert_eq!(level.value, Value::Text("info".into()));
        assert_eq!(level.place.to_string(), "m.toml:4");
        assert_eq!(layer.under("log").entries.len(), 2);
        assert_eq!(layer.entries["threads"].value, Value::Integer(2));
    }

    #[test]
    fn every_syntax_mistake_is_reported_with_its_line() {
        let (_, mistakes) = parse("a = \nb = 1\nc = = 2\n");
        assert!(mistakes.len() >= 2, "{mistakes:?}");
        assert!(mistakes[0].starts_with("m.toml:1: "), "{mistakes:?}");
        assert!(mistakes.iter().any(|text| text.starts_with("m.toml:3: ")), "{mistakes:?}");
    }

    #[test]
    fn the_environment_is_checked_but_for_what_kubernetes_sets() {
        let variables = [
            ("MODELYARD_LOG_LEVEL", "debug"),
            ("MODELYARD_SERVICE_HOST", "10.0.0.1"),
            ("MODELYARD_PORT_8000_TCP", "tcp://10.0.0.1:8000"),
            ("MODELYARD_CONFIG", "x.toml"),
            ("MODELYARD_LOG_LEVL", "debug"),
            ("PATH", "/bin"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut mistakes = Mistakes::default();
        let layer = Layer::from_environment(variables, &["log.level", "threads"], &mut mistakes);
        assert_eq!(layer.entries.len(), 1);
        assert_eq!(
            mistakes.to_string(),
            "environment variable MODELYARD_LOG_LEVL: unknown variable, did you mean \
             'MODELYARD_LOG_LEVEL'?"
        );
    }

    #[test]
    fn links_to_other_services_are_no_unknown_variables() {
        let links = [
            ("MODELYARD_PORT", "tcp://10.0.0.1:8000"),
            ("MODELYARD_GRPC_PORT", "tcp://10.0.0.1:8001"),
            ("MODELYARD_GRPC_PORT_8001_TCP", "tcp://10.0.0.1:8001"),
            ("MODELYARD_X_PORT_8000_TCP_ADDR", "10.0.0.1"),
            ("MODELYARD_X_PORT_53_UDP_PROTO", "udp"),
            ("MODELYARD_X_SERVICE_HOST", "10.0.0.1"),
            ("MODELYARD_X_SERVICE_PORT", "8000"),
            ("MODELYARD_X_SERVICE_PORT_HTTP", "8000"),
        ];
        let mistakes = |variables: &[(&str, &str)]| {
            let mut mistakes = Mistakes::default();
            let variables = variables.iter().map(|(name, value)| ((*name).into(), (*value).into()));
            Layer::from_environment(variables, &["http_address"], &mut mistakes);
            mistakes.to_string()
        };
        assert_eq!(mistakes(&links), Mistakes::default().to_string());
        let said = mistakes(&[("MODELYARD_HTTP_PORT", "8000")]);
        assert!(
            said.contains("unknown variable, did you mean 'MODELYARD_HTTP_ADDRESS'?"),
            "{said}"
        );
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "[a-z\\[\\]=\"'.,\n #{}0-9-]{0,64}") {
            let _ = parse(&text);
        }
    }
}
