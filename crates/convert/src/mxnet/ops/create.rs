//! Arrays out of nothing, and shapes as arrays.

use modelyard_graph::ElementType;

use super::super::site::Site;
use super::{Info, Op, Operator, Problem, at, info, kind_of};
use crate::EvaluateError;
use crate::emitter::node;
use crate::reference::Array;

pub(super) const FILL: Operator = Operator {
    names: &["_zeros", "_ones", "_full", "_npi_zeros", "_npi_ones"],
    infer: |op, _| {
        let dims = op.attributes.ints("shape")?.unwrap_or_default();
        let dims = op.attributes.sizes("shape", dims.len(), 1)?;
        let found = Info::new(kind(op)?, &dims);
        found.len()?;
        Ok(vec![found])
    },
    convert: |site| {
        let (value, kind) = (value(&site.op)?, site.output(0)?.kind);
        let dims = site.op.attributes.ints("shape")?.unwrap_or_default();
        let dims = site.ints("shape", &dims);
        let number = site.number("value", kind, value);
        Ok(vec![site.op("Expand", &[&number, &dims])])
    },
    evaluate: |op, _| {
        let dims = op.attributes.ints("shape")?.unwrap_or_default();
        let dims = op.attributes.sizes("shape", dims.len(), 1)?;
        filled(kind(op)?, &dims, value(op)?)
    },
};

pub(super) const LIKE: Operator = Operator {
    names: &["zeros_like", "ones_like", "full_like", "_npi_full_like"],
    infer: |op, inputs| {
        let input = info(inputs, 0)?;
        let kind = kind_of(op.attributes, "dtype")?.unwrap_or(input.kind);
        Ok(vec![Info { dims: input.dims.clone(), kind }])
    },
    convert: |site| {
        let (value, kind) = (value(&site.op)?, site.output(0)?.kind);
        let sizes = site.sizes_of(0)?;
        let dims = site.list(&sizes);
        let number = site.number("value", kind, value);
        Ok(vec![site.op("Expand", &[&number, &dims])])
    },
    evaluate: |op, inputs| {
        let x = at(inputs, 0)?;
        let kind = kind_of(op.attributes, "dtype")?.unwrap_or(x.element_type());
        filled(kind, x.dims(), value(op)?)
    },
};

pub(super) const RANGE: Operator = Operator {
    names: &["_arange", "_npi_arange", "_contrib_arange_like", "_linspace"],
    infer: |op, inputs| {
        let count = count(op, inputs.first().map(|input| input.dims.as_slice()))?;
        let dims = match whole(op, inputs.len())? {
            true => info(inputs, 0)?.dims.clone(),
            false => vec![count],
        };
        let kind = match inputs.first() {
            Some(input) => input.kind,
            None => kind(op)?,
        };
        Ok(vec![Info { dims, kind }])
    },
    convert: convert_range,
    evaluate: evaluate_range,
};

pub(super) const SHAPE: Operator = Operator {
    names: &["shape_array", "size_array"],
    infer: |op, inputs| {
        let rank = info(inputs, 0)?.rank();
        let count = if op.operator == "shape_array" { rank } else { 1 };
        Ok(vec![Info::new(ElementType::Int64, &[count])])
    },
    convert: |site| {
        if site.op.operator == "size_array" {
            let x = site.input(0)?;
            let size = site.op("Size", &[&x]);
            return Ok(vec![site.unsqueeze(&size, &[0])]);
        }
        let sizes = site.sizes_of(0)?;
        Ok(vec![site.list(&sizes)])
    },
    evaluate: |op, inputs| {
        let x = at(inputs, 0)?;
        let values: Vec<i64> = match op.operator {
            "shape_array" => x.dims().iter().map(|&size| size as i64).collect(),
            _ => vec![x.len() as i64],
        };
        Ok(vec![Array::ints(&[values.len()], values)?])
    },
};

fn kind(op: &Op<'_>) -> Result<ElementType, Problem> {
    Ok(kind_of(op.attributes, "dtype")?.unwrap_or(ElementType::Float32))
}

fn value(op: &Op<'_>) -> Result<f64, Problem> {
    match op.operator {
        "_full" => op.attributes.float_or("value", 0.0),
        "full_like" | "_npi_full_like" => op.attributes.float_or("fill_value", 0.0),
        name => Ok(f64::from(name.contains("ones"))),
    }
}

fn filled(kind: ElementType, dims: &[usize], value: f64) -> Result<Vec<Array>, EvaluateError> {
    let count = crate::reference::layout::elements(dims)?;
    Ok(vec![Array::from_f64s(kind, dims, vec![value; count])?])
}

/// Whether a range counts all elements of its input, and has its shape.
fn whole(op: &Op<'_>, inputs: usize) -> Result<bool, Problem> {
    Ok(inputs > 0 && op.attributes.int("axis")?.is_none())
}

/// Most numbers of a range.
const MOST: f64 = (1u64 << 31) as f64;

/// First number, distance, and how often each comes.
fn steps(op: &Op<'_>) -> Result<(f64, f64, usize), Problem> {
    let attributes = op.attributes;
    let start = attributes.float_or("start", 0.0)?;
    let repeat = attributes.count_or("repeat", 1)?.max(1);
    if op.operator != "_linspace" {
        return Ok((start, attributes.float_or("step", 1.0)?, repeat));
    }
    let stop = attributes.float_or("stop", 0.0)?;
    let intervals = attributes
        .need_count("num")?
        .saturating_sub(usize::from(attributes.flag_or("endpoint", true)?));
    Ok((start, (stop - start) / intervals.max(1) as f64, 1))
}

/// How many numbers, for an input of these sizes.
fn count(op: &Op<'_>, dims: Option<&[usize]>) -> Result<usize, Problem> {
    let attributes = op.attributes;
    if op.operator == "_linspace" {
        return attributes.need_count("num");
    }
    if let Some(dims) = dims {
        return match attributes.int("axis")? {
            Some(axis) => Ok(dims[super::super::infer::axis_of(axis, dims.len())?]),
            None => Info::new(ElementType::Float32, dims).len(),
        };
    }
    let (start, step, repeat) = steps(op)?;
    let (start, stop) = match attributes.text("stop") {
        Some(_) => (start, attributes.float_or("stop", 0.0)?),
        None => (0.0, start),
    };
    let count = ((stop - start) / step).ceil().max(0.0) * repeat as f64;
    match count.is_finite() && count <= MOST {
        true => Ok(count as usize),
        false => Err(Problem::shape(format!("a range of {count} numbers"))),
    }
}

/// The numbers. Where only one bound is given, it is the end.
fn numbers(op: &Op<'_>, count: usize, with_input: bool) -> Result<Vec<f64>, Problem> {
    let (start, step, repeat) = steps(op)?;
    let no_stop = op.attributes.text("stop").is_none() && op.operator != "_linspace";
    let start = if no_stop && !with_input { 0.0 } else { start };
    Ok((0..count).map(|index| start + (index / repeat) as f64 * step).collect())
}

fn convert_range(site: &mut Site<'_>) -> Result<Vec<String>, Problem> {
    let kind = site.output(0)?.kind;
    let with_input = !site.inputs.is_empty();
    let Some(dims) = site.output(0)?.fixed() else { return free_range(site, kind) };
    let values = numbers(&site.op, dims.iter().product(), with_input)?;
    Ok(vec![site.numbers("range", kind, &dims, &values)])
}

/// As many numbers as a free axis of the input has.
fn free_range(site: &mut Site<'_>, kind: ElementType) -> Result<Vec<String>, Problem> {
    let (start, step, repeat) = steps(&site.op)?;
    let axis = site.op.attributes.int("axis")?;
    let (Some(axis), 1) = (axis, repeat) else {
        return Err(Problem::FreeSize("a range over a free number of elements".into()));
    };
    let axis = super::super::infer::axis_of(axis, site.rank()?)?;
    let x = site.input(0)?;
    let count = site.shape(&x, axis, axis + 1);
    let count = site.squeeze(&count, &[0]);
    let (zero, one) = (site.emitter.integer("zero", 0), site.emitter.integer("one", 1));
    let range = site.add(node("Range", &[&zero, &count, &one]));
    let range = site.cast(&range, kind);
    let step = site.number("step", kind, step);
    let start = site.number("start", kind, start);
    let scaled = site.op("Mul", &[&range, &step]);
    Ok(vec![site.op("Add", &[&scaled, &start])])
}

fn evaluate_range(op: &Op<'_>, inputs: &[&Array]) -> Result<Vec<Array>, EvaluateError> {
    let input = inputs.first();
    let count = count(op, input.map(|input| input.dims()))?;
    let values = numbers(op, count, input.is_some())?;
    let dims = match input {
        Some(input) if whole(op, 1)? => input.dims().to_vec(),
        _ => vec![count],
    };
    let kind = match input {
        Some(input) => input.element_type(),
        None => kind(op)?,
    };
    Ok(vec![Array::from_f64s(kind, &dims, values)?])
}
