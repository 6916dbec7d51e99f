//! Assertions and hints to the exporter: nothing is left of them.

use super::{Operator, operator};
use crate::pytorch::convert::{Call, Refusal};
use crate::pytorch::evaluate::{Eval, Outcome};

pub(super) const OPERATORS: &[Operator] = &[
    operator("aten._assert_tensor_metadata.default", "a", convert, evaluate),
    operator("aten._assert_scalar.default", "self assert_msg", convert, evaluate),
    operator("aten._assert_async.msg", "self assert_msg", convert, evaluate),
    operator("aten._assert_async.default", "self", convert, evaluate),
    operator("aten.sym_constrain_range.default", "size min max", convert, evaluate),
    operator("aten.sym_constrain_range_for_size.default", "size min max", convert, evaluate),
    operator("aten._functional_assert_scalar.default", "self", convert, evaluate),
    operator("torch._check", "condition", convert, evaluate),
    operator("torch._check_is_size", "size", convert, evaluate),
];

#[allow(clippy::unnecessary_wraps, reason = "the form of all conversions")]
fn convert(_call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    Ok(())
}

#[allow(clippy::unnecessary_wraps, reason = "the form of all evaluations")]
fn evaluate(_eval: &mut Eval<'_, '_>) -> Outcome {
    Ok(Vec::new())
}
