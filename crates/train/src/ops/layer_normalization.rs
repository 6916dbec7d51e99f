//! Normalization over the last axes: LayerNormalization, and RMSNormalization, which subtracts no
//! mean and which ONNX Runtime calls SimplifiedLayerNormalization.

use super::row_norm::{Given, Layout, RowNorm};
use crate::error::OpError;
use crate::math::normalize::Kind;
use crate::operator::Operator;
use crate::site::Site;

fn with(site: &Site<'_>, centered: bool, given: Given) -> Box<dyn Operator> {
    let layout = Layout::From(site.int("axis", -1));
    let epsilon = site.float("epsilon", 1e-5);
    Box::new(RowNorm { layout, kind: Kind { centered, epsilon }, given })
}

pub(super) fn build(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(with(site, true, Given::MeanAndInverse))
}

pub(super) fn build_rms(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(with(site, false, Given::None))
}

pub(super) fn build_simplified(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(with(site, false, Given::Inverse))
}

#[cfg(test)]
mod tests {
    use crate::testing::{Case, numbers};
    use proptest::prelude::*;

    fn layer(axis: i64, seed: u64) -> Case {
        let factors: &[usize] = if axis == -1 { &[5] } else { &[4, 5] };
        let len = factors.iter().product();
        Case::new("LayerNormalization")
            .with("axis", axis)
            .with("epsilon", 0.1)
            .trained(&[3, 4, 5], numbers(seed, 60))
            .trained(factors, numbers(seed ^ 1, len))
            .trained(factors, numbers(seed ^ 2, len))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]
        #[test]
        fn gradient(axis in prop_oneof![Just(-1i64), Just(1)], all in any::<bool>(), seed in any::<u64>()) {
            layer(axis, seed).outputs(if all { 3 } else { 1 }).check();
        }

        #[test]
        fn gradient_without_mean(simplified in any::<bool>(), seed in any::<u64>()) {
            let name =
                if simplified { "SimplifiedLayerNormalization" } else { "RMSNormalization" };
            Case::new(name)
                .opset(23)
                .outputs(if simplified { 2 } else { 1 })
                .with("epsilon", 0.1)
                .trained(&[3, 12], numbers(seed, 36))
                .trained(&[12], numbers(seed ^ 1, 12))
                .check();
        }
    }

    #[test]
    fn values_follow_the_formula() {
        let (x, scale, bias) = (numbers(5, 60), numbers(5 ^ 1, 5), numbers(5 ^ 2, 5));
        let found = layer(-1, 5).outputs(3).run();
        assert_eq!(found[1].shape().dims(), [3, 4, 1]);
        for (row, x) in x.chunks(5).enumerate() {
            let mean: f32 = x.iter().sum::<f32>() / 5.0;
            let variance: f32 = x.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / 5.0;
            let inverse = 1.0 / (variance + 0.1).sqrt();
            assert!((found[1].as_floats().unwrap()[row] - mean).abs() < 1e-6);
            assert!((found[2].as_floats().unwrap()[row] - inverse).abs() < 1e-5);
            for at in 0..5 {
                let expected = (x[at] - mean) * inverse * scale[at] + bias[at];
                let found = found[0].as_floats().unwrap()[row * 5 + at];
                assert!((found - expected).abs() < 1e-5, "{found}, expected {expected}");
            }
        }
    }

    #[test]
    fn the_root_mean_square_subtracts_nothing() {
        let case = Case::new("RMSNormalization")
            .with("epsilon", 0.0)
            .trained(&[1, 2], vec![3.0, 4.0])
            .trained(&[2], vec![1.0, 2.0]);
        let found = case.run()[0].as_floats().unwrap().to_vec();
        let deviation = 12.5f32.sqrt();
        assert!((found[0] - 3.0 / deviation).abs() < 1e-6, "{found:?}");
        assert!((found[1] - 8.0 / deviation).abs() < 1e-6, "{found:?}");
    }

    #[test]
    fn factors_of_another_size_are_refused() {
        let case = Case::new("LayerNormalization")
            .trained(&[2, 3], numbers(1, 6))
            .trained(&[2], numbers(2, 2));
        let error = case.try_run().unwrap_err();
        assert!(error.ends_with("scale has shape [2], expected 3 elements"), "{error}");
    }
}
