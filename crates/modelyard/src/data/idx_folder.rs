//! The files of MNIST, in a folder or in memory: images and labels in IDX, perhaps
//! gzip-compressed.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use modelyard_tensor::Tensor;

use super::arrays::{Column, Found, data_set};
use super::targets::Raw;
use super::{DataSet, Options};
use crate::tensors::idx::Idx;
use crate::tensors::read_file;

/// Beginnings of the names of files to train with, and of those to test with.
const TRAIN: [&str; 1] = ["train-"];
const TEST: [&str; 2] = ["t10k-", "test-"];

/// The files of one part.
#[derive(Debug)]
struct Pair {
    images: PathBuf,
    labels: PathBuf,
}

/// The files of a folder; at least one part is there.
#[derive(Debug)]
pub(super) struct Files {
    train: Option<Pair>,
    test: Option<Pair>,
}

/// The IDX files of a folder, if it has any. Images without labels are an error.
pub(super) fn find(folder: &Path) -> anyhow::Result<Option<Files>> {
    let part = |beginnings: &[&str]| -> anyhow::Result<Option<Pair>> {
        let find = |what: &str| {
            beginnings.iter().find_map(|beginning| named(folder, &format!("{beginning}{what}")))
        };
        match (find("images"), find("labels")) {
            (Some(images), Some(labels)) => Ok(Some(Pair { images, labels })),
            (Some(lone), None) | (None, Some(lone)) => {
                let name = lone.file_name().unwrap_or_default().to_string_lossy();
                bail!("'{name}' is alone: expected images and labels in pairs")
            }
            (None, None) => Ok(None),
        }
    };
    let files = Files { train: part(&TRAIN)?, test: part(&TEST)? };
    Ok((files.train.is_some() || files.test.is_some()).then_some(files))
}

/// `train-images-idx3-ubyte` in its usual spellings.
fn named(folder: &Path, beginning: &str) -> Option<PathBuf> {
    let rank = if beginning.ends_with("images") { 3 } else { 1 };
    let names = ["-", "."].into_iter().flat_map(|separator| {
        let name = format!("{beginning}{separator}idx{rank}-ubyte");
        [format!("{name}.gz"), name]
    });
    names.map(|name| folder.join(name)).find(|path| path.is_file())
}

/// Reads the parts. A lone test part is all there is.
pub(super) fn read(files: &Files, options: &Options) -> anyhow::Result<DataSet> {
    let (first, second) = match (&files.train, &files.test) {
        (Some(train), test) => (train, test.as_ref()),
        (None, Some(test)) => (test, None),
        (None, None) => bail!("there are no IDX files"),
    };
    let test = second.map(part).transpose()?;
    data_set(part(first)?, test, options, Vec::new())
}

fn part(pair: &Pair) -> anyhow::Result<Found> {
    let read = |path: &Path| {
        let file = read_file(path)?;
        Idx::read_any(&file).with_context(|| format!("failed to read '{}'", path.display()))
    };
    found(read(&pair.images)?, read(&pair.labels)?)
}

/// The files of one part as bytes: images and labels.
pub(crate) type Bytes<'a> = (&'a [u8], &'a [u8]);

/// Data from files in memory: a part to train with and one to test with.
pub(crate) fn in_memory(train: Bytes<'_>, test: Bytes<'_>) -> anyhow::Result<DataSet> {
    let part = |(images, labels)| found(Idx::read_any(images)?, Idx::read_any(labels)?);
    data_set(part(train)?, Some(part(test)?), &Options::default(), Vec::new())
}

fn found(images: Idx, labels: Idx) -> anyhow::Result<Found> {
    let [_] = labels.dims[..] else {
        bail!("expected one label an image, found labels of shape {:?}", labels.dims);
    };
    let images = Tensor::from_vec(images.dims.into_iter().collect(), images.data)?;
    let labels = labels.data.into_iter().map(i64::from).collect();
    Ok(Found {
        inputs: vec![("image".to_owned(), Column::of_tensor(&images)?)],
        targets: Raw::Integers(labels),
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Files, classes, floats};
    use super::super::{InputKind, Task};
    use super::*;

    const IMAGES: &[u8] = &[0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 0, 51, 102, 255];
    const LABELS: &[u8] = &[0, 0, 8, 1, 0, 0, 0, 2, 7, 3];

    #[test]
    fn pairs_become_parts() {
        let files = Files::new()
            .file("train-images-idx3-ubyte", IMAGES)
            .file("train-labels-idx1-ubyte", LABELS)
            .file("t10k-images.idx3-ubyte", IMAGES)
            .file("t10k-labels.idx1-ubyte", LABELS);
        let data = DataSet::open(&files.path(""), &Options::default()).unwrap();
        assert_eq!(data.inputs[0].shape.dims(), [1, 1, 2]);
        assert_eq!(data.inputs[0].kind, InputKind::Image);
        assert_eq!(floats(&*data.train), [0.0, 0.2, 0.4, 1.0]);
        assert_eq!(classes(&*data.train), [1, 0]);
        assert_eq!(data.classes, Some(vec![1, 0]));
        let labels = ["3", "7"].map(str::to_owned).to_vec();
        assert_eq!(data.task, Task::Classification { labels });
        assert_eq!(data.test.unwrap().len(), 2);
    }

    #[test]
    fn halves_of_pairs_and_other_counts_are_refused() {
        let refusal = |files: &Files| {
            let error = DataSet::open(&files.path(""), &Options::default()).err().unwrap();
            format!("{error:#}")
        };
        let half = Files::new().file("train-images-idx3-ubyte", IMAGES);
        assert!(refusal(&half).contains("'train-images-idx3-ubyte' is alone"));
        let short = half.file("train-labels-idx1-ubyte", [0, 0, 8, 1, 0, 0, 0, 1, 7]);
        assert!(refusal(&short).contains("2 examples and 1 targets"), "{}", refusal(&short));
    }
}
