//! Quantization-aware training, as flags.

use crate::training::recipe::Recipe;

/// How weights learn to be integers.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Quantization-aware training")]
pub(crate) struct TrainingArgs {
    /// Train the quantized model on the data, so that its weights learn to be integers (mode static)
    #[arg(long, requires = "data", conflicts_with_all = ["adaround", "correct_bias"])]
    pub(super) qat: bool,
    /// Times that all examples are seen in training
    #[arg(long, value_name = "N", default_value = "3", requires = "qat")]
    epochs: usize,
    /// Learning rate of training, which falls to zero as a cosine
    #[arg(long, value_name = "RATE", default_value = "0.0001", requires = "qat")]
    learning_rate: f32,
    /// Examples a step of training
    #[arg(long, value_name = "N", default_value = "32", requires = "qat")]
    train_batch: usize,
}

impl TrainingArgs {
    /// The same for the trainer.
    pub(super) fn recipe(&self, seed: u64) -> Recipe {
        Recipe {
            learning_rate: Some(self.learning_rate),
            epochs: Some(self.epochs),
            batch: Some(self.train_batch),
            schedule: Some("cosine".to_owned()),
            seed: Some(seed),
            ..Recipe::default()
        }
    }
}
