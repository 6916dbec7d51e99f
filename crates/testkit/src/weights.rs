//! Numbers that look random and never change.

/// `count` floats evenly spread over `-scale..scale`; another `seed` gives others.
pub fn floats(seed: u64, count: usize, scale: f32) -> Vec<f32> {
    (0..count as u64)
        .map(|index| {
            // 24 bits: every value is exact in a float.
            let bits = mix(seed.wrapping_mul(0x1_0000_0001).wrapping_add(index)) >> 40;
            (bits as f32 / (1u32 << 23) as f32 - 1.0) * scale
        })
        .collect()
}

/// The output function of SplitMix64 (Steele, Lea, Flood 2014).
fn mix(state: u64) -> u64 {
    let mut bits = state.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_spread_and_stable() {
        let weights = floats(1, 10_000, 0.5);
        assert!(weights.iter().all(|weight| weight.abs() <= 0.5));
        let mean = weights.iter().sum::<f32>() / 10_000.0;
        assert!(mean.abs() < 0.02, "mean {mean}");
        assert_eq!(weights, floats(1, 10_000, 0.5));
        assert_ne!(weights, floats(2, 10_000, 0.5));
    }
}
