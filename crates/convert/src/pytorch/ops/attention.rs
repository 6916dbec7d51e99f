//! Attention: `softmax(q kᵀ * scale + mask) v`, kept as one operator by PyTorch.

use modelyard_graph::ElementType;

use super::{Operator, operator};
use crate::emitter::node;
use crate::pytorch::convert::{Call, Extent, Refusal, Scalar, Tensor};
use crate::pytorch::evaluate::{Eval, Outcome, Value};
use crate::pytorch::graph::Size;
use crate::reference::attention::{Attention, attention};
use crate::reference::{Array, elementwise, shape};

const PLAIN: &str = "query key value attn_mask dropout_p is_causal scale enable_gqa";
const CPU: &str = "query key value dropout_p is_causal attn_mask scale";
const EFFICIENT: &str = "query key value attn_bias compute_log_sumexp dropout_p is_causal scale";
const FLASH: &str = "query key value dropout_p is_causal return_debug_mask scale";

pub(super) const OPERATORS: &[Operator] = &[
    operator("aten.scaled_dot_product_attention.default", PLAIN, convert, evaluate),
    operator("aten._scaled_dot_product_flash_attention_for_cpu.default", CPU, convert, evaluate),
    operator("aten._scaled_dot_product_efficient_attention.default", EFFICIENT, convert, evaluate),
    operator("aten._scaled_dot_product_flash_attention.default", FLASH, convert, evaluate),
];

/// The name of the mask in the schema.
fn mask_name(operator: &str) -> &'static str {
    if operator.contains("efficient") { "attn_bias" } else { "attn_mask" }
}

fn convert(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let (query, key, value) = (call.tensor("query")?, call.tensor("key")?, call.tensor("value")?);
    if call.float_or("dropout_p", 0.0)? != 0.0 {
        return Err(Refusal::new(
            "dropout, as in training",
            "call `model.eval()` before the export",
        ));
    }
    let mask = call.optional(mask_name(call.operator()))?;
    let kind = query.element_type;
    let width = query.sizes.last().and_then(Size::known);
    let scale = match (call.scalar("scale")?, width) {
        (Some(scale), _) => scale.as_f64(),
        (None, Some(width)) => (width as f64).sqrt().recip(),
        (None, None) => return Err(Refusal::new("heads of unknown width", "give the scale")),
    };
    let (key, value) = match call.bool_or("enable_gqa", false)? {
        true => (shared_heads(call, &query, &key)?, shared_heads(call, &query, &value)?),
        false => (key.name.clone(), value.name.clone()),
    };
    let rank = query.rank();
    let mut order: Vec<usize> = (0..rank).collect();
    if rank >= 2 {
        order.swap(rank - 1, rank - 2);
    }
    let turned = call.to.transpose(&key, &order);
    let factor = call.to.float(scale, kind);
    let scaled = call.to.emit("Mul", &[&query.name, &factor]);
    let mut scores = call.to.emit("MatMul", &[&scaled, &turned]);
    if call.bool_or("is_causal", false)? {
        let key_sizes = call.tensor("key")?;
        let bias = causal_bias(call, &query, &key_sizes);
        scores = call.to.emit("Add", &[&scores, &bias]);
    }
    let mut is_boolean = false;
    if let Some(mask) = &mask {
        is_boolean = mask.element_type == ElementType::Bool;
        let bias = additive(call, mask, kind);
        scores = call.to.emit("Add", &[&scores, &bias]);
    }
    let weights = call.to.emit_node(node("Softmax", &[&scores]).with("axis", -1i64));
    let weights = match is_boolean {
        true => without_empty_rows(call, &weights, kind),
        false => weights,
    };
    let result = call.to.emit("MatMul", &[&weights, &value]);
    call.give(0, result);
    Ok(())
}

/// Queries that may look at nothing get zeros instead of what is no number.
fn without_empty_rows(call: &mut Call<'_, '_>, weights: &str, kind: ElementType) -> String {
    let is_empty = call.to.emit("IsNaN", &[weights]);
    let zero = call.to.float(0.0, kind);
    call.to.emit("Where", &[&is_empty, &zero, weights])
}

/// A mask as what is added to the scores: booleans say what may be looked at.
fn additive(call: &mut Call<'_, '_>, mask: &Tensor, kind: ElementType) -> String {
    if mask.element_type != ElementType::Bool {
        return call.to.cast(&mask.name, mask.element_type, kind);
    }
    let (zero, lowest) = (call.to.float(0.0, kind), call.to.float(f64::NEG_INFINITY, kind));
    call.to.emit("Where", &[&mask.name, &zero, &lowest])
}

/// -inf where a key stands behind the query.
fn causal_bias(call: &mut Call<'_, '_>, query: &Tensor, key: &Tensor) -> String {
    let kind = query.element_type;
    let last = query.rank().saturating_sub(2);
    let (rows, columns) = (call.to.size(query, last), call.to.size(key, last));
    let all = call.to.filled(&[rows, columns], Scalar::Float(f64::NEG_INFINITY), kind);
    let above = call.to.emitter.integer("above", 1);
    call.to.emit_node(node("Trilu", &[&all, &above]).with("upper", 1i64))
}

/// Keys or values whose heads are shared by several queries, each repeated for these.
fn shared_heads(
    call: &mut Call<'_, '_>,
    query: &Tensor,
    shared: &Tensor,
) -> Result<String, Refusal> {
    let Some(axis) = query.rank().checked_sub(3).filter(|_| shared.rank() == query.rank()) else {
        return Err(Refusal::new("shared heads of tensors without heads", ""));
    };
    let heads = |tensor: &Tensor| tensor.sizes.get(axis).and_then(Size::known);
    let (Some(wanted), Some(own)) = (heads(query), heads(shared)) else {
        return Err(Refusal::new("an unknown number of heads", "export it with a fixed number"));
    };
    if own == wanted || own <= 0 {
        return Ok(shared.name.clone());
    }
    let wide = call.to.unsqueeze(&shared.name, &[axis as i64 + 1]);
    let mut repeats = vec![Extent::Known(1); shared.rank() + 1];
    if let Some(repeat) = repeats.get_mut(axis + 1) {
        *repeat = Extent::Known(wanted / own);
    }
    let repeats = call.to.shape(&repeats);
    let repeated = call.to.emit("Expand", &[&wide, &repeats]);
    let mut shape = call.to.sizes(shared);
    if let Some(size) = shape.get_mut(axis) {
        *size = Extent::Known(wanted);
    }
    let sizes: Vec<Size> = (0..shared.rank())
        .map(|at| if at == axis { wanted.into() } else { shared.sizes[at].clone() })
        .collect();
    // One axis longer than it becomes: nothing to copy sizes from at the same place behind it.
    let from = Tensor { name: repeated, element_type: shared.element_type, sizes: Vec::new() };
    Ok(call.to.reshape(&from, &sizes, Some(&shape)))
}

fn evaluate(eval: &mut Eval<'_, '_>) -> Outcome {
    let (query, key, value) = (eval.tensor("query")?, eval.tensor("key")?, eval.tensor("value")?);
    let mask = eval.optional(mask_name(eval.operator()))?;
    let causal = eval.bool_or("is_causal", false)?;
    let scale = if eval.has("scale") { Some(eval.float_or("scale", 1.0)?) } else { None };
    let heads = |array: &Array| array.rank().checked_sub(3).map(|axis| array.dims()[axis]);
    let shared = eval.bool_or("enable_gqa", false)?;
    let repeated = |array: &Array| match (heads(array), heads(&query)) {
        (Some(own), Some(wanted)) if shared && own > 0 && own != wanted => {
            repeat_heads(array, wanted / own)
        }
        _ => Ok(array.clone()),
    };
    let how = Attention { mask: mask.as_deref(), causal, scale };
    let result = attention(&query, &repeated(&key)?, &repeated(&value)?, how)?;
    // A query that may look at nothing gets zeros.
    let result = match mask {
        Some(_) => {
            elementwise::map_floats(&result, |value| if value.is_nan() { 0.0 } else { value })?
        }
        None => result,
    };
    let mut results = vec![Value::from(result)];
    results.resize_with(eval.outputs().max(1), || Value::None);
    Ok(results)
}

/// Each head `count` times, one behind the other.
fn repeat_heads(array: &Array, count: usize) -> Result<Array, crate::EvaluateError> {
    let axis = array.rank() as i64 - 3;
    let mut repeats = vec![1; array.rank() + 1];
    repeats[axis as usize + 1] = count;
    let tiled = shape::tile(&shape::expand_dims(array, &[axis + 1])?, &repeats)?;
    let mut dims = array.dims().to_vec();
    dims[axis as usize] *= count;
    tiled.reshaped(&dims)
}
