//! ArgMax and ArgMin: the first of several equal elements is asked for, rten answers the last.
//! Its TopK does answer the first.

use modelyard_graph::Node;

use super::{Amender, Answer, Instead};

pub(super) fn arg(amender: &mut Amender, node: &Node) -> Answer {
    if node.int("select_last_index").unwrap_or(0) != 0 {
        // Refused by rten's loader; not ours to make right.
        return Ok(None);
    }
    let (Some(input), Some(output)) = (node.input(0), node.output(0)) else { return Ok(None) };
    let axis = node.int("axis").unwrap_or(0);
    let keep = node.int("keepdims").unwrap_or(1) != 0;
    let largest = i64::from(node.op_type == "ArgMax");
    let one = amender.integers(&[1]);
    let axes = amender.integers(&[axis]);
    let mut instead = Instead::of(node, amender);
    let values = instead.amender.fresh();
    let indices = if keep { output.to_owned() } else { instead.amender.fresh() };
    let mut top = Node::new("TopK", &[input, &one], &[&values, &indices])
        .with("axis", axis)
        .with("largest", largest)
        .with("sorted", 1i64);
    top.name = format!("{}/TopK", instead.label);
    instead.nodes.push(top);
    if !keep {
        instead.last("Squeeze", &[&indices, &axes], &[], output);
    }
    Ok(Some(instead.nodes))
}
