//! Attention as one node. Two products of every query with every key, and the projections where
//! the node has them; softmax counts 5 a score.

use super::fact::{Answer, Fact, Op, Rule};

pub(super) fn rule(operator: &str) -> Option<Rule> {
    Some(match operator {
        "Attention" => attention,
        "com.microsoft.Attention" => packed_attention,
        "com.microsoft.MultiHeadAttention" => multi_head_attention,
        "RotaryEmbedding" | "com.microsoft.RotaryEmbedding" => rotary,
        _ => return None,
    })
}

/// FLOPs of `softmax(q k') v`: `queries` and `keys` count all heads' rows once.
fn scores(batch: usize, heads: usize, [queries, keys]: [usize; 2], widths: usize) -> u64 {
    let scores = [heads, queries, keys]
        .iter()
        .fold(batch as u64, |product, &size| product.saturating_mul(size as u64));
    scores.saturating_mul((widths as u64).saturating_mul(2).saturating_add(5))
}

/// ONNX's own since opset 23, without a cache of past keys.
fn attention(op: &Op<'_>) -> Option<Answer> {
    let (query, key, value) = (op.input(0)?, op.dims(1)?, op.dims(2)?);
    if op.has(4) || op.has(5) {
        return None;
    }
    match (query.dims.as_slice(), key, value) {
        (&[batch, heads, queries, width], &[_, _, keys, _], &[_, _, _, width_out]) => {
            let output = query.with_dims(&[batch, heads, queries, width_out]);
            let flops = scores(batch, heads, [queries, keys], width.checked_add(width_out)?);
            Some(Answer::one(output).flops(flops))
        }
        (&[batch, queries, width], &[_, keys, _], &[_, _, width_value]) => {
            let heads = usize::try_from(op.node.int("q_num_heads")?).ok()?;
            let key_heads = usize::try_from(op.node.int("kv_num_heads")?).ok()?;
            let width_out = width_value.checked_div(key_heads)?;
            let output = query.with_dims(&[batch, queries, width_out.checked_mul(heads)?]);
            let widths = width.checked_div(heads)?.checked_add(width_out)?;
            Some(Answer::one(output).flops(scores(batch, heads, [queries, keys], widths)))
        }
        _ => None,
    }
}

/// Projects one input to queries, keys and values by one matrix, without a past.
fn packed_attention(op: &Op<'_>) -> Option<Answer> {
    let input = op.input(0)?;
    let &[batch, length, width] = input.dims.as_slice() else { return None };
    let &[inner, packed] = op.dims(1)? else { return None };
    if op.has(4) || inner != width {
        return None;
    }
    let sizes: Vec<usize> = match op.node.ints("qkv_hidden_sizes") {
        Some(sizes) => {
            sizes.iter().map(|&size| usize::try_from(size).ok()).collect::<Option<_>>()?
        }
        None => vec![packed / 3; 3],
    };
    let &[query_width, _, value_width] = sizes.as_slice() else { return None };
    let output = input.with_dims(&[batch, length, value_width]);
    let projected = Fact::new(input.element_type, &[batch, length, packed]);
    let projection = projected.elements().saturating_mul(width as u64).saturating_mul(2);
    let widths = query_width.checked_add(value_width)?;
    // All heads together: their widths add up to `widths`.
    let flops = scores(batch, 1, [length, length], widths).saturating_add(projection);
    Some(Answer::one(output).flops(flops))
}

/// Takes queries, keys and values, projected already, without a past.
fn multi_head_attention(op: &Op<'_>) -> Option<Answer> {
    let query = op.input(0)?;
    let &[batch, queries, width] = query.dims.as_slice() else { return None };
    let (&[_, keys, _], &[_, _, value_width]) = (op.dims(1)?, op.dims(2)?) else { return None };
    if op.has(6) {
        return None;
    }
    let output = query.with_dims(&[batch, queries, value_width]);
    let flops = scores(batch, 1, [queries, keys], width.checked_add(value_width)?);
    Some(Answer::one(output).flops(flops))
}

/// Turns pairs: three FLOPs for each element.
fn rotary(op: &Op<'_>) -> Option<Answer> {
    let input = op.input(0)?;
    Some(Answer::one(input.with_dims(&input.dims)).flops(input.elements().saturating_mul(3)))
}
