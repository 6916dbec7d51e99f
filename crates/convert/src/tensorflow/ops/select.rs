//! `Select` and `SelectV2`: of two values, by a condition. The older one takes a list of conditions
//! for the rows of larger values; the newer one broadcasts.

use super::{Evaluated, Given, dims};
use crate::reference::elementwise;
use crate::tensorflow::context::{Call, Context, Converted};

pub(super) fn convert(context: &mut Context<'_>, call: &Call<'_>) -> Converted {
    let (condition, yes, no) = (call.input(0)?, call.input(1)?, call.input(2)?);
    let [mut test, one, two] = context.names(call)?;
    let mut dims = dims::broadcast(&yes.dims, &no.dims);
    if call.node.op == "Select" {
        let (own, rank) = (condition.rank()?, yes.rank()?);
        if own == 1 && rank > 1 {
            let axes: Vec<i64> = (1..rank as i64).collect();
            test = context.with_axes("Unsqueeze", &test, &axes);
        }
    } else {
        dims = dims::broadcast(&dims, &condition.dims);
    }
    let found = context.add("Where", &[test, one, two]);
    Ok(vec![context.value(found, yes.element_type, dims)])
}

pub(super) fn evaluate(given: &Given<'_>) -> Evaluated {
    let (condition, yes, no) = (given.input(0)?, given.input(1)?, given.input(2)?);
    if given.node.op == "Select" && condition.rank() == 1 && yes.rank() > 1 {
        let mut dims = vec![1; yes.rank()];
        dims[0] = condition.len();
        let rows = condition.clone().reshaped(&dims)?;
        return Ok(vec![elementwise::select(&rows, yes, no)?]);
    }
    Ok(vec![elementwise::select(condition, yes, no)?])
}
