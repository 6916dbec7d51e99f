//! The real digits of `examples/digits`, for tests of commands that take them; and the folder does
//! what its README says.

use std::io::Read;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::harness::{Folder, run};

/// The folder with the model and the digits.
pub(crate) fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../examples/digits")
}

/// The model, as an argument.
pub(crate) fn model() -> String {
    folder().join("digits.onnx").display().to_string()
}

/// The first test digits: pixels (28x28) and what they are. They come in turns, 0 to 9.
pub(crate) fn first(count: usize) -> Vec<(Vec<u8>, u8)> {
    const HEADER: usize = 16;
    const PIXELS: usize = 28 * 28;
    let images = unpacked("test-images-idx3-ubyte.gz");
    let labels = unpacked("test-labels-idx1-ubyte.gz");
    let images = images[HEADER..].chunks_exact(PIXELS).map(<[u8]>::to_vec);
    images.zip(labels[8..].iter().copied()).take(count).collect()
}

fn unpacked(name: &str) -> Vec<u8> {
    let file = std::fs::File::open(folder().join(name)).unwrap();
    let mut data = Vec::new();
    flate2::read::GzDecoder::new(file).read_to_end(&mut data).unwrap();
    data
}

/// A picture of a digit as others draw it: PGM, black on white or white on black.
pub(crate) fn picture(pixels: &[u8], black_on_white: bool) -> Vec<u8> {
    let shown = |pixel: &u8| if black_on_white { 255 - pixel } else { *pixel };
    let mut file = b"P5 28 28 255\n".to_vec();
    file.extend(pixels.iter().map(shown));
    file
}

/// The pixels of a digit as JSON.
pub(crate) fn json(pixels: &[u8]) -> String {
    let numbers: Vec<String> =
        pixels.iter().map(|&pixel| (f32::from(pixel) / 255.0).to_string()).collect();
    format!("[{}]", numbers.join(","))
}

/// What its README says.
fn readme() -> String {
    std::fs::read_to_string(folder().join("README.md")).unwrap()
}

fn inspect(model: &str, at: &Folder) -> Value {
    let (code, stdout, stderr) = run(&["inspect", "--json", model], at);
    assert_eq!(code, 0, "{stderr}");
    serde_json::from_str(&stdout).unwrap()
}

/// Inputs, outputs and class names of a model.
fn shape_and_labels(report: &Value) -> Value {
    json!([report["inputs"], report["outputs"], report["metadata"]["labels"]])
}

#[test]
fn the_model_is_what_the_readme_says() {
    let at = Folder::new();
    let report = inspect(&model(), &at);
    let labels: Vec<String> = (0..10).map(|digit| digit.to_string()).collect();
    assert_eq!(report["metadata"]["labels"], serde_json::to_string(&labels).unwrap());
    for (part, name, size) in [("inputs", "image", 784), ("outputs", "probabilities", 10)] {
        let part = &report[part][0];
        assert_eq!((&part["name"], &part["shape"]), (&name.into(), &json!([-1, size])));
        assert!(readme().contains(&format!("`{name}` | FP32 `[batch,{size}]`")));
    }
    let record: Value = report["metadata"]["training"].as_str().unwrap().parse().unwrap();
    let data = folder().display().to_string();
    let (code, stdout, stderr) = run(&["evaluate", "--json", &model(), "--data", &data], &at);
    assert_eq!(code, 0, "{stderr}");
    let found: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(found["accuracy"], record["test"]["accuracy"]);
    let share = found["accuracy"].as_f64().unwrap();
    let right = (share * 2000.0).round();
    let told = format!(
        "**1,{:03} of the 2,000 test digits correctly ({:.2} %)**",
        right - 1e3,
        100.0 * share
    );
    assert!(readme().contains(&told), "README.md without: {told}");
}

#[test]
fn the_readmes_command_makes_such_a_model() {
    let mut at = Folder::new();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "gz" || extension == "toml") {
            let name = path.file_name().unwrap().to_str().unwrap();
            at = at.file(&format!("examples/digits/{name}"), std::fs::read(&path).unwrap());
        }
    }
    let readme = readme();
    let command = readme.lines().find_map(|line| line.strip_prefix("    modelyard train "));
    // As it stands there, but for the time it takes.
    let mut arguments = vec!["train"];
    arguments.extend(command.unwrap().split_whitespace());
    arguments.extend(["--epochs", "2"]);
    let (code, stdout, stderr) = run(&arguments, &at);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("101770 trained parameters, 2 epochs"), "{stdout}");
    let made = inspect("examples/digits/digits.onnx", &at);
    assert_eq!(shape_and_labels(&made), shape_and_labels(&inspect(&model(), &at)));
}

#[test]
fn no_weight_is_so_small_that_processors_are_slow_with_it() {
    let bytes = std::fs::read(model()).unwrap().into();
    let model = modelyard_graph::Model::parse(bytes, &modelyard_graph::Limits::default()).unwrap();
    for constant in &model.graph.initializers {
        let tensor = constant.to_tensor().unwrap();
        let weights = tensor.values::<f32>().unwrap();
        let fast = weights.iter().all(|weight| *weight == 0.0 || weight.is_normal());
        assert!(fast, "{}", constant.name);
    }
}
