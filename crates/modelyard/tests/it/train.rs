//! `modelyard train`: every kind of network and data, what the written model knows of itself, and
//! what goes wrong with data and settings.

use modelyard_train::with_statistics;
use serde_json::{Value, json};

use crate::digits;
use crate::harness::{Folder, run};
use crate::training::{
    assert_same, few_digits, metadata, model, points, refused, report, sentences, values,
};

/// The network that the README trains.
const MLP: &str = "dense(128, relu), dense(10, softmax)";

/// A small one for [`points`].
const SMALL: &str = "dense(16, tanh), dense(2, softmax)";

/// What `evaluate` measures, in the engine that serves.
fn evaluate(model: &str, data: &str, folder: &Folder) -> Value {
    report(&["evaluate", model, "--data", data, "--engine", "rten"], folder)
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("expected a number, found {value}"))
}

fn assert_near(left: &Value, right: &Value) {
    assert!((number(left) - number(right)).abs() < 1e-5, "{left} is not {right}");
}

#[test]
fn digits_are_learned_and_the_engine_agrees() {
    let folder = Folder::new();
    let data = digits::folder().display().to_string();
    let settings = ["--loss", "cross-entropy", "--optimizer", "adam", "--epochs", "5"];
    let written = ["--l2", "1e-4", "--metrics", "metrics.jsonl", "--curves", "curves.svg"];
    let all = [&["train", "--layers", MLP, "--data", &data], &settings[..], &written].concat();
    let told = report(&all, &folder);
    assert!(number(&told["test"]["accuracy"]) > 0.93, "{told}");
    assert_eq!((&told["epochs"], &told["trained_parameters"]), (&json!(5), &json!(101_770)));
    let measured = evaluate("model.onnx", &data, &folder);
    assert_eq!(measured["accuracy"], told["test"]["accuracy"]);
    assert_near(&measured["cross_entropy"], &told["test"]["loss"]);

    let model = model("model.onnx", &folder);
    assert_eq!(metadata(&model, "labels")[9], "9");
    let pixels = json!([{"input": "image", "pixels": "0 (dark) to 1 (bright)"}]);
    assert_eq!(metadata(&model, "preprocessing"), pixels);
    let record = metadata(&model, "training");
    assert_eq!(record["test"], told["test"]);
    assert_eq!(record["training_examples"], 7201);
    assert_eq!(number(&record["options"]["penalties"]["l2"]), 1e-4);
    let inspected = report(&["inspect", "model.onnx"], &folder);
    assert_eq!(inspected["outputs"][0]["shape_text"], "[batch,10]");

    let metrics = std::fs::read_to_string(folder.path("metrics.jsonl")).unwrap();
    let lines: Vec<Value> =
        metrics.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let epochs: Vec<&Value> = lines.iter().filter(|line| line["event"] == "epoch").collect();
    assert_eq!(epochs.len(), 5);
    assert_eq!(epochs[4]["training"], told["training"]);
    assert_eq!(epochs[4]["validation"], told["validation"]);
    let steps: Vec<&Value> = lines.iter().filter(|line| line["event"] == "step").collect();
    // 226 steps an epoch, a line every hundred of all.
    assert_eq!((steps.len(), &steps[10]["step"]), (11, &json!(1100)));
    let svg = std::fs::read_to_string(folder.path("curves.svg")).unwrap();
    for part in ["<svg", "loss", "accuracy", "validation", "</svg>"] {
        assert!(svg.contains(part), "no {part} in the curves");
    }
}

#[test]
fn people_read_what_came_of_it() {
    let folder = Folder::new().file("points.csv", points(100, 1));
    let arguments = ["train", "--layers", SMALL, "--data", "points.csv", "--epochs", "1"];
    let (code, stdout, stderr) = run(&arguments, &folder);
    assert_eq!(code, 0);
    assert!(
        stdout.starts_with("wrote 'model.onnx': 82 trained parameters, 1 epoch in"),
        "{stdout}"
    );
    for line in ["\ntraining   loss ", "\nvalidation loss ", " accuracy "] {
        assert!(stdout.contains(line), "{line} is not in {stdout}");
    }
    assert!(stderr.starts_with("epoch 1: loss "), "{stderr}");
    assert!(!stdout.contains("\ntest") && !folder.path("model.onnx.checkpoint").exists());
}

#[test]
fn the_same_command_gives_the_same_bytes_whatever_the_threads() {
    let folder = few_digits(Folder::new(), 200, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    let layers = "conv2d(4, 3, relu), maxpool2d, batchnorm, dropout(0.2), flatten, \
                  dense(16, relu), dense(10, softmax)";
    let train = |output: &str, more: &[&str]| {
        let arguments = ["train", "--layers", layers, "--data", "digits", "--epochs", "2"];
        report(&[&arguments[..], &["--output", output], more].concat(), &folder)
    };
    train("a.onnx", &["--threads", "1"]);
    train("b.onnx", &["--threads", "1"]);
    train("c.onnx", &["--threads", "2"]);
    train("d.onnx", &["--seed", "2"]);
    assert_same(&folder, "a.onnx", "b.onnx");
    assert_same(&folder, "a.onnx", "c.onnx");
    let weights = |path| model(path, &folder).graph;
    assert!(weights("a.onnx") != weights("d.onnx"), "the seed decides nothing");
}

#[test]
fn a_file_says_what_the_flags_say() {
    let text = "layers = \"dense(16, tanh), dense(2, softmax)\"\n\
                [training]\nepochs = 3\noptimizer = \"sgd\"\nlearning-rate = 0.1\nmomentum = 0.9\n";
    let tables = "[[layers]]\ntype = \"dense\"\nunits = 16\nactivation = \"tanh\"\n\
                  [[layers]]\ntype = \"dense\"\nunits = 2\nactivation = \"softmax\"\n";
    let wrong = "layers = \"dense(2)\"\n[training]\nepoch = 3\n";
    let folder = Folder::new()
        .file("points.csv", points(100, 1))
        .file("text.toml", text)
        .file("tables.toml", tables)
        .file("wrong.toml", wrong);
    let train = |arguments: &[&str]| {
        report(&[&["train", "--data", "points.csv"], arguments].concat(), &folder)
    };
    let flags = ["--optimizer", "sgd", "--learning-rate", "0.1", "--momentum", "0.9"];
    train(&[&["--layers", SMALL, "--epochs", "3", "-o", "flags.onnx"], &flags[..]].concat());
    train(&["--spec", "text.toml", "-o", "text.onnx"]);
    train(&[&["--spec", "tables.toml", "--epochs", "3", "-o", "tables.onnx"], &flags[..]].concat());
    assert_same(&folder, "flags.onnx", "text.onnx");
    assert_same(&folder, "flags.onnx", "tables.onnx");
    let wrong = ["train", "--data", "points.csv", "--spec", "wrong.toml"];
    refused(&wrong, &folder, 2, &["specification 'wrong.toml'", "unknown field `epoch`"]);
}

#[test]
fn tables_of_values_are_learned_with_their_scale_taken_out_inside() {
    let folder = Folder::new().file("values.csv", values(400));
    let layers = ["train", "--layers", "dense(8, tanh), dense(1)", "--data", "values.csv"];
    let settings = ["--epochs", "60", "--learning-rate", "0.01", "--early-stop", "10"];
    let told = report(&[&layers[..], &settings].concat(), &folder);
    assert_eq!(told["validation"]["accuracy"], Value::Null);
    let measured = evaluate("model.onnx", "values.csv", &folder);
    assert!(number(&measured["outputs"][0]["r2"]) > 0.99, "{measured}");
    let preprocessing = &metadata(&model("model.onnx", &folder), "preprocessing")[0];
    assert_eq!(preprocessing["columns"], json!(["a", "b"]));
    assert_eq!(preprocessing["taken_out"]["by"], "the model");
    let mean = number(&preprocessing["taken_out"]["mean"][0]);
    assert!((mean - 20_050.0).abs() < 10.0, "{mean}");
    let raw = ["--normalize", "none", "--output", "raw.onnx"];
    report(&[&layers[..], &settings, &raw].concat(), &folder);
    let measured = evaluate("raw.onnx", "values.csv", &folder);
    assert!(number(&measured["outputs"][0]["r2"]) < 0.9, "{measured}");
}

#[test]
fn convolutions_with_batch_normalization_dropout_and_residuals_learn() {
    let folder = few_digits(Folder::new(), 400, &[0, 1, 7]);
    let layers = "conv2d(8, 3, relu, padding=same), batchnorm, maxpool2d, \
                  residual(conv2d(8, 3, relu, padding=same), batchnorm), globalavgpool, \
                  dropout(0.1), dense(3, softmax)";
    let train = ["train", "--layers", layers, "--data", "digits"];
    let told =
        report(&[&train[..], &["--epochs", "12", "--learning-rate", "0.01"]].concat(), &folder);
    assert!(number(&told["test"]["accuracy"]) > 0.8, "{told}");
    let measured = evaluate("model.onnx", "digits", &folder);
    assert_eq!(measured["accuracy"], told["test"]["accuracy"]);
    assert_near(&measured["cross_entropy"], &told["test"]["loss"]);
}

#[test]
fn words_are_read_in_their_order() {
    let folder = Folder::new().file("words.jsonl", sentences(1200));
    let layers = "embedding(10, 8), lstm(16), dense(2, softmax)";
    let train = ["train", "--layers", layers, "--data", "words.jsonl", "--epochs", "25"];
    report(&[&train[..], &["--learning-rate", "0.02"]].concat(), &folder);
    let measured = evaluate("model.onnx", "words.jsonl", &folder);
    assert!(number(&measured["accuracy"]) > 0.97, "{measured}");
    let inspected = report(&["inspect", "model.onnx"], &folder);
    assert_eq!(inspected["inputs"][0]["datatype"], "INT64");
    let scaled = ["--normalize", "standard"];
    refused(&[&train[..], &scaled].concat(), &folder, 2, &["an embedding takes whole numbers"]);
}

#[test]
fn numbers_that_explode_end_the_run_with_step_tensor_and_advice() {
    let folder = Folder::new().file("values.csv", values(100));
    let layers = ["train", "--layers", "dense(8, relu), dense(1)", "--data", "values.csv"];
    let rate = ["--optimizer", "sgd", "--learning-rate", "1e20"];
    let texts =
        ["training diverged in step ", "(Gemm), holds NaN or infinity", "lower --learning-rate"];
    refused(&[&layers[..], &rate].concat(), &folder, 1, &[&texts[..], &["--clip-norm 1"]].concat());
    assert!(!folder.path("model.onnx").exists());
    let rate = ["--optimizer", "sgd", "--learning-rate", "100", "--clip-norm", "1e30"];
    let loss = ["the loss is ", "in the first step; try a lower --learning-rate (now 100)"];
    refused(&[&layers[..], &rate].concat(), &folder, 1, &loss);
}

#[test]
fn bad_entries_are_named_and_left_out_when_told() {
    let rows = format!("{}nan,0.1,same\n0.5,,other\n", points(60, 1));
    let mut folder = Folder::new().file("points.csv", rows);
    for (number, (pixels, digit)) in digits::first(20).into_iter().enumerate() {
        folder =
            folder.file(&format!("photos/{digit}/{number}.pgm"), digits::picture(&pixels, false));
    }
    let folder = folder.file("photos/7/torn.png", b"\x89PNG\r\n\x1a\n and no more");
    let table = ["train", "--layers", SMALL, "--data", "points.csv", "--epochs", "1"];
    let rows = ["line 62: column 'a': expected a number", "line 63: column 'b'", "--skip-bad"];
    refused(&table, &folder, 2, &rows);
    let photos = ["train", "--layers", MLP, "--data", "photos", "--epochs", "1"];
    refused(&photos, &folder, 2, &["7/torn.png: ", "1 entry cannot be used", "--skip-bad"]);
    let skip = ["--skip-bad"];
    assert_eq!(report(&[&table[..], &skip].concat(), &folder)["skipped"], 2);
    assert_eq!(report(&[&photos[..], &skip].concat(), &folder)["skipped"], 1);
    let (_, told, _) = run(&[&photos[..], &skip].concat(), &folder);
    assert!(told.contains("left out 1 entry that cannot be used"), "{told}");
}

#[test]
fn what_does_not_go_together_is_told() {
    let folder = Folder::new().file("points.csv", points(50, 1)).file(
        "two.jsonl",
        "{\"a\": [1], \"b\": [2], \"y\": 1}\n{\"a\": [1], \"b\": [2], \"y\": 0}\n",
    );
    let check = |arguments: &[&str], texts: &[&str]| {
        refused(&[&["train"], arguments].concat(), &folder, 2, texts);
    };
    let data = ["--data", "points.csv"];
    check(&data, &["--layers"]);
    let layers = |layers, text| check(&[&data[..], &["--layers", layers]].concat(), &[text]);
    layers("dense(16", "expected ',' or ')' at character 9, found the end");
    layers("dens(2)", "there is no layer 'dens'; expected one of dense, conv1d");
    layers("dense(3, softmax)", "ends in 3 numbers, but the data has 2 classes");
    layers("conv2d(4, 3), flatten, dense(2)", "conv2d");
    let with = |more: &[&str], text| {
        check(&[&data[..], &["--layers", SMALL], more].concat(), &[text]);
    };
    with(&["--learning-rate", "0"], "above 0 for --learning-rate, found 0");
    with(&["--validation", "1.5"], "for --validation, found 1.5");
    with(&["--target", "z"], "there is no column 'z' to be the target");
    with(&["--task", "unlabelled", "--ignore", "sign"], "no targets to learn");
    with(&["--memory-limit", "lots"], "for --memory-limit, found 'lots'");
    with(&["--resume"], "failed to resume from 'model.onnx.checkpoint'");
    check(&["--layers", SMALL, "--data", "two.jsonl"], &["layers take one input", "a, b"]);
    let little = [&["train", "--layers", SMALL, "--memory-limit", "100B"], &data[..]].concat();
    refused(&little, &folder, 1, &["make the batch smaller"]);
    let none = ["train", "--layers", SMALL, "--data", "points.csv", "-o", "none/model.onnx"];
    refused(&none, &folder, 2, &["there is no folder for 'none/model.onnx'"]);
}

#[test]
fn what_is_written_is_a_whole_model() {
    let folder = Folder::new().file("points.csv", points(50, 1));
    report(&["train", "--layers", SMALL, "--data", "points.csv", "--epochs", "1"], &folder);
    let model = model("model.onnx", &folder);
    assert!(model.clone().check().is_ok());
    // Nothing of the training itself stays in the graph.
    assert_eq!(with_statistics(&model).unwrap().graph, model.graph);
}
