//! Merged models against their members, all evaluated by the interpreter that training uses.

use modelyard_graph::{Constant, Function, GraphBuilder, Model, Node};
use modelyard_tensor::{DataType, Dim, Shape};
use modelyard_train::Array;

use super::fit::Stack;
use super::soup::{greedy, soup};
use super::*;
use crate::quantize::tests::{evaluate, numbers};

const ROWS: usize = 6;

/// A classifier of three classes; its names are the same whatever the seed.
fn net(seed: u64, softmax: bool) -> GraphBuilder {
    let net = GraphBuilder::new("g")
        .input("x", DataType::Fp32, &[Dim::Symbol("n".into()), Dim::Fixed(4)])
        .floats("mean", &[4], &[0.1, 0.2, 0.3, 0.4])
        .floats("w", &[4, 3], &numbers(12, seed))
        .floats("b", &[3], &numbers(3, seed + 100))
        .node(Node::new("Sub", &["x", "mean"], &["centred"]));
    let gemm = |output| Node::new("Gemm", &["centred", "w", "b"], &[output]);
    let net = match softmax {
        true => net.node(gemm("l")).node(Node::new("Softmax", &["l"], &["y"]).with("axis", -1i64)),
        false => net.node(gemm("y")),
    };
    net.output("y", DataType::Fp32, &[Dim::Symbol("n".into()), Dim::Fixed(3)])
}

fn member(name: &str, model: Model) -> Member {
    let model = model.check().unwrap();
    Member { name: name.into(), model, output: 0, labels: None, gives: None }
}

/// Three classifiers that give probabilities.
fn members() -> Vec<Member> {
    (1..4).map(|seed| member(&format!("{seed}.onnx"), net(seed, true).model())).collect()
}

fn answer(model: &Model, name: &str) -> Vec<f32> {
    let x = Array::floats(Shape::new(&[ROWS, 4]), numbers(ROWS * 4, 50));
    evaluate(model, &[("x", x)], &[name]).remove(0)
}

fn answers(members: &[Member], name: &str) -> Vec<Vec<f32>> {
    members.iter().map(|member| answer(&member.model, name)).collect()
}

fn mixed(answers: &[Vec<f32>], weights: &[f32]) -> Vec<f32> {
    let at = |index| answers.iter().zip(weights).map(|(y, w)| w * y[index]).sum();
    (0..answers[0].len()).map(at).collect()
}

fn softmax(logits: &[f32]) -> Vec<f32> {
    let of = |row: &[f32]| {
        let sum: f32 = row.iter().map(|x| x.exp()).sum();
        row.iter().map(|x| x.exp() / sum).collect::<Vec<_>>()
    };
    logits.chunks_exact(3).flat_map(of).collect()
}

#[track_caller]
fn close(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    for (one, two) in found.iter().zip(expected) {
        assert!((one - two).abs() < 1e-6, "{found:?} is not {expected:?}");
    }
}

fn refused(members: &[Member], rule: &Rule) -> String {
    ensemble(members, rule, &Options::default()).unwrap_err().to_string()
}

#[test]
fn an_average_is_the_weighted_sum_of_what_members_give() {
    let members = members();
    let rule = Rule::Average(vec![1.0, 2.0, 1.0]);
    let merged = ensemble(&members, &rule, &Options::default()).unwrap();
    close(&answer(&merged.model, "y"), &mixed(&answers(&members, "y"), &[0.25, 0.5, 0.25]));
    assert_eq!(
        (merged.gives, merged.activated.len(), merged.bared.len()),
        (Gives::Probabilities, 0, 0)
    );
    assert_eq!(merged.model.signature(), members[0].model.signature());
}

#[test]
fn logits_are_taken_from_before_the_softmax_which_comes_last() {
    let members = members();
    let options = Options { of: Some(Of::Logits), ..Options::default() };
    let merged = ensemble(&members, &Rule::Average(vec![1.0, 0.0, 3.0]), &options).unwrap();
    let logits = mixed(&answers(&members, "l"), &[0.25, 0.0, 0.75]);
    close(&answer(&merged.model, "y"), &softmax(&logits));
    assert_eq!(merged.bared, ["1.onnx", "3.onnx"]);
    assert_eq!(merged.left_out, ["2.onnx"]);
    let alone = reading(&members[1], &options).unwrap();
    close(&answer(&alone.model, "y"), &answer(&members[1].model, "l"));
    assert_eq!(alone.gives, Gives::Scores);
}

#[test]
fn logits_beside_probabilities_become_probabilities() {
    let members = [member("a", net(1, true).model()), member("b", net(2, false).model())];
    let merged = ensemble(&members, &Rule::Average(vec![0.6, 0.4]), &Options::default()).unwrap();
    let given = answers(&members, "y");
    let expected = mixed(&[given[0].clone(), softmax(&given[1])], &[0.6, 0.4]);
    close(&answer(&merged.model, "y"), &expected);
    assert_eq!(merged.activated, ["b"]);
    // Logits alone stay logits.
    let members = [member("b", net(2, false).model()), member("c", net(3, false).model())];
    let merged = ensemble(&members, &Rule::Average(vec![1.0, 1.0]), &Options::default()).unwrap();
    close(&answer(&merged.model, "y"), &mixed(&answers(&members, "y"), &[0.5, 0.5]));
    assert_eq!(merged.gives, Gives::Scores);
}

/// A member that always gives these scores, one row.
fn says(name: &str, scores: &[f32]) -> Member {
    let dims = [Dim::Fixed(1), Dim::Fixed(scores.len())];
    let model = GraphBuilder::new("g")
        .input("x", DataType::Fp32, &dims)
        .floats("zero", &[], &[0.0])
        .floats("scores", &[1, scores.len()], scores)
        .node(Node::new("Mul", &["x", "zero"], &["nothing"]))
        .node(Node::new("Add", &["nothing", "scores"], &["y"]))
        .output("y", DataType::Fp32, &dims)
        .model();
    member(name, model)
}

fn vote(scores: &[&[f32]], weights: &[f64], options: &Options) -> Vec<f32> {
    let members: Vec<Member> = scores.iter().map(|scores| says("m", scores)).collect();
    let merged = ensemble(&members, &Rule::Vote(weights.to_vec()), options).unwrap();
    let width = scores[0].len();
    let x = Array::floats(Shape::new(&[1, width]), vec![1.0; width]);
    evaluate(&merged.model, &[("x", x)], &["y"]).remove(0)
}

#[test]
fn votes_are_shares_of_classes_and_ties_go_to_the_lowest() {
    let options = Options::default();
    let (first, last) = (&[5.0, 1.0, 1.0][..], &[0.0, 1.0, 2.0][..]);
    assert_eq!(vote(&[first, last, last], &[2.0, 1.0, 1.0], &options), [0.5, 0.0, 0.5]);
    // A member that cannot choose votes for the first of the best.
    assert_eq!(vote(&[&[1.0, 7.0, 7.0], first], &[1.0, 3.0], &options), [0.75, 0.25, 0.0]);
    // One number is that of the second of two classes.
    let classes = Options { classes: true, ..options };
    assert_eq!(vote(&[&[0.4], &[-3.0], &[0.0]], &[1.0, 1.0, 2.0], &classes), [0.25]);
    let text = refused(&[says("m", &[0.4]), says("n", &[0.4])], &Rule::Vote(vec![1.0, 1.0]));
    assert!(text.contains("no classes to vote for"), "{text}");
}

#[test]
fn a_stack_is_a_linear_model_over_all_answers() {
    let members = &members()[..2];
    let weights: Vec<f64> = numbers(18, 7).into_iter().map(f64::from).collect();
    let bias = vec![0.5, -0.25, 0.0];
    let stack = Stack { weights, bias, inputs: 6, outputs: 3, logistic: true };
    let merged = ensemble(members, &Rule::Stack(stack.clone()), &Options::default()).unwrap();
    let given = answers(members, "y");
    let mut scores = Vec::new();
    for row in 0..ROWS {
        let inputs: Vec<f32> = given.iter().flat_map(|y| y[row * 3..][..3].to_vec()).collect();
        for class in 0..3 {
            let products =
                inputs.iter().enumerate().map(|(i, x)| x * stack.weights[i * 3 + class] as f32);
            scores.push(products.sum::<f32>() + stack.bias[class] as f32);
        }
    }
    close(&answer(&merged.model, "y"), &softmax(&scores));
    let wrong = Rule::Stack(Stack { inputs: 7, ..stack });
    assert!(refused(members, &wrong).contains("expected 3 of 6"));
}

#[test]
fn what_members_compute_alike_is_computed_once() {
    let members = members();
    let equal = Rule::Average(vec![1.0; 3]);
    let merged = ensemble(&members, &equal, &Options::default()).unwrap();
    let count = |operator: &str| merged.model.nodes().filter(|node| node.is(operator)).count();
    assert_eq!((count("Sub"), count("Gemm"), count("Softmax")), (1, 3, 3));
    let twice = [members[0].clone(), members[0].clone()];
    let merged = ensemble(&twice, &Rule::Average(vec![1.0; 2]), &Options::default()).unwrap();
    assert_eq!(merged.model.nodes().filter(|node| node.is("Gemm")).count(), 1);
    close(&answer(&merged.model, "y"), &answer(&members[0].model, "y"));
}

#[test]
fn names_operator_sets_and_functions_of_members_do_not_clash() {
    // The same function name for other things, inputs of other names, the first's like a prefix.
    let with_function = |input: &str, opset: i64, operator: &str| {
        let body = Function {
            name: "Act".into(),
            domain: "local".into(),
            inputs: vec!["a".into()],
            outputs: vec!["r".into()],
            nodes: vec![Node::new(operator, &["a"], &["r"])],
            opsets: [(String::new(), opset)].into(),
            ..Function::default()
        };
        let dims = [Dim::Free, Dim::Fixed(4)];
        let model = GraphBuilder::new("g")
            .input(input, DataType::Fp32, &dims)
            .node(Node::new("Act", &[input], &["h"]).in_domain("local"))
            .node(Node::new("Softmax", &["h"], &["y"]).with("axis", 1i64))
            .output("y", DataType::Fp32, &dims)
            .model()
            .with_opset("", opset)
            .with_opset("local", 1)
            .with_function(body);
        member(operator, model)
    };
    let members = [with_function("member1/x", 11, "Relu"), with_function("image", 17, "Tanh")];
    let merged = ensemble(&members, &Rule::Average(vec![1.0; 2]), &Options::default()).unwrap();
    assert_eq!(merged.model.opset(""), Some(17));
    assert!(merged.model.functions.is_empty());
    let x = numbers(8, 1);
    let input = Array::floats(Shape::new(&[2, 4]), x.clone());
    let found = evaluate(&merged.model, &[("member1/x", input)], &["y"]).remove(0);
    let soft = |act: fn(f32) -> f32| -> Vec<f32> {
        let of = |row: &[f32]| {
            let sum: f32 = row.iter().map(|&x| act(x).exp()).sum();
            row.iter().map(|&x| act(x).exp() / sum).collect::<Vec<_>>()
        };
        x.chunks_exact(4).flat_map(of).collect()
    };
    close(&found, &mixed(&[soft(|x| x.max(0.0)), soft(f32::tanh)], &[0.5, 0.5]));
}

#[test]
fn members_that_do_not_fit_are_named() {
    let average = Rule::Average(vec![1.0; 2]);
    let plain = |name: &str, inputs: &[&str], sizes: [usize; 2]| {
        let free = |size| [Dim::Symbol("n".into()), Dim::Fixed(size)];
        let net = GraphBuilder::new("g").floats("w", &sizes, &numbers(sizes[0] * sizes[1], 1));
        let net =
            inputs.iter().fold(net, |net, input| net.input(input, DataType::Fp32, &free(sizes[0])));
        let net = net.node(Node::new("MatMul", &[inputs[0], "w"], &["y"]));
        member(name, net.output("y", DataType::Fp32, &free(sizes[1])).model())
    };
    let first = plain("a", &["x"], [4, 3]);
    let other =
        |inputs: &[&str], sizes| refused(&[first.clone(), plain("b", inputs, sizes)], &average);
    let text = other(&["x"], [5, 3]);
    assert!(
        text.contains("'a' and 'b'") && text.contains("[n, 4]") && text.contains("[n, 5]"),
        "{text}"
    );
    let text = other(&["x"], [4, 7]);
    assert!(text.contains("gives [n, 3]") && text.contains("gives [n, 7]"), "{text}");
    let text = other(&["x", "z"], [4, 3]);
    assert!(text.contains("takes 'x'") && text.contains("takes 'x', 'z'"), "{text}");

    let labelled = |labels: &[&str]| Member {
        labels: Some(labels.iter().map(|label| (*label).to_owned()).collect()),
        ..first.clone()
    };
    let text = refused(&[labelled(&["a", "b", "c"]), labelled(&["a", "c", "b"])], &average);
    assert!(text.contains("tells apart 'a', 'b', 'c'") && text.contains("'a', 'c', 'b'"), "{text}");

    let weights =
        |weights: &[f64]| refused(&[first.clone(), first.clone()], &Rule::Vote(weights.to_vec()));
    assert!(weights(&[1.0]).contains("one weight for each of 2 models, found 1"));
    assert!(weights(&[1.0, -0.5]).contains("found -0.5"));
    assert!(weights(&[0.0, 0.0]).contains("all weights are zero"));
    assert!(weights(&[1.0, f64::NAN]).contains("found NaN"));
}

#[test]
fn a_soup_is_the_average_of_weights() {
    let members = members();
    let found = soup(&members, &[1.0, 2.0, 1.0]).unwrap();
    assert_eq!((found.averaged, found.statistics.len()), (2, 0));
    for (name, count, seed) in [("w", 12, 0), ("b", 3, 100)] {
        let weights: Vec<Vec<f32>> = (1..4).map(|member| numbers(count, seed + member)).collect();
        let found = found.model.graph.initializer(name).and_then(crate::floats::floats).unwrap();
        close(&found, &mixed(&weights, &[0.25, 0.5, 0.25]));
    }
    let mean = |model: &Model| model.graph.initializer("mean").cloned();
    assert_eq!(mean(&found.model), mean(&members[0].model));
}

#[test]
fn statistics_of_batch_normalization_are_told() {
    let net = |variance: f32| {
        let dims = [Dim::Free, Dim::Fixed(2)];
        let model = GraphBuilder::new("g")
            .input("x", DataType::Fp32, &dims)
            .floats("one", &[2], &[1.0, 1.0])
            .floats("zero", &[2], &[0.0, 0.0])
            .floats("variance", &[2], &[variance, 1.0])
            .node(Node::new(
                "BatchNormalization",
                &["x", "one", "zero", "zero", "variance"],
                &["y"],
            ))
            .output("y", DataType::Fp32, &dims)
            .model();
        member("m", model)
    };
    let found = soup(&[net(1.0), net(2.0)], &[1.0, 1.0]).unwrap();
    assert_eq!(found.statistics, ["variance"]);
    let error = soup(&[net(1.0), net(f32::NAN)], &[1.0, 1.0]).unwrap_err().to_string();
    assert!(error.contains("'variance'") && error.contains("NaN"), "{error}");
}

#[test]
fn models_that_differ_in_more_than_weights_make_no_soup() {
    let first = member("a.onnx", net(1, true).model());
    let refused = |other: Model| {
        let members = [first.clone(), member("b.onnx", other)];
        soup(&members, &[1.0, 1.0]).unwrap_err().to_string()
    };
    assert!(refused(net(2, false).model()).contains("3 and 2 nodes"));
    let mut other = net(2, true).model();
    other.graph.nodes[0].op_type = "Add".into();
    let text = refused(other);
    assert!(text.contains("'a.onnx' and 'b.onnx'") && text.contains("is Sub and Add"), "{text}");
    let mut other = net(2, true).model();
    other.graph.initializers[2] = Constant::floats("b", &[1], &[1.0]);
    let text = refused(other);
    assert!(text.contains("weight 'b'") && text.contains("[3]") && text.contains("[1]"), "{text}");

    let mut quantized = net(2, true).model();
    let node = Node::new("DynamicQuantizeLinear", &["centred"], &["q", "s", "z"]);
    quantized.graph.nodes.push(node);
    let text = refused(quantized);
    assert!(text.contains("'b.onnx'") && text.contains("quantized"), "{text}");
}

#[test]
fn the_greedy_soup_keeps_what_does_no_harm() {
    // The second is the best, then the fourth, which hurts, then the first, which does not.
    let mut asked = Vec::new();
    let taken = greedy(&[0.7, 0.9, 0.1, 0.8], |members| {
        asked.push(members.to_vec());
        Ok::<_, ()>(match members {
            [1, 0] => 0.9,
            [1, 0, 2] => 0.95,
            _ => 0.5,
        })
    });
    assert_eq!(taken, Ok(vec![1, 0, 2]));
    assert_eq!(asked, [vec![1, 3], vec![1, 0], vec![1, 0, 2]]);
}
