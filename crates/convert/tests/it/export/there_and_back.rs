//! Models of TensorFlow Lite, converted to ONNX and written for TensorFlow Lite again: the framework's
//! own answers are what is expected.

use std::path::Path;

use modelyard_convert::export::{Exported, Target, export};
use modelyard_convert::{ConvertError, Limits, Options, convert, open};

use super::{conversion, default, evaluated};
use crate::support::{Expected, fixtures};

/// Converts a fixture to ONNX and writes it for TensorFlow Lite: the framework's own answers are what
/// is expected. `None` where the target lacks an operator.
fn there_and_back(path: &Path) -> Option<Exported> {
    let name = path.display().to_string();
    let source = open(path, &Options::default(), &Limits::default()).unwrap();
    let there = convert(source.as_ref(), &Options::default()).ok()?;
    let expected = Expected::read(&path.with_extension("safetensors"));
    let exported = match export(&there.model, Target::Tflite, &default(), &Limits::default()) {
        Ok(exported) => exported,
        Err(ConvertError::Unsupported(missing)) => {
            let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
            eprintln!("{name}: {}", missing.join("; "));
            return None;
        }
        Err(error) => panic!("{name}: {error}"),
    };
    let given = expected.inputs(&there);
    let mut conversion = conversion(&exported);
    // What the way there may lose, and the way back.
    conversion.tolerance = there.tolerance;
    for back in exported.tolerances.values() {
        conversion.tolerance.relative = conversion.tolerance.relative.max(back.relative);
        conversion.tolerance.steps = conversion.tolerance.steps.max(back.steps);
    }
    let found = evaluated(&exported, &given);
    crate::support::compare_all(&name, &expected, &conversion, found);
    Some(exported)
}

fn fixtures_of(folder: &str, ending: &str) -> Vec<std::path::PathBuf> {
    let entries = fixtures().join(folder).read_dir().unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|found| found == ending));
    paths.retain(|path| path.with_extension("safetensors").exists());
    paths.sort();
    paths
}

/// Fixtures with operators that are not written for TensorFlow Lite: control flow, recurrent networks,
/// scattered elements, suppression of boxes, arcs, three dimensions of space.
const REFUSED: &[&str] = &[
    "detection",
    "detection_by_class",
    "gru_while",
    "if",
    "indices",
    "lstm",
    "lstm_hybrid",
    "pairs",
    "peepholes",
    "suppression",
    "transform",
    "volumes",
    "while",
];

#[test]
fn models_of_tensorflow_lite_come_back() {
    let paths = fixtures_of("tflite", "tflite");
    let name = |path: &Path| path.file_stem().unwrap().to_string_lossy().into_owned();
    let gone: Vec<String> =
        paths.iter().filter(|path| there_and_back(path).is_none()).map(|path| name(path)).collect();
    assert_eq!(gone, REFUSED);
}

#[test]
fn quantized_models_stay_quantized() {
    let path = fixtures().join("tflite/network_int8.tflite");
    let exported = there_and_back(&path).unwrap();
    let operators = exported.operators();
    assert!(operators.contains_key("CONV_2D"), "{operators:?}");
    // All of it is computed with integers.
    assert_eq!(operators.get("DEQUANTIZE"), None, "{operators:?}");
}
