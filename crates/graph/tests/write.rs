//! What is written to disk: the same bytes as in memory, weights beside the model, nothing half
//! done.

use std::cell::Cell;
use std::path::Path;

use modelyard_graph::file::{External, WriteError, WriteOptions, read_file, read_whole, write};
use modelyard_graph::{
    Constant, ConstantData, ElementType, ExternalData, Function, Graph, GraphBuilder, Limits,
    Model, Node,
};
use modelyard_tensor::{DataType, Dim};
use modelyard_testkit::{external, models};
use proptest::prelude::*;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("the folder is there");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("readable").file_name().into_string().expect("UTF-8"))
        .collect();
    names.sort();
    names
}

/// A constant whose elements are held in each of the ways that there are.
fn constant(name: &str, kind: usize, len: usize, seed: u64) -> Constant {
    let numbers = (0..len as u64).map(|index| (index ^ seed).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let (element_type, data) = match kind {
        0 => (ElementType::Uint8, ConstantData::Raw(numbers.map(|n| n as u8).collect())),
        1 => (ElementType::Float32, ConstantData::Floats(numbers.map(|n| n as f32).collect())),
        2 => (ElementType::Int32, ConstantData::Ints(numbers.map(|n| n as i32).collect())),
        3 => (ElementType::Int64, ConstantData::Longs(numbers.map(|n| n as i64).collect())),
        4 => (ElementType::Float64, ConstantData::Doubles(numbers.map(|n| n as f64).collect())),
        5 => (ElementType::Uint32, ConstantData::Unsigned(numbers.map(|n| n >> 32).collect())),
        6 => (ElementType::Float16, ConstantData::Ints(numbers.map(|n| n as u16 as i32).collect())),
        _ => (
            ElementType::String,
            ConstantData::Strings(numbers.map(|n| n.to_string().into()).collect()),
        ),
    };
    Constant { name: name.into(), element_type, dims: vec![len], data }
}

/// A model with constants wherever a model can have them.
fn model(kinds: &[(usize, usize)], seed: u64) -> Model {
    let inner = |index: usize| {
        let (kind, len) = kinds[index % kinds.len()];
        Graph {
            name: "inner".into(),
            initializers: vec![constant("inner", kind, len, seed)],
            doc: "inside".into(),
            ..Graph::default()
        }
    };
    let mut graph = GraphBuilder::new("all").input("x", DataType::Fp32, &[Dim::Free]).output(
        "y",
        DataType::Fp32,
        &[Dim::Free],
    );
    for (index, &(kind, len)) in kinds.iter().enumerate() {
        let value = constant("", kind, len, seed + 1);
        graph = graph
            .initializer(constant(&format!("c{index}"), kind, len, seed))
            .node(Node::new("Constant", &[], &[&format!("v{index}")]).with("value", value));
    }
    let branches =
        Node::new("If", &["x"], &["y"]).with("then_branch", inner(0)).with("else_branch", inner(1));
    let function = Function {
        name: "f".into(),
        domain: "own".into(),
        inputs: vec!["a".into()],
        outputs: vec!["b".into()],
        nodes: vec![Node::new("Constant", &[], &["b"]).with("value", constant("", 0, 9000, seed))],
        attributes: vec!["alpha".into()],
        doc: "a function".into(),
        ..Function::default()
    };
    let mut model = graph.node(branches).model().with_function(function);
    model.graph.doc = "a graph".into();
    model.metadata.insert("key".into(), "value".into());
    model
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn the_file_has_the_bytes_of_the_model(
        kinds in proptest::collection::vec((0usize..8, 0usize..40_000), 1..5),
        seed in any::<u32>(),
    ) {
        let model = model(&kinds, seed.into());
        let folder = folder();
        let path = folder.path().join("model.onnx");
        let written = write(&model, &path, &WriteOptions::default()).expect("written");
        let bytes = std::fs::read(&path).expect("written");
        prop_assert_eq!(written.model_bytes, bytes.len() as u64);
        prop_assert!(bytes == model.encode());
        prop_assert_eq!(names(folder.path()), ["model.onnx"]);
    }

    #[test]
    fn data_beside_the_model_comes_back(
        kinds in proptest::collection::vec((0usize..8, 0usize..400_000), 1..4),
        seed in any::<u32>(),
    ) {
        let mut model = model(&kinds, seed.into());
        model.graph.nodes.truncate(0);
        model.graph.nodes.push(Node::new("Identity", &["x"], &["y"]));
        let folder = folder();
        let path = folder.path().join("model.onnx");
        let options = WriteOptions { external: External::From(100), ..WriteOptions::default() };
        write(&model, &path, &options).expect("written");
        let read = read_whole(&path, &Limits::default()).expect("readable");
        for (one, two) in model.graph.initializers.iter().zip(&read.graph.initializers) {
            prop_assert_eq!(&one.name, &two.name);
            match one.bytes() {
                Some(bytes) => prop_assert!(two.bytes() == Some(bytes), "{}", one.name),
                None => prop_assert!(one.data == two.data, "{}", one.name),
            }
        }
        // And back into the model, from where they are.
        let lazy = read_file(&path, &Limits::default()).expect("readable");
        let again = folder.path().join("again.onnx");
        let from = WriteOptions { folder: Some(folder.path()), ..WriteOptions::default() };
        write(&lazy, &again, &from).expect("written");
        prop_assert!(std::fs::read(&again).expect("written") == read.encode());
    }
}

#[test]
fn all_models_are_written_as_they_are_encoded() {
    let folder = folder();
    for (name, model) in models::all() {
        let path = folder.path().join("model.onnx");
        write(&model, &path, &WriteOptions::default()).expect("written");
        assert!(std::fs::read(&path).expect("written") == model.encode(), "{name}");
    }
}

#[test]
fn large_tensors_begin_at_pages() {
    let folder = folder();
    let path = folder.path().join("model.onnx");
    let model = model(&[(0, 300), (1, 1 << 18), (0, 2000), (3, 70)], 1);
    let options = WriteOptions { external: External::From(1000), ..WriteOptions::default() };
    let written = write(&model, &path, &options).expect("written");
    let (data, bytes) = written.data.expect("weights beside the model");
    assert_eq!(data, folder.path().join("model.onnx.data"));
    assert_eq!(std::fs::metadata(&data).expect("written").len(), bytes);
    let read = read_file(&path, &Limits::default()).expect("readable");
    for constant in &read.graph.initializers {
        let Some(external) = constant.external() else { continue };
        let alignment = if constant.byte_len() >= Some(1 << 20) { 4096 } else { 64 };
        assert_eq!(external.offset % alignment, 0, "{}", constant.name);
    }
    assert_eq!(read.graph.initializers.iter().filter_map(Constant::external).count(), 2);
    assert_eq!(names(folder.path()), ["model.onnx", "model.onnx.data"]);
}

#[test]
fn data_elsewhere_is_taken_along() {
    let (source, target) = (folder(), folder());
    let path = external::write(source.path()).expect("written");
    let model = read_file(&path, &Limits::default()).expect("readable");
    let copy = target.path().join("copy.onnx");
    let options = WriteOptions {
        folder: Some(source.path()),
        external: External::From(1),
        progress: None,
        scratch: false,
    };
    write(&model, &copy, &options).expect("written");
    let (one, two) = (
        read_whole(&path, &Limits::default()).expect("readable"),
        read_whole(&copy, &Limits::default()).expect("readable"),
    );
    assert_eq!(one, two);
    assert_eq!(names(target.path()), ["copy.onnx", "copy.onnx.data"]);
}

#[test]
fn data_outside_the_folder_is_not_read() {
    let (outer, target) = (folder(), folder());
    let mut model = external::model();
    model.graph.initializers[0].data = ConstantData::External(ExternalData {
        location: "../weights.bin".into(),
        offset: 0,
        length: None,
    });
    let options = WriteOptions { folder: Some(outer.path()), ..WriteOptions::default() };
    let error = write(&model, &target.path().join("m.onnx"), &options).expect_err("refused");
    assert!(matches!(error, WriteError::External(_)), "{error}");
    assert!(names(target.path()).is_empty());
}

#[test]
fn what_fails_leaves_nothing_behind() {
    let folder = folder();
    let taken = folder.path().join("taken");
    std::fs::create_dir(&taken).expect("a folder");
    let error = write(&models::mlp(), &taken, &WriteOptions::default()).expect_err("refused");
    assert!(error.to_string().contains("failed to write"), "{error}");
    assert_eq!(names(folder.path()), ["taken"]);
    let error = write(&models::mlp(), Path::new("/"), &WriteOptions::default());
    assert!(matches!(error, Err(WriteError::Name(_))));
}

#[test]
fn progress_ends_at_the_whole() {
    let folder = folder();
    let last = Cell::new((0, 0));
    let hears = |done, total| {
        assert!(done > last.get().0 && done <= total);
        last.set((done, total));
    };
    let options = WriteOptions {
        external: External::From(1000),
        progress: Some(&hears),
        ..WriteOptions::default()
    };
    let model = model(&[(0, 500_000), (1, 3000)], 1);
    write(&model, &folder.path().join("m.onnx"), &options).expect("written");
    assert_eq!(last.get().0, last.get().1);
}
