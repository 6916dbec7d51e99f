//! Trees as the operators of `ai.onnx.ml` want them: lists of nodes side by side.
//!
//! A rule of a framework becomes one node, or a few where it says more than a comparison can: a
//! set of categories becomes a binary search over the ends of its runs, and where LightGBM takes
//! zero for missing, zero is told from what is below and above it. Such nodes share their targets:
//! a node may be reached on several ways, but as the other branch (`no`) on one only.

use bytes::Bytes;
use modelyard_graph::{AttributeValue, Node};

use super::ensemble::{Child, Missing, Rule, Tree, ZERO};

/// A comparison with a number; NaN goes where `nan_yes` says.
#[derive(Debug, PartialEq)]
struct Test {
    mode: &'static str,
    value: f32,
    nan_yes: bool,
    yes: Next,
    no: Next,
}

/// Where a test leads to: out of the rule, or to another test of it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Next {
    Left,
    Right,
    Test(usize),
}

const LESS: &str = "BRANCH_LT";
const LESS_OR_EQUAL: &str = "BRANCH_LEQ";
const LEAF: &str = "LEAF";

/// The tests that a rule becomes; the first is where it begins.
fn tests(rule: &Rule) -> Vec<Test> {
    match rule {
        Rule::Below { threshold, missing_left } => {
            vec![one(LESS, *threshold, *missing_left)]
        }
        Rule::AtMost { threshold, missing, missing_left } => {
            at_most(*threshold, *missing, *missing_left)
        }
        Rule::NotIn { set, missing_left } => {
            let nan_inside = !missing_left;
            membership(&ends(set, |first| first as f32), nan_inside, Next::Right, Next::Left)
        }
        Rule::In { set } => {
            // What is above -1 is cut to 0.
            let start = |first| if first == 0 { (-1.0f32).next_up() } else { first as f32 };
            membership(&ends(set, start), false, Next::Left, Next::Right)
        }
    }
}

fn one(mode: &'static str, value: f32, nan_yes: bool) -> Test {
    Test { mode, value, nan_yes, yes: Next::Left, no: Next::Right }
}

/// The largest 32-bit number that is not above: what is at most the one is at most the other.
fn rounded_down(threshold: f64) -> f32 {
    let near = threshold as f32;
    if f64::from(near) > threshold { near.next_down() } else { near }
}

fn at_most(threshold: f64, missing: Missing, missing_left: bool) -> Vec<Test> {
    let at = rounded_down(threshold);
    let main = |nan_yes| one(LESS_OR_EQUAL, at, nan_yes);
    match missing {
        Missing::Nothing => vec![main(0.0 <= threshold)],
        Missing::NaN => vec![main(missing_left)],
        Missing::Zero if at < -ZERO && missing_left => vec![
            Test { no: Next::Test(1), ..main(true) },
            Test { yes: Next::Right, no: Next::Test(2), ..one(LESS, -ZERO, false) },
            one(LESS_OR_EQUAL, ZERO, true),
        ],
        Missing::Zero if at >= ZERO && !missing_left => vec![
            Test { no: Next::Test(1), ..one(LESS, -ZERO, false) },
            Test { yes: Next::Right, no: Next::Test(2), ..one(LESS_OR_EQUAL, ZERO, true) },
            main(false),
        ],
        Missing::Zero if !(-ZERO..ZERO).contains(&at) => vec![main(missing_left)],
        // The threshold is among the numbers that count as zero, all of which go one way.
        Missing::Zero if missing_left => vec![one(LESS_OR_EQUAL, ZERO, true)],
        Missing::Zero => vec![one(LESS, -ZERO, false)],
    }
}

/// Where runs of a sorted set begin and end: what is inside is at least the one, below the other.
fn ends(set: &[u32], start: impl Fn(u32) -> f32) -> Vec<f32> {
    let mut ends = Vec::new();
    let mut last = None;
    for &category in set {
        if last.is_none_or(|last: u32| last.checked_add(1) != Some(category)) {
            ends.extend(last.map(|last| last as f32 + 1.0));
            ends.push(start(category));
        }
        last = Some(category);
    }
    ends.extend(last.map(|last| last as f32 + 1.0));
    ends
}

/// One end after the other: numbers with an odd number of `ends` not above them are inside.
///
/// A search that halves would ask less, but ONNX Runtime wants that a node is the other branch
/// (`no`) of one node only.
fn membership(ends: &[f32], nan_inside: bool, inside: Next, outside: Next) -> Vec<Test> {
    if ends.is_empty() {
        // An empty set: all are outside, but perhaps what is missing.
        let (yes, no) = (outside, inside);
        return vec![Test { yes, no, ..one(LESS_OR_EQUAL, f32::INFINITY, !nan_inside) }];
    }
    let test = |(index, &value): (usize, &f32)| {
        let yes = if index % 2 == 1 { inside } else { outside };
        let no = if index + 1 == ends.len() { outside } else { Next::Test(index + 1) };
        Test { yes, no, ..one(LESS, value, nan_inside && index == 1) }
    };
    ends.iter().enumerate().map(test).collect()
}

/// The attributes of a tree ensemble, as they grow.
#[derive(Debug, Default)]
pub(super) struct Lists {
    trees: Vec<i64>,
    nodes: Vec<i64>,
    features: Vec<i64>,
    modes: Vec<Bytes>,
    values: Vec<f32>,
    yes: Vec<i64>,
    no: Vec<i64>,
    missing_yes: Vec<i64>,
    leaf_trees: Vec<i64>,
    leaf_nodes: Vec<i64>,
    leaf_targets: Vec<i64>,
    leaf_values: Vec<f32>,
}

impl Lists {
    /// Adds one tree: its tests split by split, so that the root is the first, then its leaves.
    pub(super) fn add(&mut self, number: usize, tree: &Tree, targets: usize) {
        let tests: Vec<Vec<Test>> = tree.splits.iter().map(|split| tests(&split.rule)).collect();
        let mut first = 0;
        let firsts: Vec<usize> = tests
            .iter()
            .map(|tests| {
                let own = first;
                first += tests.len();
                own
            })
            .collect();
        let id = |child| match child {
            Child::Split(split) => firsts.get(split).copied().unwrap_or(0),
            Child::Leaf(leaf) => first + leaf,
        };
        for ((split, tests), own) in tree.splits.iter().zip(&tests).zip(&firsts) {
            let to = |next| match next {
                Next::Left => id(split.left),
                Next::Right => id(split.right),
                Next::Test(test) => own + test,
            };
            for (index, test) in tests.iter().enumerate() {
                self.node(number, own + index, test.mode);
                self.features.push(split.feature as i64);
                self.values.push(test.value);
                self.yes.push(to(test.yes) as i64);
                self.no.push(to(test.no) as i64);
                self.missing_yes.push(test.nan_yes.into());
            }
        }
        let width = tree.width(targets);
        for (leaf, values) in tree.leaves.chunks(width).enumerate() {
            self.leaf(number, first + leaf, tree.target.unwrap_or(0), values);
        }
    }

    fn leaf(&mut self, tree: usize, node: usize, first_target: usize, values: &[f64]) {
        self.node(tree, node, LEAF);
        self.features.push(0);
        self.values.push(0.0);
        self.yes.push(0);
        self.no.push(0);
        self.missing_yes.push(0);
        for (index, value) in values.iter().enumerate() {
            self.leaf_trees.push(tree as i64);
            self.leaf_nodes.push(node as i64);
            self.leaf_targets.push((first_target + index) as i64);
            self.leaf_values.push(*value as f32);
        }
    }

    fn node(&mut self, tree: usize, node: usize, mode: &'static str) {
        self.trees.push(tree as i64);
        self.nodes.push(node as i64);
        self.modes.push(Bytes::from_static(mode.as_bytes()));
    }

    /// The node, without inputs and outputs.
    pub(super) fn finish(self, base: &[f32]) -> Node {
        let ints = AttributeValue::Ints;
        let mut node = Node { op_type: "TreeEnsembleRegressor".into(), ..Node::default() }
            .in_domain("ai.onnx.ml")
            .with("n_targets", base.len() as i64)
            .with("aggregate_function", "SUM")
            .with("post_transform", "NONE")
            .with("nodes_treeids", ints(self.trees))
            .with("nodes_nodeids", ints(self.nodes))
            .with("nodes_featureids", ints(self.features))
            .with("nodes_modes", AttributeValue::Strings(self.modes))
            .with("nodes_values", AttributeValue::Floats(self.values))
            .with("nodes_truenodeids", ints(self.yes))
            .with("nodes_falsenodeids", ints(self.no))
            .with("target_treeids", ints(self.leaf_trees))
            .with("target_nodeids", ints(self.leaf_nodes))
            .with("target_ids", ints(self.leaf_targets))
            .with("target_weights", AttributeValue::Floats(self.leaf_values));
        if self.missing_yes.contains(&1) {
            node = node.with("nodes_missing_value_tracks_true", ints(self.missing_yes));
        }
        if base.iter().any(|&base| base != 0.0) {
            node = node.with("base_values", AttributeValue::Floats(base.to_vec()));
        }
        node
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the tests send a value.
    fn sent_left(tests: &[Test], value: f32) -> bool {
        let mut at = Next::Test(0);
        loop {
            match at {
                Next::Left => return true,
                Next::Right => return false,
                Next::Test(test) => {
                    let test = &tests[test];
                    let yes = match test.mode {
                        _ if value.is_nan() => test.nan_yes,
                        LESS => value < test.value,
                        _ => value <= test.value,
                    };
                    at = if yes { test.yes } else { test.no };
                }
            }
        }
    }

    /// The tests of a rule say the same as the rule, at all numbers that could make a difference.
    fn check(rule: &Rule, mut values: Vec<f32>) {
        values.extend([0.0, -0.0, ZERO, -ZERO, 1.0, -1.0, f32::NAN, f32::INFINITY, -f32::INFINITY]);
        values.extend([f32::MAX, f32::MIN, 16777216.0, 2e9, 3e9, 1e-30, -1e-30, -0.5, 0.5]);
        let tests = tests(rule);
        for value in values.iter().flat_map(|value| [*value, value.next_up(), value.next_down()]) {
            assert_eq!(sent_left(&tests, value), rule.goes_left(value), "{value} by {rule:?}");
        }
    }

    #[test]
    fn thresholds_and_what_is_missing() {
        let zero = f64::from(ZERO);
        for threshold in [0.1, -0.1, 0.0, 1.0, zero, -zero, zero / 2.0, -zero * 1.1, 1e300, -1e300]
        {
            for missing_left in [true, false] {
                for missing in [Missing::Nothing, Missing::Zero, Missing::NaN] {
                    let rule = Rule::AtMost { threshold, missing, missing_left };
                    check(&rule, vec![threshold as f32]);
                }
                let threshold = threshold as f32;
                check(&Rule::Below { threshold, missing_left }, vec![threshold]);
            }
        }
    }

    #[test]
    fn sets_of_categories() {
        let sets: [&[u32]; 6] =
            [&[], &[0], &[3], &[0, 1, 2, 5, 7, 8], &[1, 3, 5, 7, 9], &[CATEGORIES_LAST]];
        const CATEGORIES_LAST: u32 = (1 << 24) - 1;
        for set in sets {
            let values: Vec<f32> =
                (0..12).flat_map(|value| [value as f32, value as f32 + 0.5]).collect();
            for missing_left in [true, false] {
                check(&Rule::NotIn { set: set.to_vec(), missing_left }, values.clone());
            }
            check(&Rule::In { set: set.to_vec() }, values);
        }
    }

    /// ONNX Runtime refuses trees where it is not so.
    #[test]
    fn a_node_is_the_other_branch_of_one_node_only() {
        let rules = [
            Rule::In { set: vec![0, 3, 4, 9] },
            Rule::NotIn { set: vec![1, 3], missing_left: false },
            Rule::AtMost { threshold: -1.0, missing: Missing::Zero, missing_left: true },
            Rule::AtMost { threshold: 1.0, missing: Missing::Zero, missing_left: false },
        ];
        for rule in rules {
            let tests = tests(&rule);
            for (index, test) in tests.iter().enumerate() {
                let others = tests.iter().filter(|other| other.no == test.no).count();
                assert_eq!(others, 1, "test {index} of {rule:?}");
            }
        }
    }
}
