//! The nodes that keep the best of boxes that overlap.

use modelyard_graph::{AttributeValue, ElementType};
use modelyard_tensor::Dim;

use super::super::super::site::Site;
use super::Nms;
use crate::emitter::node;

/// More than there are boxes, and exact as a float.
const FAR: f64 = (1 << 23) as f64;

pub(super) struct Writer<'a, 'b> {
    pub(super) site: &'a mut Site<'b>,
    pub(super) nms: Nms,
    pub(super) kind: ElementType,
    pub(super) columns: i64,
}

impl Writer<'_, '_> {
    fn number(&mut self, name: &str, value: f64) -> String {
        self.site.number(name, self.kind, value)
    }

    /// Column `index` of rows, as `[batch, rows, 1]`.
    fn column(&mut self, rows: &str, index: usize) -> String {
        self.site.slice(rows, 2, index as i64, index as i64 + 1)
    }

    /// How many rows are looked at, as a list of one.
    pub(super) fn count(&mut self, x: &str, rows: Option<usize>) -> String {
        match (self.nms.most, rows) {
            (Some(most), Some(rows)) => self.site.ints("count", &[most.min(rows) as i64]),
            (None, Some(rows)) => self.site.ints("count", &[rows as i64]),
            (most, None) => {
                let rows = self.site.shape(x, 1, 2);
                match most {
                    Some(most) => {
                        let most = self.site.ints("most", &[most as i64]);
                        self.site.op("Min", &[&rows, &most])
                    }
                    None => rows,
                }
            }
        }
    }

    /// The best rows by score, and their scores: negative infinity for those that are not valid.
    pub(super) fn sorted(&mut self, x: &str, count: &str) -> (String, String) {
        let score = self.column(x, self.nms.score);
        let valid = self.number("valid", self.nms.valid);
        let mut is_valid = self.site.op("Greater", &[&score, &valid]);
        if let Some((class, background)) = self.nms.class.zip(self.nms.background) {
            let class = self.column(x, class);
            let background = self.number("background", background);
            let is = self.site.op("Equal", &[&class, &background]);
            let other = self.site.op("Not", &[&is]);
            is_valid = self.site.op("And", &[&is_valid, &other]);
        }
        let never = self.number("never", f64::NEG_INFINITY);
        let score = self.site.op("Where", &[&is_valid, &score, &never]);
        let top = node("TopK", &[score.as_str(), count]).with("axis", 1);
        let top = self.site.emitter.add_many(top, 2);
        let (scores, places) = match top.as_slice() {
            [scores, places] => (scores.clone(), places.clone()),
            _ => (String::new(), String::new()),
        };
        (self.rows(x, &places), scores)
    }

    /// The rows at places `[batch, count, 1]`.
    fn rows(&mut self, x: &str, places: &str) -> String {
        let repeats = self.site.ints("repeats", &[1, 1, self.columns]);
        let places = self.site.op("Tile", &[places, &repeats]);
        self.site.add(node("GatherElements", &[x, &places]).with("axis", 1))
    }

    /// 0, 1, 2 and so on, as `[count]`.
    pub(super) fn places(&mut self, scores: &str) -> String {
        let count = self.site.shape(scores, 1, 2);
        let count = self.site.squeeze(&count, &[0]);
        let zero = self.site.emitter.integer("zero", 0);
        let one = self.site.emitter.integer("one", 1);
        let places = self.site.op("Range", &[&zero, &count, &one]);
        self.site.cast(&places, self.kind)
    }

    /// Left, top, right, bottom, each as `[batch, count, 1]`.
    fn corners(&mut self, rows: &str) -> [String; 4] {
        let first = self.nms.coordinates;
        let columns = [0, 1, 2, 3].map(|index| self.column(rows, first + index));
        if !self.nms.centers.0 {
            return columns;
        }
        let [x, y, width, height] = columns;
        let half = self.number("half", 0.5);
        let width = self.site.op("Mul", &[&width, &half]);
        let height = self.site.op("Mul", &[&height, &half]);
        [
            self.site.op("Sub", &[&x, &width]),
            self.site.op("Sub", &[&y, &height]),
            self.site.op("Add", &[&x, &width]),
            self.site.op("Add", &[&y, &height]),
        ]
    }

    fn across(&mut self, column: &str) -> String {
        self.site.transpose(column, &[0, 2, 1])
    }

    /// The length that two stretches share, for all pairs.
    fn shared(&mut self, start: &str, end: &str) -> String {
        let (starts, ends) = (self.across(start), self.across(end));
        let start = self.site.op("Max", &[start, &starts]);
        let end = self.site.op("Min", &[end, &ends]);
        let length = self.site.op("Sub", &[&end, &start]);
        self.site.op("Relu", &[&length])
    }

    /// 1 where the box of a row of the matrix suppresses that of a column: `[batch, count, count]`.
    fn suppresses(&mut self, rows: &str, places: &str) -> String {
        let [left, top, right, bottom] = self.corners(rows);
        let width = self.site.op("Sub", &[&right, &left]);
        let height = self.site.op("Sub", &[&bottom, &top]);
        let (width, height) = (self.site.op("Relu", &[&width]), self.site.op("Relu", &[&height]));
        let area = self.site.op("Mul", &[&width, &height]);
        let areas = self.across(&area);
        let shared = [self.shared(&left, &right), self.shared(&top, &bottom)];
        let shared = self.site.op("Mul", &[&shared[0], &shared[1]]);
        let both = self.site.op("Add", &[&area, &areas]);
        let union = self.site.op("Sub", &[&both, &shared]);
        let overlap = self.site.op("Div", &[&shared, &union]);
        let limit = self.number("limit", self.nms.overlap);
        let mut found = self.site.op("Greater", &[&overlap, &limit]);
        if let Some(class) = self.nms.by_class() {
            let class = self.column(rows, class);
            let classes = self.across(&class);
            let same = self.site.op("Equal", &[&class, &classes]);
            found = self.site.op("And", &[&found, &same]);
        }
        let before = self.site.unsqueeze(places, &[1]);
        let earlier = self.site.op("Less", &[&before, places]);
        let found = self.site.op("And", &[&found, &earlier]);
        self.site.cast(&found, self.kind)
    }

    /// 1 for boxes that are kept, as `[batch, 1, count]`: those that no box suppresses that is kept
    /// itself. Repeated from all of them on, this is right for one more box each time at least.
    pub(super) fn keep(&mut self, rows: &str, scores: &str, places: &str) -> String {
        let matrix = self.suppresses(rows, places);
        let never = self.number("never", f64::NEG_INFINITY);
        let valid = self.site.op("Greater", &[scores, &never]);
        let valid = self.site.cast(&valid, self.kind);
        let valid = self.across(&valid);
        let trips = self.site.op("Size", &[places]);
        let bytes = vec![1u8];
        let truth = modelyard_graph::Constant::raw("go_on", ElementType::Bool, &[], bytes);
        let truth = self.site.emitter.constant(truth);
        let around = self.site.emitter.begin_inner("keep");
        let name = |site: &mut Site<'_>, name: &str| site.emitter.unique(name);
        let (trip, go_on, kept) = (
            name(self.site, "keep.trip"),
            name(self.site, "keep.go_on"),
            name(self.site, "keep.kept"),
        );
        self.site.emitter.input(&trip, ElementType::Int64, Some(&[]));
        self.site.emitter.input(&go_on, ElementType::Bool, Some(&[]));
        let dims = [Dim::Free, Dim::Fixed(1), Dim::Free];
        self.site.emitter.input(&kept, self.kind, Some(&dims));
        let hits = self.site.op("MatMul", &[&kept, &matrix]);
        let zero = self.number("zero", 0.0);
        let free = self.site.op("Equal", &[&hits, &zero]);
        let free = self.site.cast(&free, self.kind);
        let next = self.site.op("Mul", &[&free, &valid]);
        let change = self.site.op("Sub", &[&next, &kept]);
        let change = self.site.op("Abs", &[&change]);
        let change = self.site.add(node("ReduceMax", &[&change]).with("keepdims", 0));
        let more = self.site.op("Greater", &[&change, &zero]);
        let outputs = [name(self.site, "keep.more"), name(self.site, "keep.next")];
        self.site.emitter.output(&outputs[0], &more, ElementType::Bool, Some(&[]));
        self.site.emitter.output(&outputs[1], &next, self.kind, Some(&dims));
        let body = self.site.emitter.end_inner(around);
        let found = node("Loop", &[trips, truth, valid])
            .with("body", AttributeValue::Graph(Box::new(body)));
        self.site.add(found)
    }

    /// The same by the operator that ONNX has, for boxes without classes.
    pub(super) fn keep_by_operator(&mut self, rows: &str, scores: &str) -> String {
        let corners = self.corners(rows);
        // Top, left, bottom, right.
        let boxes = [&corners[1], &corners[0], &corners[3], &corners[2]];
        let boxes = self.site.add(node("Concat", &boxes).with("axis", 2));
        let scores = self.across(scores);
        let most = self.site.ints("most", &[i64::from(i32::MAX)]);
        let overlap = self.site.emitter.floats("overlap", &[1], &[self.nms.overlap as f32]);
        let valid = self.site.emitter.floats("valid", &[1], &[self.nms.valid as f32]);
        let inputs = [boxes, scores.clone(), most, overlap, valid];
        let chosen = self.site.add(node("NonMaxSuppression", &inputs));
        let shape = self.site.op("Shape", &[&scores]);
        let zero = self.number("zero", 0.0);
        let none = self.site.op("Expand", &[&zero, &shape]);
        let count = self.site.shape(&chosen, 0, 1);
        let one = self.number("one", 1.0);
        let ones = self.site.op("Expand", &[&one, &count]);
        self.site.op("ScatterND", &[&none, &chosen, &ones])
    }

    /// Kept rows first, in their order; the others as -1.
    pub(super) fn compacted(
        &mut self,
        rows: &str,
        keep: &str,
        places: &str,
        count: &str,
    ) -> String {
        // Kept ones far above 0, the others below, falling in order.
        let one = self.number("one", 1.0);
        let place = self.site.op("Add", &[places, &one]);
        let far = self.number("far", FAR);
        let first = self.site.op("Sub", &[&far, &place]);
        let after = self.site.op("Neg", &[&place]);
        let half = self.number("half", 0.5);
        let is_kept = self.site.op("Greater", &[keep, &half]);
        let key = self.site.op("Where", &[&is_kept, &first, &after]);
        let key = self.across(&key);
        let top = node("TopK", &[key.as_str(), count]).with("axis", 1);
        let top = self.site.emitter.add_many(top, 2);
        let (keys, order) = match top.as_slice() {
            [keys, order] => (keys.clone(), order.clone()),
            _ => (String::new(), String::new()),
        };
        let mut rows = self.rows(rows, &order);
        if self.nms.centers.0 != self.nms.centers.1 {
            rows = self.reformatted(&rows);
        }
        let zero = self.number("zero", 0.0);
        let is_kept = self.site.op("Greater", &[&keys, &zero]);
        let gone = self.number("gone", -1.0);
        self.site.op("Where", &[&is_kept, &rows, &gone])
    }

    /// Boxes in the other format.
    fn reformatted(&mut self, rows: &str) -> String {
        let first = self.nms.coordinates as i64;
        let boxes = if self.nms.centers.0 {
            self.corners(rows)
        } else {
            let half = self.number("half", 0.5);
            let [left, top, right, bottom] = self.corners(rows);
            let mut center = |one: &str, two: &str| {
                let sum = self.site.op("Add", &[one, two]);
                self.site.op("Mul", &[&sum, &half])
            };
            let (x, y) = (center(&left, &right), center(&top, &bottom));
            let width = self.site.op("Sub", &[&right, &left]);
            let height = self.site.op("Sub", &[&bottom, &top]);
            [x, y, width, height]
        };
        let mut parts = Vec::new();
        if first > 0 {
            parts.push(self.site.slice(rows, 2, 0, first));
        }
        parts.extend(boxes);
        if first + 4 < self.columns {
            parts.push(self.site.slice(rows, 2, first + 4, self.columns));
        }
        self.site.add(node("Concat", &parts).with("axis", 2))
    }

    /// As many rows as there were, with -1 behind those that were looked at.
    pub(super) fn filled(&mut self, rows: &str, x: &str, count: &str) -> String {
        if self.nms.most.is_none() {
            return rows.to_owned();
        }
        let all = self.site.shape(x, 1, 2);
        let more = self.site.op("Sub", &[&all, count]);
        let none = self.site.ints("none", &[0]);
        let pads = [&none, &none, &none, &none, &more, &none];
        let pads = self.site.add(node("Concat", &pads).with("axis", 0));
        let gone = self.number("gone", -1.0);
        self.site.op("Pad", &[rows, &pads, &gone])
    }
}
