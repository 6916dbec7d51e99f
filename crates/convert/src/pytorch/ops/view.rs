//! Tensors seen in another shape: the elements stay where they are.

use super::{Operator, operator};
use crate::EvaluateError;
use crate::pytorch::convert::{Call, Refusal, counted};
use crate::pytorch::evaluate::{Eval, Outcome, Strided, Value};
use crate::pytorch::graph::Size;
use crate::reference::layout;

pub(super) const OPERATORS: &[Operator] = &[
    operator("aten.view.default", "self size", convert, evaluate),
    operator("aten.reshape.default", "self shape", convert, evaluate),
    operator("aten._unsafe_view.default", "self size", convert, evaluate),
    operator("aten._reshape_alias.default", "self size stride", convert, evaluate),
    operator("aten.view_as.default", "self other", convert_like, evaluate_like),
    operator("aten.reshape_as.default", "self other", convert_like, evaluate_like),
    operator(
        "aten.flatten.using_ints",
        "self start_dim end_dim",
        convert_computed,
        evaluate_flatten,
    ),
    operator("aten.ravel.default", "self", convert_computed, evaluate_flatten),
    operator("aten.unflatten.int", "self dim sizes", convert_unflatten, evaluate_unflatten),
    operator("aten.squeeze.default", "self", convert_squeeze, evaluate_squeeze),
    operator("aten.squeeze.dim", "self dim", convert_squeeze, evaluate_squeeze),
    operator("aten.squeeze.dims", "self dim", convert_squeeze, evaluate_squeeze),
    operator("aten.unsqueeze.default", "self dim", convert_unsqueeze, evaluate_unsqueeze),
    operator("aten.atleast_1d.default", "self", convert_computed, evaluate_atleast),
    operator("aten.atleast_2d.default", "self", convert_computed, evaluate_atleast),
];

fn size_name(operator: &str) -> &'static str {
    if operator == "reshape" { "shape" } else { "size" }
}

fn convert(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    let extents = call.extents(size_name(call.operator()))?;
    let (_, sizes) = call.output(0)?;
    let result = call.to.reshape(&own, sizes, Some(&extents));
    call.give(0, result);
    Ok(())
}

fn convert_like(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let (own, other) = (call.tensor("self")?, call.tensor("other")?);
    let extents = match other.sizes.iter().all(|size| size.known().is_some()) {
        true => None,
        false => Some(call.to.sizes(&other)),
    };
    let result = call.to.reshape(&own, &other.sizes, extents.as_deref());
    call.give(0, result);
    Ok(())
}

/// Shapes that follow from the input's alone.
fn convert_computed(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    let (_, sizes) = call.output(0)?;
    let result = call.to.reshape(&own, sizes, None);
    call.give(0, result);
    Ok(())
}

fn convert_unflatten(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    let axis = call.axis("dim", own.rank(), 0)?;
    let inner = call.extents("sizes")?;
    let mut extents = call.to.sizes(&own);
    if own.rank() == 0 {
        return Err(Refusal::new("a tensor without dimensions", ""));
    }
    extents.splice(axis..axis + 1, inner);
    let (_, sizes) = call.output(0)?;
    let result = call.to.reshape(&own, sizes, Some(&extents));
    call.give(0, result);
    Ok(())
}

fn convert_squeeze(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    let wanted = call.axes("dim", own.rank())?;
    let is_one = |axis: &usize| own.sizes.get(*axis).and_then(Size::known) == Some(1);
    let axes: Vec<i64> =
        wanted.iter().filter(|axis| is_one(axis)).map(|&axis| axis as i64).collect();
    let result = call.to.squeeze(&own.name, &axes);
    call.give(0, result);
    Ok(())
}

fn convert_unsqueeze(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    let axis = call.int("dim")?;
    let axis = counted(axis, own.rank() + 1)
        .ok_or_else(|| Refusal::new(format!("a new axis at {axis}"), ""))?;
    let result = call.to.unsqueeze(&own.name, &[axis as i64]);
    call.give(0, result);
    Ok(())
}

/// The memory of `view` in another shape: the same where strides can say it, a copy otherwise.
pub(super) fn reshaped(view: &Strided, dims: &[usize]) -> Outcome {
    if layout::elements(dims)? != layout::elements(view.dims())? {
        let found = view.dims();
        return Err(EvaluateError::new(format!("cannot see shape {found:?} as {dims:?}")));
    }
    Ok(vec![match view.viewed(dims) {
        Some(seen) => Value::Tensor(seen),
        None => view.array()?.as_ref().clone().reshaped(dims)?.into(),
    }])
}

/// Sizes with -1 replaced by what is left.
fn completed(sizes: &[i64], elements: usize) -> Result<Vec<usize>, EvaluateError> {
    let wrong = || EvaluateError::new(format!("{elements} elements do not fit shape {sizes:?}"));
    let known: Vec<usize> = sizes
        .iter()
        .filter(|&&size| size != -1)
        .map(|&size| usize::try_from(size).map_err(|_| wrong()))
        .collect::<Result<_, _>>()?;
    let product = layout::elements(&known)?;
    let open = elements.checked_div(product).unwrap_or(0);
    let size = |&size: &i64| if size == -1 { open } else { size as usize };
    Ok(sizes.iter().map(size).collect())
}

fn evaluate(eval: &mut Eval<'_, '_>) -> Outcome {
    let own = eval.view("self")?;
    let sizes = eval.ints(size_name(eval.operator()))?;
    let dims = completed(&sizes, layout::elements(own.dims())?)?;
    reshaped(&own, &dims)
}

fn evaluate_like(eval: &mut Eval<'_, '_>) -> Outcome {
    let (own, other) = (eval.view("self")?, eval.view("other")?);
    reshaped(&own, other.dims())
}

fn evaluate_flatten(eval: &mut Eval<'_, '_>) -> Outcome {
    let own = eval.view("self")?;
    let rank = own.dims().len();
    let (start, end) = (eval.axis("start_dim", rank, 0)?, eval.axis("end_dim", rank, -1)?);
    if rank == 0 {
        return reshaped(&own, &[1]);
    }
    if end < start {
        return Err(EvaluateError::new("flatten ends before it starts"));
    }
    let mut dims = own.dims().to_vec();
    let flat = layout::elements(&dims[start..=end])?;
    dims.splice(start..=end, [flat]);
    reshaped(&own, &dims)
}

fn evaluate_unflatten(eval: &mut Eval<'_, '_>) -> Outcome {
    let own = eval.view("self")?;
    let axis = eval.axis("dim", own.dims().len(), 0)?;
    let size = own.dims().get(axis).copied().unwrap_or(1);
    let inner = completed(&eval.ints("sizes")?, size)?;
    if own.dims().is_empty() {
        return reshaped(&own, &inner);
    }
    let mut dims = own.dims().to_vec();
    dims.splice(axis..axis + 1, inner);
    reshaped(&own, &dims)
}

fn evaluate_squeeze(eval: &mut Eval<'_, '_>) -> Outcome {
    let own = eval.view("self")?;
    let rank = own.dims().len();
    let wanted = match eval.has("dim") {
        true => eval.axes("dim", rank)?,
        false => (0..rank).collect(),
    };
    let kept = |axis: &usize| !(wanted.contains(axis) && own.dims()[*axis] == 1);
    let axes: Vec<usize> = (0..rank).filter(kept).collect();
    let dims = axes.iter().map(|&axis| own.dims()[axis]).collect();
    let strides = axes.iter().map(|&axis| own.strides()[axis]).collect();
    Ok(vec![Value::Tensor(own.seen(dims, strides, own.offset()))])
}

fn evaluate_unsqueeze(eval: &mut Eval<'_, '_>) -> Outcome {
    let own = eval.view("self")?;
    let axis = eval.axis("dim", own.dims().len() + 1, 0)?;
    let (mut dims, mut strides) = (own.dims().to_vec(), own.strides().to_vec());
    let stride = dims.get(axis).map_or(1, |&size| strides[axis].wrapping_mul(size as isize));
    dims.insert(axis, 1);
    strides.insert(axis, stride);
    Ok(vec![Value::Tensor(own.seen(dims, strides, own.offset()))])
}

fn evaluate_atleast(eval: &mut Eval<'_, '_>) -> Outcome {
    let own = eval.view("self")?;
    let rank = if eval.operator().contains("2d") { 2 } else { 1 };
    let mut dims = vec![1; rank.max(own.dims().len()) - own.dims().len()];
    dims.extend(own.dims());
    reshaped(&own, &dims)
}

#[cfg(test)]
mod tests {
    use super::completed;

    #[test]
    fn one_size_may_be_left_open() {
        assert_eq!(completed(&[2, -1], 6).unwrap(), [2, 3]);
        assert_eq!(completed(&[0, -1], 0).unwrap(), [0, 0]);
        assert!(completed(&[-2, 3], 6).is_err());
    }
}
