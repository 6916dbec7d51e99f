//! Elements by their places: `take`, `Embedding`, `pick`, `gather_nd`, `one_hot`.
//!
//! Places are often floats; they are cut to integers.

use modelyard_graph::ElementType;

use super::super::infer::axis_of;
use super::super::site::Site;
use super::{Info, Op, Operator, Problem, at, info, kind_of};
use crate::EvaluateError;
use crate::emitter::node;
use crate::reference::{Array, elementwise, index, shape};

pub(super) const TAKE: Operator = Operator {
    names: &["take"],
    infer: |op, inputs| {
        let (table, places) = (info(inputs, 0)?, info(inputs, 1)?);
        let axis = table.axis(op.attributes.int_or("axis", 0)?)?;
        clips(op)?;
        Ok(vec![taken(table, places, axis)])
    },
    convert: convert_take,
    evaluate: |op, inputs| {
        let (table, places) = (at(inputs, 0)?, at(inputs, 1)?);
        let axis = axis_of(op.attributes.int_or("axis", 0)?, table.rank())?;
        let size = table.dims()[axis] as i64;
        let places = match clips(op)? {
            true => within(places, size)?,
            false => elementwise::map_ints(&integers(places)?, |at| at.rem_euclid(size.max(1)))?,
        };
        Ok(vec![index::gather(table, &places, axis as i64)?])
    },
};

pub(super) const EMBEDDING: Operator = Operator {
    names: &["Embedding"],
    infer: |_, inputs| {
        let (places, table) = (info(inputs, 0)?, info(inputs, 1)?);
        match table.rank() {
            2 => Ok(vec![taken(table, places, 0)]),
            _ => Err(Problem::shape(format!("a table of shape {:?}", table.dims))),
        }
    },
    convert: |site| {
        let from = site.kind()?;
        let (places, table) = (site.input(0)?, site.input(1)?);
        let places = site.cast_from(&places, from, ElementType::Int64);
        Ok(vec![site.op("Gather", &[&table, &places])])
    },
    evaluate: |_, inputs| {
        let table = at(inputs, 1)?;
        let rows = table.dims().first().copied().unwrap_or(0) as i64;
        Ok(vec![index::gather(table, &within(at(inputs, 0)?, rows)?, 0)?])
    },
};

pub(super) const PICK: Operator = Operator {
    names: &["pick", "choose_element_0index"],
    infer: |op, inputs| {
        let (input, places) = (info(inputs, 0)?, info(inputs, 1)?);
        let axis = input.axis(op.attributes.int_or("axis", -1)?)?;
        clips(op)?;
        let mut dims = input.dims.clone();
        dims.remove(axis);
        if places.len()? != dims.iter().product::<usize>() {
            let (one, two) = (&input.dims, &places.dims);
            return Err(Problem::shape(format!("places of shape {two:?} for {one:?}")));
        }
        if op.attributes.flag_or("keepdims", false)? {
            dims.insert(axis, 1);
        }
        if dims.is_empty() {
            dims.push(1);
        }
        Ok(vec![Info { dims, kind: input.kind }])
    },
    convert: convert_pick,
    evaluate: evaluate_pick,
};

pub(super) const GATHER: Operator = Operator {
    names: &["gather_nd"],
    infer: |_, inputs| {
        let (input, places) = (info(inputs, 0)?, info(inputs, 1)?);
        let wrong = || Problem::shape(format!("places {:?} in {:?}", places.dims, input.dims));
        let (&depth, outer) = places.dims.split_first().ok_or_else(wrong)?;
        let inner = input.dims.get(depth..).ok_or_else(wrong)?;
        let dims = [outer, inner].concat();
        Ok(vec![Info { dims, kind: input.kind }])
    },
    convert: |site| {
        let (from, rank) = (site.known(1)?.kind, site.known(1)?.rank() as i64);
        let (x, places) = (site.input(0)?, site.input(1)?);
        let places = site.cast_from(&places, from, ElementType::Int64);
        let order: Vec<i64> = (1..rank).chain([0]).collect();
        let places = site.transpose(&places, &order);
        Ok(vec![site.op("GatherND", &[&x, &places])])
    },
    evaluate: |_, inputs| {
        let places = integers(at(inputs, 1)?)?;
        let order: Vec<usize> = (1..places.rank()).chain([0]).collect();
        let places = shape::transpose(&places, &order)?;
        Ok(vec![index::gather_nd(at(inputs, 0)?, &places, 0)?])
    },
};

pub(super) const ONE_HOT: Operator = Operator {
    names: &["one_hot"],
    infer: |op, inputs| {
        let mut found = info(inputs, 0)?.clone();
        found.dims.push(op.attributes.need_count("depth")?);
        found.kind = kind_of(op.attributes, "dtype")?.unwrap_or(ElementType::Float32);
        found.len()?;
        Ok(vec![found])
    },
    convert: |site| {
        let (from, to) = (site.kind()?, site.output(0)?.kind);
        let depth = site.op.attributes.need_int("depth")?;
        let (off, on) = levels(&site.op)?;
        let places = site.input(0)?;
        let places = site.cast_from(&places, from, ElementType::Int64);
        let depth = site.emitter.integer("depth", depth);
        // ONNX Runtime has the operator for few types of elements.
        let kind = if to == ElementType::Int64 { to } else { ElementType::Float32 };
        let levels = site.numbers("levels", kind, &[2], &[off, on]);
        let found = node("OneHot", &[places, depth, levels]).with("axis", -1);
        let found = site.add(found);
        Ok(vec![site.cast_from(&found, kind, to)])
    },
    evaluate: |op, inputs| {
        let kind = kind_of(op.attributes, "dtype")?.unwrap_or(ElementType::Float32);
        let places = integers(at(inputs, 0)?)?;
        let depth = op.attributes.need_count("depth")?;
        Ok(vec![index::one_hot(&places, depth, -1, levels(op)?, kind)?])
    },
};

fn levels(op: &Op<'_>) -> Result<(f64, f64), Problem> {
    Ok((op.attributes.float_or("off_value", 0.0)?, op.attributes.float_or("on_value", 1.0)?))
}

/// Whether places outside are moved to the border, instead of counted around.
fn clips(op: &Op<'_>) -> Result<bool, Problem> {
    match op.attributes.text("mode").unwrap_or("clip") {
        "clip" | "raise" => Ok(true),
        "wrap" => Ok(false),
        other => Err(Problem::shape(format!("there is no mode '{other}'"))),
    }
}

fn taken(table: &Info, places: &Info, axis: usize) -> Info {
    let dims = [&table.dims[..axis], &places.dims, &table.dims[axis + 1..]].concat();
    Info { dims, kind: table.kind }
}

fn integers(places: &Array) -> Result<Array, EvaluateError> {
    elementwise::cast(places, ElementType::Int64)
}

/// Places moved to the border where they are outside.
fn within(places: &Array, size: i64) -> Result<Array, EvaluateError> {
    elementwise::map_ints(&integers(places)?, |at| at.clamp(0, (size - 1).max(0)))
}

/// The same as nodes, along an axis of the first input.
fn placed(
    site: &mut Site<'_>,
    places: &str,
    from: ElementType,
    axis: usize,
) -> Result<String, Problem> {
    let places = site.cast_from(places, from, ElementType::Int64);
    let size = match site.known(0)?.dims.get(axis).copied().flatten() {
        Some(size) => site.emitter.integer("size", size as i64),
        None => {
            let x = site.input(0)?;
            let size = site.shape(&x, axis, axis + 1);
            site.squeeze(&size, &[0])
        }
    };
    if !clips(&site.op)? {
        return Ok(site.op("Mod", &[&places, &size]));
    }
    let (zero, one) = (site.emitter.integer("zero", 0), site.emitter.integer("one", 1));
    let last = site.op("Sub", &[&size, &one]);
    let places = site.op("Max", &[&places, &zero]);
    Ok(site.op("Min", &[&places, &last]))
}

fn convert_take(site: &mut Site<'_>) -> Result<Vec<String>, Problem> {
    let axis = axis_of(site.op.attributes.int_or("axis", 0)?, site.rank()?)?;
    let from = site.known(1)?.kind;
    let (table, places) = (site.input(0)?, site.input(1)?);
    let places = placed(site, &places, from, axis)?;
    Ok(vec![site.add(node("Gather", &[table, places]).with("axis", axis as i64))])
}

fn convert_pick(site: &mut Site<'_>) -> Result<Vec<String>, Problem> {
    let rank = site.rank()?;
    let axis = axis_of(site.op.attributes.int_or("axis", -1)?, rank)?;
    let keep = site.op.attributes.flag_or("keepdims", false)?;
    let (from, other) = (site.known(1)?.kind, site.known(1)?.rank());
    let (x, mut places) = (site.input(0)?, site.input(1)?);
    places = placed(site, &places, from, axis)?;
    if other < rank {
        places = site.unsqueeze(&places, &[axis as i64]);
    }
    let found = site.add(node("GatherElements", &[x, places]).with("axis", axis as i64));
    let stays = keep || rank == 1;
    Ok(vec![if stays { found } else { site.squeeze(&found, &[axis as i64]) }])
}

fn evaluate_pick(op: &Op<'_>, inputs: &[&Array]) -> Result<Vec<Array>, EvaluateError> {
    let (x, places) = (at(inputs, 0)?, at(inputs, 1)?);
    let axis = axis_of(op.attributes.int_or("axis", -1)?, x.rank())?;
    let size = x.dims()[axis] as i64;
    let mut dims = x.dims().to_vec();
    dims[axis] = 1;
    let places = match clips(op)? {
        true => within(places, size)?,
        false => elementwise::map_ints(&integers(places)?, |at| at.rem_euclid(size.max(1)))?,
    };
    let found = index::gather_elements(x, &places.reshaped(&dims)?, axis as i64)?;
    if !op.attributes.flag_or("keepdims", false)? && dims.len() > 1 {
        dims.remove(axis);
    }
    Ok(vec![found.reshaped(&dims)?])
}
