//! Attention of opset 23: `softmax(scale Q Kᵀ + mask) V` over arrays [N, heads, rows, width] or
//! [N, rows, heads * width]. Key and value caches are not covered.

use modelyard_tensor::Shape;

use super::attend::{Attend, Given};
use super::mask::Mask;
use super::place::{Place, arranged};
use super::{head_count, refuse_others, scale};
use crate::array::Array;
use crate::error::OpError;
use crate::math::broadcast;
use crate::operator::{Backward, Gradients, Inputs, Operator, Outcome, Reads, Scope};
use crate::site::Site;

#[derive(Debug)]
struct Attention {
    heads: Option<usize>,
    key_heads: Option<usize>,
    scale: Option<f32>,
    causal: bool,
    softcap: Option<f32>,
}

impl Attention {
    fn attend(&self, inputs: Inputs<'_>) -> Result<Attend, OpError> {
        let query = Place::of("Q", inputs.at(0)?.shape(), self.heads)?;
        let key = Place::of("K", inputs.at(1)?.shape(), self.key_heads.or(self.heads))?;
        let value = Place::of("V", inputs.at(2)?.shape(), self.key_heads.or(self.heads))?;
        let attend = Attend::new((query, key, value), self.scale, self.causal)?;
        Ok(attend.capped(self.softcap))
    }
}

/// Where the heads of the result are, and its shape: in the manner of the queries.
fn output(attend: &Attend, query: &Shape) -> (Place, Shape) {
    let plain = attend.output();
    let Place { batch, heads, rows, width, .. } = plain;
    match query.len() {
        4 => (plain, [batch, heads, rows, width].into()),
        _ => attend.flat_output(),
    }
}

impl Operator for Attention {
    fn forward(&self, scope: &mut Scope<'_>, inputs: Inputs<'_>) -> Result<Outcome, OpError> {
        let attend = self.attend(inputs)?;
        let given =
            Given { query: inputs.floats(0)?, key: inputs.floats(1)?, value: inputs.floats(2)? };
        let mask = inputs.get(3).map(|mask| Mask::of(mask, attend.scores())).transpose()?;
        let (heads, probabilities) = attend.forward(scope, given, mask.as_slice())?;
        let (place, shape) = output(&attend, inputs.at(0)?.shape());
        let out = arranged(scope, heads, place, &shape);
        Ok(Outcome::from(out).saving(Array::floats(attend.scores(), probabilities)))
    }

    fn reads(&self, _wanted: &[bool]) -> Reads {
        Reads::NOTHING.and_input(0).and_input(1).and_input(2)
    }

    fn backward(&self, scope: &mut Scope<'_>, mut at: Backward<'_>) -> Result<Gradients, OpError> {
        let gradient = at.gradient()?;
        let attend = self.attend(at.inputs)?;
        let given = Given {
            query: at.inputs.floats(0)?,
            key: at.inputs.floats(1)?,
            value: at.inputs.floats(2)?,
        };
        let saved = at.saved.pop().ok_or_else(|| OpError::new("expected the probabilities"))?;
        let (place, _) = output(&attend, at.shape(0)?);
        let dy = (gradient.as_floats()?, place);
        let back = attend.backward(scope, given, saved.into_floats()?, dy)?;
        let mut gradients = vec![
            Some(arranged(scope, back.query, attend.query, at.shape(0)?)),
            Some(arranged(scope, back.key, attend.key, at.shape(1)?)),
            Some(arranged(scope, back.value, attend.value, at.shape(2)?)),
        ];
        if at.wants(3) {
            let to = at.shape(3)?.clone();
            let sum = broadcast::sum_to(scope.buffers, back.scores, &attend.scores(), &to);
            gradients.push(Some(Array::floats(to, sum)));
        } else {
            scope.buffers.give(back.scores);
        }
        Ok(gradients)
    }
}

pub(in crate::ops) fn build(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    let inputs = [(4, "past_key"), (5, "past_value"), (6, "nonpad_kv_seqlen")];
    let outputs = [(1, "present_key"), (2, "present_value"), (3, "qk_matmul_output")];
    refuse_others(site, &inputs, &outputs)?;
    Ok(Box::new(Attention {
        heads: head_count(site, "q_num_heads")?,
        key_heads: head_count(site, "kv_num_heads")?,
        scale: scale(site),
        causal: site.flag("is_causal", false),
        // As in ONNX's own evaluator, what is not positive means none.
        softcap: Some(site.float("softcap", 0.0)).filter(|&cap| cap > 0.0),
    }))
}

#[cfg(test)]
mod tests {
    use super::super::reference::{Reference, close};
    use crate::array::Array;
    use crate::testing::{Case, numbers};
    use proptest::prelude::*;

    const R: Reference = Reference {
        batch: 2,
        heads: 4,
        key_heads: 4,
        queries: 3,
        keys: 4,
        width: 2,
        value_width: 3,
        scale: 0.8,
        causal: false,
    };

    fn case(of: &Reference, flat: bool, seed: u64) -> Case {
        let &Reference { batch, heads, key_heads, queries, keys, width, value_width, .. } = of;
        let case = Case::new("Attention")
            .opset(23)
            .with("scale", of.scale)
            .with("is_causal", i64::from(of.causal));
        let values = of.values(seed);
        let [q, k, v] =
            if flat { values.map_heads(of) } else { [values.query, values.key, values.value] };
        if flat {
            case.with("q_num_heads", heads as i64)
                .with("kv_num_heads", key_heads as i64)
                .trained(&[batch, queries, heads * width], q)
                .trained(&[batch, keys, key_heads * width], k)
                .trained(&[batch, keys, key_heads * value_width], v)
        } else {
            case.trained(&[batch, heads, queries, width], q)
                .trained(&[batch, key_heads, keys, width], k)
                .trained(&[batch, key_heads, keys, value_width], v)
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]
        #[test]
        fn gradient(flat in any::<bool>(), causal in any::<bool>(), grouped in any::<bool>(), seed in any::<u64>()) {
            let of = Reference { causal, key_heads: if grouped { 2 } else { 4 }, ..R };
            case(&of, flat, seed).trained(&[4, 1, 4], numbers(seed ^ 9, 16)).check();
        }

        #[test]
        fn values_follow_the_formula(flat in any::<bool>(), causal in any::<bool>(), grouped in any::<bool>(), seed in any::<u64>()) {
            let of = Reference { causal, key_heads: if grouped { 2 } else { 4 }, ..R };
            let mask = numbers(seed ^ 9, 12);
            let found = case(&of, flat, seed).trained(&[3, 4], mask.clone()).run();
            let expected = of.attend(&of.values(seed), |_, _, query, key| mask[query * 4 + key]);
            let expected = if flat { of.merged(&expected) } else { expected };
            close(found[0].as_floats().unwrap(), &expected);
        }
    }

    #[test]
    fn booleans_say_which_keys_take_part() {
        let takes_part =
            [true, false, true, true, false, false, false, false, true, true, true, false];
        let case = case(&R, false, 4).fixed(Array::bools([3, 4], takes_part.to_vec()));
        let found = case.run();
        let expected = R.attend(&R.values(4), |_, _, query, key| {
            if takes_part[query * 4 + key] { 0.0 } else { f32::NEG_INFINITY }
        });
        close(found[0].as_floats().unwrap(), &expected);
        case.check();
    }

    #[test]
    fn capped_scores_stay_within_the_cap() {
        let capped = |softcap: f32| case(&R, false, 3).with("softcap", softcap);
        capped(0.7).trained(&[4], numbers(5, 4)).check();
        // A cap that no score comes near changes nothing; below the smallest all are equal.
        let close_to = |softcap: f32, scale: f32| {
            let expected = Reference { scale, ..R }.attend(&R.values(3), |_, _, _, _| 0.0);
            close(capped(softcap).run()[0].as_floats().unwrap(), &expected);
        };
        close_to(1e4, R.scale);
        close_to(1e-6, 0.0);
    }

    #[test]
    fn what_is_not_covered_is_named() {
        let refused = |case: Case, text: &str| {
            let error = case.try_run().unwrap_err();
            assert!(error.contains(text), "{error}");
        };
        let past = || case(&R, false, 1).without().trained(&[2, 4, 0, 2], Vec::new());
        refused(past(), "input past_key is not covered");
        let outputs = case(&R, false, 1).outputs(2);
        refused(outputs, "output present_key is not covered");
        let outputs = case(&R, false, 1).named_outputs(&[true, false, false, true]);
        refused(outputs, "output qk_matmul_output is not covered");
        let of = Reference { heads: 3, key_heads: 2, ..R };
        refused(case(&of, false, 1), "do not fit each other");
        let mask = numbers(1, 15);
        refused(case(&R, false, 1).trained(&[3, 5], mask), "do not broadcast");
        let flat = Case::new("Attention").opset(23).trained(&[1, 2, 3], numbers(1, 6));
        refused(flat, "no attribute says how many heads that is");
    }
}
