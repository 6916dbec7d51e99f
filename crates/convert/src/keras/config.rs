//! Reads what the JSON of a model says of one layer, under the names of all versions of Keras.

use serde_json::{Map, Value as Json};

use crate::keras::fault::Fault;

/// The options of one layer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Config {
    map: Map<String, Json>,
}

impl Config {
    /// The options in a JSON object; `null` and an absent one are no options.
    pub(crate) fn new(json: Option<&Json>) -> Result<Config, Fault> {
        match json {
            None | Some(Json::Null) => Ok(Config::default()),
            Some(Json::Object(map)) => Ok(Config { map: map.clone() }),
            Some(other) => Err(expected("config", "an object", other)),
        }
    }

    /// The first of these options that is there and not null. Several names are those that
    /// versions of Keras gave the same option.
    pub(crate) fn get(&self, names: &[&str]) -> Option<&Json> {
        names.iter().find_map(|&name| self.map.get(name).filter(|value| !value.is_null()))
    }

    /// Whether an option is there, even if null.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.map.contains_key(name)
    }

    /// Those of these options that are there, null among them.
    pub(crate) fn entries(&self, names: &[&str]) -> Vec<(String, Json)> {
        let entry = |name: &&str| Some(((*name).to_owned(), self.map.get(*name)?.clone()));
        names.iter().filter_map(entry).collect()
    }

    /// A text, or this if absent.
    pub(crate) fn text(&self, names: &[&str], default: &str) -> Result<String, Fault> {
        match self.get(names) {
            None => Ok(default.to_owned()),
            Some(Json::String(text)) => Ok(text.clone()),
            Some(other) => Err(expected(names[0], "a text", other)),
        }
    }

    /// A yes or no, or this if absent.
    pub(crate) fn flag(&self, names: &[&str], default: bool) -> Result<bool, Fault> {
        match self.get(names) {
            None => Ok(default),
            Some(Json::Bool(flag)) => Ok(*flag),
            Some(other) => match other.as_f64() {
                Some(number) => Ok(number != 0.0),
                None => Err(expected(names[0], "true or false", other)),
            },
        }
    }

    /// A number, or `None` if absent.
    pub(crate) fn number(&self, names: &[&str]) -> Result<Option<f64>, Fault> {
        let Some(value) = self.get(names) else { return Ok(None) };
        number(value).map(Some).ok_or_else(|| expected(names[0], "a number", value))
    }

    /// A number, or this if absent.
    pub(crate) fn number_or(&self, names: &[&str], default: f64) -> Result<f64, Fault> {
        Ok(self.number(names)?.unwrap_or(default))
    }

    /// A whole number, or `None` if absent.
    pub(crate) fn integer(&self, names: &[&str]) -> Result<Option<i64>, Fault> {
        let Some(value) = self.get(names) else { return Ok(None) };
        integer(value).map(Some).ok_or_else(|| expected(names[0], "a whole number", value))
    }

    /// A positive size, which must be there.
    pub(crate) fn size(&self, names: &[&str]) -> Result<usize, Fault> {
        self.size_option(names)?.ok_or_else(|| absent(names[0]))
    }

    /// A positive size, or `None` if absent.
    pub(crate) fn size_option(&self, names: &[&str]) -> Result<Option<usize>, Fault> {
        let Some(value) = self.integer(names)? else { return Ok(None) };
        size(value).map(Some).ok_or_else(|| {
            Fault::malformed(format!("expected a positive '{}', found {value}", names[0]))
        })
    }

    /// A list of whole numbers, or `None` if absent; a single one counts as a list of one.
    pub(crate) fn integers(&self, names: &[&str]) -> Result<Option<Vec<i64>>, Fault> {
        let Some(value) = self.get(names) else { return Ok(None) };
        let list = match value {
            Json::Array(items) => items.iter().map(integer).collect(),
            other => integer(other).map(|one| vec![one]),
        };
        list.map(Some).ok_or_else(|| expected(names[0], "whole numbers", value))
    }

    /// A list of numbers, or `None` if absent; a single one counts as a list of one. Lists inside
    /// lists are taken as one.
    pub(crate) fn numbers(&self, names: &[&str]) -> Result<Option<Vec<f64>>, Fault> {
        let Some(value) = self.get(names) else { return Ok(None) };
        let mut list = Vec::new();
        match flatten(value, &mut list) {
            true => Ok(Some(list)),
            false => Err(expected(names[0], "numbers", value)),
        }
    }

    /// A list of whole numbers, whatever lists they are in; none if absent.
    pub(crate) fn numbers_as_integers(&self, names: &[&str]) -> Result<Vec<i64>, Fault> {
        let numbers = self.numbers(names)?.unwrap_or_default();
        Ok(numbers.iter().map(|&number| number as i64).collect())
    }

    /// Sizes for so many spatial axes: a list, or one number for all; `default` if absent.
    pub(crate) fn sizes(
        &self,
        names: &[&str],
        rank: usize,
        default: Option<usize>,
    ) -> Result<Vec<usize>, Fault> {
        let Some(list) = self.integers(names)? else {
            return default.map(|size| vec![size; rank]).ok_or_else(|| absent(names[0]));
        };
        let wrong = || {
            let found = &list;
            Fault::malformed(format!(
                "expected {rank} positive sizes as '{}', found {found:?}",
                names[0]
            ))
        };
        let sizes: Option<Vec<usize>> = list.iter().map(|&value| size(value)).collect();
        match sizes.ok_or_else(wrong)? {
            sizes if sizes.len() == rank => Ok(sizes),
            sizes if sizes.len() == 1 => Ok(vec![sizes[0]; rank]),
            _ => Err(wrong()),
        }
    }
}

/// The largest size of an option that is believed: such as units, kernels, axes.
const SIZE_MAX: i64 = 1 << 31;

fn size(value: i64) -> Option<usize> {
    if (1..=SIZE_MAX).contains(&value) { usize::try_from(value).ok() } else { None }
}

/// A whole number, also where it is written as a float.
pub(crate) fn integer(value: &Json) -> Option<i64> {
    value.as_i64().or_else(|| {
        let number = value.as_f64()?;
        (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i64)
    })
}

/// A number; Keras writes infinities as text.
pub(crate) fn number(value: &Json) -> Option<f64> {
    match value {
        Json::String(text) if text == "inf" || text == "Infinity" => Some(f64::INFINITY),
        Json::String(text) if text == "-inf" || text == "-Infinity" => Some(f64::NEG_INFINITY),
        Json::Bool(flag) => Some(f64::from(*flag)),
        // Arrays in a config: `{"class_name": "__numpy__", "config": {"value": ...}}`.
        Json::Object(map) => number(map.get("config")?.get("value")?),
        other => other.as_f64(),
    }
}

fn flatten(value: &Json, into: &mut Vec<f64>) -> bool {
    match value {
        Json::Array(items) => items.iter().all(|item| flatten(item, into)),
        Json::Object(map) => {
            let inner = map.get("config").and_then(|config| config.get("value"));
            inner.is_some_and(|inner| flatten(inner, into))
        }
        other => match number(other) {
            Some(number) => {
                into.push(number);
                true
            }
            None => false,
        },
    }
}

fn absent(name: &str) -> Fault {
    Fault::malformed(format!("expected the option '{name}', found none"))
}

fn expected(name: &str, what: &str, found: &Json) -> Fault {
    let mut found = found.to_string();
    if found.len() > 80 {
        let end = (0..=80).rev().find(|&end| found.is_char_boundary(end)).unwrap_or(0);
        found.truncate(end);
        found.push_str("...");
    }
    Fault::malformed(format!("expected {what} as '{name}', found {found}"))
}

/// Replaces what stands for Python's tuples by lists, so that they read alike.
pub(crate) fn without_tuples(json: Json) -> Json {
    match json {
        Json::Array(items) => Json::Array(items.into_iter().map(without_tuples).collect()),
        Json::Object(mut map) => {
            let class = map.get("class_name").and_then(Json::as_str);
            if matches!(class, Some("__tuple__" | "TensorShape"))
                && let Some(items) = map.remove("items")
            {
                return without_tuples(items);
            }
            Json::Object(map.into_iter().map(|(key, value)| (key, without_tuples(value))).collect())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn config(json: Json) -> Config {
        Config::new(Some(&without_tuples(json))).unwrap()
    }

    #[test]
    fn old_and_new_names_are_the_same_option() {
        for name in ["units", "output_dim"] {
            let config = config(json!({ name: 3 }));
            assert_eq!(config.size(&["units", "output_dim"]).unwrap(), 3);
        }
    }

    #[test]
    fn sizes_are_a_list_or_one_for_all() {
        let config = config(json!({"one": 2, "two": [2, 3], "tuple": {
            "class_name": "__tuple__", "items": [4, 5]}, "bad": [0, 1], "three": [1, 2, 3]}));
        assert_eq!(config.sizes(&["one"], 2, None).unwrap(), [2, 2]);
        assert_eq!(config.sizes(&["two"], 2, None).unwrap(), [2, 3]);
        assert_eq!(config.sizes(&["tuple"], 2, None).unwrap(), [4, 5]);
        assert_eq!(config.sizes(&["none"], 2, Some(1)).unwrap(), [1, 1]);
        assert!(config.sizes(&["bad"], 2, None).is_err());
        assert!(config.sizes(&["three"], 2, None).is_err());
        assert!(config.sizes(&["none"], 2, None).is_err());
    }

    #[test]
    fn what_is_of_another_kind_is_named() {
        let config = config(json!({"units": "many"}));
        let Err(Fault::Malformed(message)) = config.size(&["units"]) else { panic!() };
        assert_eq!(message, "expected a whole number as 'units', found \"many\"");
    }
}
