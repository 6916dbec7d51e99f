//! What exporters leave of an operator becomes that operator, and gives what it gave.
//!
//! `make_fixtures.py` writes the fixtures: small networks as the exporters themselves write them.

use std::path::Path;

use modelyard_graph::rewrite::{Options, Target, clean, select, trace};
use modelyard_graph::{Limits, Model, Node, file, opset};

use crate::support::{Writer, same_answers};

const STANDARD: Target = Target::Standard;
const MICROSOFT: Target = Target::OnnxRuntime;

fn fixture(name: &str, version: i64) -> Model {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rewrite/fixtures");
    let path = folder.join(format!("{name}.onnx"));
    let model = file::read_file(&path, &Limits::default()).unwrap();
    opset::convert(model, version).unwrap()
}

fn operators(model: &Model) -> Vec<String> {
    model.graph.nodes.iter().map(Node::operator).collect()
}

fn fused(model: &Model, target: Target) -> Model {
    let options = Options { fuse: Some(target), ..Options::default() };
    let fused = clean(model.clone(), &options).check().unwrap();
    same_answers(model, &fused);
    fused
}

/// Fuses a fixture in this operator set, and expects these operators in this order.
fn becomes(name: &str, (version, target): (i64, Target), expected: &str) {
    let model = fixture(name, version);
    let fused = fused(&model, target);
    let found = operators(&fused).join(" ");
    assert_eq!(found, expected, "operators of {name} in operator set {version} for {target:?}");
}

#[test]
fn layer_normalization_is_found_in_every_spelling() {
    for (name, expected) in [
        ("torch_legacy_layer_norm", "LayerNormalization"),
        ("torch_legacy_layer_norm_plain", "LayerNormalization"),
        ("keras_layer_norm", "LayerNormalization"),
        ("keras_layer_norm_18", "LayerNormalization"),
    ] {
        becomes(name, (18, STANDARD), expected);
    }
}

#[test]
fn rms_normalization_is_found_where_the_operator_set_has_it() {
    for name in ["torch_dynamo_rms_norm", "keras_rms_norm"] {
        becomes(name, (23, STANDARD), "RMSNormalization");
    }
}

#[test]
fn gelu_is_found_in_every_spelling() {
    for name in ["torch_legacy_gelu", "torch_dynamo_gelu", "hf_dynamo_gelu_python"] {
        becomes(name, (20, STANDARD), "Gelu");
        becomes(name, (18, MICROSOFT), "com.microsoft.Gelu");
    }
    for name in [
        "torch_legacy_gelu_tanh",
        "torch_dynamo_gelu_tanh",
        "hf_dynamo_gelu_new",
        "hf_dynamo_gelu_fast",
        "keras_gelu_tanh",
    ] {
        becomes(name, (20, STANDARD), "Gelu");
        becomes(name, (18, MICROSOFT), "com.microsoft.FastGelu");
    }
    becomes("hf_dynamo_quick_gelu", (18, MICROSOFT), "com.microsoft.QuickGelu");
}

#[test]
fn activations_are_found_where_the_operator_set_has_them() {
    becomes("torch_legacy_mish", (18, STANDARD), "Mish");
    becomes("keras_hard_silu", (17, STANDARD), "HardSwish");
    becomes("torch_dynamo_silu", (18, STANDARD), "Sigmoid Mul");
    becomes("torch_dynamo_silu", (24, STANDARD), "Swish");
}

/// Fuses a fixture in this operator set, and expects as many nodes and among them one of this
/// operator.
fn holds(name: &str, (version, target): (i64, Target), operator: &str, nodes: usize) {
    let model = fixture(name, version);
    let found = operators(&fused(&model, target));
    let count = found.iter().filter(|found| *found == operator).count();
    assert_eq!((count, found.len()), (1, nodes), "{name} in operator set {version}: {found:?}");
}

#[test]
fn attention_is_found_as_pytorch_exports_it() {
    becomes("torch_dynamo_sdpa", (23, STANDARD), "Attention");
    becomes("torch_dynamo_sdpa_mask", (23, STANDARD), "Attention");
    becomes("torch_legacy_sdpa_mask", (23, STANDARD), "Attention");
    holds("torch_dynamo_encoder", (23, STANDARD), "Attention", 32);
}

#[test]
fn attention_is_found_as_hugging_face_exports_it() {
    const FUSED: &str = "com.microsoft.MultiHeadAttention";
    holds("hf_dynamo_bert_sdpa", (23, STANDARD), "Attention", 0);
    holds("hf_dynamo_bert_sdpa", (18, MICROSOFT), FUSED, 0);
    holds("hf_dynamo_bert_eager", (23, STANDARD), "Attention", 0);
    holds("hf_dynamo_bert_eager", (18, MICROSOFT), FUSED, 0);
    holds("hf_dynamo_vit", (23, STANDARD), "Attention", 0);
    holds("hf_dynamo_vit", (18, MICROSOFT), FUSED, 0);
}

#[test]
fn attention_is_found_as_keras_exports_it() {
    holds("keras_mha", (23, STANDARD), "Attention", 17);
    holds("keras_mha", (17, MICROSOFT), "com.microsoft.MultiHeadAttention", 15);
}

#[test]
fn attention_whose_heads_are_folded_with_the_batch_stays_below_operator_set_23() {
    for name in ["torch_legacy_mha", "torch_dynamo_encoder"] {
        let found = operators(&fused(&fixture(name, 18), MICROSOFT));
        assert!(found.iter().any(|operator| operator == "Softmax"), "{name}: {found:?}");
    }
}

/// What passes make of a model in which the value `kept` is an output too.
fn with_output(name: &str, version: i64, kept: impl Fn(&Node) -> bool, target: Target) -> Model {
    let mut model = fixture(name, version);
    let value = model.graph.nodes.iter().find(|node| kept(node)).unwrap().outputs[0].clone();
    let mut output = model.graph.outputs[0].clone();
    output.name = value;
    output.value_type = modelyard_graph::ValueType::Tensor {
        element_type: modelyard_graph::ElementType::Float32,
        dims: None,
    };
    model.graph.outputs.push(output);
    fused(&model.check().unwrap(), target)
}

#[test]
fn what_is_an_output_too_is_not_fused_away() {
    let kept = |name, version, operator: &'static str, fused| {
        let model = with_output(name, version, |node| node.is(operator), MICROSOFT);
        let found = operators(&model);
        assert!(!found.iter().any(|operator| operator == fused), "{name}: {found:?}");
    };
    kept("torch_legacy_layer_norm", 17, "Sqrt", "LayerNormalization");
    kept("torch_dynamo_rms_norm", 23, "ReduceMean", "RMSNormalization");
    kept("torch_dynamo_gelu", 18, "Erf", "com.microsoft.Gelu");
    kept("torch_dynamo_sdpa", 23, "Softmax", "Attention");
    kept("torch_legacy_mish", 18, "Softplus", "Mish");
}

#[test]
fn nothing_is_fused_where_it_is_not_asked_for_or_not_there() {
    for (name, version) in [
        ("torch_legacy_layer_norm", 16),
        ("torch_dynamo_gelu", 18),
        ("torch_dynamo_rms_norm", 18),
        ("torch_dynamo_sdpa", 18),
    ] {
        let model = fixture(name, version);
        let plain = clean(model.clone(), &Options::default()).check().unwrap();
        let found = operators(&fused(&model, STANDARD));
        let are_older = |found: &[String]| {
            let newer = ["LayerNormalization", "Gelu", "RMSNormalization", "Attention"];
            !found.iter().any(|operator| newer.contains(&operator.as_str()))
        };
        assert!(are_older(&found) && are_older(&operators(&plain)), "{name}: {found:?}");
    }
}
