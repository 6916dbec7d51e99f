//! Amended operators by examples; the ONNX node tests have more.

use modelyard_graph::{GraphBuilder, Model, Node};
use modelyard_tensor::{DataType, Dim, Element, Shape, Tensor};

use super::amend;
use crate::rten::Rten;
use crate::{Engine, LoadOptions, Loaded, ModelFile, Parallelism};

fn free(rank: usize) -> Vec<Dim> {
    vec![Dim::Free; rank]
}

/// A model of one node from `x` to `y`.
fn model(node: Node, from: (DataType, usize), to: (DataType, usize)) -> Model {
    let builder = GraphBuilder::new("one")
        .input("x", from.0, &free(from.1))
        .output("y", to.0, &free(to.1))
        .node(node);
    builder.model().check().unwrap()
}

fn run(model: Model, input: &Tensor) -> Tensor {
    load(model).session.run(&[input.view()], &[0], Parallelism::One).unwrap().remove(0)
}

fn load(model: Model) -> Loaded {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    std::fs::write(&path, model.encode()).unwrap();
    let file = ModelFile { path, model };
    Rten::default().load(&file, &LoadOptions { threads: 1, lone: false }).unwrap()
}

fn tensor<T: Element>(shape: &[usize], values: &[T]) -> Tensor {
    Tensor::from_vec(Shape::new(shape), values.to_vec()).unwrap()
}

#[test]
fn the_first_of_equals_is_selected() {
    let input = tensor(&[2, 3], &[5.0f32, 5.0, 1.0, 0.0, 0.0, 0.0]);
    for (op_type, expected) in [("ArgMax", [0i64, 0]), ("ArgMin", [2, 0])] {
        for keep in [0i64, 1] {
            let node =
                Node::new(op_type, &["x"], &["y"]).with("axis", -1i64).with("keepdims", keep);
            let rank = 1 + keep as usize;
            let answer = run(model(node, (DataType::Fp32, 2), (DataType::Int64, rank)), &input);
            assert_eq!(answer.values::<i64>().unwrap().as_ref(), expected);
            assert_eq!(answer.shape().len(), rank);
        }
    }
}

#[test]
fn zero_has_the_sign_zero() {
    let node = || Node::new("Sign", &["x"], &["y"]);
    let input = tensor(&[4], &[-2.5f32, 0.0, -0.0, 7.0]);
    let answer = run(model(node(), (DataType::Fp32, 1), (DataType::Fp32, 1)), &input);
    assert_eq!(answer.values::<f32>().unwrap().as_ref(), [-1.0, 0.0, 0.0, 1.0]);
    let answer =
        run(model(node(), (DataType::Int64, 0), (DataType::Int64, 0)), &tensor(&[], &[0i64]));
    assert_eq!(answer.values::<i64>().unwrap().as_ref(), [0]);
    assert_eq!(answer.shape().len(), 0);
}

#[test]
fn every_number_but_zero_is_true() {
    let node = || Node::new("Cast", &["x"], &["b"]).with("to", 9i64);
    // Seen as a number again: true is 1.
    let model = |from| {
        GraphBuilder::new("two")
            .input("x", from, &free(1))
            .output("y", DataType::Fp32, &free(1))
            .node(node())
            .node(Node::new("Cast", &["b"], &["y"]).with("to", 1i64))
            .model()
            .check()
            .unwrap()
    };
    let answer = run(model(DataType::Fp32), &tensor(&[3], &[0.5f32, 0.0, -3.0]));
    assert_eq!(answer.values::<f32>().unwrap().as_ref(), [1.0, 0.0, 1.0]);
    let answer = run(model(DataType::Int64), &tensor(&[3], &[2i64, 0, i64::from(i32::MIN)]));
    assert_eq!(answer.values::<f32>().unwrap().as_ref(), [1.0, 0.0, 1.0]);
}

#[test]
fn old_softmax_works_on_all_that_follows_its_axis() {
    let input = tensor(&[1, 2, 2], &[0.0f32; 4]);
    let softmax = |opset, axis: Option<i64>| {
        let node = Node::new("Softmax", &["x"], &["y"]);
        let node = match axis {
            Some(axis) => node.with("axis", axis),
            None => node,
        };
        let model = model(node, (DataType::Fp32, 3), (DataType::Fp32, 3)).with_opset("", opset);
        run(model.check().unwrap(), &input).values::<f32>().unwrap()[0]
    };
    assert_eq!(softmax(11, None), 0.25);
    assert_eq!(softmax(11, Some(1)), 0.25);
    assert_eq!(softmax(11, Some(2)), 0.5);
    assert_eq!(softmax(11, Some(-1)), 0.5);
    assert_eq!(softmax(13, None), 0.5);
    assert_eq!(softmax(13, Some(1)), 0.5);
}

#[test]
fn quantization_divides() {
    // 2.5 / 0.019607844 is just below 127.5; times its reciprocal it is 127.5, which rounds up.
    let scale = 0.019_607_844_f32;
    let model = GraphBuilder::new("quantize")
        .input("x", DataType::Fp32, &free(1))
        .output("y", DataType::Uint8, &free(1))
        .floats("scale", &[], &[scale])
        .node(Node::new("QuantizeLinear", &["x", "scale"], &["y"]))
        .model()
        .check()
        .unwrap();
    let input = [2.5f32, 0.3, 9.0, -1.0];
    let exact = input.map(|value| (value / scale).round_ties_even().clamp(0.0, 255.0) as u8);
    let answer = run(model, &tensor(&[4], &input));
    assert_eq!(answer.values::<u8>().unwrap().as_ref(), exact);
}

/// One pixel that is no number gave plausible probabilities.
#[test]
fn nan_is_refused_where_it_would_be_lost_and_cannot_come_up_inside() {
    let relu = model(Node::new("Relu", &["x"], &["y"]), (DataType::Fp32, 1), (DataType::Fp32, 1));
    assert!(amend(&relu).model.is_none(), "nothing is slower for it");
    let loaded = load(relu);
    let run = |values: &[f32]| {
        let input = tensor(&[values.len()], values);
        loaded.session.run(&[input.view()], &[0], Parallelism::One).map(|mut found| found.remove(0))
    };
    assert_eq!(run(&[-1.0, 2.0]).unwrap().values::<f32>().unwrap().as_ref(), [0.0, 2.0]);
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let error = run(&[0.0, value]).unwrap_err().to_string();
        assert!(error.contains("element 1 of input 'x' is") && error.contains("Relu_y"), "{error}");
    }
}

#[test]
fn nan_that_comes_up_inside_is_kept() {
    let chain = GraphBuilder::new("chain")
        .input("x", DataType::Fp32, &free(1))
        .output("y", DataType::Fp32, &free(1))
        .floats("low", &[], &[0.0])
        .floats("high", &[], &[6.0])
        .node(Node::new("Sqrt", &["x"], &["root"]))
        .node(Node::new("Relu", &["root"], &["bounded"]))
        .node(Node::new("Clip", &["bounded", "low", "high"], &["y"]));
    let answer = run(chain.model().check().unwrap(), &tensor(&[3], &[-1.0f32, 4.0, 64.0]));
    let values = answer.values::<f32>().unwrap();
    assert!(values[0].is_nan());
    assert_eq!(values[1..], [2.0, 6.0]);
}

#[test]
fn what_is_right_stays_as_it_is() {
    let softmax = Node::new("Softmax", &["x"], &["y"]).with("axis", 1i64);
    let modern = model(softmax, (DataType::Fp32, 2), (DataType::Fp32, 2));
    assert!(amend(&modern).model.is_none());
    let cast = Node::new("Cast", &["x"], &["y"]).with("to", 1i64);
    assert!(amend(&model(cast, (DataType::Int64, 1), (DataType::Fp32, 1))).model.is_none());
}

#[test]
fn the_weights_say_how_large_a_kernel_is() {
    let convolution = |weights: &str| {
        Node::new("Conv", &["x", weights], &["y"])
            .with("strides", [2i64].as_slice())
            .with("dilations", [2i64].as_slice())
    };
    let stored = GraphBuilder::new("strided")
        .input("x", DataType::Fp32, &free(3))
        .output("y", DataType::Fp32, &free(3))
        .floats("w", &[1, 1, 2], &[1.0, 10.0]);
    let computed = stored
        .clone()
        .node(Node::new("Cast", &["w"], &["half"]).with("to", 10i64))
        .node(Node::new("Cast", &["half"], &["v"]).with("to", 1i64));
    let input = tensor(&[1, 1, 6], &[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0]);
    for builder in [stored.node(convolution("w")), computed.node(convolution("v"))] {
        let answer = run(builder.model().check().unwrap(), &input);
        assert_eq!(answer.values::<f32>().unwrap().as_ref(), [31.0, 53.0]);
    }
    let unknown = GraphBuilder::new("unknown")
        .input("x", DataType::Fp32, &free(3))
        .input("w", DataType::Fp32, &free(3))
        .output("y", DataType::Fp32, &free(3))
        .node(convolution("w"));
    let [refusal] = &amend(&unknown.model().check().unwrap()).refusals[..] else {
        panic!("accepted")
    };
    assert!(refusal.reason.contains("kernel_shape"), "{refusal:?}");
}
