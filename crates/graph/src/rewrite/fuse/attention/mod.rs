//! Attention as PyTorch's `scaled_dot_product_attention`, Hugging Face and older exports write it:
//! `softmax(scale Q Kᵀ + mask) V` over [batch, heads, rows, width].
//!
//! It becomes ONNX's Attention where the operator set has it, otherwise, for ONNX Runtime,
//! MultiHeadAttention between the projections of queries, keys and values and the one of the
//! result. Exports below operator set 23 that guard against rows in which all is masked out
//! (`IsNaN`, `Where`) lose the guard: only where the mask is finite, so that no row is.
//!
//! What `torch.nn.MultiheadAttention` writes, with all heads along the first of three axes, stays:
//! as one operator it would need transposes that it does not have. The projections stay outside,
//! too: ONNX Runtime 1.28 is not faster where one operator has them (`Attention` of
//! `com.microsoft`, or the bias as an input of MultiHeadAttention).

mod find;
mod put;

use super::super::Options;
use super::super::net::Net;
use super::Target;
use find::{find, pattern};

/// The operator set that has Attention.
const STANDARD_OPSET: i64 = 23;

/// Softmax is over one axis since operator set 13, Shape gives single sizes since 15.
const OLDEST_OPSET: i64 = 15;

pub(in crate::rewrite) fn run(net: &mut Net, options: &Options) -> bool {
    let Some(target) = options.fuse else { return false };
    let is_standard = net.opset >= STANDARD_OPSET;
    if net.opset < OLDEST_OPSET || (!is_standard && target != Target::OnnxRuntime) {
        return false;
    }
    let pattern = pattern();
    let mut changed = false;
    for id in net.node_ids() {
        let found = net.op(id).and_then(|op| find(net, &pattern, op.single_output()?));
        let Some(attention) = found else { continue };
        changed |= if is_standard {
            put::standard(net, id, attention)
        } else {
            put::multi_head(net, id, attention)
        };
    }
    changed
}
