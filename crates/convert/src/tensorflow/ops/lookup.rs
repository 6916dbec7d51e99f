//! `LookupTableFindV2`: keys become the values that a table has for them, or a default.

use bytes::Bytes;
use modelyard_graph::{AttributeValue, ElementType, Node};
use std::collections::HashMap;

use super::{Evaluated, Given};
use crate::EvaluateError;
use crate::emitter::node;
use crate::reference::{Array, Data};
use crate::tensorflow::context::{Call, Context, Converted};
use crate::tensorflow::value::{Kind, Refusal};
use crate::tensorflow::weight::Weight;

pub(super) fn convert(context: &mut Context<'_>, call: &Call<'_>) -> Converted {
    let (handle, keys, default) = (call.input(0)?, call.input(1)?, call.input(2)?);
    let table = match &handle.kind {
        Kind::Handle(name) => context.model.tables.get(name),
        _ => None,
    };
    let table = table.ok_or_else(|| {
        let way_out = "fill the table from constants or from a file in the model's assets";
        Refusal::new("a table that is not filled when the model is loaded", way_out)
    })?;
    let default = context.array(default)?;
    let default = default
        .filter(|array| array.len() == 1)
        .ok_or_else(|| Refusal::new("a default that is computed", "make the default a constant"))?;
    let x = context.name(keys)?;
    let wide = |element_type| match element_type {
        ElementType::Int32 | ElementType::Int16 | ElementType::Int8 => ElementType::Int64,
        other => other,
    };
    let x = match wide(keys.element_type) {
        to if to != keys.element_type => context.cast(&x, to),
        _ => x,
    };
    let mut written = node("LabelEncoder", &[x]).in_domain("ai.onnx.ml");
    written = listed(written, "keys", &table.keys)?;
    written = listed(written, "values", &table.values)?;
    written = with_default(written, &default)?;
    context.emitter.require("ai.onnx.ml", 2);
    let found = context.add_node(written);
    let element_type = default.element_type();
    let found = match wide(element_type) {
        made if made != element_type => context.cast(&found, element_type),
        _ => found,
    };
    Ok(vec![context.value(found, element_type, keys.dims.clone())])
}

const TYPES: &str = "use a table of strings, integers or 32-bit floats";

/// A node with a list of a table as an attribute.
fn listed(node: Node, name: &str, list: &Weight) -> Result<Node, Refusal> {
    let array = list.array()?;
    Ok(match (array.data(), list.element_type) {
        (Data::Strings(values), _) => {
            node.with(&format!("{name}_strings"), AttributeValue::Strings(values.clone()))
        }
        (Data::Ints(values), _) => {
            node.with(&format!("{name}_int64s"), AttributeValue::Ints(values.clone()))
        }
        (Data::Floats(values), ElementType::Float32) => {
            node.with(&format!("{name}_floats"), AttributeValue::Floats(values.clone()))
        }
        (_, other) => return Err(Refusal::new(format!("a table of type {other}"), TYPES)),
    })
}

fn with_default(node: Node, default: &Array) -> Result<Node, Refusal> {
    Ok(match default.data() {
        Data::Strings(values) => {
            let value = values.first().cloned().unwrap_or_default();
            node.with("default_string", AttributeValue::String(value))
        }
        Data::Ints(values) => node.with("default_int64", values.first().copied().unwrap_or(0)),
        Data::Floats(values) => node.with("default_float", values.first().copied().unwrap_or(0.0)),
        _ => return Err(Refusal::new("a table of that type", TYPES)),
    })
}

/// A key as it is compared.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Text(Bytes),
    Number(i64),
    /// The bits of a float.
    Float(u32),
}

fn keys(array: &Array) -> Result<Vec<Key>, EvaluateError> {
    Ok(match array.data() {
        Data::Strings(values) => values.iter().cloned().map(Key::Text).collect(),
        Data::Ints(values) => values.iter().copied().map(Key::Number).collect(),
        Data::Floats(values) => values.iter().map(|value| Key::Float(value.to_bits())).collect(),
        _ => return Err(EvaluateError::new("keys of that type are not covered")),
    })
}

pub(super) fn evaluate(given: &Given<'_>) -> Evaluated {
    // The handle is not among the inputs.
    let (wanted, default) = (given.input(0)?, given.input(1)?);
    let table = given.table.ok_or_else(|| EvaluateError::new("the table is not filled"))?;
    let places: HashMap<Key, usize> =
        keys(&table.keys.array()?)?.into_iter().enumerate().map(|(at, key)| (key, at)).collect();
    let values = table.values.array()?;
    let found: Vec<Option<usize>> =
        keys(wanted)?.iter().map(|key| places.get(key).copied()).collect();
    fn picked<T: Clone>(
        values: &[T],
        default: &[T],
        places: &[Option<usize>],
    ) -> Result<Vec<T>, EvaluateError> {
        let no_default = || EvaluateError::new("the table has no default");
        let default = default.first().ok_or_else(no_default)?;
        let value = |place: &Option<usize>| place.and_then(|place| values.get(place));
        Ok(places.iter().map(|place| value(place).unwrap_or(default).clone()).collect())
    }
    let data = match (values.data(), default.data()) {
        (Data::Strings(v), Data::Strings(d)) => Data::Strings(picked(v, d, &found)?),
        (Data::Ints(v), Data::Ints(d)) => Data::Ints(picked(v, d, &found)?),
        (Data::Floats(v), Data::Floats(d)) => Data::Floats(picked(v, d, &found)?),
        _ => return Err(EvaluateError::new("the default is of another type than the values")),
    };
    Ok(vec![Array::new(default.element_type(), wanted.dims(), data)?])
}
