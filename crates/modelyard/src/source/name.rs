//! Names of models: they stand in URLs, metric labels and file names.

use std::path::Path;

/// The longest name.
const MAX_BYTES: usize = 200;

/// Whether a name may be used, or what is wrong with it.
pub(crate) fn validate(name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    if starts_well && name.len() <= MAX_BYTES && name.chars().all(plain) {
        return Ok(());
    }
    let shown: String = name.chars().take(MAX_BYTES).collect();
    Err(format!(
        "wrong model name '{shown}', expected at most {MAX_BYTES} letters, digits, '-', '_' and \
         '.', the first a letter, digit or '_'"
    ))
}

/// The name of the model in a folder.
pub(crate) fn of_folder(path: &Path) -> Result<String, String> {
    // `.` and `..` have no name of their own.
    let full = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    checked(full.file_name())
}

/// The name of the model in a file: its name without the extension.
pub(crate) fn of_file(path: &Path) -> Result<String, String> {
    checked(path.file_stem())
}

fn checked(name: Option<&std::ffi::OsStr>) -> Result<String, String> {
    let name = name.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    validate(&name).map_err(|message| format!("{message}; give it one: NAME=PATH"))?;
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["digits", "resnet-50_v1.5", "_x", "9"] {
            assert_eq!(validate(good), Ok(()), "{good}");
        }
        let long = "x".repeat(201);
        for bad in ["", ".hidden", "..", "a/b", "a b", "ä", "-flag", "a\n", long.as_str()] {
            assert!(validate(bad).is_err(), "{bad}");
        }
    }
}
