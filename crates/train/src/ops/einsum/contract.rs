//! One contraction: operands are permuted to stacks of matrices, multiplied, and the product
//! permuted to the result.

use std::borrow::Cow;

use super::equation::{Label, Sizes};
use crate::error::OpError;
use crate::math::broadcast::{self, Axis, Walk};
use crate::math::matmul::{self, Matrix, PLAIN};
use crate::math::vector;
use crate::operator::Scope;

/// An array whose axes have labels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Labelled<'a> {
    pub(super) data: &'a [f32],
    pub(super) labels: &'a [Label],
}

impl<'a> Labelled<'a> {
    /// The array with its axes in the order of `labels`. Axes that it does not have repeat it.
    fn permuted(self, sizes: &Sizes, labels: &[Label]) -> Cow<'a, [f32]> {
        if self.labels == labels {
            return Cow::Borrowed(self.data);
        }
        let stride = |label: Label| {
            let at = self.labels.iter().position(|&own| own == label);
            at.map_or(0, |at| sizes.product(&self.labels[at + 1..]))
        };
        let axes = labels.iter().map(|&label| (sizes.of(label), stride(label)));
        let walk = Walk::over(axes.map(|(size, stride)| Axis { size, strides: [stride, 0] }));
        let mut out = vec![0.0; sizes.product(labels)];
        let empty = [0f32];
        broadcast::apply(&mut out, &walk, (self.data, &empty), |value, _| value);
        Cow::Owned(out)
    }

    /// The array with its axes in the order of `labels`, summed over those that are not among
    /// them.
    fn summed(self, sizes: &Sizes, labels: &[Label]) -> Cow<'a, [f32]> {
        let left: Vec<Label> =
            self.labels.iter().copied().filter(|label| !labels.contains(label)).collect();
        let permuted = self.permuted(sizes, &[labels, &left].concat());
        if left.is_empty() {
            return permuted;
        }
        let size = sizes.product(&left);
        if size == 0 {
            return Cow::Owned(vec![0.0; sizes.product(labels)]);
        }
        Cow::Owned(permuted.chunks_exact(size).map(vector::sum).collect())
    }
}

/// The labels of `one` that satisfy `keep`.
fn filtered(one: &[Label], keep: impl Fn(&Label) -> bool) -> Vec<Label> {
    one.iter().copied().filter(keep).collect()
}

/// The contraction of one or two arrays to an array with these labels. Labels that no operand has
/// repeat the result along them; those that the result does not have are summed over.
pub(super) fn contract(
    scope: &mut Scope<'_>,
    sizes: &Sizes,
    (one, two): (Labelled<'_>, Option<Labelled<'_>>),
    result: &[Label],
) -> Result<Vec<f32>, OpError> {
    let Some(two) = two else {
        let kept = filtered(result, |label| one.labels.contains(label));
        let sum = one.summed(sizes, &kept);
        return Ok(Labelled { data: &sum, labels: &kept }.permuted(sizes, result).into_owned());
    };
    let both = filtered(one.labels, |label| two.labels.contains(label));
    let stack = filtered(&both, |label| result.contains(label));
    let depth = filtered(&both, |label| !result.contains(label));
    let kept = |label: &Label| !both.contains(label) && result.contains(label);
    let (rows, columns) = (filtered(one.labels, kept), filtered(two.labels, kept));
    let left = one.summed(sizes, &[&stack[..], &rows, &depth].concat());
    let right = two.summed(sizes, &[&stack[..], &depth, &columns].concat());
    let labels = [&stack[..], &rows, &columns].concat();
    let mut product = scope.buffers.zeros(sizes.product(&labels));
    let [m, k, n] = [&rows, &depth, &columns].map(|labels| sizes.product(labels));
    if k > 0 && !product.is_empty() {
        let pairs = left.chunks_exact(m * k).zip(right.chunks_exact(k * n));
        for (out, (left, right)) in product.chunks_exact_mut(m * n).zip(pairs) {
            matmul::multiply(out, Matrix::new(left, m, k), Matrix::new(right, k, n), PLAIN)?;
        }
    }
    if labels == result {
        return Ok(product);
    }
    let out = Labelled { data: &product, labels: &labels }.permuted(sizes, result).into_owned();
    scope.buffers.give(product);
    Ok(out)
}
