//! Conv: convolution over one to three axes, with groups, strides, dilations and pads.

use modelyard_tensor::Shape;

use super::convolution::{Convolution, by_bias};
use super::window::Sliding;
use crate::array::Array;
use crate::error::OpError;
use crate::operator::{Backward, Gradients, Inputs, Operator, Outcome, Reads, Scope};
use crate::site::Site;

#[derive(Debug)]
struct Conv {
    sliding: Sliding,
    groups: usize,
}

impl Conv {
    /// The sizes, from the shapes of input and weights, and the shape of the output.
    fn sizes(&self, input: &[usize], weights: &[usize]) -> Result<(Convolution, Shape), OpError> {
        let spatial = Sliding::spatial(input)?;
        let kernel = super::convolution::kernel(&self.sliding, weights, spatial.len())?;
        let groups = self.groups;
        if weights[1].checked_mul(groups) != Some(input[1]) || !weights[0].is_multiple_of(groups) {
            return Err(OpError::new(format!(
                "weights of shape {} in {groups} groups do not fit an input of {} channels",
                Shape::new(weights),
                input[1]
            )));
        }
        let window = self.sliding.window(spatial, kernel)?;
        let axes = window.0[3 - spatial.len()..].iter().map(|axis| axis.output);
        let shape = [input[0], weights[0]].into_iter().chain(axes).collect();
        let convolution = Convolution {
            window,
            batch: input[0],
            groups,
            inputs: weights[1],
            outputs: weights[0] / groups,
        };
        Ok((convolution.simplified(), shape))
    }
}

impl Operator for Conv {
    fn forward(&self, scope: &mut Scope<'_>, inputs: Inputs<'_>) -> Result<Outcome, OpError> {
        let (input, weights) = (inputs.at(0)?, inputs.at(1)?);
        let (convolution, shape) = self.sizes(input.shape(), weights.shape())?;
        convolution.check(scope)?;
        let bias = super::convolution::bias(inputs.get(2), weights.shape()[0])?;
        let out = convolution.forward(scope, input.as_floats()?, weights.as_floats()?, bias)?;
        Ok(Array::floats(shape, out).into())
    }

    fn reads(&self, wanted: &[bool]) -> Reads {
        super::convolution::reads(wanted)
    }

    fn backward(&self, scope: &mut Scope<'_>, mut at: Backward<'_>) -> Result<Gradients, OpError> {
        let gradient = at.gradient()?;
        let (convolution, _) = self.sizes(at.shape(0)?, at.shape(1)?)?;
        let mut gradients = vec![None, None, None];
        let values = gradient.as_floats()?;
        if at.wants(0) {
            let weights = at.inputs.floats(1)?;
            let by_input = convolution.by_input(scope, values, weights, None)?;
            gradients[0] = Some(Array::floats(at.shape(0)?.clone(), by_input));
        }
        if at.wants(1) {
            let input = at.inputs.floats(0)?;
            let (by_weights, by_bias) =
                convolution.by_weights(scope, input, values, at.wants(2))?;
            gradients[1] = Some(Array::floats(at.shape(1)?.clone(), by_weights));
            if let Some(by_bias) = by_bias {
                gradients[2] = Some(Array::floats(at.shape(2)?.clone(), by_bias));
            }
        } else if at.wants(2) {
            let (channels, plane) = (at.shape(1)?[0], convolution.window.output_len());
            let by_bias = by_bias(scope, values, channels, plane)?;
            gradients[2] = Some(Array::floats(at.shape(2)?.clone(), by_bias));
        }
        scope.buffers.recycle(gradient);
        Ok(gradients)
    }
}

pub(super) fn build(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    let groups = super::convolution::groups(site)?;
    Ok(Box::new(Conv { sliding: Sliding::read(site)?, groups }))
}

#[cfg(test)]
mod tests {
    use super::super::convolution::reference::{assert_close, filled, geometry};
    use crate::array::Array;
    use crate::testing::{Case, numbers};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn forward_is_as_defined(geometry in geometry(14), seed in any::<u64>(), bias in any::<bool>()) {
            let [input, weights, output] = geometry.dims();
            let (x, w) = (filled(seed, &input), filled(!seed, &weights));
            let b = if bias { numbers(seed ^ 1, output[1]) } else { vec![0.0; output[1]] };
            let plane: usize = output[2..].iter().product();
            let mut expected: Vec<f32> = (0..output.iter().product::<usize>())
                .map(|index| b[index / plane % output[1]])
                .collect();
            geometry.products(|input, weight, output| expected[output] += x[input] * w[weight]);
            let case = geometry.case("Conv").trained(&input, x).trained(&weights, w);
            let case = if bias { case.trained(&[output[1]], b) } else { case };
            assert_close(&case.run()[0], &output, &expected);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn gradient(geometry in geometry(5), seed in any::<u64>(), bias in any::<bool>()) {
            let [input, weights, output] = geometry.dims();
            let case = geometry
                .case("Conv")
                .trained(&input, filled(seed, &input))
                .trained(&weights, filled(!seed, &weights));
            let case = if bias { case.trained(&[output[1]], numbers(seed, output[1])) } else { case };
            case.check();
        }
    }

    #[test]
    fn large_planes_are_as_defined_in_bands() {
        use super::super::convolution::reference::{Geometry, Line};
        let line = |input, stride| Line { input, kernel: 3, stride, dilation: 1, pads: (1, 1) };
        for stride in [1, 2] {
            let lines = vec![line(67, stride), line(61, stride)];
            let two = Geometry { batch: 9, groups: 2, inputs: 2, outputs: 5, lines };
            let lines = vec![line(2500, stride)];
            let one = Geometry { batch: 2, groups: 1, inputs: 3, outputs: 2, lines };
            for geometry in [two, one] {
                let [input, weights, output] = geometry.dims();
                let (x, w) = (filled(1, &input), filled(2, &weights));
                let mut y = vec![0.0; output.iter().product()];
                geometry.products(|input, weight, output| y[output] += x[input] * w[weight]);
                let case =
                    geometry.case("Conv").trained(&input, x.clone()).trained(&weights, w.clone());
                assert_close(&case.run()[0], &output, &y);
                // The gradients of the weighted sum that the case differentiates.
                let dy = Case::seeds(y.len());
                let (mut dx, mut dw) = (vec![0.0; x.len()], vec![0.0; w.len()]);
                geometry.products(|input, weight, output| {
                    dx[input] += dy[output] * w[weight];
                    dw[weight] += dy[output] * x[input];
                });
                let gradients = case.gradients(&case.program());
                assert_close(gradients[0].as_ref().unwrap(), &input, &dx);
                let scale = 1.0 / 64.0;
                let scaled =
                    |values: &[f32]| values.iter().map(|value| value * scale).collect::<Vec<_>>();
                let found = gradients[1].as_ref().unwrap();
                let found =
                    Array::floats(found.shape().clone(), scaled(found.as_floats().unwrap()));
                assert_close(&found, &weights, &scaled(&dw));
            }
        }
    }

    #[test]
    fn results_are_the_same_bits_for_any_number_of_threads() {
        for kernel in [1, 3, 40] {
            let (input, weights) = ([13, 8, 40, 40], [6, 8, kernel, kernel]);
            let case = Case::new("Conv")
                .trained(&input, filled(1, &input))
                .trained(&weights, filled(2, &weights))
                .trained(&[6], numbers(3, 6));
            let program = case.program();
            let bits = |threads: usize| -> Vec<u32> {
                let arrays = case.gradients_on(&program, threads).into_iter().flatten();
                let floats = arrays.flat_map(|array| array.into_floats().unwrap());
                floats.map(f32::to_bits).collect()
            };
            let one = bits(1);
            assert!([2, 3].into_iter().all(|threads| bits(threads) == one));
        }
    }

    #[test]
    fn a_kernel_of_the_size_of_the_input_is_a_matrix_product() {
        let case = Case::new("Conv")
            .with("group", 2)
            .with("strides", [3, 1])
            .trained(&[3, 4, 2, 3], numbers(1, 72))
            .trained(&[4, 2, 2, 3], numbers(2, 48))
            .trained(&[4], numbers(3, 4));
        let (x, w, b) = (numbers(1, 72), numbers(2, 48), numbers(3, 4));
        let element = |sample: usize, channel: usize| {
            let input = &x[sample * 24 + channel / 2 * 12..][..12];
            let products = input.iter().zip(&w[channel * 12..][..12]).map(|(x, w)| x * w);
            products.sum::<f32>() + b[channel]
        };
        let expected: Vec<f32> = (0..12).map(|at| element(at / 4, at % 4)).collect();
        assert_close(&case.run()[0], &[3, 4, 1, 1], &expected);
        case.check();
    }

    #[test]
    fn same_padding_keeps_the_size_by_stride() {
        for (auto_pad, expected) in [
            ("SAME_UPPER", [3.0, 7.0, 5.0]),
            ("SAME_LOWER", [1.0, 5.0, 9.0]),
            ("VALID", [3.0, 7.0, 0.0]),
        ] {
            let case = Case::new("Conv")
                .with("auto_pad", auto_pad)
                .with("strides", [2i64])
                .trained(&[1, 1, 5], vec![1.0, 2.0, 3.0, 4.0, 5.0])
                .trained(&[1, 1, 2], vec![1.0, 1.0]);
            let len = if auto_pad == "VALID" { 2 } else { 3 };
            assert_close(&case.run()[0], &[1, 1, len], &expected[..len]);
            case.check();
        }
    }

    #[test]
    fn an_empty_batch_has_an_empty_result() {
        let case =
            Case::new("Conv").trained(&[0, 2, 5], vec![]).trained(&[3, 2, 3], numbers(1, 18));
        assert_eq!(case.run()[0].shape()[..], [0, 3, 3]);
        assert_eq!(
            case.gradients(&case.program())[1].as_ref().unwrap().as_floats().unwrap(),
            [0.0; 18]
        );
    }

    fn refusal(case: Case) -> String {
        case.try_run().unwrap_err()
    }

    fn case(input: &[usize], weights: &[usize]) -> Case {
        Case::new("Conv").trained(input, filled(1, input)).trained(weights, filled(2, weights))
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let text = refusal(case(&[1, 3, 5], &[2, 2, 3]));
        assert!(
            text.contains("weights of shape [2,2,3] in 1 groups do not fit an input of 3"),
            "{text}"
        );
        let text = refusal(case(&[1, 4, 5], &[3, 2, 3]).with("group", 2i64));
        assert!(text.contains("weights of shape [3,2,3] in 2 groups"), "{text}");
        let text = refusal(case(&[1, 2, 5], &[2, 2, 7]));
        assert!(text.contains("spans 7 elements, more than the 5 of the padded input"), "{text}");
        let text = refusal(case(&[1, 2, 5], &[2, 2, 3]).with("kernel_shape", [5i64]));
        assert!(text.contains("kernel_shape is [5], the weights have shape [2,2,3]"), "{text}");
        let text = refusal(case(&[1, 2, 5], &[2, 2, 3]).with("pads", [1i64]));
        assert!(text.contains("attribute pads has 1 entries, expected 2"), "{text}");
        let text = refusal(case(&[1, 2, 5, 5], &[2, 2, 3]));
        assert!(text.contains("expected weights of 4 axes, found shape [2,2,3]"), "{text}");
        let text = refusal(case(&[2, 5], &[2, 2]));
        assert!(text.contains("one to three axes more, found shape [2,5]"), "{text}");
        let text = refusal(case(&[1, 2, 5], &[2, 2, 3]).trained(&[3], numbers(1, 3)));
        assert!(text.contains("expected a bias of shape [2], found [3]"), "{text}");
    }

    #[test]
    fn absurd_attributes_are_refused() {
        let plane = || case(&[1, 1, 5, 5], &[1, 1, 3, 3]);
        for (name, value) in [
            ("strides", vec![0i64, 1]),
            ("strides", vec![i64::MAX, 1]),
            ("dilations", vec![-1, 1]),
            ("pads", vec![0, 0, -3, 0]),
            ("pads", vec![i64::MAX; 4]),
        ] {
            let text = plane().with(name, &value[..]).plan_error();
            assert!(text.contains(&format!("attribute {name} has ")), "{text}");
        }
        let text = refusal(plane().with("pads", [1i64 << 24; 4]));
        assert!(text.contains("outgrows the limit"), "{text}");
        let text = plane().with("group", 0i64).plan_error();
        assert!(text.contains("group is 0"), "{text}");
        let text = plane().with("auto_pad", "NEAR").plan_error();
        assert!(text.contains("auto_pad is 'NEAR'"), "{text}");
        let text =
            refusal(case(&[1, 1, 5, 5], &[1, 0, 1 << 23, 1 << 23]).with("pads", [1i64 << 22; 4]));
        assert!(text.contains("do not fit"), "{text}");
    }

    #[test]
    fn far_apart_taps_need_no_memory_between_them() {
        let case = case(&[1, 1, 4, 4], &[1, 1, 2, 2])
            .with("dilations", [1i64 << 23, 1])
            .with("pads", [1i64 << 22, 0, 1 << 22, 0]);
        assert_eq!(case.run()[0].shape()[..], [1, 1, 4, 3]);
        case.check();
    }
}
