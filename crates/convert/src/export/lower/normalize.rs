//! Normalizations by the mean and variance of what is normalized, as arithmetic.

use modelyard_graph::{ElementType, Node};

use super::super::graph::{Rewriting, axis, fixed, integers, node};

/// Refuses a node whose rank is not known.
fn unknown(graph: &mut Rewriting, old: &Node) -> Option<Node> {
    let way_out = "state the shapes of the inputs when the model is converted";
    graph.refuse(old, "an input whose shape is not known", way_out);
    None
}

/// What is normalized over `axes`: mean 0, variance 1.
fn normalized(graph: &mut Rewriting, input: &str, axes: &[i64], epsilon: f32) -> String {
    let axes = graph.integers("axes", axes);
    let mean = graph.add(node("ReduceMean", &[input, &axes]).with("keepdims", 1));
    let centered = graph.add(node("Sub", &[input, &mean]));
    let squared = graph.add(node("Mul", &[&centered, &centered]));
    let variance = graph.add(node("ReduceMean", &[&squared, &axes]).with("keepdims", 1));
    let epsilon = graph.floats("epsilon", &[], &[epsilon]);
    let variance = graph.add(node("Add", &[&variance, &epsilon]));
    let deviation = graph.add(node("Sqrt", &[&variance]));
    graph.add(node("Div", &[&centered, &deviation]))
}

/// Scale and bias by channel, where the channels are the second axis.
fn by_channel(graph: &mut Rewriting, old: &Node, slot: usize, rank: usize) -> Option<String> {
    let name = old.input(slot)?.to_owned();
    let mut shape = vec![-1];
    shape.extend(std::iter::repeat_n(1, rank.saturating_sub(2)));
    let shape = graph.integers("shape", &shape);
    Some(graph.add(node("Reshape", &[&name, &shape])))
}

/// Multiplies with a scale and adds a bias, where there are some; gives `output`.
fn affine(
    graph: &mut Rewriting,
    value: String,
    (scale, bias): (Option<String>, Option<String>),
    output: &str,
) {
    match (scale, bias) {
        (Some(scale), Some(bias)) => {
            let scaled = graph.add(node("Mul", &[&value, &scale]));
            graph.add_as(node("Add", &[&scaled, &bias]), output);
        }
        (Some(scale), None) => graph.add_as(node("Mul", &[&value, &scale]), output),
        (None, Some(bias)) => graph.add_as(node("Add", &[&value, &bias]), output),
        (None, None) => graph.add_as(node("Identity", &[&value]), output),
    }
}

pub(super) fn instance(graph: &mut Rewriting, old: Node) -> Option<Node> {
    let input = old.input(0)?.to_owned();
    let Some(rank) = graph.facts.rank(&input) else { return unknown(graph, &old) };
    let axes: Vec<i64> = (2..rank as i64).collect();
    let epsilon = old.float("epsilon").unwrap_or(1e-5);
    let value = normalized(graph, &input, &axes, epsilon);
    let factors = (by_channel(graph, &old, 1, rank), by_channel(graph, &old, 2, rank));
    affine(graph, value, factors, old.output(0)?);
    None
}

pub(super) fn group(graph: &mut Rewriting, old: Node) -> Option<Node> {
    let input = old.input(0)?.to_owned();
    let dims = graph.facts.dims(&input);
    let groups = old.int("num_groups");
    let (Some(dims), Some(groups)) = (dims, groups) else { return unknown(graph, &old) };
    let rank = dims.len();
    let open = dims.iter().filter(|dim| fixed(dim).is_none()).count();
    let Some(channels) = dims.get(1).and_then(fixed).map(|size| size as i64) else {
        return unknown(graph, &old);
    };
    if groups <= 0 || channels % groups != 0 || open > 1 {
        graph.refuse(&old, "groups of an image whose sizes are open", "");
        return None;
    }
    let size = |dim| fixed(dim).map_or(-1, |size| size as i64);
    let whole: Vec<i64> = dims.iter().map(size).collect();
    let mut split = whole.clone();
    split.splice(1..2, [groups, channels / groups]);
    let split = graph.integers("groups", &split);
    let image = graph.add(node("Reshape", &[&input, &split]));
    let axes: Vec<i64> = (2..=rank as i64).collect();
    let epsilon = old.float("epsilon").unwrap_or(1e-5);
    let image = normalized(graph, &image, &axes, epsilon);
    let whole = graph.integers("shape", &whole);
    let image = graph.add(node("Reshape", &[&image, &whole]));
    let factors = (by_channel(graph, &old, 1, rank), by_channel(graph, &old, 2, rank));
    affine(graph, image, factors, old.output(0)?);
    None
}

pub(super) fn layer(graph: &mut Rewriting, old: Node) -> Option<Node> {
    let input = old.input(0)?.to_owned();
    let Some(rank) = graph.facts.rank(&input) else { return unknown(graph, &old) };
    if old.output(1).is_some() || old.output(2).is_some() {
        graph.refuse(&old, "mean and deviation as outputs", "");
        return None;
    }
    let Some(first) = axis(old.int("axis").unwrap_or(-1), rank) else {
        return unknown(graph, &old);
    };
    let axes: Vec<i64> = (first as i64..rank as i64).collect();
    let epsilon = old.float("epsilon").unwrap_or(1e-5);
    let value = normalized(graph, &input, &axes, epsilon);
    let factors = (old.input(1).map(str::to_owned), old.input(2).map(str::to_owned));
    affine(graph, value, factors, old.output(0)?);
    None
}

pub(super) fn mean_variance(graph: &mut Rewriting, old: Node) -> Option<Node> {
    let axes = old.ints("axes").map_or(vec![0, 2, 3], <[i64]>::to_vec);
    let value = normalized(graph, old.input(0)?, &axes, 1e-9);
    affine(graph, value, (None, None), old.output(0)?);
    None
}

pub(super) fn lp(graph: &mut Rewriting, old: Node) -> Option<Node> {
    let operator = match old.int("p").unwrap_or(2) {
        1 => "ReduceL1",
        _ => "ReduceL2",
    };
    let along = old.int("axis").unwrap_or(-1);
    let axes = graph.constant(integers("axes", &[1], &[along]));
    let input = old.input(0)?;
    if graph.facts.element_type(input) != Some(ElementType::Float32) {
        return Some(old);
    }
    let norm = graph.add(node(operator, &[input, &axes]).with("keepdims", 1));
    graph.add_as(node("Div", &[input, &norm]), old.output(0)?);
    None
}
