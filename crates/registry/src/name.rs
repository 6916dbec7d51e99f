//! Names: they stand in URLs, metric labels, file names and on command lines.
//!
//! Only ASCII letters, digits, `-`, `_` and `.`: nothing that leads out of a folder, and no two names
//! that look alike and are not.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::RegistryError;

/// The longest name, in bytes.
const BYTES_MAX: usize = 200;

/// The name of a model.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ModelName(String);

/// The name of an alias: a name that a version number cannot be taken for, and not `latest`, which
/// always is the highest version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AliasName(String);

/// What stands for the highest version that is not deprecated.
pub const LATEST: &str = "latest";

/// Which version of a model is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// The highest that is not deprecated.
    Latest,
    /// This one.
    Number(u64),
    /// The one that this alias points to.
    Alias(AliasName),
}

/// A model, and which version of it: `digits`, `digits:3`, `digits:stable`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The model.
    pub model: ModelName,
    /// The version.
    pub selector: Selector,
}

/// Whether a text may be a model's name, or what is wrong with it.
pub fn check_model_name(name: &str) -> Result<(), String> {
    check("model name", name)
}

fn check(what: &str, name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    if starts_well && name.len() <= BYTES_MAX && name.chars().all(plain) {
        return Ok(());
    }
    let shown: String = name.chars().take(BYTES_MAX).flat_map(char::escape_default).collect();
    Err(format!(
        "wrong {what} '{shown}', expected at most {BYTES_MAX} letters, digits, '-', '_' and '.', the \
         first a letter, digit or '_'"
    ))
}

impl ModelName {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AliasName {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ModelName {
    type Err = RegistryError;

    fn from_str(name: &str) -> Result<ModelName, RegistryError> {
        check_model_name(name).map_err(RegistryError::Invalid)?;
        Ok(ModelName(name.to_owned()))
    }
}

impl FromStr for AliasName {
    type Err = RegistryError;

    fn from_str(name: &str) -> Result<AliasName, RegistryError> {
        check("alias", name).map_err(RegistryError::Invalid)?;
        if name.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(RegistryError::Invalid(format!(
                "wrong alias '{name}': one that starts with a digit could be taken for a version"
            )));
        }
        if name == LATEST {
            return Err(RegistryError::Invalid(
                "'latest' always is the highest version and cannot be moved; choose another alias"
                    .into(),
            ));
        }
        Ok(AliasName(name.to_owned()))
    }
}

impl FromStr for Selector {
    type Err = RegistryError;

    fn from_str(text: &str) -> Result<Selector, RegistryError> {
        if text == LATEST {
            return Ok(Selector::Latest);
        }
        if text.starts_with(|c: char| c.is_ascii_digit()) {
            let number = text.parse().ok().filter(|number| (1..=i64::MAX as u64).contains(number));
            return number.map(Selector::Number).ok_or_else(|| {
                RegistryError::Invalid(format!("wrong version '{text}', expected 1, 2, 3 …"))
            });
        }
        text.parse().map(Selector::Alias)
    }
}

impl FromStr for Reference {
    type Err = RegistryError;

    fn from_str(text: &str) -> Result<Reference, RegistryError> {
        let (model, selector) = match text.split_once(':') {
            Some((model, selector)) => (model, selector.parse()?),
            None => (text, Selector::Latest),
        };
        Ok(Reference { model: model.parse()?, selector })
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Selector::Latest => f.write_str(LATEST),
            Selector::Number(number) => number.fmt(f),
            Selector::Alias(alias) => alias.fmt(f),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.model, self.selector)
    }
}

macro_rules! text {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = RegistryError;

            fn try_from(name: String) -> Result<$name, RegistryError> {
                name.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }
    };
}

text!(ModelName);
text!(AliasName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_elsewhere_or_look_alike_are_refused() {
        for good in ["digits", "resnet-50_v1.5", "_x", "9"] {
            assert!(good.parse::<ModelName>().is_ok(), "{good}");
        }
        let long = "x".repeat(201);
        // The fourth 'o' of the list is Cyrillic.
        let bad =
            ["", ".hidden", "..", "../x", "/etc/passwd", "a/b", "a\\b", "a b", "ä", "m\u{43e}del"];
        for bad in bad.iter().chain(&["-flag", "a\n", "a\0", "a:b", long.as_str()]) {
            let error = bad.parse::<ModelName>().unwrap_err().to_string();
            assert!(error.starts_with("wrong model name '"), "{error}");
            assert!(error.is_ascii() && !error.contains('\0'), "{error}");
        }
    }

    #[test]
    fn a_reference_says_model_and_version() {
        let of = |text: &str| text.parse::<Reference>();
        assert_eq!(of("digits").unwrap().selector, Selector::Latest);
        assert_eq!(of("digits:latest").unwrap().selector, Selector::Latest);
        assert_eq!(of("digits:12").unwrap().selector, Selector::Number(12));
        assert_eq!(of("digits:stable").unwrap().to_string(), "digits:stable");
        for bad in
            ["digits:0", "digits:", "digits:1x", "digits:99999999999999999999", ":1", "a:b:c"]
        {
            assert!(of(bad).is_err(), "{bad}");
        }
        assert!("latest".parse::<AliasName>().is_err());
    }
}
