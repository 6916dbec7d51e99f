//! One small broken model per rule.

use modelyard_tensor::{DataType, Dim};

use crate::{Constant, Function, GraphBuilder, Model, Node, ReadError};

fn relu() -> GraphBuilder {
    GraphBuilder::new("g").input("x", DataType::Fp32, &[Dim::Fixed(4)]).output(
        "y",
        DataType::Fp32,
        &[Dim::Fixed(4)],
    )
}

/// The model is refused, and the message has all of `parts`.
#[track_caller]
fn refused(model: Model, parts: &[&str]) {
    let Err(ReadError::Invalid(problems)) = model.check() else {
        panic!("the model was not refused as invalid");
    };
    let text = ReadError::Invalid(problems).to_string();
    for part in parts {
        assert!(text.contains(part), "expected '{part}' in: {text}");
    }
}

#[test]
fn a_good_model_passes() {
    let model = relu().node(Node::new("Relu", &["x"], &["y"])).model().check();
    let model = model.expect("nothing is wrong with it");
    assert_eq!(model.signature().expect("tensors only").inputs[0].name, "x");
}

#[test]
fn names_are_defined_before_use() {
    refused(
        relu().node(Node::new("Add", &["x", "nowhere"], &["y"])).model(),
        &["Add_y", "'nowhere'", "no such name"],
    );
    refused(relu().model(), &["output 'y'", "no such name"]);
    let swapped =
        relu().node(Node::new("Relu", &["a"], &["y"])).node(Node::new("Abs", &["x"], &["a"]));
    refused(swapped.model(), &["'a'", "topological order"]);
}

#[test]
fn cycles_are_named() {
    let cycle = relu()
        .node(Node::new("Add", &["x", "b"], &["a"]))
        .node(Node::new("Relu", &["a"], &["b"]))
        .node(Node::new("Relu", &["b"], &["y"]));
    refused(cycle.model(), &["expected no cycle", "Add_a", "Relu_b"]);
}

#[test]
fn names_are_defined_once() {
    let twice =
        relu().node(Node::new("Relu", &["x"], &["y"])).node(Node::new("Abs", &["x"], &["y"]));
    refused(twice.model(), &["Abs_y", "defined once"]);
    let inputs = relu().input("x", DataType::Fp32, &[]).node(Node::new("Relu", &["x"], &["y"]));
    refused(inputs.model(), &["input 'x'", "twice"]);
}

#[test]
fn domains_are_imported() {
    let fused = relu().node(Node::new("FastGelu", &["x"], &["y"]).in_domain("com.microsoft"));
    refused(fused.clone().model(), &["com.microsoft", "FastGelu", "opset import"]);
    assert!(fused.model().with_opset("com.microsoft", 1).check().is_ok());
}

#[test]
fn constants_are_as_long_as_their_shape() {
    let short = relu()
        .initializer(Constant::raw("w", DataType::Fp32, &[2, 2], vec![0; 15]))
        .node(Node::new("Add", &["x", "w"], &["y"]));
    refused(short.model(), &["'w'", "expected 16 bytes", "found 15"]);
}

#[test]
fn absurd_shapes_are_refused() {
    let huge = relu()
        .initializer(Constant::raw("w", DataType::Fp32, &[usize::MAX, 2], vec![]))
        .node(Node::new("Add", &["x", "w"], &["y"]));
    refused(huge.model(), &["'w'", "at most"]);
    let rank = GraphBuilder::new("g").input("x", DataType::Fp32, &vec![Dim::Fixed(1); 65]).output(
        "x",
        DataType::Fp32,
        &[],
    );
    refused(rank.model(), &["'x'", "65"]);
}

#[test]
fn attributes_are_of_their_kind() {
    let wrong = Node::new("Softmax", &["x"], &["y"]).with("axis", 1.0);
    refused(relu().node(wrong).model(), &["'axis'", "an integer", "a float"]);
    let twice = Node::new("Softmax", &["x"], &["y"]).with("axis", 1).with("axis", 2);
    refused(relu().node(twice).model(), &["'axis'", "twice"]);
    refused(relu().node(Node::new("If", &["x"], &["y"])).model(), &["then_branch"]);
}

#[test]
fn subgraphs_see_what_is_around_them() {
    let branch = |name: &str| {
        GraphBuilder::new("branch")
            .output("out", DataType::Fp32, &[Dim::Fixed(4)])
            .node(Node::new("Relu", &[name], &["out"]))
            .build()
    };
    let model = |name: &str| {
        GraphBuilder::new("g")
            .input("x", DataType::Fp32, &[Dim::Fixed(4)])
            .input("condition", DataType::Bool, &[])
            .output("y", DataType::Fp32, &[Dim::Fixed(4)])
            .node(
                Node::new("If", &["condition"], &["y"])
                    .with("then_branch", branch("x"))
                    .with("else_branch", branch(name)),
            )
            .model()
    };
    assert!(model("x").check().is_ok());
    refused(model("y"), &["Relu_out", "'y'"]);
}

#[test]
fn functions_do_not_recurse() {
    let function = |name: &str, calls: &str| Function {
        name: name.into(),
        domain: "own".into(),
        inputs: vec!["a".into()],
        outputs: vec!["b".into()],
        nodes: vec![Node::new(calls, &["a"], &["b"]).in_domain("own")],
        opsets: [("own".to_owned(), 1)].into(),
        ..Function::default()
    };
    let model = relu()
        .node(Node::new("F", &["x"], &["y"]).in_domain("own"))
        .model()
        .with_opset("own", 1)
        .with_function(function("F", "G"))
        .with_function(function("G", "F"));
    refused(model, &["function 'F'", "recursion", "F -> G -> F"]);
}

#[test]
fn nesting_is_bounded() {
    let mut graph = relu().node(Node::new("Relu", &["x"], &["y"])).build();
    for _ in 0..70 {
        let outer = Node::new("Own", &["x"], &["y"]).with("graph", graph);
        graph = relu().node(outer).build();
    }
    refused(Model::unverified(graph), &["levels"]);
}

/// rten took a model whose product could never be computed, where ONNX Runtime refuses it.
#[test]
fn shapes_that_can_never_go_together_are_refused() {
    let matmul = |columns: Dim, rows: usize| {
        GraphBuilder::new("product")
            .input("x", DataType::Fp32, &[Dim::Symbol("n".into()), columns])
            .output("y", DataType::Fp32, &[Dim::Free, Dim::Free])
            .floats("w", &[rows, 2], &vec![0.0; rows * 2])
            .node(Node::new("MatMul", &["x", "w"], &["y"]))
            .model()
    };
    refused(matmul(Dim::Fixed(3), 4), &["node 'MatMul_y' (MatMul)", "found 3 and 4"]);
    assert!(matmul(Dim::Fixed(4), 4).check().is_ok());
    // May be 4 when it comes to it, though it is none of the sizes that are tried.
    assert!(matmul(Dim::Free, 4).check().is_ok());
    assert!(matmul(Dim::Symbol("n".into()), 4).check().is_ok());
}

#[test]
fn a_claim_of_the_file_is_no_certain_shape() {
    let claimed = GraphBuilder::new("claimed")
        .input("x", DataType::Fp32, &[Dim::Fixed(2)])
        .output("y", DataType::Fp32, &[Dim::Free])
        .output("between", DataType::Fp32, &[Dim::Fixed(3)])
        .floats("w", &[2], &[0.0; 2])
        .node(Node::new("Unheard", &["x"], &["between"]).in_domain("own"))
        .node(Node::new("Add", &["between", "w"], &["y"]))
        .model()
        .with_opset("own", 1);
    assert!(claimed.check().is_ok());
}
