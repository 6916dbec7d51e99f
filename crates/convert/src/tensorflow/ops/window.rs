//! Windows that walk over images: strides, dilations, padding.

use modelyard_graph::Node;
use modelyard_tensor::Dim;

use super::layout::Layout;
use crate::EvaluateError;
use crate::tensorflow::attrs::Attrs;
use crate::tensorflow::value::{Refusal, fixed};

/// How a window walks over the spatial axes.
#[derive(Clone, Debug)]
pub(super) struct Window {
    pub(super) kernel: Vec<usize>,
    pub(super) strides: Vec<usize>,
    pub(super) dilations: Vec<usize>,
    padding: Padding,
}

#[derive(Clone, Debug)]
enum Padding {
    Valid,
    /// As much as it takes for an output of `input / stride`, rounded up; more of it behind.
    Same,
    /// Before and after each axis.
    Explicit(Vec<(usize, usize)>),
}

impl Window {
    /// The window of a node; the message says what is wrong with it.
    pub(super) fn of(attrs: &Attrs, layout: Layout, kernel: Vec<usize>) -> Result<Window, String> {
        Window::with_strides(attrs, layout, kernel, &attrs.ints("strides"))
    }

    pub(super) fn with_strides(
        attrs: &Attrs,
        layout: Layout,
        kernel: Vec<usize>,
        strides: &[i64],
    ) -> Result<Window, String> {
        let rank = kernel.len();
        let list = |name: &str, values: &[i64]| -> Result<Vec<usize>, String> {
            let given = layout.spatial(values);
            if layout.others(values).iter().any(|&value| value != 1) && !values.is_empty() {
                return Err(format!("{name} over batches or channels"));
            }
            let given = if values.is_empty() { vec![1; rank] } else { given };
            let positive = |&value: &i64| usize::try_from(value).ok().filter(|&value| value > 0);
            let found: Option<Vec<usize>> = given.iter().map(positive).collect();
            found
                .filter(|found| found.len() == rank)
                .ok_or_else(|| format!("{name} {values:?} for {rank} axes"))
        };
        let strides = list("strides", strides)?;
        let dilations = list("dilations", &attrs.ints("dilations"))?;
        let padding = match attrs.text("padding", "VALID") {
            "VALID" => Padding::Valid,
            "SAME" => Padding::Same,
            "EXPLICIT" => {
                let pads = attrs.ints("explicit_paddings");
                let pairs: Vec<(i64, i64)> = pads
                    .as_chunks::<2>()
                    .0
                    .iter()
                    .map(|&[before, after]| (before, after))
                    .collect();
                let sizes: Option<Vec<(usize, usize)>> = layout
                    .spatial(&pairs)
                    .iter()
                    .map(|&(one, two)| {
                        Some((usize::try_from(one).ok()?, usize::try_from(two).ok()?))
                    })
                    .collect();
                let sizes = sizes.filter(|sizes| sizes.len() == rank);
                Padding::Explicit(sizes.ok_or_else(|| format!("padding {pads:?}"))?)
            }
            other => return Err(format!("padding '{other}'")),
        };
        Ok(Window { kernel, strides, dilations, padding })
    }

    /// Elements that the window spans along an axis.
    pub(super) fn reach(&self, axis: usize) -> usize {
        (self.kernel[axis].saturating_sub(1)).saturating_mul(self.dilations[axis]).saturating_add(1)
    }

    /// Padding before and after an axis of this size; `None` where it depends on a size that is not
    /// known.
    fn pads(&self, axis: usize, size: Option<usize>) -> Option<(usize, usize)> {
        match &self.padding {
            Padding::Valid => Some((0, 0)),
            Padding::Explicit(pads) => pads.get(axis).copied(),
            Padding::Same => {
                let (stride, reach) = (self.strides[axis], self.reach(axis));
                let total = match (stride, size) {
                    (1, _) => reach - 1,
                    (_, Some(size)) => {
                        let output = size.div_ceil(stride);
                        let needed = output.saturating_sub(1).saturating_mul(stride);
                        needed.saturating_add(reach).saturating_sub(size)
                    }
                    _ => return None,
                };
                Some((total / 2, total - total / 2))
            }
        }
    }

    /// Padding of images of this size.
    pub(super) fn pads_of(&self, sizes: &[usize]) -> Result<Vec<(usize, usize)>, EvaluateError> {
        if sizes.len() != self.kernel.len() {
            let message = format!("a window of {:?} does not walk over {sizes:?}", self.kernel);
            return Err(EvaluateError::new(message));
        }
        let pads: Option<Vec<(usize, usize)>> =
            sizes.iter().enumerate().map(|(axis, &size)| self.pads(axis, Some(size))).collect();
        pads.ok_or_else(|| EvaluateError::new("the padding is not known"))
    }

    /// The size of an output axis.
    pub(super) fn output(&self, axis: usize, dim: &Dim) -> Dim {
        let Some(size) = fixed(dim) else {
            // One output for each input leaves even a size that is not known as it is.
            let keeps = matches!(self.padding, Padding::Same) && self.strides[axis] == 1;
            return if keeps { dim.clone() } else { Dim::Free };
        };
        let Some((before, after)) = self.pads(axis, Some(size)) else { return Dim::Free };
        let room = size.saturating_add(before).saturating_add(after).checked_sub(self.reach(axis));
        room.map_or(Dim::Free, |room| Dim::Fixed(room / self.strides[axis] + 1))
    }

    /// Writes the attributes of the window to a node of ONNX.
    pub(super) fn put(&self, node: Node, spatial: &[Dim]) -> Result<Node, Refusal> {
        let list = |values: &[usize]| values.iter().map(|&value| value as i64).collect::<Vec<_>>();
        let mut node = node
            .with("kernel_shape", list(&self.kernel).as_slice())
            .with("strides", list(&self.strides).as_slice());
        if self.dilations.iter().any(|&dilation| dilation != 1) {
            node = node.with("dilations", list(&self.dilations).as_slice());
        }
        let pads: Option<Vec<(usize, usize)>> =
            spatial.iter().enumerate().map(|(axis, dim)| self.pads(axis, fixed(dim))).collect();
        match pads {
            Some(pads) => {
                let before = pads.iter().map(|pad| pad.0 as i64);
                let all: Vec<i64> = before.chain(pads.iter().map(|pad| pad.1 as i64)).collect();
                Ok(node.with("pads", all.as_slice()))
            }
            None if self.dilations.iter().all(|&dilation| dilation == 1) => {
                Ok(node.with("auto_pad", "SAME_UPPER"))
            }
            None => Err(Refusal::new(
                "strides and dilations over images of any size",
                "give the input a fixed size when it is exported",
            )),
        }
    }
}
