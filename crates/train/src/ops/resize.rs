//! Resize and Upsample: interpolation along every axis. It is a linear map along one axis after
//! the other, and its gradient is the transposed maps.

use modelyard_tensor::Shape;

use super::resize_axis::{Coordinates, Interpolation, Nearest};
use crate::array::Array;
use crate::error::OpError;
use crate::math::resample::{self, Line};
use crate::operator::{Backward, Gradients, Inputs, Operator, Outcome, Reads, Scope};
use crate::site::Site;

/// Elements of a resized axis at most.
const AXIS_MAX: usize = 1 << 22;

#[derive(Debug)]
struct Resize {
    interpolation: Interpolation,
    coordinates: Coordinates,
    /// The axes that scales and sizes are for; all of them where not stated.
    axes: Option<Vec<i64>>,
    /// Inputs that hold scales and sizes.
    scales: Option<usize>,
    sizes: Option<usize>,
    /// Scales as an attribute: Upsample before opset 9.
    stated: Option<Vec<f32>>,
}

/// What becomes of one axis.
#[derive(Clone, Copy, Debug)]
struct Change {
    input: usize,
    output: usize,
    scale: f32,
}

impl Resize {
    /// What becomes of every axis.
    fn changes(&self, input: &Shape, inputs: Inputs<'_>) -> Result<Vec<Change>, OpError> {
        let same = |&input: &usize| Change { input, output: input, scale: 1.0 };
        let mut changes: Vec<Change> = input.iter().map(same).collect();
        let given = |number: Option<usize>| {
            number.and_then(|number| inputs.get(number)).filter(|array| !array.is_empty())
        };
        let axes = self.axes(input.len())?;
        let fits = |name: &str, found: usize| {
            if found == axes.len() {
                return Ok(());
            }
            let expected = axes.len();
            Err(OpError::new(format!("{name} has {found} entries, expected {expected}")))
        };
        if let Some(sizes) = given(self.sizes) {
            let sizes = sizes.as_ints()?;
            fits("sizes", sizes.len())?;
            for (&axis, &size) in axes.iter().zip(sizes) {
                let input = input[axis];
                let output = usize::try_from(size).ok().filter(|&size| size > 0 && input > 0);
                let output = output.ok_or_else(|| {
                    OpError::new(format!("cannot resize an axis of {input} to {size} elements"))
                })?;
                changes[axis] = Change { input, output, scale: output as f32 / input as f32 };
            }
            return Ok(changes);
        }
        let scales = match (&self.stated, given(self.scales)) {
            (Some(stated), _) => &stated[..],
            (None, Some(scales)) => scales.as_floats()?,
            (None, None) => return Err(OpError::new("neither scales nor sizes are given")),
        };
        fits("scales", scales.len())?;
        for (&axis, &scale) in axes.iter().zip(scales) {
            let input = input[axis];
            let output = (scale * input as f32).floor();
            if !(scale > 0.0 && (1.0..=u32::MAX as f32).contains(&output)) {
                return Err(OpError::new(format!("cannot resize an axis of {input} by {scale}")));
            }
            changes[axis] = Change { input, output: output as usize, scale };
        }
        Ok(changes)
    }

    fn axes(&self, rank: usize) -> Result<Vec<usize>, OpError> {
        let Some(stated) = &self.axes else { return Ok((0..rank).collect()) };
        let axes: Vec<usize> =
            stated.iter().map(|&axis| super::axis(axis, rank)).collect::<Result<_, _>>()?;
        match (1..axes.len()).find(|&at| axes[..at].contains(&axes[at])) {
            Some(at) => Err(OpError::new(format!("attribute axes names {} twice", axes[at]))),
            None => Ok(axes),
        }
    }

    /// The map along one axis; `None` where it stays as it is.
    fn line(&self, change: &Change) -> Result<Option<Line>, OpError> {
        let Change { input, output, scale } = *change;
        if scale == 1.0 && input == output {
            return Ok(None);
        }
        if output > AXIS_MAX {
            return Err(OpError::new(format!(
                "cannot resize an axis of {input} to {output} elements, more than {AXIS_MAX}"
            )));
        }
        let list = |element: usize| {
            let at = self.coordinates.source(element, input, output, f64::from(scale));
            self.interpolation.terms(at, input, scale)
        };
        Ok(Some(Line::new(input, (0..output).map(list))))
    }
}

impl Operator for Resize {
    fn forward(&self, scope: &mut Scope<'_>, inputs: Inputs<'_>) -> Result<Outcome, OpError> {
        let input = inputs.at(0)?;
        scope.elements(input.shape())?;
        let changes = self.changes(input.shape(), inputs)?;
        let shape: Shape = changes.iter().map(|change| change.output).collect();
        scope.elements(&shape)?;
        let lines: Vec<_> =
            changes.iter().map(|change| self.line(change)).collect::<Result<_, _>>()?;
        let out = resample::apply(scope, input.as_floats()?, input.shape(), &lines)?;
        // The way back has shapes only, which do not tell the scales.
        let scales = changes.iter().map(|change| change.scale).collect();
        Ok(Outcome::from(Array::floats(shape, out)).saving(Array::floats([changes.len()], scales)))
    }

    fn reads(&self, _wanted: &[bool]) -> Reads {
        Reads::NOTHING
    }

    fn backward(&self, scope: &mut Scope<'_>, mut at: Backward<'_>) -> Result<Gradients, OpError> {
        let gradient = at.gradient()?;
        let scales = at.saved.pop().ok_or_else(|| OpError::new("nothing was saved"))?;
        let input = at.shape(0)?.clone();
        let sizes = input.iter().zip(gradient.shape().iter());
        let lines: Vec<_> = sizes
            .zip(scales.as_floats()?)
            .map(|((&input, &output), &scale)| self.line(&Change { input, output, scale }))
            .map(|line| Ok(line?.as_ref().map(Line::transposed)))
            .collect::<Result<_, OpError>>()?;
        let out = resample::apply(scope, gradient.as_floats()?, gradient.shape(), &lines)?;
        scope.buffers.recycle(gradient);
        Ok(vec![Some(Array::floats(input, out))])
    }
}

pub(super) fn build(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    if site.flag("antialias", false) {
        return Err(OpError::new("attribute antialias is 1, training covers 0"));
    }
    site.expect_text("keep_aspect_ratio_policy", &["stretch"])?;
    let mode = site.text("mode", "nearest");
    let first = site.opset < 11;
    let nearest = match first {
        true => Nearest::UP_FLOOR_DOWN_CEIL,
        false => Nearest::read(&site.text("nearest_mode", "round_prefer_floor"))?,
    };
    let coordinates = match first {
        true => Coordinates::Asymmetric,
        false => Coordinates::read(&site.text("coordinate_transformation_mode", "half_pixel"))?,
    };
    let interpolation = match mode.as_str() {
        "nearest" => Interpolation::Nearest(nearest),
        "linear" => Interpolation::Linear,
        "cubic" => Interpolation::Cubic {
            a: f64::from(site.float("cubic_coeff_a", -0.75)),
            excludes_outside: site.flag("exclude_outside", false),
        },
        _ => return Err(unknown_mode(&mode)),
    };
    let (scales, sizes) = if first { (Some(1), None) } else { (Some(2), Some(3)) };
    let axes = site.ints("axes");
    Ok(Box::new(Resize { interpolation, coordinates, axes, scales, sizes, stated: None }))
}

pub(super) fn build_upsample(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    let mode = site.text("mode", "nearest");
    let interpolation = match mode.as_str() {
        "nearest" => Interpolation::Nearest(Nearest::UP_FLOOR_DOWN_CEIL),
        "linear" | "bilinear" => Interpolation::Linear,
        _ => return Err(unknown_mode(&mode)),
    };
    let stated = site.node.floats("scales").map(<[f32]>::to_vec);
    Ok(Box::new(Resize {
        interpolation,
        coordinates: Coordinates::Asymmetric,
        axes: None,
        scales: Some(1),
        sizes: None,
        stated,
    }))
}

fn unknown_mode(mode: &str) -> OpError {
    OpError::new(format!("attribute mode is '{mode}', expected nearest, linear or cubic"))
}

#[cfg(test)]
mod tests {
    use super::super::convolution::reference::assert_close;
    use crate::array::Array;
    use crate::testing::{Case, numbers};
    use modelyard_graph::AttributeValue;
    use proptest::prelude::*;

    const MODES: [&str; 3] = ["nearest", "linear", "cubic"];
    const COORDINATES: [&str; 6] = [
        "half_pixel",
        "half_pixel_symmetric",
        "pytorch_half_pixel",
        "align_corners",
        "asymmetric",
        "tf_half_pixel_for_nn",
    ];
    const NEAREST: [&str; 4] = ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"];

    fn resize(dims: &[usize], x: Vec<f32>, scales: &[f32]) -> Case {
        let scales = Array::floats([scales.len()], scales.to_vec());
        Case::new("Resize").trained(dims, x).without().fixed(scales)
    }

    fn counted(len: usize) -> Vec<f32> {
        (1..=len).map(|value| value as f32).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]
        #[test]
        fn gradient(
            dims in prop::collection::vec(1usize..5, 1..4),
            sizes in prop::collection::vec(1i64..7, 3),
            scales in prop::collection::vec(0.5f32..2.5, 3),
            (mode, coordinates, nearest) in (0..3usize, 0..6usize, 0..4usize),
            (by_sizes, excludes) in (any::<bool>(), any::<bool>()),
            seed in any::<u64>(),
        ) {
            let rank = dims.len();
            let dims = [&[2][..], &dims].concat();
            let case = Case::new("Resize")
                .with("mode", MODES[mode])
                .with("coordinate_transformation_mode", COORDINATES[coordinates])
                .with("nearest_mode", NEAREST[nearest])
                .with("exclude_outside", i64::from(excludes && mode == 2))
                .with("axes", &(1..=rank as i64).collect::<Vec<_>>()[..])
                .trained(&dims, numbers(seed, dims.iter().product()))
                .without();
            let case = if by_sizes {
                case.without().fixed(Array::ints([rank], sizes[..rank].to_vec()))
            } else {
                let scales = scales.iter().zip(&dims[1..]);
                let scales = scales.map(|(scale, &size)| scale.max(1.0 / size as f32)).collect();
                case.fixed(Array::floats([rank], scales))
            };
            case.check();
        }
    }

    /// Examples of the ONNX specification, "Resize".
    #[test]
    fn results_are_those_of_the_specification() {
        let square = || counted(16);
        let linear =
            resize(&[1, 1, 2, 2], counted(4), &[1.0, 1.0, 2.0, 2.0]).with("mode", "linear");
        let expected = [
            1.0, 1.25, 1.75, 2.0, 1.5, 1.75, 2.25, 2.5, 2.5, 2.75, 3.25, 3.5, 3.0, 3.25, 3.75, 4.0,
        ];
        assert_close(&linear.run()[0], &[1, 1, 4, 4], &expected);
        let corners = linear.with("coordinate_transformation_mode", "align_corners");
        let third = |value: f32| value / 3.0;
        let expected: Vec<f32> = [3, 4, 5, 6, 5, 6, 7, 8, 7, 8, 9, 10, 9, 10, 11, 12]
            .map(|value| third(value as f32))
            .to_vec();
        assert_close(&corners.run()[0], &[1, 1, 4, 4], &expected);
        let cubic = resize(&[1, 1, 4, 4], square(), &[1.0, 1.0, 0.8, 0.8]).with("mode", "cubic");
        let expected = [
            1.471_191, 2.781_25, 4.082_52, 6.711_426, 8.021_484, 9.322_754, 11.916_504, 13.226_563,
            14.527_832,
        ];
        assert_close(&cubic.run()[0], &[1, 1, 3, 3], &expected);
        let excluding = cubic.with("exclude_outside", 1).with("cubic_coeff_a", -0.5);
        let expected = [
            1.368_127, 2.669_501, 4.013_337, 6.573_625, 7.875, 9.218_835, 11.948_967, 13.250_341,
            14.594_177,
        ];
        assert_close(&excluding.run()[0], &[1, 1, 3, 3], &expected);
        let nearest = resize(&[1, 1, 2, 4], counted(8), &[1.0, 1.0, 0.6, 0.6]);
        assert_close(&nearest.run()[0], &[1, 1, 1, 2], &[1.0, 3.0]);
    }

    #[test]
    fn old_versions_have_their_own_rounding() {
        for (opset, name) in [(10, "Resize"), (9, "Upsample")] {
            let case = |dims: &[usize], scales: Vec<f32>| {
                let x = counted(dims.iter().product());
                let scales = Array::floats([scales.len()], scales);
                Case::new(name).opset(opset).trained(dims, x).fixed(scales)
            };
            let up = case(&[1, 3], vec![1.0, 1.5]);
            assert_close(&up.run()[0], &[1, 4], &[1.0, 1.0, 2.0, 3.0]);
            up.check();
            let down = case(&[1, 4], vec![1.0, 0.6]);
            assert_close(&down.run()[0], &[1, 2], &[1.0, 3.0]);
        }
        let stated =
            Case::new("Upsample").opset(7).with("scales", AttributeValue::Floats(vec![1.0, 2.0]));
        assert_close(&stated.trained(&[1, 2], counted(2)).run()[0], &[1, 4], &[1.0, 1.0, 2.0, 2.0]);
    }

    #[test]
    fn what_is_not_covered_is_refused() {
        let case = |scales: &[f32]| resize(&[1, 2], counted(2), scales);
        let two = || case(&[1.0, 2.0]);
        let text = two().with("antialias", 1).plan_error();
        assert!(text.contains("antialias is 1, training covers 0"), "{text}");
        let text = two().with("coordinate_transformation_mode", "tf_crop_and_resize").plan_error();
        assert!(text.contains("is 'tf_crop_and_resize', training covers half_pixel"), "{text}");
        let text = two().with("keep_aspect_ratio_policy", "not_larger").plan_error();
        assert!(text.contains("keep_aspect_ratio_policy is 'not_larger'"), "{text}");
        let text = two().with("mode", "area").plan_error();
        assert!(text.contains("mode is 'area'"), "{text}");
        let text = two().with("axes", [1, -1]).try_run().unwrap_err();
        assert!(text.contains("attribute axes names 1 twice"), "{text}");
        for scales in [[1.0, 0.0], [1.0, -1.0], [1.0, f32::NAN], [1.0, 1e30], [0.1, 1.0]] {
            let text = case(&scales).try_run().unwrap_err();
            assert!(text.contains("cannot resize an axis of"), "{text}");
        }
        let text = case(&[4e9, 1.0]).try_run().unwrap_err();
        assert!(text.contains("outgrows the limit"), "{text}");
        let text = case(&[1.0, 1e8]).try_run().unwrap_err();
        assert!(text.contains("200000000 elements, more than 4194304"), "{text}");
        let text = case(&[1.0]).try_run().unwrap_err();
        assert!(text.contains("scales has 1 entries, expected 2"), "{text}");
        let text = Case::new("Resize").trained(&[1, 2], counted(2)).try_run().unwrap_err();
        assert!(text.contains("neither scales nor sizes are given"), "{text}");
    }
}
