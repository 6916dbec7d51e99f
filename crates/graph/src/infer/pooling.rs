//! Pooling: one FLOP for each element under the window.

use super::fact::{Answer, Fact, Op, Rule};
use super::window::Window;
use crate::ElementType;

pub(super) fn rule(operator: &str) -> Option<Rule> {
    Some(match operator {
        "AveragePool" | "LpPool" | "MaxPool" => pool,
        "GlobalAveragePool" | "GlobalLpPool" | "GlobalMaxPool" => global_pool,
        _ => return None,
    })
}

fn pool(op: &Op<'_>) -> Option<Answer> {
    let input = op.input(0)?;
    let (&[batch, channels], space) = input.dims.split_first_chunk()?;
    let kernel: Vec<usize> = op
        .node
        .ints("kernel_shape")?
        .iter()
        .map(|&size| usize::try_from(size).ok())
        .collect::<Option<_>>()?;
    let window = Window::of(op, &kernel, space.len())?;
    let mut dims = vec![batch, channels];
    dims.extend(window.slide(space)?);
    let output = input.with_dims(&dims);
    let flops = output.elements().saturating_mul(window.elements());
    Some(Answer::many(vec![output, Fact::new(ElementType::Int64, &dims)]).flops(flops))
}

fn global_pool(op: &Op<'_>) -> Option<Answer> {
    let input = op.input(0)?;
    let mut dims = input.dims.clone();
    dims.get_mut(2..)?.fill(1);
    Some(Answer::one(input.with_dims(&dims)).flops(input.elements()))
}
