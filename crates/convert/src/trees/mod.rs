//! Boosted trees of XGBoost (JSON, UBJSON) and LightGBM (text).
//!
//! | module | holds |
//! |---|---|
//! | `ensemble` | what is common: trees, their rules, what becomes of scores |
//! | `xgboost`, `lightgbm` | the files |
//! | `ubjson` | UBJSON as a format of serde |
//! | `convert`, `flatten` | to ONNX: one `TreeEnsembleRegressor`, then plain operators |
//! | `evaluate` | what the frameworks answer, by their own rules |
//! | `samples` | rows to try |

mod convert;
mod ensemble;
mod evaluate;
mod flatten;
mod lightgbm;
mod samples;
mod ubjson;
mod xgboost;

use modelyard_tensor::Tensor;

use self::ensemble::Ensemble;
use crate::input::Source;
use crate::{Conversion, ConvertError, EvaluateError, Format, Limits, Options, SourceModel};

/// Reads a model of XGBoost.
pub(crate) fn read_xgboost(
    source: &Source,
    _: &Options,
    limits: &Limits,
) -> Result<Box<dyn SourceModel>, ConvertError> {
    Ok(Box::new(xgboost::read(source.file()?, limits)?))
}

/// Reads a model of LightGBM.
pub(crate) fn read_lightgbm(
    source: &Source,
    _: &Options,
    limits: &Limits,
) -> Result<Box<dyn SourceModel>, ConvertError> {
    Ok(Box::new(lightgbm::read(source.file()?, limits)?))
}

/// XGBoost's boosters and objectives.
pub(crate) fn xgboost_vocabulary() -> Vec<String> {
    let boosters = ["gbtree", "dart", "gblinear"].map(str::to_owned);
    let objectives = xgboost::OBJECTIVES.iter().map(|(name, ..)| (*name).to_owned());
    boosters.into_iter().chain(objectives).collect()
}

/// LightGBM's objectives.
pub(crate) fn lightgbm_vocabulary() -> Vec<String> {
    lightgbm::OBJECTIVES.map(str::to_owned).to_vec()
}

impl SourceModel for Ensemble {
    fn format(&self) -> Format {
        self.format
    }

    fn producer(&self) -> String {
        self.producer.clone()
    }

    fn convert(&self, _: &Options) -> Result<Conversion, ConvertError> {
        convert::convert(self)
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, EvaluateError> {
        evaluate::evaluate(self, inputs)
    }

    /// Rows made of the model's own thresholds.
    fn samples(&self) -> Vec<Vec<Tensor>> {
        samples::rows(self).map(|rows| vec![rows]).into_iter().collect()
    }
}
