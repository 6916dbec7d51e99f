//! LightGBM's text files: lines of `key=value`, a block for each tree.

mod tree;

use std::collections::HashMap;

use super::ensemble::{Answer, Ensemble, Link, Scores};
use crate::input::Input;
use crate::{ConvertError, Format, Limits, Missing};

/// What to call it in errors.
const NAME: &str = "LightGBM model";

/// Most features and classes, so that numbers derived from them stay small.
const MOST: usize = 1 << 24;

/// The objectives that are known.
pub(super) const OBJECTIVES: [&str; 18] = [
    "regression",
    "regression_l1",
    "huber",
    "fair",
    "poisson",
    "quantile",
    "mape",
    "gamma",
    "tweedie",
    "binary",
    "multiclass",
    "multiclassova",
    "cross_entropy",
    "cross_entropy_lambda",
    "lambdarank",
    "rank_xendcg",
    "custom",
    "none",
];

/// Lines of one part of the file, by key.
type Fields<'a> = HashMap<&'a str, &'a str>;

pub(super) fn read(input: &Input, limits: &Limits) -> Result<Ensemble, ConvertError> {
    let bytes = input.read_all(limits.description_bytes)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| malformed("the text", "it is not UTF-8"))?;
    ensemble(text)
}

fn malformed(place: &str, message: impl Into<String>) -> ConvertError {
    ConvertError::Malformed { format: NAME, place: place.into(), message: message.into() }
}

fn refused(operator: &str, place: &str, reason: &str, way_out: &str) -> ConvertError {
    ConvertError::Unsupported(vec![Missing {
        operator: operator.into(),
        place: place.into(),
        reason: reason.into(),
        way_out: way_out.into(),
    }])
}

/// The head of the file, and each tree.
fn parts(text: &str) -> Result<(Fields<'_>, Vec<Fields<'_>>), ConvertError> {
    let mut head = Fields::new();
    let mut trees: Vec<Fields<'_>> = Vec::new();
    for line in text.lines().map(str::trim_end) {
        if line == "end of trees" {
            return Ok((head, trees));
        }
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        if key == "Tree" {
            trees.push(Fields::new());
            continue;
        }
        trees.last_mut().unwrap_or(&mut head).insert(key, value);
    }
    Err(malformed("the text", "expected the line 'end of trees', found the end of the file"))
}

fn ensemble(text: &str) -> Result<Ensemble, ConvertError> {
    let (head, blocks) = parts(text)?;
    let features = count(&head, "max_feature_idx")? + 1;
    let targets = count(&head, "num_tree_per_iteration")?;
    if targets == 0 || features.checked_mul(targets).is_none_or(|product| product > MOST) {
        let message = format!("{features} features and {targets} trees an iteration");
        return Err(malformed("the head", message));
    }
    let objective = head.get("objective").copied().unwrap_or("none");
    let (answer, notes) = answer(objective, targets)?;
    // Random forests answer with the mean of their trees.
    let share = if head.contains_key("average_output") { blocks.len() / targets } else { 1 };
    let mut trees = Vec::with_capacity(blocks.len());
    for (index, block) in blocks.iter().enumerate() {
        let place = format!("tree {index}");
        if block.get("is_linear") == Some(&"1") {
            let way_out = "train with linear_tree=false";
            return Err(refused("linear tree", &place, "a linear model in a leaf", way_out));
        }
        let mut tree = tree::tree(block, features).map_err(|message| malformed(&place, message))?;
        tree.target = Some(index % targets);
        for leaf in &mut tree.leaves {
            *leaf /= share.max(1) as f64;
        }
        trees.push(tree);
    }
    let names: Vec<String> = head
        .get("feature_names")
        .map_or_else(Vec::new, |names| names.split(' ').map(str::to_owned).collect());
    Ok(Ensemble {
        format: Format::LightGbm,
        producer: format!("LightGBM {}", head.get("version").copied().unwrap_or_default()),
        features,
        feature_names: if names.len() == features { names } else { Vec::new() },
        targets,
        base: vec![0.0; targets],
        scores: Scores::Trees(trees),
        answer,
        notes,
    })
}

fn count(head: &Fields<'_>, key: &str) -> Result<usize, ConvertError> {
    let found = head.get(key).copied().unwrap_or_default();
    let number = found.parse::<usize>().ok().filter(|&number| number < MOST);
    number.ok_or_else(|| {
        malformed("the head", format!("expected {key} to be a number, found '{found}'"))
    })
}

/// What `predict` makes of the scores, by the line that names the objective and its parameters.
fn answer(line: &str, targets: usize) -> Result<(Answer, Vec<String>), ConvertError> {
    let mut words = line.split_whitespace();
    let name = words.next().unwrap_or("none");
    let parameters: Vec<&str> = words.collect();
    let slope = parameters.iter().find_map(|word| word.strip_prefix("sigmoid:"));
    let slope = slope.map_or(Ok(1.0), str::parse::<f32>);
    let slope = slope.map_err(|_| malformed("objective", format!("no number in '{line}'")))?;
    let values = |link| Ok((Answer::Values(link), Vec::new()));
    match (name, targets) {
        ("regression" | "regression_l2", _) if parameters.contains(&"sqrt") => {
            values(Link::SignedSquare)
        }
        ("regression_l1" | "quantile" | "mape", _) if parameters.contains(&"sqrt") => {
            values(Link::SignedSquare)
        }
        (
            "regression" | "regression_l2" | "regression_l1" | "huber" | "fair" | "quantile"
            | "mape" | "lambdarank" | "rank_xendcg",
            _,
        ) => values(Link::Identity),
        ("poisson" | "gamma" | "tweedie", _) => values(Link::Exp),
        ("cross_entropy" | "xentropy", _) => values(Link::Sigmoid),
        ("cross_entropy_lambda" | "xentlambda", _) => values(Link::Softplus),
        ("binary", 1) => Ok((Answer::Binary(slope), Vec::new())),
        ("multiclass" | "softmax", 2..) => Ok((Answer::Softmax, Vec::new())),
        ("multiclassova" | "multiclass_ova" | "ova" | "ovr", 2..) => {
            Ok((Answer::OneVersusAll(slope), Vec::new()))
        }
        ("none" | "custom" | "null" | "na", _) => {
            let note = "the model has no objective: the answers are raw scores";
            Ok((Answer::Values(Link::Identity), vec![note.into()]))
        }
        _ => {
            let way_out = "train with an objective that has a known answer, such as regression";
            Err(refused(&format!("objective '{line}'"), "the head", "the objective", way_out))
        }
    }
}
