//! `modelyard optimize`: the best within a budget, a report that says how it was found, and searches
//! that are stopped.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::digits;
use crate::harness::{Folder, end, modelyard, run};
use crate::training::{few_digits, metadata, model, report, signal};

/// Arguments of a search on the digits, for size: what is found does not depend on the clock.
fn search<'a>(output: &'a str, model: &'a str, data: &'a str) -> Vec<&'a str> {
    vec!["optimize", model, "-o", output, "--data", data, "--for", "size", "--engine", "rten"]
}

#[test]
fn a_smaller_model_within_the_budget_is_found_and_explained() {
    let folder = Folder::new();
    let (digits, data) = (digits::model(), digits::folder().display().to_string());
    let told = report(&search("small.onnx", &digits, &data), &folder);
    let best = &told["best"]["figures"];
    assert!(best["drop"]["estimate"].as_f64().unwrap() <= 0.005, "{told}");
    let ratio = best["bytes"].as_f64().unwrap() / told["original"]["bytes"].as_f64().unwrap();
    assert!(ratio < 0.27, "{told}");
    assert_eq!((&told["measure"], &told["is_complete"]), (&"accuracy".into(), &true.into()));
    assert_eq!(told["examples"][0], 2000);
    assert!(told["trials"].as_array().unwrap().len() >= 4);

    // What is served knows where it comes from.
    let written = model("small.onnx", &folder);
    let text = std::fs::read(folder.path("small.onnx.report.json")).unwrap();
    let digest: String = Sha256::digest(&text).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(written.metadata["modelyard.optimize_report_sha256"], digest);
    assert_eq!(written.metadata["modelyard.optimized"], told["best"]["recipe"].as_str().unwrap());
    for layer in told["histograms"].as_array().unwrap() {
        for part in ["weight", "weight_after", "activation", "activation_after"] {
            assert_eq!(layer[part]["counts"].as_array().unwrap().len(), 64, "{part} of {layer}");
        }
    }
    let page = std::fs::read_to_string(folder.path("small.onnx.report.html")).unwrap();
    assert!(
        page.contains("Confusion of the optimized model")
            && !page.contains("http://www.w3.org/1999")
    );
    let evaluated =
        report(&["evaluate", "small.onnx", "--data", &data, "--engine", "rten"], &folder);
    let found = told["best"]["score"]["accuracy"].as_f64().unwrap();
    assert!((evaluated["accuracy"].as_f64().unwrap() - found).abs() < 1e-9);

    // The same command again measures nothing twice but the winner.
    let again = report(&search("small.onnx", &digits, &data), &folder);
    let figures = |told: &Value| -> Vec<Value> {
        told["trials"].as_array().unwrap().iter().map(|trial| trial["figures"].clone()).collect()
    };
    assert_eq!(figures(&told), figures(&again));
}

#[test]
fn a_budget_that_cannot_be_kept_is_told_with_what_comes_closest() {
    let folder = Folder::new();
    let text: String =
        (0..200).map(|row| format!("{}.5,{}.25,{}\n", row % 17, row % 7, row)).collect();
    std::fs::write(folder.path("x.csv"), format!("a,b,y\n{text}")).unwrap();
    let train =
        ["train", "--layers", "dense(64, tanh), dense(1)", "--data", "x.csv", "--epochs", "1"];
    report(&[&train[..], &["--task", "regression"]].concat(), &folder);
    let mut arguments = search("none.onnx", "model.onnx", "x.csv");
    arguments.extend(["--task", "unlabelled", "--max-accuracy-drop", "0"]);
    let (code, _, stderr) = run(&arguments, &folder);
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("no candidate keeps the budget of 0.00 %; the closest, '"), "{stderr}");
    assert!(!folder.path("none.onnx").exists());
    assert!(folder.path("none.onnx.report.html").exists());
}

#[test]
fn a_search_without_time_goes_on_when_it_has_some() {
    let folder = Folder::new();
    let (digits, data) = (digits::model(), digits::folder().display().to_string());
    let arguments = search("small.onnx", &digits, &data);
    let (code, _, stderr) = run(&[&arguments[..], &["--time", "0s"]].concat(), &folder);
    assert_eq!(code, 1, "{stderr}");
    let told = report(&arguments, &folder);
    assert_eq!(told["is_complete"], true);
}

/// A small network of convolutions that knows some digits.
fn network() -> Folder {
    let folder = few_digits(Folder::new(), 300, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    let layers = "--layers=conv2d(32, 3, relu, stride=2), conv2d(64, 3, relu, stride=2), flatten, \
                  dense(10, softmax)";
    report(&["train", layers, "--data", "digits", "--epochs", "10", "-o", "net.onnx"], &folder);
    folder
}

#[test]
fn a_search_that_is_stopped_goes_on_with_what_it_knows() {
    let folder = network();
    // Half of the answers may go wrong, so all shares of channels are tried.
    let mut arguments = search("small.onnx", "net.onnx", "digits");
    arguments.extend(["--max-accuracy-drop", "50%"]);
    let mut command = modelyard(&arguments, &folder);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let record = || {
        let text = std::fs::read_to_string(folder.path("small.onnx.search/trials.jsonl"));
        let lines: Vec<String> = text.unwrap_or_default().lines().map(str::to_owned).collect();
        lines
    };
    let deadline = Instant::now() + Duration::from_secs(120);
    while record().len() < 3 {
        assert!(Instant::now() < deadline && child.try_wait().unwrap().is_none(), "no trials");
        std::thread::sleep(Duration::from_millis(5));
    }
    signal(child.id(), "INT");
    let status = end(&mut child).expect("the search ends");
    assert_eq!(status.code(), Some(130));
    assert!(!folder.path("small.onnx").exists());
    let before = record();
    assert!(before.iter().all(|line| !line.contains("stopped")), "{before:?}");

    let told = report(&arguments, &folder);
    assert_eq!(told["is_complete"], true);
    assert_eq!(record()[..before.len()], before[..]);
    let trials = told["trials"].as_array().unwrap();
    let failed = trials.iter().find(|trial| trial.get("figures").is_none());
    assert_eq!(failed, None);
    let recipes: Vec<&str> = trials.iter().map(|trial| trial["recipe"].as_str().unwrap()).collect();
    for wanted in [
        "channels -50 %, recovered + passes",
        "channels -75 %, recovered + passes + int8 static (min-max)",
    ] {
        assert!(recipes.contains(&wanted), "{recipes:?}");
    }
    // Taught once, and read from the search's folder when the winner is made again.
    let best = told["best"]["recipe"].as_str().unwrap();
    assert!(best.starts_with("channels -75 %") && best.contains("int8"), "{best}");
    let written = model("small.onnx", &folder);
    assert_eq!(metadata(&written, "training")["command"], "prune");
    let score = told["best"]["score"]["accuracy"].as_f64().unwrap();
    let evaluated =
        report(&["evaluate", "small.onnx", "--data", "digits", "--engine", "rten"], &folder);
    assert!((evaluated["accuracy"].as_f64().unwrap() - score).abs() < 1e-9, "{evaluated}");
}
