//! `StridedSlice`: Python's `x[a:b:c, ..., None, 3]`.
//!
//! Each element of `begin`, `end` and `strides` stands for one item between the brackets; bit masks
//! say which of them is `...` or `None` or a plain index, and which ends are left out.

use modelyard_graph::ElementType;
use modelyard_tensor::Dim;

use super::{Evaluated, Given};
use crate::EvaluateError;
use crate::reference::{Array, shape};
use crate::tensorflow::attrs::Attrs;
use crate::tensorflow::context::{Call, Context, Converted};
use crate::tensorflow::value::{Refusal, Val, fixed};

/// One item between the brackets, and which axis of the input it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Item {
    /// `a:b:c` of an axis; the number says which element of the lists.
    Range { axis: usize, index: usize, open_begin: bool, open_end: bool },
    /// One element of an axis, which disappears.
    Index { axis: usize, index: usize },
    /// A new axis.
    New,
    /// An axis that stays as it is.
    All { axis: usize },
}

/// The items for an input of this rank; the message says what is wrong with them.
fn items(attrs: &Attrs, count: usize, rank: usize) -> Result<Vec<Item>, String> {
    let mask = |name: &str, index: usize| {
        u32::try_from(index).is_ok_and(|index| {
            attrs.int(name, 0).checked_shr(index).is_some_and(|bits| bits & 1 == 1)
        })
    };
    let is_dots = |index: usize| mask("ellipsis_mask", index);
    let is_new = |index: usize| mask("new_axis_mask", index) && !is_dots(index);
    let takes = (0..count).filter(|&index| !is_dots(index) && !is_new(index)).count();
    let skipped = rank
        .checked_sub(takes)
        .ok_or_else(|| format!("a slice of {takes} axes of a value of rank {rank}"))?;
    let mut items = Vec::new();
    let mut axis = 0;
    let mut seen_dots = false;
    for index in 0..count {
        if is_dots(index) {
            if std::mem::replace(&mut seen_dots, true) {
                return Err("a slice with '...' twice".into());
            }
            items.extend((axis..axis + skipped).map(|axis| Item::All { axis }));
            axis += skipped;
        } else if is_new(index) {
            items.push(Item::New);
        } else {
            items.push(match mask("shrink_axis_mask", index) {
                true => Item::Index { axis, index },
                false => Item::Range {
                    axis,
                    index,
                    open_begin: mask("begin_mask", index),
                    open_end: mask("end_mask", index),
                },
            });
            axis += 1;
        }
    }
    items.extend((axis..rank).map(|axis| Item::All { axis }));
    Ok(items)
}

const WAY_OUT: &str = "use bounds that are constant";

pub(super) fn convert(context: &mut Context<'_>, call: &Call<'_>) -> Converted {
    let value = call.input(0)?;
    let own = value.known_dims()?.to_vec();
    let (begin, end) = (Bounds::of(context, call.input(1)?), Bounds::of(context, call.input(2)?));
    let strides = context.integers(call.input(3)?, "the strides of a slice")?;
    let items = items(&call.node.attrs, strides.len(), own.len())
        .map_err(|reason| Refusal::new(reason, "the file may be damaged"))?;
    let mut slices = Slices::default();
    let (mut gone, mut new, mut dims) = (Vec::new(), Vec::new(), Vec::new());
    for item in items {
        match item {
            Item::All { axis } => dims.push(own[axis].clone()),
            Item::New => {
                new.push(dims.len() as i64);
                dims.push(Dim::Fixed(1));
            }
            Item::Index { axis, index } => {
                let start = begin.at(context, index)?;
                let stop = start.next(context)?;
                slices.push(axis, (start, stop), 1);
                gone.push(axis as i64);
            }
            Item::Range { axis, index, open_begin, open_end } => {
                let step = strides.get(index).copied().unwrap_or(1);
                let (first, last) = if step > 0 { (0, i64::MAX) } else { (i64::MAX, i64::MIN) };
                let start =
                    if open_begin { Bound::Known(first) } else { begin.at(context, index)? };
                let stop = if open_end { Bound::Known(last) } else { end.at(context, index)? };
                dims.push(length(&own[axis], &start, &stop, step));
                if !(open_begin && open_end && step == 1) {
                    slices.push(axis, (start, stop), step);
                }
            }
        }
    }
    let mut found = context.name(value)?;
    if !slices.axes.is_empty() {
        found = slices.write(context, &found)?;
    }
    if !gone.is_empty() {
        found = context.with_axes("Squeeze", &found, &gone);
    }
    if !new.is_empty() {
        found = context.with_axes("Unsqueeze", &found, &new);
    }
    Ok(vec![context.value(found, value.element_type, Some(dims))])
}

/// The bounds of all items.
enum Bounds {
    Known(Vec<i64>),
    Computed(Val),
}

/// One bound.
#[derive(Clone, Debug)]
enum Bound {
    Known(i64),
    /// A list of one 64-bit integer.
    Computed(String),
}

impl Bounds {
    fn of(context: &Context<'_>, value: &Val) -> Bounds {
        match context.integers(value, "") {
            Ok(values) => Bounds::Known(values),
            Err(_) => Bounds::Computed(value.clone()),
        }
    }

    fn at(&self, context: &mut Context<'_>, index: usize) -> Result<Bound, Refusal> {
        match self {
            Bounds::Known(values) => {
                let found = values.get(index).copied();
                found.map(Bound::Known).ok_or_else(|| {
                    Refusal::new("a slice with too few bounds", "the file may be damaged")
                })
            }
            Bounds::Computed(value) => {
                let size = value.sizes.as_ref().and_then(|sizes| fixed(sizes.get(index)?));
                if let Some(size) = size {
                    return Ok(Bound::Known(size as i64));
                }
                let list = context.shape(value)?;
                let at = context.emitter.integers("index", &[index as i64]);
                Ok(Bound::Computed(context.add("Gather", &[list, at])))
            }
        }
    }
}

impl Bound {
    /// The bound behind this one element.
    fn next(&self, context: &mut Context<'_>) -> Result<Bound, Refusal> {
        match self {
            // Behind the last element counted from the end, 0 would be the first.
            Bound::Known(-1) => Ok(Bound::Known(i64::MAX)),
            Bound::Known(value) => Ok(Bound::Known(value.saturating_add(1))),
            Bound::Computed(name) => {
                let one = context.emitter.integers("one", &[1]);
                let next = context.add("Add", &[name, &one]);
                let zero = context.scalar("zero", 0.0, ElementType::Int64)?;
                let most = context.emitter.integers("end", &[i64::MAX]);
                let is_last = context.add("Equal", &[&next, &zero]);
                Ok(Bound::Computed(context.add("Where", &[is_last, most, next])))
            }
        }
    }
}

/// What `Slice` of ONNX is given.
#[derive(Default)]
struct Slices {
    axes: Vec<i64>,
    bounds: Vec<(Bound, Bound)>,
    steps: Vec<i64>,
}

impl Slices {
    fn push(&mut self, axis: usize, bounds: (Bound, Bound), step: i64) {
        self.axes.push(axis as i64);
        self.bounds.push(bounds);
        self.steps.push(step);
    }

    fn write(self, context: &mut Context<'_>, input: &str) -> Result<String, Refusal> {
        if self.steps.contains(&0) {
            return Err(Refusal::new("a slice with steps of 0", WAY_OUT));
        }
        let (starts, ends): (Vec<Bound>, Vec<Bound>) = self.bounds.into_iter().unzip();
        let starts = list(context, "starts", &starts);
        let ends = list(context, "ends", &ends);
        let axes = context.emitter.integers("axes", &self.axes);
        let mut inputs = vec![input.to_owned(), starts, ends, axes];
        if self.steps.iter().any(|&step| step != 1) {
            inputs.push(context.emitter.integers("steps", &self.steps));
        }
        Ok(context.add("Slice", &inputs))
    }
}

/// Bounds as one list.
fn list(context: &mut Context<'_>, name: &str, bounds: &[Bound]) -> String {
    let known: Option<Vec<i64>> = bounds
        .iter()
        .map(|bound| match bound {
            Bound::Known(value) => Some(*value),
            Bound::Computed(_) => None,
        })
        .collect();
    if let Some(values) = known {
        return context.emitter.integers(name, &values);
    }
    let parts: Vec<String> = bounds
        .iter()
        .map(|bound| match bound {
            Bound::Known(value) => context.emitter.integers(name, &[*value]),
            Bound::Computed(name) => name.clone(),
        })
        .collect();
    match parts.as_slice() {
        [only] => only.clone(),
        parts => context.add_node(crate::emitter::node("Concat", parts).with("axis", 0)),
    }
}

/// How many elements a range has.
fn length(dim: &Dim, start: &Bound, stop: &Bound, step: i64) -> Dim {
    match (start, stop, fixed(dim)) {
        (Bound::Known(0), Bound::Known(i64::MAX), None) if step == 1 => dim.clone(),
        (Bound::Known(start), Bound::Known(stop), Some(size)) => {
            Dim::Fixed(count(*start, *stop, step, size))
        }
        (Bound::Known(i64::MAX), Bound::Known(i64::MIN), None) if step == -1 => dim.clone(),
        _ => Dim::Free,
    }
}

/// How many elements `start:stop:step` of `size` has.
fn count(start: i64, stop: i64, step: i64, size: usize) -> usize {
    let size = size as i64;
    let counted = |index: i64| if index < 0 { index.saturating_add(size) } else { index };
    let (low, high) = if step > 0 { (0, size) } else { (-1, size - 1) };
    let within = |index: i64| counted(index).clamp(low, high.max(low));
    // The end before the first element is no index from the end.
    let stop = if step < 0 && stop == i64::MIN { -1 } else { within(stop) };
    let span = if step > 0 { stop - within(start) } else { within(start) - stop };
    usize::try_from(span).unwrap_or(0).div_ceil(step.unsigned_abs().max(1) as usize)
}

pub(super) fn evaluate(given: &Given<'_>) -> Evaluated {
    let x = given.input(0)?;
    let (begin, end, strides) = (given.integers(1)?, given.integers(2)?, given.integers(3)?);
    if begin.len() != strides.len() || end.len() != strides.len() {
        return Err(EvaluateError::new("the lists of a slice differ in length"));
    }
    let items = items(given.attrs(), strides.len(), x.rank()).map_err(EvaluateError::new)?;
    let mut ranges = Vec::new();
    let mut kept = Vec::new();
    for item in &items {
        match *item {
            Item::All { axis } => kept.push(Some(axis)),
            Item::New => kept.push(None),
            Item::Index { axis, index } => {
                let size = x.dims()[axis] as i64;
                let at =
                    if begin[index] < 0 { begin[index].saturating_add(size) } else { begin[index] };
                if !(0..size).contains(&at) {
                    let message = format!("there is no element {} of {size}", begin[index]);
                    return Err(EvaluateError::new(message));
                }
                ranges.push(shape::Range { axis: axis as i64, start: at, stop: at + 1, step: 1 });
            }
            Item::Range { axis, index, open_begin, open_end } => {
                let step = strides[index];
                if step == 0 {
                    return Err(EvaluateError::new("a slice with steps of 0"));
                }
                let (first, last) = if step > 0 { (0, i64::MAX) } else { (i64::MAX, i64::MIN) };
                let start = if open_begin { first } else { begin[index] };
                let stop = if open_end { last } else { end[index] };
                ranges.push(shape::Range { axis: axis as i64, start, stop, step });
                kept.push(Some(axis));
            }
        }
    }
    let sliced: Array = shape::slice(x, &ranges)?;
    let dims: Vec<usize> =
        kept.iter().map(|axis| axis.map_or(1, |axis| sliced.dims()[axis])).collect();
    Ok(vec![sliced.reshaped(&dims)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_pythons() {
        assert_eq!(count(0, i64::MAX, 1, 5), 5);
        assert_eq!(count(1, -1, 2, 6), 2);
        assert_eq!(count(i64::MAX, i64::MIN, -1, 4), 4);
        assert_eq!(count(-2, 0, -1, 4), 2);
        assert_eq!(count(3, 1, 1, 4), 0);
    }
}
