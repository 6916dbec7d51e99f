//! RNN, GRU, LSTM: the batch may come first since 14.

use super::{Adapter, adapter};
use crate::opset::site::{Refusal, Site};
use crate::{AttributeValue, Node};

pub(super) const ADAPTERS: &[Adapter] = &[
    adapter("RNN", 14, None, Some(down)),
    adapter("GRU", 14, None, Some(down)),
    adapter("LSTM", 14, None, Some(down)),
];

fn down(site: &mut Site<'_>) -> Result<(), Refusal> {
    if site.take("layout").unwrap_or(AttributeValue::Int(0)) == AttributeValue::Int(0) {
        return Ok(());
    }
    let turn =
        |inputs: &[&str], order: &[i64]| Node::new("Transpose", inputs, &[]).with("perm", order);
    // The sequence, and the states before it.
    for index in [0, 5, 6] {
        if let Some(name) = site.node.input(index).map(str::to_owned) {
            let turned = site.add_node(turn(&[&name], &[1, 0, 2]));
            site.set_input(index, turned);
        }
    }
    site.pass_output(0, turn(&[], &[2, 0, 1, 3]));
    site.pass_output(1, turn(&[], &[1, 0, 2]));
    site.pass_output(2, turn(&[], &[1, 0, 2]));
    Ok(())
}
