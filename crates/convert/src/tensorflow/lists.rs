//! Lists of tensors, which loops of recurrent layers take their steps from and put their results
//! into. In ONNX they are what they become in the end: the tensors stacked.

use std::cell::OnceCell;
use std::rc::Rc;

use modelyard_graph::ElementType;
use modelyard_tensor::Dim;

use super::context::{Call, Context, Converted};
use super::value::{Kind, Refusal, Val, Value};
use crate::emitter::node;

/// The operators of lists.
pub(super) const OPERATORS: [&str; 6] = [
    "TensorListFromTensor",
    "TensorListGetItem",
    "TensorListLength",
    "TensorListReserve",
    "TensorListSetItem",
    "TensorListStack",
];

const WAY_OUT: &str = "write each step of a loop to its own place of the list, in order";

pub(super) fn convert(context: &mut Context<'_>, call: &Call<'_>) -> Converted {
    let value = match call.node.op.as_str() {
        "TensorListReserve" => reserve(call)?,
        "TensorListFromTensor" => from_tensor(context, call)?,
        "TensorListGetItem" => get(context, call)?,
        "TensorListSetItem" => set(context, call)?,
        "TensorListStack" => stack(call)?,
        _ => length(context, call)?,
    };
    Ok(vec![value])
}

fn element_type(call: &Call<'_>) -> ElementType {
    call.node.attrs.element_type("element_dtype").unwrap_or(ElementType::Float32)
}

fn reserve(call: &Call<'_>) -> Result<Val, Refusal> {
    let size = Rc::clone(call.input(1)?);
    Ok(Value::other(Kind::EmptyList { size }, element_type(call), None))
}

fn from_tensor(context: &mut Context<'_>, call: &Call<'_>) -> Result<Val, Refusal> {
    let tensor = call.input(0)?;
    let name = context.name(tensor)?;
    Ok(stacked(name, tensor.element_type, tensor.dims.clone()))
}

/// A list as the tensors stacked.
pub(super) fn stacked(name: String, element_type: ElementType, dims: Option<Vec<Dim>>) -> Val {
    let name = OnceCell::from(name);
    Rc::new(Value { element_type, dims, kind: Kind::List, known: None, sizes: None, name })
}

fn get(context: &mut Context<'_>, call: &Call<'_>) -> Result<Val, Refusal> {
    let list = call.input(0)?;
    if !matches!(list.kind, Kind::List) {
        return Err(Refusal::new("reading from a list that is being filled", WAY_OUT));
    }
    let [list_name, index] = context.names(call)?;
    let found = context.add_node(node("Gather", &[list_name, index]).with("axis", 0));
    let dims = list.dims.as_ref().map(|dims| dims.get(1..).unwrap_or_default().to_vec());
    Ok(context.value(found, list.element_type, dims))
}

fn set(context: &mut Context<'_>, call: &Call<'_>) -> Result<Val, Refusal> {
    let (list, item) = (call.input(0)?, call.input(2)?);
    let name = context.name(item)?;
    match &list.kind {
        Kind::LoopList => {
            let (name, kind) = (OnceCell::from(name), Kind::Written);
            let (element_type, dims) = (item.element_type, item.dims.clone());
            Ok(Rc::new(Value { element_type, dims, kind, known: None, sizes: None, name }))
        }
        Kind::EmptyList { size } if context.integer(size, "the size of a list")? == 1 => {
            let name = context.with_axes("Unsqueeze", &name, &[0]);
            let dims = item.dims.as_ref().map(|dims| [&[Dim::Fixed(1)], dims.as_slice()].concat());
            Ok(stacked(name, item.element_type, dims))
        }
        _ => Err(Refusal::new("writing to any place of a list", WAY_OUT)),
    }
}

fn stack(call: &Call<'_>) -> Result<Val, Refusal> {
    let list = call.input(0)?;
    match (&list.kind, list.name.get()) {
        (Kind::List, Some(name)) => {
            Ok(Value::tensor(name.clone(), list.element_type, list.dims.clone()))
        }
        _ => Err(Refusal::new("stacking a list that nothing was written to", WAY_OUT)),
    }
}

fn length(context: &mut Context<'_>, call: &Call<'_>) -> Result<Val, Refusal> {
    let list = call.input(0)?;
    match &list.kind {
        Kind::EmptyList { size } => Ok(Rc::clone(size)),
        Kind::List => {
            let name = context.name(list)?;
            let shape = context.add_node(node("Shape", &[name]).with("end", 1));
            let size = context.reshape(&shape, &[]);
            let size = context.cast(&size, ElementType::Int32);
            Ok(context.value(size, ElementType::Int32, Some(Vec::new())))
        }
        _ => Err(Refusal::new("the length of a list that is being filled", WAY_OUT)),
    }
}
