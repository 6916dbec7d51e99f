//! What a run evaluates, keeps for the way back, and differentiates.

use super::{Program, Slot};
use crate::error::CompileError;
use crate::operator::Reads;

/// A way through a [`Program`]: to some values, differentiated by some weights.
///
/// Only nodes that the targets need are evaluated; gradients flow only through nodes that what is
/// trained flows through.
#[derive(Debug)]
pub struct Plan {
    pub(super) steps: Vec<Planned>,
    pub(super) targets: Vec<Slot>,
    /// Numbers of the weights that are trained.
    pub(super) trained: Vec<usize>,
    /// By slot: whether what is trained flows into it.
    pub(super) flows: Vec<bool>,
    /// By slot: whether the way back reads the value.
    pub(super) kept: Vec<bool>,
}

impl Plan {
    /// Numbers of the weights that are trained, in the order of the gradients.
    pub fn trained(&self) -> &[usize] {
        &self.trained
    }
}

/// One node of a plan.
#[derive(Debug)]
pub(super) struct Planned {
    /// Its number in the program.
    pub(super) number: usize,
    /// By input: whether its gradient is wanted.
    pub(super) wanted: Vec<bool>,
    /// What its way back reads.
    pub(super) reads: Reads,
    /// Values that nobody needs after it on the way forward.
    pub(super) drop_forward: Vec<Slot>,
    /// Values that nobody needs after it on the way back.
    pub(super) drop_backward: Vec<Slot>,
}

impl Planned {
    /// Whether gradients flow through it.
    pub(super) fn is_differentiated(&self) -> bool {
        self.wanted.contains(&true)
    }
}

impl Program {
    /// Plans the evaluation of the values `targets` and their differentiation by the weights
    /// `trained`. Refuses, all at once and by name, nodes that training does not cover.
    pub fn plan(&self, targets: &[&str], trained: &[&str]) -> Result<Plan, CompileError> {
        let targets = targets.iter().map(|name| self.find(name)).collect::<Result<Vec<_>, _>>()?;
        let trained =
            trained.iter().map(|name| self.parameter(name)).collect::<Result<Vec<_>, _>>()?;
        let mut plan = Plan {
            steps: Vec::new(),
            targets,
            flows: self
                .weight_of
                .iter()
                .map(|weight| weight.is_some_and(|weight| trained.contains(&weight)))
                .collect(),
            trained,
            kept: vec![false; self.names.len()],
        };
        let mut uncovered = Vec::new();
        for number in self.needed(&plan.targets) {
            match self.planned(number, &mut plan.flows) {
                Ok(planned) => plan.steps.push(planned),
                Err(reason) => uncovered.push(reason),
            }
        }
        if !uncovered.is_empty() {
            return Err(CompileError::Uncovered(uncovered));
        }
        self.plan_lifetimes(&mut plan);
        Ok(plan)
    }

    /// The weight of this name, which must be floats.
    fn parameter(&self, name: &str) -> Result<usize, CompileError> {
        let refuse = |reason: String| CompileError::Parameter { name: name.to_owned(), reason };
        let weight = self.weight_of[self.find(name)?]
            .ok_or_else(|| refuse("it is computed, expected an initializer".into()))?;
        let array = self.weights.array(weight);
        match array.as_floats() {
            Ok(_) => Ok(weight),
            Err(_) => Err(refuse(format!("it holds {}, expected floats", array.kind()))),
        }
    }

    /// Numbers of the steps that the targets need, in order.
    fn needed(&self, targets: &[Slot]) -> Vec<usize> {
        let mut needed = vec![false; self.names.len()];
        targets.iter().for_each(|&slot| needed[slot] = true);
        let mut numbers = Vec::new();
        for (number, step) in self.steps.iter().enumerate().rev() {
            if step.outputs.iter().flatten().any(|&slot| needed[slot]) {
                step.inputs.iter().flatten().for_each(|&slot| needed[slot] = true);
                numbers.push(number);
            }
        }
        numbers.reverse();
        numbers
    }

    /// One step, with where gradients flow through it.
    fn planned(&self, number: usize, flows: &mut [bool]) -> Result<Planned, String> {
        let step = &self.steps[number];
        let operator = step.operator.as_ref().map_err(String::clone)?;
        let mut wanted: Vec<bool> =
            step.inputs.iter().map(|slot| slot.is_some_and(|slot| flows[slot])).collect();
        if !operator.is_differentiable() {
            // What has no gradient by nature (shapes, comparisons) ends the flow; what has one
            // that is not covered says so when it is built.
            wanted.fill(false);
        }
        let flowing = wanted.contains(&true);
        step.outputs.iter().flatten().for_each(|&slot| flows[slot] = flowing);
        let reads = if flowing { operator.reads(&wanted) } else { Reads::NOTHING };
        Ok(Planned { number, wanted, reads, drop_forward: Vec::new(), drop_backward: Vec::new() })
    }

    /// Finds for every value the last step that needs it, on the way forward and back.
    fn plan_lifetimes(&self, plan: &mut Plan) {
        const NEVER: usize = usize::MAX;
        let mut last_forward = vec![NEVER; self.names.len()];
        let mut last_backward = vec![NEVER; self.names.len()];
        for (position, planned) in plan.steps.iter().enumerate() {
            let step = &self.steps[planned.number];
            for slot in step.inputs.iter().chain(&step.outputs).flatten() {
                last_forward[*slot] = position;
            }
            let read = |slots: &[Option<Slot>], reads: &dyn Fn(usize) -> bool| {
                let slots = slots.iter().enumerate().filter(|(index, _)| reads(*index));
                slots.filter_map(|(_, slot)| *slot).collect::<Vec<_>>()
            };
            let mut kept = read(&step.inputs, &|index| planned.reads.input(index));
            kept.extend(read(&step.outputs, &|index| planned.reads.output(index)));
            for slot in kept {
                plan.kept[slot] = true;
                // The way back visits steps in reverse: the first reader is the last to need it.
                if last_backward[slot] == NEVER {
                    last_backward[slot] = position;
                }
            }
        }
        for slot in 0..self.names.len() {
            if self.weight_of[slot].is_some() {
                continue; // weights stay
            }
            let is_target = plan.targets.contains(&slot);
            if last_forward[slot] != NEVER && !plan.kept[slot] && !is_target {
                plan.steps[last_forward[slot]].drop_forward.push(slot);
            }
            if last_backward[slot] != NEVER && !is_target {
                plan.steps[last_backward[slot]].drop_backward.push(slot);
            }
        }
    }
}
