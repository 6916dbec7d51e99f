//! Files for tests of readers.

use std::path::PathBuf;

use modelyard_train::data::{Examples, Targets};

/// A folder with files, removed in the end.
pub(crate) struct Files(tempfile::TempDir);

impl Files {
    /// An empty folder.
    pub(crate) fn new() -> Files {
        Files(tempfile::tempdir().unwrap())
    }

    /// With a file in it.
    pub(crate) fn file(self, path: &str, content: impl AsRef<[u8]>) -> Files {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self
    }

    /// A path in it.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }
}

/// All floats of the first input.
pub(crate) fn floats(examples: &dyn Examples) -> Vec<f32> {
    let numbers: Vec<usize> = (0..examples.len()).collect();
    examples.load(&numbers).unwrap().inputs[0].1.as_floats().unwrap().to_vec()
}

/// All classes.
pub(crate) fn classes(examples: &dyn Examples) -> Vec<usize> {
    let numbers: Vec<usize> = (0..examples.len()).collect();
    match examples.load(&numbers).unwrap().targets {
        Targets::Classes(classes) => classes,
        other => panic!("no classes: {other:?}"),
    }
}

/// All target values.
pub(crate) fn values(examples: &dyn Examples) -> Vec<f32> {
    let numbers: Vec<usize> = (0..examples.len()).collect();
    match examples.load(&numbers).unwrap().targets {
        Targets::Values(values) => values.as_floats().unwrap().to_vec(),
        other => panic!("no values: {other:?}"),
    }
}
