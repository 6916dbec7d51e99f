//! LSTM, GRU and RNN: the products of each step count two FLOPs for each multiplication with its
//! addition; activations are left out.

use super::fact::{Answer, Op, Rule};

pub(super) fn rule(operator: &str) -> Option<Rule> {
    Some(match operator {
        "LSTM" => |op| recurrent(op, 4),
        "GRU" => |op| recurrent(op, 3),
        "RNN" => |op| recurrent(op, 1),
        _ => return None,
    })
}

fn recurrent(op: &Op<'_>, gates: u64) -> Option<Answer> {
    let input = op.input(0)?;
    let batch_first = op.int("layout", 0) != 0;
    let &[first, second, width] = input.dims.as_slice() else { return None };
    let (steps, batch) = if batch_first { (second, first) } else { (first, second) };
    let &[directions, _, hidden] = op.dims(2)? else { return None };
    let (all, last) = if batch_first {
        ([batch, steps, directions, hidden], [batch, directions, hidden])
    } else {
        ([steps, directions, batch, hidden], [directions, batch, hidden])
    };
    let for_each_unit = (width as u64).saturating_add(hidden as u64).saturating_mul(2 * gates);
    let all = input.with_dims(&all);
    let last = input.with_dims(&last);
    let flops = all.elements().saturating_mul(for_each_unit);
    Some(Answer::many(vec![all, last.clone(), last]).flops(flops))
}
