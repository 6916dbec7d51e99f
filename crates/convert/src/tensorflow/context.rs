//! Conversion of a graph, node by node.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use modelyard_graph::{Constant, ConstantData, ElementType, Node as OnnxNode};
use modelyard_tensor::{Dim, strings};

use super::control;
use super::fold;
use super::graph::{Graph, Node, Payload, passes_on};
use super::model::TensorFlowModel;
use super::ops::{self, Size};
use super::value::{Kind, Known, Refusal, Val, Value, fixed};
use super::weight::Weight;
use super::{lists, saved_model};
use crate::ConvertError;
use crate::emitter::{Emitter, node};
use crate::reference::{Array, Data};

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

/// Constants of at most so many elements may be looked at by value.
const MAX_LISTED: usize = 1 << 16;

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

    /// The name of a value; a constant is written when it is first asked for.
    pub(super) fn name(&mut self, value: &Value) -> Result<String, Refusal> {
        if let Some(name) = value.name.get() {
            return Ok(name.clone());
        }
        let name = match &value.known {
            Some(Known::Weight(weight)) => {
                let constant = as_floats(weight.constant()?);
                match constant.name.is_empty() {
                    true => self.emitter.constant(constant),
                    false => self.emitter.weight(constant),
                }
            }
            Some(Known::Array(array)) => {
                let constant = constant_of("constant", array)?;
                self.emitter.constant(constant)
            }
            None => {
                return Err(Refusal::new("an input that is no tensor", "the file may be damaged"));
            }
        };
        // Nobody else writes it meanwhile.
        let _ = value.name.set(name.clone());
        Ok(name)
    }

    /// The names of the first inputs of a node.
    pub(super) fn names<const N: usize>(
        &mut self,
        call: &Call<'_>,
    ) -> Result<[String; N], Refusal> {
        let mut names = [const { String::new() }; N];
        for (index, name) in names.iter_mut().enumerate() {
            *name = self.name(call.input(index)?)?;
        }
        Ok(names)
    }

    /// Adds a node without attributes, and gives the name of its output.
    pub(super) fn add<S: AsRef<str>>(&mut self, op_type: &str, inputs: &[S]) -> String {
        self.emitter.add(node(op_type, inputs))
    }

    /// Adds a node, and gives the name of its output.
    pub(super) fn add_node(&mut self, node: OnnxNode) -> String {
        self.emitter.add(node)
    }

    /// Adds a node with axes as its second input.
    pub(super) fn with_axes(&mut self, op_type: &str, input: &str, axes: &[i64]) -> String {
        let axes = self.emitter.integers("axes", axes);
        self.add(op_type, &[input, &axes])
    }

    pub(super) fn transpose(&mut self, input: &str, order: &[usize]) -> String {
        if order.iter().enumerate().all(|(to, &from)| to == from) {
            return input.to_owned();
        }
        let order: Vec<i64> = order.iter().map(|&axis| axis as i64).collect();
        self.emitter.add(node("Transpose", &[input]).with("perm", order.as_slice()))
    }

    pub(super) fn cast(&mut self, input: &str, to: ElementType) -> String {
        self.emitter.add(node("Cast", &[input]).with("to", i64::from(to.code())))
    }

    /// Reshapes to sizes known here; -1 for what follows from the others.
    pub(super) fn reshape(&mut self, input: &str, sizes: &[i64]) -> String {
        let shape = self.emitter.integers("shape", sizes);
        let reshape = node("Reshape", &[input, &shape]);
        // To ONNX, 0 says "as before".
        let reshape = if sizes.contains(&0) { reshape.with("allowzero", 1) } else { reshape };
        self.emitter.add(reshape)
    }

    /// Reshapes to sizes some of which follow from the input.
    pub(super) fn reshape_or_copy(&mut self, input: &str, sizes: &[Size]) -> String {
        let number = |size: &Size| match size {
            Size::Is(size) => *size as i64,
            Size::Same => 0,
            Size::Rest => -1,
        };
        let copies = sizes.contains(&Size::Same);
        let sizes: Vec<i64> = sizes.iter().map(number).collect();
        if !copies {
            return self.reshape(input, &sizes);
        }
        let shape = self.emitter.integers("shape", &sizes);
        self.emitter.add(node("Reshape", &[input, &shape]))
    }

    /// A constant without dimensions, of the type of `like`.
    pub(super) fn scalar(
        &mut self,
        name: &str,
        value: f64,
        like: ElementType,
    ) -> Result<String, Refusal> {
        let array = Array::from_f64s(like, &[], vec![value])?;
        let constant = constant_of(name, &array)?;
        Ok(self.emitter.constant(constant))
    }

    /// The elements of a constant; `None` where they differ from run to run.
    pub(super) fn array(&self, value: &Value) -> Result<Option<Arc<Array>>, Refusal> {
        Ok(match &value.known {
            Some(Known::Array(array)) => Some(Arc::clone(array)),
            Some(Known::Weight(weight)) => Some(Arc::new(weight.array()?)),
            None => None,
        })
    }

    /// The elements of a list of integers that must be the same for every run. `what` is for the
    /// refusal.
    pub(super) fn integers(&self, value: &Value, what: &str) -> Result<Vec<i64>, Refusal> {
        let found = match value.known_elements() {
            Some(count) if count <= MAX_LISTED => self.array(value)?,
            _ => None,
        };
        let found = found.as_ref().and_then(|array| array.as_ints().ok());
        found.map(<[i64]>::to_vec).ok_or_else(|| {
            Refusal::new(
                format!("{what} that is computed from the input"),
                "make it a constant, or give the input a fixed shape when it is exported",
            )
        })
    }

    /// One integer that must be the same for every run.
    pub(super) fn integer(&self, value: &Value, what: &str) -> Result<i64, Refusal> {
        let values = self.integers(value, what)?;
        values.first().copied().filter(|_| values.len() == 1).ok_or_else(|| {
            Refusal::new(format!("{what} of {} elements", values.len()), "the file may be damaged")
        })
    }

    /// A list of sizes as 64-bit integers, for operators that take a shape.
    pub(super) fn shape(&mut self, value: &Val) -> Result<String, Refusal> {
        if let Ok(sizes) = self.integers(value, "a shape") {
            return Ok(self.emitter.integers("shape", &sizes));
        }
        let name = self.name(value)?;
        match value.element_type {
            ElementType::Int64 => Ok(name),
            _ => Ok(self.cast(&name, ElementType::Int64)),
        }
    }

    /// A tensor value of a name.
    pub(super) fn value(
        &self,
        name: String,
        element_type: ElementType,
        dims: Option<Vec<Dim>>,
    ) -> Val {
        Value::tensor(name, element_type, dims)
    }
}

/// What a value is that nobody made.
pub(super) fn missing() -> Val {
    Value::other(Kind::Missing, ElementType::Float32, None)
}

/// A constant of the elements of an array.
pub(super) fn constant_of(name: &str, array: &Array) -> Result<Constant, Refusal> {
    let tensor = array.to_tensor()?;
    let data = match array.data() {
        Data::Strings(_) => {
            let items = strings::iter(tensor.data()).map(|item| tensor.data().slice_ref(item));
            ConstantData::Strings(items.collect())
        }
        _ => ConstantData::Raw(tensor.data().clone()),
    };
    let (element_type, dims) = (array.element_type(), array.dims().to_vec());
    Ok(Constant { name: name.into(), element_type, dims, data })
}

/// Complex numbers are pairs of floats in one more dimension.
fn as_floats(constant: Constant) -> Constant {
    let element_type = match constant.element_type {
        ElementType::Complex64 => ElementType::Float32,
        ElementType::Complex128 => ElementType::Float64,
        _ => return constant,
    };
    let dims = [constant.dims.as_slice(), &[2]].concat();
    Constant { element_type, dims, ..constant }
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

/// Why an operator is not known, as far as that can be said.
fn unknown(op: &str) -> Refusal {
    let (reason, way_out) = match op {
        "Switch" | "Merge" | "Enter" | "Exit" | "NextIteration" | "RefSwitch" | "RefMerge"
        | "_SwitchN" => (
            "control flow of TensorFlow 1",
            "export the model with control flow v2 (tf.compat.v1.enable_control_flow_v2)",
        ),
        "PyFunc" | "EagerPyFunc" | "PyFuncStateless" => {
            ("Python code", "write it with TensorFlow's own operators")
        }
        _ if op.starts_with("Random") || op.starts_with("StatelessRandom") => (
            "random numbers, which differ from run to run",
            "export the model for inference, or make the numbers an input",
        ),
        _ if op.contains("String") || op.contains("Regex") || op.starts_with("Decode") => {
            ("the operator, which works on text or encoded data", "do this before the model")
        }
        _ if op.starts_with("Assign") => {
            ("a change of a variable", "export the model without its state")
        }
        _ if op.starts_with("Sparse") || op.starts_with("Ragged") => {
            ("the operator, which works on sparse or ragged tensors", "use dense tensors")
        }
        _ => ("the operator", "write this part with other operators"),
    };
    Refusal::new(reason, way_out)
}
