//! The fields of the file that say what is predicted; what only training needs is left out.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Visitor};

#[derive(Debug, Deserialize)]
pub(super) struct File {
    pub(super) learner: Learner,
    #[serde(default)]
    pub(super) version: Vec<u32>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Learner {
    #[serde(default)]
    pub(super) attributes: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) feature_names: Vec<String>,
    #[serde(default)]
    pub(super) feature_types: Vec<String>,
    pub(super) gradient_booster: Booster,
    pub(super) learner_model_param: LearnerParameters,
    pub(super) objective: ObjectiveName,
}

/// Numbers are written as text.
#[derive(Debug, Deserialize)]
pub(super) struct LearnerParameters {
    pub(super) base_score: String,
    #[serde(default)]
    pub(super) num_class: String,
    pub(super) num_feature: String,
    #[serde(default)]
    pub(super) num_target: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct ObjectiveName {
    pub(super) name: String,
}

/// What makes the scores. The name stands behind the rest, so that each is told by what it has.
#[derive(Debug)]
pub(super) enum Booster {
    Trees { model: TreesModel },
    Dart { gbtree: Inner, weight_drop: Vec<f32> },
    Linear { model: LinearModel },
}

#[derive(Debug, Deserialize)]
pub(super) struct Inner {
    pub(super) model: TreesModel,
}

#[derive(Debug)]
pub(super) struct LinearModel {
    pub(super) weights: Vec<f32>,
}

#[derive(Debug)]
pub(super) struct TreesModel {
    pub(super) trees: Vec<TreeFields>,
    pub(super) tree_info: Vec<u32>,
}

/// All that the three kinds of boosters may have.
#[derive(Deserialize)]
struct AnyBooster {
    model: Option<AnyModel>,
    gbtree: Option<Inner>,
    #[serde(default)]
    weight_drop: Vec<f32>,
}

#[derive(Deserialize)]
struct AnyModel {
    trees: Option<Vec<TreeFields>>,
    #[serde(default)]
    tree_info: Vec<u32>,
    weights: Option<Vec<f32>>,
}

impl<'de> Deserialize<'de> for Booster {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let found = AnyBooster::deserialize(deserializer)?;
        match found {
            AnyBooster { gbtree: Some(gbtree), weight_drop, .. } => {
                Ok(Booster::Dart { gbtree, weight_drop })
            }
            AnyBooster { model: Some(AnyModel { trees: Some(trees), tree_info, .. }), .. } => {
                Ok(Booster::Trees { model: TreesModel { trees, tree_info } })
            }
            AnyBooster { model: Some(AnyModel { weights: Some(weights), .. }), .. } => {
                Ok(Booster::Linear { model: LinearModel { weights } })
            }
            _ => Err(de::Error::custom("expected a booster with trees or weights")),
        }
    }
}

impl<'de> Deserialize<'de> for TreesModel {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let found = AnyModel::deserialize(deserializer)?;
        let trees = found.trees.ok_or_else(|| de::Error::missing_field("trees"))?;
        Ok(TreesModel { trees, tree_info: found.tree_info })
    }
}

/// One tree, a list for each property of a node.
#[derive(Debug, Deserialize)]
pub(super) struct TreeFields {
    pub(super) left_children: Vec<i32>,
    pub(super) right_children: Vec<i32>,
    pub(super) split_indices: Vec<u32>,
    /// Thresholds of splits; values of leaves.
    pub(super) split_conditions: Vec<f32>,
    pub(super) default_left: Vec<Flag>,
    /// 1 for categories.
    #[serde(default)]
    pub(super) split_type: Vec<u8>,
    #[serde(default)]
    pub(super) categories: Vec<u32>,
    #[serde(default)]
    pub(super) categories_nodes: Vec<u32>,
    #[serde(default)]
    pub(super) categories_segments: Vec<u64>,
    #[serde(default)]
    pub(super) categories_sizes: Vec<u64>,
    /// Where a leaf has several values: those of all nodes.
    #[serde(default)]
    pub(super) base_weights: Vec<f32>,
    /// The same of leaves alone, numbered by `right_children`, since version 3.1.
    #[serde(default)]
    pub(super) leaf_weights: Vec<f32>,
    pub(super) tree_param: TreeParameters,
}

#[derive(Debug, Deserialize)]
pub(super) struct TreeParameters {
    #[serde(default)]
    pub(super) size_leaf_vector: String,
}

/// A boolean, written as such by old versions and as a number by newer ones.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flag(pub(super) bool);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FlagVisitor;
        impl Visitor<'_> for FlagVisitor {
            type Value = Flag;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a boolean, or 0 or 1")
            }

            fn visit_bool<E>(self, value: bool) -> Result<Flag, E> {
                Ok(Flag(value))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Flag, E> {
                Ok(Flag(value != 0))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Flag, E> {
                Ok(Flag(value != 0))
            }
        }
        deserializer.deserialize_any(FlagVisitor)
    }
}
