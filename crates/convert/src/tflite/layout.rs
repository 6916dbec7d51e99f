//! Channels-last to channels-first and back, windows and activations: what operators write alike.

use modelyard_graph::Node;

use super::convert::Converter;
use super::model::Operator;
use super::schema::{Activation, Padding};
use super::stop::{Stop, refused};
use super::values::Value;
use crate::emitter::node;

/// How a window moves over an image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) padding: Padding,
    /// Height and width.
    pub(crate) strides: [usize; 2],
    /// Height and width.
    pub(crate) dilations: [usize; 2],
}

/// The order of the axes of an image as ONNX has it, out of that of TensorFlow.
pub(crate) const TO_FIRST: [usize; 4] = [0, 3, 1, 2];
/// And back.
pub(crate) const TO_LAST: [usize; 4] = [0, 2, 3, 1];

impl Window {
    /// Node attributes for a window over `tensor`, an image of `sizes` (height and width).
    pub(crate) fn attributes(
        &self,
        node: Node,
        kernel: [usize; 2],
        sizes: [Option<usize>; 2],
    ) -> Node {
        let ints = |values: [usize; 2]| values.map(|value| value as i64);
        let node = node.with("kernel_shape", ints(kernel)).with("strides", ints(self.strides));
        let node = match self.dilations {
            [1, 1] => node,
            dilations => node.with("dilations", ints(dilations)),
        };
        if self.padding == Padding::Valid {
            return node;
        }
        let [Some(height), Some(width)] = sizes else { return node.with("auto_pad", "SAME_UPPER") };
        let (top, bottom) = self.pads(0, height, kernel);
        let (left, right) = self.pads(1, width, kernel);
        node.with("pads", [top as i64, left as i64, bottom as i64, right as i64])
    }

    /// What is padded before and after an axis of `size`.
    pub(crate) fn pads(&self, axis: usize, size: usize, kernel: [usize; 2]) -> (usize, usize) {
        if self.padding == Padding::Valid {
            return (0, 0);
        }
        let reach = (kernel[axis].saturating_sub(1)).saturating_mul(self.dilations[axis]) + 1;
        let outputs = size.div_ceil(self.strides[axis]);
        let needed = outputs.saturating_sub(1).saturating_mul(self.strides[axis]);
        let total = needed.saturating_add(reach).saturating_sub(size);
        (total / 2, total - total / 2)
    }

    /// How many positions it has along an axis of `size`.
    pub(crate) fn positions(&self, axis: usize, size: usize, kernel: [usize; 2]) -> usize {
        let reach = (kernel[axis].saturating_sub(1)).saturating_mul(self.dilations[axis]) + 1;
        match self.padding {
            Padding::Same => size.div_ceil(self.strides[axis]),
            Padding::Valid => (size + 1).saturating_sub(reach).div_ceil(self.strides[axis]),
        }
    }
}

impl Converter<'_> {
    /// The real numbers of an image with channels first. Quantized ones are transposed as integers,
    /// so that the transposes between two operators meet.
    pub(crate) fn channels_first(&mut self, tensor: usize) -> Result<String, Stop> {
        self.image_rank(tensor)?;
        match self.tensor(tensor).quantized().cloned() {
            Some(quantization) if quantization.scales.len() == 1 => {
                let raw = self.raw(tensor)?;
                let raw = self.transpose(&raw, &TO_FIRST);
                let element_type = self.element_type(tensor)?;
                self.dequantize(&raw, element_type, &quantization)
            }
            _ => {
                let real = self.real(tensor)?;
                Ok(self.transpose(&real, &TO_FIRST))
            }
        }
    }

    /// A tensor is the image of this name, which has its channels first.
    pub(crate) fn give_image(&mut self, tensor: usize, image: &str) -> Result<(), Stop> {
        match self.tensor(tensor).quantized().cloned() {
            Some(quantization) => {
                let element_type = self.element_type(tensor)?;
                let raw = self.quantize(image, element_type, &quantization)?;
                let raw = self.transpose(&raw, &TO_LAST);
                self.scope.values[tensor] = Value { raw: Some(raw), real: None };
            }
            None => {
                let name = self.transpose(image, &TO_LAST);
                self.give_raw(tensor, name);
            }
        }
        Ok(())
    }

    /// Height and width of an image.
    pub(crate) fn image_sizes(&self, tensor: usize) -> Result<[Option<usize>; 2], Stop> {
        self.image_rank(tensor)?;
        let dims = self.dims(tensor);
        Ok([dims.get(1).copied().flatten(), dims.get(2).copied().flatten()])
    }

    fn image_rank(&self, tensor: usize) -> Result<(), Stop> {
        let found = self.rank(tensor);
        if found == 4 {
            return Ok(());
        }
        let name = &self.tensor(tensor).name;
        let message = format!("'{name}' has {found} dimensions, an image has 4");
        Err(super::model::damaged("a window operator", message).into())
    }

    /// A value through a fused activation.
    pub(crate) fn activated(&mut self, value: &str, activation: Activation) -> String {
        match activation {
            Activation::None => value.to_owned(),
            Activation::Relu => self.emitter.add(node("Relu", &[value])),
            Activation::Tanh => self.emitter.add(node("Tanh", &[value])),
            Activation::ReluN1To1 | Activation::Relu6 => {
                let (low, high) = activation.range();
                self.clipped(value, low, high)
            }
        }
    }

    /// A value of floats within bounds.
    pub(crate) fn clipped(&mut self, value: &str, low: f32, high: f32) -> String {
        let low = self.emitter.scalar("min", low);
        let high = self.emitter.scalar("max", high);
        self.emitter.add(node("Clip", &[value, &low, &high]))
    }

    /// The fused activation of an operator; the one of signs is refused.
    pub(crate) fn activation(&self, op: &Operator, field: usize) -> Result<Activation, Stop> {
        let code = op.options.code(field)?;
        Activation::from_code(code).ok_or_else(|| {
            refused(format!("fused activation {code}"), "use an activation of its own")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_padding_puts_the_odd_one_at_the_end() {
        let window = Window { padding: Padding::Same, strides: [2, 2], dilations: [1, 1] };
        assert_eq!(window.pads(0, 8, [3, 3]), (0, 1));
        assert_eq!(window.pads(0, 7, [3, 3]), (1, 1));
        assert_eq!(window.positions(0, 8, [3, 3]), 4);
        let valid = Window { padding: Padding::Valid, strides: [1, 1], dilations: [2, 2] };
        assert_eq!(valid.positions(0, 8, [3, 3]), 4);
        assert_eq!(valid.positions(0, 3, [3, 3]), 0);
    }
}
