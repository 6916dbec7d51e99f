//! Parts of a value.

use modelyard_graph::ElementType;
use modelyard_tensor::Dim;
use serde_json::Value as Json;

use crate::EvaluateError;
use crate::emitter::node;
use crate::keras::argument::Argument;
use crate::keras::config::integer;
use crate::keras::converter::{Converter, sliced};
use crate::keras::fault::Fault;
use crate::keras::functions::Entry;
use crate::keras::functions::bound::Bound;
use crate::keras::functions::operands::{array, value};
use crate::keras::value::{Value, axis_of, derived};
use crate::reference::elementwise::cast;
use crate::reference::shape::Range;
use crate::reference::{Array, index, shape};

/// The functions.
pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        names: &["GetItem"],
        parameters: &["x", "key"],
        convert: |bound, to| {
            let x = bound.value("x")?;
            let parts = parts(bound.need("key")?)?;
            Ok(vec![get_item(x, &plan(&parts, x.rank())?, to)])
        },
        evaluate: |bound| {
            let x = bound.value("x")?;
            let parts = parts(bound.need("key")?)?;
            Ok(vec![evaluate_item(x, &plan(&parts, x.rank())?)?])
        },
    },
    Entry {
        names: &["Take"],
        parameters: &["x", "indices", "axis"],
        convert: take,
        evaluate: |bound| {
            let x = array(bound, "x")?;
            let indices = cast(&array(bound, "indices")?, ElementType::Int64)?;
            match bound.integer("axis")? {
                Some(axis) => Ok(vec![index::gather(&x, &indices, axis)?]),
                None => {
                    let count = x.len();
                    Ok(vec![index::gather(&x.reshaped(&[count])?, &indices, 0)?])
                }
            }
        },
    },
    Entry {
        names: &["TakeAlongAxis"],
        parameters: &["x", "indices", "axis"],
        convert: |bound, to| {
            let x = bound.value("x")?;
            let axis = along(bound, x.rank())?;
            let indices = value(bound, "indices", to)?;
            let indices = to.cast(&indices, ElementType::Int64);
            let name =
                to.add(node("GatherElements", &[&x.name, &indices.name]).with("axis", axis as i64));
            Ok(vec![to.value(name, indices.dims.clone(), x.element_type)])
        },
        evaluate: |bound| {
            let x = bound.value("x")?;
            let axis = along(bound, x.rank())? as i64;
            let indices = cast(&array(bound, "indices")?, ElementType::Int64)?;
            Ok(vec![index::gather_elements(x, &indices, axis)?])
        },
    },
    Entry {
        names: &["Cumsum"],
        parameters: &["x", "axis"],
        convert: |bound, to| {
            let x = bound.value("x")?;
            let axis = along(bound, x.rank())?;
            let axis = to.emitter.integer("axis", axis as i64);
            let name = to.op("CumSum", &[&x.name, &axis]);
            Ok(vec![to.like(x, name)])
        },
        evaluate: |bound| {
            let x = bound.value("x")?;
            let axis = along(bound, x.rank())? as i64;
            Ok(vec![index::cumsum(x, axis, index::Running::default())?])
        },
    },
    Entry {
        names: &["TopK"],
        parameters: &["x", "k", "sorted"],
        convert: |bound, to| {
            let x = bound.value("x")?;
            let (k, last) = top(bound, x.rank())?;
            let count = to.emitter.integers("k", &[k as i64]);
            let names = to.emitter.add_many(node("TopK", &[&x.name, &count]).with("axis", -1), 2);
            let mut dims = x.dims.clone();
            dims[last] = Dim::Fixed(k);
            let values = to.value(names[0].clone(), dims.clone(), x.element_type);
            let places = to.value(names[1].clone(), dims, ElementType::Int64);
            Ok(vec![values, to.cast(&places, ElementType::Int32)])
        },
        evaluate: |bound| {
            let x = bound.value("x")?;
            let (k, _) = top(bound, x.rank())?;
            let (values, places) = index::top_k(x, k, -1, true)?;
            Ok(vec![values, cast(&places, ElementType::Int32)?])
        },
    },
];

fn along<V>(bound: &Bound<V>, rank: usize) -> Result<usize, Fault> {
    let axis = bound.integer("axis")?;
    axis.and_then(|axis| axis_of(axis, rank)).ok_or_else(|| {
        Fault::unsupported("no axis, or one that is not there", "name an axis of the tensor")
    })
}

fn top<V>(bound: &Bound<V>, rank: usize) -> Result<(usize, usize), Fault> {
    let k = bound.integer("k")?.and_then(|k| usize::try_from(k).ok()).filter(|&k| k > 0);
    k.zip(rank.checked_sub(1)).ok_or_else(|| Fault::malformed("expected a positive 'k'"))
}

fn take(bound: &Bound<Value>, to: &mut Converter<'_>) -> Result<Vec<Value>, Fault> {
    let mut x = value(bound, "x", to)?;
    let indices = value(bound, "indices", to)?;
    let indices = match indices.element_type {
        ElementType::Int32 | ElementType::Int64 => indices,
        _ => to.cast(&indices, ElementType::Int64),
    };
    let axis = match bound.integer("axis")? {
        Some(axis) => axis_of(axis, x.rank()).ok_or_else(|| {
            Fault::malformed(format!("expected an axis of {} dimensions", x.rank()))
        })?,
        None => {
            x = to.reshape(&x, &[crate::keras::converter::Size::Rest]);
            0
        }
    };
    let name = to.add(node("Gather", &[&x.name, &indices.name]).with("axis", axis as i64));
    let mut dims = x.dims[..axis].to_vec();
    dims.extend(indices.dims.iter().cloned());
    dims.extend_from_slice(&x.dims[axis + 1..]);
    Ok(vec![to.value(name, dims, x.element_type)])
}

/// One part of what stands in brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// From, to, every.
    Slice(Option<i64>, Option<i64>, i64),
    /// One element.
    Index(i64),
    /// A new axis.
    New,
    /// As many axes as are left.
    Ellipsis,
}

/// An axis and what is taken of it: from, to, every.
type Slice = (usize, Option<i64>, Option<i64>, i64);

/// What happens to each axis, and where new axes stand in the result.
#[derive(Debug, Default)]
struct Plan {
    slices: Vec<Slice>,
    gone: Vec<usize>,
    new: Vec<usize>,
}

/// What stands in brackets, as Keras 3 and TensorFlow write it.
fn parts<V>(key: &Argument<V>) -> Result<Vec<Part>, Fault> {
    match key {
        Argument::List(items) => items.iter().map(part).collect(),
        Argument::Json(Json::Array(items)) => items.iter().map(json_part).collect(),
        one => Ok(vec![part(one)?]),
    }
}

fn part<V>(argument: &Argument<V>) -> Result<Part, Fault> {
    let json = argument.to_json().ok_or_else(|| {
        Fault::unsupported("a tensor in brackets", "use keras.ops.take with an axis")
    })?;
    json_part(&json)
}

fn json_part(json: &Json) -> Result<Part, Fault> {
    let wrong = || Fault::unsupported(format!("{json} in brackets"), "use slices and indices");
    let bound = |json: Option<&Json>| match json {
        None | Some(Json::Null) => Ok(None),
        Some(other) => integer(other).map(Some).ok_or_else(wrong),
    };
    match json {
        Json::Null => Ok(Part::New),
        Json::Bool(_) => Err(wrong()),
        Json::Object(map) => {
            let class = map.get("class_name").and_then(Json::as_str);
            if class == Some("__ellipsis__") {
                return Ok(Part::Ellipsis);
            }
            let config = map.get("config").unwrap_or(json);
            let step = bound(config.get("step"))?.unwrap_or(1);
            if config.get("start").is_none() || step == 0 {
                return Err(wrong());
            }
            Ok(Part::Slice(bound(config.get("start"))?, bound(config.get("stop"))?, step))
        }
        Json::String(text) if text == "..." || text == "Ellipsis" => Ok(Part::Ellipsis),
        other => integer(other).map(Part::Index).ok_or_else(wrong),
    }
}

fn plan(parts: &[Part], rank: usize) -> Result<Plan, Fault> {
    let used = parts.iter().filter(|part| matches!(part, Part::Slice(..) | Part::Index(_))).count();
    let rest = rank.checked_sub(used).ok_or_else(|| {
        Fault::malformed(format!("expected at most {rank} places in brackets, found {used}"))
    })?;
    let (mut plan, mut axis, mut out) = (Plan::default(), 0, 0);
    for part in parts {
        match part {
            Part::Ellipsis => {
                axis += rest;
                out += rest;
            }
            Part::New => {
                plan.new.push(out);
                out += 1;
            }
            Part::Index(index) => {
                let end = if *index == -1 { None } else { Some(index + 1) };
                plan.slices.push((axis, Some(*index), end, 1));
                plan.gone.push(axis);
                axis += 1;
            }
            Part::Slice(start, stop, step) => {
                if (*start, *stop, *step) != (None, None, 1) {
                    plan.slices.push((axis, *start, *stop, *step));
                }
                axis += 1;
                out += 1;
            }
        }
    }
    Ok(plan)
}

/// The bounds of a slice with those that are left out.
fn bounds(start: Option<i64>, stop: Option<i64>, step: i64) -> (i64, i64) {
    let (first, last) = if step > 0 { (0, i64::MAX) } else { (i64::MAX, i64::MIN + 1) };
    (start.unwrap_or(first), stop.unwrap_or(last))
}

fn get_item(x: &Value, plan: &Plan, to: &mut Converter<'_>) -> Value {
    let mut y = x.clone();
    if !plan.slices.is_empty() {
        let column =
            |pick: &dyn Fn(&Slice) -> i64| plan.slices.iter().map(pick).collect::<Vec<_>>();
        let starts = column(&|slice| bounds(slice.1, slice.2, slice.3).0);
        let ends = column(&|slice| bounds(slice.1, slice.2, slice.3).1);
        let inputs = [
            y.name.clone(),
            to.emitter.integers("starts", &starts),
            to.emitter.integers("ends", &ends),
            to.emitter.integers("axes", &column(&|slice| slice.0 as i64)),
            to.emitter.integers("steps", &column(&|slice| slice.3)),
        ];
        let name = to.op("Slice", &inputs);
        let mut dims = y.dims.clone();
        for &(axis, start, stop, step) in &plan.slices {
            let (start, stop) = bounds(start, stop, step);
            dims[axis] = derived(&dims[axis], |size| sliced(size, start, stop, step));
        }
        y = to.value(name, dims, x.element_type);
    }
    if !plan.gone.is_empty() {
        y = to.squeeze(&y, &plan.gone);
    }
    if !plan.new.is_empty() {
        y = to.unsqueeze(&y, &plan.new);
    }
    y
}

fn evaluate_item(x: &Array, plan: &Plan) -> Result<Array, EvaluateError> {
    let ranges: Vec<Range> = plan
        .slices
        .iter()
        .map(|&(axis, start, stop, step)| {
            let (first, last) = if step > 0 { (0, i64::MAX) } else { (i64::MAX, i64::MIN) };
            let (start, stop) = (start.unwrap_or(first), stop.unwrap_or(last));
            Range { axis: axis as i64, start, stop, step }
        })
        .collect();
    let part = shape::slice(x, &ranges)?;
    let gone: Vec<i64> = plan.gone.iter().map(|&axis| axis as i64).collect();
    let part = shape::squeeze(&part, Some(&gone))?;
    let new: Vec<i64> = plan.new.iter().map(|&axis| axis as i64).collect();
    shape::expand_dims(&part, &new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn brackets_of_both_kinds_are_understood() {
        let slice =
            json!({"class_name": "__slice__", "config": {"start": 1, "stop": null, "step": 2}});
        assert_eq!(json_part(&slice).unwrap(), Part::Slice(Some(1), None, 2));
        let old = json!({"start": null, "stop": -1, "step": null});
        assert_eq!(json_part(&old).unwrap(), Part::Slice(None, Some(-1), 1));
        assert_eq!(json_part(&json!(null)).unwrap(), Part::New);
        assert_eq!(json_part(&json!(-1)).unwrap(), Part::Index(-1));
        assert!(json_part(&json!(true)).is_err());
    }

    #[test]
    fn axes_are_counted_across_new_and_lost_ones() {
        let parts = [Part::Ellipsis, Part::New, Part::Index(0), Part::Slice(Some(1), None, 1)];
        let plan = plan(&parts, 4).unwrap();
        assert_eq!((plan.gone, plan.new), (vec![2], vec![2]));
        assert_eq!(plan.slices, [(2, Some(0), Some(1), 1), (3, Some(1), None, 1)]);
    }
}
