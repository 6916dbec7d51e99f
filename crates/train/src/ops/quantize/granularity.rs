//! How many elements share a scale: all of them, those of one place along an axis, or a block.

use modelyard_tensor::Shape;

use crate::error::OpError;
use crate::math::broadcast::{self, Walk};
use crate::operator::Scope;
use crate::site::Site;

/// How scales lie along an array.
#[derive(Clone, Copy, Debug)]
pub(super) struct Granularity {
    axis: i64,
    /// Elements of the axis that share a scale; 0 for scales by element or one for all.
    block: usize,
}

/// Shapes of the same number of axes in which the scales broadcast to the elements.
pub(super) struct Aligned {
    elements: Shape,
    scales: Shape,
}

impl Granularity {
    pub(super) fn of(site: &Site<'_>) -> Result<Granularity, OpError> {
        let block = site.int("block_size", 0);
        let block = usize::try_from(block)
            .map_err(|_| OpError::new(format!("attribute block_size is {block}")))?;
        Ok(Granularity { axis: site.int("axis", 1), block })
    }

    pub(super) fn align(self, elements: &Shape, scales: &Shape) -> Result<Aligned, OpError> {
        let refuse = || {
            let blocks = match self.block {
                0 => String::new(),
                block => format!(" in blocks of {block}"),
            };
            OpError::new(format!(
                "scales of shape {scales} do not fit {elements} along axis {}{blocks}",
                self.axis
            ))
        };
        if self.block == 0 && scales.iter().product::<usize>() == 1 && scales.len() <= 1 {
            return Ok(Aligned { elements: elements.clone(), scales: Shape::default() });
        }
        let axis = crate::ops::axis(self.axis, elements.len())?;
        if self.block == 0 {
            if scales.dims() != [elements[axis]] {
                return Err(refuse());
            }
            let mut dims = vec![1; elements.len()];
            dims[axis] = elements[axis];
            return Ok(Aligned { elements: elements.clone(), scales: Shape::new(&dims) });
        }
        let fits = scales.len() == elements.len()
            && (0..elements.len()).all(|other| match other == axis {
                true => scales[axis].checked_mul(self.block) == Some(elements[axis]),
                false => scales[other] == elements[other],
            });
        if !fits {
            return Err(refuse());
        }
        let split = |block: usize| {
            let (before, after) = (&scales[..=axis], &scales[axis + 1..]);
            before.iter().chain([&block]).chain(after).copied().collect()
        };
        Ok(Aligned { elements: split(self.block), scales: split(1) })
    }
}

impl Aligned {
    /// `out = function(element, scale)`.
    #[inline(always)]
    pub(super) fn apply(
        &self,
        out: &mut [f32],
        both: (&[f32], &[f32]),
        function: impl Fn(f32, f32) -> f32,
    ) {
        let walk = Walk::new(&self.elements, &self.elements, &self.scales);
        broadcast::apply(out, &walk, both, function);
    }

    /// `out = function(out, scale or zero)`.
    #[inline(always)]
    pub(super) fn update(
        &self,
        out: &mut [f32],
        scales: &[f32],
        function: impl Fn(f32, f32) -> f32,
    ) {
        let walk = Walk::new(&self.elements, &self.scales, &[]);
        let scales = (scales, &[()][..]);
        broadcast::update(out, &walk, scales, |out, scale, ()| *out = function(*out, scale));
    }

    /// Sums over all elements that share a scale.
    pub(super) fn sum(&self, scope: &mut Scope<'_>, values: Vec<f32>) -> Vec<f32> {
        broadcast::sum_to(scope.buffers, values, &self.elements, &self.scales)
    }
}
