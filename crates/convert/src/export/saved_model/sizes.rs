//! Sizes of shapes, known or computed while TensorFlow runs, and what is written with them.

use modelyard_graph::ElementType;
use modelyard_tensor::Dim;

use super::op::Op;
use super::value::{Refusal, Tensor, Value};
use super::writer::Writer;

/// One size of a shape.
#[derive(Clone, Debug)]
pub(super) enum Size {
    Fixed(i64),
    /// A list of one 64-bit integer.
    Computed(Tensor),
}

/// A slice of one axis.
#[derive(Clone, Debug)]
pub(super) struct Cut {
    pub(super) axis: usize,
    /// From the first where there is none.
    pub(super) begin: Option<Size>,
    /// To the last where there is none.
    pub(super) end: Option<Size>,
    pub(super) step: i64,
}

impl Writer {
    /// `Reshape` to sizes, some of which are computed.
    pub(super) fn reshape_sizes(&mut self, x: &Tensor, sizes: &[Size]) -> Result<Tensor, Refusal> {
        let computed = sizes.iter().filter(|size| matches!(size, Size::Computed(_))).count();
        let has_rest = sizes.iter().any(|size| matches!(size, Size::Fixed(..=0)));
        if computed == 1 && !has_rest {
            let known = |size: &Size| match size {
                Size::Fixed(size) => *size,
                Size::Computed(_) => -1,
            };
            let sizes: Vec<i64> = sizes.iter().map(known).collect();
            return self.reshape(x, &sizes);
        }
        let shape = self.list("shape", sizes)?;
        Ok(self.reshape_to(x, &shape))
    }

    /// Sizes as one list.
    pub(super) fn list(&mut self, name: &str, sizes: &[Size]) -> Result<Tensor, Refusal> {
        let known = |size: &Size| match size {
            Size::Fixed(size) => Some(*size),
            Size::Computed(_) => None,
        };
        if let Some(values) = sizes.iter().map(known).collect::<Option<Vec<i64>>>() {
            return self.longs(name, &values);
        }
        let mut parts = Vec::with_capacity(sizes.len());
        for size in sizes {
            parts.push(match size {
                Size::Fixed(size) => self.longs(name, &[*size])?,
                Size::Computed(tensor) => tensor.clone(),
            });
        }
        self.concat(&parts, 0)
    }

    /// The shape as a list of 64-bit integers.
    pub(super) fn shape(&mut self, x: &Tensor) -> Tensor {
        let op = Op::new("Shape").input(x).kind("T", x.element_type);
        self.add(op.kind("out_type", ElementType::Int64), ElementType::Int64)
    }

    /// The size of one axis of a value.
    pub(super) fn size(&mut self, value: &Value, axis: usize) -> Result<Size, Refusal> {
        if let Some(size) = value.size(axis) {
            return Ok(Size::Fixed(size as i64));
        }
        let x = self.tensor(value)?;
        self.axis_size(&x, axis)
    }

    /// The size of one axis of what was written.
    pub(super) fn axis_size(&mut self, x: &Tensor, axis: usize) -> Result<Size, Refusal> {
        let shape = self.shape(x);
        let axis = axis as i64;
        Ok(Size::Computed(self.part(&shape, axis, axis + 1)?))
    }

    /// A size without dimensions.
    pub(super) fn scalar_size(
        &mut self,
        size: &Size,
        kind: ElementType,
    ) -> Result<Tensor, Refusal> {
        match size {
            Size::Fixed(size) => self.number("size", *size as f64, kind),
            Size::Computed(list) => {
                let list = self.cast(list, kind);
                self.reshape(&list, &[])
            }
        }
    }

    /// A stretch of a list.
    pub(super) fn part(&mut self, list: &Tensor, begin: i64, end: i64) -> Result<Tensor, Refusal> {
        let (begin, end) = (Some(Size::Fixed(begin)), Some(Size::Fixed(end)));
        self.cut(list, &[Cut { axis: 0, begin, end, step: 1 }])
    }

    /// Slices of axes, as Python has them.
    pub(super) fn cut(&mut self, x: &Tensor, cuts: &[Cut]) -> Result<Tensor, Refusal> {
        /// TensorFlow's own limit is lower still.
        const MOST_AXES: usize = 32;
        let Some(last) = cuts.iter().map(|cut| cut.axis).max() else { return Ok(x.clone()) };
        if last >= MOST_AXES {
            let reason = format!("a slice of axis {last}");
            return Err(Refusal::new(reason, "reshape to fewer dimensions before it"));
        }
        let (mut begins, mut ends) =
            (vec![Size::Fixed(0); last + 1], vec![Size::Fixed(0); last + 1]);
        let mut steps = vec![1; last + 1];
        let (mut begin_mask, mut end_mask) = ((1i64 << (last + 1)) - 1, (1i64 << (last + 1)) - 1);
        for cut in cuts {
            if let Some(begin) = &cut.begin {
                begins[cut.axis] = begin.clone();
                begin_mask &= !(1 << cut.axis);
            }
            if let Some(end) = &cut.end {
                ends[cut.axis] = end.clone();
                end_mask &= !(1 << cut.axis);
            }
            steps[cut.axis] = cut.step;
        }
        let begin = self.list("begin", &begins)?;
        let end = self.list("end", &ends)?;
        let steps = self.longs("strides", &steps)?;
        let op = Op::new("StridedSlice").input(x).input(&begin).input(&end).input(&steps);
        let op = op.kind("T", x.element_type).kind("Index", ElementType::Int64);
        let op = op.int("begin_mask", begin_mask).int("end_mask", end_mask);
        let op = op.int("ellipsis_mask", 0).int("new_axis_mask", 0).int("shrink_axis_mask", 0);
        Ok(self.add(op, x.element_type))
    }

    /// `0, 1, ...` below a 64-bit integer.
    pub(super) fn count(&mut self, size: &Size) -> Result<Tensor, Refusal> {
        let limit = self.scalar_size(size, ElementType::Int64)?;
        let zero = self.number("start", 0.0, ElementType::Int64)?;
        let one = self.number("delta", 1.0, ElementType::Int64)?;
        Ok(self.range(&zero, &limit, &one))
    }
}

/// Sizes of dimensions; `None` where one is not known.
pub(super) fn fixed_sizes(dims: &[Dim]) -> Option<Vec<i64>> {
    let size = |dim: &Dim| match dim {
        Dim::Fixed(size) => i64::try_from(*size).ok(),
        Dim::Symbol(_) | Dim::Free => None,
    };
    dims.iter().map(size).collect()
}
