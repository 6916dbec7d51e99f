//! What is not exported, and why: all of it at once, and without much work or memory, however large a
//! model says that it is.

use modelyard_convert::export::{ExportOptions, Exported, Target, export, operators, read_back};
use modelyard_convert::{ConvertError, Limits};
use modelyard_graph::{AttributeValue, Constant, ElementType, GraphBuilder, Model, Node};
use modelyard_tensor::{DataType, Dim, Tensor};

const TARGETS: [Target; 2] = [Target::Tflite, Target::SavedModel];

fn dims(sizes: &[usize]) -> Vec<Dim> {
    sizes.iter().map(|&size| Dim::Fixed(size)).collect()
}

fn of(kind: DataType, sizes: &[usize]) -> GraphBuilder {
    GraphBuilder::new("g").input("x", kind, &dims(sizes))
}

/// The model that gives `y`, of this rank.
fn giving(graph: GraphBuilder, kind: DataType, rank: usize) -> Model {
    graph.output("y", kind, &vec![Dim::Free; rank]).model().with_opset("", 18)
}

fn exported(model: &Model, target: Target) -> Result<Exported, ConvertError> {
    export(model, target, &ExportOptions::default(), &Limits::default())
}

/// The places that an export names as missing.
fn missing(model: &Model, target: Target) -> Vec<String> {
    match exported(model, target) {
        Err(ConvertError::Unsupported(missing)) => {
            missing.iter().map(|one| format!("{}: {}", one.place, one.reason)).collect()
        }
        other => panic!("expected missing parts, found {other:?}"),
    }
}

fn named(name: &str, node: Node) -> Node {
    Node { name: name.into(), ..node }
}

#[test]
fn what_is_missing_at_any_stage_is_named_at_once_and_in_order() {
    let statistics = ["x", "ones", "ones", "mean", "ones"];
    let graph = of(DataType::Fp32, &[1, 3, 8, 8])
        .input("mean", DataType::Fp32, &dims(&[3]))
        .floats("ones", &[3], &[1.0; 3])
        .floats("w", &[2, 3, 1, 1], &[0.5; 6])
        .node(named(
            "places",
            Node::new("MaxPool", &["x"], &["p", "where"])
                .with("kernel_shape", [2, 2])
                .with("strides", [2, 2]),
        ))
        .node(named("determinant", Node::new("Det", &["p"], &["d"])))
        .node(named("statistics", Node::new("BatchNormalization", &statistics, &["n"])))
        .node(named("conv", Node::new("Conv", &["n", "w"], &["c"])))
        .node(named("relu", Node::new("Relu", &["c"], &["y"])))
        .output("d", DataType::Fp32, &vec![Dim::Free; 2])
        .output("where", DataType::Int64, &vec![Dim::Free; 4]);
    let model = giving(graph, DataType::Fp32, 4).check().unwrap();
    for target in TARGETS {
        let found = missing(&model, target);
        let places: Vec<&str> = found.iter().filter_map(|one| one.split(':').next()).collect();
        assert_eq!(places, ["places", "determinant", "statistics"], "{target:?}: {found:?}");
    }
}

#[test]
fn what_was_joined_with_a_refused_operator_is_not_refused_for_it() {
    let graph = of(DataType::Fp32, &[1, 2, 4, 4, 4])
        .floats("w", &[2, 1, 1, 1, 1], &[0.5; 2])
        .node(named("groups", Node::new("Conv", &["x", "w"], &["c"]).with("group", 2)))
        .node(named("relu", Node::new("Relu", &["c"], &["r"])))
        .node(named("sum", Node::new("Add", &["r", "r"], &["y"])));
    let model = giving(graph, DataType::Fp32, 5).check().unwrap();
    assert_eq!(missing(&model, Target::Tflite), ["groups: 2 groups of 5 dimensions"]);
}

#[test]
fn what_is_behind_a_refused_operator_of_unknown_shape_is_not_refused_for_it() {
    let graph = of(DataType::Fp32, &[1, 4])
        .node(named("foreign", Node::new("Dot", &["x"], &["d"]).in_domain("mine")))
        .node(named("cut", Node::new("Transpose", &["d"], &["t"])))
        .node(named("reduced", Node::new("ReduceMean", &["t"], &["r"])))
        .node(named("unknown", Node::new("Det", &["r"], &["y"])));
    let model = giving(graph, DataType::Fp32, 1).with_opset("mine", 1).check().unwrap();
    for target in TARGETS {
        let found = missing(&model, target);
        let expected = ["foreign: the operator", "unknown: the operator"];
        assert_eq!(found, expected, "{target:?}");
    }
}

/// What the file answers to these inputs.
fn answers(model: &Model, target: Target, inputs: &[Tensor]) -> (Exported, Vec<Tensor>) {
    let exported = exported(model, target).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    save(&exported, &path);
    let source = read_back(&exported, &path, target, &Limits::default()).unwrap();
    let found = source.evaluate(inputs).unwrap();
    (exported, found)
}

fn save(exported: &Exported, path: &std::path::Path) {
    for (name, bytes) in &exported.files {
        let path = if name.as_os_str().is_empty() { path.to_path_buf() } else { path.join(name) };
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}

#[test]
fn integers_without_a_kernel_become_some_that_have_one() {
    let graph = of(DataType::Uint8, &[3])
        .initializer(Constant::raw("two", ElementType::Uint8, &[1], vec![2u8]))
        .node(Node::new("Equal", &["x", "two"], &["y"]));
    let model = giving(graph, DataType::Bool, 1).check().unwrap();
    let x = Tensor::from_vec([3].into(), vec![1u8, 2, 250]).unwrap();
    let (written, found) = answers(&model, Target::Tflite, &[x]);
    assert!(written.operators().contains_key("CAST"));
    assert_eq!(found[0].data()[..], [0, 1, 0]);

    let graph = of(DataType::Int32, &[3]).node(Node::new("Relu", &["x"], &["y"]));
    let model = giving(graph, DataType::Int32, 1).check().unwrap();
    let x = Tensor::from_vec([3].into(), vec![-1i32, 0, 7]).unwrap();
    let (written, found) = answers(&model, Target::Tflite, &[x]);
    assert!(written.operators().contains_key("MAXIMUM"));
    assert_eq!(found[0].values::<i32>().unwrap()[..], [0, 0, 7]);
}

#[test]
fn elements_that_kernels_do_not_compute_with_are_named() {
    let refused: [(DataType, Node, DataType, &str); 4] = [
        (DataType::Int64, Node::new("ArgMax", &["x"], &["y"]), DataType::Int64, "ARG_MAX"),
        (DataType::Int64, Node::new("Abs", &["x"], &["y"]), DataType::Int64, "ABS"),
        (DataType::Uint32, Node::new("Transpose", &["x"], &["y"]), DataType::Uint32, "TRANSPOSE"),
        (DataType::Bool, Node::new("Split", &["x"], &["y"]), DataType::Bool, "SPLIT"),
    ];
    for (kind, node, given, kernel) in refused {
        let node = if kernel == "SPLIT" { node.with("num_outputs", 1) } else { node };
        let model = giving(of(kind, &[2, 3]).node(node), given, 2).check().unwrap();
        let found = missing(&model, Target::Tflite);
        let expected = format!("which {kernel} does not compute with");
        assert!(matches!(&found[..], [one] if one.contains(&expected)), "{found:?}");
    }
}

#[test]
fn quotients_of_int64_are_computed_in_32_bits_and_that_is_noted() {
    let graph = of(DataType::Int64, &[2]).integers("three", &[1], &[3]).node(Node::new(
        "Div",
        &["x", "three"],
        &["y"],
    ));
    let model = giving(graph, DataType::Int64, 1).check().unwrap();
    let found = exported(&model, Target::Tflite).unwrap();
    assert!(found.notes.iter().any(|note| note.contains("32 bits")), "{:?}", found.notes);
    // Sizes are small.
    let open = [Dim::Symbol("n".into()), Dim::Fixed(2)];
    let graph = GraphBuilder::new("g")
        .input("x", DataType::Fp32, &open)
        .integers("three", &[1], &[3])
        .node(Node::new("Shape", &["x"], &["s"]))
        .node(Node::new("Div", &["s", "three"], &["y"]));
    let model = giving(graph, DataType::Int64, 1).check().unwrap();
    assert_eq!(exported(&model, Target::Tflite).unwrap().notes, Vec::<String>::new());
}

/// Models that say that something is enormous: whether that is refused or written, it takes neither
/// time nor memory.
fn enormous() -> Vec<(&'static str, Model)> {
    const LARGE: i64 = 1 << 31;
    let image = || of(DataType::Fp32, &[1, 1, 4, 4]);
    let kernel = |graph: GraphBuilder| graph.floats("w", &[1, 1, 2, 2], &[1.0; 4]);
    let transposed = Node::new("ConvTranspose", &["x", "w"], &["y"]);
    let pool = Node::new("AveragePool", &["x"], &["y"]);
    let pads = |mode: &str| {
        let pads = [0, 0, 0, 0, 0, 0, 0, 1 << 40];
        let node = Node::new("Pad", &["x", "pads"], &["y"]).with("mode", mode);
        giving(image().integers("pads", &[8], &pads).node(node), DataType::Fp32, 4)
    };
    let resize = |mode: &str| {
        let node = Node::new("Resize", &["x", "", "", "sizes"], &["y"]).with("mode", mode);
        let sizes = [1, 1, 1 << 40, 1 << 40];
        giving(image().integers("sizes", &[4], &sizes).node(node), DataType::Fp32, 4)
    };
    let long = vec![1usize; 70];
    let cut = of(DataType::Fp32, &long)
        .integers("start", &[1], &[0])
        .integers("end", &[1], &[1])
        .integers("axis", &[1], &[66])
        .node(Node::new("Slice", &["x", "start", "end", "axis"], &["y"]));
    let triangle = of(DataType::Fp32, &[1 << 20, 1 << 12]).node(Node::new("Trilu", &["x"], &["y"]));
    vec![
        (
            "gaps in a kernel",
            giving(
                kernel(image()).node(transposed.clone().with("dilations", [1 << 30, 1 << 30])),
                DataType::Fp32,
                4,
            ),
        ),
        (
            "what is put behind a result",
            giving(
                kernel(image()).node(transposed.with("output_padding", [i64::MAX, i64::MAX])),
                DataType::Fp32,
                4,
            ),
        ),
        (
            "a pool",
            giving(
                image().node(
                    pool.clone()
                        .with("kernel_shape", [LARGE, LARGE])
                        .with("pads", [LARGE, LARGE, LARGE, LARGE]),
                ),
                DataType::Fp32,
                4,
            ),
        ),
        (
            "borders of a pool",
            giving(
                image().node(
                    pool.with("kernel_shape", [3, 3])
                        .with("pads", [i64::MAX, i64::MAX, i64::MAX, i64::MAX])
                        .with("count_include_pad", 1),
                ),
                DataType::Fp32,
                4,
            ),
        ),
        ("borders", pads("constant")),
        ("edges", pads("edge")),
        ("nearest", resize("nearest")),
        ("cubic", resize("cubic")),
        ("an axis", giving(cut, DataType::Fp32, 70)),
        ("a triangle", giving(triangle, DataType::Fp32, 2)),
    ]
}

#[test]
fn what_is_said_to_be_enormous_costs_nothing() {
    for (name, model) in enormous() {
        for target in TARGETS {
            let start = std::time::Instant::now();
            let found = exported(&model, target);
            let bytes = found.map_or(0, |one| one.files.iter().map(|(_, bytes)| bytes.len()).sum());
            assert!(bytes < 1 << 20, "{name}: {bytes} bytes");
            assert!(start.elapsed().as_secs() < 20, "{name}: {:?}", start.elapsed());
        }
    }
}

#[test]
fn limits_are_kept() {
    let graph = of(DataType::Fp32, &[4]).node(Node::new("Relu", &["x"], &["r"])).node(Node::new(
        "Exp",
        &["r"],
        &["y"],
    ));
    let model = giving(graph, DataType::Fp32, 1).check().unwrap();
    for limits in
        [Limits { nodes: 1, ..Limits::default() }, Limits { tensor_bytes: 15, ..Limits::default() }]
    {
        let error = export(&model, Target::Tflite, &ExportOptions::default(), &limits).unwrap_err();
        assert!(matches!(error, ConvertError::TooLarge { .. }), "{error}");
    }
}

#[test]
fn operators_that_become_others_are_listed() {
    for target in TARGETS {
        let names = operators(target);
        for name in ["Flatten", "GlobalMaxPool", "InstanceNormalization", "RMSNormalization"] {
            assert!(names.iter().any(|one| one == name), "{target:?}: {name}");
        }
        assert!(names.is_sorted_by(|one, two| one < two), "{names:?}");
    }
}

fn small() -> Model {
    let graph = of(DataType::Fp32, &[2]).node(Node::new("Relu", &["x"], &["y"]));
    giving(graph, DataType::Fp32, 1).check().unwrap()
}

#[test]
fn outputs_under_other_names_are_not_taken_for_right() {
    for target in TARGETS {
        let mut exported = exported(&small(), target).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model");
        save(&exported, &path);
        exported.model.graph.outputs[0].name = "other".into();
        let error = read_back(&exported, &path, target, &Limits::default()).err().unwrap();
        assert!(error.to_string().contains("expected 'other', found 'y'"), "{error}");
    }
}

#[test]
fn files_say_what_they_were_compared_with() {
    for target in TARGETS {
        let options = ExportOptions { verified: Some("no".into()), ..ExportOptions::default() };
        let exported = export(&small(), target, &options, &Limits::default()).unwrap();
        let found = exported.files.iter().any(|(_, bytes)| {
            bytes.windows(b"modelyard.verified".len()).any(|one| one == b"modelyard.verified")
        });
        assert!(found, "{target:?}");
    }
}

/// TensorFlow's optimizer for oneDNN (2.21) crashes on a Pad in a sum beside a convolution with a
/// bias; `bench/convert/export.py` runs this graph there.
#[test]
fn borders_in_a_sum_are_not_those_that_tensorflow_joins_with_convolutions() {
    let pads: AttributeValue = [1, 1].into();
    let graph = of(DataType::Fp32, &[1, 2, 4, 4])
        .integers("channels", &[8], &[0, 0, 0, 0, 0, 2, 0, 0])
        .integers("space", &[8], &[0, 0, 1, 1, 0, 0, 1, 1])
        .floats("w", &[4, 2, 1, 1], &[0.5; 8])
        .floats("v", &[4, 4, 3, 3], &[0.5; 144])
        .floats("b", &[4], &[0.5; 4])
        .node(Node::new("Conv", &["x", "w", "b"], &["c"]).with("strides", pads))
        .node(Node::new("Pad", &["x", "channels"], &["wide"]))
        .node(Node::new("Add", &["wide", "c"], &["s"]))
        .node(Node::new("Pad", &["s", "space"], &["bordered"]))
        .node(Node::new("Conv", &["bordered", "v", "b"], &["y"]).with("strides", [2, 2]));
    let model = giving(graph, DataType::Fp32, 4).check().unwrap();
    let exported = exported(&model, Target::SavedModel).unwrap();
    let operators = exported.operators();
    assert_eq!((operators.get("PadV2"), operators.get("Pad")), (Some(&1), Some(&1)));
}
