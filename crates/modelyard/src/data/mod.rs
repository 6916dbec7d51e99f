//! Data to train and evaluate with: what a path holds, as examples in batches.
//!
//! | module | holds |
//! |---|---|
//! | `mod` | [`DataSet`], [`Options`], and which reader a path belongs to |
//! | [`args`] | the options as commands take them |
//! | `arrays`, `targets` | examples in memory; what models should answer |
//! | `idx_folder`, `numpy`, `json_lines`, `table`, `pictures` | one source each |
//! | `bad` | entries that cannot be used, by name and reason |
//! | [`binding`], `arrange` | how examples become inputs of a model |
//! | [`normalization`], [`split`] | what training does to data before it learns |

pub(crate) mod args;
mod arrange;
mod arrays;
mod bad;
pub(crate) mod binding;
pub(crate) mod idx_folder;
mod json_lines;
pub(crate) mod normalization;
mod numpy;
mod parallel;
mod pictures;
pub(crate) mod split;
mod table;
mod targets;
#[cfg(test)]
mod testing;

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use modelyard_tensor::Shape;
use modelyard_train::data::Examples;

use crate::tensors::idx;
use crate::tensors::read_file;

/// Data from one path.
pub(crate) struct DataSet {
    /// The examples to learn from: all of them where the source has no parts.
    pub(crate) train: Box<dyn Examples>,
    /// The examples to measure by, where the source sets some apart.
    pub(crate) test: Option<Box<dyn Examples>>,
    /// What one example consists of; batches have these inputs in this order.
    pub(crate) inputs: Vec<Input>,
    /// What is to be answered.
    pub(crate) task: Task,
    /// The class of each example of `train`, where there are classes: known without loading.
    pub(crate) classes: Option<Vec<usize>>,
    /// What was left out: place and reason.
    pub(crate) skipped: Vec<(String, String)>,
}

/// One input of each example.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Input {
    /// Its name in the source, or what it is where the source has no names.
    pub(crate) name: String,
    /// The shape of one example.
    pub(crate) shape: Shape,
    /// What it is.
    pub(crate) kind: InputKind,
}

/// What an input is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum InputKind {
    /// A picture: channels, height, width; 0 (dark) to 1 (bright).
    Image,
    /// The number columns of a table, in this order.
    Table(Vec<String>),
    /// Numbers whose meaning the source does not say.
    Tensor,
}

/// What is to be answered.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Task {
    /// Which class: targets are positions in these labels.
    Classification {
        /// Names of the classes, numbers in numeric order before text.
        labels: Vec<String>,
    },
    /// So many numbers.
    Regression {
        /// Numbers in one answer.
        width: usize,
    },
    /// The source does not say.
    Unlabelled,
}

/// What may be asked for, where the source leaves it open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum TaskKind {
    /// Targets are classes
    Classification,
    /// Targets are values
    Regression,
    /// There are no targets, or they do not matter
    Unlabelled,
}

/// How to read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    /// The `.npy` file with the targets to a `.npy` file of inputs.
    pub(crate) targets: Option<PathBuf>,
    /// The column, key or array that is the target.
    pub(crate) target: Option<String>,
    /// What targets are.
    pub(crate) task: Option<TaskKind>,
    /// Height and width that pictures are resized to.
    pub(crate) image_size: Option<(usize, usize)>,
    /// 1 (grey) or 3 (colour) channels of pictures.
    pub(crate) image_channels: Option<usize>,
    /// Columns and keys to leave out.
    pub(crate) ignore: Vec<String>,
    /// Goes on without entries that cannot be used.
    pub(crate) skip_bad: bool,
}

/// Up to so many different whole numbers in a table or JSON are classes.
const FEW_CLASSES: usize = 100;
/// Names of targets in tables, JSON and archives, by preference.
const TARGET_NAMES: [&str; 4] = ["label", "target", "class", "y"];

impl DataSet {
    /// Reads, or makes ready to read, what is at `path`: a folder with the files of MNIST, a
    /// folder of pictures by class, or a CSV, Parquet, NumPy or JSON lines file. Told apart by
    /// content first and name second.
    pub(crate) fn open(path: &Path, options: &Options) -> anyhow::Result<DataSet> {
        let read = || {
            if options.targets.is_some() && path.is_dir() {
                bail!("--targets goes with a .npy file, not with a folder");
            }
            if path.is_dir() { folder(path, options) } else { file(path, options) }
        };
        let data =
            read().with_context(|| format!("failed to use the data '{}'", path.display()))?;
        if data.train.is_empty() {
            bail!("the data '{}' holds no usable examples", path.display());
        }
        Ok(data)
    }
}

fn folder(path: &Path, options: &Options) -> anyhow::Result<DataSet> {
    match idx_folder::find(path)? {
        Some(files) => idx_folder::read(&files, options),
        None => pictures::open(path, options),
    }
}

fn file(path: &Path, options: &Options) -> anyhow::Result<DataSet> {
    let packed = read_file(path)?;
    let gzip = packed.starts_with(&[0x1f, 0x8b]);
    let content = if gzip { idx::unpacked(&packed)? } else { packed };
    let numpy = content.starts_with(b"\x93NUMPY");
    if options.targets.is_some() && !numpy {
        bail!("--targets goes with a .npy file of inputs");
    }
    if numpy {
        return numpy::array(&content, options);
    }
    if content.starts_with(b"PK\x03\x04") {
        return numpy::archive(&content, options);
    }
    if content.starts_with(b"PAR1") {
        return table::parquet(content, options);
    }
    if content.starts_with(&[0, 0, 8]) {
        bail!("one IDX file is half of the data: give the folder with images and labels");
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
    let brace = content.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
    if ends(&[".jsonl", ".ndjson", ".json"]) || (brace && !ends(&[".csv", ".tsv"])) {
        return json_lines::read(&content, options);
    }
    if ends(&[".csv", ".tsv", ".txt"]) || std::str::from_utf8(&content).is_ok() {
        return table::csv(&content, options);
    }
    bail!(
        "expected a folder (MNIST files, or pictures in folders by class) or a CSV, TSV, Parquet, \
         .npy, .npz or JSON lines file"
    )
}

#[cfg(test)]
mod tests {
    use super::testing::Files;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_data_is_told() {
        let files = Files::new().file("x.bin", b"\xff\xfe\x00\x01").file("empty.csv", b"");
        let refusal = |path: &str| {
            let error = DataSet::open(&files.path(path), &Options::default()).err().unwrap();
            format!("{error:#}")
        };
        assert!(refusal("x.bin").contains("expected a folder"), "{}", refusal("x.bin"));
        assert!(refusal("none").contains("No such file"), "{}", refusal("none"));
        assert!(refusal("empty.csv").contains("no header"), "{}", refusal("empty.csv"));
        assert!(refusal("").contains("no pictures"), "{}", refusal(""));
    }

    proptest! {
        #[test]
        fn any_file_is_read_or_refused(
            start in proptest::sample::select(vec![
                &b""[..], b"\x93NUMPY\x01\x00", b"PK\x03\x04", b"PAR1", b"{\"x\": ", b"a,b\n1,",
                b"\x1f\x8b\x08\x00", b"\x00\x00\x08\x01",
            ]),
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            skip_bad: bool,
        ) {
            let files = Files::new().file("data", [start, &bytes].concat());
            let options = Options { skip_bad, ..Options::default() };
            if let Ok(data) = DataSet::open(&files.path("data"), &options) {
                data.train.load(&[0]).unwrap();
            }
        }
    }
}
