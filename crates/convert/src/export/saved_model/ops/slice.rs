//! Slices.

use modelyard_graph::ElementType;

use crate::export::saved_model::call::{Call, Written};
use crate::export::saved_model::sizes::{Cut, Size};
use crate::export::saved_model::value::{Refusal, Tensor, Value};
use crate::export::saved_model::writer::Writer;

const WAY_OUT: &str = "make the axes and steps of the slice constant";

pub(super) fn write(writer: &mut Writer, call: &Call<'_>) -> Written {
    let (value, x) = (call.value(0)?, call.tensor(writer, 0)?);
    let rank = value.rank()?;
    let (starts, ends) = (Bounds::of(writer, call, 1)?, Bounds::of(writer, call, 2)?);
    let count = starts.count.or(ends.count);
    let count = count.ok_or_else(|| Refusal::new("bounds of unknown number", WAY_OUT))?;
    let axes = match call.optional(3) {
        Some(_) => call.axes(3)?.unwrap_or_default(),
        None => (0..count).collect(),
    };
    let steps = call.list(4, "steps")?.unwrap_or_else(|| vec![1; count]);
    let is_sound = axes.len() == count && steps.len() == count && !steps.contains(&0);
    if !is_sound || axes.iter().any(|&axis| axis >= rank) {
        return Err(Refusal::new("lists that differ in length, or steps of 0", "it is damaged"));
    }
    let mut cuts = Vec::with_capacity(count);
    for (index, (&axis, &step)) in axes.iter().zip(&steps).enumerate() {
        let begin = starts.at(writer, index)?;
        let end = ends.at(writer, index)?;
        let size = value.size(axis).and_then(|size| i64::try_from(size).ok());
        cuts.push(Cut { axis, begin: open(begin, step, size), end: past(end, step, size), step });
    }
    cuts.retain(|cut| cut.begin.is_some() || cut.end.is_some() || cut.step != 1);
    Ok(vec![writer.cut(&x, &cuts)?])
}

/// The begin, where it is not the first element that there is.
fn open(begin: Size, step: i64, size: Option<i64>) -> Option<Size> {
    match begin {
        Size::Fixed(0) if step > 0 => None,
        // Further from the end than the first: TensorFlow refuses that where it infers shapes.
        Size::Fixed(begin) if step > 0 && begin <= -size.unwrap_or(LARGE) => None,
        Size::Fixed(-1) if step < 0 => None,
        Size::Fixed(begin) if step < 0 && begin >= size.unwrap_or(LARGE) - 1 => None,
        begin => Some(begin),
    }
}

/// The end, where it is not behind the last element that there is.
fn past(end: Size, step: i64, size: Option<i64>) -> Option<Size> {
    match end {
        Size::Fixed(end) if step > 0 && end >= size.unwrap_or(LARGE) => None,
        Size::Fixed(end) if step < 0 && end < -size.unwrap_or(LARGE) => None,
        end => Some(end),
    }
}

/// Longer than any axis: what exporters write for "to the end".
const LARGE: i64 = i32::MAX as i64;

/// The begins or ends of all axes.
struct Bounds {
    known: Option<Vec<i64>>,
    computed: Option<Tensor>,
    count: Option<usize>,
}

impl Bounds {
    fn of(writer: &mut Writer, call: &Call<'_>, index: usize) -> Result<Bounds, Refusal> {
        let value: &Value = call.value(index)?;
        if let Some(known) = value.integers() {
            return Ok(Bounds { count: Some(known.len()), known: Some(known), computed: None });
        }
        let list = writer.tensor(value)?;
        let list = writer.cast(&list, ElementType::Int64);
        Ok(Bounds { known: None, computed: Some(list), count: value.size(0) })
    }

    fn at(&self, writer: &mut Writer, index: usize) -> Result<Size, Refusal> {
        let missing = || Refusal::new("too few bounds", "the model may be damaged");
        match (&self.known, &self.computed) {
            (Some(known), _) => {
                known.get(index).map(|&bound| Size::Fixed(bound)).ok_or_else(missing)
            }
            (None, Some(list)) if self.count == Some(1) => Ok(Size::Computed(list.clone())),
            (None, Some(list)) => {
                let index = index as i64;
                Ok(Size::Computed(writer.part(list, index, index + 1)?))
            }
            (None, None) => Err(missing()),
        }
    }
}
