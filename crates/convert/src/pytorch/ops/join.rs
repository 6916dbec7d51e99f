//! Tensors joined along an axis.

use super::{Operator, operator};
use crate::EvaluateError;
use crate::pytorch::convert::{Call, Refusal, Tensor, counted};
use crate::pytorch::evaluate::{Eval, Outcome, one};
use crate::pytorch::graph::Size;
use crate::pytorch::types;
use crate::reference::{Array, elementwise, shape};

pub(super) const OPERATORS: &[Operator] = &[
    operator("aten.cat.default", "tensors dim", convert_cat, evaluate_cat),
    operator("aten.concat.default", "tensors dim", convert_cat, evaluate_cat),
    operator("aten.concatenate.default", "tensors dim", convert_cat, evaluate_cat),
    operator("aten.stack.default", "tensors dim", convert_stack, evaluate_stack),
    operator("aten.hstack.default", "tensors", convert_stacked, evaluate_stacked),
    operator("aten.vstack.default", "tensors", convert_stacked, evaluate_stacked),
];

/// Empty tensors of one dimension count for nothing, whatever the others are.
fn is_nothing(tensor: &Tensor) -> bool {
    tensor.sizes.len() == 1 && tensor.sizes.first().and_then(Size::known) == Some(0)
}

fn convert_cat(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let (element_type, sizes) = call.output(0)?;
    let mut tensors = call.tensors("tensors")?;
    if tensors.iter().any(|tensor| !is_nothing(tensor)) {
        tensors.retain(|tensor| !is_nothing(tensor));
    }
    let axis = call.axis("dim", sizes.len(), 0)?;
    let mut names = Vec::new();
    for tensor in &tensors {
        names.push(call.to.cast(&tensor.name, tensor.element_type, element_type));
    }
    let result = call.to.concat(&names, axis as i64);
    call.give(0, result);
    Ok(())
}

/// All arrays in the type that they are promoted to.
fn promoted(eval: &mut Eval<'_, '_>) -> Result<Vec<Array>, EvaluateError> {
    let tensors = eval.tensors("tensors")?;
    let mut all = Vec::new();
    for tensor in &tensors {
        all.push(match tensor.rank() {
            0 => types::Operand::Scalar(tensor.element_type()),
            _ => types::Operand::Tensor(tensor.element_type()),
        });
    }
    let element_type = types::result_type(&all);
    tensors.iter().map(|tensor| elementwise::cast(tensor, element_type)).collect()
}

fn evaluate_cat(eval: &mut Eval<'_, '_>) -> Outcome {
    let mut arrays = promoted(eval)?;
    if arrays.iter().any(|array| array.dims() != [0]) {
        arrays.retain(|array| array.dims() != [0]);
    }
    let axis = eval.int_or("dim", 0)?;
    one(shape::concat(&arrays.iter().collect::<Vec<_>>(), axis))
}

fn convert_stack(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let (element_type, _) = call.output(0)?;
    let tensors = call.tensors("tensors")?;
    let rank = tensors.first().map_or(0, Tensor::rank);
    let axis = call.int_or("dim", 0)?;
    let axis = counted(axis, rank + 1)
        .ok_or_else(|| Refusal::new(format!("a new axis at {axis}"), ""))? as i64;
    let mut names = Vec::new();
    for tensor in &tensors {
        let value = call.to.cast(&tensor.name, tensor.element_type, element_type);
        names.push(call.to.unsqueeze(&value, &[axis]));
    }
    let result = call.to.concat(&names, axis);
    call.give(0, result);
    Ok(())
}

fn evaluate_stack(eval: &mut Eval<'_, '_>) -> Outcome {
    let arrays = promoted(eval)?;
    let axis = eval.int_or("dim", 0)?;
    one(shape::stack(&arrays.iter().collect::<Vec<_>>(), axis))
}

/// Along the first axis (`vstack`, vectors as rows), or the second one unless there is only one.
fn convert_stacked(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let (element_type, sizes) = call.output(0)?;
    let is_vertical = call.operator() == "vstack";
    let rank = sizes.len();
    let axis = if is_vertical || rank == 1 { 0 } else { 1 };
    let mut names = Vec::new();
    for tensor in &call.tensors("tensors")? {
        let value = call.to.cast(&tensor.name, tensor.element_type, element_type);
        let missing: Vec<i64> = (0..rank.saturating_sub(tensor.rank()) as i64).collect();
        names.push(call.to.unsqueeze(&value, &missing));
    }
    let result = call.to.concat(&names, axis);
    call.give(0, result);
    Ok(())
}

fn evaluate_stacked(eval: &mut Eval<'_, '_>) -> Outcome {
    let is_vertical = eval.operator() == "vstack";
    let least = if is_vertical { 2 } else { 1 };
    let mut arrays = Vec::new();
    for array in promoted(eval)? {
        let mut dims = vec![1; least.max(array.rank()) - array.rank()];
        dims.extend(array.dims());
        arrays.push(array.reshaped(&dims)?);
    }
    let rank = arrays.first().map_or(1, Array::rank);
    let axis = i64::from(!is_vertical && rank > 1);
    one(shape::concat(&arrays.iter().collect::<Vec<_>>(), axis))
}
