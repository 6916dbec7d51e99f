//! The hash behind sticky routing: part of the contract, never changed.
//!
//! Replicas, and the same replica after an update, must send a key to the same version. So this
//! is written down here instead of taken from a library that promises no stable values:
//!
//! * a key: FNV-1a, 64 bits (Fowler, Noll, Vo; draft-eastlake-fnv), begun at the usual offset
//!   mixed with the salt;
//! * a mix: the finalizer of SplitMix64 (Steele, Lea, Flood 2014, "Fast splittable pseudorandom
//!   number generators"), as FNV-1a alone spreads its upper bits badly.

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The hash of a key under a salt: one multiplication a byte, so keys should be short.
pub(crate) fn key(key: &[u8], salt: u64) -> u64 {
    let start = FNV_OFFSET ^ mix(salt);
    mix(key.iter().fold(start, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME)))
}

/// Spreads every bit of `value` over all bits; one to one.
pub(crate) fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(GOLDEN);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A number in (0, 1] from the upper 53 bits.
pub(crate) fn unit(hash: u64) -> f64 {
    ((hash >> 11) + 1) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_pinned_so_that_an_update_moves_no_key() {
        // The first output of SplitMix64 with seed 0 in Vigna's reference implementation.
        assert_eq!(mix(0), 0xe220_a839_7b1d_cdaf);
        // From a transcription of the definition above in Python.
        let pinned = [0x5b21_f68f_fa77_f14c, 0x2044_f70c_baba_5db4, 0x540b_3693_5676_5793];
        assert_eq!([key(b"", 0), key(b"user-42", 0), key(b"user-42", 1)], pinned);
    }

    #[test]
    fn unit_is_above_zero_and_at_most_one() {
        assert!(unit(0) > 0.0);
        assert_eq!(unit(u64::MAX), 1.0);
    }
}
