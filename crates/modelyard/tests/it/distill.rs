//! `modelyard distill`: a student learns from a teacher, with labels, with more data that has none,
//! and without any.

use serde_json::{Value, json};

use crate::digits;
use crate::harness::Folder;
use crate::training::{few_digits, metadata, model, points, refused, report};

const DIGITS: [&str; 6] = [
    "distill",
    "--data",
    "digits",
    "--epochs",
    "40",
    "--layers=dense(16, relu), dense(10, softmax)",
];

fn accuracy(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("expected a share, found {value}"))
}

/// 300 digits to learn from, and as many that only the teacher tells about.
fn few() -> Folder {
    let mut folder = few_digits(Folder::new(), 300, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    let more = digits::first(1400).into_iter().skip(800);
    for (number, (pixels, _)) in more.enumerate() {
        folder = folder.file(&format!("more/{number}.pgm"), digits::picture(&pixels, false));
    }
    folder
}

#[test]
fn a_student_learns_from_labels_and_teacher() {
    let folder = few();
    let teacher = digits::model();
    let teacher = ["--teacher", teacher.as_str()];
    let told = report(&[&DIGITS[..], &teacher].concat(), &folder);
    assert!(accuracy(&told["test"]["accuracy"]) > 0.6, "{told}");
    let measured = report(&["evaluate", "model.onnx", "--data", "digits"], &folder);
    assert_eq!(measured["accuracy"], told["test"]["accuracy"]);
    let student = model("model.onnx", &folder);
    let record = metadata(&student, "training");
    assert_eq!(record["command"], "distill");
    assert_eq!(record["options"]["loss"], json!({"distillation": [4.0, 0.7]}));
    assert_eq!(record["training_examples"], 270);

    let more = report(&[&DIGITS[..], &teacher, &["--unlabelled", "more"]].concat(), &folder);
    assert_eq!(metadata(&model("model.onnx", &folder), "training")["training_examples"], 870);
    assert!(accuracy(&more["test"]["accuracy"]) > 0.75, "{more}");

    let again = ["distill", "--data", "digits", "--student", "model.onnx", "--epochs", "1"];
    report(&[&again[..], &teacher, &["--output", "again.onnx"]].concat(), &folder);
    let before = &more["test"]["loss"];
    let after = report(&["evaluate", "again.onnx", "--data", "digits"], &folder);
    assert!(accuracy(&after["cross_entropy"]) < 2.0 * accuracy(before), "{after}");
}

#[test]
fn the_teacher_alone_is_enough() {
    let folder = few();
    let arguments = ["distill", "--data", "more", "--teacher", &digits::model(), "--epochs", "10"];
    let layers = ["--layers", "dense(16, relu), dense(10, softmax)"];
    let told = report(&[&arguments[..], &layers].concat(), &folder);
    assert_eq!(told["test"], Value::Null);
    let measured = report(&["evaluate", "model.onnx", "--data", "digits"], &folder);
    assert!(accuracy(&measured["accuracy"]) > 0.75, "{measured}");
}

#[test]
fn tables_without_targets_teach_too() {
    let unlabelled: String = points(300, 2)
        .lines()
        .map(|line| format!("{}\n", line.rsplit_once(',').unwrap().0))
        .collect();
    let folder = Folder::new().file("points.csv", points(300, 1)).file("more.csv", unlabelled);
    let teacher = ["train", "--layers", "dense(32, tanh), dense(2, softmax)", "--data"];
    let settings = ["points.csv", "--epochs", "40", "--learning-rate", "0.02", "-o", "t.onnx"];
    report(&[&teacher[..], &settings].concat(), &folder);
    let student =
        ["distill", "--teacher", "t.onnx", "--layers", "dense(16, tanh), dense(2, softmax)"];
    let settings = ["--epochs", "40", "--learning-rate", "0.02"];
    let learn = |data: &[&str]| {
        report(&[&student[..], &settings, data].concat(), &folder);
        let measured = report(&["evaluate", "model.onnx", "--data", "points.csv"], &folder);
        assert!(accuracy(&measured["accuracy"]) > 0.85, "{data:?}: {measured}");
        assert_eq!(metadata(&model("model.onnx", &folder), "labels"), json!(["other", "same"]));
    };
    learn(&["--data", "points.csv", "--unlabelled", "more.csv"]);
    // Its labels do not matter.
    learn(&["--data", "points.csv", "--unlabelled", "points.csv", "--target", "sign"]);
    learn(&["--data", "more.csv", "--task", "unlabelled"]);
}

#[test]
fn teachers_and_data_that_differ_are_refused() {
    let folder = few_digits(Folder::new(), 100, &[0, 1, 2]).file("points.csv", points(50, 1));
    let teacher = digits::model();
    let check = |arguments: &[&str], code: i32, text: &str| {
        refused(&[&["distill"], arguments].concat(), &folder, code, &[text]);
    };
    let both = ["--teacher", teacher.as_str(), "--data", "digits"];
    let with = |more: &[&str], text: &str| check(&[&both[..], more].concat(), 2, text);
    with(&["--layers", "dense(3)"], "the teacher tells 10 classes apart, the data has 3");
    with(&["--layers", "dense(3)", "--temperature", "0"], "above 0 for --temperature, found 0");
    with(&["--layers", "dense(3)", "--alpha", "2"], "from 0 to 1 for --alpha, found 2");
    with(&["--layers", "dense(3)", "--loss", "mse"], "--loss does not go with distill");
    with(&[], "--student");
    let table = ["--teacher", teacher.as_str(), "--data", "points.csv", "--layers", "dense(2)"];
    check(&table, 2, "takes shape [batch,784]");
    let none = ["--teacher", "none.onnx", "--data", "digits", "--layers", "dense(3)"];
    check(&none, 3, "failed to use the teacher 'none.onnx'");

    let swapped = points(50, 1).replace("same", "b").replace("other", "a");
    let folder = folder.file("swapped.csv", swapped);
    let train = ["train", "--layers", "dense(2, softmax)", "--data", "points.csv", "--epochs=1"];
    report(&[&train[..], &["-o", "t.onnx"]].concat(), &folder);
    let other = ["distill", "--teacher", "t.onnx", "--data", "swapped.csv", "--layers", "dense(2)"];
    let names = "the teacher's classes are other, same, those of the data a, b";
    refused(&other, &folder, 2, &[names]);
    let wide = ["distill", "--teacher", "t.onnx", "--data", "points.csv", "--layers", "dense(3)"];
    refused(&wide, &folder, 2, &["the student ends in 3 numbers, the teacher in 2"]);
}
