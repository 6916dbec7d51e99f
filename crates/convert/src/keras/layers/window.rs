//! Windows that walk over images: sizes, steps and what is around the borders.

use modelyard_graph::Node;
use modelyard_tensor::Dim;

use crate::EvaluateError;
use crate::keras::config::Config;
use crate::keras::fault::Fault;
use crate::keras::value::{derived, fixed};

/// How a window walks over the spatial axes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    /// Size of the window on each axis.
    pub(crate) size: Vec<usize>,
    /// Its steps.
    pub(crate) strides: Vec<usize>,
    /// Distance of its elements.
    pub(crate) dilations: Vec<usize>,
    /// What is around the borders.
    pub(crate) padding: Padding,
}

/// What is around the borders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Padding {
    /// Nothing.
    Valid,
    /// As much as makes the output `ceil(input / stride)`; what is odd comes behind.
    Same,
    /// All of it in front.
    Causal,
}

/// How many elements are added in front and behind, on each axis.
pub(crate) type Pads = Vec<(usize, usize)>;

impl Padding {
    /// Reads the option, which was called border mode once.
    pub(crate) fn read(config: &Config) -> Result<Padding, Fault> {
        let name = config.text(&["padding", "border_mode"], "valid")?;
        match name.to_lowercase().as_str() {
            "valid" => Ok(Padding::Valid),
            "same" => Ok(Padding::Same),
            "causal" => Ok(Padding::Causal),
            _ => Err(Fault::unsupported(format!("padding '{name}'"), "use 'valid' or 'same'")),
        }
    }
}

impl Window {
    fn extent(&self, axis: usize) -> Option<usize> {
        self.dilations[axis].checked_mul(self.size[axis].checked_sub(1)?)?.checked_add(1)
    }

    /// What is added to an axis of this size; `None` where that depends on a size that is not known.
    fn pad(&self, axis: usize, input: Option<usize>) -> Option<(usize, usize)> {
        let extent = self.extent(axis)?;
        match self.padding {
            Padding::Valid => Some((0, 0)),
            Padding::Causal => Some((extent - 1, 0)),
            Padding::Same => {
                let stride = self.strides[axis];
                let total = match input {
                    Some(input) => {
                        let output = input.div_ceil(stride);
                        let needed =
                            output.checked_sub(1)?.checked_mul(stride)?.checked_add(extent)?;
                        needed.saturating_sub(input)
                    }
                    None if stride == 1 => extent - 1,
                    None => return None,
                };
                Some((total / 2, total - total / 2))
            }
        }
    }

    /// What is added around spatial axes of these sizes.
    pub(crate) fn pads(&self, sizes: &[Dim]) -> Option<Pads> {
        sizes.iter().enumerate().map(|(axis, size)| self.pad(axis, fixed(size))).collect()
    }

    /// As [`Window::pads`], of sizes that are known.
    pub(crate) fn pads_of(&self, sizes: &[usize]) -> Result<Pads, EvaluateError> {
        let pads: Option<Pads> =
            sizes.iter().enumerate().map(|(axis, &size)| self.pad(axis, Some(size))).collect();
        pads.ok_or_else(|| EvaluateError::new("a window is larger than can be"))
    }

    /// Sizes of the output.
    pub(crate) fn output(&self, sizes: &[Dim]) -> Vec<Dim> {
        let one = |(axis, size): (usize, &Dim)| {
            // With step 1 and padding, an axis stays as it is, known or not.
            if self.strides[axis] == 1 && self.padding != Padding::Valid {
                return size.clone();
            }
            derived(size, |size| {
                let stride = self.strides[axis];
                match self.padding {
                    Padding::Valid => {
                        Some(size.checked_sub(self.extent(axis)?)?.checked_div(stride)? + 1)
                    }
                    _ => Some(size.div_ceil(stride)),
                }
            })
        };
        sizes.iter().enumerate().map(one).collect()
    }

    /// The attributes that a convolution or a pool of ONNX has for this window.
    pub(crate) fn on(&self, node: Node, sizes: &[Dim]) -> Node {
        let list = |values: &[usize]| values.iter().map(|&value| value as i64).collect::<Vec<_>>();
        // Average pools have no dilations before operator set 19; the embedded engine wants to be
        // told those of convolutions.
        let mut node = match node.op_type.as_str() {
            "AveragePool" | "MaxPool" => node,
            _ => node.with("dilations", &list(&self.dilations)[..]),
        };
        node = node.with("kernel_shape", &list(&self.size)[..]);
        node = node.with("strides", &list(&self.strides)[..]);
        match self.pads(sizes) {
            Some(pads) => node.with("pads", &onnx_pads(&pads)[..]),
            None => node.with("auto_pad", "SAME_UPPER"),
        }
    }
}

/// All that is added in front, then all that is added behind.
pub(crate) fn onnx_pads(pads: &Pads) -> Vec<i64> {
    let front = pads.iter().map(|pad| pad.0 as i64);
    front.chain(pads.iter().map(|pad| pad.1 as i64)).collect()
}

/// Whether channels come before the spatial axes.
pub(crate) fn channels_first(config: &Config) -> Result<bool, Fault> {
    let name = config.text(&["data_format", "dim_ordering"], "channels_last")?;
    match name.as_str() {
        "channels_last" | "tf" | "default" => Ok(false),
        "channels_first" | "th" => Ok(true),
        _ => Err(Fault::malformed(format!("expected a data format, found '{name}'"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(size: usize, stride: usize, dilation: usize, padding: Padding) -> Window {
        let (size, strides, dilations) = (vec![size], vec![stride], vec![dilation]);
        Window { size, strides, dilations, padding }
    }

    fn check(window: &Window, size: usize, pads: (usize, usize), output: usize) {
        let dims = [Dim::Fixed(size)];
        assert_eq!(window.pads(&dims), Some(vec![pads]));
        assert_eq!(window.output(&dims), [Dim::Fixed(output)]);
    }

    #[test]
    fn borders_are_those_of_tensorflow() {
        check(&window(3, 1, 1, Padding::Valid), 8, (0, 0), 6);
        check(&window(3, 1, 1, Padding::Same), 8, (1, 1), 8);
        // What is odd comes behind.
        check(&window(3, 2, 1, Padding::Same), 8, (0, 1), 4);
        check(&window(3, 2, 1, Padding::Same), 7, (1, 1), 4);
        check(&window(1, 2, 1, Padding::Same), 8, (0, 0), 4);
        check(&window(3, 1, 2, Padding::Same), 8, (2, 2), 8);
        check(&window(3, 1, 2, Padding::Causal), 8, (4, 0), 8);
    }

    #[test]
    fn an_unknown_size_is_left_to_the_engine() {
        assert_eq!(window(3, 2, 1, Padding::Same).pads(&[Dim::Free]), None);
        assert_eq!(window(3, 1, 1, Padding::Same).pads(&[Dim::Free]), Some(vec![(1, 1)]));
        assert_eq!(window(3, 2, 1, Padding::Valid).output(&[Dim::Free]), [Dim::Free]);
    }
}
