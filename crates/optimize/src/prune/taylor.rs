//! How the loss depends on weights, to first order.

use std::collections::HashMap;

use modelyard_graph::Model;
use modelyard_train::data::Batch;
use modelyard_train::trainer::{LossKind, Objective, TrainError};
use modelyard_train::{Buffers, Mode, Plan, Program, Run, Weights, Workers};

/// Sums of `|w dL/dw|` over batches, by element of each weight: about how much the loss would change if
/// the element were zero (Molchanov et al. 2019, equation 8).
pub struct Taylor {
    program: Program,
    plan: Plan,
    objective: Objective,
    weights: Weights,
    sums: Vec<Vec<f32>>,
    buffers: Buffers,
}

impl Taylor {
    /// Nothing is summed yet. `names` are those that [`super::filters`] gives.
    pub fn new(model: &Model, names: &[String], loss: LossKind) -> Result<Taylor, TrainError> {
        let program = Program::compile(model)?;
        let objective = Objective::of(model, loss)?;
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let plan = program.plan(&[objective.target()], &names)?;
        let weights = program.weights().clone();
        let sums = plan.trained().iter().map(|&number| vec![0.0; weights.array(number).len()]);
        Ok(Taylor {
            sums: sums.collect(),
            program,
            plan,
            objective,
            weights,
            buffers: Buffers::default(),
        })
    }

    /// Adds what a batch says, within a limit of memory.
    pub fn observe(
        &mut self,
        batch: &Batch,
        workers: &Workers,
        memory_limit_bytes: usize,
    ) -> Result<(), TrainError> {
        let inputs =
            batch.inputs.iter().map(|(name, array)| (name.as_str(), array.clone())).collect();
        let buffers = &mut self.buffers;
        let mut run = Run { buffers, workers, mode: Mode::Evaluate, memory_limit_bytes };
        let mut pass = self.program.forward(&self.plan, &self.weights, inputs, &mut run)?;
        let target = self.objective.target();
        let graded = self.objective.grade(pass.value(target), &batch.targets)?;
        let gradients = pass.backward(vec![(target, graded.gradient)], &mut run)?;
        pass.recycle(&mut self.buffers);
        for ((sum, gradient), &number) in
            self.sums.iter_mut().zip(gradients).zip(self.plan.trained())
        {
            let Some(gradient) = gradient else { continue };
            let weights = self.weights.array(number).as_floats()?;
            for ((sum, slope), weight) in sum.iter_mut().zip(gradient.as_floats()?).zip(weights) {
                *sum += (slope * weight).abs();
            }
            self.buffers.recycle(gradient);
        }
        Ok(())
    }

    /// The sums, by weight.
    pub fn sums(self) -> HashMap<String, Vec<f32>> {
        let names = self.plan.trained().iter().map(|&number| self.weights.names()[number].clone());
        names.zip(self.sums).collect()
    }
}
