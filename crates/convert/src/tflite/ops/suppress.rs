//! `NON_MAX_SUPPRESSION_V4` and `V5`: boxes that overlap with none that scores higher.

use modelyard_graph::ElementType;

use super::super::convert::Converter;
use super::super::evaluate::Evaluation;
use super::super::model::Operator;
use super::super::stop::{Stop, mismatch, refused};
use crate::emitter::node;
use crate::reference::{Array, Data};

/// Whether the scores that are left are given too, before their number.
fn gives_scores(op: &Operator) -> bool {
    op.kind == "NON_MAX_SUPPRESSION_V5"
}

pub(super) fn convert(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let most = cx.required(op, 2, "a largest number of boxes")?;
    let &[most] = most.as_slice() else { return Err(mismatch("expected a number of boxes")) };
    if gives_scores(op) {
        let sigma = cx.floats(op.input(5)?)?;
        if sigma.as_deref() != Some(&[0.0]) {
            return Err(refused("scores that fade with overlap", "set the soft sigma to 0"));
        }
    }
    let boxes = cx.real(op.input(0)?)?;
    let scores = cx.real(op.input(1)?)?;
    let front = cx.emitter.integers("front", &[0]);
    let both = cx.emitter.integers("both", &[0, 1]);
    let boxes = cx.emitter.add(node("Unsqueeze", &[&boxes, &front]));
    let class = cx.emitter.add(node("Unsqueeze", &[&scores, &both]));
    let limit = cx.emitter.integers("most", &[most]);
    let one = cx.emitter.integers("one", &[1]);
    let (overlap, least) = (cx.real(op.input(3)?)?, cx.real(op.input(4)?)?);
    let overlap = cx.emitter.add(node("Reshape", &[&overlap, &one]));
    let least = cx.emitter.add(node("Reshape", &[&least, &one]));
    let chosen = node("NonMaxSuppression", &[boxes, class, limit.clone(), overlap, least]);
    let chosen = cx.emitter.add(chosen);
    let chosen = column(cx, &chosen, 2);
    let count = cx.emitter.add(node("Shape", &[&chosen]));
    let shape = cx.emitter.integers("scalar", &[]);
    let count = cx.emitter.add(node("Reshape", &[&count, &shape]));
    let places = padded(cx, &chosen, most)?;
    let indices = cx.cast(&places, ElementType::Int32);
    cx.give_raw(op.output(0)?, indices);
    let mut last = 1;
    if gives_scores(op) {
        let kept = cx.emitter.add(node("Gather", &[scores, chosen]).with("axis", 0i64));
        let zeros = vec![0.0; usize::try_from(most).unwrap_or(0)];
        let zeros = cx.emitter.floats("zeros", &[zeros.len()], &zeros);
        let y = first(cx, &[&kept, &zeros], most);
        cx.give(op.output(1)?, y)?;
        last = 2;
    }
    let count = cx.cast(&count, ElementType::Int32);
    cx.give_raw(op.output(last)?, count);
    Ok(())
}

/// One column of a list of rows.
pub(super) fn column(cx: &mut Converter<'_>, rows: &str, at: i64) -> String {
    let at = cx.emitter.integer("column", at);
    cx.emitter.add(node("Gather", &[rows, &at]).with("axis", 1i64))
}

/// A list of integers with zeros behind it, `most` in all.
pub(super) fn padded(cx: &mut Converter<'_>, list: &str, most: i64) -> Result<String, Stop> {
    let most_usize = usize::try_from(most).ok().filter(|&most| most <= 1 << 16);
    let size = most_usize.ok_or_else(|| mismatch(format!("{most} is no number of boxes")))?;
    let zeros = cx.emitter.integers("zeros", &vec![0; size]);
    Ok(first(cx, &[list, &zeros], most))
}

/// The first `most` rows of lists one behind the other.
pub(super) fn first(cx: &mut Converter<'_>, lists: &[&str], most: i64) -> String {
    let joined = cx.emitter.add(node("Concat", lists).with("axis", 0i64));
    let [start, end, axis] = [0, most, 0].map(|value| cx.emitter.integers("first", &[value]));
    cx.emitter.add(node("Slice", &[joined, start, end, axis]))
}

/// Boxes in the order of their scores, without those that overlap with an earlier one by more than
/// `overlap`: at most `most`.
pub(super) fn suppressed(
    boxes: &[[f32; 4]],
    scores: &[f32],
    (most, overlap): (usize, f32),
    is_kept: impl Fn(f32) -> bool,
) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).filter(|&at| is_kept(scores[at])).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let mut chosen: Vec<usize> = Vec::new();
    for at in order {
        if chosen.len() >= most {
            break;
        }
        if chosen.iter().all(|&other| intersection(boxes[at], boxes[other]) <= overlap) {
            chosen.push(at);
        }
    }
    chosen
}

/// The area that two boxes have in common over that of both; corners come in any order.
fn intersection(one: [f32; 4], two: [f32; 4]) -> f32 {
    let sorted = |[y1, x1, y2, x2]: [f32; 4]| [y1.min(y2), x1.min(x2), y1.max(y2), x1.max(x2)];
    let (one, two) = (sorted(one), sorted(two));
    let area = |[top, left, bottom, right]: [f32; 4]| (bottom - top) * (right - left);
    if area(one) <= 0.0 || area(two) <= 0.0 {
        return 0.0;
    }
    let height = (one[2].min(two[2]) - one[0].max(two[0])).max(0.0);
    let width = (one[3].min(two[3]) - one[1].max(two[1])).max(0.0);
    height * width / (area(one) + area(two) - height * width)
}

/// Rows of four numbers.
pub(super) fn corners(array: &Array) -> Result<Vec<[f32; 4]>, Stop> {
    Ok(array.as_floats()?.as_chunks().0.to_vec())
}

pub(super) fn evaluate(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let boxes = corners(&*cx.real(op.input(0)?)?)?;
    let scores = cx.real(op.input(1)?)?;
    let most = super::fill::size(cx.int(op.input(2)?)?)?;
    let number = |array: &Array| -> Result<f32, Stop> {
        array.as_floats()?.first().copied().ok_or_else(|| mismatch("a threshold is missing"))
    };
    let overlap = number(&*cx.real(op.input(3)?)?)?;
    let least = number(&*cx.real(op.input(4)?)?)?;
    let scores = scores.as_floats()?;
    if boxes.len() != scores.len() || most > 1 << 16 {
        return Err(mismatch(format!("{} boxes have {} scores", boxes.len(), scores.len())));
    }
    let chosen = suppressed(&boxes, scores, (most, overlap), |score| score > least);
    let mut indices: Vec<i64> = chosen.iter().map(|&at| at as i64).collect();
    indices.resize(most, 0);
    cx.give(op.output(0)?, Array::new(ElementType::Int32, &[most], Data::Ints(indices))?)?;
    let mut last = 1;
    if gives_scores(op) {
        let mut kept: Vec<f32> = chosen.iter().map(|&at| scores[at]).collect();
        kept.resize(most, 0.0);
        cx.give_real(op.output(1)?, Array::floats(&[most], kept)?)?;
        last = 2;
    }
    let count = Data::Ints(vec![chosen.len() as i64]);
    cx.give(op.output(last)?, Array::new(ElementType::Int32, &[], count)?)
}
