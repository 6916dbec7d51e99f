//! ONNX itself, in other versions and forms: it computes what it computed before.

use std::collections::BTreeMap;

use modelyard_convert::{ConvertError, Limits, Options, WeightType, convert, open};
use modelyard_graph::file::{External, WriteOptions, read_file, write};
use modelyard_graph::{ElementType, Model};
use modelyard_tensor::Dim;

use crate::support::{check, check_with, fixtures};

fn in_opset(version: i64) -> Options {
    Options { opset: Some(version), infer_shapes: true, ..Options::default() }
}

/// The sizes of the first output; what is open is -1.
fn output(model: &Model) -> Vec<i64> {
    let dims = model.signature().unwrap().outputs[0].dims.clone();
    dims.unwrap().iter().map(Dim::wire).collect()
}

#[test]
fn a_network_stays_what_it_is() {
    let conversion = check("onnx/net.onnx");
    assert_eq!(conversion.model.opset(""), Some(20));
    let operators: Vec<&str> = conversion.steps.iter().map(|step| &*step.operator).collect();
    assert!(operators.contains(&"Gelu") && operators.contains(&"Einsum"), "{operators:?}");
}

#[test]
fn a_network_goes_down_as_far_as_there_are_operators_for_it() {
    for version in [21, 17, 15, 13, 12, 11] {
        let conversion = check_with("onnx/net.onnx", &in_opset(version));
        assert_eq!(conversion.model.opset(""), Some(version));
    }
}

#[test]
fn an_old_model_goes_up() {
    for version in [8, 9, 11, 13, 18, 21] {
        let conversion = check_with("onnx/old.onnx", &in_opset(version));
        assert_eq!(conversion.model.graph.inputs.len(), 1);
        assert!(conversion.notes[0].contains("3 weights were listed"), "{:?}", conversion.notes);
    }
}

#[test]
fn functions_are_put_in_where_they_are_called() {
    let inline = Options { inline: true, ..Options::default() };
    let conversion = check_with("onnx/functions.onnx", &inline);
    assert!(conversion.model.functions.is_empty());
    assert!(conversion.model.nodes().all(|node| node.domain.is_empty()));
    let conversion = check_with("onnx/functions.onnx", &in_opset(13));
    assert!(conversion.model.functions.is_empty());
}

#[test]
fn a_batch_of_one_is_made_free() {
    let options = Options { free_batch: true, infer_shapes: true, ..Options::default() };
    let conversion = check_with("onnx/net.onnx", &options);
    assert_eq!(output(&conversion.model), [-1, 5], "{:?}", conversion.notes);
    let conversion = check_with("onnx/old.onnx", &options);
    assert_eq!(output(&conversion.model), [-1, 4, 4], "{:?}", conversion.notes);
}

#[test]
fn weights_are_stored_in_fewer_bits() {
    for (weights, element_type) in
        [(WeightType::Fp16, ElementType::Float16), (WeightType::Bf16, ElementType::Bfloat16)]
    {
        let options = Options { weights, ..Options::default() };
        let path = fixtures().join("onnx/net.onnx");
        let source = open(&path, &options, &Limits::default()).unwrap();
        let conversion = convert(source.as_ref(), &options).unwrap();
        let stored = conversion.model.graph.initializers.iter();
        let narrow = stored.filter(|constant| constant.element_type == element_type).count();
        assert!(narrow >= 3, "{narrow}");
        assert!(conversion.tolerance.relative > 1e-3);
    }
}

/// Before opset 13 nothing turns bf16 into what a model computes with.
#[test]
fn weights_in_bf16_take_an_old_model_to_operators_that_know_it() {
    let options = Options { weights: WeightType::Bf16, ..Options::default() };
    let path = fixtures().join("onnx/old.onnx");
    let source = open(&path, &options, &Limits::default()).unwrap();
    let conversion = convert(source.as_ref(), &options).unwrap();
    assert_eq!(conversion.model.opset(""), Some(13));
    let options = Options { opset: Some(12), ..options };
    let error = convert(source.as_ref(), &options).unwrap_err().to_string();
    assert!(error.contains("expected opset 13 or later for weights in bf16, found 12"), "{error}");
}

#[test]
fn the_caller_may_know_the_shape_better() {
    let dims = [Dim::Symbol("n".into()), Dim::Fixed(4)];
    let shapes = BTreeMap::from([("x".to_owned(), dims.to_vec())]);
    let options = Options { shapes, infer_shapes: true, inline: true, ..Options::default() };
    let conversion = check_with("onnx/functions.onnx", &options);
    let signature = conversion.model.signature().unwrap();
    assert_eq!(signature.outputs[0].dims.as_ref().unwrap()[0], dims[0]);
}

#[test]
fn weights_beside_the_model_are_taken_along() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.onnx");
    let limits = modelyard_graph::Limits::default();
    let model = read_file(&fixtures().join("onnx/net.onnx"), &limits).unwrap();
    let options = WriteOptions { external: External::From(64), ..WriteOptions::default() };
    write(&model, &path, &options).unwrap();
    let answers = fixtures().join("onnx/net.safetensors");
    std::fs::copy(answers, folder.path().join("net.safetensors")).unwrap();
    check(path.to_str().unwrap());
}

#[test]
fn what_is_in_the_way_is_named() {
    let options = in_opset(9);
    let path = fixtures().join("onnx/net.onnx");
    let source = open(&path, &options, &Limits::default()).unwrap();
    let error = convert(source.as_ref(), &in_opset(99)).unwrap_err();
    assert!(matches!(error, ConvertError::Unadaptable(_)), "{error}");
    assert!(error.to_string().contains("opset 99"), "{error}");
}

#[test]
fn truncated_files_are_refused() {
    let bytes = std::fs::read(fixtures().join("onnx/net.onnx")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.onnx");
    for length in (100..bytes.len()).step_by(701) {
        std::fs::write(&path, &bytes[..length]).unwrap();
        assert!(open(&path, &Options::default(), &Limits::default()).is_err(), "{length}");
    }
}
