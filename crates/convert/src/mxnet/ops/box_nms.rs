//! `_contrib_box_nms`: of boxes that overlap only the best are kept.
//!
//! Rows are sorted by score; those that are kept come first, and all others are filled with -1.
//!
//! ONNX's own operator answers with a list of places, and knows classes only as separate scores. So
//! most of it is written out: a matrix says which box suppresses which, and keeping is repeated
//! until nothing changes. Boxes without classes, of which there can be thousands, go through
//! `NonMaxSuppression`.

mod writer;

use self::writer::Writer;
use super::super::site::Site;
use super::{Op, Operator, Problem, at, info, same};
use crate::EvaluateError;
use crate::reference::Array;

pub(super) const OPERATOR: Operator = Operator {
    names: &["_contrib_box_nms", "_contrib_box_non_maximum_suppression"],
    infer: |op, inputs| {
        let input = info(inputs, 0)?;
        let nms = Nms::of(op)?;
        let columns = input.dims.last().copied().unwrap_or(0);
        if !(2..=3).contains(&input.rank()) || !nms.fits(columns) {
            return Err(Problem::shape(format!("boxes of shape {:?}", input.dims)));
        }
        same(op, inputs)
    },
    convert,
    evaluate,
};

#[derive(Clone, Debug)]
struct Nms {
    /// Boxes suppress others whose overlap (intersection over union) is larger.
    overlap: f64,
    /// Boxes with a score that is not above this are dropped.
    valid: f64,
    /// How many boxes are looked at.
    most: Option<usize>,
    coordinates: usize,
    score: usize,
    /// Where the class stands.
    class: Option<usize>,
    /// This class is dropped.
    background: Option<f64>,
    /// Whether boxes suppress those of other classes.
    force: bool,
    /// Whether boxes are center and size, instead of corners: before and after.
    centers: (bool, bool),
}

impl Nms {
    fn of(op: &Op<'_>) -> Result<Nms, Problem> {
        let attributes = op.attributes;
        let place = |key, default| Ok(usize::try_from(attributes.int_or(key, default)?).ok());
        let center = |key| match attributes.text(key).unwrap_or("corner") {
            "corner" => Ok(false),
            "center" => Ok(true),
            other => Err(Problem::shape(format!("there is no format '{other}'"))),
        };
        let background = attributes.int_or("background_id", -1)?;
        Ok(Nms {
            overlap: attributes.float_or("overlap_thresh", 0.5)?,
            valid: attributes.float_or("valid_thresh", 0.0)?,
            most: place("topk", -1)?.filter(|&most| most > 0),
            coordinates: place("coord_start", 2)?.unwrap_or(2),
            score: place("score_index", 1)?.unwrap_or(1),
            class: place("id_index", -1)?,
            background: (background >= 0).then_some(background as f64),
            force: attributes.flag_or("force_suppress", false)?,
            centers: (center("in_format")?, center("out_format")?),
        })
    }

    fn fits(&self, columns: usize) -> bool {
        self.coordinates + 4 <= columns
            && self.score < columns
            && self.class.is_none_or(|class| class < columns)
    }

    /// Whether classes keep boxes apart.
    fn by_class(&self) -> Option<usize> {
        self.class.filter(|_| !self.force)
    }
}

/// More boxes than this, and a matrix of all pairs is too large.
const PAIRS: usize = 1024;

fn convert(site: &mut Site<'_>) -> Result<Vec<String>, Problem> {
    let nms = Nms::of(&site.op)?;
    let (rank, kind) = (site.rank()?, site.kind()?);
    let rows = site.known(0)?.dims.get(rank - 2).copied().flatten();
    let columns = site.size(0, rank - 1)? as i64;
    let mut x = site.input(0)?;
    if rank == 2 {
        x = site.unsqueeze(&x, &[0]);
    }
    let looked = nms.most.into_iter().chain(rows).min();
    if nms.by_class().is_some() && looked.is_none_or(|looked| looked > PAIRS) {
        let way_out = "look at fewer: `net.set_nms(nms_topk=400)` before exporting";
        return Err(Problem::refused(format!("more than {PAIRS} boxes of many classes"), way_out));
    }
    let mut writer = Writer { site, nms, kind, columns };
    let count = writer.count(&x, rows);
    let (sorted, scores) = writer.sorted(&x, &count);
    let places = writer.places(&scores);
    let keep = match looked {
        Some(looked) if looked <= PAIRS => writer.keep(&sorted, &scores, &places),
        _ => writer.keep_by_operator(&sorted, &scores),
    };
    let kept = writer.compacted(&sorted, &keep, &places, &count);
    let mut found = writer.filled(&kept, &x, &count);
    if rank == 2 {
        found = site.squeeze(&found, &[0]);
    }
    Ok(vec![found])
}

fn evaluate(op: &Op<'_>, inputs: &[&Array]) -> Result<Vec<Array>, EvaluateError> {
    let nms = Nms::of(op)?;
    let x = at(inputs, 0)?;
    let (columns, rows) = match x.dims() {
        [.., rows, columns] if nms.fits(*columns) => (*columns, *rows),
        found => return Err(EvaluateError::new(format!("boxes of shape {found:?}"))),
    };
    let values = x.as_floats()?;
    let mut found = Vec::with_capacity(values.len());
    for image in values.chunks((rows * columns).max(1)) {
        let kept = kept(&nms, image, columns);
        for row in &kept {
            found.extend(nms.reformatted(row));
        }
        found.resize(found.len() + (rows - kept.len()) * columns, -1.0);
    }
    Ok(vec![Array::floats(x.dims(), found)?])
}

/// The rows that are kept, the best first.
fn kept<'a>(nms: &Nms, image: &'a [f32], columns: usize) -> Vec<&'a [f32]> {
    let mut rows: Vec<&[f32]> = image
        .chunks(columns)
        .filter(|row| {
            let background = nms.class.zip(nms.background);
            f64::from(row[nms.score]) > nms.valid
                && background.is_none_or(|(class, background)| f64::from(row[class]) != background)
        })
        .collect();
    rows.sort_by(|one, two| two[nms.score].total_cmp(&one[nms.score]));
    rows.truncate(nms.most.unwrap_or(usize::MAX));
    let mut kept: Vec<&[f32]> = Vec::new();
    for row in rows {
        let suppressed = kept.iter().any(|better| {
            let apart = nms.by_class().is_some_and(|class| better[class] != row[class]);
            !apart && overlap(nms.corners(better), nms.corners(row)) > nms.overlap as f32
        });
        if !suppressed {
            kept.push(row);
        }
    }
    kept
}

impl Nms {
    fn corners(&self, row: &[f32]) -> [f32; 4] {
        let mut found = [0.0; 4];
        found.copy_from_slice(&row[self.coordinates..self.coordinates + 4]);
        if self.centers.0 {
            let [x, y, width, height] = found;
            found = [x - width / 2.0, y - height / 2.0, x + width / 2.0, y + height / 2.0];
        }
        found
    }

    fn reformatted(&self, row: &[f32]) -> Vec<f32> {
        let mut found = row.to_vec();
        let corners = self.corners(row);
        let changed = match self.centers {
            (true, false) => corners,
            (false, true) => {
                let [left, top, right, bottom] = corners;
                [(left + right) / 2.0, (top + bottom) / 2.0, right - left, bottom - top]
            }
            _ => return found,
        };
        found[self.coordinates..self.coordinates + 4].copy_from_slice(&changed);
        found
    }
}

/// Intersection over union.
fn overlap(one: [f32; 4], two: [f32; 4]) -> f32 {
    let area = |[left, top, right, bottom]: [f32; 4]| {
        let (width, height) = (right - left, bottom - top);
        if width < 0.0 || height < 0.0 { 0.0 } else { width * height }
    };
    let length =
        |axis: usize| (one[axis + 2].min(two[axis + 2]) - one[axis].max(two[axis])).max(0.0);
    let shared = length(0) * length(1);
    shared / (area(one) + area(two) - shared)
}
