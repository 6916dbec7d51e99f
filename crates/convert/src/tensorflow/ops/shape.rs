//! `Shape`, `ShapeN`, `Size` and `Rank`.

use modelyard_graph::ElementType;
use modelyard_tensor::Dim;

use super::{Evaluated, Given};
use crate::reference::Array;
use crate::tensorflow::context::{Call, Context, Converted};

pub(super) fn convert(context: &mut Context<'_>, call: &Call<'_>) -> Converted {
    let default = ElementType::Int32;
    let element_type = call.node.attrs.element_type("out_type").unwrap_or(default);
    let mut outputs = Vec::with_capacity(call.inputs.len());
    for value in &call.inputs {
        let x = context.name(value)?;
        let (mut found, dims) = match call.node.op.as_str() {
            "Shape" | "ShapeN" => {
                let rank = value.dims.as_ref().map(|dims| vec![Dim::Fixed(dims.len())]);
                (context.add("Shape", &[x]), rank)
            }
            "Size" => (context.add("Size", &[x]), Some(Vec::new())),
            _ => {
                let shape = context.add("Shape", &[x]);
                (context.add("Size", &[shape]), Some(Vec::new()))
            }
        };
        if element_type != ElementType::Int64 {
            found = context.cast(&found, element_type);
        }
        outputs.push(context.value(found, element_type, dims));
    }
    Ok(outputs)
}

pub(super) fn evaluate(given: &Given<'_>) -> Evaluated {
    let element_type = given.attrs().element_type("out_type").unwrap_or(ElementType::Int32);
    let answer = |array: &Array| match given.node.op.as_str() {
        "Shape" | "ShapeN" => {
            let sizes = array.dims().iter().map(|&size| size as f64).collect();
            Array::from_f64s(element_type, &[array.rank()], sizes)
        }
        "Size" => Array::from_f64s(element_type, &[], vec![array.len() as f64]),
        _ => Array::from_f64s(element_type, &[], vec![array.rank() as f64]),
    };
    given.inputs.iter().map(|array| answer(array)).collect()
}
