//! Transposed convolutions: other frameworks give all that the kernel reaches (`VALID`), or as many
//! outputs as inputs times the stride (`SAME`). What ONNX pads is cut off.

use modelyard_graph::Node;

use super::super::graph::{Rewriting, node};
use super::{borders, give, give_back, put, taken};

/// By dimension of space.
struct Spread {
    kernel: usize,
    stride: usize,
    /// What is cut off at the begin and at the end.
    pads: [usize; 2],
    /// What is given beyond the reach of the kernel.
    extra: usize,
}

pub(super) fn rewrite(graph: &mut Rewriting, mut node: Node, rank: usize) -> Option<Node> {
    let spread: Option<Vec<Spread>> =
        (0..rank - 2).map(|axis| spread(graph, &node, axis)).collect();
    let Some(spread) = spread else { return borders::refuse(graph, &node) };
    const STATED: [&str; 4] = ["pads", "auto_pad", "output_shape", "output_padding"];
    let output = node.output(0).unwrap_or_default().to_owned();
    node.attributes.retain(|attribute| !STATED.contains(&attribute.name.as_str()));
    let image = taken(graph, &node, rank);
    if spread.iter().all(Spread::is_same) {
        let node = node.with("auto_pad", "SAME_UPPER");
        give(graph, node, &image, rank);
        return None;
    }
    let extra: Vec<i64> = spread.iter().map(|one| one.extra as i64).collect();
    let mut node = node.with("auto_pad", "VALID");
    if extra.iter().any(|&extra| extra > 0) {
        node = node.with("output_padding", extra.as_slice());
    }
    let image = put(graph, node, &image);
    let image = cut(graph, image, &spread);
    give_back(graph, &image, &output, rank);
    None
}

impl Spread {
    /// Whether this is what `SAME` gives: inputs times stride, cut off at both ends alike.
    fn is_same(&self) -> bool {
        let total = self.kernel.saturating_sub(self.stride);
        let sum = self.pads[0].saturating_add(self.pads[1]);
        let reach = self.kernel.saturating_add(self.extra);
        reach == self.stride.saturating_add(sum) && self.pads[0] == total / 2
    }
}

fn spread(graph: &Rewriting, node: &Node, axis: usize) -> Option<Spread> {
    let facts = &graph.facts;
    let weights = facts.sizes(node.input(1)?)?;
    let item = |name: &str, index: usize, default: usize| match node.ints(name) {
        None => Some(default),
        Some(list) => usize::try_from(*list.get(index)?).ok(),
    };
    let kernel = *weights.get(axis + 2)?;
    let stride = item("strides", axis, 1)?;
    let extra = item("output_padding", axis, 0)?;
    let count = weights.len() - 2;
    let reach = |size: usize| {
        size.checked_sub(1)?.checked_mul(stride)?.checked_add(kernel)?.checked_add(extra)
    };
    let auto_pad = node.string("auto_pad").unwrap_or("NOTSET");
    if let Some(shape) = node.ints("output_shape") {
        let wanted = usize::try_from(*shape.get(shape.len().checked_sub(count)? + axis)?).ok()?;
        let size = super::super::graph::fixed(facts.dims(node.input(0)?)?.get(axis + 2)?)?;
        let total = reach(size)?.checked_sub(wanted)?;
        return Some(Spread { kernel, stride, pads: halves(total, auto_pad), extra });
    }
    let pads = match auto_pad {
        "VALID" => [0, 0],
        "SAME_UPPER" | "SAME_LOWER" => {
            halves(kernel.checked_add(extra)?.checked_sub(stride)?, auto_pad)
        }
        _ => [item("pads", axis, 0)?, item("pads", axis + count, 0)?],
    };
    Some(Spread { kernel, stride, pads, extra })
}

/// As ONNX halves what is too much: the odd one at the end for `SAME_UPPER`, else at the begin.
fn halves(total: usize, auto_pad: &str) -> [usize; 2] {
    match auto_pad {
        "SAME_UPPER" => [total / 2, total - total / 2],
        _ => [total - total / 2, total / 2],
    }
}

/// Cuts off what is too much of an image with its channels last.
fn cut(graph: &mut Rewriting, image: String, spread: &[Spread]) -> String {
    let axes: Vec<usize> = (0..spread.len()).filter(|&axis| spread[axis].pads != [0, 0]).collect();
    if axes.is_empty() {
        return image;
    }
    let starts: Vec<i64> = axes.iter().map(|&axis| spread[axis].pads[0] as i64).collect();
    let end = |axis: &usize| match spread[*axis].pads[1] {
        0 => i64::from(i32::MAX),
        end => -(end as i64),
    };
    let ends: Vec<i64> = axes.iter().map(end).collect();
    let axes: Vec<i64> = axes.iter().map(|&axis| axis as i64 + 1).collect();
    let lists = [
        graph.integers("starts", &starts),
        graph.integers("ends", &ends),
        graph.integers("axes", &axes),
    ];
    graph.add(node("Slice", &[&image, &lists[0], &lists[1], &lists[2]]))
}
