//! What MXNet answers: the operators one after the other, by MXNet's own definitions.

use std::collections::HashMap;

use modelyard_tensor::Tensor;

use super::MxNet;
use super::ops::{self, Op};
use super::symbol::Place;
use crate::EvaluateError;
use crate::reference::Array;

/// Evaluates a model on `inputs`, which are in the order of its variables.
pub(super) fn evaluate(model: &MxNet, inputs: &[Tensor]) -> Result<Vec<Tensor>, EvaluateError> {
    if inputs.len() != model.variables.len() {
        let (expected, found) = (model.variables.len(), inputs.len());
        return Err(EvaluateError::new(format!("expected {expected} inputs, found {found}")));
    }
    let mut values = Values { model, left: HashMap::new(), arrays: HashMap::new(), bytes: 0 };
    for (place, users) in &model.users {
        values.left.insert(*place, users.len());
    }
    for place in &model.symbol.heads {
        *values.left.entry(*place).or_default() += 1;
    }
    for (&node, input) in model.variables.iter().zip(inputs) {
        values.put(Place { node, output: 0 }, Array::from_tensor(input)?)?;
    }
    for &index in &model.used {
        values.run(index)?;
    }
    model.symbol.heads.iter().map(|place| values.take(*place)?.to_tensor()).collect()
}

/// The values that are still needed.
struct Values<'a> {
    model: &'a MxNet,
    /// How often each is still needed.
    left: HashMap<Place, usize>,
    arrays: HashMap<Place, Array>,
    bytes: u64,
}

impl Values<'_> {
    fn put(&mut self, place: Place, array: Array) -> Result<(), EvaluateError> {
        if self.left.contains_key(&place) {
            self.bytes += bytes(&array);
            let limit = self.model.limits.evaluation_bytes;
            if self.bytes > limit {
                return Err(EvaluateError::new(format!("more than {limit} bytes are needed")));
            }
            self.arrays.insert(place, array);
        }
        Ok(())
    }

    /// A value for one of its users; parameters are read for each.
    fn take(&mut self, place: Place) -> Result<Array, EvaluateError> {
        let left = self.left.entry(place).or_default();
        *left = left.saturating_sub(1);
        let last = *left == 0;
        let found =
            if last { self.arrays.remove(&place) } else { self.arrays.get(&place).cloned() };
        if let Some(array) = found {
            if last {
                self.bytes = self.bytes.saturating_sub(bytes(&array));
            }
            return Ok(array);
        }
        let name = self.model.symbol.nodes.get(place.node).map_or("", |node| &node.name);
        let constant = self.model.parameters.read(name);
        Array::from_constant(&constant.map_err(|error| EvaluateError::new(error.to_string()))?)
    }

    fn run(&mut self, index: usize) -> Result<(), EvaluateError> {
        let Some(node) = self.model.symbol.nodes.get(index).filter(|node| !node.is_variable())
        else {
            return Ok(());
        };
        let place = format!("{} '{}'", node.operator, node.name);
        let operator = ops::find(&node.operator)
            .ok_or_else(|| EvaluateError::new("the operator is not known").at(&place))?;
        let inputs: Result<Vec<Array>, EvaluateError> =
            node.inputs.iter().map(|&place| self.take(place)).collect();
        let inputs = inputs.map_err(|error| error.at(&place))?;
        let inputs: Vec<&Array> = inputs.iter().collect();
        let outputs = (operator.evaluate)(&Op::of(node), &inputs);
        for (output, array) in outputs.map_err(|error| error.at(&place))?.into_iter().enumerate() {
            self.put(Place { node: index, output }, array)?;
        }
        Ok(())
    }
}

fn bytes(array: &Array) -> u64 {
    array.len() as u64 * 4
}
