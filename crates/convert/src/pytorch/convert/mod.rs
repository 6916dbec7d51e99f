//! From a program to an ONNX graph.
//!
//! | module | holds |
//! |---|---|
//! | `call` | one call of an operator, as the operators' conversions see it |
//! | `emit` | nodes that many conversions write: casts, shapes, slices |
//! | `inner` | branches and regions |
//! | `extent` | sizes that may be known or computed |
//! | `scalar` | numbers |
//! | `widened` | 16-bit floats |

mod call;
mod emit;
mod extent;
mod inner;
mod scalar;
mod widened;

use std::collections::{HashMap, HashSet};

use modelyard_graph::ElementType;
use modelyard_tensor::Dim;

use super::functional::{Functional, functional};
use super::graph::{Argument, Graph, InputKind, Meta, Node, OutputKind, Program, Size};
use super::ops;
use super::weight::{Place, Weight};
use crate::emitter::Emitter;
use crate::{Conversion, ConvertError};

pub(super) use call::{Call, Operand, counted};
pub(super) use emit::TO_THE_END;
pub(super) use extent::Extent;
pub(super) use scalar::Scalar;

/// A tensor of the ONNX graph and what is known of it.
#[derive(Clone, Debug)]
pub(super) struct Tensor {
    /// Its name in the ONNX graph.
    pub(super) name: String,
    /// What its elements are.
    pub(super) element_type: ElementType,
    /// Its sizes, outermost first.
    pub(super) sizes: Vec<Size>,
}

impl Tensor {
    /// Number of dimensions.
    pub(super) fn rank(&self) -> usize {
        self.sizes.len()
    }
}

/// Why a call is not converted.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    /// What of it is not covered.
    pub(super) reason: String,
    /// What to change in the model.
    pub(super) way_out: String,
}

impl Refusal {
    /// A refusal for this reason; `way_out` says what to change.
    pub(super) fn new(reason: impl Into<String>, way_out: impl Into<String>) -> Refusal {
        Refusal { reason: reason.into(), way_out: way_out.into() }
    }
}

/// What a value of the program is in the ONNX graph.
#[derive(Clone, Debug)]
enum Bound {
    /// A tensor of this name.
    Tensor(String),
    /// A whole number: known, or the name of a tensor of shape `[1]`.
    Extent(Extent),
    /// Another number that is known.
    Scalar(Scalar),
    /// A tensor without dimensions that holds a number: float or boolean.
    Number(String),
    /// Nothing: its operator was refused.
    Refused,
}

/// A graph on its way to ONNX.
pub(super) struct Converter<'p> {
    /// Where nodes go.
    pub(super) emitter: Emitter,
    /// Metas of the graph that is converted now.
    graph: &'p Graph,
    program: &'p Program,
    /// The graph with the types that inputs and outputs have.
    original: &'p Graph,
    bound: HashMap<String, Bound>,
    /// Names of weights that were written, by what bytes they have.
    weights: HashMap<Place, String>,
    /// Values of weights that are not written yet: those nobody uses never are.
    waiting: HashMap<String, String>,
    /// What the reader should know.
    pub(super) notes: Vec<String>,
    /// Matrices that were turned around, by their names.
    turned: HashMap<String, String>,
    /// Whether a call was refused.
    refused: bool,
    error: Option<ConvertError>,
}

/// Converts a program.
pub(super) fn convert(program: &Program, names: &Naming) -> Result<Conversion, ConvertError> {
    let Functional { program: original, problems, changed } = functional(program);
    let program = widened::widened(&original);
    let mut converter = Converter {
        emitter: Emitter::new("main"),
        graph: &program.graph,
        program: &program,
        original: &original.graph,
        bound: HashMap::new(),
        weights: HashMap::new(),
        waiting: HashMap::new(),
        notes: Vec::new(),
        turned: HashMap::new(),
        refused: false,
        error: None,
    };
    converter.inputs(names)?;
    for problem in problems {
        converter.emitter.begin(&problem.place, &problem.operator);
        converter.emitter.refuse(problem.reason, problem.way_out);
    }
    let used = used_values(&program.graph);
    for node in &program.graph.nodes {
        converter.node(node, &used);
    }
    converter.outputs(names);
    converter.note_changes(&changed);
    if let Some(error) = converter.error {
        return Err(error);
    }
    let notes = converter.notes;
    let (model, steps) = converter.emitter.finish()?;
    let mut conversion = Conversion::new(model, steps);
    conversion.notes = notes;
    let tolerance = widened::tolerance(&original.graph);
    if tolerance > 0.0 {
        conversion.notes.push("16-bit floats are computed in 32 bits".into());
        conversion.tolerance.relative = conversion.tolerance.relative.max(tolerance);
    }
    Ok(conversion)
}

/// Names that symbols and shapes of inputs get.
#[derive(Clone, Debug, Default)]
pub(super) struct Naming {
    /// Names of symbols that differ from the program's.
    pub(super) symbols: HashMap<String, String>,
    /// Shapes of inputs that the caller wants instead.
    pub(super) shapes: HashMap<String, Vec<Dim>>,
}

impl Naming {
    /// A size as a dimension of an input or output.
    fn dim(&self, size: &Size) -> Dim {
        match size {
            Size::Known(value) => usize::try_from(*value).map_or(Dim::Free, Dim::Fixed),
            Size::Symbol(name) => Dim::Symbol(self.symbols.get(name).unwrap_or(name).clone()),
            Size::Expression(_) | Size::Unknown => Dim::Free,
        }
    }
}

/// Values that a call or an output uses. What nobody uses need not be converted.
fn used_values(graph: &Graph) -> HashSet<&str> {
    let arguments = graph.nodes.iter().flat_map(|node| &node.arguments);
    let by_nodes = arguments.flat_map(|named| named.value.values());
    by_nodes.chain(graph.outputs.iter().flat_map(Argument::values)).collect()
}

impl<'p> Converter<'p> {
    fn inputs(&mut self, names: &Naming) -> Result<(), ConvertError> {
        for kind in &self.program.outputs {
            if let OutputKind::User(name) = kind {
                self.emitter.reserve(name);
            }
        }
        for (name, kind) in self.program.graph.inputs.iter().zip(&self.program.inputs) {
            let bound = match kind {
                InputKind::User => self.user_input(name, names),
                InputKind::Parameter(weight)
                | InputKind::Buffer(weight)
                | InputKind::Constant(weight) => {
                    self.waiting.insert(name.clone(), weight.clone());
                    continue;
                }
                InputKind::Fixed(value) => {
                    scalar::scalar(value).map_or(Bound::Refused, Bound::Scalar)
                }
                InputKind::Other(_) => Bound::Refused,
            };
            self.bound.insert(name.clone(), bound);
        }
        Ok(())
    }

    fn user_input(&mut self, name: &str, names: &Naming) -> Bound {
        match self.original.values.get(name) {
            Some(Meta::Tensor(element_type, sizes)) => {
                let dims: Vec<Dim> = match names.shapes.get(name) {
                    Some(dims) => dims.clone(),
                    None => sizes.iter().map(|size| names.dim(size)).collect(),
                };
                let input = self.emitter.input(name, *element_type, Some(&dims));
                Bound::Tensor(self.cast(&input, *element_type, widened::computed(*element_type)))
            }
            Some(Meta::Int(_)) => {
                let scalar = self.emitter.input(name, ElementType::Int64, Some(&[]));
                let axes = self.ints(&[0]);
                Bound::Extent(Extent::Value(self.emit("Unsqueeze", &[&scalar, &axes])))
            }
            Some(Meta::Float) => {
                Bound::Number(self.emitter.input(name, ElementType::Float32, Some(&[])))
            }
            Some(Meta::Bool) => {
                Bound::Number(self.emitter.input(name, ElementType::Bool, Some(&[])))
            }
            _ => Bound::Refused,
        }
    }

    /// Converts one call, or notes why it cannot be.
    fn node(&mut self, node: &'p Node, used: &HashSet<&str>) {
        let operator = ops::find(&node.target);
        let wanted: Vec<bool> =
            node.outputs.iter().map(|name| used.contains(name.as_str())).collect();
        if !wanted.contains(&true) && operator.is_some() {
            // Assertions, and what only they use, end here.
            return;
        }
        self.emitter.begin(&node.name, &node.target);
        let Some(operator) = operator else {
            let refusal = ops::unknown(&node.target);
            self.emitter.refuse(refusal.reason, refusal.way_out);
            self.refuse_outputs(node);
            return;
        };
        let mut call = Call::new(self, node, operator.parameters, wanted);
        let result = (operator.convert)(&mut call);
        match result {
            Ok(()) => call.finish(),
            Err(refusal) => {
                // What came of another refusal is not a second one.
                if !refusal.reason.is_empty() {
                    self.emitter.refuse(refusal.reason, refusal.way_out);
                }
                self.refuse_outputs(node);
            }
        }
    }

    fn refuse_outputs(&mut self, node: &Node) {
        self.refused = true;
        for name in &node.outputs {
            self.bound.insert(name.clone(), Bound::Refused);
        }
    }

    /// What a value is; weights are written when they are first asked for.
    fn bound(&mut self, name: &str) -> Bound {
        if let Some(weight) = self.waiting.get(name).cloned() {
            let bound = match self.write_weight(&weight) {
                Ok(name) => Bound::Tensor(name),
                Err(error) => {
                    self.error.get_or_insert(error);
                    Bound::Refused
                }
            };
            self.waiting.remove(name);
            self.bound.insert(name.to_owned(), bound);
        }
        self.bound.get(name).cloned().unwrap_or(Bound::Refused)
    }

    fn write_weight(&mut self, name: &str) -> Result<String, ConvertError> {
        let missing = || ConvertError::Malformed {
            format: "PyTorch program",
            place: format!("weight '{name}'"),
            message: "it is not in the file".into(),
        };
        let weight: &Weight = self.program.weights.get(name).ok_or_else(missing)?;
        let place = weight.place();
        if let Some(written) = self.weights.get(&place) {
            return Ok(written.clone());
        }
        let element_type = weight.element_type();
        let written = self.emitter.weight(weight.constant(name)?);
        let written = self.cast(&written, element_type, widened::computed(element_type));
        self.weights.insert(place, written.clone());
        Ok(written)
    }

    fn outputs(&mut self, names: &Naming) {
        let program = self.program;
        for (argument, kind) in program.graph.outputs.iter().zip(&program.outputs) {
            let OutputKind::User(name) = kind else { continue };
            match argument {
                Argument::Value(value) => self.output(name, value, names),
                // `None` among the outputs: nothing to give.
                Argument::None => {}
                other => self.constant_output(name, other),
            }
        }
    }

    fn output(&mut self, name: &str, value: &str, names: &Naming) {
        let (bound, meta) = (self.bound(value), self.original.values.get(value));
        match (bound, meta) {
            (Bound::Tensor(tensor), Some(Meta::Tensor(element_type, sizes))) => {
                let tensor = self.cast(&tensor, widened::computed(*element_type), *element_type);
                let dims: Vec<Dim> = sizes.iter().map(|size| names.dim(size)).collect();
                self.emitter.output(name, &tensor, *element_type, Some(&dims));
            }
            (Bound::Extent(extent), _) => {
                self.emitter.begin(name, "output");
                let scalar = self.extent_scalar(&extent);
                self.emitter.output(name, &scalar, ElementType::Int64, Some(&[]));
            }
            (Bound::Number(number), Some(meta)) => {
                let is_bool = *meta == Meta::Bool;
                let kind = if is_bool { ElementType::Bool } else { ElementType::Float32 };
                self.emitter.output(name, &number, kind, Some(&[]));
            }
            (Bound::Refused, _) if self.refused => {}
            _ => {
                self.emitter.begin(name, "output");
                self.emitter.refuse("an output that is no tensor", "return tensors only");
            }
        }
    }

    fn constant_output(&mut self, name: &str, value: &Argument) {
        let kind = match value {
            Argument::Int(_) => ElementType::Int64,
            Argument::Float(_) => ElementType::Float32,
            Argument::Bool(_) => ElementType::Bool,
            _ => {
                self.emitter.begin(name, "output");
                self.emitter.refuse("an output that is no tensor", "return tensors only");
                return;
            }
        };
        self.emitter.begin(name, "output");
        let constant = scalar::scalar(value).map(|scalar| self.number(scalar, kind));
        if let Some(constant) = constant {
            self.emitter.output(name, &constant, kind, Some(&[]));
        }
    }

    fn note_changes(&mut self, changed: &[String]) {
        let mut buffers: Vec<&str> = changed.iter().map(String::as_str).collect();
        buffers.extend(self.program.outputs.iter().filter_map(|kind| match kind {
            OutputKind::BufferMutation(name) | OutputKind::InputMutation(name) => {
                Some(name.as_str())
            }
            _ => None,
        }));
        buffers.sort_unstable();
        buffers.dedup();
        for name in buffers {
            self.notes.push(format!(
                "the model changes '{name}' in place; the converted model starts each time from \
                 what was saved or given, and does not keep the change"
            ));
        }
    }
}
