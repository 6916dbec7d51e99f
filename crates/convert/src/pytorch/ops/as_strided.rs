//! Views by strides: those that are a plain reshape or a slice of it.

use super::{Operator, operator};
use crate::EvaluateError;
use crate::pytorch::convert::{Call, Extent, Refusal, Tensor};
use crate::pytorch::evaluate::{Eval, Outcome, Value};
use crate::pytorch::graph::Size;
use crate::reference::layout;

pub(super) const OPERATORS: &[Operator] =
    &[operator("aten.as_strided.default", "self size stride storage_offset", convert, evaluate)];

/// A run of elements of a tensor that lies side by side, in another shape. Which elements strides
/// name otherwise depends on how the tensor lies in memory, which is not known here.
fn convert(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    let (sizes, strides) = (call.ints("size")?, call.ints("stride")?);
    let offset = call.int_or("storage_offset", 0)?;
    let dense = dense(&sizes);
    let is_dense = sizes.len() == strides.len()
        && dense.iter().zip(&strides).zip(&sizes).all(|((a, b), &size)| size == 1 || a == b);
    if !is_dense || offset < 0 {
        let way_out = "use slices, transposes and reshapes instead of strides";
        return Err(Refusal::new(format!("strides {strides:?} for sizes {sizes:?}"), way_out));
    }
    let flat = call.to.ints(&[-1]);
    let name = call.to.emit("Reshape", &[&own.name, &flat]);
    let count: i64 = sizes.iter().product();
    let (start, end) = (Extent::Known(offset), Extent::Known(offset.saturating_add(count)));
    let name = call.to.slice(&name, 0, &start, &end, 1);
    let run = Tensor { name, sizes: vec![count.into()], ..own };
    let sizes: Vec<Size> = sizes.into_iter().map(Size::from).collect();
    let result = call.to.reshape(&run, &sizes, None);
    call.give(0, result);
    Ok(())
}

fn dense(sizes: &[i64]) -> Vec<i64> {
    let mut strides = vec![1i64; sizes.len()];
    for axis in (1..sizes.len()).rev() {
        strides[axis - 1] = strides[axis].saturating_mul(sizes[axis].max(1));
    }
    strides
}

fn evaluate(eval: &mut Eval<'_, '_, '_>) -> Outcome {
    let own = eval.view("self")?;
    let (dims, strides) = (eval.dims("size")?, eval.ints("stride")?);
    layout::elements(&dims)?;
    let strides: Option<Vec<isize>> =
        strides.into_iter().map(|stride| isize::try_from(stride).ok()).collect();
    let strides = strides.filter(|strides| strides.len() == dims.len());
    let strides = strides.ok_or_else(|| EvaluateError::new("strides that do not fit the sizes"))?;
    // The offset counts in the memory, and is that of the tensor where it is left out.
    let offset = match eval.has("storage_offset") {
        true => usize::try_from(eval.int("storage_offset")?).unwrap_or(usize::MAX),
        false => own.offset(),
    };
    Ok(vec![Value::Tensor(own.seen(dims, strides, offset))])
}
