//! `modelyard prune`: channels go and come back as accuracy, weights become zero, what cannot be done is
//! said.

use serde_json::Value;

use crate::harness::{Folder, run};
use crate::training::{few_digits, metadata, model, refused, report, weight};

const LAYERS: &str = "--layers=conv2d(8, 3, relu, padding=same, stride=2), batchnorm, \
                      residual(conv2d(8, 3, relu, padding=same), batchnorm), maxpool2d, flatten, \
                      dense(16, relu), dense(10, softmax)";

/// A small network that knows some digits.
fn trained() -> Folder {
    let folder = few_digits(Folder::new(), 300, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    report(&["train", LAYERS, "--data", "digits", "--epochs", "10", "-o", "net.onnx"], &folder);
    folder
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("expected a number, found {value}"))
}

#[test]
fn half_of_the_operations_go_and_the_rest_learns_from_the_whole() {
    let folder = trained();
    let bare = report(&["prune", "net.onnx", "-o", "bare.onnx", "--flops", "0.5"], &folder);
    assert!(number(&bare["after"]["flops"]) <= 0.5 * number(&bare["before"]["flops"]), "{bare}");
    assert!(number(&bare["bytes_after"]) < number(&bare["bytes_before"]), "{bare}");
    // The two that are added up go together.
    let added = &bare["groups"][0];
    assert_eq!(added["weights"].as_array().unwrap().len(), 2, "{bare}");
    assert!(number(&added["kept"]) < number(&added["channels"]), "{bare}");
    assert!(bare["refused"][0]["reason"].as_str().unwrap().contains("output"), "{bare}");

    let data = ["--data", "digits", "--epochs", "10"];
    let command = ["prune", "net.onnx", "-o", "small.onnx", "--flops", "0.5", "--rounds", "2"];
    let taught = report(&[&command[..], &data].concat(), &folder);
    assert_eq!(taught["training"].as_array().unwrap().len(), 2, "{taught}");
    assert!(number(&taught["after"]["flops"]) <= 0.5 * number(&taught["before"]["flops"]));
    let measured = report(&["evaluate", "small.onnx", "--data", "digits"], &folder);
    let unpruned = report(&["evaluate", "net.onnx", "--data", "digits"], &folder);
    let bare = report(&["evaluate", "bare.onnx", "--data", "digits"], &folder);
    let accuracy = |report: &Value| number(&report["accuracy"]);
    assert!(accuracy(&measured) > accuracy(&unpruned) - 0.1, "{measured}");
    assert!(accuracy(&measured) > accuracy(&bare), "{measured} {bare}");
    let small = model("small.onnx", &folder);
    assert_eq!(metadata(&small, "training")["command"], "prune");
    assert!(small.metadata["modelyard.pruned"].starts_with("channels: "));
}

#[test]
fn channels_go_until_a_run_takes_less_time() {
    let folder = Folder::new();
    // Wide enough for its products to be what takes time.
    let layers = "--layers=conv2d(64, 3, relu, padding=same), conv2d(64, 3, relu, padding=same), \
                  flatten, dense(10, softmax)";
    let folder = few_digits(folder, 100, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    report(&["train", layers, "--data", "digits", "--epochs", "1", "-o", "net.onnx"], &folder);
    let command = ["prune", "net.onnx", "-o", "fast.onnx", "--latency", "0.2"];
    let data = ["--data", "digits", "--recover", "none"];
    let told = report(&[&command[..], &data].concat(), &folder);
    assert!(number(&told["after"]["flops"]) < number(&told["before"]["flops"]), "{told}");
    // That it is faster was the condition for being chosen; how much so now is for the machine to say.
    let latency = &told["latency"];
    assert!(number(&latency["low"]) <= number(&latency["estimate"]), "{told}");
    assert!(number(&latency["estimate"]) <= number(&latency["high"]), "{told}");

    let command = ["prune", "net.onnx", "-o", "out.onnx", "--latency", "0.999"];
    refused(&[&command[..], &data].concat(), &folder, 3, &["99.9 % of the time", "is the most"]);
    refused(&command, &folder, 2, &["--data"]);
}

#[test]
fn zeros_stay_zero_while_the_rest_is_trained() {
    let folder = trained();
    let data = ["--data", "digits", "--epochs", "3", "--recover", "finetune"];
    let command = ["prune", "net.onnx", "-o", "sparse.onnx", "--sparsity", "0.8"];
    let told = report(&[&command[..], &data].concat(), &folder);
    let sum = |key: &str| -> f64 {
        told["weights"].as_array().unwrap().iter().map(|weight| number(&weight[key])).sum()
    };
    assert!((sum("zeros") / sum("elements") - 0.8).abs() < 0.001, "{told}");
    assert!(number(&told["gzip_bytes_after"]) < 0.5 * number(&told["gzip_bytes_before"]), "{told}");
    let sparse = model("sparse.onnx", &folder);
    let zeros: usize = (told["weights"].as_array().unwrap().iter())
        .map(|layer| {
            let bytes = weight(&sparse, layer["weight"].as_str().unwrap());
            bytes
                .as_chunks::<4>()
                .0
                .iter()
                .filter(|value| f32::from_le_bytes(**value) == 0.0)
                .count()
        })
        .sum();
    assert_eq!(zeros as f64, sum("zeros"));

    let command = ["prune", "net.onnx", "-o", "pattern.onnx", "--pattern", "2:4"];
    let (code, stdout, stderr) = run(&command, &folder);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("this is no faster, only a compressed file is smaller"), "{stdout}");
    let pattern = model("pattern.onnx", &folder);
    let name = "dense1.weight";
    let columns = pattern.graph.initializer(name).unwrap().dims[1];
    let bytes = weight(&pattern, name);
    let values: Vec<f32> =
        bytes.as_chunks().0.iter().map(|value| f32::from_le_bytes(*value)).collect();
    for column in 0..columns {
        let inputs: Vec<f32> = values.iter().skip(column).step_by(columns).copied().collect();
        assert!(inputs.chunks_exact(4).all(|four| four.iter().filter(|x| **x == 0.0).count() == 2));
    }
}

#[test]
fn what_cannot_be_pruned_is_said() {
    let folder = trained();
    let prune = |more: &[&str], code: i32, text: &str| {
        let command = [&["prune", "net.onnx", "-o", "out.onnx"], more].concat();
        refused(&command, &folder, code, &[text]);
        assert!(!folder.path("out.onnx").exists());
    };
    prune(&[], 2, "say what to prune");
    prune(&["--flops", "1.5"], 2, "expected a share above 0 and below 1 for --flops, found 1.5");
    prune(&["--flops", "0.5", "--sparsity", "0.5"], 2, "cannot be used with");
    prune(&["--pattern", "4:2"], 2, "such as 2:4");
    prune(&["--flops", "0.999"], 3, "is the most");
    prune(&["--flops", "0.5", "--importance", "taylor"], 2, "give --data");
    prune(&["--flops", "0.5", "--rounds", "3"], 2, "give --data");
    prune(&["--flops", "0.5", "--exclude", "*"], 3, "is excluded");
}
