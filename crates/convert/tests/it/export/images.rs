//! Images for TensorFlow Lite.

use modelyard_convert::Limits;
use modelyard_convert::export::{ExportOptions, Target, export};
use modelyard_graph::{GraphBuilder, Node};
use modelyard_tensor::{DataType, Dim, Tensor};

use super::{
    agree, check, conversion, default, dims, evaluated, giving, kinds, of, simple, weights,
};
use crate::support::run;

/// Attributes that are lists.
type Lists = Vec<(&'static str, Vec<i64>)>;

#[test]
fn convolutions_of_all_kinds_are_written() {
    let conv = |weights: &[usize]| {
        let rank = weights.len();
        let space = vec![9; rank - 2];
        move |channels: usize| [&[2, channels][..], &space].concat()
    };
    let cases: [(&str, &[usize], usize, Lists, i64); 7] = [
        ("same", &[4, 3, 3, 3], 3, vec![("pads", vec![1, 1, 1, 1])], 1),
        ("odd", &[4, 3, 3, 2], 3, vec![("pads", vec![2, 0, 1, 1]), ("strides", vec![2, 3])], 1),
        ("gaps", &[4, 3, 3, 3], 3, vec![("dilations", vec![2, 2])], 1),
        ("depthwise", &[6, 1, 3, 3], 3, vec![("strides", vec![2, 2])], 3),
        ("grouped", &[6, 2, 3, 3], 4, vec![], 2),
        ("line", &[4, 3, 3], 3, vec![("pads", vec![1, 1]), ("strides", vec![2])], 1),
        ("solid", &[4, 3, 2, 2, 2], 3, vec![("strides", vec![2, 2, 1])], 1),
    ];
    for (name, sizes, channels, attributes, groups) in cases {
        let builder = of(&conv(sizes)(channels)).initializer(weights("w", sizes));
        let builder = builder.initializer(weights("b", &[sizes[0]]));
        let mut node = Node::new("Conv", &["x", "w", "b"], &["y"]).with("group", groups);
        for (attribute, list) in &attributes {
            node = node.with(attribute, list.as_slice());
        }
        node = node.with(
            "kernel_shape",
            sizes[2..].iter().map(|&size| size as i64).collect::<Vec<_>>().as_slice(),
        );
        check(name, &giving(builder.node(node), DataType::Fp32, sizes.len()), &default());
    }
}

#[test]
fn transposed_convolutions_are_written() {
    let cases: [(&str, Lists, i64); 4] = [
        ("plain", vec![("strides", vec![2, 2])], 1),
        ("cut", vec![("strides", vec![2, 2]), ("pads", vec![1, 1, 0, 1])], 1),
        (
            "more",
            vec![
                ("strides", vec![2, 2]),
                ("pads", vec![1, 1, 1, 1]),
                ("output_padding", vec![1, 1]),
            ],
            1,
        ),
        ("grouped", vec![("strides", vec![1, 2])], 2),
    ];
    for (name, attributes, groups) in cases {
        let builder = of(&[2, 4, 5, 6]).initializer(weights("w", &[4, 3, 3, 3]));
        let mut node = Node::new("ConvTranspose", &["x", "w"], &["y"]).with("group", groups);
        node = node.with("kernel_shape", [3, 3]);
        for (attribute, list) in &attributes {
            node = node.with(attribute, list.as_slice());
        }
        check(name, &giving(builder.node(node), DataType::Fp32, 4), &default());
    }
}

#[test]
fn pools_are_written_whatever_they_count() {
    let base = |operator: &str| {
        Node::new(operator, &["x"], &["y"]).with("kernel_shape", [3, 2]).with("strides", [2, 2])
    };
    let cases = [
        base("MaxPool"),
        base("MaxPool").with("pads", [1, 1, 1, 0]),
        base("MaxPool").with("ceil_mode", 1),
        base("AveragePool"),
        base("AveragePool").with("pads", [1, 0, 1, 1]),
        base("AveragePool").with("pads", [1, 0, 1, 1]).with("count_include_pad", 1),
        base("AveragePool").with("auto_pad", "SAME_UPPER"),
        Node::new("GlobalAveragePool", &["x"], &["y"]),
        Node::new("GlobalMaxPool", &["x"], &["y"]),
        Node::new("LRN", &["x"], &["y"]).with("size", 3),
        Node::new("SpaceToDepth", &["x"], &["y"]).with("blocksize", 2),
    ];
    for node in cases {
        let name = format!("{} {:?}", node.op_type, node.attributes);
        check(&name, &simple(&[2, 3, 8, 8], node), &default());
    }
}

#[test]
fn images_are_resized() {
    let cases = [
        ("linear", "half_pixel", ""),
        ("linear", "align_corners", ""),
        ("linear", "asymmetric", ""),
        ("nearest", "asymmetric", "floor"),
        ("nearest", "half_pixel", "round_prefer_floor"),
        ("nearest", "align_corners", "ceil"),
    ];
    for (mode, coordinates, rounding) in cases {
        let builder = of(&[1, 2, 4, 5]).integers("sizes", &[4], &[1, 2, 8, 7]);
        let mut node = Node::new("Resize", &["x", "", "", "sizes"], &["y"]).with("mode", mode);
        node = node.with("coordinate_transformation_mode", coordinates);
        if !rounding.is_empty() {
            node = node.with("nearest_mode", rounding);
        }
        let name = format!("{mode} {coordinates} {rounding}");
        check(&name, &giving(builder.node(node), DataType::Fp32, 4), &default());
    }
}

#[test]
fn images_may_have_their_channels_last() {
    let builder = of(&[2, 3, 8, 9]).initializer(weights("w", &[4, 3, 3, 3]));
    let node = Node::new("Conv", &["x", "w"], &["y"]).with("kernel_shape", [3, 3]);
    let model = giving(builder.node(node), DataType::Fp32, 4);
    let options = ExportOptions { channels_last: true, ..default() };
    let exported = check("channels last", &model, &options);
    assert_eq!(kinds(&exported), ["CONV_2D"]);
    let signature = exported.model.signature().unwrap();
    assert_eq!(signature.inputs[0].dims.as_deref(), Some(&dims(&[2, 8, 9, 3])[..]));
    assert_eq!(signature.inputs[0].name, "x");
}

/// A window that is larger than the images by which open sizes are followed.
#[test]
fn deep_networks_take_images_of_open_size() {
    let open = ["n", "h", "w"].map(|name| Dim::Symbol(name.into()));
    let [batch, height, width] = open;
    let conv = |weights: &str, from: &str, to: &str| {
        Node::new("Conv", &[from, weights], &[to]).with("strides", [4, 4])
    };
    let graph = GraphBuilder::new("g")
        .input("x", DataType::Fp32, &[batch, Dim::Fixed(2), height, width])
        .initializer(weights("a", &[3, 2, 7, 7]))
        .initializer(weights("b", &[3, 3, 7, 7]))
        .initializer(weights("c", &[4, 3, 7, 7]))
        .node(conv("a", "x", "c1"))
        .node(conv("b", "c1", "c2"))
        .node(conv("c", "c2", "c3"))
        .node(Node::new("GlobalAveragePool", &["c3"], &["p"]))
        .node(Node::new("Relu", &["p"], &["y"]));
    let model = giving(graph, DataType::Fp32, 4);
    let exported = export(&model, Target::Tflite, &default(), &Limits::default()).unwrap();
    let x = Tensor::from_vec([1, 2, 191, 163].into(), vec![0.25f32; 2 * 191 * 163]).unwrap();
    let expected = run(&conversion(&exported), std::slice::from_ref(&x)).unwrap();
    agree("open", &exported, &expected, &evaluated(&exported, &[x]));
}
