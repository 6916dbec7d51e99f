//! TensorFlow Lite: what the interpreter answers, and what is no model.

use std::collections::BTreeMap;
use std::fs;

use modelyard_convert::verify::{self, Trial};
use modelyard_convert::{
    Conversion, ConvertError, Format, Limits, Options, convert, open, operators,
};
use modelyard_tensor::Dim;
use proptest::prelude::*;

use crate::support::{Expected, check, compare_all, evaluate, fixtures};

/// Models that the embedded engine runs whole, with all operators that it knows.
const MODELS: &[&str] = &[
    "network",
    "network_float16",
    "network_dynamic",
    "network_int8",
    "network_int8_float_io",
    "lstm",
    "lstm_hybrid",
    "lstm_int8",
    "lstm_int8_time",
    "clipped_cells",
    "gru_while",
    "stream",
    "while",
    "if",
    "shapes",
    "elementwise",
    "pairs",
    "reductions",
    "indices",
    "moves",
    "images",
    "memories",
    "fourier",
    "integers",
    "uint8",
    "sparse",
    "pooling",
    "transpose_bias",
    "transform",
    "labels",
];

/// Models with something that the embedded engine does not know: integers of 16 bits, local
/// normalization, volumes, peepholes, suppression of boxes. ONNX Runtime does; without it only the
/// evaluator is compared.
const ELSEWHERE: &[&str] = &[
    "network_int16",
    "local_norm",
    "volumes",
    "peepholes",
    "suppression",
    "detection",
    "detection_by_class",
];

#[test]
fn models_answer_as_the_interpreter() {
    // All that fail are named.
    let fails = |name: &&&str| std::panic::catch_unwind(|| check(&file(name))).is_err();
    let failing: Vec<&&str> = MODELS.iter().filter(fails).collect();
    assert!(failing.is_empty(), "{failing:?} fail");
}

#[test]
fn models_that_few_engines_run_are_evaluated_as_the_interpreter_does() {
    for name in ELSEWHERE {
        println!("{name}");
        if std::env::var_os("MODELYARD_TEST_ONNXRUNTIME").is_some() {
            check(&file(name));
            continue;
        }
        let path = fixtures().join(file(name));
        let source = open(&path, &Options::default(), &Limits::default()).unwrap();
        let conversion = converted(name);
        let expected = Expected::read(&path.with_extension("safetensors"));
        let found = evaluate(&*source, &expected.inputs(&conversion));
        compare_all("the reference evaluator", &expected, &conversion, found);
    }
}

fn file(name: &str) -> String {
    format!("tflite/{name}.tflite")
}

fn converted(name: &str) -> Conversion {
    let options = Options::default();
    let path = fixtures().join(file(name));
    let source = open(&path, &options, &Limits::default()).unwrap();
    convert(&*source, &options).unwrap()
}

#[test]
fn what_is_not_covered_is_listed_whole() {
    let path = fixtures().join(file("refused"));
    let source = open(&path, &Options::default(), &Limits::default()).unwrap();
    let error = convert(&*source, &Options::default()).unwrap_err();
    let ConvertError::Unsupported(missing) = error else { panic!("{error}") };
    let names: Vec<&str> = missing.iter().map(|missing| missing.operator.as_str()).collect();
    assert_eq!(names, ["FlexErfinv", "UNIQUE"]);
    assert!(missing[0].way_out.contains("SELECT_TF_OPS"), "{}", missing[0].way_out);
}

#[test]
fn state_is_an_input_and_an_output() {
    let conversion = converted("stream");
    let signature = conversion.model.signature().unwrap();
    let names = |specs: &[modelyard_tensor::TensorSpec]| -> Vec<String> {
        specs.iter().map(|spec| spec.name.clone()).collect()
    };
    assert_eq!(names(&signature.inputs), ["frame", "state.last"]);
    assert_eq!(names(&signature.outputs), ["mean", "state.last.next"]);
    assert!(conversion.notes.iter().any(|note| note.contains("at first zeros")));
}

#[test]
fn rows_are_free_where_they_are_independent() {
    for (name, is_free) in [("uint8", true), ("stream", true), ("while", false), ("if", false)] {
        let conversion = converted(name);
        let signature = conversion.model.signature().unwrap();
        let first = signature.inputs[0].dims.as_ref().unwrap()[0].clone();
        assert_eq!(first == Dim::Symbol("batch".into()), is_free, "{name}: {first}");
    }
}

#[test]
fn labels_and_normalization_come_with_the_model() {
    let conversion = converted("labels");
    assert_eq!(conversion.labels, ["cat", "dog", "bird"]);
    let preprocessing = &conversion.model.metadata["modelyard.preprocessing"];
    assert!(preprocessing.contains("127.5"), "{preprocessing}");
}

#[test]
fn the_vocabulary_has_what_usual_models_use() {
    let known = operators(Format::TfLite);
    assert!(known.len() >= 130, "{}", known.len());
    for name in ["CONV_2D", "DENSIFY", "VAR_HANDLE", "UNIDIRECTIONAL_SEQUENCE_LSTM"] {
        assert!(known.iter().any(|other| other == name), "{name}");
    }
}

#[test]
fn an_unknown_signature_is_named() {
    let options = Options { signature: Some("predict".into()), ..Options::default() };
    let path = fixtures().join(file("network"));
    let error = open(&path, &options, &Limits::default()).err().unwrap();
    assert!(error.to_string().contains("has: serving_default"), "{error}");
}

/// Files that are damaged on purpose. No loops: damaged ones go on until they are stopped.
const DAMAGED: &[&str] = &[
    "stream",
    "sparse",
    "labels",
    "uint8",
    "if",
    "elementwise",
    "pairs",
    "reductions",
    "indices",
    "moves",
    "images",
    "memories",
    "peepholes",
    "fourier",
    "detection",
    "suppression",
    "integers",
    "pooling",
    "transpose_bias",
    "transform",
    "volumes",
    "local_norm",
    "shapes",
];

/// Reads, converts and evaluates bytes; whatever comes of it, it must be an answer.
fn try_all(bytes: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.tflite");
    fs::write(&path, bytes).unwrap();
    let limits = Limits {
        tensor_bytes: 1 << 24,
        description_bytes: 1 << 24,
        evaluation_bytes: 1 << 24,
        ..Limits::default()
    };
    let Ok(source) = open(&path, &Options::default(), &limits) else { return };
    let Ok(conversion) = convert(&*source, &Options::default()) else { return };
    let trial = Trial { batch: 1, sizes: BTreeMap::new(), seed: 1, edges: true };
    if let Ok(inputs) = verify::inputs(&conversion, &trial) {
        let _ = source.evaluate(&inputs);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(
        std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(64),
    ))]

    #[test]
    fn damaged_files_are_no_reason_to_panic(
        name in prop::sample::select(DAMAGED.to_vec()),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = fs::read(fixtures().join(file(name))).unwrap();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        try_all(&bytes);
    }
}
