//! From the lines of a block to a tree that is known to be one.

use std::str::FromStr;

use super::super::ensemble::{Child, Missing, Rule, Split, Tree};
use super::Fields;

/// Bits of `decision_type`.
const CATEGORICAL: u8 = 1;
const DEFAULT_LEFT: u8 = 2;

pub(super) fn tree(fields: &Fields<'_>, features: usize) -> Result<Tree, String> {
    let leaves: Vec<f64> = list(fields, "leaf_value")?;
    let count: usize = one(fields, "num_leaves")?;
    if count == 0 || leaves.len() != count || leaves.iter().any(|leaf| !leaf.is_finite()) {
        return Err(format!("expected {count} values of leaves, found {}", leaves.len()));
    }
    if count == 1 {
        return Ok(Tree { target: None, root: Child::Leaf(0), splits: Vec::new(), leaves });
    }
    let columns = Columns {
        features: list(fields, "split_feature")?,
        thresholds: list(fields, "threshold")?,
        decisions: list(fields, "decision_type")?,
        left: list(fields, "left_child")?,
        right: list(fields, "right_child")?,
        boundaries: optional(fields, "cat_boundaries")?,
        words: optional(fields, "cat_threshold")?,
    };
    let mut splits = Vec::with_capacity(count - 1);
    for index in 0..count - 1 {
        let split = columns.split(index, count).ok_or_else(|| {
            format!("split {index} is missing, or leads out of the tree, or compares with NaN")
        })?;
        if split.feature >= features {
            let found = split.feature;
            return Err(format!("split {index} asks for feature {found} of {features}"));
        }
        splits.push(split);
    }
    one_way(&splits, count)?;
    Ok(Tree { target: None, root: Child::Split(0), splits, leaves })
}

/// A line with a list of numbers.
fn list<T: FromStr>(fields: &Fields<'_>, key: &str) -> Result<Vec<T>, String> {
    let line = fields.get(key).ok_or_else(|| format!("expected a line '{key}', found none"))?;
    let number = |word: &str| {
        word.parse().map_err(|_| format!("expected numbers in line '{key}', found '{word}'"))
    };
    line.split_ascii_whitespace().map(number).collect()
}

fn optional<T: FromStr>(fields: &Fields<'_>, key: &str) -> Result<Vec<T>, String> {
    if fields.contains_key(key) { list(fields, key) } else { Ok(Vec::new()) }
}

fn one<T: FromStr>(fields: &Fields<'_>, key: &str) -> Result<T, String> {
    let found = list(fields, key)?.into_iter().next();
    found.ok_or_else(|| format!("expected a number in line '{key}', found none"))
}

/// The properties of splits, a list for each.
struct Columns {
    features: Vec<usize>,
    thresholds: Vec<f64>,
    decisions: Vec<u8>,
    left: Vec<i64>,
    right: Vec<i64>,
    /// Where the words of each set of categories begin, and the end of the last.
    boundaries: Vec<usize>,
    /// A bit for each category.
    words: Vec<u32>,
}

impl Columns {
    fn split(&self, index: usize, leaves: usize) -> Option<Split> {
        let decision = *self.decisions.get(index)?;
        let threshold = *self.thresholds.get(index)?;
        let rule = if decision & CATEGORICAL != 0 {
            Rule::In { set: self.set(threshold)? }
        } else {
            let missing = match (decision >> 2) & 3 {
                0 => Missing::Nothing,
                1 => Missing::Zero,
                2 => Missing::NaN,
                _ => return None,
            };
            let missing_left = decision & DEFAULT_LEFT != 0;
            Rule::AtMost {
                threshold: Some(threshold).filter(|it| !it.is_nan())?,
                missing,
                missing_left,
            }
        };
        Some(Split {
            feature: *self.features.get(index)?,
            rule,
            left: child(*self.left.get(index)?, leaves)?,
            right: child(*self.right.get(index)?, leaves)?,
        })
    }

    /// The categories of the set of this number.
    fn set(&self, number: f64) -> Option<Vec<u32>> {
        if !(0.0..1e9).contains(&number) {
            return None;
        }
        let number = number as usize;
        let range = *self.boundaries.get(number)?..*self.boundaries.get(number + 1)?;
        let words = self.words.get(range)?;
        let mut set = Vec::new();
        for (index, word) in words.iter().enumerate() {
            let first = u32::try_from(index).ok()?.checked_mul(32)?;
            set.extend((0..32).filter(|bit| word >> bit & 1 == 1).map(|bit| first + bit));
        }
        Some(set)
    }
}

/// Splits count from 0, leaves from -1 downwards.
fn child(number: i64, leaves: usize) -> Option<Child> {
    match usize::try_from(number) {
        Ok(split) => (split < leaves - 1).then_some(Child::Split(split)),
        Err(_) => {
            let leaf = usize::try_from(-1 - number).ok()?;
            (leaf < leaves).then_some(Child::Leaf(leaf))
        }
    }
}

/// Each split but the first, and each leaf, has one parent, so that no way leads back.
fn one_way(splits: &[Split], leaves: usize) -> Result<(), String> {
    let mut seen = vec![false; splits.len() + leaves];
    if let Some(root) = seen.first_mut() {
        *root = true;
    }
    for child in splits.iter().flat_map(|split| [split.left, split.right]) {
        let (name, at) = match child {
            Child::Split(split) => (format!("split {split}"), split),
            Child::Leaf(leaf) => (format!("leaf {leaf}"), splits.len() + leaf),
        };
        if seen.get_mut(at).is_none_or(|seen| std::mem::replace(seen, true)) {
            return Err(format!("{name} is reached on two ways"));
        }
    }
    Ok(())
}
