//! Examples that a search compares by, and takes ranges from.

use modelyard_graph::Model;
use modelyard_train::data::Examples;

use super::options::Args;
use crate::commands::finetune::picture_options;
use crate::data::DataSet;
use crate::data::args::DataArgs;
use crate::observe::progress::Progress;
use crate::optimizing::sample::Sample;

/// Examples to compare by, and to take ranges from.
pub(super) struct Data {
    pub(super) all: DataSet,
    other: Option<DataSet>,
}

impl Data {
    pub(super) fn open(
        args: &Args,
        place: &DataArgs,
        model: &Model,
        progress: &Progress,
    ) -> anyhow::Result<Data> {
        let options = picture_options(place.options(), model);
        let all = progress.spin("reading the data", || place.open(&options))?;
        let other = match &args.calibration {
            Some(path) => {
                let other = DataArgs { data: path.clone(), targets: None, ..place.clone() };
                Some(progress.spin("reading the calibration data", || other.open(&options))?)
            }
            None => None,
        };
        Ok(Data { all, other })
    }

    /// Examples whose answers are compared.
    pub(super) fn evaluation(&self) -> &dyn Examples {
        self.all.test.as_deref().unwrap_or(self.all.train.as_ref())
    }

    /// Whether ranges are taken from the very examples that answers are compared on.
    pub(super) fn is_shared(&self) -> bool {
        self.other.is_none() && self.all.test.is_none()
    }

    pub(super) fn calibration<'a>(
        &'a self,
        args: &Args,
        model: &Model,
    ) -> anyhow::Result<Sample<'a>> {
        let data = self.other.as_ref().unwrap_or(&self.all);
        let size = (args.calibration_samples, args.batch, args.seed);
        Sample::new(data, data.train.as_ref(), model, size)
    }
}
