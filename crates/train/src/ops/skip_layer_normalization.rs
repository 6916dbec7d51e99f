//! ONNX Runtime's SkipLayerNormalization and SkipSimplifiedLayerNormalization: a sum of two
//! arrays and maybe a bias, then normalization over the last axis.
//!
//! Inputs: input, skip, gamma, beta (not in the simplified one), bias. Outputs: the result, mean
//! and inverse deviation (which ONNX Runtime itself leaves empty, and so are not covered), and the
//! sum.

use modelyard_tensor::Shape;

use super::row_norm::{Layout, factors};
use crate::array::Array;
use crate::error::OpError;
use crate::math::broadcast;
use crate::math::normalize::{Kept, Kind, Rows, Statistics};
use crate::math::vector;
use crate::operator::{Backward, Gradients, Inputs, Operator, Outcome, Reads, Scope};
use crate::site::Site;

#[derive(Debug)]
struct Skip {
    kind: Kind,
    /// Number of the input that is added to every row.
    bias: usize,
}

const LAYOUT: Layout = Layout::From(-1);

impl Skip {
    /// The sum of input, skip and bias.
    fn sum(&self, scope: &mut Scope<'_>, inputs: Inputs<'_>) -> Result<(Rows, Vec<f32>), OpError> {
        let (x, skip) = (inputs.at(0)?, inputs.at(1)?);
        let rows = LAYOUT.rows(x.shape())?;
        if !repeats(skip.shape(), x.shape()) {
            return Err(OpError::new(format!(
                "skip has shape {}, expected that of the input or its last axes: {}",
                skip.shape(),
                x.shape()
            )));
        }
        let mut sum = scope.buffers.take(x.len());
        sum.copy_from_slice(x.as_floats()?);
        let skip = skip.as_floats()?;
        if !skip.is_empty() {
            sum.chunks_exact_mut(skip.len()).for_each(|sum| vector::add(sum, skip));
        }
        if let Some(bias) = inputs.get(self.bias) {
            let bias = factors(bias, "bias", rows.size())?;
            if !bias.is_empty() {
                sum.chunks_exact_mut(bias.len()).for_each(|sum| vector::add(sum, bias));
            }
        }
        Ok((rows, sum))
    }

    fn has_beta(&self) -> bool {
        self.kind.centered
    }
}

/// Whether an array of shape `part`, repeated, is one of shape `whole`: the last axes are the
/// same, and those before are 1.
fn repeats(part: &Shape, whole: &Shape) -> bool {
    let same =
        part.iter().rev().zip(whole.iter().rev()).take_while(|(one, two)| one == two).count();
    part.len() <= whole.len() && part[..part.len() - same].iter().all(|&size| size == 1)
}

impl Operator for Skip {
    fn forward(&self, scope: &mut Scope<'_>, inputs: Inputs<'_>) -> Result<Outcome, OpError> {
        let (rows, sum) = self.sum(scope, inputs)?;
        let gamma = factors(inputs.at(2)?, "gamma", rows.factors())?;
        let zeros;
        let beta = match inputs.get(3).filter(|_| self.has_beta()) {
            Some(beta) => factors(beta, "beta", rows.factors())?,
            None => {
                zeros = vec![0.0; rows.factors()];
                &zeros
            }
        };
        let shape = inputs.at(0)?.shape();
        let mut out = scope.buffers.take(sum.len());
        let found = rows.forward(scope.workers, self.kind, (&sum, gamma, beta), &mut out);
        let mean = Array::floats([rows.rows], found.mean);
        let inverse = Array::floats([rows.rows], found.inverse);
        let empty = Array::floats([0], Vec::new());
        let sum = Array::floats(shape.clone(), sum);
        let outputs = vec![Array::floats(shape.clone(), out), empty.clone(), empty, sum.clone()];
        Ok(Outcome { outputs, saved: vec![sum, mean, inverse], updates: Vec::new() })
    }

    fn reads(&self, _wanted: &[bool]) -> Reads {
        Reads::NOTHING.and_input(2)
    }

    fn backward(&self, scope: &mut Scope<'_>, mut at: Backward<'_>) -> Result<Gradients, OpError> {
        let [sum, mean, inverse] = &at.saved[..] else {
            return Err(OpError::new("expected what the way forward saved"));
        };
        let rows = LAYOUT.rows(sum.shape())?;
        let kept = Kept {
            centered: self.kind.centered,
            x: sum.as_floats()?,
            scale: factors(at.inputs.at(2)?, "gamma", rows.factors())?,
            statistics: Statistics { mean: mean.as_floats()?, inverse: inverse.as_floats()? },
            by_statistics: Statistics { mean: None, inverse: None },
        };
        let mut gradient = match at.gradients[0].take() {
            Some(gradient) => gradient.into_floats()?,
            None => scope.buffers.zeros(sum.len()),
        };
        let wants_factors = at.wants(2) || (self.has_beta() && at.wants(3));
        let shared = (scope.workers, &mut *scope.buffers);
        let by_factors = rows.backward(shared, &kept, &mut gradient, wants_factors);
        if let Some(by_sum) = at.gradients.get(3).and_then(Option::as_ref) {
            vector::add(&mut gradient, by_sum.as_floats()?);
        }
        let gradient = Array::floats(sum.shape().clone(), gradient);
        let mut gradients: Gradients = vec![None; self.bias + 1];
        for number in [1, self.bias] {
            if !at.wants(number) {
                continue;
            }
            let to = at.shape(number)?.clone();
            gradients[number] = Some(if &to == sum.shape() {
                gradient.clone()
            } else {
                let copy = gradient.as_floats()?.to_vec();
                Array::floats(to.clone(), broadcast::sum_to(scope.buffers, copy, sum.shape(), &to))
            });
        }
        if let Some(by_factors) = by_factors {
            gradients[2] = Some(Array::floats(at.shape(2)?.clone(), by_factors.scale));
            if self.has_beta() && at.wants(3) {
                gradients[3] = Some(Array::floats(at.shape(3)?.clone(), by_factors.bias));
            }
        }
        gradients[0] = Some(gradient);
        Ok(gradients)
    }
}

fn with(site: &Site<'_>, centered: bool) -> Result<Box<dyn Operator>, OpError> {
    if site.node.output(1).is_some() || site.node.output(2).is_some() {
        return Err(OpError::new("outputs mean and inv_std_var are not covered"));
    }
    let kind = Kind { centered, epsilon: site.float("epsilon", 1e-12) };
    Ok(Box::new(Skip { kind, bias: if centered { 4 } else { 3 } }))
}

pub(super) fn build(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    with(site, true)
}

pub(super) fn build_simplified(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    with(site, false)
}

#[cfg(test)]
mod tests {
    use crate::testing::{Case, numbers};
    use proptest::prelude::*;

    fn skip(simplified: bool, repeated: bool, seed: u64) -> Case {
        let name =
            if simplified { "SkipSimplifiedLayerNormalization" } else { "SkipLayerNormalization" };
        let dims: &[usize] = if repeated { &[1, 2, 5] } else { &[3, 2, 5] };
        let case = Case::new(name)
            .domain("com.microsoft")
            .with("epsilon", 0.1)
            .trained(&[3, 2, 5], numbers(seed, 30))
            .trained(dims, numbers(seed ^ 1, dims.iter().product()))
            .trained(&[5], numbers(seed ^ 2, 5));
        let case = if simplified { case } else { case.trained(&[5], numbers(seed ^ 3, 5)) };
        case.trained(&[5], numbers(seed ^ 4, 5))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]
        #[test]
        fn gradient(simplified in any::<bool>(), repeated in any::<bool>(), seed in any::<u64>()) {
            skip(simplified, repeated, seed).check();
            skip(simplified, repeated, seed).named_outputs(&[true, false, false, true]).check();
        }
    }

    #[test]
    fn is_a_sum_and_a_layer_normalization() {
        let found = skip(false, false, 3).named_outputs(&[true, false, false, true]).run();
        let (x, skip, bias) = (numbers(3, 30), numbers(3 ^ 1, 30), numbers(3 ^ 4, 5));
        let sum: Vec<f32> = (0..30).map(|at| x[at] + skip[at] + bias[at % 5]).collect();
        let expected = Case::new("LayerNormalization")
            .with("epsilon", 0.1)
            .trained(&[3, 2, 5], sum.clone())
            .trained(&[5], numbers(3 ^ 2, 5))
            .trained(&[5], numbers(3 ^ 3, 5))
            .run();
        assert_eq!(found[0], expected[0]);
        assert_eq!(found[1].as_floats().unwrap(), sum);
    }

    #[test]
    fn a_skip_of_another_shape_is_refused() {
        let case = Case::new("SkipLayerNormalization")
            .domain("com.microsoft")
            .trained(&[3, 2, 4], numbers(1, 24))
            .trained(&[3, 1, 4], numbers(2, 12))
            .trained(&[4], numbers(3, 4));
        let error = case.try_run().unwrap_err();
        assert!(error.contains("skip has shape [3,1,4]"), "{error}");
    }
}
