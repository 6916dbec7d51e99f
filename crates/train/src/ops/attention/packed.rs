//! `com.microsoft.Attention`: projects its input to queries, keys and values with one matrix, then
//! attends. Caches and rotary positions are not covered.

use modelyard_tensor::Shape;

use super::attend::{Attend, Back, Given};
use super::mask::Mask;
use super::place::{Place, arranged};
use super::{head_count, refuse_others, scale};
use crate::array::Array;
use crate::error::OpError;
use crate::math::matmul::{self, Matrix, PLAIN, Product};
use crate::math::{broadcast, vector};
use crate::operator::{Backward, Gradients, Inputs, Operator, Outcome, Reads, Scope};
use crate::site::Site;

#[derive(Debug)]
struct Packed {
    heads: usize,
    /// Columns of queries, keys and values; thirds where not said.
    widths: Option<[usize; 3]>,
    scale: Option<f32>,
    causal: bool,
    filter: f32,
}

const MASK: usize = 3;
const ATTENTION_BIAS: usize = 5;

/// Sizes of the projection.
#[derive(Clone, Copy)]
struct Projection {
    batch: usize,
    steps: usize,
    input: usize,
    columns: usize,
}

impl Projection {
    fn new(x: &Shape, weights: &Shape) -> Result<Projection, OpError> {
        match (x.dims(), weights.dims()) {
            (&[batch, steps, input], &[rows, columns]) if rows == input => {
                Ok(Projection { batch, steps, input, columns })
            }
            _ => Err(OpError::new(format!("cannot project {x} with weights {weights}"))),
        }
    }

    fn rows(&self) -> usize {
        self.batch * self.steps
    }
}

impl Packed {
    fn attend(&self, of: &Projection) -> Result<Attend, OpError> {
        let widths = self.widths.unwrap_or([of.columns / 3; 3]);
        let sum = widths.iter().try_fold(0usize, |sum, &width| sum.checked_add(width));
        if sum != Some(of.columns) || widths.iter().any(|width| width % self.heads != 0) {
            return Err(OpError::new(format!(
                "weights of {} columns do not hold {widths:?} of queries, keys and values in {} \
                 heads",
                of.columns, self.heads
            )));
        }
        let place = |offset: usize, width: usize| {
            let heads = (self.heads, width / self.heads);
            Place::columns([of.batch, of.steps, of.columns], offset, heads)
        };
        let [query, key, value] = widths;
        let places = (place(0, query), place(query, key), place(query + key, value));
        Attend::new(places, self.scale, self.causal)
    }
}

impl Operator for Packed {
    fn forward(&self, scope: &mut Scope<'_>, inputs: Inputs<'_>) -> Result<Outcome, OpError> {
        let of = Projection::new(inputs.at(0)?.shape(), inputs.at(1)?.shape())?;
        let attend = self.attend(&of)?;
        let bias = inputs.get(2);
        let bias = bias.map(|bias| crate::ops::row_norm::factors(bias, "bias", of.columns));
        let bias = bias.transpose()?;
        let len = scope.elements(&[of.rows(), of.columns])?;
        let mut projected = scope.buffers.take(len);
        let x = Matrix::new(inputs.floats(0)?, of.rows(), of.input);
        let weights = Matrix::new(inputs.floats(1)?, of.input, of.columns);
        matmul::multiply(&mut projected, x, weights, Product { bias, ..PLAIN })?;
        let mut masks = Vec::with_capacity(2);
        if let Some(mask) = inputs.get(MASK) {
            masks.push(Mask::of_keys(mask, attend.scores(), self.filter)?);
        }
        if let Some(bias) = inputs.get(ATTENTION_BIAS) {
            masks.push(Mask::of(bias, attend.scores())?);
        }
        let given = Given { query: &projected, key: &projected, value: &projected };
        let (heads, probabilities) = attend.forward(scope, given, &masks)?;
        let (place, shape) = attend.flat_output();
        let out = arranged(scope, heads, place, &shape);
        Ok(Outcome::from(out)
            .saving(Array::floats([of.rows(), of.columns], projected))
            .saving(Array::floats(attend.scores(), probabilities)))
    }

    fn reads(&self, _wanted: &[bool]) -> Reads {
        Reads::NOTHING.and_input(0).and_input(1)
    }

    fn backward(&self, scope: &mut Scope<'_>, mut at: Backward<'_>) -> Result<Gradients, OpError> {
        let gradient = at.gradient()?;
        let of = Projection::new(at.shape(0)?, at.shape(1)?)?;
        let attend = self.attend(&of)?;
        let (Some(probabilities), Some(projected)) = (at.saved.pop(), at.saved.pop()) else {
            return Err(OpError::new("expected what the way forward saved"));
        };
        let values = projected.as_floats()?;
        let given = Given { query: values, key: values, value: values };
        let dy = (gradient.as_floats()?, attend.flat_output().0);
        let Back { query, key, value, scores } =
            attend.backward(scope, given, probabilities.into_floats()?, dy)?;
        let mut by_projected = scope.buffers.take(of.rows() * of.columns);
        for (heads, place) in [(query, attend.query), (key, attend.key), (value, attend.value)] {
            place.scatter(&mut by_projected, &heads);
            scope.buffers.give(heads);
        }
        let mut gradients: Gradients = vec![None; ATTENTION_BIAS + 1];
        let by = Matrix::new(&by_projected, of.rows(), of.columns);
        if at.wants(0) {
            let mut out = scope.buffers.take(of.rows() * of.input);
            let weights = Matrix::new(at.inputs.floats(1)?, of.input, of.columns);
            matmul::multiply(&mut out, by, weights.transposed(), PLAIN)?;
            gradients[0] = Some(Array::floats(at.shape(0)?.clone(), out));
        }
        if at.wants(1) {
            let mut out = scope.buffers.take(of.input * of.columns);
            let x = Matrix::new(at.inputs.floats(0)?, of.rows(), of.input);
            matmul::multiply(&mut out, x.transposed(), by, PLAIN)?;
            gradients[1] = Some(Array::floats(at.shape(1)?.clone(), out));
        }
        if at.wants(2) {
            let mut sum = vec![0.0; of.columns];
            by_projected.chunks_exact(of.columns).for_each(|row| vector::add(&mut sum, row));
            gradients[2] = Some(Array::floats(at.shape(2)?.clone(), sum));
        }
        if at.wants(ATTENTION_BIAS) {
            let to = at.shape(ATTENTION_BIAS)?.clone();
            let sum = broadcast::sum_to(scope.buffers, scores, &attend.scores(), &to);
            gradients[ATTENTION_BIAS] = Some(Array::floats(to, sum));
        } else {
            scope.buffers.give(scores);
        }
        scope.buffers.give(by_projected);
        Ok(gradients)
    }
}

fn widths(site: &Site<'_>) -> Result<Option<[usize; 3]>, OpError> {
    let Some(sizes) = site.ints("qkv_hidden_sizes") else { return Ok(None) };
    let widths: Option<Vec<usize>> = sizes.iter().map(|&size| usize::try_from(size).ok()).collect();
    match widths.as_deref() {
        Some(&[query, key, value]) => Ok(Some([query, key, value])),
        _ => Err(OpError::new(format!(
            "attribute qkv_hidden_sizes is {sizes:?}, expected three sizes"
        ))),
    }
}

pub(in crate::ops) fn build(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    let inputs = [(4, "past"), (6, "past_sequence_length")];
    refuse_others(site, &inputs, &[(1, "present")])?;
    if site.flag("do_rotary", false) {
        return Err(OpError::new("attribute do_rotary is not covered"));
    }
    let heads = head_count(site, "num_heads")?;
    Ok(Box::new(Packed {
        heads: heads.ok_or_else(|| OpError::new("attribute num_heads is missing"))?,
        widths: widths(site)?,
        scale: scale(site),
        causal: site.flag("unidirectional", false),
        filter: site.float("mask_filter_value", -10000.0),
    }))
}

#[cfg(test)]
mod tests {
    use super::super::reference::{Reference, Values, close, swapped};
    use crate::array::Array;
    use crate::testing::{Case, numbers};
    use proptest::prelude::*;

    fn reference(value_width: usize, causal: bool) -> Reference {
        Reference {
            batch: 2,
            heads: 2,
            key_heads: 2,
            queries: 3,
            keys: 3,
            width: 2,
            value_width,
            scale: 0.5f32.sqrt(),
            causal,
        }
    }

    fn case(of: &Reference, seed: u64) -> Case {
        let columns = 2 * (2 * of.width + of.value_width);
        let sizes = [4, 4, 2 * of.value_width as i64];
        let case = Case::new("Attention")
            .domain("com.microsoft")
            .with("num_heads", 2)
            .with("unidirectional", i64::from(of.causal));
        let case = if of.value_width == of.width {
            case
        } else {
            case.with("qkv_hidden_sizes", &sizes[..])
        };
        case.trained(&[2, 3, 5], numbers(seed, 30))
            .trained(&[5, columns], numbers(seed ^ 1, 5 * columns))
            .trained(&[columns], numbers(seed ^ 2, columns))
    }

    /// Queries, keys and values by the formula.
    fn projected(of: &Reference, seed: u64) -> Values {
        let columns = 2 * (2 * of.width + of.value_width);
        let (x, w) = (numbers(seed, 30), numbers(seed ^ 1, 5 * columns));
        let bias = numbers(seed ^ 2, columns);
        let part = |from: usize, width: usize| {
            let mut out = Vec::new();
            for row in 0..6 {
                for column in from..from + 2 * width {
                    let product = (0..5).map(|at| x[row * 5 + at] * w[at * columns + column]);
                    out.push(product.sum::<f32>() + bias[column]);
                }
            }
            // From [N, rows, heads, width] to [N, heads, rows, width]: the same with both swapped.
            swapped(&out, [2, 3, 2, width])
        };
        Values { query: part(0, 2), key: part(4, 2), value: part(8, of.value_width) }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]
        #[test]
        fn gradient(causal in any::<bool>(), value_width in 2usize..4, seed in any::<u64>()) {
            let case = case(&reference(value_width, causal), seed);
            case.fixed(Array::ints([2], vec![2, 3]))
                .without()
                .trained(&[2, 1, 3, 3], numbers(seed ^ 3, 18))
                .check();
        }

        #[test]
        fn values_follow_the_formula(causal in any::<bool>(), value_width in 2usize..4, seed in any::<u64>()) {
            let of = reference(value_width, causal);
            let found = case(&of, seed).fixed(Array::ints([2, 3], vec![1, 1, 0, 1, 1, 1])).run();
            let expected = of.attend(&projected(&of, seed), |sample, _, _, key| {
                if (sample, key) == (0, 2) { -10000.0 } else { 0.0 }
            });
            close(found[0].as_floats().unwrap(), &of.merged(&expected));
        }
    }

    #[test]
    fn what_is_not_covered_is_named() {
        let refused = |case: Case, text: &str| {
            let error = case.try_run().unwrap_err();
            assert!(error.contains(text), "{error}");
        };
        let of = reference(2, false);
        refused(case(&of, 1).outputs(2), "output present is not covered");
        refused(case(&of, 1).with("do_rotary", 1), "attribute do_rotary is not covered");
        let sizes = [4i64, 4, 5];
        let case = case(&of, 1).with("qkv_hidden_sizes", &sizes[..]);
        refused(case, "weights of 12 columns do not hold [4, 4, 5] of queries, keys and values");
    }
}
