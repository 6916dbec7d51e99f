//! Transposed convolutions in groups or with gaps in the kernel, which other frameworks do not have.

use modelyard_graph::{Constant, Node};

use super::super::graph::{Rewriting, makeable, node};

/// More groups than this would be more nodes than anybody wants.
const MOST_GROUPS: usize = 64;

pub(super) fn rewrite(graph: &mut Rewriting, mut old: Node) -> Option<Node> {
    let is_dense = old.ints("dilations").is_none_or(|list| list.iter().all(|&one| one == 1));
    if !is_dense {
        let weights = spread(graph, &old);
        let Some(weights) = weights else {
            let way_out = "use a constant kernel of floats, and smaller dilations";
            graph.refuse(&old, "gaps in a kernel that is computed or too large", way_out);
            return None;
        };
        let slot = old.inputs.get_mut(1)?;
        *slot = graph.constant(weights);
        old.attributes.retain(|one| one.name != "dilations" && one.name != "kernel_shape");
    }
    let groups = usize::try_from(old.int("group").unwrap_or(1)).unwrap_or(0);
    match groups {
        1 => Some(old),
        2..=MOST_GROUPS => split(graph, old, groups),
        _ => {
            let way_out = format!("at most {MOST_GROUPS} groups are taken apart");
            graph.refuse(&old, format!("{groups} groups"), way_out);
            None
        }
    }
}

/// One convolution a group.
fn split(graph: &mut Rewriting, old: Node, groups: usize) -> Option<Node> {
    let parts = |graph: &mut Rewriting, name: &str, axis: i64| -> Vec<String> {
        let outputs: Vec<String> = (0..groups).map(|_| graph.fresh("Split")).collect();
        let mut split =
            node("Split", &[name]).with("axis", axis).with("num_outputs", groups as i64);
        split.name = graph.fresh("Split/node");
        split.outputs.clone_from(&outputs);
        graph.keep(split);
        outputs
    };
    let images = parts(graph, old.input(0)?, 1);
    let weights = parts(graph, old.input(1)?, 0);
    let biases = old.input(2).map(|bias| parts(graph, bias, 0));
    let mut results = Vec::new();
    for (group, (image, weights)) in images.into_iter().zip(weights).enumerate() {
        let bias = biases.as_ref().and_then(|biases| biases.get(group));
        let inputs: Vec<String> =
            [Some(image), Some(weights), bias.cloned()].into_iter().flatten().collect();
        let mut part = node(&old.op_type, &inputs);
        part.attributes =
            old.attributes.iter().filter(|one| one.name != "group").cloned().collect();
        results.push(graph.add(part));
    }
    graph.add_as(node("Concat", &results).with("axis", 1), old.output(0)?);
    None
}

/// The kernel with zeros in its gaps.
fn spread(graph: &Rewriting, old: &Node) -> Option<Constant> {
    let constant = graph.facts.constant_input(old, 1)?;
    let values = super::super::graph::floats(constant)?;
    let (leading, space) = constant.dims.split_at_checked(2)?;
    let dilations: Option<Vec<usize>> =
        old.ints("dilations")?.iter().map(|&one| usize::try_from(one).ok()).collect();
    let dilations = dilations.filter(|list| list.len() == space.len() && !list.contains(&0))?;
    let extents: Vec<usize> = space
        .iter()
        .zip(&dilations)
        .map(|(&size, &gap)| size.checked_sub(1)?.checked_mul(gap)?.checked_add(1))
        .collect::<Option<_>>()?;
    let whole = [leading, &extents].concat();
    let mut spread = vec![0.0f32; makeable(&whole)?];
    let (small, large): (usize, usize) = (space.iter().product(), extents.iter().product());
    for (index, &value) in values.iter().enumerate() {
        let (kernel, mut rest) = (index / small, index % small);
        let (mut place, mut stride) = (0, 1);
        for axis in (0..space.len()).rev() {
            place += rest % space[axis] * dilations[axis] * stride;
            rest /= space[axis];
            stride *= extents[axis];
        }
        *spread.get_mut(kernel * large + place)? = value;
    }
    Some(Constant::floats("spread", &whole, &spread))
}
