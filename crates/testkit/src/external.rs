//! A model whose weights are in another file.

use std::path::{Path, PathBuf};

use modelyard_graph::{
    Constant, ConstantData, ElementType, ExternalData, GraphBuilder, Limits, Model, Node,
};
use modelyard_tensor::{DataType, Dim};

use crate::weights;

/// The file with the weights.
pub const DATA_FILE: &str = "weights.bin";

/// Where the weights start in it.
const OFFSET: usize = 4096;

/// `output = input x w` for `input [batch,8]`, with `w [8,4]` in [`DATA_FILE`].
pub fn model() -> Model {
    with_location(DATA_FILE, Some(8 * 4 * 4))
        .check()
        .expect("models of the testkit are valid, which its tests check")
}

/// What [`DATA_FILE`] holds.
pub fn data() -> Vec<u8> {
    let weights = weights::floats(1, 8 * 4, 0.5);
    let mut data = vec![0; OFFSET];
    data.extend(weights.iter().flat_map(|weight| weight.to_le_bytes()));
    data
}

/// Writes model and weights into `folder`; gives the path of the model.
pub fn write(folder: &Path) -> std::io::Result<PathBuf> {
    std::fs::write(folder.join(DATA_FILE), data())?;
    let path = folder.join("model.onnx");
    std::fs::write(&path, model().encode())?;
    Ok(path)
}

/// The same model with its weights anywhere: for tests of what must be refused.
pub fn with_location(location: &str, length: Option<u64>) -> Model {
    let batch = Dim::Symbol("batch".into());
    let data = ExternalData { location: location.into(), offset: OFFSET as u64, length };
    GraphBuilder::new("external")
        .input("input", DataType::Fp32, &[batch.clone(), Dim::Fixed(8)])
        .output("output", DataType::Fp32, &[batch, Dim::Fixed(4)])
        .initializer(Constant {
            name: "w".into(),
            element_type: ElementType::Float32,
            dims: vec![8, 4],
            data: ConstantData::External(data),
        })
        .node(Node::new("MatMul", &["input", "w"], &["output"]))
        .model()
}

/// Reads the model at `path` with the default limits.
pub fn read(path: &Path) -> Result<Model, modelyard_graph::ReadError> {
    modelyard_graph::file::read_file(path, &Limits::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().expect("a temporary folder")
    }

    /// Writes `model` into `folder` and reads it; gives the error's text.
    #[track_caller]
    fn refused(folder: &Path, model: &Model) -> String {
        let path = folder.join("model.onnx");
        std::fs::write(&path, model.encode()).expect("the folder is there");
        read(&path).expect_err("the model must be refused").to_string()
    }

    #[test]
    fn data_beside_the_model_is_found() {
        let folder = folder();
        let path = write(folder.path()).expect("the folder is there");
        let model = read(&path).expect("all is there");
        assert_eq!(model.external_files(), [DATA_FILE]);
    }

    #[test]
    fn data_outside_the_folder_is_refused() {
        let outer = folder();
        let inner = outer.path().join("model");
        std::fs::create_dir(&inner).expect("the folder is there");
        std::fs::write(outer.path().join(DATA_FILE), data()).expect("the folder is there");
        let absolute = outer.path().join(DATA_FILE);
        for location in ["../weights.bin", "./../weights.bin", "a/../../weights.bin"]
            .into_iter()
            .chain(absolute.to_str())
        {
            let error = refused(&inner, &with_location(location, None));
            assert!(error.contains("inside the model's folder"), "{error}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_that_lead_out_are_refused() {
        let outer = folder();
        let inner = outer.path().join("model");
        std::fs::create_dir(&inner).expect("the folder is there");
        std::fs::write(outer.path().join(DATA_FILE), data()).expect("the folder is there");
        std::os::unix::fs::symlink(outer.path().join(DATA_FILE), inner.join("link.bin"))
            .expect("links work here");
        std::os::unix::fs::symlink(outer.path(), inner.join("up")).expect("links work here");
        for location in ["link.bin", "up/weights.bin"] {
            let error = refused(&inner, &with_location(location, None));
            assert!(error.contains("leads out"), "{error}");
        }
    }

    #[test]
    fn lengths_are_not_trusted() {
        let folder = folder();
        std::fs::write(folder.path().join(DATA_FILE), &data()[..OFFSET + 100])
            .expect("the folder is there");
        for length in [None, Some(128)] {
            let error = refused(folder.path(), &with_location(DATA_FILE, length));
            assert!(error.contains("expected 128 bytes at offset 4096"), "{error}");
        }
        let error = refused(folder.path(), &with_location(DATA_FILE, Some(100)));
        assert!(error.contains("expected 128 bytes of external data"), "{error}");
        let error = refused(folder.path(), &with_location("absent.bin", None));
        assert!(error.contains("absent.bin"), "{error}");
    }
}
