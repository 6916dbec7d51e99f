//! Several values become one, or one becomes several.

use modelyard_tensor::Dim;
use serde_json::Value as Json;

use crate::emitter::node;
use crate::keras::argument::Argument;
use crate::keras::converter::Converter;
use crate::keras::fault::Fault;
use crate::keras::functions::Entry;
use crate::keras::functions::bound::Bound;
use crate::keras::value::{Value, axis_of};
use crate::reference::elementwise::add;
use crate::reference::shape;

/// The functions.
pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        names: &["Concatenate"],
        parameters: &["xs", "axis"],
        convert: |bound, to| {
            let values = all(bound, "xs")?;
            let axis = axis(bound, values[0].rank())?;
            Ok(vec![to.concat(&values, axis)?])
        },
        evaluate: |bound| {
            let arrays = bound.values("xs")?;
            Ok(vec![shape::concat(&arrays, bound.integer("axis")?.unwrap_or(0))?])
        },
    },
    Entry {
        names: &["Stack"],
        parameters: &["x", "axis"],
        convert: |bound, to| {
            let values = all(bound, "x")?;
            let axis = axis(bound, values[0].rank() + 1)?;
            let taller: Vec<Value> =
                values.iter().map(|value| to.unsqueeze(value, &[axis])).collect();
            Ok(vec![to.concat(&taller, axis)?])
        },
        evaluate: |bound| {
            let arrays = bound.values("x")?;
            Ok(vec![shape::stack(&arrays, bound.integer("axis")?.unwrap_or(0))?])
        },
    },
    Entry {
        names: &["AddN"],
        parameters: &["xs"],
        convert: |bound, to| {
            let values = all(bound, "xs")?;
            let mut sum = values[0].clone();
            for value in &values[1..] {
                sum = to.binary("Add", &sum, value)?;
            }
            Ok(vec![sum])
        },
        evaluate: |bound| {
            let arrays = bound.values("xs")?;
            let mut sum = arrays.first().copied().cloned();
            for array in arrays.iter().skip(1) {
                sum = sum.map(|sum| add(&sum, array)).transpose()?;
            }
            Ok(sum.into_iter().collect())
        },
    },
    Entry {
        names: &["Split"],
        parameters: &["x", "indices_or_sections", "axis"],
        convert: |bound, to| {
            let x = bound.value("x")?;
            let axis = axis(bound, x.rank())?;
            let sizes = sizes(bound, x.size(axis))?;
            split(x, axis, &sizes, to)
        },
        evaluate: |bound| {
            let x = bound.value("x")?;
            let axis = axis(bound, x.rank())?;
            let sizes = sizes(bound, x.dims().get(axis).copied())?;
            shape::split(x, axis as i64, &sizes)
        },
    },
    Entry {
        // As TensorFlow has it: a number of parts, or their sizes.
        names: &["SplitSizes"],
        parameters: &["x", "sizes", "axis"],
        convert: |bound, to| {
            let x = bound.value("x")?;
            let axis = axis(bound, x.rank())?;
            let sizes = given_sizes(bound, x.size(axis))?;
            split(x, axis, &sizes, to)
        },
        evaluate: |bound| {
            let x = bound.value("x")?;
            let axis = axis(bound, x.rank())?;
            let sizes = given_sizes(bound, x.dims().get(axis).copied())?;
            shape::split(x, axis as i64, &sizes)
        },
    },
    Entry {
        names: &["Unstack"],
        parameters: &["x", "num", "axis"],
        convert: |bound, to| {
            let x = bound.value("x")?;
            let axis = axis(bound, x.rank())?;
            let count = x.size(axis).filter(|&count| count <= PARTS_MAX).ok_or_else(unknown)?;
            let parts = split(x, axis, &vec![1; count], to)?;
            Ok(parts.iter().map(|part| to.squeeze(part, &[axis])).collect())
        },
        evaluate: |bound| shape::unstack(bound.value("x")?, bound.integer("axis")?.unwrap_or(0)),
    },
];

/// More parts make a graph that nobody wants.
const PARTS_MAX: usize = 4096;

fn unknown() -> Fault {
    Fault::unsupported(
        format!("parts of an axis whose size is not known, or more than {PARTS_MAX},"),
        "give the axis a fixed size",
    )
}

fn all(bound: &Bound<Value>, name: &str) -> Result<Vec<Value>, Fault> {
    let values: Vec<Value> = bound.values(name)?.into_iter().cloned().collect();
    let listed = match bound.need(name)? {
        Argument::List(items) => items.len(),
        _ => values.len(),
    };
    if values.is_empty() || listed != values.len() {
        return Err(Fault::unsupported("constants among tensors", "join tensors only"));
    }
    Ok(values)
}

fn axis<V>(bound: &Bound<V>, rank: usize) -> Result<usize, Fault> {
    let axis = bound.integer("axis")?.unwrap_or(0);
    axis_of(axis, rank).ok_or_else(|| {
        Fault::malformed(format!("expected an axis of {rank} dimensions, found {axis}"))
    })
}

/// Sizes of equal parts, or of the parts between indices, as NumPy has them.
fn sizes<V>(bound: &Bound<V>, size: Option<usize>) -> Result<Vec<usize>, Fault> {
    let size = size.ok_or_else(unknown)?;
    let json = bound.json("indices_or_sections")?.unwrap_or(Json::Null);
    if json.is_array() {
        let cuts = bound.integers("indices_or_sections")?.unwrap_or_default();
        let mut before = 0;
        let mut sizes = Vec::with_capacity(cuts.len() + 1);
        for cut in cuts.iter().map(|&cut| axis_of(cut, size).unwrap_or(size)).chain([size]) {
            let part = cut.checked_sub(before);
            sizes.push(part.ok_or_else(|| Fault::malformed("expected indices in order"))?);
            before = cut;
        }
        return Ok(sizes);
    }
    let count = bound.integer("indices_or_sections")?;
    equal(count, size)
}

fn equal(count: Option<i64>, size: usize) -> Result<Vec<usize>, Fault> {
    let count = count.and_then(|count| usize::try_from(count).ok());
    let fits = |count: &usize| {
        (1..=PARTS_MAX).contains(count) && *count <= size && size.is_multiple_of(*count)
    };
    let count = count.filter(fits);
    let count = count.ok_or_else(|| {
        Fault::malformed(format!("expected a divisor of {size} as number of parts"))
    })?;
    Ok(vec![size / count; count])
}

fn given_sizes<V>(bound: &Bound<V>, size: Option<usize>) -> Result<Vec<usize>, Fault> {
    let size = size.ok_or_else(unknown)?;
    if !bound.json("sizes")?.is_some_and(|json| json.is_array()) {
        return equal(bound.integer("sizes")?, size);
    }
    let sizes = bound.integers("sizes")?.unwrap_or_default();
    let known: i64 = sizes.iter().filter(|&&size| size >= 0).sum();
    let rest = i64::try_from(size).unwrap_or(i64::MAX).saturating_sub(known).max(0);
    let sizes = sizes.iter().map(|&size| if size < 0 { rest } else { size });
    Ok(sizes.map(|size| usize::try_from(size).unwrap_or(0)).collect())
}

fn split(
    x: &Value,
    axis: usize,
    sizes: &[usize],
    to: &mut Converter<'_>,
) -> Result<Vec<Value>, Fault> {
    if x.size(axis) != sizes.iter().try_fold(0usize, |sum, &size| sum.checked_add(size)) {
        return Err(Fault::malformed(format!("the parts {sizes:?} are not all of the axis")));
    }
    let list: Vec<i64> = sizes.iter().map(|&size| size as i64).collect();
    let list = to.emitter.integers("split", &list);
    let split = node("Split", &[&x.name, &list]).with("axis", axis as i64);
    let names = to.emitter.add_many(split, sizes.len());
    let parts = names.into_iter().zip(sizes).map(|(name, &size)| {
        let mut dims = x.dims.clone();
        dims[axis] = Dim::Fixed(size);
        to.value(name, dims, x.element_type)
    });
    Ok(parts.collect())
}
