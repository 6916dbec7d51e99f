//! What image classifiers have in common.

use modelyard_graph::ElementType;

use super::builder::{Builder, Conv, Value};
use crate::pytorch::graph::{Argument, Size, ints};

/// What follows a convolution and its normalization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Activation {
    None,
    Relu,
    Relu6,
    Silu,
    HardSwish,
}

impl Builder<'_> {
    /// An input of square images of three channels.
    pub(super) fn images(&mut self, name: &str, size: usize) -> Value {
        let sizes = [Size::symbol("batch"), Size::Known(3), size.into(), size.into()];
        self.input(name, ElementType::Float32, &sizes)
    }

    pub(super) fn activation(&mut self, x: &Value, activation: Activation, name: &str) -> Value {
        match activation {
            Activation::None => x.clone(),
            Activation::Relu => self.each("aten.relu.default", x, name),
            Activation::Silu => self.each("aten.silu.default", x, name),
            Activation::HardSwish => self.each("aten.hardswish.default", x, name),
            Activation::Relu6 => {
                let arguments = [x.arg(), Argument::Float(0.0), Argument::Float(6.0)];
                self.call("aten.hardtanh.default", &arguments, (name, x.sizes.clone()))
            }
        }
    }

    /// torchvision's `Conv2dNormActivation`: `<name>.0` convolves, `<name>.1` normalizes.
    pub(super) fn conv_norm(
        &mut self,
        x: &Value,
        name: &str,
        conv: Conv,
        (epsilon, activation): (f64, Activation),
    ) -> Value {
        let x = self.conv(x, &format!("{name}.0"), conv);
        let x = self.batch_norm(&x, &format!("{name}.1"), epsilon);
        self.activation(&x, activation, &format!("{name}.2"))
    }

    /// torchvision's `SqueezeExcitation`: channels weighed by what all of the image says.
    pub(super) fn squeeze_excite(
        &mut self,
        x: &Value,
        name: &str,
        squeeze: usize,
        (activation, gate): (Activation, &str),
    ) -> Value {
        let channels = x.size(1);
        let mean = self.adaptive_average_pool(x, &format!("{name}.avgpool"), 1);
        let inner = Conv::same(squeeze, 1).with_bias();
        let narrow = self.conv(&mean, &format!("{name}.fc1"), inner);
        let narrow = self.activation(&narrow, activation, &format!("{name}.activation"));
        let outer = Conv::same(channels, 1).with_bias();
        let wide = self.conv(&narrow, &format!("{name}.fc2"), outer);
        let scale = self.each(gate, &wide, &format!("{name}.scale"));
        self.both("aten.mul.Tensor", x, &scale, name)
    }

    /// Means over the image, then a flat list of channels.
    pub(super) fn pooled(&mut self, x: &Value, name: &str) -> Value {
        let x = self.adaptive_average_pool(x, name, 1);
        self.flatten(&x, "flatten")
    }

    /// The image as a sequence of patches, with what `embed` does to it: `[batch, patches, width]`.
    pub(super) fn patches(
        &mut self,
        x: &Value,
        name: &str,
        (size, width): (usize, usize),
    ) -> Value {
        let conv = Conv {
            outputs: width,
            kernel: size,
            stride: size,
            padding: 0,
            dilation: 1,
            groups: 1,
            bias: true,
        };
        let x = self.conv(x, name, conv);
        let count = x.size(2) * x.size(3);
        let arguments = [x.arg(), Argument::Int(2)];
        let sizes = vec![x.sizes[0].clone(), x.sizes[1].clone(), count.into()];
        let flat =
            self.call("aten.flatten.using_ints", &arguments, (&format!("{name}.flat"), sizes));
        self.transpose(&flat, (1, 2), &format!("{name}.patches"))
    }

    /// A token of its own before each sequence of `x`.
    pub(super) fn with_class_token(&mut self, x: &Value, name: &str) -> Value {
        let width = x.size(2);
        let token = self.weight(name, &[1, 1, width]);
        let batch = self.size_value(x, 0);
        let shape = Argument::List(vec![batch, Argument::Int(-1), Argument::Int(-1)]);
        let sizes = vec![x.sizes[0].clone(), Size::Known(1), width.into()];
        let tokens = self.call(
            "aten.expand.default",
            &[token.arg(), shape],
            (&format!("{name}.expand"), sizes),
        );
        let sizes = vec![x.sizes[0].clone(), (x.size(1) + 1).into(), width.into()];
        let list = Argument::List(vec![tokens.arg(), x.arg()]);
        self.call("aten.cat.default", &[list, Argument::Int(1)], (&format!("{name}.cat"), sizes))
    }

    /// The values along an axis in three equal parts.
    pub(super) fn thirds(&mut self, x: &Value, axis: usize, name: &str) -> [Value; 3] {
        let part = x.size(axis) / 3;
        [0, 1, 2].map(|index| {
            let mut sizes = x.sizes.clone();
            sizes[axis] = part.into();
            let (start, end) = ((index * part) as i64, ((index + 1) * part) as i64);
            let arguments =
                [x.arg(), Argument::Int(axis as i64), Argument::Int(start), Argument::Int(end)];
            self.call("aten.slice.Tensor", &arguments, (&format!("{name}.{index}"), sizes))
        })
    }

    /// The value in a shape where the batch stays free.
    pub(super) fn reshaped(&mut self, x: &Value, sizes: &[Size], name: &str) -> Value {
        let mut shape = Vec::new();
        for (axis, size) in sizes.iter().enumerate() {
            // Free sizes are those of the same axis of `x`.
            shape.push(match size.known() {
                Some(known) => Argument::Int(known),
                None => self.size_value(x, axis),
            });
        }
        let known: Option<Vec<i64>> = sizes.iter().map(Size::known).collect();
        let shape = known.map_or(Argument::List(shape), |sizes| ints(&sizes));
        self.call("aten.reshape.default", &[x.arg(), shape], (name, sizes.to_vec()))
    }
}

/// Channels as multiples of 8 that are at most a tenth less than asked for: `_make_divisible`.
pub(super) fn divisible(value: f64) -> usize {
    let rounded = ((value + 4.0) as usize / 8 * 8).max(8);
    if (rounded as f64) < 0.9 * value { rounded + 8 } else { rounded }
}
