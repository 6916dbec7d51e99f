//! Folders of pictures: the name of the folder is the class.
//!
//! `class/*.png`, or `train/class/*.png` with `test/class/*.png` (or `val`, `valid`,
//! `validation`) beside it; or pictures alone, without classes. All pictures are decoded once at the start, on all cores, so that no
//! bad one stops training halfway; where they fit into [`KEPT_BYTES_MAX`] they are kept, else
//! they are decoded again when their turn comes.

mod folder;
mod loader;

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use modelyard_train::data::Examples;

use super::bad::Bad;
use super::{DataSet, Input, InputKind, Options, Task, TaskKind, parallel};
use crate::tensors::{image, read_file};
use folder::Entry;
use loader::{Form, Picture, Pictures};

/// Decoded pictures that stay in memory: a byte for each channel of each pixel.
const KEPT_BYTES_MAX: usize = 512 << 20;
/// So many of the first pictures say whether all are grey.
const FIRST: usize = 100;
/// Most numbers of one example.
const EXAMPLE_MAX: usize = 3 * 4096 * 4096;

/// Makes the pictures in a folder ready.
pub(super) fn open(path: &Path, options: &Options) -> anyhow::Result<DataSet> {
    if options.task == Some(TaskKind::Regression) {
        bail!("folders of pictures have classes, not values: --task regression needs a table");
    }
    let mut bad = Bad::default();
    let found = folder::scan(path, &mut bad)?;
    if found.train.is_empty() {
        bad.finish(0, options.skip_bad)?;
        bail!(
            "expected folders of pictures by class (such as cats/1.png, or train/cats/1.png) or \
             the files of MNIST (train-images-idx3-ubyte), found no pictures"
        );
    }
    let form = form(found.train.iter().chain(&found.test), options)?;
    let mut check = Check { root: path, form, bad, kept: 0 };
    let train = check.pictures(found.train)?;
    let test = check.pictures(found.test)?;
    let skipped = check.bad.finish(train.len() + test.len(), options.skip_bad)?;
    let labelled = !found.labels.is_empty() && options.task != Some(TaskKind::Unlabelled);
    let classes = labelled.then(|| train.iter().map(|picture| picture.class).collect());
    let of = |pictures: Vec<Picture>| Pictures { form, pictures, labelled };
    let test = (!test.is_empty()).then(|| Box::new(of(test)) as Box<dyn Examples>);
    Ok(DataSet {
        train: Box::new(of(train)),
        test,
        inputs: vec![Input { name: "image".into(), shape: form.shape(), kind: InputKind::Image }],
        task: match labelled {
            true => Task::Classification { labels: found.labels },
            false => Task::Unlabelled,
        },
        classes,
        skipped,
    })
}

/// The common form: what was asked for, or what the first pictures have.
fn form<'a>(entries: impl Iterator<Item = &'a Entry>, options: &Options) -> anyhow::Result<Form> {
    let headers = entries.take(FIRST).filter_map(|entry| {
        // What cannot be read is found again, and told, when all are checked.
        image::header(&read_file(&entry.path).ok()?).ok()
    });
    let headers: Vec<image::Header> = headers.collect();
    let first = headers.first().map(|header| (header.height as usize, header.width as usize));
    let size = options.image_size.or(first);
    // Without one good header any size will do: the check tells what is wrong with each file.
    let (height, width) = size.unwrap_or((1, 1));
    let grey = headers.iter().all(|header| header.grey);
    let channels = options.image_channels.unwrap_or(if grey { 1 } else { 3 });
    let numbers = height.checked_mul(width).and_then(|pixels| pixels.checked_mul(channels));
    if numbers.is_none_or(|numbers| numbers > EXAMPLE_MAX) {
        bail!("pictures of {height}x{width} are too large to learn from: say --image-size");
    }
    Ok(Form { channels, height, width })
}

/// The pass over all pictures before they are used.
struct Check<'a> {
    root: &'a Path,
    form: Form,
    bad: Bad,
    kept: usize,
}

impl Check<'_> {
    /// The usable pictures of these files.
    fn pictures(&mut self, entries: Vec<Entry>) -> anyhow::Result<Vec<Picture>> {
        /// Pixels that are decoded before they are counted, in bytes, and files at most.
        const PIECE: (usize, usize) = (64 << 20, 1024);
        let piece = (PIECE.0 / self.form.len().max(1)).clamp(2, PIECE.1);
        let mut pictures = Vec::with_capacity(entries.len());
        for piece in entries.chunks(piece) {
            let form = self.form;
            let keep = self.kept < KEPT_BYTES_MAX;
            let decoded = parallel::map(piece.len(), |index| {
                form.decode(&piece[index].path).map(|pixels| keep.then_some(pixels))
            });
            for (entry, decoded) in piece.iter().zip(decoded) {
                match decoded {
                    Ok(pixels) => {
                        let kept = pixels.filter(|p| self.kept + p.len() <= KEPT_BYTES_MAX);
                        self.kept += kept.as_ref().map_or(0, Vec::len);
                        let (path, class) = (entry.path.clone(), entry.class);
                        pictures.push(Picture { path, class, kept });
                    }
                    Err(error) => self.bad.note(self.name(&entry.path), format!("{error:#}"))?,
                }
            }
        }
        Ok(pictures)
    }

    fn name(&self, path: &Path) -> String {
        path.strip_prefix(self.root).unwrap_or(path).display().to_string()
    }
}

/// The entries of a folder without the hidden ones, by name.
fn entries(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let context = || format!("failed to read the folder '{}'", folder.display());
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(context)? {
        let entry = entry.with_context(context)?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests;
