//! What exporters leave of an operator becomes that operator, and gives what it gave.
//!
//! `make_fixtures.py` writes the fixtures: small networks as the exporters themselves write them.

use std::path::Path;

use modelyard_graph::rewrite::{Options, Target, clean, select, trace};
use modelyard_graph::{Limits, Model, Node, file, opset};

use crate::support::{Writer, count, same_answers};

const STANDARD: Target = Target::Standard;
const MICROSOFT: Target = Target::OnnxRuntime;

pub(crate) fn fixture(name: &str, version: i64) -> Model {
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
    holds("hf_dynamo_bert_sdpa", (23, STANDARD), "Attention", 58);
    holds("hf_dynamo_bert_sdpa", (18, MICROSOFT), FUSED, 50);
    holds("hf_dynamo_bert_eager", (23, STANDARD), "Attention", 58);
    holds("hf_dynamo_bert_eager", (18, MICROSOFT), FUSED, 50);
    holds("hf_dynamo_vit", (23, STANDARD), "Attention", 32);
    holds("hf_dynamo_vit", (18, MICROSOFT), FUSED, 24);
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

/// A model of what `f` writes after the input `x` of shape [batch, 3, 4].
fn written(f: impl FnOnce(&mut Writer, &str) -> String) -> Model {
    let mut writer = Writer::new();
    let x = writer.input("x", &[3, 4]);
    let y = f(&mut writer, &x);
    writer.output(&y, 3);
    writer.model()
}

fn number(writer: &mut Writer, value: f32) -> String {
    writer.these_floats(&[], &[value])
}

#[test]
fn a_mask_of_one_row_is_stretched_for_onnx_runtime() {
    // As Hugging Face exported BERT before it had `scaled_dot_product_attention`.
    let mut writer = Writer::new();
    let (x, mask) = (writer.input("x", &[3, 8]), writer.input("mask", &[1, 1, 3]));
    let heads = |writer: &mut Writer, perm: &[i64]| {
        let dense = writer.dense(&x, [8, 8]);
        let heads = writer.reshape(&dense, &[0, 0, 2, 4]);
        writer.transpose(&heads, perm)
    };
    let [q, k, v] =
        [[0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]].map(|perm| heads(&mut writer, &perm));
    let scores = writer.add("MatMul", &[&q, &k]);
    let width = number(&mut writer, 2.0);
    let scores = writer.add("Div", &[&scores, &width]);
    let scores = writer.add("Add", &[&scores, &mask]);
    let softmax = writer.node(Node::new("Softmax", &[&scores], &[]).with("axis", -1));
    let mixed = writer.add("MatMul", &[&softmax, &v]);
    let rows = writer.transpose(&mixed, &[0, 2, 1, 3]);
    let y = writer.reshape(&rows, &[0, 0, 8]);
    writer.output(&y, 3);
    let model = writer.model().with_opset("", 17);
    let found = fused(&model, MICROSOFT);
    assert_eq!((count(&found, "Softmax"), count(&found, "Transpose")), (0, 0));
    assert_eq!(count(&found, "Expand"), 1);
}

#[test]
fn a_sequence_longer_than_the_table_of_positions_is_not_met() {
    // Sizes that passes try are longer than the table; what is added has the length of the input.
    let model = fixture("hf_dynamo_bert_eager", 18);
    assert!(model.graph.value_info.is_empty(), "the shapes are to be inferred");
    assert_eq!(count(&fused(&model, MICROSOFT), "Softmax"), 0);
}

#[test]
fn layer_normalization_takes_the_scale_and_the_bias_after_it_once() {
    let model = written(|writer, x| {
        let ones = writer.these_floats(&[4], &[1.0; 4]);
        let mut y = writer.add("LayerNormalization", &[x, &ones]);
        for operator in ["Mul", "Add", "Mul"] {
            let factors = writer.floats(&[4]);
            y = writer.add(operator, &[&y, &factors]);
        }
        y
    });
    let found = fused(&model.with_opset("", 17), STANDARD);
    assert_eq!(operators(&found), ["LayerNormalization", "Mul"]);
}

#[test]
fn a_mean_over_other_axes_is_no_layer_normalization() {
    let model = written(|writer, x| {
        let mean = writer.node(Node::new("ReduceMean", &[x], &[]).with("axes", [1]));
        let c = writer.add("Sub", &[x, &mean]);
        let square = writer.add("Mul", &[&c, &c]);
        let variance = writer.node(Node::new("ReduceMean", &[&square], &[]).with("axes", [-1]));
        let epsilon = number(writer, 1e-5);
        let variance = writer.add("Add", &[&variance, &epsilon]);
        let deviation = writer.add("Sqrt", &[&variance]);
        writer.add("Div", &[&c, &deviation])
    });
    assert_eq!(count(&fused(&model.with_opset("", 17), STANDARD), "LayerNormalization"), 0);
}

#[test]
fn powers_become_simpler_operators() {
    for (exponent, expected) in [(2.0, "Mul"), (0.5, "Sqrt"), (-1.0, "Reciprocal"), (3.0, "Pow")] {
        let model = written(|writer, x| {
            let x = writer.add("Exp", &[x]);
            let exponent = number(writer, exponent);
            writer.add("Pow", &[&x, &exponent])
        });
        assert_eq!(operators(&fused(&model, STANDARD)), ["Exp", expected]);
    }
}

#[test]
fn constants_that_scale_and_shift_are_merged() {
    let model = written(|writer, x| {
        let mut y = x.to_owned();
        for (operator, dims) in [
            ("Div", vec![]),
            ("Mul", vec![4]),
            ("Mul", vec![]),
            ("Add", vec![4]),
            ("Add", vec![3, 4]),
        ] {
            let factors = writer.floats(&dims);
            y = writer.add(operator, &[&y, &factors]);
        }
        y
    });
    // Shapes of which neither is one number stay.
    assert_eq!(operators(&fused(&model, STANDARD)), ["Mul", "Add", "Add"]);
}

#[test]
fn a_division_by_what_has_no_inverse_stays() {
    for divisor in [0.0, f32::INFINITY, 1e-39] {
        let model = written(|writer, x| {
            let divisor = number(writer, divisor);
            writer.add("Div", &[x, &divisor])
        });
        let options = Options { fuse: Some(STANDARD), ..Options::default() };
        let found = operators(&clean(model, &options));
        let expected = if divisor == f32::INFINITY { "Mul" } else { "Div" };
        assert_eq!(found, [expected], "division by {divisor}");
    }
}

#[test]
fn bounds_are_merged_as_the_later_has_it() {
    let model = |bounds: [[f32; 2]; 2]| {
        written(|writer, x| {
            bounds.into_iter().fold(x.to_owned(), |x, [least, most]| {
                let (least, most) = (number(writer, least), number(writer, most));
                writer.add("Clip", &[&x, &least, &most])
            })
        })
    };
    for bounds in
        [[[-0.5, 0.5], [0.0, 6.0]], [[0.0, 6.0], [-1.0, 0.25]], [[-0.9, -0.5], [0.0, 0.5]]]
    {
        assert_eq!(operators(&fused(&model(bounds), STANDARD)), ["Clip"], "{bounds:?}");
    }
    let with_relu = written(|writer, x| {
        let x = writer.add("Relu", &[x]);
        let (least, most) = (number(writer, -0.1), number(writer, 0.5));
        let x = writer.add("Clip", &[&x, &least, &most]);
        writer.add("Relu", &[&x])
    });
    assert_eq!(operators(&fused(&with_relu, STANDARD)), ["Clip"]);
    // Nothing is between these: what is less than the least is the most.
    let empty = fused(&model([[0.5, -0.5], [0.0, 6.0]]), STANDARD);
    assert_eq!(operators(&empty), ["Clip", "Clip"]);
}

#[test]
fn casts_that_lose_nothing_are_merged() {
    const FLOAT: i64 = 1;
    let model = |between: i64| {
        written(|writer, x| {
            let cast = |to: i64, x: &str| Node::new("Cast", &[x], &[]).with("to", to);
            let x = writer.node(cast(between, x));
            writer.node(cast(FLOAT, &x))
        })
    };
    let (double, int32) = (11, 6);
    assert_eq!(operators(&fused(&model(double), STANDARD)), ["Identity"]);
    assert_eq!(operators(&fused(&model(int32), STANDARD)), ["Cast", "Cast"]);
}

#[test]
fn passes_are_selected_by_name() {
    let names = |passes: Vec<&modelyard_graph::rewrite::Pass>| {
        passes.iter().map(|pass| pass.name).collect::<Vec<_>>()
    };
    assert_eq!(names(select(&["gelu", "fold"], None).unwrap()), ["fold", "gelu"]);
    assert_eq!(names(select(&[], Some("common")).unwrap()), ["identity", "common"]);
    let error = select(&["gelus"], None).err().unwrap().to_string();
    assert!(error.contains("no pass 'gelus'") && error.contains("layer_norm, rms_norm"), "{error}");
}

#[test]
fn a_trace_says_what_each_pass_changed() {
    let options = Options { fuse: Some(MICROSOFT), ..Options::default() };
    let model = fixture("torch_dynamo_gelu", 18);
    let (traced, records) = trace(model.clone(), &select(&[], None).unwrap(), &options);
    assert_eq!(operators(&traced.check().unwrap()), ["com.microsoft.Gelu"]);
    let changed: Vec<_> = records.iter().filter(|record| record.changed).collect();
    let [gelu] = changed.as_slice() else { panic!("{changed:?}") };
    assert_eq!((gelu.pass, gelu.round, gelu.nodes_before, gelu.nodes_after), ("gelu", 1, 5, 1));
    assert_eq!(gelu.operators["Erf"], (1, 0));
    assert_eq!(gelu.operators["com.microsoft.Gelu"], (0, 1));
    let (stopped, _) = trace(model, &select(&[], Some("rms_norm")).unwrap(), &options);
    assert_eq!(operators(&stopped), ["Div", "Erf", "Add", "Mul", "Mul"]);
}
