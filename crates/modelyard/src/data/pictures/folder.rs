//! Which files are in which class and part.

use std::path::{Path, PathBuf};

use anyhow::bail;

use super::super::bad::Bad;
use super::super::targets;
use super::entries;

/// Most files of one data set.
const FILES_MAX: usize = 10_000_000;
/// Names of the part to learn from, and of the one to measure by, by preference.
const TRAIN: [&str; 2] = ["train", "training"];
const TEST: [&str; 6] = ["test", "testing", "val", "valid", "validation", "eval"];

/// How the names of pictures end.
const EXTENSIONS: [&str; 6] = ["png", "jpg", "jpeg", "pgm", "ppm", "pnm"];

/// One file.
#[derive(Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) path: PathBuf,
    pub(super) class: usize,
}

/// All files of a data set.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) train: Vec<Entry>,
    pub(super) test: Vec<Entry>,
    /// Names of the classes; none where pictures have no classes.
    pub(super) labels: Vec<String>,
}

/// Finds the files below `root`. A folder within a class is noted as bad.
pub(super) fn scan(root: &Path, bad: &mut Bad) -> anyhow::Result<Found> {
    // A part holds folders; `train` with pictures in it is a class of vehicles.
    let is_part = |path: &PathBuf| class_folders(path).is_ok_and(|folders| !folders.is_empty());
    let part = |names: &[&str]| names.iter().map(|name| root.join(name)).find(is_part);
    let (train, test) = match (part(&TRAIN), part(&TEST)) {
        (Some(train), test) => (train, test),
        (None, Some(test)) => (test, None),
        (None, None) => (root.to_owned(), None),
    };
    let train_classes = class_folders(&train)?;
    let test_classes = test.as_deref().map_or(Ok(Vec::new()), class_folders)?;
    if train_classes.is_empty() {
        return Ok(Found { train: loose(root)?, test: Vec::new(), labels: Vec::new() });
    }
    let names = train_classes.iter().chain(&test_classes).map(|(name, _)| name);
    let labels = targets::sorted(names)?;
    let mut left = FILES_MAX;
    Ok(Found {
        train: files(train_classes, &labels, &mut left, bad)?,
        test: files(test_classes, &labels, &mut left, bad)?,
        labels,
    })
}

/// The pictures, by the ends of their names, in a folder without classes.
fn loose(folder: &Path) -> anyhow::Result<Vec<Entry>> {
    let pictures = entries(folder)?.into_iter().filter(|path| {
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        EXTENSIONS.contains(&extension.as_str())
    });
    let pictures: Vec<Entry> = pictures.map(|path| Entry { path, class: 0 }).collect();
    if pictures.len() > FILES_MAX {
        bail!("there are more than {FILES_MAX} files");
    }
    Ok(pictures)
}

/// The folders in a folder, with their names. Files beside them, such as a licence, are passed
/// over.
fn class_folders(folder: &Path) -> anyhow::Result<Vec<(String, PathBuf)>> {
    let folders = entries(folder)?.into_iter().filter(|path| path.is_dir());
    let named = folders.map(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        (name, path)
    });
    Ok(named.collect())
}

fn files(
    folders: Vec<(String, PathBuf)>,
    labels: &[String],
    left: &mut usize,
    bad: &mut Bad,
) -> anyhow::Result<Vec<Entry>> {
    let mut files = Vec::new();
    for (name, folder) in folders {
        let Some(class) = labels.iter().position(|label| *label == name) else { continue };
        for path in entries(&folder)? {
            if path.is_dir() {
                bad.note(path.display().to_string(), "expected a picture, found a folder")?;
                continue;
            }
            *left = match left.checked_sub(1) {
                Some(left) => left,
                None => bail!("there are more than {FILES_MAX} files"),
            };
            files.push(Entry { path, class });
        }
    }
    Ok(files)
}
