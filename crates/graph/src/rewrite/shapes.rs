//! What is known of the sizes of values: which are fixed, which are equal.
//!
//! Shapes are inferred twice, with different sizes for everything that the model leaves open. A
//! size that comes out the same both times is fixed; two that are equal both times are equal.

use std::collections::{BTreeMap, HashMap};

use modelyard_tensor::Dim;

use crate::infer::{self, Sizes};
use crate::{ElementType, Model};

/// Sizes for what is open are these primes times [`STEP`]: they stay apart when they are divided,
/// and what halves them several times finds them even.
const PRIMES: [[usize; 16]; 2] = [
    [3, 7, 13, 19, 29, 37, 43, 53, 61, 71, 79, 89, 101, 107, 113, 131],
    [5, 11, 17, 23, 31, 41, 47, 59, 67, 73, 83, 97, 103, 109, 127, 137],
];
const STEP: usize = 64;

/// A size, in both inferences.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Size(usize, usize);

impl Size {
    /// A size that is always the same.
    pub(super) const fn of(size: usize) -> Size {
        Size(size, size)
    }

    /// The size, if it is always the same.
    pub(super) fn fixed(self) -> Option<usize> {
        (self.0 == self.1).then_some(self.0)
    }

    pub(super) fn is_one(self) -> bool {
        self == Size::of(1)
    }

    /// Some size that it may have.
    pub(super) fn example(self) -> usize {
        self.0
    }
}

/// The product of sizes; `None` on overflow.
pub(super) fn product(sizes: &[Size]) -> Option<Size> {
    sizes.iter().try_fold(Size::of(1), |product, size| {
        Some(Size(product.0.checked_mul(size.0)?, product.1.checked_mul(size.1)?))
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
        let [one, mut two] = [0, 1].map(|run| infer::shapes(model, &sizes(model, run)));
        for (name, one) in one {
            if let (Some(known), Some(two)) = (known.get_mut(&name), two.remove(&name))
                && one.dims.len() == two.dims.len()
            {
                let dims = one.dims.into_iter().zip(two.dims);
                known.dims = Some(dims.map(|(one, two)| Size(one, two)).collect());
                known.integers = one.integers.filter(|one| two.integers.as_ref() == Some(one));
            }
        }
        Facts { known }
    }

    pub(super) fn get(&self, name: &str) -> Known {
        self.known.get(name).cloned().unwrap_or_default()
    }
}

/// Sizes for what `model` leaves open: of each symbol, and of each input's dimension without one.
fn sizes(model: &Model, run: usize) -> Sizes {
    let mut count = 0;
    let mut next = || {
        let primes = PRIMES[run];
        let (prime, round) = (primes[count % primes.len()], count / primes.len());
        count += 1;
        prime * STEP * (2 * round + 1)
    };
    let mut symbols: BTreeMap<String, usize> = BTreeMap::new();
    let mut inputs = BTreeMap::new();
    for input in &model.graph.inputs {
        let Some((_, Some(dims))) = input.value_type.as_tensor() else { continue };
        let dims = dims.iter().map(|dim| match dim {
            Dim::Fixed(size) => *size,
            Dim::Symbol(name) => *symbols.entry(name.clone()).or_insert_with(&mut next),
            Dim::Free => next(),
        });
        inputs.insert(input.name.clone(), dims.collect());
    }
    Sizes { symbols, inputs }
}

#[cfg(test)]
mod tests {
    use modelyard_tensor::DataType;

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
}
