//! `TFLite_Detection_PostProcess`: boxes out of what a detector says of its anchors, with the
//! classes and scores of the best.

use modelyard_graph::ElementType;

use super::super::convert::Converter;
use super::super::evaluate::Evaluation;
use super::super::flexbuffer::{self, Fields};
use super::super::model::Operator;
use super::super::stop::{Stop, mismatch, refused};
use super::suppress::{column, corners, first, suppressed};
use crate::emitter::node;
use crate::reference::Array;

/// What its options say.
struct Parameters {
    most: usize,
    classes: usize,
    per_class: usize,
    /// Whether boxes are suppressed class by class.
    is_regular: bool,
    least_score: f32,
    overlap: f32,
    /// What y, x, height and width are divided by.
    scales: [f32; 4],
}

fn parameters(op: &Operator) -> Result<Parameters, Stop> {
    let fields: Fields =
        flexbuffer::map(&op.custom).ok_or_else(|| mismatch("its options are no map of numbers"))?;
    let number = |name: &str| {
        fields.get(name).copied().ok_or_else(|| mismatch(format!("it has no option '{name}'")))
    };
    let size = |name: &str| -> Result<usize, Stop> {
        let value = number(name)?;
        match (1.0..=65_536.0).contains(&value) {
            true => Ok(value as usize),
            false => Err(mismatch(format!("option '{name}' is {value}"))),
        }
    };
    let is_regular = fields.get("use_regular_nms").is_some_and(|&value| value != 0.0);
    if !is_regular && size("max_classes_per_detection")? != 1 {
        let way_out = "export the detector with one class a detection";
        return Err(refused("several classes a detection", way_out));
    }
    Ok(Parameters {
        most: size("max_detections")?,
        classes: size("num_classes")?,
        per_class: if fields.contains_key("detections_per_class") {
            size("detections_per_class")?
        } else {
            100
        },
        is_regular,
        least_score: number("nms_score_threshold")? as f32,
        overlap: number("nms_iou_threshold")? as f32,
        scales: [
            number("y_scale")? as f32,
            number("x_scale")? as f32,
            number("h_scale")? as f32,
            number("w_scale")? as f32,
        ],
    })
}

pub(super) fn convert(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let parameters = parameters(op)?;
    let boxes = decoded(cx, op, &parameters)?;
    let Some(all) = cx.dims(op.input(1)?).last().copied().flatten() else {
        return Err(mismatch("the number of classes is not known"));
    };
    let background = all.checked_sub(parameters.classes);
    let background =
        background.ok_or_else(|| mismatch(format!("it has scores of {all} classes")))?;
    let scores = cx.real(op.input(1)?)?;
    let [from, to, last] =
        [background as i64, i64::MAX, 2].map(|value| cx.emitter.integers("classes", &[value]));
    let scores = match background {
        0 => scores,
        _ => cx.emitter.add(node("Slice", &[scores, from, to, last.clone()])),
    };
    let front = cx.emitter.integers("front", &[0]);
    let flat = cx.emitter.add(node("Squeeze", &[&boxes, &front]));
    let detections = match parameters.is_regular {
        true => by_class(cx, &parameters, &boxes, &scores)?,
        false => at_once(cx, &parameters, &boxes, &scores)?,
    };
    let found = cx.emitter.add(node("Gather", &[&flat, &detections.places]).with("axis", 0i64));
    let most = parameters.most;
    let corner_zeros = cx.emitter.floats("zeros", &[most, 4], &vec![0.0; most * 4]);
    let zeros = cx.emitter.floats("zeros", &[most], &vec![0.0; most]);
    let classes = cx.cast(&detections.classes, ElementType::Float32);
    let count = cx.emitter.add(node("Shape", &[&detections.scores]));
    let count = cx.cast(&count, ElementType::Float32);
    for (output, list, zeros) in
        [(0, &found, &corner_zeros), (1, &classes, &zeros), (2, &detections.scores, &zeros)]
    {
        let rows = first(cx, &[list, zeros], most as i64);
        let rows = cx.emitter.add(node("Unsqueeze", &[&rows, &front]));
        cx.give(op.output(output)?, rows)?;
    }
    cx.give(op.output(3)?, count)
}

/// Names of lists, an entry a detection.
struct Detections {
    places: String,
    classes: String,
    scores: String,
}

/// Corners of the boxes, `[1, anchors, 4]`.
fn decoded(cx: &mut Converter<'_>, op: &Operator, parameters: &Parameters) -> Result<String, Stop> {
    let codes = cx.real(op.input(0)?)?;
    let anchors = cx.real(op.input(2)?)?;
    let scales = parameters.scales;
    let mut part = |value: &str, from: i64, axis: i64| {
        let [from, to, axis] =
            [from, from + 2, axis].map(|value| cx.emitter.integers("part", &[value]));
        cx.emitter.add(node("Slice", &[value, &from, &to, &axis]))
    };
    let (centers, sizes) = (part(&codes, 0, 2), part(&codes, 2, 2));
    let (anchor_centers, anchor_sizes) = (part(&anchors, 0, 1), part(&anchors, 2, 1));
    let emitter = &mut cx.emitter;
    let center_scale = emitter.floats("scale", &[2], &scales[..2]);
    let size_scale = emitter.floats("scale", &[2], &scales[2..]);
    let half = emitter.scalar("half", 0.5);
    let centers = emitter.add(node("Div", &[centers, center_scale]));
    let centers = emitter.add(node("Mul", &[&centers, &anchor_sizes]));
    let centers = emitter.add(node("Add", &[centers, anchor_centers]));
    let sizes = emitter.add(node("Div", &[sizes, size_scale]));
    let sizes = emitter.add(node("Exp", &[sizes]));
    let sizes = emitter.add(node("Mul", &[sizes, anchor_sizes]));
    let sizes = emitter.add(node("Mul", &[sizes, half]));
    let low = emitter.add(node("Sub", &[&centers, &sizes]));
    let high = emitter.add(node("Add", &[&centers, &sizes]));
    Ok(emitter.add(node("Concat", &[low, high]).with("axis", 2i64)))
}

/// The largest float below: scores at the threshold are kept, which ONNX leaves out.
fn just_below(value: f32) -> f32 {
    value.next_down()
}

fn suppress(
    cx: &mut Converter<'_>,
    parameters: &Parameters,
    (boxes, scores): (&str, &str),
    most: usize,
) -> String {
    let most = cx.emitter.integers("most", &[most as i64]);
    let overlap = cx.emitter.floats("overlap", &[1], &[parameters.overlap]);
    let least = cx.emitter.floats("least", &[1], &[just_below(parameters.least_score)]);
    cx.emitter.add(node("NonMaxSuppression", &[boxes, scores, &most, &overlap, &least]))
}

/// Each anchor with its best class.
fn at_once(
    cx: &mut Converter<'_>,
    parameters: &Parameters,
    boxes: &str,
    scores: &str,
) -> Result<Detections, Stop> {
    let last = cx.emitter.integers("last", &[2]);
    let best = node("ReduceMax", &[scores, &last]).with("keepdims", 0i64);
    let best = cx.emitter.add(best);
    let which = node("ArgMax", &[scores]).with("axis", 2i64).with("keepdims", 0i64);
    let which = cx.emitter.add(which);
    let middle = cx.emitter.integers("middle", &[1]);
    let class = cx.emitter.add(node("Unsqueeze", &[&best, &middle]));
    let chosen = suppress(cx, parameters, (boxes, &class), parameters.most);
    let places = column(cx, &chosen, 2);
    let front = cx.emitter.integers("front", &[0]);
    let mut of = |list: String| {
        let list = cx.emitter.add(node("Squeeze", &[&list, &front]));
        cx.emitter.add(node("Gather", &[&list, &places]).with("axis", 0i64))
    };
    let (classes, scores) = (of(which), of(best));
    Ok(Detections { places, classes, scores })
}

/// The best of all classes, each suppressed by itself.
fn by_class(
    cx: &mut Converter<'_>,
    parameters: &Parameters,
    boxes: &str,
    scores: &str,
) -> Result<Detections, Stop> {
    let classes = cx.transpose(scores, &[0, 2, 1]);
    let chosen = suppress(cx, parameters, (boxes, &classes), parameters.per_class);
    let found = cx.emitter.add(node("GatherND", &[&classes, &chosen]));
    let count = cx.emitter.add(node("Shape", &[&found]));
    let most = cx.emitter.integers("most", &[parameters.most as i64]);
    let count = cx.emitter.add(node("Min", &[count, most]));
    let top = cx.emitter.add_many(node("TopK", &[found, count]).with("axis", 0i64), 2);
    let [scores, order] = top.as_slice() else { return Err(mismatch("TopK gives two values")) };
    let chosen = cx.emitter.add(node("Gather", &[&chosen, order]).with("axis", 0i64));
    let (classes, places) = (column(cx, &chosen, 1), column(cx, &chosen, 2));
    Ok(Detections { places, classes, scores: scores.clone() })
}

pub(super) fn evaluate(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let parameters = parameters(op)?;
    let codes = cx.real(op.input(0)?)?;
    let anchors = corners(&*cx.real(op.input(2)?)?)?;
    let width = codes.dims().last().copied().unwrap_or(0);
    if width < 4 || codes.len() / width != anchors.len() {
        return Err(mismatch("its boxes do not fit its anchors"));
    }
    let boxes: Vec<[f32; 4]> = (codes.as_floats()?.chunks_exact(width).zip(&anchors))
        .map(|(code, &anchor)| {
            decoded_box([code[0], code[1], code[2], code[3]], anchor, &parameters)
        })
        .collect();
    let scores = cx.real(op.input(1)?)?;
    let all = scores.dims().last().copied().unwrap_or(0);
    let background = all.checked_sub(parameters.classes);
    let background =
        background.ok_or_else(|| mismatch(format!("it has scores of {all} classes")))?;
    let rows: Vec<&[f32]> =
        scores.as_floats()?.chunks_exact(all).map(|row| &row[background..]).collect();
    if rows.len() != boxes.len() {
        return Err(mismatch("its scores do not fit its anchors"));
    }
    let found = match parameters.is_regular {
        true => class_by_class(&parameters, &boxes, &rows),
        false => anchor_by_anchor(&parameters, &boxes, &rows),
    };
    give(cx, op, &parameters, &boxes, &found)
}

fn decoded_box(code: [f32; 4], anchor: [f32; 4], parameters: &Parameters) -> [f32; 4] {
    let code: [f64; 4] =
        [0, 1, 2, 3].map(|at| f64::from(code[at]) / f64::from(parameters.scales[at]));
    let anchor = anchor.map(f64::from);
    let center = [0, 1].map(|at| (code[at] * anchor[at + 2] + anchor[at]) as f32);
    let half = [0, 1].map(|at| (0.5 * code[at + 2].exp() * anchor[at + 2]) as f32);
    [center[0] - half[0], center[1] - half[1], center[0] + half[0], center[1] + half[1]]
}

/// An anchor, its class and its score.
type Found = (usize, usize, f32);

fn anchor_by_anchor(parameters: &Parameters, boxes: &[[f32; 4]], rows: &[&[f32]]) -> Vec<Found> {
    let best: Vec<(usize, f32)> = rows
        .iter()
        .map(|row| {
            let start = (0, f32::NEG_INFINITY);
            let better = |best: (usize, f32), (class, &score): (usize, &f32)| {
                if score > best.1 { (class, score) } else { best }
            };
            row.iter().enumerate().fold(start, better)
        })
        .collect();
    let scores: Vec<f32> = best.iter().map(|best| best.1).collect();
    let limits = (parameters.most, parameters.overlap);
    let chosen = suppressed(boxes, &scores, limits, |score| score >= parameters.least_score);
    chosen.into_iter().map(|at| (at, best[at].0, best[at].1)).collect()
}

fn class_by_class(parameters: &Parameters, boxes: &[[f32; 4]], rows: &[&[f32]]) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    for class in 0..parameters.classes {
        let scores: Vec<f32> = rows.iter().map(|row| row[class]).collect();
        let limits = (parameters.per_class, parameters.overlap);
        let chosen = suppressed(boxes, &scores, limits, |score| score >= parameters.least_score);
        found.extend(chosen.into_iter().map(|at| (at, class, scores[at])));
    }
    found.sort_by(|a, b| b.2.total_cmp(&a.2));
    found.truncate(parameters.most);
    found
}

fn give(
    cx: &mut Evaluation<'_>,
    op: &Operator,
    parameters: &Parameters,
    boxes: &[[f32; 4]],
    found: &[Found],
) -> Result<(), Stop> {
    let most = parameters.most;
    let mut corners: Vec<f32> = found.iter().flat_map(|&(at, _, _)| boxes[at]).collect();
    let mut classes: Vec<f32> = found.iter().map(|&(_, class, _)| class as f32).collect();
    let mut scores: Vec<f32> = found.iter().map(|&(_, _, score)| score).collect();
    corners.resize(most * 4, 0.0);
    classes.resize(most, 0.0);
    scores.resize(most, 0.0);
    cx.give_real(op.output(0)?, Array::floats(&[1, most, 4], corners)?)?;
    cx.give_real(op.output(1)?, Array::floats(&[1, most], classes)?)?;
    cx.give_real(op.output(2)?, Array::floats(&[1, most], scores)?)?;
    cx.give_real(op.output(3)?, Array::floats(&[1], vec![found.len() as f32])?)
}
