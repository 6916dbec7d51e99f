//! The numbers of a model that training changes.

use std::collections::HashMap;

use modelyard_graph::{AttributeValue, Constant, ElementType, Model};

use crate::array::Array;
use crate::error::OpError;

/// All constants of a model by name: initializers, and tensors of `Constant` nodes under the name
/// of their output.
#[derive(Clone, Debug, Default)]
pub struct Weights {
    names: Vec<String>,
    arrays: Vec<Array>,
    element_types: Vec<ElementType>,
    numbers: HashMap<String, usize>,
}

impl Weights {
    pub(crate) fn push(&mut self, name: &str, array: Array, element_type: ElementType) -> usize {
        let number = self.names.len();
        self.names.push(name.to_owned());
        self.arrays.push(array);
        self.element_types.push(element_type);
        self.numbers.insert(name.to_owned(), number);
        number
    }

    /// Their names, in the order of the model.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The number of a weight.
    pub fn number(&self, name: &str) -> Option<usize> {
        self.numbers.get(name).copied()
    }

    /// A weight by name.
    pub fn get(&self, name: &str) -> Option<&Array> {
        self.number(name).map(|number| &self.arrays[number])
    }

    /// A weight by number.
    pub fn array(&self, number: usize) -> &Array {
        &self.arrays[number]
    }

    /// The type in which the model states a weight.
    pub(crate) fn element_type(&self, number: usize) -> ElementType {
        self.element_types[number]
    }

    /// A weight by number, for changing its elements.
    pub fn floats_mut(&mut self, number: usize) -> Result<&mut Vec<f32>, OpError> {
        self.arrays[number].floats_mut()
    }

    /// Replaces a weight.
    pub fn set(&mut self, number: usize, array: Array) {
        self.arrays[number] = array;
    }

    /// Writes the weights back into the model they came from, in the types that it states.
    /// Integers and booleans stay as they are: they are never trained.
    pub fn store(&self, model: &mut Model) {
        let stored = |constant: &mut Constant, name: &str| {
            let Some(number) = self.number(name) else { return };
            let array = &self.arrays[number];
            if let Some(new) = array.to_constant(&constant.name, self.element_types[number]) {
                *constant = new;
            }
        };
        for constant in &mut model.graph.initializers {
            let name = constant.name.clone();
            stored(constant, &name);
        }
        for node in model.graph.nodes.iter_mut().filter(|node| node.is("Constant")) {
            let Some(name) = node.output(0).map(str::to_owned) else { continue };
            for attribute in &mut node.attributes {
                if let AttributeValue::Tensor(constant) = &mut attribute.value {
                    stored(constant, &name);
                }
            }
        }
    }
}
