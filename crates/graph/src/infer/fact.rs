//! What is known of a value, and what a rule sees of its node.

use modelyard_tensor::Shape;

use super::Trust;
use crate::{Constant, ElementType, Node};

/// Integers are followed through nodes up to this many: shapes, axes, slices.
pub(crate) const MOST_VALUES: usize = 1024;

/// What is known of a tensor.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fact {
    pub(crate) element_type: ElementType,
    pub(crate) dims: Vec<usize>,
    /// The elements, where they are few and follow from shapes and constants. 53 bits are
    /// enough for any size; what is larger means "to the end" and saturates.
    pub(crate) values: Option<Vec<f64>>,
    /// Whether it is the same in every run.
    pub(crate) constant: bool,
    /// Whether its shape follows from inputs and constants by rules alone, and is no claim of
    /// the file.
    pub(crate) certain: bool,
}

impl Fact {
    pub(crate) fn new(element_type: ElementType, dims: &[usize]) -> Fact {
        Fact { element_type, dims: dims.to_vec(), values: None, constant: false, certain: false }
    }

    pub(crate) fn of_constant(constant: &Constant) -> Fact {
        let integers = constant.integers(MOST_VALUES);
        let values = integers
            .map(|values| values.into_iter().map(|value| value as f64).collect())
            .or_else(|| floats(constant));
        let certain = true;
        Fact { values, constant: true, certain, ..Fact::new(constant.element_type, &constant.dims) }
    }

    /// A small list of integers, as shapes are.
    pub(crate) fn integers(values: Vec<f64>) -> Fact {
        let dims = [values.len()];
        Fact::new(ElementType::Int64, &dims).with_values(Some(values))
    }

    /// The same with these elements, if they are as many as its shape says and not too many.
    pub(crate) fn with_values(mut self, values: Option<Vec<f64>>) -> Fact {
        self.values = values.filter(|values| {
            values.len() <= MOST_VALUES && Shape::new(&self.dims).elements() == Some(values.len())
        });
        self
    }

    /// The same type and another shape.
    pub(crate) fn with_dims(&self, dims: &[usize]) -> Fact {
        Fact::new(self.element_type, dims)
    }

    pub(crate) fn elements(&self) -> u64 {
        product(&self.dims)
    }

    /// Bytes it takes; strings count as their headers.
    pub(crate) fn bytes(&self) -> u64 {
        match self.element_type.bits() as u64 {
            0 => self.elements().saturating_mul(4),
            bits if bits < 8 => self.elements().div_ceil(8 / bits),
            bits => self.elements().saturating_mul(bits / 8),
        }
    }
}

fn floats(constant: &Constant) -> Option<Vec<f64>> {
    if constant.element_type != ElementType::Float32 || constant.elements()? > MOST_VALUES {
        return None;
    }
    let bytes = constant.bytes()?;
    Some(bytes.as_chunks().0.iter().map(|&value| f32::from_le_bytes(value).into()).collect())
}

/// The product, at most `u64::MAX`; 0 wins over anything.
pub(crate) fn product(dims: &[usize]) -> u64 {
    if dims.contains(&0) {
        return 0;
    }
    dims.iter().fold(1u64, |product, &dim| product.saturating_mul(dim as u64))
}

/// The elements at the given positions along each axis, row-major. Each axis comes with the
/// distance of its neighbours in `values`.
pub(crate) fn pick(values: &[f64], picked: &[(usize, Vec<usize>)]) -> Option<Vec<f64>> {
    let mut offsets = vec![0usize];
    for (stride, positions) in picked {
        let longer = offsets.len().checked_mul(positions.len())?;
        if longer > MOST_VALUES {
            return None;
        }
        offsets = offsets
            .iter()
            .flat_map(|offset| positions.iter().map(move |position| offset + position * stride))
            .collect();
    }
    offsets.into_iter().map(|offset| values.get(offset).copied()).collect()
}

/// Distances of neighbours along each axis, for a tensor whose elements are known (few).
pub(crate) fn strides(dims: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; dims.len()];
    for axis in (1..dims.len()).rev() {
        strides[axis - 1] = strides[axis].saturating_mul(dims[axis]);
    }
    strides
}

/// A node with what is known of its inputs.
pub(crate) struct Op<'a> {
    pub(crate) node: &'a Node,
    /// `None`: left out, or nothing is known of it.
    pub(crate) inputs: Vec<Option<&'a Fact>>,
    /// Version of the operator set of the node's domain.
    pub(crate) opset: i64,
    /// What to make of sizes that disagree, where sizes are made up and no real ones.
    pub(crate) trust: Option<Trust>,
}

impl<'a> Op<'a> {
    /// Whether sizes that disagree are taken for equal.
    pub(crate) fn is_trusting(&self) -> bool {
        self.trust == Some(Trust::Sizes)
    }

    pub(crate) fn input(&self, index: usize) -> Option<&'a Fact> {
        self.inputs.get(index).copied().flatten()
    }

    pub(crate) fn dims(&self, index: usize) -> Option<&'a [usize]> {
        self.input(index).map(|fact| fact.dims.as_slice())
    }

    pub(crate) fn values(&self, index: usize) -> Option<&'a [f64]> {
        self.input(index)?.values.as_deref()
    }

    /// The elements of an input as sizes, axes or positions.
    pub(crate) fn integers(&self, index: usize) -> Option<Vec<i64>> {
        Some(self.values(index)?.iter().map(|&value| value as i64).collect())
    }

    /// Whether the node states an input there, known or not.
    pub(crate) fn has(&self, index: usize) -> bool {
        self.node.input(index).is_some()
    }

    /// A list that older operator sets have as attribute and newer ones as input. The outer
    /// `None`: stated but not known. The inner one: not stated.
    pub(crate) fn list(&self, attribute: &str, index: usize) -> Option<Option<Vec<i64>>> {
        if let Some(list) = self.node.ints(attribute) {
            return Some(Some(list.to_vec()));
        }
        if self.has(index) { self.integers(index).map(Some) } else { Some(None) }
    }

    pub(crate) fn int(&self, name: &str, default: i64) -> i64 {
        self.node.int(name).unwrap_or(default)
    }

    /// The axis attribute of this name, counted from the front.
    pub(crate) fn axis(&self, name: &str, default: i64, rank: usize) -> Option<usize> {
        axis(self.int(name, default), rank)
    }
}

/// An axis counted from the front; negative ones count from the back.
pub(crate) fn axis(axis: i64, rank: usize) -> Option<usize> {
    let rank = rank as i64;
    let index = if axis < 0 { axis.checked_add(rank)? } else { axis };
    (0..rank).contains(&index).then_some(index as usize)
}

/// Axes counted from the front.
pub(crate) fn axes(list: &[i64], rank: usize) -> Option<Vec<usize>> {
    list.iter().map(|&item| axis(item, rank)).collect()
}

/// What a rule says of a node.
pub(crate) struct Answer {
    pub(crate) outputs: Vec<Option<Fact>>,
    pub(crate) flops: u64,
}

impl Answer {
    /// One output, made without arithmetic.
    pub(crate) fn one(fact: Fact) -> Answer {
        Answer { outputs: vec![Some(fact)], flops: 0 }
    }

    pub(crate) fn many(outputs: Vec<Fact>) -> Answer {
        Answer { outputs: outputs.into_iter().map(Some).collect(), flops: 0 }
    }

    pub(crate) fn flops(mut self, flops: u64) -> Answer {
        self.flops = flops;
        self
    }
}

/// A rule: what is known of the outputs given what is known of the inputs. `None` when that
/// does not suffice.
pub(crate) type Rule = fn(&Op<'_>) -> Option<Answer>;
