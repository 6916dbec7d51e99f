//! Channels that compete: groups of classes that the same weights make.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::explore::indices;
use super::options::Options;
use super::report::Refused;
use super::space::{Role, Space};

/// A slice of a weight: its name, axis, and index.
pub(super) type Slice = ((String, usize), usize);

/// Indices that go together.
#[derive(Clone, Debug)]
pub(super) struct Class {
    pub(super) root: usize,
    /// Filters that make it.
    pub(super) filters: Vec<Slice>,
    /// Scales of batch normalizations in it.
    pub(super) scales: Vec<Slice>,
}

/// Classes that the same weights make: channels of one layer, or of several that are added up.
#[derive(Clone, Debug)]
pub(super) struct Group {
    /// Axes of the weights.
    pub(super) weights: Vec<(String, usize)>,
    /// In the order of the first weight.
    pub(super) classes: Vec<Class>,
    /// Channels in each class, as the weight with the most counts them: 64 for a head, else mostly 1.
    pub(super) unit: usize,
    /// Classes that stay are a multiple of this.
    pub(super) multiple: usize,
    /// Classes that stay at least.
    pub(super) least: usize,
    /// Whether what is left computes what the whole would without the others.
    pub(super) is_exact: bool,
}

/// The groups that can be pruned, and what cannot be.
pub(super) fn groups(space: &Space, options: &Options) -> (Vec<Group>, Vec<Refused>) {
    let mut classes: BTreeMap<usize, Class> = BTreeMap::new();
    let mut units: HashMap<(usize, &(String, usize)), usize> = HashMap::new();
    let mut seen: BTreeSet<(&(String, usize), bool)> = BTreeSet::new();
    for (axis, role) in space.roles.iter().filter(|(_, role)| *role != Role::In) {
        let is_filter = *role == Role::Out;
        if !seen.insert((axis, is_filter)) {
            continue;
        }
        for (index, number) in indices(space, (&axis.0, axis.1)).enumerate() {
            let root = space.root(number);
            let class = classes.entry(root);
            let class = class.or_insert(Class { root, filters: Vec::new(), scales: Vec::new() });
            let slices = if is_filter { &mut class.filters } else { &mut class.scales };
            slices.push((axis.clone(), index));
            *units.entry((root, axis)).or_default() += usize::from(is_filter);
        }
    }
    let mut by_weights: BTreeMap<Vec<(String, usize)>, Vec<Class>> = BTreeMap::new();
    for class in classes.into_values().filter(|class| !class.filters.is_empty()) {
        let weights: BTreeSet<(String, usize)> =
            class.filters.iter().map(|(axis, _)| axis.clone()).collect();
        by_weights.entry(weights.into_iter().collect()).or_default().push(class);
    }
    let (mut groups, mut refused) = (Vec::new(), Vec::new());
    for (weights, classes) in by_weights {
        let unit =
            |class: &Class| weights.iter().filter_map(|axis| units.get(&(class.root, axis))).max();
        let unit = classes.iter().filter_map(unit).max().copied().unwrap_or(1).max(1);
        let reason = classes.iter().find_map(|class| space.reason(class.root)).map(str::to_owned);
        let reason = reason.or_else(|| options.excludes(&weights));
        let names = || weights.iter().map(|(name, _)| name.clone()).collect();
        match reason {
            Some(reason) => {
                refused.push(Refused { weights: names(), channels: classes.len() * unit, reason });
            }
            None if classes.len() < 2 => {
                let reason = "all of its channels go together".to_owned();
                refused.push(Refused { weights: names(), channels: unit, reason });
            }
            None => {
                let multiple = options.multiple(classes.len() * unit);
                let is_exact = !classes.iter().any(|class| space.is_inexact(class.root));
                groups.push(Group {
                    multiple: multiple / gcd(multiple, unit),
                    least: options.minimum.div_ceil(unit).clamp(1, classes.len()),
                    weights,
                    classes,
                    unit,
                    is_exact,
                });
            }
        }
    }
    (groups, refused)
}

impl Group {
    /// How many classes stay, where about `wanted` are to: the next multiple, and no fewer than the least.
    pub(super) fn kept(&self, wanted: usize) -> usize {
        wanted.max(self.least).next_multiple_of(self.multiple).min(self.classes.len())
    }
}

fn gcd(one: usize, two: usize) -> usize {
    if two == 0 { one.max(1) } else { gcd(two, one % two) }
}
