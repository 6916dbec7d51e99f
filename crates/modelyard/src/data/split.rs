//! Setting some examples apart.

use std::collections::BTreeMap;

use fastrand::Rng;

/// Two sets of examples, by number and ascending: the first to keep, the second, about `fraction`
/// of all, to set apart. Classes, where given (one an example), keep their shares in both: of
/// each class the fraction is rounded to the nearest number. At least one example stays in each
/// set where there are two. The same arguments give the same sets.
pub(crate) fn split(
    len: usize,
    classes: Option<&[usize]>,
    fraction: f64,
    seed: u64,
) -> (Vec<usize>, Vec<usize>) {
    let mut strata: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for number in 0..len {
        let class = classes.and_then(|classes| classes.get(number)).copied().unwrap_or(0);
        strata.entry(class).or_default().push(number);
    }
    let mut random = Rng::with_seed(seed);
    let (mut kept, mut apart) = (Vec::new(), Vec::new());
    for numbers in strata.values_mut() {
        random.shuffle(numbers);
        let count = (numbers.len() as f64 * fraction.clamp(0.0, 1.0)).round() as usize;
        apart.extend_from_slice(&numbers[..count]);
        kept.extend_from_slice(&numbers[count..]);
    }
    if len > 1 && fraction > 0.0 && fraction < 1.0 {
        keep_one(&mut kept, &mut apart);
        keep_one(&mut apart, &mut kept);
    }
    kept.sort_unstable();
    apart.sort_unstable();
    (kept, apart)
}

/// Moves one example to a set that has none.
fn keep_one(empty: &mut Vec<usize>, other: &mut Vec<usize>) {
    if empty.is_empty() {
        empty.extend(other.pop());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn classes_keep_their_shares() {
        let classes: Vec<usize> = (0..100).map(|number| usize::from(number % 10 == 0)).collect();
        let (kept, apart) = split(100, Some(&classes), 0.2, 7);
        assert_eq!((kept.len(), apart.len()), (80, 20));
        assert_eq!(apart.iter().filter(|&&number| classes[number] == 1).count(), 2);
        assert_eq!(split(100, Some(&classes), 0.2, 7), (kept, apart.clone()));
        assert_ne!(split(100, Some(&classes), 0.2, 8).1, apart);
    }

    proptest! {
        #[test]
        fn every_example_is_in_one_set(
            classes in proptest::collection::vec(0usize..4, 0..50),
            fraction in 0.0f64..1.0,
            seed: u64,
        ) {
            let len = classes.len();
            let (kept, apart) = split(len, Some(&classes), fraction, seed);
            let mut all = [kept.clone(), apart.clone()].concat();
            all.sort_unstable();
            prop_assert_eq!(all, (0..len).collect::<Vec<_>>());
            if len > 1 && fraction > 0.0 {
                prop_assert!(!kept.is_empty() && !apart.is_empty());
            }
        }
    }
}
