//! What is known of the sizes of values: which are fixed, which are equal.
//!
//! Shapes are inferred several times, with different sizes for everything that the model leaves
//! open. A size that comes out the same each time is fixed; two that are equal each time are equal.

use std::collections::HashMap;

use crate::infer::{self, Inferred, Open, Trust};
use crate::{ElementType, Model};

/// Times that shapes are inferred.
const RUNS: usize = 5;

/// What is open has these sizes, times [`STEPS`]. In the first two runs they are large, stay apart
/// when they are halved several times, and are even; networks of images and sounds go through. The
/// third has small sizes and the fourth odd ones, which show what was cut or rounded; in the fifth
/// all are 1, which no slice leaves as it is but one of a single element. These may fail.
const SIZES: [[usize; 16]; RUNS] = [
    [3, 7, 13, 19, 29, 37, 43, 53, 61, 71, 79, 89, 101, 107, 113, 131],
    [5, 11, 17, 23, 31, 41, 47, 59, 67, 73, 83, 97, 103, 109, 127, 137],
    [2, 1, 3, 5, 7, 4, 6, 8, 9, 11, 13, 15, 17, 19, 21, 23],
    [
        10007, 10009, 10037, 10039, 10061, 10067, 10069, 10079, 10091, 10093, 10099, 10103, 10111,
        10133, 10139, 10141,
    ],
    [1; 16],
];
const STEPS: [usize; RUNS] = [4096, 4096, 1, 1, 1];

/// Large sizes may be larger than a model takes, as sentences are than its table of positions. What
/// then is the same in the third and the fifth run too, in which nothing may disagree, is the same in
/// every run.
const TRUST: [Trust; RUNS] =
    [Trust::Sizes, Trust::Sizes, Trust::Nothing, Trust::Sizes, Trust::Nothing];

/// A size, in all inferences.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Size([usize; RUNS]);

impl Size {
    /// A size that is always the same.
    pub(super) const fn of(size: usize) -> Size {
        Size([size; RUNS])
    }

    /// The size, if it is always the same.
    pub(super) fn fixed(self) -> Option<usize> {
        self.0.iter().all(|size| *size == self.0[0]).then_some(self.0[0])
    }

    pub(super) fn is_one(self) -> bool {
        self == Size::of(1)
    }

    /// A size that it may well have, to weigh costs.
    pub(super) fn usual(self) -> usize {
        self.fixed().unwrap_or((self.0[0] >> 6).max(1))
    }

    /// Some size that it may have.
    pub(super) fn example(self) -> usize {
        self.0[0]
    }
}

/// The product of sizes; `None` on overflow.
pub(super) fn product(sizes: &[Size]) -> Option<Size> {
    sizes.iter().try_fold(Size::of(1), |product, size| {
        let mut products = product.0;
        for (product, size) in products.iter_mut().zip(size.0) {
            *product = product.checked_mul(size)?;
        }
        Some(Size(products))
    })
}

/// All sizes, if all are fixed.
pub(super) fn fixed(sizes: &[Size]) -> Option<Vec<usize>> {
    sizes.iter().map(|size| size.fixed()).collect()
}

/// What is known of a value.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    pub(super) element_type: Option<ElementType>,
    pub(super) rank: Option<usize>,
    pub(super) dims: Option<Vec<Size>>,
    /// The elements, where they are a few integers that are the same in every run.
    pub(super) integers: Option<Vec<i64>>,
}

impl Known {
    /// Takes what all runs that came through say; the first run stands for those that did not.
    fn agree(&mut self, runs: &[&Inferred]) {
        let Some((first, rest)) = runs.split_first() else { return };
        let rank = first.dims.len();
        let element_type = first.element_type;
        let is_same_type = rest.iter().all(|run| run.element_type == element_type);
        self.element_type = is_same_type.then_some(element_type);
        self.rank = rest.iter().all(|run| run.dims.len() == rank).then_some(rank);
        if self.rank.is_none() {
            return;
        }
        let size = |axis: usize| {
            let mut sizes = [first.dims[axis]; RUNS];
            for (size, run) in sizes.iter_mut().zip(runs) {
                *size = run.dims[axis];
            }
            Size(sizes)
        };
        self.dims = Some((0..first.dims.len()).map(size).collect());
        let same = rest.iter().all(|run| run.integers == first.integers);
        self.integers = first.integers.clone().filter(|_| same);
    }
}

/// What is known of the values of a model, by their names.
#[derive(Default)]
pub(super) struct Facts {
    known: HashMap<String, Known>,
}

impl Facts {
    pub(super) fn of(model: &Model) -> Facts {
        let kinds = model.kinds().into_iter().map(|(name, kind)| {
            let (element_type, rank) = (Some(kind.element_type), Some(kind.rank));
            (name, Known { element_type, rank, ..Known::default() })
        });
        let mut known: HashMap<String, Known> = kinds.collect();
        let open = Open::of(&model.graph);
        let infer = |run: usize, trust| {
            infer::shapes(model, &open.sizes(&model.graph, |index| choice(run, index)), trust)
        };
        let runs: [_; RUNS] = std::array::from_fn(|run| infer(run, Trust::Nothing));
        if runs[2].keys().any(|name| !runs[0].contains_key(name)) {
            let trusting: [_; RUNS] = std::array::from_fn(|run| infer(run, TRUST[run]));
            for name in trusting[2].keys() {
                let found: Option<Vec<&Inferred>> =
                    trusting.iter().map(|run| run.get(name)).collect();
                if let Some(found) = found.filter(|_| !runs[0].contains_key(name)) {
                    known.entry(name.clone()).or_default().agree(&found);
                }
            }
        }
        for name in runs[0].keys().filter(|name| runs[1].contains_key(*name)) {
            let found: Vec<&Inferred> = runs.iter().filter_map(|run| run.get(name)).collect();
            known.entry(name.clone()).or_default().agree(&found);
        }
        Facts { known }
    }

    pub(super) fn get(&self, name: &str) -> Known {
        self.known.get(name).cloned().unwrap_or_default()
    }
}

/// The size of the open dimension with this index.
fn choice(run: usize, index: usize) -> usize {
    let sizes = SIZES[run];
    let (size, round) = (sizes[index % sizes.len()], index / sizes.len());
    size * STEPS[run] * (2 * round + 1)
}

#[cfg(test)]
mod tests {
    use modelyard_tensor::{DataType, Dim};

    use super::*;
    use crate::{GraphBuilder, Node};

    #[test]
    fn open_sizes_are_neither_fixed_nor_equal() {
        let dims = [Dim::Symbol("n".into()), Dim::Free, Dim::Free, Dim::Fixed(4)];
        let model = GraphBuilder::new("g")
            .input("x", DataType::Fp32, &dims)
            .node(Node::new("Relu", &["x"], &["y"]))
            .output("y", DataType::Fp32, &dims)
            .model();
        let dims = Facts::of(&model).get("y").dims.unwrap();
        assert_eq!(
            dims.iter().map(|dim| dim.fixed()).collect::<Vec<_>>(),
            [None, None, None, Some(4)]
        );
        assert!(dims[1] != dims[2] && dims[0] != dims[1]);
    }

    #[test]
    fn what_a_slice_leaves_of_an_open_size_is_not_fixed() {
        let dims = [Dim::Symbol("n".into()), Dim::Fixed(4)];
        let model = GraphBuilder::new("g")
            .input("x", DataType::Fp32, &dims)
            .integers("start", &[1], &[0])
            .integers("end", &[1], &[2])
            .node(Node::new("Slice", &["x", "start", "end", "start"], &["y"]))
            .output("y", DataType::Fp32, &[Dim::Free, Dim::Fixed(4)])
            .model();
        let dims = Facts::of(&model).get("y").dims.unwrap();
        assert_eq!(dims[0].fixed(), None);
    }

    /// As single shot detectors cut their anchors: what is too small for the pool says nothing, and any
    /// size that is not takes all of the table.
    #[test]
    fn a_table_that_is_cut_like_an_image_is_not_whole() {
        let dims = [Dim::Free, Dim::Fixed(1), Dim::Free, Dim::Free];
        let model = GraphBuilder::new("g")
            .input("x", DataType::Fp32, &dims)
            .integers("table", &[4], &[5, 6, 7, 8])
            .integers("start", &[1], &[0])
            .integers("one", &[1], &[1])
            .node(Node::new("MaxPool", &["x"], &["pooled"]).with("kernel_shape", [7, 7]))
            .node(Node::new("Shape", &["pooled"], &["sizes"]))
            .node(Node::new("Slice", &["sizes", "start", "one", "start"], &["batch"]))
            .node(Node::new("Slice", &["table", "start", "batch", "start"], &["y"]))
            .output("y", DataType::Int64, &[Dim::Free])
            .model();
        let dims = Facts::of(&model).get("y").dims;
        assert!(dims.is_none_or(|dims| dims[0].fixed().is_none()));
    }
}
