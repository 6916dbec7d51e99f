//! `SOFTMAX` and `LOG_SOFTMAX`, which go along the last axis.

use modelyard_graph::Node;

use super::super::super::graph::axis;
use super::super::options;
use super::super::stop::{Stop, refused};
use super::super::writer::{Id, Writer};
use super::unary::ends;

pub(super) fn write<'a>(cx: &mut Writer<'a>, node: &'a Node) -> Result<(), Stop> {
    let (input, output) = ends(node)?;
    let rank = cx.known_dims(input)?.len();
    let along = axis(node.int("axis").unwrap_or(-1), rank)
        .ok_or_else(|| refused("an axis that is not there", ""))?;
    if along + 1 == rank {
        let demand = match node.op_type.as_str() {
            "Softmax" => (1.0 / 256.0, -128),
            _ => (16.0 / 256.0, 127),
        };
        let (value, made) = cx.activated(input, output, Some(demand))?;
        softmax(cx, node, value, made);
        return Ok(());
    }
    let mut order: Vec<usize> = (0..rank).collect();
    order.swap(along, rank - 1);
    let value = cx.value(input)?;
    let turned = cx.transposed(value, &order);
    let dims = cx.tensor(turned).dims.clone();
    let result = cx.between("SOFTMAX", turned, &dims);
    softmax(cx, node, turned, result);
    let made = cx.output(output)?;
    let order: Vec<i32> = order.into_iter().map(|axis| axis as i32).collect();
    let order = cx.list(&order);
    cx.plain("TRANSPOSE", &[result, order], made);
    Ok(())
}

fn softmax(cx: &mut Writer<'_>, node: &Node, value: Id, made: Id) {
    match node.op_type.as_str() {
        "Softmax" => cx.with("SOFTMAX", &[Some(value)], &[made], Some(options::softmax())),
        _ => cx.plain("LOG_SOFTMAX", &[value], made),
    }
}
