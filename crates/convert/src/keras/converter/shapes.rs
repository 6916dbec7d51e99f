//! Nodes that say the shape of a value anew, or move its axes.

use modelyard_tensor::Dim;

use super::{Converter, Size};
use crate::emitter::node;
use crate::keras::value::{Value, fixed};

impl Converter<'_> {
    /// The axes in another order.
    pub(crate) fn transpose(&mut self, value: &Value, permutation: &[usize]) -> Value {
        if permutation.iter().enumerate().all(|(index, &axis)| index == axis) {
            return value.clone();
        }
        let order: Vec<i64> = permutation.iter().map(|&axis| axis as i64).collect();
        let name = self.add(node("Transpose", &[&value.name]).with("perm", &order[..]));
        let dims = permutation.iter().map(|&axis| value.dims[axis].clone()).collect();
        self.value(name, dims, value.element_type)
    }

    /// From channels last to channels second.
    pub(crate) fn channels_first(&mut self, value: &Value) -> Value {
        let rank = value.rank();
        let mut order = vec![0, rank - 1];
        order.extend(1..rank - 1);
        self.transpose(value, &order)
    }

    /// From channels second to channels last.
    pub(crate) fn channels_last(&mut self, value: &Value) -> Value {
        let mut order = vec![0];
        order.extend(2..value.rank());
        order.push(1);
        self.transpose(value, &order)
    }

    /// The same elements in another shape. Sizes that are only known when the model runs are taken
    /// from the value then.
    pub(crate) fn reshape(&mut self, value: &Value, sizes: &[Size]) -> Value {
        let known: Vec<Option<i64>> = sizes.iter().map(|size| self.known(value, *size)).collect();
        let unknown = known.iter().filter(|size| size.is_none()).count();
        let has_rest = sizes.contains(&Size::Rest);
        // ONNX copies the size of the same axis for 0, and computes one size for -1.
        let mut by_rest = has_rest || unknown == 0;
        let target: Vec<Option<i64>> = sizes
            .iter()
            .zip(&known)
            .enumerate()
            .map(|(index, (size, known))| match (size, known) {
                (Size::Rest, _) => Some(-1),
                (_, Some(known)) => Some(*known),
                (Size::Axis(axis), None) if *axis == index => Some(0),
                (_, None) if !by_rest => {
                    by_rest = true;
                    Some(-1)
                }
                (_, None) => None,
            })
            .collect();
        let shape = match target.iter().copied().collect::<Option<Vec<i64>>>() {
            Some(target) => self.emitter.integers("shape", &target),
            None => self.dynamic_shape(value, sizes),
        };
        let dims = sizes.iter().map(|size| reshaped_dim(value, sizes, *size)).collect();
        let name = self.op("Reshape", &[&value.name, &shape]);
        self.value(name, dims, value.element_type)
    }

    fn known(&self, value: &Value, size: Size) -> Option<i64> {
        let known = match size {
            Size::Fixed(size) => Some(size),
            Size::Axis(axis) => value.size(axis),
            Size::Product(one, two) => value.size(one)?.checked_mul(value.size(two)?),
            Size::Rest => None,
        };
        known.and_then(|size| i64::try_from(size).ok())
    }

    /// A shape that is put together when the model runs.
    fn dynamic_shape(&mut self, value: &Value, sizes: &[Size]) -> String {
        let parts: Vec<String> = sizes
            .iter()
            .map(|&size| match (self.known(value, size), size) {
                (Some(known), _) => self.emitter.integers("size", &[known]),
                (None, Size::Axis(axis)) => self.size_of(value, axis),
                (None, Size::Product(one, two)) => {
                    let (one, two) = (self.size_of(value, one), self.size_of(value, two));
                    self.op("Mul", &[&one, &two])
                }
                (None, _) => self.emitter.integers("size", &[-1]),
            })
            .collect();
        self.add(node("Concat", &parts).with("axis", 0))
    }

    /// The size of an axis when the model runs, as a list of one.
    pub(crate) fn size_of(&mut self, value: &Value, axis: usize) -> String {
        if let Some(size) = value.size(axis).and_then(|size| i64::try_from(size).ok()) {
            return self.emitter.integers("size", &[size]);
        }
        let axis = axis as i64;
        let shape = node("Shape", &[&value.name]).with("start", axis).with("end", axis + 1);
        self.add(shape)
    }

    /// The shape when the model runs.
    pub(crate) fn shape_of(&mut self, value: &Value) -> String {
        let sizes: Option<Vec<i64>> =
            (0..value.rank()).map(|axis| self.known(value, Size::Axis(axis))).collect();
        match sizes {
            Some(sizes) => self.emitter.integers("shape", &sizes),
            None => self.op("Shape", &[&value.name]),
        }
    }

    /// New axes of size 1 at these places of the result.
    pub(crate) fn unsqueeze(&mut self, value: &Value, axes: &[usize]) -> Value {
        let list: Vec<i64> = axes.iter().map(|&axis| axis as i64).collect();
        let list = self.emitter.integers("axes", &list);
        let mut dims = value.dims.clone();
        let mut sorted = axes.to_vec();
        sorted.sort_unstable();
        for axis in sorted {
            dims.insert(axis.min(dims.len()), Dim::Fixed(1));
        }
        let name = self.op("Unsqueeze", &[&value.name, &list]);
        self.value(name, dims, value.element_type)
    }

    /// Without these axes, whose size is 1.
    pub(crate) fn squeeze(&mut self, value: &Value, axes: &[usize]) -> Value {
        let list: Vec<i64> = axes.iter().map(|&axis| axis as i64).collect();
        let list = self.emitter.integers("axes", &list);
        let kept = value.dims.iter().enumerate().filter(|(axis, _)| !axes.contains(axis));
        let dims = kept.map(|(_, dim)| dim.clone()).collect();
        let name = self.op("Squeeze", &[&value.name, &list]);
        self.value(name, dims, value.element_type)
    }
}

fn reshaped_dim(value: &Value, sizes: &[Size], size: Size) -> Dim {
    match size {
        Size::Fixed(size) => Dim::Fixed(size),
        Size::Axis(axis) => value.dims.get(axis).cloned().unwrap_or(Dim::Free),
        Size::Product(one, two) => {
            let product = value.size(one).zip(value.size(two));
            product.and_then(|(one, two)| one.checked_mul(two)).map_or(Dim::Free, Dim::Fixed)
        }
        Size::Rest => rest(value, sizes).map_or(Dim::Free, Dim::Fixed),
    }
}

/// The size that is left, where everything else is known or the same on both sides.
fn rest(value: &Value, sizes: &[Size]) -> Option<usize> {
    let mut used = vec![false; value.rank()];
    let mut divisor = 1usize;
    for size in sizes {
        match size {
            Size::Fixed(size) => divisor = divisor.checked_mul(*size)?,
            Size::Axis(axis) => *used.get_mut(*axis)? = true,
            Size::Product(one, two) => {
                *used.get_mut(*one)? = true;
                *used.get_mut(*two)? = true;
            }
            Size::Rest => {}
        }
    }
    let mut elements = 1usize;
    for (dim, used) in value.dims.iter().zip(used) {
        if !used {
            elements = elements.checked_mul(fixed(dim)?)?;
        }
    }
    (divisor > 0).then(|| elements / divisor)
}
