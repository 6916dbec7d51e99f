//! Conversion of a graph, node by node.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use modelyard_graph::ElementType;
use modelyard_tensor::Dim;

use super::control;
use super::fold;
use super::graph::{Graph, Node, Payload, passes_on};
use super::model::TensorFlowModel;
use super::ops;
use super::unknown::unknown;
use super::value::{Kind, Refusal, Val, Value, fixed};
use super::weight::Weight;
use super::{lists, saved_model};
use crate::ConvertError;
use crate::emitter::Emitter;

/// What a node is converted with.
pub(super) struct Call<'a> {
    pub(super) node: &'a Node,
    pub(super) inputs: Vec<Val>,
}

impl Call<'_> {
    /// The input of this number.
    pub(super) fn input(&self, index: usize) -> Result<&Val, Refusal> {
        self.inputs.get(index).ok_or_else(|| {
            let found = self.inputs.len();
            Refusal::new(format!("a node with {found} inputs"), "the file is damaged")
        })
    }
}

/// What the conversion of a node gives.
pub(super) type Converted = Result<Vec<Val>, Refusal>;

/// The graph that is being written.
pub(super) struct Context<'a> {
    pub(super) emitter: Emitter,
    pub(super) model: &'a TensorFlowModel,
    /// Bytes of constants that the file may state as one repeated value.
    listed_bytes: u64,
    /// Inputs of the model by the names of values that have the same elements.
    pub(super) inputs: HashMap<String, String>,
    /// What inputs of the model may be, by name.
    pub(super) ranges: BTreeMap<String, (f64, f64)>,
}

impl<'a> Context<'a> {
    pub(super) fn new(emitter: Emitter, model: &'a TensorFlowModel) -> Context<'a> {
        Context { emitter, model, listed_bytes: 0, inputs: HashMap::new(), ranges: BTreeMap::new() }
    }

    /// Writes a graph whose inputs are these values; gives its outputs.
    pub(super) fn run(&mut self, graph: &Graph, inputs: &[Val]) -> Result<Vec<Val>, ConvertError> {
        let mut values: Vec<Vec<Val>> = Vec::with_capacity(graph.nodes.len());
        for node in &graph.nodes {
            let taken = node.inputs.iter().map(|port| {
                let outputs: &[Val] = values.get(port.node).map_or(&[], Vec::as_slice);
                outputs.get(port.output).cloned().unwrap_or_else(missing)
            });
            let call = Call { node, inputs: taken.collect() };
            values.push(self.convert(&call, inputs)?);
        }
        let outputs = graph.outputs.iter().map(|port| {
            let outputs: &[Val] = values.get(port.node).map_or(&[], Vec::as_slice);
            outputs.get(port.output).cloned().unwrap_or_else(missing)
        });
        Ok(outputs.collect())
    }

    fn convert(&mut self, call: &Call<'_>, inputs: &[Val]) -> Result<Vec<Val>, ConvertError> {
        let node = call.node;
        match &node.payload {
            Payload::Input(index) => {
                return Ok(vec![inputs.get(*index).cloned().unwrap_or_else(missing)]);
            }
            Payload::Weight(weight) => return Ok(vec![Value::weight(weight.clone())]),
            _ if node.op == "Const" => return Ok(vec![self.constant_node(node)?]),
            _ if passes_on(&node.op) => return Ok(call.inputs.clone()),
            _ => {}
        }
        self.emitter.begin(&node.name, &node.op);
        match self.convert_operator(call) {
            Ok(outputs) => Ok(outputs.into_iter().enumerate().map(refined(node)).collect()),
            Err(Refusal::Failed(error)) => Err(error),
            Err(Refusal::Refused { reason, way_out }) => {
                self.emitter.refuse(reason, way_out);
                Ok(Vec::new())
            }
        }
    }

    fn convert_operator(&mut self, call: &Call<'_>) -> Converted {
        let operator = ops::find(&call.node.op);
        let special = control::OPERATORS.contains(&&*call.node.op)
            || lists::OPERATORS.contains(&&*call.node.op)
            || ["ReadVariableOp", "VarHandleOp"].contains(&&*call.node.op);
        if operator.is_none() && !special && !super::arguments::is_handle(&call.node.op) {
            return Err(unknown(&call.node.op));
        }
        // What was refused before is not refused again by those that take it.
        if call.inputs.iter().any(|input| input.is_missing()) {
            return Ok(Vec::new());
        }
        if call.inputs.iter().any(|input| input.is_complex()) && !ops::takes_complex(&call.node.op)
        {
            let way_out = "take the absolute value, or the real and imaginary parts, before";
            return Err(Refusal::new("an input of complex numbers", way_out));
        }
        if let Some(outputs) = fold::fold(self, call)? {
            return Ok(outputs);
        }
        let op = call.node.op.as_str();
        if control::OPERATORS.contains(&op) {
            return control::convert(self, call);
        }
        if lists::OPERATORS.contains(&op) {
            return lists::convert(self, call);
        }
        match (op, operator) {
            ("ReadVariableOp", _) => {
                let input = call.input(0)?;
                if input.known.is_none() {
                    let way_out = "save the model with its variables (tf.saved_model.save)";
                    return Err(Refusal::new("a variable without a value", way_out));
                }
                Ok(vec![Rc::clone(input)])
            }
            (_, None) => {
                let handle = Kind::Handle(call.node.name.clone());
                Ok(vec![Value::other(handle, ElementType::Float32, None)])
            }
            (_, Some(operator)) => {
                if let Some(input) = call.inputs.iter().find(|input| !input.is_tensor())
                    && !matches!(input.kind, Kind::Handle(_))
                {
                    let way_out = "use lists of tensors only in loops";
                    return Err(Refusal::new("a list of tensors as input", way_out));
                }
                let outputs = (operator.convert)(self, call)?;
                self.follow(call, &outputs);
                fold::with_sizes(call, outputs)
            }
        }
    }

    /// Notes that a value has the elements of an input of the model, so that what is looked up with
    /// it says what that input may be.
    fn follow(&mut self, call: &Call<'_>, outputs: &[Val]) {
        let from = match call.node.op.as_str() {
            "Cast" | "ExpandDims" | "Reshape" | "Squeeze" | "StridedSlice" | "Transpose" => 0,
            // Negative numbers are counted from the end.
            "SelectV2" => 2,
            _ => return,
        };
        let from = call.inputs.get(from).and_then(|value| value.name.get());
        let to = outputs.first().and_then(|value| value.name.get());
        if let (Some(from), Some(to)) = (from, to)
            && let Some(input) = self.inputs.get(from).cloned()
        {
            self.inputs.insert(to.clone(), input);
        }
    }

    /// Notes that these are numbers below a bound.
    pub(super) fn bounded(&mut self, indices: &Value, bound: usize) {
        let input = indices.name.get().and_then(|name| self.inputs.get(name));
        if let (Some(input), Some(last)) = (input, bound.checked_sub(1)) {
            let range = self.ranges.entry(input.clone()).or_insert((0.0, last as f64));
            range.1 = range.1.min(last as f64);
        }
    }

    fn constant_node(&mut self, node: &Node) -> Result<Val, ConvertError> {
        let malformed = |message: String| ConvertError::Malformed {
            format: self.model.format.name(),
            place: format!("constant '{}'", node.name),
            message,
        };
        let tensor =
            node.attrs.tensor("value").ok_or_else(|| malformed("it has no value".into()))?;
        let weight = Weight::of_proto(tensor, &self.model.limits).map_err(malformed)?;
        if tensor.content.is_empty() {
            self.listed_bytes += 8 * weight.elements() as u64;
        }
        let limit = self.model.limits.description_bytes;
        if self.listed_bytes > limit {
            let (place, found) = ("the constants of the graph".into(), self.listed_bytes);
            return Err(ConvertError::TooLarge { place, what: "bytes", found, limit });
        }
        Ok(Value::weight(weight.named(&node.name)))
    }
}

/// What a value is that nobody made.
pub(super) fn missing() -> Val {
    Value::other(Kind::Missing, ElementType::Float32, None)
}

/// Fills in what the file says of the shape of an output.
fn refined(node: &Node) -> impl Fn((usize, Val)) -> Val + '_ {
    let stated = node.attrs.shapes("_output_shapes");
    move |(index, value)| {
        let shape = stated.get(index).and_then(|shape| saved_model::dims(shape, "", false));
        let Some(shape) = shape.filter(|_| value.is_tensor() && value.known.is_none()) else {
            return value;
        };
        let dims = match &value.dims {
            Some(found) if found.len() == shape.len() => found
                .iter()
                .zip(&shape)
                .map(|(found, stated)| match (found, stated) {
                    (Dim::Free | Dim::Symbol(_), Dim::Fixed(size)) => Dim::Fixed(*size),
                    (found, _) => found.clone(),
                })
                .collect(),
            Some(_) => return value,
            // That a free size is the batch's is a guess, which is not for values between.
            None => shape
                .iter()
                .map(|dim| fixed(dim).map_or(Dim::Free, Dim::Fixed))
                .collect::<Vec<Dim>>(),
        };
        if value.dims.as_ref() == Some(&dims) {
            return value;
        }
        Rc::new(Value {
            element_type: value.element_type,
            dims: Some(dims),
            kind: Kind::Tensor,
            known: None,
            sizes: value.sizes.clone(),
            name: value.name.clone(),
        })
    }
}
