//! `topk`, `argsort` and `sort`.

use modelyard_graph::ElementType;

use super::super::infer::axis_of;
use super::super::site::Site;
use super::{Info, Op, Operator, Problem, at, info, kind_of};
use crate::EvaluateError;
use crate::emitter::node;
use crate::reference::{Array, elementwise, index};

pub(super) const OPERATOR: Operator =
    Operator { names: &["topk", "argsort", "sort"], infer, convert, evaluate };

struct Order {
    axis: usize,
    /// How many; `None`: all.
    count: Option<usize>,
    ascending: bool,
    values: bool,
    places: bool,
    /// The type of places.
    kind: ElementType,
}

fn order(op: &Op<'_>, rank: usize) -> Result<Order, Problem> {
    let attributes = op.attributes;
    let top = op.operator == "topk";
    if attributes.says_none("axis") {
        let way_out = "reshape it to one axis first";
        return Err(Problem::refused("order among all elements", way_out));
    }
    let count = if top { attributes.int_or("k", 1)? } else { 0 };
    let kinds = match (op.operator, attributes.text("ret_typ").unwrap_or("indices")) {
        ("argsort", _) | ("topk", "indices") => (false, true),
        ("sort", _) | ("topk", "value") => (true, false),
        ("topk", "both") => (true, true),
        (_, other) => {
            return Err(Problem::refused(format!("ret_typ '{other}'"), "use 'both'"));
        }
    };
    Ok(Order {
        axis: axis_of(attributes.int_or("axis", -1)?, rank)?,
        count: usize::try_from(count).ok().filter(|&count| count > 0),
        ascending: attributes.flag_or("is_ascend", !top)?,
        values: kinds.0,
        places: kinds.1,
        kind: kind_of(attributes, "dtype")?.unwrap_or(ElementType::Float32),
    })
}

fn infer(op: &Op<'_>, inputs: &[Info]) -> Result<Vec<Info>, Problem> {
    let input = info(inputs, 0)?;
    let order = order(op, input.rank())?;
    let size = input.dims[order.axis];
    let count = order.count.unwrap_or(size);
    if count > size {
        return Err(Problem::shape(format!("the first {count} of {size}")));
    }
    let mut dims = input.dims.clone();
    dims[order.axis] = count;
    let values = Info { dims: dims.clone(), kind: input.kind };
    let places = Info { dims, kind: order.kind };
    let both = [(order.values, values), (order.places, places)];
    Ok(both.into_iter().filter(|(wanted, _)| *wanted).map(|(_, info)| info).collect())
}

fn convert(site: &mut Site<'_>) -> Result<Vec<String>, Problem> {
    let order = order(&site.op, site.rank()?)?;
    let x = site.input(0)?;
    let size = site.known(0)?.dims.get(order.axis).copied().flatten();
    let count = match order.count.or(size) {
        Some(count) => site.ints("count", &[count as i64]),
        None => site.shape(&x, order.axis, order.axis + 1),
    };
    let found = node("TopK", &[x, count])
        .with("axis", order.axis as i64)
        .with("largest", i64::from(!order.ascending))
        .with("sorted", 1);
    let found = site.emitter.add_many(found, 2);
    let mut outputs = Vec::new();
    if let [values, places] = found.as_slice() {
        if order.values {
            outputs.push(values.clone());
        }
        if order.places {
            outputs.push(site.cast_from(places, ElementType::Int64, order.kind));
        }
    }
    Ok(outputs)
}

fn evaluate(op: &Op<'_>, inputs: &[&Array]) -> Result<Vec<Array>, EvaluateError> {
    let x = at(inputs, 0)?;
    let order = order(op, x.rank())?;
    let count = order.count.unwrap_or(x.dims()[order.axis]);
    let (values, places) = index::top_k(x, count, order.axis as i64, !order.ascending)?;
    let mut outputs = Vec::new();
    if order.values {
        outputs.push(values);
    }
    if order.places {
        outputs.push(elementwise::cast(&places, order.kind)?);
    }
    Ok(outputs)
}
