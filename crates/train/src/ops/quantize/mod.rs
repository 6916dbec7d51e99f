//! QuantizeLinear and DequantizeLinear, with the gradients of quantization-aware training.
//!
//! A quantized value holds its integers as floats, so that gradients pass through it. Rounding
//! counts as the identity (Bengio, Léonard, Courville: Estimating or Propagating Gradients Through
//! Stochastic Neurons, 2013): inside the range of the type
//! `dq/dx = 1 / scale` and `dq/dscale = -x / scale^2`, outside it both are 0; what rounds to the
//! end of the range is inside. With `y = (q - zero) scale`, `dy/dq = scale` and
//! `dy/dscale = q - zero`. Together that is the gradient by the step size of Esser et al. (Learned
//! Step Size Quantization, 2020, equation 3): `round(x / s) - x / s` inside and the end of the
//! range outside. Their factor for the rate of learning belongs to the optimizer.
//!
//! One scale for the whole array, for each element of an axis, or for each block along an axis.

mod granularity;

use std::borrow::Cow;

use modelyard_graph::ElementType;

use crate::array::{Array, Data};
use crate::error::OpError;
use crate::math::vector;
use crate::operator::{Backward, Gradients, Inputs, Operator, Outcome, Scope};
use crate::site::Site;
use granularity::Granularity;

#[derive(Debug)]
struct Quantize {
    granularity: Granularity,
    lowest: f32,
    highest: f32,
}

#[derive(Debug)]
struct Dequantize {
    granularity: Granularity,
}

/// Numbers that may be integers, as floats.
fn floats(array: &Array) -> Result<Cow<'_, [f32]>, OpError> {
    match array.data() {
        Data::Ints(values) => Ok(values.iter().map(|&value| value as f32).collect()),
        _ => array.as_floats().map(Cow::Borrowed),
    }
}

/// The zero points, zeros where there are none.
fn zeros<'a>(inputs: Inputs<'a>, scales: &Array) -> Result<Cow<'a, [f32]>, OpError> {
    match inputs.get(2) {
        Some(zeros) if zeros.len() == scales.len() => floats(zeros),
        Some(zeros) => Err(OpError::new(format!(
            "zero points have shape {}, expected that of the scales, {}",
            zeros.shape(),
            scales.shape()
        ))),
        None => Ok(Cow::Owned(vec![0.0; scales.len()])),
    }
}

impl Operator for Quantize {
    fn forward(&self, scope: &mut Scope<'_>, inputs: Inputs<'_>) -> Result<Outcome, OpError> {
        let (x, scales) = (inputs.at(0)?, inputs.at(1)?);
        let aligned = self.granularity.align(x.shape(), scales.shape())?;
        let values = floats(x)?;
        let mut out = scope.buffers.take(values.len());
        let both = (&values[..], scales.as_floats()?);
        aligned.apply(
            &mut out,
            both,
            #[inline(always)]
            |x, scale| (x / scale).round_ties_even(),
        );
        let (lowest, highest) = (self.lowest, self.highest);
        aligned
            .update(&mut out, &zeros(inputs, scales)?, |q, zero| (q + zero).clamp(lowest, highest));
        Ok(Array::floats(x.shape().clone(), out).into())
    }

    fn backward(&self, scope: &mut Scope<'_>, mut at: Backward<'_>) -> Result<Gradients, OpError> {
        let mut gradient = at.gradient()?;
        let (x, scales) = (at.inputs.at(0)?, at.inputs.at(1)?);
        let aligned = self.granularity.align(x.shape(), scales.shape())?;
        let (x, by_scale) = (x.as_floats()?, scales.as_floats()?);
        let mut inside = scope.buffers.take(x.len());
        aligned.apply(
            &mut inside,
            (x, by_scale),
            #[inline(always)]
            |x, scale| (x / scale).round_ties_even(),
        );
        let (lowest, highest) = (self.lowest, self.highest);
        aligned.update(
            &mut inside,
            &zeros(at.inputs, scales)?,
            #[inline(always)]
            move |q, zero| f32::from(u8::from((q + zero >= lowest) & (q + zero <= highest))),
        );
        let values = gradient.floats_mut()?;
        vector::multiply(values, &inside);
        scope.buffers.give(inside);
        aligned.update(
            values,
            by_scale,
            #[inline(always)]
            |gradient, scale| gradient / scale,
        );
        let by_scales = at.wants(1).then(|| {
            let mut products = scope.buffers.take(x.len());
            aligned.apply(
                &mut products,
                (x, by_scale),
                #[inline(always)]
                |x, scale| -x / scale,
            );
            vector::multiply(&mut products, values);
            let sums = aligned.sum(scope, products);
            Array::floats(scales.shape().clone(), sums)
        });
        Ok(vec![Some(gradient), by_scales])
    }
}

impl Operator for Dequantize {
    fn forward(&self, scope: &mut Scope<'_>, inputs: Inputs<'_>) -> Result<Outcome, OpError> {
        let (q, scales) = (inputs.at(0)?, inputs.at(1)?);
        let aligned = self.granularity.align(q.shape(), scales.shape())?;
        let values = floats(q)?;
        let mut out = scope.buffers.take(values.len());
        let zeros = zeros(inputs, scales)?;
        aligned.apply(
            &mut out,
            (&values, &zeros),
            #[inline(always)]
            |q, zero| q - zero,
        );
        aligned.update(
            &mut out,
            scales.as_floats()?,
            #[inline(always)]
            |y, scale| y * scale,
        );
        Ok(Array::floats(q.shape().clone(), out).into())
    }

    fn backward(&self, scope: &mut Scope<'_>, mut at: Backward<'_>) -> Result<Gradients, OpError> {
        let mut gradient = at.gradient()?;
        let (q, scales) = (at.inputs.at(0)?, at.inputs.at(1)?);
        let aligned = self.granularity.align(q.shape(), scales.shape())?;
        let values = gradient.floats_mut()?;
        let by_scales = if at.wants(1) {
            let mut products = scope.buffers.take(values.len());
            let zeros = zeros(at.inputs, scales)?;
            aligned.apply(
                &mut products,
                (&floats(q)?, &zeros),
                #[inline(always)]
                |q, zero| q - zero,
            );
            vector::multiply(&mut products, values);
            let sums = aligned.sum(scope, products);
            Some(Array::floats(scales.shape().clone(), sums))
        } else {
            None
        };
        aligned.update(
            values,
            scales.as_floats()?,
            #[inline(always)]
            |gradient, scale| gradient * scale,
        );
        Ok(vec![Some(gradient), by_scales])
    }
}

/// The type that is quantized to: stated (opset 21), that of the zero point, or `uint8`.
fn target(site: &Site<'_>) -> Result<ElementType, OpError> {
    let stated = i32::try_from(site.int("output_dtype", 0)).unwrap_or(0);
    if let Some(stated) = ElementType::from_code(stated) {
        return Ok(stated);
    }
    match (site.node.input(2), site.constant_type(2)) {
        (None, _) => Ok(ElementType::Uint8),
        (Some(_), Some(found)) => Ok(found),
        (Some(name), None) => Err(OpError::new(format!(
            "zero point '{name}' is computed, training covers constant ones"
        ))),
    }
}

pub(super) fn build(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    let (lowest, highest) = match target(site)? {
        ElementType::Int8 => (-128.0, 127.0),
        ElementType::Uint8 => (0.0, 255.0),
        ElementType::Int16 => (-32768.0, 32767.0),
        ElementType::Uint16 => (0.0, 65535.0),
        ElementType::Int4 => (-8.0, 7.0),
        ElementType::Uint4 => (0.0, 15.0),
        other => {
            return Err(OpError::new(format!("training does not cover quantization to {other}")));
        }
    };
    Ok(Box::new(Quantize { granularity: Granularity::of(site)?, lowest, highest }))
}

pub(super) fn build_dequantize(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(Dequantize { granularity: Granularity::of(site)? }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffers::Buffers;
    use crate::program::{Mode, Program};
    use crate::testing::{Case, numbers, run};
    use crate::workers::Workers;
    use modelyard_graph::{Constant, GraphBuilder, Node};
    use modelyard_tensor::Shape;
    use proptest::prelude::*;

    const INT8: i64 = ElementType::Int8 as i64;

    /// Scales that lie along an array of shape `[2, 4, 3]` in every way there is.
    fn scales(way: usize) -> (Vec<usize>, i64) {
        [(vec![], 0), (vec![1], 0), (vec![4], 0), (vec![2, 2, 3], 2)][way].clone()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn gradient_of_dequantizing(seed in any::<u64>(), way in 0usize..4, zero in -3i64..3) {
            let (dims, block) = scales(way);
            let len = dims.iter().product();
            let q: Vec<f32> = numbers(seed, 24).iter().map(|x| (9.0 * x).round()).collect();
            Case::new("DequantizeLinear")
                .with("block_size", block)
                .trained(&[2, 4, 3], q)
                .trained(&dims, numbers(!seed, len).iter().map(|x| x.abs() + 0.1).collect())
                .fixed(Array::ints(Shape::new(&dims), vec![zero; len]))
                .check();
        }

        /// By the formulas of the module, element by element.
        #[test]
        fn gradient_of_quantizing(seed in any::<u64>(), way in 0usize..4) {
            let (dims, block) = scales(way);
            let len: usize = dims.iter().product();
            let x: Vec<f32> = numbers(seed, 24).iter().map(|x| 20.0 * x).collect();
            let steps: Vec<f32> = numbers(!seed, len).iter().map(|x| x.abs() * 0.2 + 0.05).collect();
            let case = Case::new("QuantizeLinear")
                .with("block_size", block)
                .with("output_dtype", INT8)
                .trained(&[2, 4, 3], x.clone())
                .trained(&dims, steps.clone());
            let quantized = case.run().remove(0).into_floats().unwrap();
            let gradients = case.gradients(&case.program());
            // The gradient by the output is what an operator that passes it on gets.
            let identity = Case::new("Identity").trained(&[2, 4, 3], x.clone());
            let seeds = identity.gradients(&identity.program()).remove(0).unwrap();
            let seeds = seeds.as_floats().unwrap();
            let scale_of = |index: usize| match way {
                0 | 1 => 0,
                2 => index / 3 % 4,
                _ => index / 12 * 6 + index / 6 % 2 * 3 + index % 3,
            };
            let mut by_scales = vec![0.0; len];
            for index in 0..24 {
                let step = steps[scale_of(index)];
                let rounded = (x[index] / step).round_ties_even();
                prop_assert_eq!(quantized[index], rounded.clamp(-128.0, 127.0));
                let inside = (-128.0..=127.0).contains(&rounded);
                let expected = if inside { seeds[index] / step } else { 0.0 };
                let found = gradients[0].as_ref().unwrap().as_floats().unwrap()[index];
                prop_assert!((found - expected).abs() <= 1e-4 * expected.abs().max(1.0));
                by_scales[scale_of(index)] -= expected * x[index] / step;
            }
            let found = gradients[1].as_ref().unwrap();
            prop_assert_eq!(found.shape().dims(), &dims[..]);
            for (found, expected) in found.as_floats().unwrap().iter().zip(by_scales) {
                prop_assert!((found - expected).abs() <= 1e-3 * expected.abs().max(1.0));
            }
        }
    }

    #[test]
    fn examples_of_the_specification() {
        let x = || vec![0.0, 2.0, 3.0, 1000.0, -254.0, -1000.0];
        let case = || Case::new("QuantizeLinear").trained(&[6], x()).fixed(Array::scalar(2.0));
        case().gives(&[6], &[0.0, 1.0, 2.0, 255.0, 0.0, 0.0]);
        let signed = case().with("output_dtype", INT8);
        signed.gives(&[6], &[0.0, 1.0, 2.0, 127.0, -127.0, -128.0]);
        let case = Case::new("DequantizeLinear").fixed(Array::ints([4], vec![0, 3, 128, 255]));
        let case = case.fixed(Array::scalar(2.0)).fixed(Array::ints([], vec![128]));
        case.gives(&[4], &[-256.0, -250.0, 0.0, 254.0]);
    }

    #[test]
    fn a_pair_learns_its_step_as_published() {
        // y = step * clamp(round(x / step)): dy/dstep = round(x / step) - x / step, or the end.
        let step = 0.5f32;
        let check = |x: f32, expected: f32| {
            let quantize = Case::new("QuantizeLinear").with("output_dtype", INT8);
            let quantize = quantize.trained(&[1], vec![x]).trained(&[], vec![step]);
            let q = quantize.run().remove(0).into_floats().unwrap();
            let by_step = |case: &Case, number: usize| {
                let gradients = case.gradients(&case.program());
                gradients[number].as_ref().unwrap().as_floats().unwrap()[0]
            };
            let seed = Case::new("Identity").trained(&[1], vec![x]);
            let seed = by_step(&seed, 0);
            let dequantize = Case::new("DequantizeLinear").trained(&[1], q);
            let dequantize = dequantize.trained(&[], vec![step]);
            let through_q = step * by_step(&quantize, 1) / seed;
            let found = through_q + by_step(&dequantize, 1) / seed;
            assert!((found - expected).abs() < 1e-4, "{found}, expected {expected}");
        };
        check(0.6, 1.0 - 1.2);
        check(0.8, 2.0 - 1.6);
        check(100.0, 127.0);
        check(-100.0, -128.0);
    }

    #[test]
    fn the_zero_point_says_the_range() {
        let quantized = |element_type, zero: u8| {
            let model = GraphBuilder::new("g")
                .floats("x", &[3], &[-1000.0, 1.0, 1000.0])
                .floats("scale", &[], &[2.0])
                .initializer(Constant::raw("zero", element_type, &[], vec![zero]))
                .node(Node::new("QuantizeLinear", &["x", "scale", "zero"], &["q"]))
                .model();
            let program = Program::compile(&model).unwrap();
            let plan = program.plan(&["q"], &[]).unwrap();
            let (mut buffers, workers) = (Buffers::default(), Workers::new(1).unwrap());
            let mut run = run(&mut buffers, &workers, Mode::Evaluate);
            let pass = program.forward(&plan, program.weights(), Vec::new(), &mut run).unwrap();
            pass.value("q").as_floats().unwrap().to_vec()
        };
        assert_eq!(quantized(ElementType::Uint8, 10), [0.0, 10.0, 255.0]);
        assert_eq!(quantized(ElementType::Int8, 0xfe), [-128.0, -2.0, 127.0]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let case = || Case::new("QuantizeLinear").trained(&[2, 3], numbers(1, 6));
        case().fixed(Array::floats([2], vec![1.0; 2])).is_refused("scales of shape [2] do not fit");
        let blocks = case().with("block_size", 2).fixed(Array::floats([2, 1], vec![1.0; 2]));
        blocks.is_refused("do not fit [2,3] along axis 1 in blocks of 2");
        let zeros = case().fixed(Array::scalar(1.0)).fixed(Array::ints([2], vec![0; 2]));
        zeros.with("output_dtype", INT8).is_refused("zero points have shape [2]");
        let float8 = case().fixed(Array::scalar(1.0)).with("output_dtype", 17);
        float8.is_refused("training does not cover quantization to float8");
    }
}
