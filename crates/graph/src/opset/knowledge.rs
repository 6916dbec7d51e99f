//! What is known of the values of a model by name.

use std::collections::HashMap;

use modelyard_tensor::Dim;

use crate::infer::Known;
use crate::{
    AttributeValue, Constant, ConstantData, ElementType, Graph, Kind, Model, Node, ValueType,
};

/// Constants that are held as lists are known up to this many elements; the others share memory
/// with the model.
const MOST_LISTED: usize = 4096;

/// Values by name, as far as a name means the same everywhere in the model.
#[derive(Debug, Default)]
pub(crate) struct Knowledge {
    /// `None` where a name stands for several.
    constants: HashMap<String, Option<Constant>>,
    known: HashMap<String, Known>,
    kinds: HashMap<String, Kind>,
    /// What the file states.
    stated: HashMap<String, ElementType>,
}

impl Knowledge {
    pub(crate) fn of(model: &Model) -> Knowledge {
        let mut knowledge =
            Knowledge { known: model.known(), kinds: model.kinds(), ..Knowledge::default() };
        let mut graphs = vec![&model.graph];
        while let Some(graph) = graphs.pop() {
            knowledge.add_graph(graph);
            graphs.extend(graph.nodes.iter().flat_map(Node::subgraphs));
        }
        knowledge
    }

    fn add_graph(&mut self, graph: &Graph) {
        for constant in &graph.initializers {
            let overridable = graph.inputs.iter().any(|input| input.name == constant.name);
            self.add_constant(&constant.name, Some(constant).filter(|_| !overridable));
        }
        for node in graph.nodes.iter().filter(|node| node.is("Constant")) {
            let Some(name) = node.output(0) else { continue };
            self.add_constant(name, value_of(node).as_ref());
        }
        for value in graph.inputs.iter().chain(&graph.outputs).chain(&graph.value_info) {
            if let ValueType::Tensor { element_type, .. } = value.value_type {
                self.stated.insert(value.name.clone(), element_type);
            }
        }
    }

    /// A constant of this name; `None` for one that is not to be relied on.
    pub(crate) fn add_constant(&mut self, name: &str, constant: Option<&Constant>) {
        let cheap = constant.filter(|constant| {
            matches!(constant.data, ConstantData::Raw(_))
                || constant.elements().is_some_and(|elements| elements <= MOST_LISTED)
        });
        let before = self.constants.insert(name.to_owned(), cheap.cloned());
        if before.is_some() {
            self.constants.insert(name.to_owned(), None);
        }
    }

    pub(crate) fn constant(&self, name: &str) -> Option<&Constant> {
        self.constants.get(name)?.as_ref()
    }

    pub(crate) fn element_type(&self, name: &str) -> Option<ElementType> {
        self.constant(name)
            .map(|constant| constant.element_type)
            .or_else(|| self.known.get(name).map(|known| known.element_type))
            .or_else(|| self.kinds.get(name).map(|kind| kind.element_type))
            .or_else(|| self.stated.get(name).copied())
    }

    pub(crate) fn dims(&self, name: &str) -> Option<Vec<Dim>> {
        match self.constant(name) {
            Some(constant) => Some(constant.dims.iter().map(|&dim| Dim::Fixed(dim)).collect()),
            None => self.known.get(name)?.dims.clone(),
        }
    }

    pub(crate) fn rank(&self, name: &str) -> Option<usize> {
        // In graphs inside nodes only the kind is known.
        let kind = || self.kinds.get(name).filter(|_| !self.known.contains_key(name));
        self.dims(name).map(|dims| dims.len()).or_else(|| kind().map(|kind| kind.rank))
    }

    /// The elements of a small constant as integers.
    pub(crate) fn integers(&self, name: &str) -> Option<Vec<i64>> {
        if let Some(constant) = self.constant(name) {
            return constant.integers(MOST_LISTED);
        }
        let known = self.known.get(name)?;
        let whole = matches!(known.element_type, ElementType::Int32 | ElementType::Int64);
        let values = known.values.as_ref().filter(|_| whole)?;
        Some(values.iter().map(|&value| value as i64).collect())
    }

    /// The elements of a small constant as numbers.
    pub(crate) fn numbers(&self, name: &str) -> Option<Vec<f64>> {
        let constant = self.constant(name);
        match constant {
            Some(constant) if constant.elements()? <= MOST_LISTED => {
                constant.to_tensor()?.to_f64s()
            }
            Some(_) => None,
            None => self.known.get(name)?.values.clone(),
        }
    }
}

/// The tensor that a node `Constant` gives.
pub(super) fn value_of(node: &Node) -> Option<Constant> {
    let longs = |values: &[i64], dims: &[usize]| Constant {
        name: String::new(),
        element_type: ElementType::Int64,
        dims: dims.to_vec(),
        data: ConstantData::Longs(values.to_vec()),
    };
    let strings = |values: &[bytes::Bytes], dims: &[usize]| Constant {
        name: String::new(),
        element_type: ElementType::String,
        dims: dims.to_vec(),
        data: ConstantData::Strings(values.to_vec()),
    };
    let attribute = node.attributes.iter().find(|found| found.name.starts_with("value"))?;
    Some(match &attribute.value {
        AttributeValue::Tensor(tensor) => tensor.as_ref().clone(),
        AttributeValue::Int(value) => longs(&[*value], &[]),
        AttributeValue::Ints(values) => longs(values, &[values.len()]),
        AttributeValue::Float(value) => Constant::floats("", &[], &[*value]),
        AttributeValue::Floats(values) => Constant::floats("", &[values.len()], values),
        AttributeValue::String(value) => strings(std::slice::from_ref(value), &[]),
        AttributeValue::Strings(values) => strings(values, &[values.len()]),
        _ => return None,
    })
}
