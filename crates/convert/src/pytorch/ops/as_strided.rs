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
    let (extents, strides) = (call.extents("size")?, call.extents("stride")?);
    let offset = call.int_or("storage_offset", 0)?;
    let (_, sizes) = call.output(0)?;
    if !is_dense(sizes, &strides) || offset < 0 {
        let way_out = "use slices, transposes and reshapes instead of strides";
        return Err(Refusal::new("strides that leave out or repeat elements", way_out));
    }
    let same =
        own.rank() == sizes.len() && own.sizes.iter().zip(sizes).all(|(one, two)| one.same(two));
    if same && offset == 0 {
        call.give(0, own.name);
        return Ok(());
    }
    let flat = call.to.ints(&[-1]);
    let name = call.to.emit("Reshape", &[&own.name, &flat]);
    let count = call.to.product(&extents);
    let start = Extent::Known(offset);
    let end = call.to.combine("Add", &start, &count, i64::checked_add);
    let name = call.to.slice(&name, 0, &start, &end, 1);
    let run = Tensor { name, sizes: vec![Size::Unknown], ..own };
    let result = call.to.reshape(&run, sizes, Some(&extents));
    call.give(0, result);
    Ok(())
}

/// Whether strides are those of elements side by side; axes of size 1 may have any.
fn is_dense(sizes: &[Size], strides: &[Extent]) -> bool {
    if sizes.len() != strides.len() {
        return false;
    }
    let mut expected = Some(1i64);
    for (size, stride) in sizes.iter().zip(strides).rev() {
        if size.known() == Some(1) {
            continue;
        }
        if expected.is_none() || stride.known() != expected {
            return false;
        }
        expected = size.known().zip(expected).and_then(|(size, inner)| size.checked_mul(inner));
    }
    true
}

fn evaluate(eval: &mut Eval<'_, '_>) -> Outcome {
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
