//! AveragePool: the mean under a window over one to three axes. The mean over a window is the
//! mean along one axis after the other.

use modelyard_tensor::Shape;

use super::window::{Axis, Sliding, Window};
use crate::array::Array;
use crate::error::OpError;
use crate::math::resample::{self, Line};
use crate::operator::{Backward, Gradients, Inputs, Operator, Outcome, Reads, Scope};
use crate::site::Site;

/// Terms of the means along one axis at most.
const TERMS_MAX: usize = 1 << 24;

#[derive(Debug)]
struct AveragePool {
    sliding: Sliding,
    /// Whether elements of the padding count, as zeros.
    counts_padding: bool,
}

impl AveragePool {
    /// The means along every axis.
    fn lines(&self, scope: &Scope<'_>, window: &Window) -> Result<Vec<Option<Line>>, OpError> {
        let line = |axis: &Axis| match *axis {
            Axis::NONE => Ok(None),
            _ => self.line(scope, axis).map(Some),
        };
        window.0.iter().map(line).collect()
    }

    fn line(&self, scope: &Scope<'_>, axis: &Axis) -> Result<Line, OpError> {
        scope.elements(&[axis.output])?;
        let terms = axis.output.saturating_mul(axis.kernel.min(axis.input.max(1)));
        if terms > TERMS_MAX {
            return Err(OpError::new(format!(
                "{} windows of {} taps are more than training covers",
                axis.output, axis.kernel
            )));
        }
        let list = |place: usize| {
            let origin = axis.origin(place);
            let taps = axis.taps(origin);
            let count = if self.counts_padding {
                // Past the padding at the end nothing counts, where ceil_mode reaches there.
                let end = (axis.input + axis.end) as isize - origin;
                axis.kernel.min((end.max(0) as usize).div_ceil(axis.dilation))
            } else {
                taps.len()
            };
            let weight = 1.0 / count.max(1) as f32;
            let element = |tap: usize| (origin + (tap * axis.dilation) as isize) as usize;
            taps.map(|tap| (element(tap), weight)).collect()
        };
        Ok(Line::new(axis.input, (0..axis.output).map(list)))
    }
}

/// The axes of an array of planes: all planes, then the three axes of a window.
fn dims(shape: &[usize], axes: [usize; 3]) -> [usize; 4] {
    [shape[0] * shape[1], axes[0], axes[1], axes[2]]
}

impl Operator for AveragePool {
    fn forward(&self, scope: &mut Scope<'_>, inputs: Inputs<'_>) -> Result<Outcome, OpError> {
        let input = inputs.at(0)?;
        let (window, shape) = self.sliding.pool(input.shape())?;
        scope.elements(&shape)?;
        let lines = self.lines(scope, &window)?;
        let dims = dims(input.shape(), window.0.map(|axis| axis.input));
        let out = resample::apply(scope, input.as_floats()?, &dims, &lines)?;
        Ok(Array::floats(shape, out).into())
    }

    fn reads(&self, _wanted: &[bool]) -> Reads {
        Reads::NOTHING
    }

    fn backward(&self, scope: &mut Scope<'_>, mut at: Backward<'_>) -> Result<Gradients, OpError> {
        let gradient = at.gradient()?;
        let input: Shape = at.shape(0)?.clone();
        let (window, _) = self.sliding.pool(&input)?;
        let lines = self.lines(scope, &window)?;
        let lines: Vec<_> = lines.iter().map(|line| line.as_ref().map(Line::transposed)).collect();
        let dims = dims(&input, window.0.map(|axis| axis.output));
        let out = resample::apply(scope, gradient.as_floats()?, &dims, &lines)?;
        scope.buffers.recycle(gradient);
        Ok(vec![Some(Array::floats(input, out))])
    }
}

pub(super) fn build(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    let counts_padding = site.flag("count_include_pad", false);
    Ok(Box::new(AveragePool { sliding: Sliding::read(site)?, counts_padding }))
}

#[cfg(test)]
mod tests {
    use super::super::convolution::reference::{Geometry, assert_close, filled, geometry};
    use crate::testing::Case;
    use proptest::prelude::*;

    fn case(geometry: &Geometry, counts_padding: bool) -> Case {
        let kernel: Vec<i64> = geometry.lines.iter().map(|line| line.kernel as i64).collect();
        let case = geometry.case("AveragePool").with("kernel_shape", &kernel[..]);
        case.with("count_include_pad", i64::from(counts_padding))
    }

    fn pool(geometry: Geometry) -> Geometry {
        Geometry { inputs: 1, outputs: 1, ..geometry }
    }

    proptest! {
        #[test]
        fn forward_is_as_defined(geometry in geometry(9), seed in any::<u64>(), counts in any::<bool>()) {
            let geometry = pool(geometry);
            let [input, weights, output] = geometry.dims();
            let x = filled(seed, &input);
            let len = output.iter().product();
            let (mut sums, mut taps) = (vec![0.0; len], vec![0usize; len]);
            geometry.products(|input, _, output| {
                sums[output] += x[input];
                taps[output] += 1;
            });
            let all = weights[2..].iter().product::<usize>();
            let mean = |(sum, taps): (f32, usize)| {
                if counts { sum / all as f32 } else { sum / taps.max(1) as f32 }
            };
            let expected: Vec<f32> = sums.into_iter().zip(taps).map(mean).collect();
            let found = &case(&geometry, counts).trained(&input, x).run()[0];
            assert_close(found, &output, &expected);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn gradient(
            geometry in geometry(5), seed in any::<u64>(), counts in any::<bool>(), ceil in any::<bool>(),
        ) {
            let geometry = pool(geometry);
            let [input, ..] = geometry.dims();
            let case = case(&geometry, counts).with("ceil_mode", i64::from(ceil));
            case.trained(&input, filled(seed, &input)).check();
        }
    }

    #[test]
    fn what_is_past_the_padding_does_not_count() {
        // Five elements with one of padding at both ends, windows of 3 by steps of 3: the last of
        // them, which ceil_mode adds, has one element of the input and one of the padding.
        let case = |counts: i64| {
            Case::new("AveragePool")
                .with("kernel_shape", [3])
                .with("strides", [3])
                .with("pads", [1, 1])
                .with("ceil_mode", 1)
                .with("count_include_pad", counts)
                .trained(&[1, 1, 6], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
        };
        assert_close(&case(1).run()[0], &[1, 1, 3], &[1.0, 4.0, 3.0]);
        assert_close(&case(0).run()[0], &[1, 1, 3], &[1.5, 4.0, 6.0]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let case = || Case::new("AveragePool").trained(&[1, 1, 4], vec![0.0; 4]);
        let text = case().try_run().unwrap_err();
        assert!(text.contains("attribute kernel_shape is missing"), "{text}");
        let text = case().with("kernel_shape", [9]).try_run().unwrap_err();
        assert!(text.contains("spans 9 elements, more than the 4"), "{text}");
        let large = Case::new("AveragePool").trained(&[1, 1, 1, 1], vec![1.0]);
        let large = large.with("kernel_shape", [1, 1]).with("pads", [1 << 24; 4]);
        let text = large.try_run().unwrap_err();
        assert!(text.contains("outgrows the limit"), "{text}");
    }
}
