//! Which version answers a request.
//!
//! Two ways to pick. [`Split::pick`] follows a random draw: each request alone, in a few
//! nanoseconds. [`Split::pick_for`] follows a key (a user, a session): the same key gets the same
//! version, on every replica, for as long as the weights stay.
//!
//! Keys are placed by an exponential race, which is weighted rendezvous hashing (Thaler and
//! Ravishankar 1998; Schindelhauer and Schomaker 2005): version `i` of weight `w_i` scores
//! `-ln(u_i) / w_i` with `u_i` hashed from key, salt and version, and the lowest score wins. A
//! version's score knows nothing of the others, so when a candidate's weight rises while the
//! others keep their ratios ([`Split::with_candidate`]), keys move to the candidate only.

use crate::BasisPoints;
use crate::hash;

/// How many versions may share the traffic of a model.
pub const MAX_VERSIONS: usize = 16;

/// Shares of traffic by version, adding up to all of it. Picking takes no lock and no memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Split {
    count: usize,
    versions: [u64; MAX_VERSIONS],
    /// The sum of the shares up to and with each version, in basis points.
    ends: [u16; MAX_VERSIONS],
    /// Weights of the race, in no unit: only their ratios count.
    weights: [f64; MAX_VERSIONS],
}

/// Shares that make no split.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum SplitError {
    #[error("a split takes 1 to {MAX_VERSIONS} versions, found {0}")]
    Count(usize),
    #[error("the shares of a split must add up to 10000 basis points, found {0}")]
    Sum(u32),
    #[error("version {0} is in the split twice")]
    Twice(u64),
}

impl Split {
    /// All traffic to one version.
    pub fn all(version: u64) -> Self {
        let mut split = Split::empty();
        split.push(version, BasisPoints::ALL, 1.0);
        split
    }

    /// These shares, which must add up to 10,000 basis points.
    pub fn new(shares: &[(u64, BasisPoints)]) -> Result<Self, SplitError> {
        if shares.is_empty() || shares.len() > MAX_VERSIONS {
            return Err(SplitError::Count(shares.len()));
        }
        let sum = shares.iter().map(|(_, share)| u32::from(share.get())).sum();
        if sum != 10_000 {
            return Err(SplitError::Sum(sum));
        }
        let mut split = Split::empty();
        for &(version, share) in shares {
            if split.versions().contains(&version) {
                return Err(SplitError::Twice(version));
            }
            split.push(version, share, share.fraction());
        }
        Ok(split)
    }

    /// The same split with `share` of all traffic for `candidate`, which is new in it; the others
    /// keep their ratios. Their shares are rounded to basis points for draws, and exact for keys.
    pub fn with_candidate(&self, candidate: u64, share: BasisPoints) -> Result<Self, SplitError> {
        if self.count == MAX_VERSIONS {
            return Err(SplitError::Count(MAX_VERSIONS + 1));
        }
        if self.versions().contains(&candidate) {
            return Err(SplitError::Twice(candidate));
        }
        let mut split = *self;
        let rest = u32::from(share.rest().get());
        for end in &mut split.ends[..self.count] {
            *end = ((u32::from(*end) * rest + 5_000) / 10_000) as u16;
        }
        if share == BasisPoints::ALL {
            split.weights = [0.0; MAX_VERSIONS];
        }
        let others: f64 = split.weights[..self.count].iter().sum();
        let odds = share.fraction() / share.rest().fraction();
        split.push(candidate, share, if others > 0.0 { others * odds } else { 1.0 });
        Ok(split)
    }

    /// The version for a draw that is uniform over all of `u64`.
    pub fn pick(&self, draw: u64) -> u64 {
        let point = ((u128::from(draw) * 10_000) >> 64) as u16;
        let ends = &self.ends[..self.count];
        let index = ends.iter().position(|&end| point < end).unwrap_or(self.count - 1);
        self.versions[index]
    }

    /// The version for a key. `salt` is the model's, so that the users who see one candidate
    /// first are not those who see them all first.
    ///
    /// Same on every machine, but for keys whose scores tie in the last bit of a logarithm.
    pub fn pick_for(&self, key: &[u8], salt: u64) -> u64 {
        let hash = hash::key(key, salt);
        let mut best = (f64::INFINITY, self.versions[0]);
        for (&version, &weight) in self.versions().iter().zip(&self.weights) {
            let score = -hash::unit(hash::mix(hash ^ hash::mix(version))).ln() / weight;
            if weight > 0.0 && score < best.0 {
                best = (score, version);
            }
        }
        best.1
    }

    /// Every version with its share.
    pub fn shares(&self) -> impl Iterator<Item = (u64, BasisPoints)> + '_ {
        (0..self.count).map(|index| {
            let start = if index == 0 { 0 } else { self.ends[index - 1] };
            let share = BasisPoints::new(self.ends[index].saturating_sub(start));
            (self.versions[index], share.unwrap_or_default())
        })
    }

    fn versions(&self) -> &[u64] {
        &self.versions[..self.count]
    }

    fn empty() -> Self {
        Split {
            count: 0,
            versions: [0; MAX_VERSIONS],
            ends: [0; MAX_VERSIONS],
            weights: [0.0; MAX_VERSIONS],
        }
    }

    fn push(&mut self, version: u64, share: BasisPoints, weight: f64) {
        let start = if self.count == 0 { 0 } else { self.ends[self.count - 1] };
        self.versions[self.count] = version;
        self.ends[self.count] = start + share.get();
        self.weights[self.count] = weight;
        self.count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bp(basis_points: u16) -> BasisPoints {
        BasisPoints::new(basis_points).unwrap()
    }

    #[test]
    fn draws_follow_the_shares_exactly() {
        let split = Split::new(&[(7, bp(9_000)), (8, bp(999)), (9, bp(1))]).unwrap();
        let step = u64::MAX / 10_000 + 1;
        let picks: Vec<u64> = (0..10_000).map(|i| split.pick(i * step + step / 2)).collect();
        let count = |version| picks.iter().filter(|&&pick| pick == version).count();
        assert_eq!([count(7), count(8), count(9)], [9_000, 999, 1]);
        assert_eq!([split.pick(0), split.pick(u64::MAX)], [7, 9]);
    }

    #[test]
    fn keys_follow_the_shares_within_noise() {
        let split = Split::new(&[(1, bp(5_000)), (2, bp(4_000)), (3, bp(1_000))]).unwrap();
        let mut counts = [0u32; 4];
        for key in 0..100_000u32 {
            counts[split.pick_for(format!("user-{key}").as_bytes(), 5) as usize] += 1;
        }
        // Four standard deviations of a binomial count of 100,000.
        for (version, (expected, slack)) in
            [(50_000, 633), (40_000, 620), (10_000, 380)].iter().enumerate()
        {
            assert!(counts[version + 1].abs_diff(*expected) < *slack, "{counts:?}");
        }
    }

    #[test]
    fn a_share_of_nothing_or_all_is_meant_literally() {
        for (share, expected) in [(0, 1), (10_000, 2)] {
            let split = Split::all(1).with_candidate(2, bp(share)).unwrap();
            for key in 0..1_000u64 {
                assert_eq!(split.pick_for(&key.to_le_bytes(), 0), expected);
                assert_eq!(split.pick(hash::mix(key)), expected);
            }
        }
    }

    #[test]
    fn wrong_shares_are_refused_by_what_is_wrong() {
        let error = |shares: &[(u64, BasisPoints)]| Split::new(shares).unwrap_err().to_string();
        assert_eq!(error(&[]), "a split takes 1 to 16 versions, found 0");
        assert_eq!(
            error(&[(1, bp(9_000)), (2, bp(999))]),
            "the shares of a split must add up to 10000 basis points, found 9999"
        );
        assert_eq!(error(&[(1, bp(5_000)), (1, bp(5_000))]), "version 1 is in the split twice");
    }

    proptest! {
        /// Raising a candidate moves keys to it, and none between the others.
        #[test]
        fn keys_move_only_to_a_rising_candidate(
            cuts in prop::collection::vec(1u16..10_000, 0..6),
            low in 0u16..=10_000, high in 0u16..=10_000,
            keys in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 50),
            salt: u64,
        ) {
            let base = base_of(cuts);
            let (low, high) = (low.min(high), low.max(high));
            let before = base.with_candidate(99, bp(low)).unwrap();
            let after = base.with_candidate(99, bp(high)).unwrap();
            for key in &keys {
                let (from, to) = (before.pick_for(key, salt), after.pick_for(key, salt));
                prop_assert!(from == to || to == 99, "a key moved from {} to {}", from, to);
            }
        }

        #[test]
        fn shares_always_add_up(cuts in prop::collection::vec(1u16..10_000, 0..6), share in 0u16..=10_000) {
            let split = base_of(cuts).with_candidate(99, bp(share)).unwrap();
            prop_assert_eq!(split.shares().map(|(_, share)| u32::from(share.get())).sum::<u32>(), 10_000);
            prop_assert_eq!(split.shares().last(), Some((99, bp(share))));
        }
    }

    fn base_of(mut cuts: Vec<u16>) -> Split {
        cuts.extend([0, 10_000]);
        cuts.sort_unstable();
        let shares: Vec<_> =
            cuts.windows(2).enumerate().map(|(i, cut)| (i as u64, bp(cut[1] - cut[0]))).collect();
        Split::new(&shares).unwrap()
    }
}
