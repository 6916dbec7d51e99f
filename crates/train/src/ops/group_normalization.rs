//! Normalization of channels by sample: InstanceNormalization, each channel by itself, and
//! GroupNormalization, groups of channels together. Opset 18 has one factor a group, opset 21 one
//! a channel.

use super::row_norm::{Given, Layout, RowNorm};
use crate::error::OpError;
use crate::math::normalize::Kind;
use crate::operator::Operator;
use crate::site::Site;

fn with(site: &Site<'_>, layout: Layout) -> Box<dyn Operator> {
    let kind = Kind { centered: true, epsilon: site.float("epsilon", 1e-5) };
    Box::new(RowNorm { layout, kind, given: Given::None })
}

pub(super) fn build(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    let groups = site.int("num_groups", 0);
    let groups = usize::try_from(groups).ok().filter(|&groups| groups > 0).ok_or_else(|| {
        OpError::new(format!("attribute num_groups is {groups}, expected 1 or more"))
    })?;
    let per_group = site.opset < 21;
    Ok(with(site, if per_group { Layout::GroupFactors(groups) } else { Layout::Groups(groups) }))
}

pub(super) fn build_instance(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(with(site, Layout::Channels))
}

#[cfg(test)]
mod tests {
    use crate::testing::{Case, numbers};
    use proptest::prelude::*;

    fn group(opset: i64, seed: u64) -> Case {
        let factors = if opset < 21 { 2 } else { 4 };
        Case::new("GroupNormalization")
            .opset(opset)
            .with("num_groups", 2)
            .with("epsilon", 0.1)
            .trained(&[2, 4, 3], numbers(seed, 24))
            .trained(&[factors], numbers(seed ^ 1, factors))
            .trained(&[factors], numbers(seed ^ 2, factors))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]
        #[test]
        fn gradient(opset in prop_oneof![Just(18i64), Just(21)], seed in any::<u64>()) {
            group(opset, seed).check();
        }

        #[test]
        fn gradient_of_instances(seed in any::<u64>()) {
            Case::new("InstanceNormalization")
                .with("epsilon", 0.1)
                .trained(&[2, 3, 2, 4], numbers(seed, 48))
                .trained(&[3], numbers(seed ^ 1, 3))
                .trained(&[3], numbers(seed ^ 2, 3))
                .check();
        }
    }

    #[test]
    fn values_follow_the_formula() {
        for opset in [18, 21] {
            let (x, found) = (numbers(9, 24), group(opset, 9).run());
            let count = if opset < 21 { 2 } else { 4 };
            let (scale, bias) = (numbers(9 ^ 1, count), numbers(9 ^ 2, count));
            for (row, x) in x.chunks(6).enumerate() {
                let mean: f32 = x.iter().sum::<f32>() / 6.0;
                let variance: f32 = x.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / 6.0;
                for (at, value) in x.iter().enumerate() {
                    let group = row % 2;
                    let factor = if opset < 21 { group } else { group * 2 + at / 3 };
                    let normal = (value - mean) / (variance + 0.1).sqrt();
                    let expected = normal * scale[factor] + bias[factor];
                    let found = found[0].as_floats().unwrap()[row * 6 + at];
                    assert!((found - expected).abs() < 1e-5, "{found}, expected {expected}");
                }
            }
        }
    }

    #[test]
    fn groups_that_do_not_divide_the_channels_are_refused() {
        let case = Case::new("GroupNormalization")
            .with("num_groups", 2)
            .trained(&[1, 3, 2], numbers(1, 6))
            .trained(&[2], numbers(2, 2))
            .trained(&[2], numbers(3, 2));
        let error = case.try_run().unwrap_err();
        assert!(error.ends_with("3 channels do not make 2 groups of one size"), "{error}");
    }
}
