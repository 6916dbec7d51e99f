//! Images for TensorFlow.

use modelyard_graph::{Constant, ElementType, Node};
use modelyard_tensor::DataType;

use super::{Fixture, OPEN, op};

#[test]
fn convolutions() {
    Fixture::of(&[0, 4, 9, 8])
        .weights("w", &[6, 4, 3, 3])
        .weights("bias6", &[6])
        .weights("depth", &[8, 1, 3, 3])
        .weights("grouped", &[6, 2, 3, 3])
        .op(op("Conv", &["x", "w", "bias6"]).with("pads", [1, 1, 1, 1]))
        .op(op("Conv", &["x", "w"]).with("strides", [2, 2]).with("pads", [1, 1, 1, 1]))
        .op(op("Conv", &["x", "w"]).with("dilations", [2, 1]))
        .op(op("Conv", &["x", "w"]).with("auto_pad", "SAME_UPPER").with("strides", [2, 2]))
        .op(op("Conv", &["x", "grouped"]).with("group", 2))
        .op(op("Conv", &["x", "depth"]).with("group", 4).with("pads", [1, 1, 1, 1]))
        .op(op("Conv", &["x", "depth"]).with("group", 4).with("dilations", [2, 2]))
        .op(op("Conv", &["x", "depth"]).with("group", 4).with("strides", [2, 1]))
        .op(op("Conv", &["x", "depth"]).with("group", 4).with("strides", [2, 2]))
        .check();
}

#[test]
fn convolutions_of_open_sizes() {
    Fixture::of(&[0, 3, 0, 0])
        .weights("w", &[4, 3, 1, 1])
        .weights("wide", &[4, 3, 3, 3])
        .op(op("Conv", &["x", "w"]))
        .op(op("Conv", &["x", "wide"]).with("pads", [1, 1, 1, 1]))
        .op(op("MaxPool", &["x"]).with("kernel_shape", [3, 3]).with("pads", [1, 1, 1, 1]))
        .op(op("GlobalAveragePool", &["x"]))
        .check();
}

#[test]
fn convolutions_of_lines_and_volumes() {
    Fixture::new()
        .input("line", DataType::Fp32, &[0, 3, 10])
        .input("volume", DataType::Fp32, &[0, 2, 5, 6, 4])
        .weights("w", &[4, 3, 3])
        .weights("volumes", &[4, 2, 3, 3, 2])
        .weights("halves", &[4, 1, 2, 2, 2])
        .op(op("Conv", &["line", "w"]).with("pads", [1, 1]))
        .op(op("MaxPool", &["line"]).with("kernel_shape", [2]).with("strides", [2]))
        .op(op("Conv", &["volume", "volumes"]))
        .op(op("Conv", &["volume", "volumes"]).with("pads", [1, 1, 0, 1, 1, 1]))
        .op(op("Conv", &["volume", "halves"]).with("group", 2))
        .op(op("Conv", &["volume", "volumes"]).with("dilations", [2, 2, 1]))
        .op(op("MaxPool", &["volume"]).with("kernel_shape", [2, 2, 2]))
        .check();
}

#[test]
fn transposed_convolutions() {
    Fixture::of(&[0, 4, 5, 6])
        .weights("w", &[4, 3, 3, 3])
        .weights("even", &[4, 3, 4, 4])
        .weights("bias", &[3])
        .op(op("ConvTranspose", &["x", "w", "bias"]))
        .op(op("ConvTranspose", &["x", "w"]).with("strides", [2, 2]))
        .op(op("ConvTranspose", &["x", "even"]).with("strides", [2, 2]).with("pads", [1, 1, 1, 1]))
        .op(op("ConvTranspose", &["x", "w"])
            .with("strides", [2, 2])
            .with("pads", [1, 1, 1, 1])
            .with("output_padding", [1, 1]))
        .check();
}

#[test]
fn pools() {
    Fixture::of(&[0, 3, 8, 7])
        .op(op("MaxPool", &["x"]).with("kernel_shape", [2, 2]).with("strides", [2, 2]))
        .op(op("MaxPool", &["x"]).with("kernel_shape", [3, 3]).with("pads", [1, 1, 1, 1]))
        .op(op("MaxPool", &["x"])
            .with("kernel_shape", [3, 3])
            .with("strides", [2, 2])
            .with("ceil_mode", 1))
        .op(op("AveragePool", &["x"]).with("kernel_shape", [3, 3]))
        .op(op("AveragePool", &["x"]).with("kernel_shape", [3, 3]).with("pads", [1, 1, 1, 1]))
        .op(op("AveragePool", &["x"])
            .with("kernel_shape", [3, 3])
            .with("pads", [1, 0, 1, 1])
            .with("count_include_pad", 1))
        .op(op("GlobalAveragePool", &["x"]))
        .op(op("GlobalMaxPool", &["x"]))
        .check();
}

fn resized(fixture: Fixture, mode: &str, coordinates: &str) -> Fixture {
    let node = op("Resize", &["x", "", "scales"]).with("mode", mode);
    let node = node.with("coordinate_transformation_mode", coordinates);
    let sized = op("Resize", &["x", "", "", "sizes"]).with("mode", mode);
    let sized = sized.with("coordinate_transformation_mode", coordinates);
    let nearest = |node: Node| match coordinates {
        "asymmetric" => node.with("nearest_mode", "floor"),
        _ => node,
    };
    fixture.op(nearest(node)).op(nearest(sized))
}

#[test]
fn images_in_other_sizes() {
    let mut fixture = Fixture::of(&[OPEN, 2, 5, 4])
        .floats("scales", &[4], &[1.0, 1.0, 2.0, 3.0])
        .constant(Constant::raw(
            "sizes",
            ElementType::Int64,
            &[4],
            [OPEN as i64, 2, 3, 7].iter().flat_map(|size| size.to_le_bytes()).collect::<Vec<u8>>(),
        ));
    for coordinates in ["half_pixel", "align_corners", "asymmetric"] {
        for mode in ["nearest", "linear", "cubic"] {
            fixture = resized(fixture, mode, coordinates);
        }
    }
    fixture.check();
}

#[test]
fn images_of_open_sizes_in_other_sizes() {
    Fixture::of(&[0, 2, 0, 0])
        .floats("scales", &[4], &[1.0, 1.0, 2.0, 3.0])
        .op(op("Resize", &["x", "", "scales"]))
        .op(op("Resize", &["x", "", "scales"]).with("mode", "linear"))
        .check();
}

#[test]
fn images_whose_batch_is_read_from_their_shape() {
    Fixture::of(&[0, 3, 4, 5])
        .integers("first", &[0])
        .integers("rest", &[3, 8, 10])
        .inner(Node::new("Shape", &["x"], &["shape"]))
        .inner(Node::new("Gather", &["shape", "first"], &["batch"]))
        .inner(Node::new("Concat", &["batch", "rest"], &["sizes"]).with("axis", 0))
        .op(op("Resize", &["x", "", "", "sizes"]).with("mode", "linear"))
        .op(op("Resize", &["x", "", "", "sizes"]).with("mode", "nearest"))
        .check();
}

#[test]
fn blocks() {
    Fixture::of(&[0, 8, 4, 6])
        .op(op("DepthToSpace", &["x"]).with("blocksize", 2))
        .op(op("DepthToSpace", &["x"]).with("blocksize", 2).with("mode", "CRD"))
        .op(op("SpaceToDepth", &["x"]).with("blocksize", 2))
        .check();
}
