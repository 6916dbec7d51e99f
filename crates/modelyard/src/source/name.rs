//! Names of models that their files give.

use std::path::Path;

use modelyard_registry::check_model_name;

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
    check_model_name(&name).map_err(|message| format!("{message}; give it one: NAME=PATH"))?;
    Ok(name)
}
