//! `com.microsoft.MultiHeadAttention`: queries [N, S, heads * width], keys and values [N, T, ...],
//! to which a bias may be added first. Packed inputs, caches and keys of 4 dimensions are not
//! covered.

use modelyard_tensor::Shape;

use super::attend::{Attend, Given};
use super::mask::Mask;
use super::place::{Place, arranged};
use super::{head_count, refuse_others, scale};
use crate::array::Array;
use crate::error::OpError;
use crate::math::{broadcast, vector};
use crate::operator::{Backward, Gradients, Inputs, Operator, Outcome, Reads, Scope};
use crate::site::Site;

#[derive(Debug)]
struct MultiHead {
    heads: usize,
    scale: Option<f32>,
    causal: bool,
    filter: f32,
}

const BIAS: usize = 3;
const KEY_MASK: usize = 4;
const ATTENTION_BIAS: usize = 5;
const NAMES: [&str; 3] = ["query", "key", "value"];

impl MultiHead {
    fn attend(&self, inputs: Inputs<'_>) -> Result<Attend, OpError> {
        let place = |number: usize| {
            let shape = inputs.at(number)?.shape();
            if shape.len() != 3 {
                return Err(OpError::new(format!(
                    "{} has shape {shape}, training covers 3 dimensions",
                    NAMES[number]
                )));
            }
            Place::of(NAMES[number], shape, Some(self.heads))
        };
        Attend::new((place(0)?, place(1)?, place(2)?), self.scale, self.causal)
    }

    fn masks<'a>(&self, inputs: Inputs<'a>, scores: [usize; 4]) -> Result<Vec<Mask<'a>>, OpError> {
        let mut masks = Vec::with_capacity(2);
        if let Some(mask) = inputs.get(KEY_MASK) {
            masks.push(Mask::of_keys(mask, scores, self.filter)?);
        }
        if let Some(bias) = inputs.get(ATTENTION_BIAS) {
            masks.push(Mask::of(bias, scores)?);
        }
        Ok(masks)
    }
}

/// Columns of the three inputs.
fn widths(attend: &Attend) -> [usize; 3] {
    [attend.query, attend.key, attend.value].map(|place| place.heads * place.width)
}

/// Queries, keys and values with their part of the bias.
fn biased(
    scope: &mut Scope<'_>,
    inputs: Inputs<'_>,
    widths: [usize; 3],
) -> Result<[Array; 3], OpError> {
    let mut arrays = [inputs.at(0)?.clone(), inputs.at(1)?.clone(), inputs.at(2)?.clone()];
    let Some(bias) = inputs.get(BIAS) else { return Ok(arrays) };
    let expected = widths.iter().sum();
    let mut rest = crate::ops::row_norm::factors(bias, "bias", expected)?;
    for (array, width) in arrays.iter_mut().zip(widths) {
        let (part, tail) = rest.split_at(width);
        rest = tail;
        let mut values = scope.buffers.take(array.len());
        values.copy_from_slice(array.as_floats()?);
        values.chunks_exact_mut(width).for_each(|row| vector::add(row, part));
        *array = Array::floats(array.shape().clone(), values);
    }
    Ok(arrays)
}

impl Operator for MultiHead {
    fn forward(&self, scope: &mut Scope<'_>, inputs: Inputs<'_>) -> Result<Outcome, OpError> {
        let attend = self.attend(inputs)?;
        let [query, key, value] = biased(scope, inputs, widths(&attend))?;
        let masks = self.masks(inputs, attend.scores())?;
        let given =
            Given { query: query.as_floats()?, key: key.as_floats()?, value: value.as_floats()? };
        let (heads, probabilities) = attend.forward(scope, given, &masks)?;
        [query, key, value].into_iter().for_each(|array| scope.buffers.recycle(array));
        let (place, shape) = attend.flat_output();
        let out = arranged(scope, heads, place, &shape);
        Ok(Outcome::from(out).saving(Array::floats(attend.scores(), probabilities)))
    }

    fn reads(&self, _wanted: &[bool]) -> Reads {
        Reads::NOTHING.and_input(0).and_input(1).and_input(2).and_input(BIAS)
    }

    fn backward(&self, scope: &mut Scope<'_>, mut at: Backward<'_>) -> Result<Gradients, OpError> {
        let gradient = at.gradient()?;
        let attend = self.attend(at.inputs)?;
        let [query, key, value] = biased(scope, at.inputs, widths(&attend))?;
        let given =
            Given { query: query.as_floats()?, key: key.as_floats()?, value: value.as_floats()? };
        let saved = at.saved.pop().ok_or_else(|| OpError::new("expected the probabilities"))?;
        let dy = (gradient.as_floats()?, attend.flat_output().0);
        let back = attend.backward(scope, given, saved.into_floats()?, dy)?;
        [query, key, value].into_iter().for_each(|array| scope.buffers.recycle(array));
        let mut gradients: Gradients = vec![
            Some(arranged(scope, back.query, attend.query, at.shape(0)?)),
            Some(arranged(scope, back.key, attend.key, at.shape(1)?)),
            Some(arranged(scope, back.value, attend.value, at.shape(2)?)),
        ];
        gradients.resize(ATTENTION_BIAS + 1, None);
        if at.wants(BIAS) {
            gradients[BIAS] = Some(by_bias(&gradients[..3], widths(&attend), at.shape(BIAS)?)?);
        }
        if at.wants(ATTENTION_BIAS) {
            let to = at.shape(ATTENTION_BIAS)?.clone();
            let sum = broadcast::sum_to(scope.buffers, back.scores, &attend.scores(), &to);
            gradients[ATTENTION_BIAS] = Some(Array::floats(to, sum));
        } else {
            scope.buffers.give(back.scores);
        }
        Ok(gradients)
    }
}

/// The gradient by the bias: sums of the rows of those by what it was added to.
fn by_bias(
    gradients: &[Option<Array>],
    widths: [usize; 3],
    shape: &Shape,
) -> Result<Array, OpError> {
    let mut sums = vec![0.0; widths.iter().sum()];
    let mut rest = &mut sums[..];
    for (gradient, width) in gradients.iter().flatten().zip(widths) {
        let (part, tail) = rest.split_at_mut(width);
        rest = tail;
        gradient.as_floats()?.chunks_exact(width).for_each(|row| vector::add(part, row));
    }
    Ok(Array::floats(shape.clone(), sums))
}

pub(in crate::ops) fn build(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    let inputs =
        [(6, "past_key"), (7, "past_value"), (8, "past_sequence_length"), (9, "cache_indirection")];
    refuse_others(site, &inputs, &[(1, "present_key"), (2, "present_value"), (3, "qk")])?;
    if site.node.input(1).is_none() || site.node.input(2).is_none() {
        return Err(OpError::new("packed queries, keys and values are not covered"));
    }
    let heads = head_count(site, "num_heads")?;
    Ok(Box::new(MultiHead {
        heads: heads.ok_or_else(|| OpError::new("attribute num_heads is missing"))?,
        scale: scale(site),
        causal: site.flag("unidirectional", false),
        filter: site.float("mask_filter_value", -10000.0),
    }))
}

#[cfg(test)]
mod tests {
    use super::super::reference::{Reference, Values, close};
    use crate::array::Array;
    use crate::testing::{Case, numbers};
    use proptest::prelude::*;

    const R: Reference = Reference {
        batch: 2,
        heads: 2,
        key_heads: 2,
        queries: 3,
        keys: 4,
        width: 3,
        value_width: 2,
        scale: 0.577_350_26,
        causal: false,
    };

    fn case(of: &Reference, seed: u64) -> Case {
        let [q, k, v] = of.values(seed).map_heads(of);
        Case::new("MultiHeadAttention")
            .domain("com.microsoft")
            .with("num_heads", 2)
            .with("unidirectional", i64::from(of.causal))
            .trained(&[2, 3, 6], q)
            .trained(&[2, 4, 6], k)
            .trained(&[2, 4, 4], v)
    }

    /// Values with a bias by column: 6 of queries, 6 of keys, 4 of values.
    fn biased(mut values: Values, bias: &[f32]) -> Values {
        let add = |data: &mut [f32], rows: usize, width: usize, bias: &[f32]| {
            for (at, value) in data.iter_mut().enumerate() {
                *value += bias[at / (rows * width) % 2 * width + at % width];
            }
        };
        add(&mut values.query, 3, 3, &bias[..6]);
        add(&mut values.key, 4, 3, &bias[6..12]);
        add(&mut values.value, 4, 2, &bias[12..]);
        values
    }

    /// A mask of each kind; no query is left without the first key.
    fn key_mask(kind: usize) -> (Array, impl Fn(usize, usize, usize) -> bool) {
        let takes_part = move |sample: usize, query: usize, key: usize| match kind {
            0 => key < [3, 4][sample],
            1 => key == 0 || (sample + key) % 3 != 1,
            _ => key == 0 || (sample + key + query) % 3 != 1,
        };
        let mut ints = Vec::new();
        for sample in 0..2 {
            for query in 0..if kind == 2 { 3 } else { 1 } {
                ints.extend((0..4).map(|key| i64::from(takes_part(sample, query, key))));
            }
        }
        let array = match kind {
            0 => Array::ints([2], vec![3, 4]),
            1 => Array::ints([2, 4], ints),
            _ => Array::ints([2, 3, 4], ints),
        };
        (array, takes_part)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]
        #[test]
        fn gradient(causal in any::<bool>(), bias in any::<bool>(), kind in 0usize..3, seed in any::<u64>()) {
            let case = case(&Reference { causal, ..R }, seed);
            let case = if bias { case.trained(&[16], numbers(seed ^ 5, 16)) } else { case.without() };
            case.fixed(key_mask(kind).0).trained(&[1, 2, 3, 4], numbers(seed ^ 6, 24)).check();
        }

        #[test]
        fn values_follow_the_formula(causal in any::<bool>(), kind in 0usize..3, seed in any::<u64>()) {
            let of = Reference { causal, ..R };
            let (bias, attention_bias) = (numbers(seed ^ 5, 16), numbers(seed ^ 6, 24));
            let (mask, takes_part) = key_mask(kind);
            let found = case(&of, seed)
                .trained(&[16], bias.clone())
                .fixed(mask)
                .trained(&[1, 2, 3, 4], attention_bias.clone())
                .run();
            let expected = of.attend(&biased(of.values(seed), &bias), |sample, head, query, key| {
                let filter = if takes_part(sample, query, key) { 0.0 } else { -10000.0 };
                filter + attention_bias[(head * 3 + query) * 4 + key]
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
        let packed = Case::new("MultiHeadAttention").domain("com.microsoft").with("num_heads", 2);
        let packed = packed.trained(&[1, 2, 2, 3, 2], numbers(1, 24));
        refused(packed, "packed queries, keys and values are not covered");
        let mask = Array::ints([8], vec![1; 8]);
        refused(case(&R, 1).without().fixed(mask), "a mask of shape [8] is not covered");
        refused(case(&R, 1).outputs(2), "output present_key is not covered");
        refused(case(&R, 1).trained(&[15], numbers(1, 15)), "expected 16 elements");
    }
}
