//! `_contrib_box_decode` and `_contrib_MultiBoxPrior`: boxes out of anchors, and anchors.

use super::super::site::Site;
use super::{Info, Op, Operator, Problem, at, info};
use crate::EvaluateError;
use crate::emitter::node;
use crate::reference::Array;

pub(super) const DECODE: Operator = Operator {
    names: &["_contrib_box_decode"],
    infer: |op, inputs| {
        let (input, anchors) = (info(inputs, 0)?, info(inputs, 1)?);
        Decode::of(op)?;
        let fits = match (input.dims.as_slice(), anchors.dims.as_slice()) {
            ([_, rows, 4], [1, others, 4]) => rows == others,
            _ => false,
        };
        match fits {
            true => Ok(vec![input.clone()]),
            false => {
                let (one, two) = (&input.dims, &anchors.dims);
                Err(Problem::shape(format!("{one:?} with anchors {two:?}")))
            }
        }
    },
    convert: convert_decode,
    evaluate: evaluate_decode,
};

pub(super) const PRIOR: Operator = Operator {
    names: &["_contrib_MultiBoxPrior", "MultiBoxPrior"],
    infer: |op, inputs| {
        let input = info(inputs, 0)?;
        let prior = Prior::of(op)?;
        let [_, _, height, width] = input.dims.as_slice() else {
            return Err(Problem::shape(format!("an image of shape {:?}", input.dims)));
        };
        let found = Info::new(input.kind, &[1, height * width * prior.count(), 4]);
        found.len()?;
        Ok(vec![found])
    },
    convert: |site| {
        let prior = Prior::of(&site.op)?;
        let (height, width, kind) = (site.size(0, 2)?, site.size(0, 3)?, site.kind()?);
        let values = prior.boxes(height, width);
        let values: Vec<f64> = values.into_iter().map(f64::from).collect();
        Ok(vec![site.numbers("anchors", kind, &[1, values.len() / 4, 4], &values)])
    },
    evaluate: |op, inputs| {
        let dims = at(inputs, 0)?.dims();
        let plane = dims.get(2).zip(dims.get(3));
        let (&height, &width) = plane.ok_or_else(|| EvaluateError::new("expected an image"))?;
        let values = Prior::of(op)?.boxes(height, width);
        Ok(vec![Array::floats(&[1, values.len() / 4, 4], values)?])
    },
};

struct Decode {
    deviations: [f64; 4],
    /// Largest logarithm of a size.
    most: Option<f64>,
    /// Whether anchors are corners, instead of center and size.
    corners: bool,
}

impl Decode {
    fn of(op: &Op<'_>) -> Result<Decode, Problem> {
        let number = |key, default| op.attributes.float_or(key, default);
        let corners = match op.attributes.text("format").unwrap_or("center") {
            "corner" => true,
            "center" => false,
            other => return Err(Problem::shape(format!("there is no format '{other}'"))),
        };
        Ok(Decode {
            deviations: [
                number("std0", 1.0)?,
                number("std1", 1.0)?,
                number("std2", 1.0)?,
                number("std3", 1.0)?,
            ],
            most: Some(number("clip", -1.0)?).filter(|&most| most > 0.0),
            corners,
        })
    }
}

/// Centers and sizes apart: columns 0 and 1, 2 and 3.
fn convert_decode(site: &mut Site<'_>) -> Result<Vec<String>, Problem> {
    let (decode, kind) = (Decode::of(&site.op)?, site.kind()?);
    let (x, anchors) = (site.input(0)?, site.input(1)?);
    let half = site.number("half", kind, 0.5);
    let mut center = site.slice(&anchors, 2, 0, 2);
    let mut size = site.slice(&anchors, 2, 2, 4);
    if decode.corners {
        size = site.op("Sub", &[&size, &center]);
        let middle = site.op("Mul", &[&size, &half]);
        center = site.op("Add", &[&center, &middle]);
    }
    let deviations = site.numbers("deviations", kind, &[4], &decode.deviations);
    let x = site.op("Mul", &[&x, &deviations]);
    let (moved, grown) = (site.slice(&x, 2, 0, 2), site.slice(&x, 2, 2, 4));
    let moved = site.op("Mul", &[&moved, &size]);
    let center = site.op("Add", &[&moved, &center]);
    let grown = match decode.most {
        Some(most) => {
            let most = site.number("most", kind, most);
            site.op("Min", &[&grown, &most])
        }
        None => grown,
    };
    let factor = site.op("Exp", &[&grown]);
    let size = site.op("Mul", &[&factor, &size]);
    let size = site.op("Mul", &[&size, &half]);
    let corners = [site.op("Sub", &[&center, &size]), site.op("Add", &[&center, &size])];
    Ok(vec![site.add(node("Concat", &corners).with("axis", 2))])
}

fn evaluate_decode(op: &Op<'_>, inputs: &[&Array]) -> Result<Vec<Array>, EvaluateError> {
    let decode = Decode::of(op)?;
    let (x, anchors) = (at(inputs, 0)?, at(inputs, 1)?);
    let (values, anchors) = (x.as_floats()?.as_chunks::<4>().0, anchors.as_floats()?);
    let anchors = anchors.as_chunks::<4>().0;
    let mut found = Vec::with_capacity(values.len() * 4);
    for (value, anchor) in values.iter().zip(anchors.iter().cycle()) {
        let mut middle = [anchor[0], anchor[1]];
        let mut size = [anchor[2], anchor[3]];
        if decode.corners {
            size = [anchor[2] - anchor[0], anchor[3] - anchor[1]];
            middle = [anchor[0] + size[0] * 0.5, anchor[1] + size[1] * 0.5];
        }
        let half = |axis: usize| {
            let log = value[axis + 2] * decode.deviations[axis + 2] as f32;
            let log = decode.most.map_or(log, |most| log.min(most as f32));
            log.exp() * size[axis] * 0.5
        };
        let moved =
            |axis: usize| value[axis] * decode.deviations[axis] as f32 * size[axis] + middle[axis];
        let ([x, y], [width, height]) = ([moved(0), moved(1)], [half(0), half(1)]);
        found.extend([x - width, y - height, x + width, y + height]);
    }
    Ok(vec![Array::floats(x.dims(), found)?])
}

struct Prior {
    sizes: Vec<f32>,
    ratios: Vec<f32>,
    clip: bool,
    /// Distance of centers, where it is not that of the elements: of height and width.
    steps: [f32; 2],
    offsets: [f32; 2],
}

impl Prior {
    fn of(op: &Op<'_>) -> Result<Prior, Problem> {
        let list = |key, default: &[f64]| -> Result<Vec<f32>, Problem> {
            let found = op.attributes.floats(key)?.unwrap_or_default();
            let found = if found.is_empty() { default.to_vec() } else { found };
            Ok(found.into_iter().map(|value| value as f32).collect())
        };
        let pair = |key, default: f64| match list(key, &[default; 2])?.as_slice() {
            [one, two] => Ok([*one, *two]),
            _ => Err(Problem::shape(format!("expected attribute '{key}' to be a pair"))),
        };
        Ok(Prior {
            sizes: list("sizes", &[1.0])?,
            ratios: list("ratios", &[1.0])?,
            clip: op.attributes.flag_or("clip", false)?,
            steps: pair("steps", -1.0)?,
            offsets: pair("offsets", 0.5)?,
        })
    }

    /// Boxes of one element: all sizes with the first ratio, the first size with all other ratios.
    fn count(&self) -> usize {
        (self.sizes.len() + self.ratios.len()).saturating_sub(1)
    }

    fn boxes(&self, height: usize, width: usize) -> Vec<f32> {
        let (rows, columns) = (height as f32, width as f32);
        let step = |given: f32, size: f32| if given > 0.0 { given } else { 1.0 / size };
        let (step_y, step_x) = (step(self.steps[0], rows), step(self.steps[1], columns));
        let first = |list: &[f32]| list.first().copied().unwrap_or(1.0);
        let by_size = self.sizes.iter().map(|&size| (size, first(&self.ratios)));
        let by_ratio = self.ratios.iter().skip(1).map(|&ratio| (first(&self.sizes), ratio));
        let kinds: Vec<(f32, f32)> = by_size.chain(by_ratio).collect();
        let mut found = Vec::new();
        for row in 0..height {
            let y = (row as f32 + self.offsets[0]) * step_y;
            for column in 0..width {
                let x = (column as f32 + self.offsets[1]) * step_x;
                for (size, ratio) in &kinds {
                    let root = ratio.sqrt();
                    let (half, tall) = (size * rows / columns * root / 2.0, size / root / 2.0);
                    found.extend([x - half, y - tall, x + half, y + tall]);
                }
            }
        }
        if self.clip {
            found.iter_mut().for_each(|value| *value = value.clamp(0.0, 1.0));
        }
        found
    }
}
