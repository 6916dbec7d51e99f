//! Which operators give views of their first argument, and how a change of the view is written
//! back.

use std::collections::HashMap;

use super::arguments::Arguments;
use super::functional::sizes;
use super::graph::{Argument, Meta, Named, Node};

/// How a view looks at what it is made from.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Seen {
    /// All of it, as it is.
    Whole,
    /// All of it, in another shape. Where `sure` is false it may be a copy: that depends on how
    /// the elements lie in memory.
    Reshaped {
        /// Whether it is a view in any case.
        sure: bool,
    },
    /// All of it, with its axes in another order.
    Permuted,
    /// A part of it.
    Part,
    /// In a way that cannot be written back.
    Otherwise,
}

/// How to make the new memory below a view from the view's new value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Back {
    /// It is the new value.
    Same,
    /// The new value in the shape that the memory has.
    Like,
    /// This operator on the new value, with these further arguments.
    Viewed(String, Vec<Named>),
    /// This operator on the old memory and the new value, with these further arguments.
    Scattered(String, Vec<Named>),
}

/// How the results of a call look at its first argument; `None` where they are memory of their own.
pub(super) fn seen(node: &Node, values: &HashMap<String, Meta>) -> Option<Seen> {
    let name = node.target.strip_prefix("aten.")?;
    let name = name.split('.').next().unwrap_or(name);
    Some(match name {
        "detach" | "alias" | "lift_fresh" | "lift" | "positive" | "requires_grad_" => Seen::Whole,
        "to" | "type_as" if same_type(node, values) && !copies(node) => Seen::Whole,
        "dropout" | "alpha_dropout" | "feature_dropout" | "feature_alpha_dropout"
            if Arguments::new(node, "input p train").get("train") == &Argument::Bool(false) =>
        {
            Seen::Whole
        }
        "view" | "unflatten" | "squeeze" | "unsqueeze" | "view_as" | "_unsafe_view" => {
            Seen::Reshaped { sure: true }
        }
        "reshape" | "flatten" | "contiguous" | "ravel" | "reshape_as" | "_reshape_alias" => {
            Seen::Reshaped { sure: false }
        }
        "permute" | "transpose" | "swapaxes" | "swapdims" | "t" | "mT" | "mH" | "numpy_T"
        | "movedim" | "moveaxis" | "adjoint" => Seen::Permuted,
        "select" | "slice" | "narrow" | "split" | "split_with_sizes" | "chunk" | "unbind"
        | "tensor_split" | "diagonal" => Seen::Part,
        "expand" | "expand_as" | "broadcast_to" => match same_sizes(node, values) {
            true => Seen::Whole,
            false => Seen::Otherwise,
        },
        "unfold" | "as_strided" | "view_as_real" | "view_as_complex" | "real" | "imag" => {
            Seen::Otherwise
        }
        _ => return None,
    })
}

fn ends<'n>(node: &'n Node, values: &'n HashMap<String, Meta>) -> Option<(&'n Meta, &'n Meta)> {
    let from = node.arguments.first()?.value.values().first().copied()?;
    Some((values.get(from)?, values.get(node.outputs.first()?)?))
}

fn same_type(node: &Node, values: &HashMap<String, Meta>) -> bool {
    match ends(node, values) {
        Some((Meta::Tensor(one, _), Meta::Tensor(two, _))) => one == two,
        _ => false,
    }
}

fn same_sizes(node: &Node, values: &HashMap<String, Meta>) -> bool {
    match ends(node, values) {
        Some((Meta::Tensor(_, one), Meta::Tensor(_, two))) => {
            one.len() == two.len() && one.iter().zip(two).all(|(one, two)| one.same(two))
        }
        _ => false,
    }
}

/// Whether `to` was asked to copy in any case.
fn copies(node: &Node) -> bool {
    node.arguments.iter().any(|named| named.name == "copy" && named.value == Argument::Bool(true))
}

/// How a change of result `output` of the call `node` is written back; `None` where it cannot be.
pub(super) fn write_back(
    node: &Node,
    output: usize,
    seen: &Seen,
    values: &HashMap<String, Meta>,
) -> Option<Back> {
    match seen {
        Seen::Whole => Some(Back::Same),
        Seen::Reshaped { sure: true } => Some(Back::Like),
        Seen::Reshaped { sure: false } | Seen::Otherwise => None,
        Seen::Permuted => permuted_back(node, values),
        Seen::Part => scattered(node, output, values),
    }
}

fn permuted_back(node: &Node, values: &HashMap<String, Meta>) -> Option<Back> {
    let name = node.target.split('.').nth(1)?;
    if name == "permute" {
        let Argument::List(dims) = Arguments::new(node, "self dims").get("dims") else {
            return None;
        };
        let rank = dims.len() as i64;
        let mut inverse = vec![Argument::Int(0); dims.len()];
        for (index, dim) in dims.iter().enumerate() {
            let Argument::Int(dim) = *dim else { return None };
            let dim = usize::try_from(if dim < 0 { dim + rank } else { dim }).ok()?;
            *inverse.get_mut(dim)? = Argument::Int(index as i64);
        }
        let dims = Named { name: "dims".into(), value: Argument::List(inverse) };
        return Some(Back::Viewed(node.target.clone(), vec![dims]));
    }
    if name.starts_with("move") {
        let arguments = Arguments::new(node, "self source destination");
        let swapped = |name: &str, other: &str| Named {
            name: name.into(),
            value: arguments.get(other).clone(),
        };
        let both = vec![swapped("source", "destination"), swapped("destination", "source")];
        return Some(Back::Viewed(node.target.clone(), both));
    }
    // Reverses all axes or swaps two of them: its own inverse.
    let _ = values;
    Some(Back::Viewed(node.target.clone(), node.arguments.get(1..)?.to_vec()))
}

fn scattered(node: &Node, output: usize, values: &HashMap<String, Meta>) -> Option<Back> {
    let name = node.target.split('.').nth(1)?;
    let keep = |parameters: &'static str, names: &[&str]| -> Vec<Named> {
        let arguments = Arguments::new(node, parameters);
        let given = names.iter().filter(|name| arguments.has(name));
        given.map(|&name| Named { name: name.into(), value: arguments.get(name).clone() }).collect()
    };
    match name {
        "select" => {
            let kept = keep("self dim index", &["dim", "index"]);
            Some(Back::Scattered("aten.select_scatter.default".into(), kept))
        }
        "slice" => {
            let kept = keep("self dim start end step", &["dim", "start", "end", "step"]);
            Some(Back::Scattered("aten.slice_scatter.default".into(), kept))
        }
        "diagonal" => {
            let kept = keep("self offset dim1 dim2", &["offset", "dim1", "dim2"]);
            Some(Back::Scattered("aten.diagonal_scatter.default".into(), kept))
        }
        "narrow" => {
            let arguments = Arguments::new(node, "self dim start length");
            let (Argument::Int(start), Argument::Int(length)) =
                (arguments.get("start"), arguments.get("length"))
            else {
                return None;
            };
            let end = start.checked_add(*length).filter(|&end| *start >= 0 || end < 0)?;
            slice_scatter(arguments.get("dim").clone(), *start, end)
        }
        "unbind" => {
            let dim = keep("self dim", &["dim"]).pop().map_or(Argument::Int(0), |dim| dim.value);
            let index = Named { name: "index".into(), value: Argument::Int(output as i64) };
            let both = vec![Named { name: "dim".into(), value: dim }, index];
            Some(Back::Scattered("aten.select_scatter.default".into(), both))
        }
        _ => split_back(node, output, values),
    }
}

/// One of the pieces of a split: a slice from the sum of the sizes before.
fn split_back(node: &Node, output: usize, values: &HashMap<String, Meta>) -> Option<Back> {
    let dim = match Arguments::new(node, "self sizes dim").get("dim") {
        Argument::Int(dim) => *dim,
        _ => 0,
    };
    let size = |name: &String| {
        let sizes = sizes(values, name)?;
        let axis = if dim < 0 { dim + sizes.len() as i64 } else { dim };
        sizes.get(usize::try_from(axis).ok()?)?.known()
    };
    let before: Option<Vec<i64>> = node.outputs.iter().take(output).map(size).collect();
    let start: i64 = before?.iter().sum();
    let end = start + size(node.outputs.get(output)?)?;
    slice_scatter(Argument::Int(dim), start, end)
}

fn slice_scatter(dim: Argument, start: i64, end: i64) -> Option<Back> {
    let named = |name: &str, value: Argument| Named { name: name.into(), value };
    let all = vec![
        named("dim", dim),
        named("start", Argument::Int(start)),
        named("end", Argument::Int(end)),
    ];
    Some(Back::Scattered("aten.slice_scatter.default".into(), all))
}
