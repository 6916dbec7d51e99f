//! `modelyard finetune`: new classes on a trained model, and what must not change meanwhile.

use modelyard_graph::{GraphBuilder, Model, Node};
use modelyard_tensor::{DataType, Dim};
use serde_json::json;

use crate::harness::Folder;
use crate::training::{few_digits, metadata, model, points, refused, report, values, weight};

/// A model of five digits, and a folder with others beside it.
fn trained() -> Folder {
    let folder = few_digits(Folder::new(), 300, &[0, 1, 2, 3, 4]);
    let layers = "conv2d(6, 3, relu, stride=2), batchnorm, flatten, dense(24, relu), \
                  dense(5, softmax)";
    let train = ["train", "--layers", layers, "--data", "digits", "--epochs", "10"];
    report(&[&train[..], &["--output", "base.onnx"]].concat(), &folder);
    few_digits(folder, 300, &[5, 6, 7, 8])
}

/// Names of the weights that differ between two models that share names.
fn changed(left: &Model, right: &Model) -> Vec<String> {
    let names = left.graph.initializers.iter().map(|constant| constant.name.clone());
    let shared = names.filter(|name| right.graph.initializer(name).is_some());
    shared.filter(|name| weight(left, name) != weight(right, name)).collect()
}

const NEW: [&str; 6] =
    ["finetune", "base.onnx", "--replace-head", "--data", "digits", "--epochs=20"];

#[test]
fn a_new_head_learns_other_classes_and_changes_nothing_else() {
    let folder = trained();
    let base = model("base.onnx", &folder);
    let told = report(&[&NEW[..], &["--learning-rate", "0.02"]].concat(), &folder);
    assert!(told["test"]["accuracy"].as_f64().unwrap() > 0.7, "{told}");
    // 24 features, 4 classes.
    assert_eq!(told["trained_parameters"], 25 * 4);
    let tuned = model("model.onnx", &folder);
    assert_eq!(changed(&base, &tuned), Vec::<String>::new());
    assert_eq!(metadata(&tuned, "labels"), json!(["5", "6", "7", "8"]));
    let measured = report(&["evaluate", "model.onnx", "--data", "digits"], &folder);
    assert_eq!(measured["accuracy"], told["test"]["accuracy"]);
}

#[test]
fn what_is_frozen_stays_bit_for_bit_and_its_statistics_too() {
    let folder = trained();
    let base = model("base.onnx", &folder);
    let tune = |more: &[&str]| {
        report(&[&NEW[..], more].concat(), &folder);
        let mut changed = changed(&base, &model("model.onnx", &folder));
        changed.sort();
        changed
    };
    let all = [
        "batchnorm1.bias",
        "batchnorm1.mean",
        "batchnorm1.scale",
        "batchnorm1.variance",
        "conv2d1.bias",
        "conv2d1.weight",
        "dense1.bias",
        "dense1.weight",
    ];
    assert_eq!(tune(&["--train", "*"]), all);
    assert_eq!(tune(&["--freeze", "conv2d1.*"]), [&all[..4], &all[6..]].concat());
    assert_eq!(tune(&["--freeze", "conv2d1.*", "--freeze", "batchnorm1.*"]), all[6..]);
    assert_eq!(tune(&["--train", "dense1.weight"]), ["dense1.weight"]);
    assert_eq!(
        tune(&["--train", "dense1.*", "--train", "conv2d1.bias"]),
        ["conv2d1.bias", "dense1.bias", "dense1.weight"]
    );
}

#[test]
fn a_model_is_trained_further_and_keeps_what_it_knows() {
    let folder = trained();
    let folder = few_digits(folder, 300, &[0, 1, 2, 3, 4]);
    let before = report(&["evaluate", "base.onnx", "--data", "digits"], &folder);
    let further = ["finetune", "base.onnx", "--data", "digits", "--epochs", "2"];
    let told = report(&further, &folder);
    let loss = |value: &serde_json::Value| value.as_f64().unwrap();
    assert!(loss(&told["test"]["loss"]) < loss(&before["cross_entropy"]), "{told}");
    let record = metadata(&model("model.onnx", &folder), "training");
    assert_eq!((&record["command"], &record["epochs"]), (&json!("finetune"), &json!(2)));
}

#[test]
fn scales_are_taken_out_inside_a_model_that_did_not() {
    let folder = Folder::new().file("values.csv", values(200)).file("small.csv", points(50, 1));
    let train = ["train", "--layers", "dense(8, tanh), dense(1)", "--data", "values.csv"];
    report(
        &[&train[..], &["--normalize", "none", "-o", "raw.onnx", "--epochs=1"]].concat(),
        &folder,
    );
    let tune = ["finetune", "raw.onnx", "--data", "values.csv", "--normalize", "standard"];
    report(&[&tune[..], &["--epochs", "60", "--learning-rate", "0.01"]].concat(), &folder);
    let tuned = model("model.onnx", &folder);
    let constant = |name: &str| tuned.graph.initializer(name).unwrap().dims.clone();
    assert_eq!(
        (constant("normalization.mean"), constant("normalization.deviation")),
        (vec![2], vec![2])
    );
    let measured = report(&["evaluate", "model.onnx", "--data", "values.csv"], &folder);
    assert!(measured["outputs"][0]["r2"].as_f64().unwrap() > 0.98, "{measured}");
}

#[test]
fn what_cannot_be_is_told_before_training() {
    let rows = [Dim::Symbol("batch".into()), Dim::Fixed(2)];
    let graph = GraphBuilder::new("odd")
        .input("x", DataType::Fp32, &rows)
        .output("y", DataType::Fp32, &rows)
        .floats("w", &[2, 2], &[1.0, 2.0, 3.0, 4.0])
        .node(Node::new("Det", &["w"], &["d"]))
        .node(Node::new("MatMul", &["x", "w"], &["xw"]))
        .node(Node::new("Mul", &["xw", "d"], &["y"]));
    let folder = trained().model("odd.onnx", &graph.model()).file("p.csv", points(50, 1));
    let check = |arguments: &[&str], code: i32, texts: &[&str]| {
        refused(&[&["finetune"], arguments].concat(), &folder, code, texts);
        assert!(!folder.path("model.onnx").exists());
    };
    let base = ["base.onnx", "--data", "digits"];
    check(&base, 2, &["new head (--replace-head)", "ends in 5 numbers, but the data has 4"]);
    let head = |more: &[&str], code: i32, texts: &[&str]| {
        check(&[&base[..], &["--replace-head"], more].concat(), code, texts);
    };
    let listed = "no weight of the model matches 'layer9.*'; its 8 weights are: conv2d1.weight";
    head(&["--freeze", "layer9.*"], 2, &[listed]);
    head(&["--train", "layer9.*"], 2, &["no weight of the model matches 'layer9.*'"]);
    head(&["--freeze", "*"], 2, &["every weight is frozen"]);
    head(&["--cut", "dense1.rele"], 3, &["no value 'dense1.rele'", "dense1.relu"]);
    head(&["--freeze", "a", "--train", "b"], 2, &["cannot be used with"]);
    check(&["none.onnx", "--data", "p.csv"], 3, &["failed to use the model 'none.onnx'"]);
    check(&["odd.onnx", "--data", "p.csv"], 3, &["cannot train this model: ", "Det"]);
}
