//! How many dimensions kernels of TensorFlow Lite take. Beyond it some refuse, and some read memory
//! that is not theirs; the interpreter does not always check.

use modelyard_graph::Node;

use super::stop::{Stop, refused};
use super::writer::Writer;

/// The most dimensions of operands, and whether that is so even where all have one shape.
fn limit(operator: &str) -> Option<(usize, bool)> {
    Some(match operator {
        "Equal" | "Greater" | "GreaterOrEqual" | "Less" | "LessOrEqual" | "Pow" | "Mod" => {
            (4, false)
        }
        "Add" | "Sub" | "Mul" | "Div" | "And" | "Or" | "Xor" => (4, false),
        "Where" | "Max" | "Min" => (5, false),
        "Pad" | "MatMul" => (5, true),
        _ => return None,
    })
}

/// Refuses a node of more dimensions than its kernel takes, or of larger ones.
pub(super) fn check(cx: &Writer<'_>, node: &Node) -> Result<(), Stop> {
    sizes(cx, node)?;
    let Some((most, always)) = limit(&node.op_type) else { return Ok(()) };
    let shapes: Vec<_> = node
        .inputs
        .iter()
        .filter(|name| !name.is_empty())
        .filter_map(|name| cx.dims_of(name))
        .collect();
    let rank = shapes.iter().map(Vec::len).max().unwrap_or(0);
    let is_one_shape =
        shapes.windows(2).all(|pair| pair[0] == pair[1] && pair[0].iter().all(Option::is_some));
    if rank <= most || (is_one_shape && !always) {
        return Ok(());
    }
    Err(refused(
        format!("{rank} dimensions, where TensorFlow Lite takes at most {most}"),
        "reshape to fewer dimensions before it",
    ))
}

/// Sizes are counted in 32 bits.
fn sizes(cx: &Writer<'_>, node: &Node) -> Result<(), Stop> {
    let names = node.inputs.iter().chain(&node.outputs).filter(|name| !name.is_empty());
    for dims in names.filter_map(|name| cx.dims_of(name)) {
        if let Some(size) = dims.iter().flatten().find(|&&size| i32::try_from(size).is_err()) {
            let reason = format!("a dimension of {size}, where TensorFlow Lite has 32 bits");
            return Err(refused(reason, "use smaller values"));
        }
    }
    Ok(())
}
