//! From a model to an ONNX graph: operator by operator, in the order of the file.

use std::collections::{BTreeMap, HashMap};

use modelyard_graph::{Constant, ElementType};
use modelyard_tensor::Dim;

use super::batch::Batch;
use super::fixed::{Fixed, producers};
use super::interface::Interface;
use super::model::{Model, Operator, Subgraph};
use super::ops;
use super::stop::{Stop, refused};
use super::values::Value;
use super::variables::Variables;
use crate::emitter::Emitter;
use crate::{Conversion, ConvertError, Options};

/// A conversion that is under way.
pub(crate) struct Converter<'a> {
    pub(crate) model: &'a Model,
    pub(crate) emitter: Emitter,
    pub(crate) notes: Vec<String>,
    pub(crate) scope: Scope<'a>,
    pub(crate) variables: Variables,
    /// Whether the first dimension, 1 in the file, is converted as free.
    pub(crate) batch: &'a Batch,
    /// Scales and zero points that were written, by what they are.
    pub(crate) parameters: HashMap<String, (String, Option<String>)>,
    /// How many graphs are around this one.
    depth: usize,
}

/// What belongs to one graph.
pub(crate) struct Scope<'a> {
    pub(crate) graph: &'a Subgraph,
    pub(crate) values: Vec<Value>,
    /// Sizes of each tensor; `None` for dimensions that are free.
    pub(crate) dims: Vec<Vec<Option<usize>>>,
    pub(crate) producers: HashMap<usize, &'a Operator>,
    /// Names of the variables behind handles.
    pub(crate) handles: HashMap<usize, String>,
    /// Small constants of the graph around this one that are its inputs.
    pub(crate) bound: HashMap<usize, Fixed>,
    /// Names of the real and imaginary parts of complex tensors.
    pub(crate) complex: HashMap<usize, [String; 2]>,
}

impl<'a> Scope<'a> {
    fn new(graph: &'a Subgraph) -> Scope<'a> {
        let tensors = &graph.tensors;
        Scope {
            graph,
            values: vec![Value::default(); tensors.len()],
            dims: tensors.iter().map(|tensor| tensor.signature.clone()).collect(),
            producers: producers(&graph.operators),
            handles: HashMap::new(),
            bound: HashMap::new(),
            complex: HashMap::new(),
        }
    }
}

/// Converts the graph behind `interface`.
pub(crate) fn convert(
    model: &Model,
    interface: &Interface,
    options: &Options,
) -> Result<Conversion, ConvertError> {
    let graph = interface.graph(model);
    let mut scope = Scope::new(graph);
    for (dims, axis) in scope.dims.iter_mut().zip(&interface.batch.axes) {
        if let Some(size) = axis.and_then(|axis| dims.get_mut(axis)) {
            *size = None;
        }
    }
    let mut converter = Converter {
        model,
        emitter: Emitter::new(if graph.name.is_empty() { "main" } else { &graph.name }),
        notes: Vec::new(),
        scope,
        variables: interface.variables.clone(),
        batch: &interface.batch,
        parameters: HashMap::new(),
        depth: 0,
    };
    for name in interface.output_names() {
        converter.emitter.reserve(&name);
    }
    let free = converter.inputs(interface, options)?;
    converter.operators()?;
    converter.outputs(interface)?;
    let Converter { emitter, mut notes, .. } = converter;
    notes.extend(interface.notes());
    let (onnx, steps) = emitter.finish()?;
    let mut conversion = Conversion::new(onnx, steps);
    conversion.notes = notes;
    conversion.tolerance = super::tolerance::tolerance(graph, &mut conversion.notes);
    conversion.sizes = free;
    conversion.labels = super::metadata::labels(model)?;
    if let Some(preprocessing) = super::metadata::preprocessing(model)? {
        conversion.model.metadata.insert("modelyard.preprocessing".into(), preprocessing);
    }
    let states = &interface.variables.states;
    if !states.is_empty() {
        let starts: serde_json::Map<String, serde_json::Value> =
            states.iter().map(|state| (state.input(), state.start_json())).collect();
        let starts = serde_json::Value::Object(starts).to_string();
        conversion.model.metadata.insert("modelyard.state".into(), starts);
    }
    Ok(conversion)
}

impl Converter<'_> {
    /// Declares the inputs; gives sizes to try the free dimensions with.
    fn inputs(
        &mut self,
        interface: &Interface,
        options: &Options,
    ) -> Result<BTreeMap<String, usize>, ConvertError> {
        let mut sizes = BTreeMap::new();
        for (&tensor, name) in self.scope.graph.inputs.iter().zip(&interface.inputs) {
            let mut dims = Vec::new();
            for (axis, size) in self.dims(tensor).iter().enumerate() {
                dims.push(match size {
                    Some(size) => Dim::Fixed(*size),
                    None if axis == 0 => Dim::Symbol("batch".into()),
                    None => {
                        let symbol = format!("{name}.{axis}");
                        let compiled = self.tensor(tensor).shape.get(axis).copied();
                        let window = super::interface::largest_window(self.scope.graph);
                        sizes.insert(symbol.clone(), compiled.unwrap_or(1).max(window));
                        Dim::Symbol(symbol)
                    }
                });
            }
            if let Some(wanted) = options.shapes.get(name) {
                dims = narrowed(name, &dims, wanted)?;
            }
            let element_type = self.interface_type(tensor, name)?;
            let value = self.emitter.input(name, element_type, Some(&dims));
            self.give_raw(tensor, value);
        }
        for state in &interface.variables.states {
            let dims = self.batch.state_dims(state);
            let value = self.emitter.input(&state.input(), state.element_type, Some(&dims));
            self.variables.assign(&state.name, value);
        }
        Ok(sizes)
    }

    fn interface_type(&self, tensor: usize, name: &str) -> Result<ElementType, ConvertError> {
        self.tensor(tensor).element_type.ok_or_else(|| {
            let message = format!("'{name}' is a handle, which cannot be an input or output");
            super::model::damaged("the main graph", message)
        })
    }

    fn outputs(&mut self, interface: &Interface) -> Result<(), ConvertError> {
        let graph = self.scope.graph;
        for (index, (&tensor, name)) in graph.outputs.iter().zip(&interface.outputs).enumerate() {
            let element_type = self.interface_type(tensor, name)?;
            let value = match self.raw(tensor) {
                Ok(value) => value,
                Err(Stop::Failed(error)) => return Err(error),
                Err(stop) => {
                    self.refuse(stop)?;
                    continue;
                }
            };
            let dims: Vec<Dim> = (self.dims(tensor).iter().enumerate())
                .map(|(axis, size)| match size {
                    Some(size) => Dim::Fixed(*size),
                    None if axis == 0 && interface.batch_outputs[index] => {
                        Dim::Symbol("batch".into())
                    }
                    None => Dim::Free,
                })
                .collect();
            self.emitter.output(name, &value, element_type, Some(&dims));
        }
        for state in &interface.variables.states {
            let dims = self.batch.state_dims(state);
            let value = self.variables.current(&state.name).unwrap_or_default();
            self.emitter.output(&state.output(), &value, state.element_type, Some(&dims));
        }
        Ok(())
    }

    /// Converts all operators of the current graph. What is refused gets outputs all the same.
    fn operators(&mut self) -> Result<(), ConvertError> {
        let graph = self.scope.graph;
        for op in &graph.operators {
            self.emitter.begin(&op.label(graph), &op.kind);
            let result = match ops::find(op) {
                Some(entry) => (entry.convert)(self, op),
                None => Err(ops::unknown(op)),
            };
            if let Err(stop) = result {
                self.refuse(stop)?;
                for &output in &op.outputs {
                    let name = self.emitter.unique("missing");
                    self.scope.values[output] = Value { raw: Some(name.clone()), real: Some(name) };
                }
            }
        }
        Ok(())
    }

    fn refuse(&mut self, stop: Stop) -> Result<(), ConvertError> {
        match stop {
            Stop::Failed(error) => return Err(error),
            Stop::Refused { reason, way_out } => self.emitter.refuse(reason, way_out),
            Stop::Evaluation(error) => {
                let way_out = "the file is damaged; convert the model to TensorFlow Lite again";
                self.emitter.refuse(error.0, way_out);
            }
        }
        Ok(())
    }

    /// Whether this is a graph inside another one.
    pub(crate) fn is_inner(&self) -> bool {
        self.depth > 0
    }

    /// Writes the operators of another graph of the model here: `given` are its inputs, as tensors
    /// of this graph (or no number of one) and the names of what is stored of them. Gives the names
    /// of what is stored of its outputs.
    pub(crate) fn inner(
        &mut self,
        index: usize,
        given: &[(usize, String)],
    ) -> Result<Vec<String>, Stop> {
        let model = self.model;
        let graph = model.subgraphs.get(index).ok_or_else(|| {
            super::model::damaged("a control flow operator", format!("there is no graph {index}"))
        })?;
        if self.depth >= model.limits.depth {
            return Err(refused("control flow that nests so deep", "simplify the model"));
        }
        if graph.inputs.len() != given.len() {
            let (expected, found) = (graph.inputs.len(), given.len());
            let message = format!("it takes {expected} values and gets {found}");
            return Err(super::model::damaged(&format!("graph '{}'", graph.name), message).into());
        }
        let mut scope = Scope::new(graph);
        for (&tensor, (outer, _)) in graph.inputs.iter().zip(given) {
            if let Some(fixed) = self.small_constant(*outer)? {
                scope.bound.insert(tensor, fixed);
            }
        }
        let around = std::mem::replace(&mut self.scope, scope);
        // What is written in a graph inside a node cannot be used outside.
        let parameters = self.parameters.clone();
        self.depth += 1;
        let result = self.inner_values(graph, given);
        self.depth -= 1;
        self.parameters = parameters;
        self.scope = around;
        result
    }

    fn inner_values(
        &mut self,
        graph: &Subgraph,
        given: &[(usize, String)],
    ) -> Result<Vec<String>, Stop> {
        for (&tensor, (_, name)) in graph.inputs.iter().zip(given) {
            self.give_raw(tensor, name.clone());
        }
        self.operators()?;
        graph.outputs.iter().map(|&tensor| self.raw(tensor)).collect()
    }

    /// A constant that may say a shape or an axis.
    fn small_constant(&self, tensor: usize) -> Result<Option<Fixed>, Stop> {
        const MOST: usize = 1 << 10;
        let found = self.scope.graph.tensors.get(tensor);
        match found.and_then(|found| found.elements()) {
            Some(elements) if elements <= MOST => self.fixed(tensor),
            _ => Ok(None),
        }
    }

    /// Writes a constant of another graph.
    pub(crate) fn constant_of(&mut self, graph: &Subgraph, tensor: usize) -> Result<String, Stop> {
        let found = &graph.tensors[tensor];
        let element_type = found.element_type.filter(|_| self.model.is_constant(found));
        let element_type = element_type.ok_or_else(|| {
            refused("a variable that starts with a computed value", "start it with a constant")
        })?;
        let bytes = self.model.elements(found)?;
        let constant = Constant::raw(&found.name, element_type, &found.shape, bytes);
        Ok(self.emitter.weight(constant))
    }
}

/// The dimensions that the caller wants, where they are among those that the model takes.
fn narrowed(name: &str, dims: &[Dim], wanted: &[Dim]) -> Result<Vec<Dim>, ConvertError> {
    let fits = |(dim, wanted): (&Dim, &Dim)| match (dim, wanted) {
        (Dim::Fixed(size), Dim::Fixed(wanted)) => size == wanted,
        (Dim::Fixed(_), _) => false,
        _ => true,
    };
    if dims.len() == wanted.len() && dims.iter().zip(wanted).all(fits) {
        return Ok(wanted.to_vec());
    }
    let text = |dims: &[Dim]| {
        let dims: Vec<String> = dims.iter().map(Dim::to_string).collect();
        format!("[{}]", dims.join(","))
    };
    Err(ConvertError::Option(format!(
        "input '{name}' cannot have shape {}; the model was compiled for {}",
        text(wanted),
        text(dims)
    )))
}
