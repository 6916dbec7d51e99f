//! XGBoost's own files: JSON and UBJSON with the same fields.

mod file;
mod objective;
mod tree;

use serde::de::DeserializeOwned;

use self::file::{Booster, File, Learner};
use self::objective::{Objective, objective};
use super::ensemble::{Answer, Ensemble, Scores};
use crate::input::Input;
use crate::{ConvertError, Format, Limits, Missing};

pub(super) use self::objective::OBJECTIVES;

/// What to call it in errors.
const NAME: &str = "XGBoost model";

/// Most features and targets, so that numbers derived from them stay small.
const MOST: usize = 1 << 24;

pub(super) fn read(input: &Input, limits: &Limits) -> Result<Ensemble, ConvertError> {
    let bytes = input.read_all(limits.description_bytes)?;
    let file: File = parse(&bytes, limits)?;
    ensemble(file)
}

fn parse<T: DeserializeOwned>(bytes: &[u8], limits: &Limits) -> Result<T, ConvertError> {
    let text = bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{')
        && bytes.get(1).is_none_or(|byte| byte.is_ascii_whitespace() || *byte == b'"');
    if text {
        serde_json::from_slice(bytes).map_err(|error| malformed("the JSON", error.to_string()))
    } else {
        super::ubjson::from_slice(bytes, limits.depth)
            .map_err(|error| malformed("the UBJSON", error.to_string()))
    }
}

fn malformed(place: &str, message: impl Into<String>) -> ConvertError {
    ConvertError::Malformed { format: NAME, place: place.into(), message: message.into() }
}

fn refused(operator: &str, reason: &str, way_out: &str) -> ConvertError {
    ConvertError::Unsupported(vec![Missing {
        operator: operator.into(),
        place: "learner".into(),
        reason: reason.into(),
        way_out: way_out.into(),
    }])
}

fn ensemble(file: File) -> Result<Ensemble, ConvertError> {
    let learner = file.learner;
    let version: Vec<String> = file.version.iter().map(u32::to_string).collect();
    let features = number("num_feature", &learner.learner_model_param.num_feature)?;
    let classes = number("num_class", &learner.learner_model_param.num_class)?;
    let targets = number("num_target", &learner.learner_model_param.num_target)?;
    let targets = classes.max(targets).max(1);
    if features.checked_mul(targets).is_none_or(|product| product > MOST) {
        let message = format!("{features} features and {targets} targets");
        return Err(malformed("learner_model_param", message));
    }
    let objective = objective(&learner.objective.name, targets)?;
    let mut base = base(&learner.learner_model_param.base_score, targets, &objective)?;
    let mut notes = notes(&learner);
    if objective.answer == Answer::Values(super::ensemble::Link::Identity) && objective.custom {
        notes.push(format!(
            "objective '{}' is not one of XGBoost's own: the answers are raw scores",
            learner.objective.name
        ));
    }
    let feature_names = match learner.feature_names.len() == features {
        true => learner.feature_names,
        false => Vec::new(),
    };
    let scores = match learner.gradient_booster {
        Booster::Trees { model } => tree::trees(model, &[], features, targets)?,
        Booster::Dart { gbtree, weight_drop } => {
            tree::trees(gbtree.model, &weight_drop, features, targets)?
        }
        Booster::Linear { model } => {
            let expected = (features + 1) * targets;
            if model.weights.len() != expected {
                let found = model.weights.len();
                let message = format!("expected {expected} weights, found {found}");
                return Err(malformed("gblinear", message));
            }
            // So XGBoost does it (3.2): all scores of a linear model start with the first number.
            let first = base.first().copied().unwrap_or_default();
            base.fill(first);
            Scores::Linear(model.weights)
        }
    };
    Ok(Ensemble {
        format: Format::XgBoost,
        producer: format!("XGBoost {}", version.join(".")),
        features,
        feature_names,
        targets,
        base,
        scores,
        answer: objective.answer,
        notes,
    })
}

fn notes(learner: &Learner) -> Vec<String> {
    let mut notes = Vec::new();
    if learner.feature_types.iter().any(|kind| kind == "c" || kind == "categorical") {
        notes.push(
            "categorical features are given as codes: the numbers of the categories in the order \
             that they had in training"
                .into(),
        );
    }
    if let Some(best) = learner.attributes.get("best_iteration") {
        notes.push(format!(
            "all trees are in use, as in Booster.predict; XGBoost's scikit-learn classes stop \
             after iteration {best}: save `booster[:{best} + 1]` for that"
        ));
    }
    notes
}

/// A number that the file has as text; 0 where it has none.
fn number(name: &str, text: &str) -> Result<usize, ConvertError> {
    if text.is_empty() {
        return Ok(0);
    }
    let message = || format!("expected {name} to be a number up to {MOST}, found '{text}'");
    let found = text.parse::<usize>().ok().filter(|&found| found <= MOST);
    found.ok_or_else(|| malformed("learner_model_param", message()))
}

/// What each score starts with. The file has it as the objective shows it: `5E-1`, or since
/// version 3.1 a list.
fn base(text: &str, targets: usize, objective: &Objective) -> Result<Vec<f32>, ConvertError> {
    let inner = text.trim().trim_start_matches('[').trim_end_matches(']');
    let values: Result<Vec<f32>, _> = inner.split(',').map(|item| item.trim().parse()).collect();
    let margins = values.ok().and_then(|values| match values.as_slice() {
        [value] => Some(vec![(objective.margin)(*value); targets]),
        values if values.len() == targets => {
            Some(values.iter().map(|&value| (objective.margin)(value)).collect())
        }
        _ => None,
    });
    let margins = margins.filter(|margins| margins.iter().all(|margin| margin.is_finite()));
    margins.ok_or_else(|| {
        malformed("base_score", format!("expected 1 or {targets} numbers in range, found '{text}'"))
    })
}
