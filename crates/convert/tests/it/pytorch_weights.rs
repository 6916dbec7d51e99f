//! Weights of PyTorch without a program: `fixtures/pytorch_weights.py` made them with torch,
//! torchvision and transformers.

use modelyard_convert::{Limits, Options, open};
use modelyard_tensor::Dim;

use crate::support::check;
use crate::support::{check_with, fixtures};

#[test]
fn encoders_of_hugging_face_answer_like_transformers() {
    for name in ["bert", "bert_half", "bert_mlm", "roberta", "roberta_qa", "distilbert"] {
        check(&format!("pytorch_weights/{name}"));
    }
}

#[test]
fn image_classifiers_of_hugging_face_answer_like_transformers() {
    let conversion = check("pytorch_weights/vit");
    assert_eq!(conversion.labels, ["cat", "dog", "owl"]);
    let preprocessing = &conversion.model.metadata["modelyard.preprocessing"];
    assert_eq!(preprocessing, r#"{"do_rescale":true,"rescale_factor":0.5}"#);
    let mut options = Options::default();
    let size = || Dim::Fixed(32);
    let shape = vec![Dim::Symbol("batch".into()), Dim::Fixed(3), size(), size()];
    options.shapes.insert("pixel_values".into(), shape);
    check_with("pytorch_weights/resnet", &options);
}

#[test]
fn sentence_embeddings_are_pooled_and_parts_are_joined() {
    let conversion = check("pytorch_weights/sentence");
    let names: Vec<&str> =
        conversion.model.graph.outputs.iter().map(|value| &*value.name).collect();
    assert_eq!(names, ["last_hidden_state", "pooler_output", "sentence_embedding"]);
    assert_eq!(conversion.ranges["input_ids"], (0.0, 39.0));
    check("pytorch_weights/sharded");
}

fn of_architecture(path: &str) -> Options {
    let path = fixtures().join("pytorch_weights").join(path);
    Options { architecture: Some(path.to_str().unwrap().into()), ..Options::default() }
}

#[test]
fn a_program_takes_other_weights() {
    let conversion = check_with("pytorch_weights/small.pth", &of_architecture("small.pt2"));
    let renamed = "'module.' was taken away from the names of the weights";
    assert!(conversion.notes.iter().any(|note| note == renamed), "{:?}", conversion.notes);
    check_with("pytorch_weights/small.pth", &of_architecture("small.onnx"));
}

fn refused(path: &str, options: &Options, part: &str) {
    let path = fixtures().join("pytorch_weights").join(path);
    let Err(error) = open(&path, options, &Limits::default()) else { panic!("it was read") };
    let error = error.to_string();
    assert!(error.contains(part), "{error}");
}

#[test]
fn weights_alone_are_no_model() {
    let none = Options::default();
    refused("small.pth", &none, "holds 9 weights, but not what is computed with them");
    refused("zip.pth", &of_architecture("small.pt2"), "missing in the file:");
    refused(
        "zip.pth",
        &of_architecture("bert/config.json"),
        "that the architecture does not have:",
    );
    let named = |name: &str| Options { architecture: Some(name.into()), ..Options::default() };
    refused("zip.pth", &named("resnet51"), "the nearest that are: resnet50");
    refused("zip.pth", &named("resnet18"), "the weights do not fit architecture 'resnet18':");
    refused("zip.pth", &of_architecture("stream.pth"), "expected a .pt2, an ONNX model");
    refused("evil.pth", &none, "which is never done");
    refused("module.pth", &none, "save its weights");
}
