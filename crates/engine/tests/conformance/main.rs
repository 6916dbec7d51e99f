//! Every engine against the ONNX backend node tests.
//!
//! A test passes, is not supported (refused, failed to load, or failed to run), or comes out
//! wrong. Wrong answers that `crates/engine/conformance/<engine>.txt` does not excuse fail the
//! suite: they belong into the engine's admission check.
//!
//! `cargo test` runs the small tests, which are in the repository. `MODELYARD_CONFORMANCE_CASES`
//! names a file with all of them (`tests/conformance/generate.py` writes it),
//! `MODELYARD_TEST_ONNXRUNTIME` an ONNX Runtime to test too. What became of each test is written
//! to `target/conformance/<engine>.txt`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod archive;
mod compare;
mod special;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};

use archive::Case;
use modelyard_engine::onnxruntime::OnnxRuntime;
use modelyard_engine::rten::Rten;
use modelyard_engine::{Engine, LoadOptions, ModelFile, Parallelism};
use modelyard_graph::{Limits, Model};
use modelyard_tensor::{Tensor, TensorView};

const HERE: &str = env!("CARGO_MANIFEST_DIR");

enum Outcome {
    Pass,
    Unsupported(String),
    Wrong(String),
}

#[test]
fn rten_answers_right_or_not_at_all() {
    check(&Rten::default());
}

#[test]
fn onnxruntime_answers_right_or_not_at_all() {
    let Some(library) = std::env::var_os("MODELYARD_TEST_ONNXRUNTIME") else {
        eprintln!("skipped: MODELYARD_TEST_ONNXRUNTIME names no library");
        return;
    };
    check(&OnnxRuntime::open(Path::new(&library)).unwrap());
}

#[test]
fn rten_keeps_what_is_no_number() {
    special::check(&Rten::default());
}

#[test]
fn onnxruntime_keeps_what_is_no_number() {
    if let Some(library) = std::env::var_os("MODELYARD_TEST_ONNXRUNTIME") {
        special::check(&OnnxRuntime::open(Path::new(&library)).unwrap());
    }
}

fn check(engine: &dyn Engine) {
    let small = PathBuf::from(HERE).join("conformance/cases.gz");
    let all = std::env::var_os("MODELYARD_CONFORMANCE_CASES").map(PathBuf::from);
    let excused = excused(engine.name());
    let folder = tempfile::tempdir().unwrap();
    let mut outcomes = BTreeMap::new();
    archive::read(&all.unwrap_or(small), |case| {
        outcomes.insert(case.name.clone(), run(engine, folder.path(), &case));
    });
    report(engine, &outcomes);
    let wrong: Vec<String> = outcomes
        .iter()
        .filter(|(name, _)| !excused.contains(name.trim_end_matches("@baked")))
        .filter_map(|(name, outcome)| match outcome {
            Outcome::Wrong(how) => Some(format!("{name}: {how}")),
            _ => None,
        })
        .collect();
    assert!(wrong.is_empty(), "{} answers wrongly:\n{}", engine.name(), wrong.join("\n"));
}

/// Names of tests that may come out wrong; the file says why.
fn excused(engine: &str) -> BTreeSet<String> {
    let path = format!("{HERE}/conformance/{engine}.txt");
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

fn run(engine: &dyn Engine, folder: &Path, case: &Case) -> Outcome {
    try_run(engine, folder, case).unwrap_or_else(Outcome::Unsupported)
}

fn try_run(engine: &dyn Engine, folder: &Path, case: &Case) -> Result<Outcome, String> {
    let model = Model::parse(case.model.clone(), &Limits::default())
        .map_err(|error| format!("not read: {error}"))?;
    let signature = model.signature().map_err(|error| format!("no signature: {error}"))?.clone();
    let (inputs, expected) = case.tensors().ok_or("not tensors alone")?;
    let path = folder.join("model.onnx");
    std::fs::write(&path, &case.model).unwrap();
    let loaded = engine
        .load(&ModelFile { path, model }, &LoadOptions { threads: 1, lone: false })
        .map_err(|error| format!("not loaded: {error}"))?;
    let views: Vec<TensorView<'_>> = inputs.iter().map(Tensor::view).collect();
    let agree =
        signature.inputs.iter().zip(&inputs).all(|(spec, tensor)| {
            spec.data_type == tensor.data_type() && spec.accepts(tensor.shape())
        });
    if !agree || signature.inputs.len() != views.len() {
        return Err("the test's inputs do not agree with its signature".into());
    }
    let wanted: Vec<usize> = (0..expected.len().min(signature.outputs.len())).collect();
    let found = loaded
        .session
        .run(&views, &wanted, Parallelism::One)
        .map_err(|error| format!("not run: {error}"))?;
    Ok(match compare::first_difference(&expected, &found) {
        None => Outcome::Pass,
        Some(difference) => Outcome::Wrong(difference),
    })
}

fn report(engine: &dyn Engine, outcomes: &BTreeMap<String, Outcome>) {
    let mut details = String::new();
    for (name, outcome) in outcomes {
        let (word, detail) = match outcome {
            Outcome::Pass => ("pass", ""),
            Outcome::Unsupported(why) => ("unsupported", why.as_str()),
            Outcome::Wrong(how) => ("wrong", how.as_str()),
        };
        writeln!(details, "{name}\t{word}\t{detail}").unwrap();
    }
    let folder = Path::new(HERE).join("../../target/conformance");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(format!("{}.txt", engine.name())), details).unwrap();
    println!("\n{} {}", engine.name(), engine.version());
    println!("{:20} {:>6} {:>6} {:>12} {:>6}", "inputs", "tests", "pass", "unsupported", "wrong");
    for (title, baked) in [("given", false), ("all but one constant", true)] {
        let of_kind = || outcomes.iter().filter(|(name, _)| name.ends_with("@baked") == baked);
        let count = |wanted: fn(&Outcome) -> bool| of_kind().filter(|(_, o)| wanted(o)).count();
        println!(
            "{title:20} {:6} {:6} {:12} {:6}",
            of_kind().count(),
            count(|outcome| matches!(outcome, Outcome::Pass)),
            count(|outcome| matches!(outcome, Outcome::Unsupported(_))),
            count(|outcome| matches!(outcome, Outcome::Wrong(_))),
        );
    }
}
