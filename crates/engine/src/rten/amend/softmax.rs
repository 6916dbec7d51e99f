//! Softmax and LogSoftmax before opset 13.
//!
//! They flatten their input to a matrix at `axis` (1 unless told) and work on its rows; rten
//! works along one axis (the last unless told). Both agree when the axis is the last.

use modelyard_graph::Node;

use super::{Amender, Answer, Instead};

/// The opset that changed the meaning.
const ALONG_AXIS: i64 = 13;

pub(super) fn softmax(amender: &mut Amender, node: &Node) -> Answer {
    if amender.opset >= ALONG_AXIS {
        return Ok(None);
    }
    let (Some(input), Some(output)) = (node.input(0), node.output(0)) else { return Ok(None) };
    let axis = node.int("axis").unwrap_or(1);
    let rank = amender.kind(input).map(|kind| kind.rank as i64);
    let last = axis == -1 || rank.is_some_and(|rank| axis == rank - 1);
    if last && node.int("axis").is_some() {
        return Ok(None);
    }
    let mut instead = Instead::of(node, amender);
    let along_last = [("axis", (-1i64).into())];
    if last {
        instead.last(&node.op_type, &[input], &along_last, output);
        return Ok(Some(instead.nodes));
    }
    let shape = instead.make("Shape", &[input]);
    let matrix = instead.make_with("Flatten", &[input], &[("axis", axis.into())]);
    let rows = instead.make_with(&node.op_type, &[&matrix], &along_last);
    instead.last("Reshape", &[&rows, &shape], &[], output);
    Ok(Some(instead.nodes))
}
