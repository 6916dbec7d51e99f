//! Chance that repeats: every draw follows from a seed.

use fastrand::Rng;

/// A seed for one of the things that another seed decides, such as one step of a run.
///
/// The finalizer of SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number
/// Generators, 2014): seeds that differ in one bit give streams that have nothing in common.
pub(crate) fn mix(seed: u64, number: u64) -> u64 {
    let mut z = seed ^ number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Numbers of a normal distribution with mean 0 and deviation 1 (Box and Muller, 1958).
pub(crate) fn normal(random: &mut Rng) -> f32 {
    // 1 - u is never 0, whose logarithm would be infinite.
    let radius = (-2.0 * (1.0 - random.f64()).ln()).sqrt();
    (radius * (std::f64::consts::TAU * random.f64()).cos()) as f32
}
