//! The fixtures as seeds: what belongs together, in memory.

use std::path::{Path, PathBuf};

/// The files of one model.
pub(crate) struct Seed {
    /// Its path below `fixtures`.
    pub(crate) name: String,
    /// What is opened: a file or, when empty, the folder of all files.
    pub(crate) opened: String,
    /// Paths and contents.
    pub(crate) files: Vec<(String, Vec<u8>)>,
}

pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// Models of one file with one of these endings.
pub(crate) fn files(folder: &str, endings: &[&str]) -> Vec<Seed> {
    let is_model = |path: &PathBuf| {
        path.extension().is_some_and(|found| endings.iter().any(|ending| found == *ending))
    };
    let found = entries(&fixtures().join(folder)).into_iter().filter(is_model);
    found.map(|path| seed(&path, vec![path.clone()], file_name(&path))).collect()
}

/// Models that are folders.
pub(crate) fn folders(folder: &str) -> Vec<Seed> {
    let found = entries(&fixtures().join(folder)).into_iter().filter(|path| path.is_dir());
    found.map(|path| seed(&path, below(&path), String::new())).collect()
}

/// MXNet's pairs of `-symbol.json` and `-0000.params`.
pub(crate) fn symbols(folder: &str) -> Vec<Seed> {
    let found = entries(&fixtures().join(folder)).into_iter();
    let symbols = found.filter(|path| file_name(path).ends_with("-symbol.json"));
    symbols
        .map(|path| {
            let parameters = file_name(&path).replace("-symbol.json", "-0000.params");
            seed(&path, vec![path.clone(), path.with_file_name(parameters)], file_name(&path))
        })
        .collect()
}

fn seed(path: &Path, files: Vec<PathBuf>, opened: String) -> Seed {
    let root = if opened.is_empty() { path } else { path.parent().unwrap() };
    let files = files.into_iter().map(|file| {
        let name = file.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        (name, std::fs::read(&file).unwrap())
    });
    Seed {
        name: path.strip_prefix(fixtures()).unwrap().to_str().unwrap().to_owned(),
        opened,
        files: files.collect(),
    }
}

fn below(folder: &Path) -> Vec<PathBuf> {
    let (folders, mut files): (Vec<_>, Vec<_>) =
        entries(folder).into_iter().partition(|path| path.is_dir());
    files.extend(folders.iter().flat_map(|folder| below(folder)));
    files
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let found = std::fs::read_dir(folder).unwrap();
    let mut paths: Vec<PathBuf> = found.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}
