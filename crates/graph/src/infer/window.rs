//! A window that slides over space: what convolutions and pooling share.

use super::fact::Op;

/// Size, steps and borders of a window, each with one entry (borders: two) a dimension.
pub(super) struct Window {
    kernel: Vec<usize>,
    strides: Vec<usize>,
    dilations: Vec<usize>,
    /// Borders before, then after.
    pads: Vec<usize>,
    same: bool,
    ceil: bool,
}

impl Window {
    pub(super) fn of(op: &Op<'_>, kernel: &[usize], rank: usize) -> Option<Window> {
        let list = |name: &str, count: usize, default: usize| match op.node.ints(name) {
            None => Some(vec![default; count]),
            Some(list) if list.len() == count => {
                list.iter().map(|&item| usize::try_from(item).ok()).collect()
            }
            Some(_) => None,
        };
        let window = Window {
            kernel: kernel.to_vec(),
            strides: list("strides", rank, 1)?,
            dilations: list("dilations", rank, 1)?,
            pads: list("pads", rank * 2, 0)?,
            same: op.node.string("auto_pad").is_some_and(|pad| pad.starts_with("SAME")),
            ceil: op.int("ceil_mode", 0) != 0,
        };
        (kernel.len() == rank && !window.strides.contains(&0)).then_some(window)
    }

    /// Size of the window with its gaps.
    fn extent(&self, axis: usize) -> Option<usize> {
        let gaps = self.kernel[axis].checked_sub(1)?;
        gaps.checked_mul(self.dilations[axis])?.checked_add(1)
    }

    /// Positions of the window over `space`; `None` when it does not fit in once.
    pub(super) fn slide(&self, space: &[usize]) -> Option<Vec<usize>> {
        let rank = self.kernel.len();
        (0..rank)
            .map(|axis| {
                let stride = self.strides[axis];
                if self.same {
                    return Some(space[axis].div_ceil(stride));
                }
                let padded = space[axis]
                    .checked_add(self.pads[axis])?
                    .checked_add(self.pads[axis + rank])?;
                let room = padded.checked_sub(self.extent(axis)?)?;
                if !self.ceil {
                    return Some(room / stride + 1);
                }
                let positions = room.div_ceil(stride) + 1;
                // A window must start inside the space or the border before it.
                let starts_inside =
                    (positions - 1).checked_mul(stride)? < space[axis] + self.pads[axis];
                Some(if starts_inside { positions } else { positions - 1 })
            })
            .collect()
    }

    /// The space that windows at each position of `space` cover together.
    pub(super) fn spread(&self, op: &Op<'_>, space: &[usize]) -> Option<Vec<usize>> {
        let rank = self.kernel.len();
        if let Some(stated) = op.node.ints("output_shape") {
            return stated[stated.len().checked_sub(rank)?..]
                .iter()
                .map(|&size| usize::try_from(size).ok())
                .collect();
        }
        let extra = op.node.ints("output_padding").unwrap_or(&[]);
        (0..rank)
            .map(|axis| {
                let stride = self.strides[axis];
                if self.same {
                    return space[axis].checked_mul(stride);
                }
                let extra = usize::try_from(extra.get(axis).copied().unwrap_or(0)).ok()?;
                let covered = space[axis]
                    .checked_sub(1)?
                    .checked_mul(stride)?
                    .checked_add(self.extent(axis)?)?
                    .checked_add(extra)?;
                covered.checked_sub(self.pads[axis])?.checked_sub(self.pads[axis + rank])
            })
            .collect()
    }

    /// Number of elements under the window.
    pub(super) fn elements(&self) -> u64 {
        super::fact::product(&self.kernel)
    }
}
