//! From the lists of a file to trees that are known to be trees.

use super::super::ensemble::{Child, Rule, Scores, Split, Tree};
use super::file::{TreeFields, TreesModel};
use super::{malformed, number};
use crate::ConvertError;

/// The trees of a booster. `weights` are those of dropped trees (DART); 1 where there is none.
pub(super) fn trees(
    model: TreesModel,
    weights: &[f32],
    features: usize,
    targets: usize,
) -> Result<Scores, ConvertError> {
    let mut trees = Vec::with_capacity(model.trees.len());
    for (index, fields) in model.trees.iter().enumerate() {
        let target = model.tree_info.get(index).copied().unwrap_or(0) as usize;
        let weight = weights.get(index).copied().unwrap_or(1.0);
        let tree = tree(fields, Shape { target, features, targets, weight })
            .map_err(|message| malformed(&format!("tree {index}"), message))?;
        trees.push(tree);
    }
    Ok(Scores::Trees(trees))
}

/// What a tree must fit into.
#[derive(Clone, Copy)]
struct Shape {
    target: usize,
    features: usize,
    targets: usize,
    weight: f32,
}

fn tree(fields: &TreeFields, shape: Shape) -> Result<Tree, String> {
    let size = number("size_leaf_vector", &fields.tree_param.size_leaf_vector);
    let width = size.map_err(|error| error.to_string())?.max(1);
    if width != 1 && width != shape.targets {
        return Err(format!("leaves of {width} values for {} targets", shape.targets));
    }
    if shape.target >= shape.targets {
        return Err(format!("expected a target below {}, found {}", shape.targets, shape.target));
    }
    let mut walk = Walk {
        fields,
        shape,
        width,
        sets: sets(fields)?,
        seen: vec![false; fields.left_children.len()],
        splits: Vec::new(),
        leaves: Vec::new(),
    };
    let root = walk.all()?;
    let target = if width == 1 { Some(shape.target) } else { None };
    Ok(Tree { target, root, splits: walk.splits, leaves: walk.leaves })
}

/// The categories of each node that splits by them.
fn sets(fields: &TreeFields) -> Result<Vec<(u32, Vec<u32>)>, String> {
    let mut sets = Vec::new();
    for (index, &node) in fields.categories_nodes.iter().enumerate() {
        let start = fields.categories_segments.get(index).copied();
        let size = fields.categories_sizes.get(index).copied();
        let range = start.zip(size).and_then(|(start, size)| {
            let start = usize::try_from(start).ok()?;
            Some(start..start.checked_add(usize::try_from(size).ok()?)?)
        });
        let set = range.and_then(|range| fields.categories.get(range));
        let mut set = set.ok_or_else(|| format!("node {node} has no list of categories"))?.to_vec();
        set.sort_unstable();
        set.dedup();
        sets.push((node, set));
    }
    sets.sort_by_key(|(node, _)| *node);
    Ok(sets)
}

/// A way through all nodes that can be reached from the root.
struct Walk<'a> {
    fields: &'a TreeFields,
    shape: Shape,
    width: usize,
    sets: Vec<(u32, Vec<u32>)>,
    seen: Vec<bool>,
    splits: Vec<Split>,
    leaves: Vec<f64>,
}

impl Walk<'_> {
    fn all(&mut self) -> Result<Child, String> {
        let mut open = Vec::new();
        let root = self.visit(0, &mut open)?;
        while let Some((split, node, left)) = open.pop() {
            let child = self.visit(node, &mut open)?;
            if let Some(split) = self.splits.get_mut::<usize>(split) {
                *(if left { &mut split.left } else { &mut split.right }) = child;
            }
        }
        Ok(root)
    }

    /// Adds the node; its children are left to be visited.
    fn visit(&mut self, node: i32, open: &mut Vec<(usize, i32, bool)>) -> Result<Child, String> {
        let missing = || format!("expected a node {node}, found none");
        let at = usize::try_from(node).map_err(|_| missing())?;
        let seen = self.seen.get_mut(at).ok_or_else(missing)?;
        if std::mem::replace(seen, true) {
            return Err(format!("node {node} is reached on two ways"));
        }
        let left = *self.fields.left_children.get(at).ok_or_else(missing)?;
        let right = *self.fields.right_children.get(at).ok_or_else(missing)?;
        if left == -1 {
            return self.leaf(at, right).ok_or_else(|| format!("leaf {node} has no value"));
        }
        let split = self.split(at)?;
        self.splits.push(split);
        let split = self.splits.len() - 1;
        open.push((split, right, false));
        open.push((split, left, true));
        Ok(Child::Split(split))
    }

    fn leaf(&mut self, at: usize, number: i32) -> Option<Child> {
        let leaf = self.leaves.len() / self.width;
        let values = if self.width == 1 {
            self.fields.split_conditions.get(at..=at)?
        } else {
            let (all, row) = match self.fields.leaf_weights.is_empty() {
                true => (&self.fields.base_weights, at),
                false => (&self.fields.leaf_weights, usize::try_from(number).ok()?),
            };
            let start = row.checked_mul(self.width)?;
            all.get(start..start.checked_add(self.width)?)?
        };
        let weight = self.shape.weight;
        self.leaves.extend(values.iter().map(|&value| f64::from(value * weight)));
        Some(Child::Leaf(leaf))
    }

    fn split(&self, at: usize) -> Result<Split, String> {
        let missing = || format!("node {at} has no question");
        let feature = *self.fields.split_indices.get(at).ok_or_else(missing)? as usize;
        if feature >= self.shape.features {
            let features = self.shape.features;
            return Err(format!("node {at} asks for feature {feature} of {features}"));
        }
        let missing_left = self.fields.default_left.get(at).ok_or_else(missing)?.0;
        let rule = if self.fields.split_type.get(at) == Some(&1) {
            let found = self.sets.binary_search_by_key(&at, |(node, _)| *node as usize);
            let (_, set) = found.ok().and_then(|found| self.sets.get(found)).ok_or_else(missing)?;
            Rule::NotIn { set: set.clone(), missing_left }
        } else {
            let threshold = *self.fields.split_conditions.get(at).ok_or_else(missing)?;
            if threshold.is_nan() {
                return Err(format!("node {at} compares with NaN"));
            }
            Rule::Below { threshold, missing_left }
        };
        Ok(Split { feature, rule, left: Child::Leaf(0), right: Child::Leaf(0) })
    }
}
