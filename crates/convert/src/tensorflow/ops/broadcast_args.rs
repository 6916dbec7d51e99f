//! `BroadcastArgs`: the shape of two values that are used together, from their shapes.

use modelyard_graph::ElementType;
use modelyard_tensor::Dim;

use super::{Evaluated, Given, sizes};
use crate::reference::{Array, layout};
use crate::tensorflow::context::{Call, Context, Converted};
use crate::tensorflow::value::{Refusal, Val};

pub(super) fn convert(context: &mut Context<'_>, call: &Call<'_>) -> Converted {
    let (one, two) = (call.input(0)?, call.input(1)?);
    let rank = |value: &Val| {
        let unknown = || Refusal::new("shapes of unknown rank", "give the input a fixed rank");
        value.size(0).ok_or_else(unknown)
    };
    let most = rank(one)?.max(rank(two)?);
    let mut lists = Vec::new();
    for value in [one, two] {
        // With 1 in front of the shorter one, the larger of each pair is what both become.
        let list = context.shape(value)?;
        let missing = most - rank(value)?;
        lists.push(match missing {
            0 => list,
            _ => {
                let ones = context.emitter.integers("ones", &vec![1; missing]);
                context.add_node(crate::emitter::node("Concat", &[ones, list]).with("axis", 0))
            }
        });
    }
    let mut found = context.add("Max", &lists);
    if one.element_type != ElementType::Int64 {
        found = context.cast(&found, one.element_type);
    }
    Ok(vec![context.value(found, one.element_type, Some(vec![Dim::Fixed(most)]))])
}

pub(super) fn evaluate(given: &Given<'_>) -> Evaluated {
    let (one, two) = (sizes(&given.integers(0)?)?, sizes(&given.integers(1)?)?);
    let dims = layout::broadcast(&one, &two)?;
    let values = dims.iter().map(|&size| size as f64).collect();
    Ok(vec![Array::from_f64s(given.input(0)?.element_type(), &[dims.len()], values)?])
}
