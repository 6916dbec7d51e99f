//! `modelyard merge`: ensembles and soups of small nets, against what their members answer.

use serde_json::Value;

use crate::digits;
use crate::harness::{Folder, run};
use crate::training::{few_digits, metadata, model, points, refused, report, values, weight};

const MODELS: [&str; 3] = ["1.onnx", "2.onnx", "3.onnx"];

/// Digits, and three nets that learned them from other beginnings.
fn three_nets() -> Folder {
    let folder = few_digits(Folder::new(), 400, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    for (seed, name) in ["1", "2", "3"].iter().zip(MODELS) {
        let train =
            ["train", "--data", "digits", "--layers", "dense(12, relu), dense(10, softmax)"];
        report(&[&train[..], &["--epochs", "12", "--seed", seed, "-o", name]].concat(), &folder);
    }
    folder
}

fn merged(folder: &Folder, models: &[&str], more: &[&str]) -> Value {
    report(&[&["merge"], models, &["-o", "merged.onnx"], more].concat(), folder)
}

/// What a model gives for the first digit.
fn probabilities(model: &str, folder: &Folder) -> Vec<f64> {
    let pixels = digits::json(&digits::first(1)[0].0);
    let found = report(&["predict", model, "--input", &pixels], folder);
    let data = found["outputs"][0]["data"].as_array().unwrap_or_else(|| panic!("{found}"));
    data.iter().map(|value| value.as_f64().unwrap()).collect()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("expected a number, found {value}"))
}

#[test]
fn ensembles_answer_as_their_members_together() {
    let folder = three_nets();
    let told = merged(&folder, &MODELS[..2], &["--weights", "3,1", "--data", "digits"]);
    let [one, two, both] =
        ["1.onnx", "2.onnx", "merged.onnx"].map(|model| probabilities(model, &folder));
    for ((one, two), both) in one.iter().zip(&two).zip(&both) {
        assert!((0.75 * one + 0.25 * two - both).abs() < 1e-6, "{both}");
    }
    assert_eq!(told["members"][0]["weight"], 0.75);
    for (member, path) in told["members"].as_array().unwrap().iter().zip(MODELS) {
        let alone = report(&["evaluate", path, "--data", "digits"], &folder);
        assert_eq!(member["score"]["accuracy"], alone["accuracy"], "{member}");
    }
    let alone = report(&["evaluate", "merged.onnx", "--data", "digits"], &folder);
    let measured = &told["measured"];
    assert_eq!(measured["score"]["accuracy"], alone["accuracy"]);
    // Fifty examples show no difference of a few points.
    assert_eq!(measured["verdict"], "no_clear_difference", "{told}");
    let merged_model = model("merged.onnx", &folder);
    assert_eq!(metadata(&merged_model, "modelyard.merged")["mode"], "average");
    assert_eq!(merged_model.metadata["labels"], model("1.onnx", &folder).metadata["labels"]);

    merged(&folder, &MODELS, &["--mode", "vote"]);
    let shares = probabilities("merged.onnx", &folder);
    assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-6, "{shares:?}");
    assert!(shares.iter().all(|share| (share * 3.0 - (share * 3.0).round()).abs() < 1e-6));
}

#[test]
fn weights_are_fitted_on_one_part_and_measured_on_another() {
    let folder = three_nets();
    for mode in ["average", "soft-vote", "vote", "stack"] {
        let told = merged(&folder, &MODELS, &["--mode", mode, "--fit", "--data", "digits"]);
        assert_eq!((&told["fitted_on"], &told["measured"]["examples"]), (&25.into(), &25.into()));
        let accuracy = number(&told["measured"]["score"]["accuracy"]);
        assert!(accuracy > 0.5, "{mode}: {told}");
        if mode != "stack" {
            let weights = told["members"].as_array().unwrap().iter();
            let sum: f64 = weights.map(|member| number(&member["weight"])).sum();
            assert!((sum - 1.0).abs() < 1e-9, "{told}");
        }
        let again = merged(&folder, &MODELS, &["--mode", mode, "--fit", "--data", "digits"]);
        assert_eq!(again["members"][0]["weight"], told["members"][0]["weight"]);
    }
}

#[test]
fn a_soup_averages_weights_and_the_greedy_one_leaves_out_what_harms() {
    let folder = three_nets();
    merged(&folder, &MODELS[..2], &["--mode", "soup", "--weights", "1,3"]);
    let floats = |path: &str| -> Vec<f32> {
        let bytes = weight(&model(path, &folder), "dense1.weight");
        bytes.as_chunks().0.iter().map(|&item| f32::from_le_bytes(item)).collect()
    };
    let (one, two, soup) = (floats("1.onnx"), floats("2.onnx"), floats("merged.onnx"));
    for ((one, two), soup) in one.iter().zip(&two).zip(&soup) {
        assert!((0.25 * one + 0.75 * two - soup).abs() < 1e-6);
    }
    // Nets of other beginnings do not mix.
    let soup = ["--mode", "soup", "--data", "digits"];
    let told = merged(&folder, &MODELS, &soup);
    let of = |told: &Value| number(&told["measured"]["score"]["accuracy"]);
    let best = told["members"].as_array().unwrap().iter();
    let best = best.map(|member| number(&member["score"]["accuracy"])).fold(0.0, f64::max);
    assert!(of(&told) < best && told["measured"]["verdict"] == "worse", "{told}");
    let greedy = merged(&folder, &MODELS, &[&soup[..], &["--fit"]].concat());
    assert!(of(&greedy) > of(&told), "{greedy}");
}

#[test]
fn values_are_averaged_with_the_least_error() {
    let folder = Folder::new().file("values.csv", values(200));
    for seed in ["1", "2"] {
        let train = ["train", "--data", "values.csv", "--layers", "dense(8, tanh), dense(1)"];
        let output = format!("{seed}.onnx");
        report(&[&train[..], &["--epochs", "10", "--seed", seed, "-o", &output]].concat(), &folder);
    }
    for mode in ["average", "stack"] {
        let fit = ["--mode", mode, "--fit", "--data", "values.csv"];
        let told = merged(&folder, &MODELS[..2], &fit);
        let error = |told: &Value| number(&told["score"]["mean_squared_error"]);
        let worst = error(&told["members"][0]).max(error(&told["members"][1]));
        assert!(error(&told["measured"]) <= worst, "{mode}: {told}");
    }
    let vote = ["merge", "1.onnx", "2.onnx", "-o", "x.onnx", "--mode", "vote"];
    refused(&[&vote[..], &["--data", "values.csv"]].concat(), &folder, 2, &["is for classes"]);
}

#[test]
fn one_number_tells_two_classes_apart() {
    let folder = Folder::new().file("points.csv", points(400, 1));
    for seed in ["1", "2"] {
        let train =
            ["train", "--data", "points.csv", "--layers", "dense(16, tanh), dense(1, sigmoid)"];
        let output = format!("{seed}.onnx");
        let options = ["--epochs", "40", "--learning-rate", "0.02", "--seed", seed, "-o", &output];
        report(&[&train[..], &options].concat(), &folder);
    }
    for mode in ["average", "vote", "stack"] {
        let fit = ["--mode", mode, "--fit", "--data", "points.csv"];
        let told = merged(&folder, &MODELS[..2], &fit);
        let accuracy = number(&told["measured"]["score"]["accuracy"]);
        assert!(accuracy > 0.85, "{mode}: {told}");
        assert_eq!(told["gives"], "probabilities");
    }
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let folder = Folder::new().file("points.csv", points(60, 1)).file("values.csv", values(60));
    let train = |data: &str, layers: &str, output: &str| {
        let options = ["train", "--data", data, "--layers", layers, "--epochs", "1", "-o", output];
        report(&options, &folder);
    };
    train("points.csv", "dense(4, relu), dense(2, softmax)", "1.onnx");
    train("points.csv", "dense(6, relu), dense(2, softmax)", "2.onnx");
    train("values.csv", "dense(4, relu), dense(1)", "other.onnx");
    let (code, _, stderr) =
        run(&["quantize", "1.onnx", "-o", "q.onnx", "--data", "points.csv"], &folder);
    assert_eq!(code, 0, "{stderr}");
    let check = |arguments: &[&str], code: i32, texts: &[&str]| {
        refused(&[&["merge", "-o", "x.onnx"], arguments].concat(), &folder, code, texts);
    };
    check(&["1.onnx"], 2, &["at least two models"]);
    check(&["1.onnx", "other.onnx"], 3, &["'1.onnx' and 'other.onnx'", "gives"]);
    check(&["1.onnx", "2.onnx", "--mode", "soup"], 3, &["differ in more than weights", "dense1"]);
    check(&["1.onnx", "q.onnx", "--mode", "soup"], 3, &["'q.onnx'", "quantized"]);
    check(&["1.onnx", "2.onnx", "--weights", "1,2,3"], 2, &["2 models, found 3"]);
    check(&["1.onnx", "2.onnx", "--weights=1,-2"], 2, &["found -2"]);
    check(&["1.onnx", "2.onnx", "--weights", "0,0"], 2, &["all weights are zero"]);
    check(&["1.onnx", "2.onnx", "--fit"], 2, &["--data"]);
    check(&["1.onnx", "2.onnx", "--mode", "stack"], 2, &["give --data"]);
    let three = "a,b,c,sign\n1,2,3,same\n2,3,4,other\n";
    std::fs::write(folder.path("three.csv"), three).unwrap();
    check(&["1.onnx", "2.onnx", "--data", "three.csv"], 2, &["[3]"]);
    assert!(!folder.path("x.onnx").exists());
    // In an ensemble, a quantized model is as good as any.
    report(&["merge", "1.onnx", "q.onnx", "-o", "x.onnx"], &folder);
}
