//! The arguments of a call by their names.

use serde_json::Value as Json;

use crate::keras::argument::Argument;
use crate::keras::config::{integer, number};
use crate::keras::fault::Fault;

/// Arguments by the names of the parameters.
#[derive(Debug)]
pub(crate) struct Bound<V>(Vec<(&'static str, Argument<V>)>);

impl<V> Default for Bound<V> {
    fn default() -> Self {
        Bound(Vec::new())
    }
}

impl<V> Bound<V> {
    /// Sets an argument, unless it is there.
    pub(crate) fn set(&mut self, name: &'static str, argument: Argument<V>) {
        if !self.0.iter().any(|(other, _)| *other == name) {
            self.0.push((name, argument));
        }
    }

    /// The argument; `None` where it is absent or Python's `None`.
    pub(crate) fn get(&self, name: &str) -> Option<&Argument<V>> {
        let found = self.0.iter().find(|(other, _)| *other == name);
        found.map(|(_, argument)| argument).filter(|argument| !argument.is_none())
    }

    /// The argument, which must be there.
    pub(crate) fn need(&self, name: &str) -> Result<&Argument<V>, Fault> {
        self.get(name).ok_or_else(|| Fault::malformed(format!("expected the argument '{name}'")))
    }

    /// The tensor, which must be there.
    pub(crate) fn value(&self, name: &str) -> Result<&V, Fault> {
        self.need(name)?.value()
    }

    /// The tensors of a list.
    pub(crate) fn values(&self, name: &str) -> Result<Vec<&V>, Fault> {
        Ok(self.need(name)?.values())
    }

    /// The constant, where it is one.
    pub(crate) fn json(&self, name: &str) -> Result<Option<Json>, Fault> {
        let Some(argument) = self.get(name) else { return Ok(None) };
        argument.to_json().map(Some).ok_or_else(|| {
            Fault::unsupported(
                format!("an argument '{name}' that is a tensor"),
                "make it a constant",
            )
        })
    }

    /// A whole number.
    pub(crate) fn integer(&self, name: &str) -> Result<Option<i64>, Fault> {
        let Some(json) = self.json(name)? else { return Ok(None) };
        let found = match &json {
            Json::Array(items) if items.len() == 1 => integer(&items[0]),
            other => integer(other),
        };
        found.map(Some).ok_or_else(|| expected(name, "a whole number", &json))
    }

    /// Whole numbers; a single one counts as a list of one.
    pub(crate) fn integers(&self, name: &str) -> Result<Option<Vec<i64>>, Fault> {
        let Some(json) = self.json(name)? else { return Ok(None) };
        let found = match &json {
            Json::Array(items) => items.iter().map(integer).collect(),
            other => integer(other).map(|one| vec![one]),
        };
        found.map(Some).ok_or_else(|| expected(name, "whole numbers", &json))
    }

    /// A number.
    pub(crate) fn number(&self, name: &str) -> Result<Option<f64>, Fault> {
        let Some(json) = self.json(name)? else { return Ok(None) };
        number(&json).map(Some).ok_or_else(|| expected(name, "a number", &json))
    }

    /// A yes or no.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, Fault> {
        Ok(self.json(name)?.is_some_and(|json| json.as_bool().unwrap_or(false)))
    }

    /// A text; dtypes come as texts or as objects with a name.
    pub(crate) fn text(&self, name: &str) -> Result<Option<String>, Fault> {
        let Some(json) = self.json(name)? else { return Ok(None) };
        let text = json.as_str().or_else(|| json.get("config")?.get("name")?.as_str());
        text.map(|text| Some(text.to_owned())).ok_or_else(|| expected(name, "a text", &json))
    }
}

fn expected(name: &str, what: &str, found: &Json) -> Fault {
    let found: String = found.to_string().chars().take(80).collect();
    Fault::malformed(format!("expected {what} as '{name}', found {found}"))
}
