//! `NonMaxSuppression` in its versions: of boxes that overlap, the one with the highest score.

use modelyard_graph::ElementType;
use modelyard_tensor::Dim;

use super::{Evaluated, Given};
use crate::EvaluateError;
use crate::emitter::node;
use crate::reference::Array;
use crate::tensorflow::context::{Call, Context, Converted};
use crate::tensorflow::value::Refusal;

/// Boxes that a padded list may have.
const MAX_BOXES: i64 = 1 << 20;

pub(super) fn convert(context: &mut Context<'_>, call: &Call<'_>) -> Converted {
    let op = call.node.op.as_str();
    let [boxes, scores] = context.names(call)?;
    let most = context.integer(call.input(2)?, "how many boxes to keep").ok();
    let count = context.shape(call.input(2)?)?;
    let count = context.reshape(&count, &[1]);
    let overlap = match op {
        "NonMaxSuppression" => {
            context.emitter.floats("overlap", &[1], &[call.node.attrs.float("iou_threshold", 0.5)])
        }
        _ => {
            let name = context.name(call.input(3)?)?;
            context.reshape(&name, &[1])
        }
    };
    if let ("NonMaxSuppressionV5", Some(sigma)) = (op, call.inputs.get(5)) {
        let sigma = context.array(sigma)?;
        let is_zero = sigma.is_some_and(|sigma| sigma.to_f64s().is_ok_and(|list| list == [0.0]));
        if !is_zero {
            let way_out = "suppress boxes entirely (soft_nms_sigma=0)";
            return Err(Refusal::new("soft suppression", way_out));
        }
    }
    let boxes = context.with_axes("Unsqueeze", &boxes, &[0]);
    let all_scores = context.with_axes("Unsqueeze", &scores, &[0, 1]);
    let mut inputs = vec![boxes, all_scores, count, overlap];
    if let ("NonMaxSuppressionV3" | "NonMaxSuppressionV4" | "NonMaxSuppressionV5", Some(least)) =
        (op, call.inputs.get(4))
    {
        let name = context.name(least)?;
        inputs.push(context.reshape(&name, &[1]));
    }
    let found = context.add("NonMaxSuppression", &inputs);
    let column = context.emitter.integer("column", 2);
    let places = context.add_node(node("Gather", &[found, column]).with("axis", 1));
    let pads = call.node.attrs.bool("pad_to_max_output_size", false);
    let kept = context.add("Size", &[&places]);
    let kept = context.cast(&kept, ElementType::Int32);
    let (places, size) = match pads {
        true => {
            let most = most.filter(|&most| (0..MAX_BOXES).contains(&most));
            let most =
                most.ok_or_else(|| Refusal::new("padding to a size that is computed", ""))?;
            let size = usize::try_from(most).unwrap_or(0);
            (padded(context, &places, most), Dim::Fixed(size))
        }
        false => (places, Dim::Free),
    };
    let indices = context.cast(&places, ElementType::Int32);
    let indices = context.value(indices, ElementType::Int32, Some(vec![size.clone()]));
    let kept = context.value(kept, ElementType::Int32, Some(Vec::new()));
    Ok(match op {
        "NonMaxSuppressionV4" => vec![indices, kept],
        "NonMaxSuppressionV5" if pads => {
            let way_out = "use it without padding (pad_to_max_output_size=False)";
            return Err(Refusal::new("padding of the chosen scores", way_out));
        }
        "NonMaxSuppressionV5" => {
            let chosen = context.add_node(node("Gather", &[scores, places]).with("axis", 0));
            let element_type = call.input(1)?.element_type;
            vec![indices, context.value(chosen, element_type, Some(vec![size])), kept]
        }
        _ => vec![indices],
    })
}

/// A list with zeros behind it, up to a size.
fn padded(context: &mut Context<'_>, list: &str, size: i64) -> String {
    let zeros = context.emitter.integers("zeros", &vec![0; usize::try_from(size).unwrap_or(0)]);
    let joined = context.add_node(node("Concat", &[list, &zeros]).with("axis", 0));
    let lists = [("starts", 0), ("ends", size), ("axes", 0)];
    let [starts, ends, axes] = lists.map(|(name, value)| context.emitter.integers(name, &[value]));
    context.add("Slice", &[joined, starts, ends, axes])
}

pub(super) fn evaluate(given: &Given<'_>) -> Evaluated {
    let op = given.node.op.as_str();
    let (boxes, scores) = (given.input(0)?, given.input(1)?);
    let most = usize::try_from(given.integer(2)?).unwrap_or(0);
    let overlap = match op {
        "NonMaxSuppression" => f64::from(given.attrs().float("iou_threshold", 0.5)),
        _ => given.number(3)?,
    };
    let versions = ["NonMaxSuppressionV3", "NonMaxSuppressionV4", "NonMaxSuppressionV5"];
    let least = if versions.contains(&op) { given.number(4)? } else { f64::NEG_INFINITY };
    if op == "NonMaxSuppressionV5" && given.inputs.len() > 5 && given.number(5)? != 0.0 {
        return Err(EvaluateError::new("soft suppression is not covered"));
    }
    let values = scores.to_f64s()?;
    let corners = boxes.to_f64s()?;
    let corners: Vec<[f64; 4]> =
        corners.as_chunks::<4>().0.iter().map(|&found| sorted(found)).collect();
    if corners.len() != values.len() {
        return Err(EvaluateError::new("there is not one score for each box"));
    }
    let mut order: Vec<usize> = (0..values.len()).filter(|&at| values[at] > least).collect();
    order.sort_by(|&a, &b| values[b].total_cmp(&values[a]));
    let mut kept: Vec<usize> = Vec::new();
    for at in order {
        if kept.len() < most
            && kept.iter().all(|&other| shared(corners[at], corners[other]) <= overlap)
        {
            kept.push(at);
        }
    }
    let pads = given.attrs().bool("pad_to_max_output_size", false);
    let count = kept.len();
    if pads && most as i64 >= MAX_BOXES {
        return Err(EvaluateError::new(format!("{most} boxes are too many")));
    }
    let size = if pads { most } else { count };
    let fill = |mut list: Vec<f64>| {
        list.resize(size, 0.0);
        list
    };
    let indices = fill(kept.iter().map(|&at| at as f64).collect());
    let indices = Array::from_f64s(ElementType::Int32, &[size], indices)?;
    let valid = Array::from_f64s(ElementType::Int32, &[], vec![count as f64])?;
    Ok(match op {
        "NonMaxSuppressionV4" => vec![indices, valid],
        "NonMaxSuppressionV5" => {
            let chosen = fill(kept.iter().map(|&at| values[at]).collect());
            vec![indices, Array::from_f64s(scores.element_type(), &[size], chosen)?, valid]
        }
        _ => vec![indices],
    })
}

/// The lower corner first, whichever two corners there are.
fn sorted([y1, x1, y2, x2]: [f64; 4]) -> [f64; 4] {
    [y1.min(y2), x1.min(x2), y1.max(y2), x1.max(x2)]
}

/// The area that two boxes share, of that which they cover.
fn shared(a: [f64; 4], b: [f64; 4]) -> f64 {
    let area = |[y1, x1, y2, x2]: [f64; 4]| (y2 - y1) * (x2 - x1);
    if area(a) <= 0.0 || area(b) <= 0.0 {
        return 0.0;
    }
    let height = (a[2].min(b[2]) - a[0].max(b[0])).max(0.0);
    let width = (a[3].min(b[3]) - a[1].max(b[1])).max(0.0);
    let common = height * width;
    common / (area(a) + area(b) - common)
}
