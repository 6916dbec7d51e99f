//! Dropout: in a step of training, sets a share of the elements to 0 and scales the others by
//! 1 / (1 - ratio), so that the mean stays.
//!
//! It drops whatever input `training_mode` says: graphs exported for inference carry `false`. A
//! ratio of 0 drops nothing. The mask follows from the seed of the step and is drawn again on the
//! way back rather than kept.

use crate::array::Array;
use crate::error::OpError;
use crate::math::random;
use crate::math::vector;
use crate::operator::{Backward, Gradients, Inputs, Operator, Outcome, Reads, Scope};
use crate::site::Site;

#[derive(Debug)]
struct Dropout {
    /// Before opset 12 an attribute; the default of the input since then.
    ratio: f32,
    /// Whether the ratio may be input 1.
    takes_ratio: bool,
    /// Whether the mask is an output.
    gives_mask: bool,
}

/// Which elements stay, drawn in blocks.
#[derive(Clone, Copy, Debug)]
struct Mask {
    seed: u64,
    /// Elements whose draw of 31 bits is below are dropped.
    threshold: i32,
}

/// Elements whose draws share a key.
const BLOCK: usize = 4096;

impl Mask {
    fn new(seed: u64, ratio: f32) -> Mask {
        Mask { seed, threshold: (f64::from(ratio) * f64::from(1u32 << 31)) as i32 }
    }

    /// What decides in block `number`: a key of its own sets it apart from others.
    fn block(self, number: usize) -> Block {
        let key = random::mix(self.seed, number as u64);
        Block { first: key as u32, second: (key >> 32) as u32, threshold: self.threshold }
    }

    /// Drops from `values` and multiplies what stays by `scale`.
    fn apply(self, values: &mut [f32], scale: f32) {
        for (number, values) in values.chunks_mut(BLOCK).enumerate() {
            let block = self.block(number);
            vector::vectorized(
                #[inline(always)]
                move || {
                    // A product, not a branch: chance cannot be predicted.
                    for (place, value) in values.iter_mut().enumerate() {
                        *value *= if block.stays(place as u32) { scale } else { 0.0 };
                    }
                },
            );
        }
    }

    /// Which of `len` elements stay.
    fn bools(self, len: usize) -> Vec<bool> {
        let mut bools = vec![true; len];
        for (number, bools) in bools.chunks_mut(BLOCK).enumerate() {
            let block = self.block(number);
            (0u32..).zip(bools).for_each(|(place, bool)| *bool = block.stays(place));
        }
        bools
    }
}

/// The draws of one block.
#[derive(Clone, Copy, Debug)]
struct Block {
    first: u32,
    second: u32,
    threshold: i32,
}

impl Block {
    /// Whether the element at this place of the block stays: a hash of the place by the constants
    /// of "lowbias32" (C. Wellons, Prospecting for Hash Functions, 2018), which vectors of 32 bits
    /// compute.
    #[inline(always)]
    fn stays(self, place: u32) -> bool {
        let mut draw = place.wrapping_mul(0x9e37_79b9) ^ self.first;
        draw = (draw ^ (draw >> 16)).wrapping_mul(0x7feb_352d) ^ self.second;
        draw = (draw ^ (draw >> 15)).wrapping_mul(0x846c_a68b);
        ((draw ^ (draw >> 16)) >> 1) as i32 >= self.threshold
    }
}

impl Dropout {
    /// The share to drop in this step; `None` where nothing is dropped.
    fn dropped(&self, scope: &Scope<'_>, inputs: Inputs<'_>) -> Result<Option<f32>, OpError> {
        let given = inputs.get(1).filter(|_| self.takes_ratio);
        let ratio = match given.map(Array::as_floats).transpose()? {
            None => self.ratio,
            Some(&[ratio]) => ratio,
            Some(other) => {
                let found = other.len();
                return Err(OpError::new(format!("expected one ratio, found {found} elements")));
            }
        };
        if !(0.0..=1.0).contains(&ratio) {
            return Err(OpError::new(format!("ratio is {ratio}, expected 0 to 1")));
        }
        Ok((scope.training && ratio > 0.0).then_some(ratio))
    }
}

/// What is left is scaled by this; nothing is left of a ratio of 1.
fn scale(ratio: f32) -> f32 {
    if ratio < 1.0 { 1.0 / (1.0 - ratio) } else { 0.0 }
}

impl Operator for Dropout {
    fn forward(&self, scope: &mut Scope<'_>, inputs: Inputs<'_>) -> Result<Outcome, OpError> {
        let x = inputs.at(0)?;
        let ratio = self.dropped(scope, inputs)?;
        let mut outputs = Vec::with_capacity(2);
        match ratio {
            None => outputs.push(x.clone()),
            Some(ratio) => {
                let mut out = scope.buffers.take(x.len());
                out.copy_from_slice(x.as_floats()?);
                Mask::new(scope.seed, ratio).apply(&mut out, scale(ratio));
                outputs.push(Array::floats(x.shape().clone(), out));
            }
        }
        if self.gives_mask {
            let mask = match ratio {
                None => vec![true; x.len()],
                Some(ratio) => Mask::new(scope.seed, ratio).bools(x.len()),
            };
            outputs.push(Array::bools(x.shape().clone(), mask));
        }
        Ok(Outcome { outputs, ..Outcome::default() })
    }

    fn reads(&self, _wanted: &[bool]) -> Reads {
        if self.takes_ratio { Reads::NOTHING.and_input(1) } else { Reads::NOTHING }
    }

    fn backward(&self, scope: &mut Scope<'_>, mut at: Backward<'_>) -> Result<Gradients, OpError> {
        let mut gradient = at.gradient()?;
        if let Some(ratio) = self.dropped(scope, at.inputs)? {
            Mask::new(scope.seed, ratio).apply(gradient.floats_mut()?, scale(ratio));
        }
        Ok(vec![Some(gradient)])
    }
}

pub(super) fn build(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(Dropout {
        ratio: if site.opset < 12 { site.float("ratio", 0.5) } else { 0.5 },
        takes_ratio: site.opset >= 12,
        gives_mask: site.node.output(1).is_some(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Case, numbers};
    use proptest::prelude::*;

    fn case(ratio: f32, len: usize) -> Case {
        Case::new("Dropout")
            .trained(&[len], numbers(3, len))
            .fixed(Array::scalar(ratio))
            .fixed(Array::bools(modelyard_tensor::Shape::default(), vec![false]))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn gradient(opset in prop_oneof![Just(7i64), Just(13)], ratio in 0f32..0.9) {
            if opset < 12 {
                let case = Case::new("Dropout").with("ratio", ratio).opset(7);
                case.trained(&[20], numbers(3, 20)).training().check();
            } else {
                case(ratio, 20).training().check();
            }
        }

        /// Within five deviations of a binomial distribution, in the whole and in pieces of 64.
        #[test]
        fn the_share_that_is_dropped_is_the_ratio(ratio in 0f32..=1.0, seed in any::<u64>()) {
            let stays = Mask::new(seed, ratio).bools(100_000);
            let deviation = f64::from(ratio * (1.0 - ratio)).sqrt();
            let dropped = |stays: &[bool]| stays.iter().filter(|stays| !**stays).count() as f64;
            let whole = dropped(&stays) - 100_000.0 * f64::from(ratio);
            prop_assert!(whole.abs() <= 5.0 * deviation * 100_000f64.sqrt() + 1.0, "{whole}");
            let pieces = stays.chunks_exact(64);
            let count = pieces.len() as f64;
            let square: f64 = pieces.map(|piece| (dropped(piece) - 64.0 * f64::from(ratio)).powi(2)).sum();
            let variance = 64.0 * deviation * deviation;
            prop_assert!((square / count - variance).abs() <= 0.2 * variance + 0.1, "{square} {variance}");
        }

        #[test]
        fn masks_of_two_seeds_have_nothing_in_common(seed in any::<u64>()) {
            let (one, two) = (Mask::new(seed, 0.5).bools(20_000), Mask::new(seed ^ 1, 0.5).bools(20_000));
            let same = one.iter().zip(&two).filter(|(one, two)| one == two).count();
            prop_assert!((9_600..10_400).contains(&same), "{same}");
            prop_assert_eq!(one, Mask::new(seed, 0.5).bools(20_000));
        }
    }

    #[test]
    fn what_stays_is_scaled_and_the_mask_says_what() {
        let (found, x) = (case(0.25, 5000).training().outputs(2).run(), numbers(3, 5000));
        let stays = found[1].as_bools().unwrap();
        for (at, &out) in found[0].as_floats().unwrap().iter().enumerate() {
            assert_eq!(out, if stays[at] { x[at] * scale(0.25) } else { 0.0 });
        }
        assert!(stays.contains(&true) && stays.contains(&false));
    }

    #[test]
    fn evaluation_and_a_ratio_of_zero_drop_nothing() {
        for case in [case(0.5, 100), case(0.0, 100).training()] {
            let found = case.outputs(2).run();
            assert_eq!(found[0].as_floats().unwrap(), numbers(3, 100));
            assert_eq!(found[1].as_bools().unwrap(), [true; 100]);
        }
    }

    #[test]
    fn a_ratio_past_one_is_refused() {
        let error = case(1.5, 4).training().try_run().unwrap_err();
        assert!(error.ends_with("ratio is 1.5, expected 0 to 1"), "{error}");
    }
}
