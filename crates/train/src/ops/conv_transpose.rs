//! ConvTranspose: the gradient of a convolution by its input, as an operator of its own.

use modelyard_tensor::Shape;

use super::convolution::{Convolution, by_bias};
use super::window::{AutoPad, Axis, Sliding, Window, sizes};
use crate::array::Array;
use crate::error::OpError;
use crate::operator::{Backward, Gradients, Inputs, Operator, Outcome, Reads, Scope};
use crate::site::Site;

#[derive(Debug)]
struct ConvTranspose {
    sliding: Sliding,
    groups: usize,
    output_padding: Option<Vec<usize>>,
    output_shape: Option<Vec<usize>>,
}

impl ConvTranspose {
    /// The convolution that this is the transposed of, whose output is our input; and the shape
    /// of our output.
    fn sizes(&self, input: &[usize], weights: &[usize]) -> Result<(Convolution, Shape), OpError> {
        let spatial = Sliding::spatial(input)?;
        let kernel = super::convolution::kernel(&self.sliding, weights, spatial.len())?;
        let groups = self.groups;
        if weights[0] != input[1] || !weights[0].is_multiple_of(groups) {
            return Err(OpError::new(format!(
                "weights of shape {} in {groups} groups do not fit an input of {} channels",
                Shape::new(weights),
                input[1]
            )));
        }
        let mut axes = self.sliding.axes(kernel)?;
        for (number, (axis, &size)) in axes.iter_mut().zip(spatial).enumerate() {
            self.place(axis, number, size, spatial.len())?;
        }
        let channels = weights[1].checked_mul(groups).ok_or_else(|| {
            OpError::new(format!("{groups} groups of {} channels are too many", weights[1]))
        })?;
        let sizes = axes.iter().map(|axis| axis.input);
        let shape = [input[0], channels].into_iter().chain(sizes).collect();
        let convolution = Convolution {
            window: Window::new(&axes),
            batch: input[0],
            groups,
            inputs: weights[1],
            outputs: weights[0] / groups,
        };
        Ok((convolution, shape))
    }

    /// Finds size and padding of the output along one axis (ONNX, "ConvTranspose").
    fn place(
        &self,
        axis: &mut Axis,
        number: usize,
        size: usize,
        rank: usize,
    ) -> Result<(), OpError> {
        let entry = |name: &str, values: &Option<Vec<usize>>| match values {
            None => Ok(None),
            Some(values) if values.len() == rank => Ok(Some(values[number])),
            Some(values) => Err(OpError::new(format!(
                "attribute {name} has {} entries, expected {rank}",
                values.len()
            ))),
        };
        let extra = entry("output_padding", &self.output_padding)?.unwrap_or(0);
        axis.output = size;
        let whole = size
            .saturating_sub(1)
            .checked_mul(axis.stride)
            .and_then(|steps| steps.checked_add(extra + axis.extent()))
            .ok_or_else(|| OpError::new(format!("an axis of {size} is too long")))?;
        let auto_pad = self.sliding.auto_pad;
        let same = matches!(auto_pad, AutoPad::SameUpper | AutoPad::SameLower);
        axis.input = match entry("output_shape", &self.output_shape)? {
            Some(stated) => stated,
            None if same => size.saturating_mul(axis.stride),
            None => {
                let pads = axis.begin as usize + axis.end;
                return match whole.checked_sub(pads).filter(|&len| len > 0) {
                    Some(len) => {
                        axis.input = len;
                        Ok(())
                    }
                    None => Err(OpError::new(format!(
                        "pads of {pads} leave nothing of the {whole} elements of the output"
                    ))),
                };
            }
        };
        // What is too much is cut off at both ends; the odd element where the specification says.
        let total = whole.saturating_sub(axis.input);
        let begin = if auto_pad == AutoPad::SameUpper { total / 2 } else { total.div_ceil(2) };
        (axis.begin, axis.end) = (begin as isize, total - begin);
        Ok(())
    }
}

impl Operator for ConvTranspose {
    fn forward(&self, scope: &mut Scope<'_>, inputs: Inputs<'_>) -> Result<Outcome, OpError> {
        let (input, weights) = (inputs.at(0)?, inputs.at(1)?);
        let (convolution, shape) = self.sizes(input.shape(), weights.shape())?;
        convolution.check(scope)?;
        let bias = super::convolution::bias(inputs.get(2), shape[1])?;
        let out = convolution.by_input(scope, input.as_floats()?, weights.as_floats()?, bias)?;
        Ok(Array::floats(shape, out).into())
    }

    fn reads(&self, wanted: &[bool]) -> Reads {
        super::convolution::reads(wanted)
    }

    fn backward(&self, scope: &mut Scope<'_>, mut at: Backward<'_>) -> Result<Gradients, OpError> {
        let gradient = at.gradient()?;
        let (convolution, shape) = self.sizes(at.shape(0)?, at.shape(1)?)?;
        let mut gradients = vec![None, None, None];
        let values = gradient.as_floats()?;
        if at.wants(0) {
            let by_input = convolution.forward(scope, values, at.inputs.floats(1)?, None)?;
            gradients[0] = Some(Array::floats(at.shape(0)?.clone(), by_input));
        }
        if at.wants(1) {
            let input = at.inputs.floats(0)?;
            let (by_weights, _) = convolution.by_weights(scope, values, input, false)?;
            gradients[1] = Some(Array::floats(at.shape(1)?.clone(), by_weights));
        }
        if at.wants(2) {
            let plane = shape[2..].iter().product();
            let by_bias = by_bias(scope, values, shape[1], plane)?;
            gradients[2] = Some(Array::floats(at.shape(2)?.clone(), by_bias));
        }
        scope.buffers.recycle(gradient);
        Ok(gradients)
    }
}

pub(super) fn build(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(ConvTranspose {
        sliding: Sliding::read(site)?,
        groups: super::convolution::groups(site)?,
        output_padding: sizes(site, "output_padding", 0)?,
        output_shape: sizes(site, "output_shape", 1)?,
    }))
}

#[cfg(test)]
mod tests {
    use super::super::convolution::reference::{assert_close, filled, geometry};
    use crate::testing::{Case, numbers};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn forward_is_as_defined(
            geometry in geometry(12),
            seed in any::<u64>(),
            bias in any::<bool>(),
            states_shape in any::<bool>(),
        ) {
            // Our input is the output of the convolution that this is the transposed of.
            let [output, weights, input] = geometry.dims();
            let (x, w) = (filled(seed, &input), filled(!seed, &weights));
            let b = if bias { numbers(seed ^ 1, output[1]) } else { vec![0.0; output[1]] };
            let plane: usize = output[2..].iter().product();
            let mut expected: Vec<f32> = (0..output.iter().product::<usize>())
                .map(|index| b[index / plane % output[1]])
                .collect();
            geometry.products(|output, weight, input| expected[output] += x[input] * w[weight]);
            // What the strides leave open.
            let extra = geometry.lines.iter().zip(&input[2..]).map(|(line, &size)| {
                let shortest = (size - 1) * line.stride + (line.kernel - 1) * line.dilation + 1;
                (line.input + line.pads.0 + line.pads.1 - shortest) as i64
            });
            let case = geometry.case("ConvTranspose").with("output_padding", &extra.collect::<Vec<_>>()[..]);
            let symmetric = geometry.lines.iter().all(|line| line.pads.0 == line.pads.1);
            let case = if states_shape && symmetric {
                case.with("output_shape", &output[2..].iter().map(|&size| size as i64).collect::<Vec<_>>()[..])
            } else {
                case
            };
            let case = case.trained(&input, x).trained(&weights, w);
            let case = if bias { case.trained(&[output[1]], b) } else { case };
            assert_close(&case.run()[0], &output, &expected);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn gradient(geometry in geometry(4), seed in any::<u64>(), bias in any::<bool>()) {
            let [_, weights, input] = geometry.dims();
            let channels = geometry.groups * geometry.inputs;
            let case = geometry
                .case("ConvTranspose")
                .trained(&input, filled(seed, &input))
                .trained(&weights, filled(!seed, &weights));
            let case = if bias { case.trained(&[channels], numbers(seed, channels)) } else { case };
            // Pads may leave nothing of a short output.
            prop_assume!(case.try_run().is_ok());
            case.check();
        }
    }

    fn case() -> Case {
        Case::new("ConvTranspose")
            .with("strides", [2i64])
            .trained(&[1, 1, 3], vec![1.0, 2.0, 3.0])
            .trained(&[1, 1, 3], vec![1.0, 1.0, 1.0])
    }

    #[test]
    fn automatic_pads_cut_the_output_to_size() {
        // Before padding: 1 1 3 2 5 3 3.
        let upper = case().with("auto_pad", "SAME_UPPER");
        assert_close(&upper.run()[0], &[1, 1, 6], &[1.0, 1.0, 3.0, 2.0, 5.0, 3.0]);
        let lower = case().with("auto_pad", "SAME_LOWER");
        assert_close(&lower.run()[0], &[1, 1, 6], &[1.0, 3.0, 2.0, 5.0, 3.0, 3.0]);
        let longer = case().with("output_shape", [9i64]);
        assert_close(&longer.run()[0], &[1, 1, 9], &[1.0, 1.0, 3.0, 2.0, 5.0, 3.0, 3.0, 0.0, 0.0]);
        [upper, lower, longer].iter().for_each(Case::check);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let text = case().with("pads", [4i64, 4]).try_run().unwrap_err();
        assert!(text.contains("pads of 8 leave nothing of the 7 elements"), "{text}");
        let text = case().with("output_shape", [1i64 << 24, 2]).try_run().unwrap_err();
        assert!(text.contains("attribute output_shape has 2 entries, expected 1"), "{text}");
        let text = Case::new("ConvTranspose")
            .with("output_shape", [1i64 << 24; 3])
            .trained(&[1, 1, 1, 1, 1], vec![1.0])
            .trained(&[1, 1, 1, 1, 1], vec![1.0])
            .try_run()
            .unwrap_err();
        assert!(text.contains("outgrows the limit"), "{text}");
        let text = case().with("group", 2i64).try_run().unwrap_err();
        assert!(text.contains("in 2 groups do not fit"), "{text}");
    }
}
