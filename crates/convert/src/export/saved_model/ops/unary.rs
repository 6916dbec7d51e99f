//! Operators of one value, element by element, that TensorFlow has too.

use modelyard_graph::ElementType;

use crate::export::saved_model::call::{Call, Written};
use crate::export::saved_model::value::Refusal;
use crate::export::saved_model::writer::Writer;

/// The same under a name of TensorFlow.
pub(super) fn write(writer: &mut Writer, call: &Call<'_>) -> Written {
    let name = match call.node.op_type.as_str() {
        "Not" => {
            return Ok(vec![{
                let x = call.tensor(writer, 0)?;
                writer.not(&x)
            }]);
        }
        "IsNaN" => "IsNan",
        // All others are called alike.
        other => other,
    };
    let x = call.tensor(writer, 0)?;
    Ok(vec![match name {
        "IsNan" => writer.test(name, &x),
        name => writer.unary(name, &x),
    }])
}

/// `Identity`, and `Dropout` of a model that is not trained.
pub(super) fn identity(writer: &mut Writer, call: &Call<'_>) -> Written {
    let x = call.tensor(writer, 0)?;
    let mut outputs = vec![x.clone()];
    if call.node.output(1).is_some() {
        let shape = writer.shape(&x);
        let yes = writer.number("kept", 1.0, ElementType::Bool)?;
        outputs.push(writer.fill(&shape, &yes));
    }
    Ok(outputs)
}

pub(super) fn is_inf(writer: &mut Writer, call: &Call<'_>) -> Written {
    let x = call.tensor(writer, 0)?;
    let (negative, positive) = (call.int("detect_negative", 1), call.int("detect_positive", 1));
    let found = writer.test("IsInf", &x);
    let zero = writer.number("zero", 0.0, x.element_type)?;
    Ok(vec![match (negative != 0, positive != 0) {
        (true, true) => found,
        (false, false) => return Err(Refusal::new("neither infinity", "remove the node")),
        (is_negative, _) => {
            let sign = writer.compare(if is_negative { "Less" } else { "Greater" }, &x, &zero);
            writer.logical("LogicalAnd", &found, &sign)
        }
    }])
}

pub(super) fn cast(writer: &mut Writer, call: &Call<'_>) -> Written {
    let x = call.tensor(writer, 0)?;
    let to = match call.node.op_type.as_str() {
        "CastLike" => Some(call.value(1)?.element_type),
        _ => i32::try_from(call.int("to", 0)).ok().and_then(ElementType::from_code),
    };
    let to = to.filter(|&to| crate::tensorflow::dtype::number(to).is_some());
    let to = to.ok_or_else(|| Refusal::new("a type that TensorFlow has not", "cast to another"))?;
    if [x.element_type, to].contains(&ElementType::String) && x.element_type != to {
        return Err(Refusal::new("numbers as text", "leave that to whoever calls the model"));
    }
    Ok(vec![writer.cast(&x, to)])
}
