//! What is no model is said to be what it is.

use std::io::Write;
use std::path::Path;

use super::*;

/// The format of a file with this content, or the error.
fn check(name: &str, content: &[u8]) -> Result<Format, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    let source = Source::open(&path, &Limits::default()).map_err(|error| error.to_string())?;
    recognize(&source).map_err(|error| error.to_string())
}

fn refused(name: &str, content: &[u8], found: &str) {
    let error = check(name, content).unwrap_err();
    assert!(error.contains(found), "expected '{found}' in: {error}");
}

fn zip_of(entries: &[&str]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for name in entries {
        writer.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(b"x").unwrap();
    }
    writer.finish().unwrap().into_inner()
}

#[test]
fn what_is_saved_as_a_model_by_mistake_is_named() {
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";
    refused("model.h5", pointer, "a Git LFS pointer instead of the file; run `git lfs pull`");
    refused("model.onnx", b"<!DOCTYPE html><html><head>", "an HTML page");
    refused("model.tflite", b"\n <html lang=\"en\">Not Found", "an HTML page");
    refused("model.pt", b"", "an empty file");
    refused("model.keras", b"\x1f\x8b\x08\0rest", "a gzip file; unpack it first");
    refused("model.onnx", b"GGUF\x03\0\0\0", "a GGUF file");
    refused(
        "model.onnx",
        b"\xff\xfe\xfd\xfc",
        "bytes of no format that it knows (ff fe fd fc ...)",
    );
    refused("config.json", b"{\"class_name\": \"Functional\"}", "has no weights");
    refused("photos.zip", &zip_of(&["a.jpg", "b.jpg"]), "with a.jpg, b.jpg in it");
}

#[test]
fn the_content_decides_and_not_the_name() {
    let keras = zip_of(&["metadata.json", "config.json", "model.weights.h5"]);
    assert_eq!(check("model.pt", &keras), Ok(Format::KerasArchive));
    let program = zip_of(&["net/archive_format", "net/models/model.json"]);
    assert_eq!(check("model.keras", &program), Ok(Format::ExportedProgram));
    let script = zip_of(&["net/data.pkl", "net/constants.pkl", "net/code/__torch__.py"]);
    assert_eq!(check("a", &script), Ok(Format::TorchScript));
    assert_eq!(check("a", &zip_of(&["archive/data.pkl", "archive/data/0"])), Ok(Format::StateDict));
    assert_eq!(check("model.onnx", b"\x1c\0\0\0TFL3rest"), Ok(Format::TfLite));
    assert_eq!(check("a.txt", b"\x89HDF\r\n\x1a\nrest"), Ok(Format::KerasHdf5));
    assert_eq!(check("a", b"tree\nversion=v4\n"), Ok(Format::LightGbm));
    assert_eq!(check("a", b"{\"learner\": {}}"), Ok(Format::XgBoost));
    let symbol = b"{\n  \"nodes\": [{\"op\": \"null\", \"name\": \"data\"}]}";
    assert_eq!(check("a.json", symbol), Ok(Format::MxNet));
    let tensors = b"\x0e\0\0\0\0\0\0\0{\"w\":\"nothing\"}";
    assert_eq!(check("a.pth", &tensors[..22]), Ok(Format::SafeTensors));
    assert_eq!(check("a.bin", b"\x80\x02}q\0."), Ok(Format::StateDict));
}

#[test]
fn protobuf_is_told_apart_by_its_fields() {
    let onnx = modelyard_graph::GraphBuilder::new("g").model().encode();
    assert_eq!(check("a", &onnx), Ok(Format::Onnx));
    // node { name: "x" op: "Placeholder" }
    let graph = b"\x0a\x10\x0a\x01x\x12\x0bPlaceholder";
    assert_eq!(check("a", graph), Ok(Format::GraphDef));
    // saved_model_schema_version: 1 meta_graphs { meta_info_def { ... } }
    assert_eq!(check("a", b"\x08\x01\x12\x04\x0a\x02\x0a\0"), Ok(Format::SavedModel));
}

#[test]
fn folders_are_looked_into() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Source::open(folder.path(), &Limits::default()).unwrap();
    let error = recognize(&open()).unwrap_err().to_string();
    assert!(error.contains("a folder without saved_model.pb"), "{error}");
    std::fs::write(folder.path().join("saved_model.pb"), b"\x08\x01").unwrap();
    assert_eq!(recognize(&open()).unwrap(), Format::SavedModel);
}

#[test]
fn a_file_that_is_not_there_is_an_error_of_the_system() {
    let error = Source::open(Path::new("/no/such/model"), &Limits::default()).unwrap_err();
    assert_eq!(error.to_string(), "failed to find '/no/such/model'");
}

proptest::proptest! {
    /// Any bytes are recognized or refused.
    #[test]
    fn nonsense_does_no_harm(content in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
        let _ = check("model", &content);
    }
}
