//! The reference evaluator: node by node, as TensorFlow defines its operators.

use std::sync::Arc;

use modelyard_graph::ElementType;
use modelyard_tensor::Tensor;

use super::graph::{Graph, Node, Payload, passes_on};
use super::model::TensorFlowModel;
use super::ops::{self, Given};
use super::tables::Table;
use super::weight::Weight;
use crate::EvaluateError;
use crate::reference::{Array, Data};

/// What a value is while a graph is evaluated.
#[derive(Clone, Debug)]
enum Slot {
    Array(Arc<Array>),
    List(Arc<Vec<Option<Arc<Array>>>>),
    /// A table, by the name of its node.
    Handle(String),
}

/// Turns that a loop may take.
const MAX_TURNS: usize = 1 << 20;

/// Tensors that a list may hold.
const MAX_LIST: i64 = 1 << 20;

pub(super) fn evaluate(
    model: &TensorFlowModel,
    inputs: &[Tensor],
) -> Result<Vec<Tensor>, EvaluateError> {
    if inputs.len() != model.inputs.len() {
        let (expected, found) = (model.inputs.len(), inputs.len());
        return Err(EvaluateError::new(format!("expected {expected} inputs, found {found}")));
    }
    let slot = |tensor| Ok(Slot::Array(Arc::new(Array::from_tensor(tensor)?)));
    let slots: Vec<Slot> = inputs.iter().map(slot).collect::<Result<_, EvaluateError>>()?;
    let mut evaluator = Evaluator { model, live: 0 };
    let outputs = evaluator.run(&model.graph, &slots, None)?;
    let tensor = |slot: Slot| match slot {
        Slot::Array(array) => array.to_tensor(),
        _ => Err(EvaluateError::new("an output is no tensor")),
    };
    outputs.into_iter().map(tensor).collect()
}

struct Evaluator<'a> {
    model: &'a TensorFlowModel,
    /// Bytes of the values that are still needed.
    live: u64,
}

/// The constants of a body, kept from turn to turn.
type Kept = Vec<Option<Slot>>;

impl Evaluator<'_> {
    fn run(
        &mut self,
        graph: &Graph,
        inputs: &[Slot],
        kept: Option<&Kept>,
    ) -> Result<Vec<Slot>, EvaluateError> {
        let mut uses = vec![0usize; graph.nodes.len()];
        let taken = graph.nodes.iter().flat_map(|node| &node.inputs).chain(&graph.outputs);
        for port in taken {
            uses[port.node] += 1;
        }
        let before = self.live;
        let mut values: Vec<Vec<Slot>> = Vec::with_capacity(graph.nodes.len());
        for (index, node) in graph.nodes.iter().enumerate() {
            let mut slots = Vec::with_capacity(node.inputs.len());
            for port in &node.inputs {
                let found = values.get(port.node).and_then(|slots| slots.get(port.output));
                slots.push(found.cloned().ok_or_else(|| {
                    EvaluateError::new("an input that no node gives").at(place(node))
                })?);
            }
            // Those that nobody needs any more go before the next is made.
            for port in &node.inputs {
                uses[port.node] -= 1;
                if uses[port.node] == 0 {
                    self.release(&std::mem::take(&mut values[port.node]));
                }
            }
            let kept = kept.and_then(|kept| kept.get(index)?.clone());
            let outputs = match kept {
                Some(slot) => vec![slot],
                None => self.node(node, slots, inputs).map_err(|error| error.at(place(node)))?,
            };
            self.hold(&outputs)?;
            values.push(outputs);
        }
        let output = |port: &super::graph::Port| {
            let found = values.get(port.node).and_then(|slots| slots.get(port.output));
            found.cloned().ok_or_else(|| EvaluateError::new("an output that no node gives"))
        };
        let outputs = graph.outputs.iter().map(output).collect();
        self.live = before;
        outputs
    }

    fn hold(&mut self, slots: &[Slot]) -> Result<(), EvaluateError> {
        self.live += slots.iter().map(bytes).sum::<u64>();
        let limit = self.model.limits.evaluation_bytes;
        if self.live > limit {
            let message =
                format!("the values take {} bytes, at most {limit} are allowed", self.live);
            return Err(EvaluateError::new(message));
        }
        Ok(())
    }

    fn release(&mut self, slots: &[Slot]) {
        self.live = self.live.saturating_sub(slots.iter().map(bytes).sum::<u64>());
    }

    fn node(
        &mut self,
        node: &Node,
        slots: Vec<Slot>,
        inputs: &[Slot],
    ) -> Result<Vec<Slot>, EvaluateError> {
        match (&node.payload, node.op.as_str()) {
            (Payload::Input(index), _) => {
                let found = inputs.get(*index).cloned();
                Ok(vec![found.ok_or_else(|| EvaluateError::new("an input is missing"))?])
            }
            (Payload::Weight(weight), _) => Ok(vec![Slot::Array(Arc::new(weight.array()?))]),
            (Payload::Bodies(bodies), _) => self.control(node, bodies, &slots),
            (_, "Const") => Ok(vec![self.constant(node)?]),
            (_, "ReadVariableOp") => match slots.as_slice() {
                [Slot::Array(value)] => Ok(vec![Slot::Array(Arc::clone(value))]),
                _ => Err(EvaluateError::new("the variable has no value")),
            },
            (_, op) if passes_on(op) => Ok(slots),
            (_, op) if super::arguments::is_handle(op) => Ok(vec![Slot::Handle(node.name.clone())]),
            (_, op) if op.starts_with("TensorList") => Ok(vec![list(node, &slots)?]),
            _ => self.operator(node, slots),
        }
    }

    fn constant(&self, node: &Node) -> Result<Slot, EvaluateError> {
        let no_value = || EvaluateError::new("the constant has no value");
        let tensor = node.attrs.tensor("value").ok_or_else(no_value)?;
        let weight = Weight::of_proto(tensor, &self.model.limits).map_err(EvaluateError::new)?;
        Ok(Slot::Array(Arc::new(weight.array()?)))
    }

    fn operator(&self, node: &Node, slots: Vec<Slot>) -> Result<Vec<Slot>, EvaluateError> {
        let operator =
            ops::find(&node.op).ok_or_else(|| EvaluateError::new("the operator is not covered"))?;
        let table: Option<&Table> = match slots.first() {
            Some(Slot::Handle(name)) => self.model.tables.get(name),
            _ => None,
        };
        let mut inputs = Vec::with_capacity(slots.len());
        for slot in slots {
            match slot {
                Slot::Array(array) => inputs.push(array),
                Slot::Handle(_) if inputs.is_empty() => {}
                _ => return Err(EvaluateError::new("an input is no tensor")),
            }
        }
        let outputs = (operator.evaluate)(&Given { node, inputs, table })?;
        Ok(outputs.into_iter().map(|array| Slot::Array(Arc::new(array))).collect())
    }

    fn control(
        &mut self,
        node: &Node,
        bodies: &[Graph],
        slots: &[Slot],
    ) -> Result<Vec<Slot>, EvaluateError> {
        let inner = slots.get(1..).unwrap_or_default();
        match (node.op.as_str(), bodies) {
            ("If" | "StatelessIf", [yes, no]) => {
                let branch = if number(slots.first())? != 0.0 { yes } else { no };
                self.run(branch, inner, None)
            }
            ("Case" | "StatelessCase", [.., last]) => {
                let index = number(slots.first())?;
                let found = if index >= 0.0 { bodies.get(index as usize) } else { None };
                self.run(found.unwrap_or(last), inner, None)
            }
            ("While" | "StatelessWhile", [condition, body]) => {
                let kept = self.kept(body)?;
                let mut state = slots.to_vec();
                for _ in 0..MAX_TURNS {
                    let holds = self.run(condition, &state, None)?;
                    if number(holds.first())? == 0.0 {
                        return Ok(state);
                    }
                    state = self.run(body, &state, Some(&kept))?;
                }
                Err(EvaluateError::new(format!("the loop takes more than {MAX_TURNS} turns")))
            }
            _ => Err(EvaluateError::new("control flow without functions")),
        }
    }

    /// The constants and variables of a body, read once for all turns.
    fn kept(&mut self, body: &Graph) -> Result<Kept, EvaluateError> {
        let constant = |node: &Node| -> Result<Option<Slot>, EvaluateError> {
            Ok(match &node.payload {
                Payload::Weight(weight) => Some(Slot::Array(Arc::new(weight.array()?))),
                _ if node.op == "Const" => Some(self.constant(node)?),
                _ => None,
            })
        };
        body.nodes.iter().map(constant).collect()
    }
}

/// Where an error is.
fn place(node: &Node) -> String {
    format!("node '{}' ({})", node.name, node.op)
}

fn bytes(slot: &Slot) -> u64 {
    let one = |array: &Array| {
        let each = if matches!(array.data(), Data::Floats(_)) { 4 } else { 8 };
        each * array.len() as u64
    };
    match slot {
        Slot::Array(array) => one(array),
        Slot::List(items) => items.iter().flatten().map(|array| one(array)).sum(),
        Slot::Handle(_) => 0,
    }
}

fn number(slot: Option<&Slot>) -> Result<f64, EvaluateError> {
    match slot {
        Some(Slot::Array(array)) if array.len() == 1 => {
            Ok(array.to_f64s()?.first().copied().unwrap_or_default())
        }
        _ => Err(EvaluateError::new("expected one number, found something else")),
    }
}

/// The operators of lists.
fn list(node: &Node, slots: &[Slot]) -> Result<Slot, EvaluateError> {
    let array = |index: usize| match slots.get(index) {
        Some(Slot::Array(array)) => Ok(array),
        _ => Err(EvaluateError::new("expected a tensor, found something else")),
    };
    let items = || match slots.first() {
        Some(Slot::List(items)) => Ok(items),
        _ => Err(EvaluateError::new("expected a list, found something else")),
    };
    let place = |items: &[Option<Arc<Array>>]| -> Result<usize, EvaluateError> {
        let index = array(1)?.as_ints()?.first().copied().unwrap_or(-1);
        let found = usize::try_from(index).ok().filter(|&index| index < items.len());
        found.ok_or_else(|| EvaluateError::new(format!("there is no place {index} in the list")))
    };
    match node.op.as_str() {
        "TensorListReserve" => {
            let size = array(1)?.as_ints()?.first().copied().unwrap_or(0);
            if !(0..=MAX_LIST).contains(&size) {
                return Err(EvaluateError::new(format!("a list of {size} tensors is too large")));
            }
            Ok(Slot::List(Arc::new(vec![None; size as usize])))
        }
        "TensorListFromTensor" => Ok(Slot::List(Arc::new(unstacked(array(0)?)?))),
        "TensorListGetItem" => {
            let items = items()?;
            let found = items[place(items)?].clone();
            let unset = || EvaluateError::new("nothing was written to this place of the list");
            Ok(Slot::Array(found.ok_or_else(unset)?))
        }
        "TensorListSetItem" => {
            let mut items = items()?.as_ref().clone();
            let place = place(&items)?;
            items[place] = Some(Arc::clone(array(2)?));
            Ok(Slot::List(Arc::new(items)))
        }
        "TensorListStack" => {
            let items: Option<Vec<Arc<Array>>> = items()?.iter().cloned().collect();
            let unset = || EvaluateError::new("nothing was written to some places of the list");
            let items = items.ok_or_else(unset)?;
            let parts: Vec<&Array> = items.iter().map(Arc::as_ref).collect();
            Ok(Slot::Array(Arc::new(crate::reference::shape::stack(&parts, 0)?)))
        }
        "TensorListLength" => {
            let count = items()?.len() as f64;
            let array = Array::from_f64s(ElementType::Int32, &[], vec![count])?;
            Ok(Slot::Array(Arc::new(array)))
        }
        _ => Err(EvaluateError::new("the operator is not covered")),
    }
}

/// The parts of a tensor along its first axis.
fn unstacked(array: &Array) -> Result<Vec<Option<Arc<Array>>>, EvaluateError> {
    let count = array.dims().first().copied().unwrap_or(0);
    let part = |index: usize| {
        let index = Array::ints(&[], vec![index as i64])?;
        Ok(Some(Arc::new(crate::reference::index::gather(array, &index, 0)?)))
    };
    (0..count).map(part).collect()
}
