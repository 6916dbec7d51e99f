//! What is known of the values of a model by name.

use std::collections::HashMap;

use modelyard_tensor::Dim;

use super::schema::{self, Type};
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
    /// What the file states, or follows from the types of inputs alone.
    stated: HashMap<String, ElementType>,
    /// Values that are no tensors.
    others: HashMap<String, Type>,
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
        knowledge.follow_types(model, &model.graph);
        knowledge
    }

    /// Types of values whose shapes are not known.
    fn follow_types(&mut self, model: &Model, graph: &Graph) {
        for node in &graph.nodes {
            for inner in node.subgraphs() {
                self.follow_types(model, inner);
            }
            for (index, name) in node.outputs.iter().enumerate() {
                if !name.is_empty()
                    && self.element_type(name).is_none()
                    && let Some(found) = self.output_type(model, node, index)
                {
                    self.stated.insert(name.clone(), found);
                }
            }
        }
    }

    fn output_type(&self, model: &Model, node: &Node, index: usize) -> Option<ElementType> {
        let stated = |name: &str| {
            node.int(name).and_then(|code| ElementType::from_code(i32::try_from(code).ok()?))
        };
        let branch = |name: &str, index: usize| {
            self.element_type(&node.graph(name)?.outputs.get(index)?.name)
        };
        match node.op_type.as_str() {
            "Cast" => return stated("to"),
            "ConstantOfShape" => {
                let value = node.tensor("value");
                return Some(value.map_or(ElementType::Float32, |value| value.element_type));
            }
            "If" => return branch("then_branch", index).or_else(|| branch("else_branch", index)),
            // The first output of the body says whether to go on.
            "Loop" => return branch("body", index + 1),
            "Scan" => return branch("body", index),
            "DequantizeLinear" => return self.element_type(node.input(1)?),
            "QuantizeLinear" => {
                let zero = node.input(2).and_then(|zero| self.element_type(zero));
                return zero.or_else(|| stated("output_dtype")).or(Some(ElementType::Uint8));
            }
            _ => {}
        }
        if let Some(found) = stated("dtype") {
            return Some(found);
        }
        let schema = schema::at(&node.operator(), model.opset(&node.domain)?)?;
        let output = schema.output(index)?;
        let same = |(index, name): (usize, &String)| {
            let bound =
                !output.variable.is_empty() && schema.input(index)?.variable == output.variable;
            if bound { self.element_type(name) } else { None }
        };
        output.only().or_else(|| node.inputs.iter().enumerate().find_map(same))
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
            let name = value.name.clone();
            match value.value_type {
                ValueType::Tensor { element_type, .. } => {
                    self.stated.insert(name, element_type);
                }
                ValueType::Sequence(_) => drop(self.others.insert(name, Type::Sequence)),
                ValueType::Optional(_) => drop(self.others.insert(name, Type::Optional)),
                _ => {}
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

    /// What a value is.
    pub(crate) fn type_of(&self, name: &str) -> Option<Type> {
        let tensor = || self.element_type(name).map(Type::Tensor);
        self.others.get(name).copied().or_else(tensor)
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
