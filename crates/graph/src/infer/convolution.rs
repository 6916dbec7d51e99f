//! Convolutions: two FLOPs for each multiplication with its addition, one for each bias.

use super::fact::{Answer, Fact, Op, Rule, product};
use super::window::Window;
use crate::ElementType;

pub(super) fn rule(operator: &str) -> Option<Rule> {
    Some(match operator {
        "Conv" | "com.microsoft.FusedConv" => |op| conv(op, 1, op.has(2), None),
        "ConvInteger" => |op| conv(op, 1, false, Some(ElementType::Int32)),
        "QLinearConv" => |op| {
            let element_type = op.input(7)?.element_type;
            conv(op, 3, op.has(8), Some(element_type))
        },
        "ConvTranspose" => conv_transpose,
        _ => return None,
    })
}

fn conv(
    op: &Op<'_>,
    kernel: usize,
    bias: bool,
    element_type: Option<ElementType>,
) -> Option<Answer> {
    let input = op.input(0)?;
    let (&[batch, _], space) = input.dims.split_first_chunk()?;
    let (&[channels, channels_in_group], kernel) = op.dims(kernel)?.split_first_chunk()?;
    let mut dims = vec![batch, channels];
    dims.extend(Window::of(op, kernel, space.len())?.slide(space)?);
    let output = Fact::new(element_type.unwrap_or(input.element_type), &dims);
    let for_each = product(kernel).saturating_mul(channels_in_group as u64).saturating_mul(2);
    let flops = output.elements().saturating_mul(for_each.saturating_add(bias.into()));
    Some(Answer::one(output).flops(flops))
}

fn conv_transpose(op: &Op<'_>) -> Option<Answer> {
    let input = op.input(0)?;
    let (&[batch, _], space) = input.dims.split_first_chunk()?;
    let (&[_, channels_in_group], kernel) = op.dims(1)?.split_first_chunk()?;
    let groups = usize::try_from(op.int("group", 1)).ok()?;
    let mut dims = vec![batch, channels_in_group.checked_mul(groups)?];
    dims.extend(Window::of(op, kernel, space.len())?.spread(op, space)?);
    let output = Fact::new(input.element_type, &dims);
    // Each element of the input is multiplied with a whole kernel.
    let for_each = product(kernel).saturating_mul(channels_in_group as u64).saturating_mul(2);
    let flops = input.elements().saturating_mul(for_each);
    let bias = if op.has(2) { output.elements() } else { 0 };
    Some(Answer::one(output).flops(flops.saturating_add(bias)))
}
