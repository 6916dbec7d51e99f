//! The way forward: values from inputs, keeping what the way back needs.

use modelyard_tensor::Shape;

use super::{Plan, Program, Slot, Weights};
use crate::array::Array;
use crate::buffers::Buffers;
use crate::error::{OpError, RunError};
use crate::operator::{Inputs, Scope};
use crate::workers::Workers;

/// How a plan is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// As the model will be served.
    Evaluate,
    /// As a step of training.
    Train {
        /// Decides what is drawn by chance in this step.
        seed: u64,
    },
}

/// What a run needs besides its plan.
pub struct Run<'a> {
    /// Memory.
    pub buffers: &'a mut Buffers,
    /// Threads.
    pub workers: &'a Workers,
    /// How to run.
    pub mode: Mode,
    /// Most bytes of values held at once, weights and gradients of weights not counted.
    pub memory_limit_bytes: usize,
}

/// A plan that has been evaluated.
pub struct Pass<'a> {
    pub(super) program: &'a Program,
    pub(super) plan: &'a Plan,
    pub(super) mode: Mode,
    pub(super) values: Vec<Option<Array>>,
    pub(super) shapes: Vec<Shape>,
    /// By step of the plan: what its operator saved.
    pub(super) saved: Vec<Vec<Array>>,
    /// New values of weights that are state: number and value.
    updates: Vec<(usize, Array)>,
    held: Held,
}

/// Bytes held.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Held {
    pub(super) now: usize,
    pub(super) peak: usize,
}

impl Held {
    pub(super) fn add(&mut self, array: &Array) {
        self.now += array.byte_len();
        self.peak = self.peak.max(self.now);
    }

    pub(super) fn remove(&mut self, array: &Array) {
        self.now = self.now.saturating_sub(array.byte_len());
    }
}

impl Program {
    /// Evaluates `plan` on `inputs`, given by name.
    pub fn forward<'a>(
        &'a self,
        plan: &'a Plan,
        weights: &Weights,
        inputs: Vec<(&str, Array)>,
        run: &mut Run<'_>,
    ) -> Result<Pass<'a>, RunError> {
        let mut pass = self.start(plan, weights, inputs, run)?;
        for position in 0..plan.steps.len() {
            pass.step(position, run)?;
        }
        Ok(pass)
    }

    /// The first value on the way forward that `is_wanted`, with the node that gives it; `None`
    /// also when a node fails.
    pub fn find_value(
        &self,
        plan: &Plan,
        weights: &Weights,
        inputs: Vec<(&str, Array)>,
        run: &mut Run<'_>,
        is_wanted: &dyn Fn(&Array) -> bool,
    ) -> Option<String> {
        let mut pass = self.start(plan, weights, inputs, run).ok()?;
        for (position, planned) in plan.steps.iter().enumerate() {
            pass.step(position, run).ok()?;
            let step = &self.steps[planned.number];
            for &slot in step.outputs.iter().flatten() {
                if pass.values[slot].as_ref().is_some_and(is_wanted) {
                    return Some(format!("'{}', the output of {}", self.names[slot], step.node));
                }
            }
        }
        None
    }

    /// A pass that stands before its first step.
    fn start<'a>(
        &'a self,
        plan: &'a Plan,
        weights: &Weights,
        inputs: Vec<(&str, Array)>,
        run: &Run<'_>,
    ) -> Result<Pass<'a>, RunError> {
        let mut pass = Pass {
            program: self,
            plan,
            mode: run.mode,
            values: vec![None; self.names.len()],
            shapes: vec![Shape::default(); self.names.len()],
            saved: Vec::with_capacity(plan.steps.len()),
            updates: Vec::new(),
            held: Held::default(),
        };
        for (slot, weight) in self.weight_of.iter().enumerate() {
            if let Some(weight) = weight {
                let array = weights.array(*weight);
                pass.shapes[slot] = array.shape().clone();
                pass.values[slot] = Some(array.clone());
            }
        }
        pass.put_inputs(inputs)?;
        // A target that no step gives must be an input or a weight.
        let given = |slot: &Slot| {
            pass.values[*slot].is_some()
                || plan
                    .steps
                    .iter()
                    .any(|planned| self.steps[planned.number].outputs.contains(&Some(*slot)))
        };
        match plan.targets.iter().find(|slot| !given(slot)) {
            Some(&slot) => {
                Err(RunError::Input(format!("no value is given for '{}'", self.names[slot])))
            }
            None => Ok(pass),
        }
    }
}

impl Pass<'_> {
    /// A target of the plan.
    ///
    /// # Panics
    /// When `name` is none: a fault of the caller.
    pub fn value(&self, name: &str) -> &Array {
        let value = self.program.slots.get(name).and_then(|&slot| self.values[slot].as_ref());
        value.expect("a target of the plan is kept")
    }

    /// Most bytes that values took at once so far.
    pub fn peak_bytes(&self) -> usize {
        self.held.peak
    }

    /// New values of weights that are state, such as the running statistics of batch
    /// normalization: number of the weight, and value.
    pub fn take_updates(&mut self) -> Vec<(usize, Array)> {
        std::mem::take(&mut self.updates)
    }

    /// Gives all memory back.
    pub fn recycle(self, buffers: &mut Buffers) {
        let values = self.values.into_iter().flatten();
        values.chain(self.saved.into_iter().flatten()).for_each(|array| buffers.recycle(array));
    }

    fn put_inputs(&mut self, inputs: Vec<(&str, Array)>) -> Result<(), RunError> {
        for (name, array) in inputs {
            let input = self.program.inputs.iter().find(|input| input.spec.name == name);
            let Some(input) = input else {
                return Err(RunError::Input(format!("the model has no input '{name}'")));
            };
            let fits = input.spec.dims.as_ref().is_none_or(|dims| {
                dims.len() == array.shape().len()
                    && dims.iter().zip(array.shape().iter()).all(|(dim, &size)| dim.accepts(size))
            });
            if !fits {
                return Err(RunError::Input(format!(
                    "input '{name}': expected shape {}, found {}",
                    input.spec.shape_text(),
                    array.shape()
                )));
            }
            self.put(input.slot, array);
        }
        Ok(())
    }

    pub(super) fn put(&mut self, slot: Slot, array: Array) {
        self.held.add(&array);
        self.shapes[slot] = array.shape().clone();
        self.values[slot] = Some(array);
    }

    pub(super) fn drop_slot(&mut self, slot: Slot, buffers: &mut Buffers) {
        if let Some(array) = self.values[slot].take() {
            self.held.remove(&array);
            buffers.recycle(array);
        }
    }

    fn step(&mut self, position: usize, run: &mut Run<'_>) -> Result<(), RunError> {
        let planned = &self.plan.steps[position];
        let step = &self.program.steps[planned.number];
        let failed =
            |source| RunError::Node { action: "evaluate", node: step.node.clone(), source };
        let Ok(operator) = &step.operator else {
            unreachable!("a plan holds no step without operator");
        };
        let inputs: Vec<Option<&Array>> =
            step.inputs.iter().map(|slot| self.values[(*slot)?].as_ref()).collect();
        for (slot, value) in step.inputs.iter().zip(&inputs) {
            if let (Some(slot), None) = (slot, value) {
                let name = &self.program.names[*slot];
                return Err(RunError::Input(format!("no value is given for '{name}'")));
            }
        }
        let outcome = operator
            .forward(&mut scope(run, self.mode, planned.number, &planned.wanted), Inputs(&inputs))
            .map_err(failed)?;
        let given = outcome.outputs.len();
        for (slot, array) in step.outputs.iter().zip(outcome.outputs) {
            if let Some(slot) = slot {
                self.put(*slot, array);
            }
        }
        if let Some(slot) = step.outputs.iter().skip(given).flatten().next() {
            let name = &self.program.names[*slot];
            return Err(failed(OpError::new(format!("it gives {given} outputs, not '{name}'"))));
        }
        for (input, array) in outcome.updates {
            let weight = step.inputs[input].and_then(|slot| self.program.weight_of[slot]);
            self.updates.extend(weight.map(|weight| (weight, array)));
        }
        if planned.is_differentiated() {
            outcome.saved.iter().for_each(|array| self.held.add(array));
            self.saved.push(outcome.saved);
        } else {
            outcome.saved.into_iter().for_each(|array| run.buffers.recycle(array));
            self.saved.push(Vec::new());
        }
        for &slot in &planned.drop_forward {
            self.drop_slot(slot, run.buffers);
        }
        self.check_memory(position, run.memory_limit_bytes)
    }

    pub(super) fn check_memory(&self, position: usize, limit_bytes: usize) -> Result<(), RunError> {
        if self.held.now <= limit_bytes {
            return Ok(());
        }
        let node = self.program.steps[self.plan.steps[position].number].node.clone();
        Err(RunError::Memory { needed_bytes: self.held.now, limit_bytes, node })
    }

    pub(super) fn held_mut(&mut self) -> &mut Held {
        &mut self.held
    }
}

/// What the operator of step `number` may use. Each step of the graph draws its own numbers.
pub(super) fn scope<'a>(
    run: &'a mut Run<'_>,
    mode: Mode,
    number: usize,
    trained: &'a [bool],
) -> Scope<'a> {
    let (training, seed) = match mode {
        Mode::Evaluate => (false, 0),
        Mode::Train { seed } => (true, seed),
    };
    Scope {
        buffers: run.buffers,
        workers: run.workers,
        training,
        seed: crate::math::random::mix(seed, number as u64),
        trained,
        memory_limit_bytes: run.memory_limit_bytes,
    }
}
