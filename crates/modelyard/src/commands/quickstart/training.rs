//! `--train`: the model is made anew, as `modelyard train` made the one inside this binary.

use std::path::Path;

use super::digits;
use crate::observe::progress::Progress;
use crate::training::interrupt::Interrupt;
use crate::training::network::Network;
use crate::training::session::{Conditions, Trained};
use crate::training::spec::Spec;

/// Trains the model of `examples/digits` with its specification, on the digits inside this binary.
pub(super) fn train(
    threads: usize,
    progress: &Progress,
    interrupt: &Interrupt,
) -> anyhow::Result<Trained> {
    let spec = Spec::parse(digits::SPEC)?;
    let data = digits::training_data()?;
    let network = Network {
        layers: &spec.layers()?,
        recipe: &spec.training,
        data: (&data, Path::new(digits::FOLDER)),
    };
    network.train(|job| {
        job.train(&Conditions {
            checkpoints: None,
            resume: false,
            metrics: None,
            threads,
            progress,
            tells: false,
            interrupt,
            deadline: None,
            hold: None,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specification_is_of_the_data() {
        let spec = Spec::parse(digits::SPEC).unwrap();
        let data = digits::training_data().unwrap();
        let test = data.test.as_ref().map(|test| test.len());
        assert_eq!((data.train.len(), test), (8000, Some(2000)));
        assert_eq!(spec.layers().unwrap().len(), 2);
        spec.training.options(&data.task).unwrap();
        // All of the training digits are trained on.
        assert_eq!(spec.training.validation().unwrap(), 0.0);
    }
}
