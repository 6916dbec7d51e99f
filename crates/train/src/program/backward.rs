//! The way back: from gradients by the targets to gradients by what is trained.

use super::forward::scope;
use super::{Pass, Run, Slot};
use crate::array::Array;
use crate::error::{OpError, RunError};
use crate::operator::{Backward, Gradients, Inputs};

impl Pass<'_> {
    /// Gradients of a loss by the trained weights, in the order of [`super::Program::plan`], from
    /// its gradients by targets: name and gradient. `None` where the loss does not depend on a
    /// weight. Consumes the kept values; targets stay.
    pub fn backward(
        &mut self,
        seeds: Vec<(&str, Array)>,
        run: &mut Run<'_>,
    ) -> Result<Gradients, RunError> {
        let mut gradients: Gradients = vec![None; self.program.names.len()];
        for (name, gradient) in seeds {
            let slot = self.program.slots.get(name).copied();
            let slot = slot.ok_or_else(|| RunError::Input(format!("no target '{name}'")))?;
            self.held_mut().add(&gradient);
            accumulate(&mut gradients[slot], gradient)
                .map_err(|error| RunError::Input(error.to_string()))?;
        }
        for position in (0..self.plan.steps.len()).rev() {
            if self.plan.steps[position].is_differentiated() {
                self.step_back(position, &mut gradients, run)?;
            }
            for slot in &self.plan.steps[position].drop_backward {
                self.drop_slot(*slot, run.buffers);
            }
        }
        let weights = self.plan.trained.iter();
        Ok(weights
            .map(|&weight| self.weight_slot(weight).and_then(|slot| gradients[slot].take()))
            .collect())
    }

    fn weight_slot(&self, weight: usize) -> Option<Slot> {
        let name = &self.program.weights.names()[weight];
        self.program.slots.get(name).copied()
    }

    fn step_back(
        &mut self,
        position: usize,
        gradients: &mut Gradients,
        run: &mut Run<'_>,
    ) -> Result<(), RunError> {
        let planned = &self.plan.steps[position];
        let step = &self.program.steps[planned.number];
        let Ok(operator) = &step.operator else {
            unreachable!("a plan holds no step without operator");
        };
        let saved = std::mem::take(&mut self.saved[position]);
        let of_outputs: Gradients =
            step.outputs.iter().map(|slot| gradients[(*slot)?].take()).collect();
        if of_outputs.iter().all(Option::is_none) {
            return Ok(());
        }
        for array in saved.iter().chain(of_outputs.iter().flatten()) {
            self.held_mut().remove(array);
        }
        let values = |slots: &[Option<Slot>], reads: &dyn Fn(usize) -> bool| {
            let slots = slots.iter().enumerate();
            slots
                .map(
                    |(index, slot)| {
                        if reads(index) { self.values[(*slot)?].as_ref() } else { None }
                    },
                )
                .collect::<Vec<_>>()
        };
        let shapes = |slots: &[Option<Slot>]| {
            let shape = |slot: &Option<Slot>| slot.map(|slot| self.shapes[slot].clone());
            slots.iter().map(|slot| shape(slot).unwrap_or_default()).collect::<Vec<_>>()
        };
        let at = Backward {
            inputs: Inputs(&values(&step.inputs, &|index| planned.reads.input(index))),
            input_shapes: &shapes(&step.inputs),
            outputs: Inputs(&values(&step.outputs, &|index| planned.reads.output(index))),
            output_shapes: &shapes(&step.outputs),
            saved,
            gradients: of_outputs,
            wanted: &planned.wanted,
        };
        let mut scope = scope(run, self.mode, planned.number, &planned.wanted);
        let failed =
            |source| RunError::Node { action: "differentiate", node: step.node.clone(), source };
        let of_inputs = operator.backward(&mut scope, at).map_err(failed)?;
        for ((slot, &wanted), gradient) in step.inputs.iter().zip(&planned.wanted).zip(of_inputs) {
            let (Some(slot), true, Some(gradient)) = (slot, wanted, gradient) else { continue };
            if gradient.shape() != &self.shapes[*slot] {
                return Err(failed(OpError::new(format!(
                    "the gradient of '{}' has shape {}, expected {}",
                    self.program.names[*slot],
                    gradient.shape(),
                    self.shapes[*slot]
                ))));
            }
            if gradients[*slot].is_none() {
                self.held_mut().add(&gradient);
            }
            accumulate(&mut gradients[*slot], gradient).map_err(failed)?;
        }
        self.check_memory(position, run.memory_limit_bytes)
    }
}

/// Adds a gradient to what has come so far.
fn accumulate(sum: &mut Option<Array>, gradient: Array) -> Result<(), OpError> {
    match sum {
        None => *sum = Some(gradient),
        Some(sum) => {
            let (sum, gradient) = (sum.floats_mut()?, gradient.as_floats()?);
            if sum.len() != gradient.len() {
                return Err(OpError::new("two gradients of one value differ in size"));
            }
            crate::math::vector::add(sum, gradient);
        }
    }
    Ok(())
}
