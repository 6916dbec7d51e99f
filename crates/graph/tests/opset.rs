//! Models in other versions of ONNX's operators compute what they computed before: both are
//! evaluated by the interpreter that trains models.

use modelyard_graph::{
    AttributeValue, Constant, ElementType, Graph, GraphBuilder, Model, Node, Value, ValueType,
    opset,
};
use modelyard_tensor::{DataType, Dim};
use modelyard_train::{Array, Buffers, Mode, Program, Run, Workers};
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// A model that takes floats `x` of this shape and gives `y`.
fn model(opset: i64, dims: &[usize], build: impl FnOnce(GraphBuilder) -> GraphBuilder) -> Model {
    let dims: Vec<Dim> = dims.iter().map(|&dim| Dim::Fixed(dim)).collect();
    let graph = GraphBuilder::new("g").input("x", DataType::Fp32, &dims);
    let mut graph = build(graph).build();
    let value_type = ValueType::Tensor { element_type: ElementType::Float32, dims: None };
    graph.outputs.push(Value { name: "y".into(), value_type });
    GraphBuilder::from(graph).model().with_opset("", opset).check().expect("a valid model")
}

fn node(op_type: &str, inputs: &[&str]) -> Node {
    Node::new(op_type, inputs, &["y"])
}

fn evaluate(model: &Model) -> Vec<f32> {
    let signature = model.signature().expect("tensors");
    let dims = signature.inputs[0].dims.clone().expect("a shape");
    let dims: Vec<usize> =
        dims.iter().map(|dim| usize::try_from(dim.wire()).expect("fixed")).collect();
    let count = dims.iter().product::<usize>();
    // Distinct, of both signs, none too large to exponentiate.
    let values = (0..count).map(|index| ((index * 37 % 101) as f32 - 50.0) / 20.0).collect();
    let program = Program::compile(model).expect("known to the interpreter");
    let plan = program.plan(&["y"], &[]).unwrap_or_else(|error| panic!("{error}"));
    let workers = Workers::new(1).expect("threads");
    let mut run = Run {
        buffers: &mut Buffers::default(),
        workers: &workers,
        mode: Mode::Evaluate,
        memory_limit_bytes: 1 << 30,
    };
    let inputs = vec![("x", Array::floats(modelyard_tensor::Shape::new(&dims), values))];
    let pass = program.forward(&plan, program.weights(), inputs, &mut run).expect("evaluated");
    pass.value("y").as_floats().expect("floats").to_vec()
}

fn operators(model: &Model) -> Vec<&str> {
    model.graph.nodes.iter().map(|node| node.op_type.as_str()).collect()
}

/// Converts to each version and compares; gives the last.
#[track_caller]
fn check(model: &Model, targets: &[i64]) -> Model {
    let expected = evaluate(model);
    let mut last = model.clone();
    for &target in targets {
        let converted = opset::convert(model.clone(), target)
            .unwrap_or_else(|error| panic!("to {target}: {error}"));
        assert_eq!(converted.opset(""), Some(target));
        let converted = converted.check().unwrap_or_else(|error| panic!("to {target}: {error}"));
        let found = evaluate(&converted);
        assert_eq!(expected.len(), found.len(), "to {target}");
        for (one, two) in expected.iter().zip(&found) {
            let near = (one - two).abs() <= 1e-4 * one.abs().max(1.0);
            assert!(near, "to {target}: expected {one}, found {two}: {:?}", operators(&converted));
        }
        last = converted;
    }
    last
}

#[track_caller]
fn refused(model: &Model, target: i64, reason: &str) {
    let error = opset::convert(model.clone(), target).expect_err("refused").to_string();
    assert!(error.contains(reason), "{error}");
    assert!(error.contains("ask for opset"), "{error}");
}

#[test]
fn softmax_over_several_dimensions_becomes_one_along_an_axis_and_back() {
    for op_type in ["Softmax", "LogSoftmax"] {
        let old = model(11, &[2, 3, 4], |graph| graph.node(node(op_type, &["x"])));
        let new = check(&old, &[12, 13, 21]);
        assert_eq!(operators(&new), ["Shape", "Flatten", op_type, "Reshape"]);
        let along =
            model(13, &[2, 3, 4], |graph| graph.node(node(op_type, &["x"]).with("axis", 1)));
        let old = check(&along, &[12, 11, 9]);
        assert_eq!(operators(&old), ["Transpose", op_type, "Transpose"]);
        let last = model(13, &[2, 3, 4], |graph| graph.node(node(op_type, &["x"])));
        assert_eq!(operators(&check(&last, &[9, 12])), [op_type]);
    }
}

#[test]
fn axes_are_attributes_or_inputs() {
    let squeeze = |graph: GraphBuilder| {
        graph
            .integers("axes", &[2], &[-4, 3])
            .node(Node::new("Unsqueeze", &["x", "axes"], &["u"]))
            .node(Node::new("Relu", &["u"], &["r"]))
            .node(node("Squeeze", &["r", "axes"]))
    };
    let old = check(&model(13, &[3, 4], squeeze), &[12, 11, 10, 7, 21]);
    assert!(old.graph.initializer("axes").is_some());
    for op_type in ["ReduceMean", "ReduceSum", "ReduceMax", "ReduceL2", "ReduceLogSumExp"] {
        let attribute = node(op_type, &["x"]).with("axes", [1]).with("keepdims", 0);
        let old = model(11, &[2, 3, 4], |graph| graph.node(attribute));
        let new = check(&old, &[13, 18, 21, 8]);
        assert_eq!(new.graph.nodes[0].ints("axes"), Some(&[1][..]));
        let input = |graph: GraphBuilder| {
            graph.integers("axes", &[1], &[-1]).node(node(op_type, &["x", "axes"]))
        };
        check(&model(18, &[2, 3, 4], input), &[17, 13, 12, 11, 9]);
    }
    let nothing = node("ReduceSumSquare", &["x"]).with("noop_with_empty_axes", 1);
    let old = opset::convert(model(18, &[2], |graph| graph.node(nothing)), 13).expect("converted");
    assert_eq!(operators(&old), ["Mul"]);
}

#[test]
fn bounds_pads_slices_and_counts_are_attributes_or_inputs() {
    let clip = node("Clip", &["x"]).with("min", -0.5f32).with("max", 1.0f32);
    check(&model(10, &[5], |graph| graph.node(clip)), &[11, 13, 7]);
    let computed = |graph: GraphBuilder| {
        graph
            .node(Node::new("ReduceMean", &["x"], &["m"]).with("keepdims", 0))
            .node(node("Clip", &["x", "m"]))
    };
    let old = check(&model(12, &[6], computed), &[11, 10, 9]);
    assert_eq!(operators(&old), ["ReduceMean", "Max"]);
    let pad = |graph: GraphBuilder| {
        graph
            .integers("pads", &[4], &[1, 0, 0, 2])
            .floats("value", &[], &[0.5])
            .node(node("Pad", &["x", "pads", "value"]))
    };
    check(&model(13, &[2, 3], pad), &[10, 7, 18, 21]);
    let axes = |graph: GraphBuilder| {
        graph
            .integers("pads", &[2], &[1, 2])
            .integers("axes", &[1], &[-1])
            .node(node("Pad", &["x", "pads", "", "axes"]))
    };
    check(&model(18, &[2, 3], axes), &[17, 10]);
    let slice = |graph: GraphBuilder| {
        graph
            .integers("starts", &[1], &[-2])
            .integers("ends", &[1], &[i64::MAX])
            .integers("axes", &[1], &[-1])
            .node(node("Slice", &["x", "starts", "ends", "axes"]))
    };
    check(&model(13, &[2, 5], slice), &[11, 10, 9, 7, 21]);
    let top = |graph: GraphBuilder| {
        let smallest = Node::new("TopK", &["x", "k"], &["y", "i"]).with("largest", 0);
        graph.integers("k", &[1], &[2]).node(smallest)
    };
    check(&model(11, &[2, 5], top), &[10, 9, 7, 13, 24]);
}

#[test]
fn wrapping_is_written_as_slices() {
    let wrap = |graph: GraphBuilder| {
        let wrap = node("Pad", &["x", "pads"]).with("mode", "wrap");
        graph.integers("pads", &[4], &[1, 0, 2, 3]).node(wrap)
    };
    let wrapped = model(19, &[2, 3], wrap);
    let converted = opset::convert(wrapped, 18).expect("converted").check().expect("valid");
    let found = evaluate(&converted);
    assert_eq!(found.len(), 5 * 6);
    // Rows 1, 0, 1, 0, 1; columns 0, 1, 2, 0, 1, 2.
    assert_eq!(found[..3], found[3..6]);
    assert_eq!(found[..6], found[12..18]);
    assert_eq!(found[6..12], found[18..24]);
    let long = |graph: GraphBuilder| {
        let wrap = node("Pad", &["x", "pads"]).with("mode", "wrap");
        graph.integers("pads", &[2], &[3, 0]).node(wrap)
    };
    refused(&model(19, &[2], long), 18, "mode 'wrap' along axis 0");
}

#[test]
fn parts_of_a_split_may_be_uneven() {
    let uneven = |graph: GraphBuilder| {
        graph
            .node(Node::new("Split", &["x"], &["a", "b"]).with("num_outputs", 2).with("axis", 1))
            .node(Node::new("Concat", &["b", "a"], &["y"]).with("axis", 1))
    };
    check(&model(18, &[2, 5], uneven), &[17, 13, 12, 9]);
    let even = Node::new("Split", &["x"], &["a", "y"]).with("axis", 1);
    let new = check(&model(11, &[2, 4], |graph| graph.node(even)), &[13, 18, 21]);
    assert_eq!(new.graph.nodes[0].int("num_outputs"), Some(2));
    let sizes = Node::new("Split", &["x"], &["a", "y"]).with("split", [3, 1]).with("axis", -1);
    check(&model(11, &[2, 4], |graph| graph.node(sizes)), &[13, 10, 18]);
}

#[test]
fn operators_that_came_late_are_written_as_what_they_are_made_of() {
    let simple: [(&str, i64, &[i64]); 8] = [
        ("Celu", 12, &[11, 9]),
        ("Gelu", 20, &[19, 17, 13, 11]),
        ("HardSwish", 14, &[13, 9]),
        ("Mish", 18, &[17, 13]),
        ("GreaterOrEqual", 12, &[11]),
        ("LessOrEqual", 12, &[11]),
        ("Trilu", 14, &[13, 11]),
        ("ThresholdedRelu", 10, &[9]),
    ];
    for (op_type, opset, targets) in simple {
        let build = |graph: GraphBuilder| match op_type {
            "GreaterOrEqual" | "LessOrEqual" => graph
                .floats("zero", &[], &[0.0])
                .node(Node::new(op_type, &["x", "zero"], &["b"]))
                .node(node("Cast", &["b"]).with("to", 1)),
            _ => graph.node(node(op_type, &["x"])),
        };
        let old = check(&model(opset, &[4, 5], build), targets);
        assert!(!operators(&old).contains(&op_type));
    }
    let tanh = node("Gelu", &["x"]).with("approximate", "tanh");
    check(&model(20, &[7], |graph| graph.node(tanh)), &[19]);
}

#[test]
fn normalizations_are_written_as_arithmetic() {
    let parameters = |graph: GraphBuilder, count: usize| {
        let numbers = |from: f32| (0..count).map(|i| from + i as f32 / 8.0).collect::<Vec<_>>();
        graph.floats("s", &[count], &numbers(0.5)).floats("b", &[count], &numbers(-0.25))
    };
    for axis in [-1, 2] {
        let layer = |graph| {
            let layer = node("LayerNormalization", &["x", "s", "b"]).with("axis", axis);
            parameters(graph, 4).node(layer)
        };
        check(&model(17, &[2, 3, 4], layer), &[16, 12, 11]);
    }
    let groups = |graph| {
        let groups = node("GroupNormalization", &["x", "s", "b"]).with("num_groups", 2);
        parameters(graph, 6).node(groups)
    };
    let old = check(&model(21, &[2, 6, 3], groups), &[20, 18, 17, 12]);
    assert!(operators(&old).contains(&"InstanceNormalization"));
    let by_group = |graph| {
        let groups = node("GroupNormalization", &["x", "s", "b"]).with("num_groups", 2);
        parameters(graph, 2).node(groups)
    };
    let old = opset::convert(model(18, &[2, 6, 3], by_group), 17).expect("converted");
    let new = opset::convert(model(18, &[2, 6, 3], by_group), 21).expect("converted");
    let (old, new) = (old.check().expect("valid"), new.check().expect("valid"));
    assert_eq!(evaluate(&old).len(), 36);
    for (one, two) in evaluate(&old).iter().zip(evaluate(&new)) {
        assert!((one - two).abs() < 1e-5, "{one} {two}");
    }
    let spatial = |graph| {
        let node = node("BatchNormalization", &["x", "s", "b", "b", "s"]).with("spatial", 0);
        parameters(graph, 3).node(node)
    };
    let new = opset::convert(model(8, &[2, 3], spatial), 9).expect("converted");
    assert_eq!(operators(&new), ["Sub", "Add", "Sqrt", "Div", "Mul", "Add"]);
}

#[test]
fn quantization_is_written_as_arithmetic_where_there_is_no_node_for_it() {
    let quantized = |bytes: [u8; 3], element_type: ElementType| {
        move |graph: GraphBuilder| {
            let width = element_type.bits() / 8;
            let zero: Vec<u8> = bytes
                .iter()
                .flat_map(|&byte| std::iter::once(byte).chain(vec![0; width - 1]))
                .collect();
            graph
                .floats("s", &[3], &[0.02, 0.05, 0.1])
                .initializer(Constant::raw("z", element_type, &[3], zero))
                .node(Node::new("QuantizeLinear", &["x", "s", "z"], &["q"]).with("axis", 1))
                .node(node("DequantizeLinear", &["q", "s", "z"]).with("axis", 1))
        }
    };
    let axis = quantized([120, 3, 100], ElementType::Uint8);
    check(&model(13, &[2, 3], axis), &[12, 11, 19, 21]);
    let wide = quantized([120, 3, 100], ElementType::Uint16);
    let old = opset::convert(model(21, &[2, 3], wide), 13).expect("converted");
    assert!(!operators(&old).contains(&"QuantizeLinear"));
    let packed = |graph: GraphBuilder| {
        graph
            .floats("s", &[2, 2], &[0.5, 0.25, 1.0, 2.0])
            .initializer(Constant::raw("w", ElementType::Int4, &[2, 3], vec![0x1f, 0x72, 0x38]))
            .node(
                Node::new("DequantizeLinear", &["w", "s"], &["d"])
                    .with("axis", 1)
                    .with("block_size", 2),
            )
            .node(node("Add", &["x", "d"]))
    };
    let old = opset::convert(model(21, &[2, 3], packed), 13).expect("converted");
    let old = old.check().expect("valid");
    assert!(old.constants().all(|constant| constant.element_type != ElementType::Int4));
    let input = [-50.0, -13.0, 24.0, -40.0, -3.0, 34.0].map(|value: f32| value / 20.0);
    // -1 1 | 2 and 7 -8 | 3
    let weights = [-0.5, 0.5, 0.5, 7.0, -8.0, 6.0];
    for ((one, two), found) in input.iter().zip(weights).zip(evaluate(&old)) {
        assert!((one + two - found).abs() < 1e-5, "{one} + {two}: {found}");
    }
}

#[test]
fn images_are_resized_as_before() {
    let upsample = |graph: GraphBuilder| {
        let scales = AttributeValue::Floats(vec![1.0, 1.0, 2.0, 2.0]);
        graph.node(node("Upsample", &["x"]).with("mode", "nearest").with("scales", scales))
    };
    let new = opset::convert(model(7, &[1, 1, 2, 3], upsample), 19).expect("converted");
    let new = new.check().expect("valid");
    assert_eq!(new.graph.nodes[0].string("nearest_mode"), Some("floor"));
    assert_eq!(new.graph.nodes[0].inputs[1], "");
    let old = opset::convert(new.clone(), 7).expect("converted");
    assert_eq!(old.graph.nodes[0].floats("scales"), Some(&[1.0, 1.0, 2.0, 2.0][..]));
    assert_eq!(evaluate(&new).len(), 24);
    let sizes = |graph: GraphBuilder| {
        let resize = node("Resize", &["x", "", "", "sizes"]).with("axes", [2, 3]);
        graph.integers("sizes", &[2], &[4, 6]).node(resize.with("mode", "linear"))
    };
    check(&model(18, &[1, 1, 2, 3], sizes), &[17, 13, 12, 11, 19]);
    refused(
        &model(18, &[1, 1, 2, 3], sizes),
        10,
        "mode 'linear' with coordinate_transformation_mode",
    );
}

#[test]
fn attention_is_written_as_products_and_a_softmax() {
    let attention = |graph: GraphBuilder| {
        let attention = node("Attention", &["x", "x", "x"])
            .with("q_num_heads", 4)
            .with("kv_num_heads", 4)
            .with("is_causal", 1);
        graph.node(attention)
    };
    let old = opset::convert(model(23, &[1, 3, 8], attention), 17).expect("converted");
    let old = old.check().expect("valid");
    let found = evaluate(&old);
    // The first position sees only itself.
    let input = (0..8).map(|index| ((index * 37 % 101) as f32 - 50.0) / 20.0);
    for (one, two) in found.iter().zip(input) {
        assert!((one - two).abs() < 1e-5, "{one} {two}");
    }
}

#[test]
fn einsum_is_a_product_of_matrices_or_a_sum() {
    for equation in ["bij,bkj->bik", "bij,bkj->kbi", "bij,bkj->bk", "bij,bij->b"] {
        let einsum = |graph: GraphBuilder| {
            let second = if equation.contains("bkj") { "x" } else { "r" };
            graph
                .node(Node::new("Relu", &["x"], &["r"]))
                .node(node("Einsum", &["x", second]).with("equation", equation))
        };
        check(&model(12, &[2, 3, 4], einsum), &[11, 9]);
    }
    let diagonal = node("Einsum", &["x"]).with("equation", "ii->i");
    refused(&model(12, &[3, 3], |graph| graph.node(diagonal)), 11, "equation 'ii->i'");
}

#[test]
fn graphs_inside_nodes_are_converted_too() {
    let branch = |name: &str, axis: i64| Graph {
        name: name.into(),
        nodes: vec![Node::new("Softmax", &["x"], &[name]).with("axis", axis)],
        outputs: vec![Value { name: name.into(), value_type: ValueType::Unknown }],
        ..Graph::default()
    };
    let build = |graph: GraphBuilder| {
        graph
            .node(Node::new("ReduceMax", &["x"], &["m"]).with("keepdims", 0))
            .node(Node::new("Cast", &["m"], &["c"]).with("to", 9))
            .node(
                node("If", &["c"])
                    .with("then_branch", branch("a", 1))
                    .with("else_branch", branch("b", 2)),
            )
    };
    let new = opset::convert(model(11, &[2, 3, 4], build), 13).expect("converted");
    let new = new.check().expect("valid");
    let operators: Vec<&str> = new.nodes().map(|node| node.op_type.as_str()).collect();
    let expected = ["ReduceMax", "Cast", "If", "Softmax", "Shape", "Flatten", "Softmax", "Reshape"];
    let mut sorted = (operators.clone(), expected.to_vec());
    sorted.0.sort_unstable();
    sorted.1.sort_unstable();
    assert_eq!(sorted.0, sorted.1, "{operators:?}");
}

#[test]
fn all_that_is_in_the_way_is_reported_at_once() {
    let build = |graph: GraphBuilder| {
        graph
            .integers("i", &[1], &[0])
            .node(Node::new("BitwiseNot", &["i"], &["a"]))
            .node(Node::new("Cast", &["x"], &["b"]).with("to", 16))
            .node(Node::new("Abs", &["b"], &["c"]))
            .node(Node::new("Cast", &["c"], &["d"]).with("to", 1))
            .node(Node::new("GridSample", &["x", "x"], &["y"]))
    };
    let error = opset::convert(model(18, &[2, 2], build), 12).expect_err("refused");
    let found: Vec<(&str, &str)> = error
        .obstacles
        .iter()
        .map(|obstacle| (obstacle.operator.as_str(), obstacle.way_out.as_str()))
        .collect();
    assert_eq!(
        found,
        [
            ("BitwiseNot", "ask for opset 18 or later"),
            ("GridSample", "ask for opset 16 or later"),
            ("Cast", "ask for opset 13 or later"),
            ("Abs", "ask for opset 13 or later"),
            ("Cast", "ask for opset 13 or later"),
        ]
    );
}

#[test]
fn versions_outside_of_what_is_covered_are_refused() {
    let relu = |opset| model(opset, &[2], |graph| graph.node(node("Relu", &["x"])));
    for (source, target) in [(13, 6), (13, 99), (5, 13)] {
        let error = opset::convert(relu(source), target).expect_err("refused").to_string();
        assert!(error.contains("an opset from 7 to 28"), "{error}");
    }
    assert_eq!(opset::convert(relu(13), 13).expect("the same"), relu(13));
}

#[test]
fn the_version_of_the_format_goes_with_that_of_the_operators() {
    let relu = model(13, &[2], |graph| graph.node(node("Relu", &["x"])));
    for (target, ir_version) in [(7, 4), (11, 6), (15, 8), (21, 10), (24, 12)] {
        let converted = opset::convert(relu.clone(), target).expect("converted");
        assert_eq!(converted.ir_version, ir_version, "{target}");
    }
}

/// Names that attributes of operators have.
const ATTRIBUTES: [&str; 24] = [
    "axis",
    "axes",
    "perm",
    "pads",
    "mode",
    "split",
    "k",
    "scales",
    "keepdims",
    "block_size",
    "num_groups",
    "num_outputs",
    "noop_with_empty_axes",
    "allowzero",
    "layout",
    "equation",
    "q_num_heads",
    "kv_num_heads",
    "blocksize",
    "to",
    "start",
    "end",
    "largest",
    "output_dtype",
];

fn attribute() -> impl Strategy<Value = AttributeValue> {
    let int = prop_oneof![-5i64..6, any::<i64>()];
    let text = select(vec!["wrap", "linear", "CRD", "ij,jk->ik", "bij,bjk", "", "half_pixel"]);
    prop_oneof![
        int.clone().prop_map(AttributeValue::Int),
        any::<f32>().prop_map(AttributeValue::Float),
        proptest::collection::vec(int, 0..5).prop_map(AttributeValue::Ints),
        proptest::collection::vec(any::<f32>(), 0..5).prop_map(AttributeValue::Floats),
        text.prop_map(AttributeValue::from),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// Whatever a node says of itself, it is adapted or refused.
    #[test]
    fn any_node_is_survived(
        operator in any::<Index>(),
        inputs in proptest::collection::vec(0usize..7, 0..7),
        outputs in 1usize..5,
        attributes in proptest::collection::vec((select(&ATTRIBUTES[..]), attribute()), 0..4),
        values in proptest::collection::vec(prop_oneof![-4i64..5, any::<i64>()], 0..6),
        dims in proptest::collection::vec(0usize..9, 0..5),
        (source, target) in (7i64..29, 7i64..29),
    ) {
        let mut operators: Vec<&str> = opset::operators().collect();
        operators.sort_unstable();
        let names = ["", "x", "free", "ints", "floats", "bytes", "flag"];
        let inputs: Vec<&str> = inputs.iter().map(|&index| names[index]).collect();
        let names: Vec<String> = (0..outputs).map(|index| format!("y{index}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut node = Node::new(operators[operator.index(operators.len())], &inputs, &names);
        for (name, value) in attributes {
            node = node.with(name, value);
        }
        let dims: Vec<Dim> = dims.into_iter().map(Dim::Fixed).collect();
        let floats: Vec<f32> = values.iter().map(|&value| value as f32 / 2.0).collect();
        let free = [Dim::Symbol("n".into()), Dim::Free, Dim::Fixed(4)];
        let model = GraphBuilder::new("g")
            .input("x", DataType::Fp32, &dims)
            .input("free", DataType::Fp32, &free)
            .integers("ints", &[values.len()], &values)
            .floats("floats", &[floats.len()], &floats)
            .initializer(Constant::raw("bytes", ElementType::Int8, &[2], vec![1, 2]))
            .initializer(Constant::raw("flag", ElementType::Bool, &[], vec![1]))
            .node(node)
            .output("y0", DataType::Fp32, &[])
            .model()
            .with_opset("", source);
        if let Ok(converted) = opset::convert(model, target) {
            converted.types();
        }
    }
}
