//! Complex numbers: pairs of floats in one more dimension, real part first.

use modelyard_graph::ElementType;

use super::{Evaluated, Given};
use crate::EvaluateError;
use crate::emitter::node;
use crate::reference::reduce::{self, Over};
use crate::reference::{Array, elementwise, shape};
use crate::tensorflow::context::{Call, Context, Converted};

pub(super) fn convert(context: &mut Context<'_>, call: &Call<'_>) -> Converted {
    let value = call.input(0)?;
    let [x] = context.names(call)?;
    let dims = value.dims.clone();
    let (found, element_type) = match call.node.op.as_str() {
        "Complex" => {
            let imaginary = context.name(call.input(1)?)?;
            let parts = [x, imaginary].map(|part| context.with_axes("Unsqueeze", &part, &[-1]));
            let joined = context.add_node(node("Concat", &parts).with("axis", -1));
            (joined, ElementType::Complex64)
        }
        "Conj" => {
            let signs = context.emitter.floats("signs", &[2], &[1.0, -1.0]);
            (context.add("Mul", &[x, signs]), ElementType::Complex64)
        }
        "ComplexAbs" => {
            let axes = context.emitter.integers("axes", &[-1]);
            let norm = node("ReduceL2", &[x, axes]).with("keepdims", 0);
            (context.add_node(norm), ElementType::Float32)
        }
        op => {
            let index = context.emitter.integer("part", i64::from(op == "Imag"));
            let part = node("Gather", &[x, index]).with("axis", -1);
            (context.add_node(part), ElementType::Float32)
        }
    };
    Ok(vec![context.value(found, element_type, dims)])
}

pub(super) fn evaluate(given: &Given<'_>) -> Evaluated {
    let x = given.input(0)?;
    let part = |index: usize| -> Result<Array, EvaluateError> {
        shape::squeeze(&shape::narrow(x, -1, index, 1)?, Some(&[-1]))
    };
    Ok(vec![match given.node.op.as_str() {
        "Complex" => shape::stack(&[x, given.input(1)?], -1)?,
        "Conj" => elementwise::mul(x, &Array::floats(&[2], vec![1.0, -1.0])?)?,
        "ComplexAbs" => reduce::norm_l2(x, Over::axes(&[-1]))?,
        "Real" => part(0)?,
        _ => part(1)?,
    }])
}
