//! Two or more values brought to one type.

use modelyard_graph::{Constant, ElementType};
use serde_json::Value as Json;

use crate::EvaluateError;
use crate::keras::argument::Argument;
use crate::keras::config::{integer, number};
use crate::keras::converter::Converter;
use crate::keras::fault::Fault;
use crate::keras::functions::bound::Bound;
use crate::keras::layers::input::element_type;
use crate::keras::value::Value;
use crate::reference::{Array, elementwise};

/// A constant in an argument.
struct Number {
    values: Vec<f64>,
    dims: Vec<usize>,
    /// `None` for Python's own numbers, which take the type of the other side.
    element_type: Option<ElementType>,
}

/// A constant: a number, lists of numbers, or an array with its type.
fn constant(json: &Json) -> Result<Number, Fault> {
    let wrong = || {
        let found: String = json.to_string().chars().take(80).collect();
        Fault::malformed(format!("expected numbers, found {found}"))
    };
    let (json, declared) = match json {
        Json::Object(map) => {
            let config = map.get("config");
            let dtype = config.and_then(|config| config.get("dtype")).and_then(Json::as_str);
            let value = config.and_then(|config| config.get("value")).ok_or_else(wrong)?;
            (value, Some(element_type(dtype)))
        }
        other => (other, None),
    };
    let mut dims = Vec::new();
    let mut level = json;
    while let Json::Array(items) = level {
        dims.push(items.len());
        match items.first() {
            Some(first) => level = first,
            None => break,
        }
    }
    let mut values = Vec::new();
    collect(json, &mut values).ok_or_else(wrong)?;
    if dims.iter().product::<usize>() != values.len() {
        return Err(wrong());
    }
    let whole = is_whole(json);
    let element_type = match (declared, whole) {
        (Some(declared), _) => Some(declared),
        // Whole numbers take any type; others are floats.
        (None, true) => None,
        (None, false) => Some(ElementType::Float32),
    };
    Ok(Number { values, dims, element_type })
}

fn collect(json: &Json, into: &mut Vec<f64>) -> Option<()> {
    match json {
        Json::Array(items) => items.iter().try_for_each(|item| collect(item, into)),
        other => {
            into.push(number(other)?);
            Some(())
        }
    }
}

fn is_whole(json: &Json) -> bool {
    match json {
        Json::Array(items) => items.iter().all(is_whole),
        Json::Number(number) => !number.is_f64(),
        Json::Bool(_) => true,
        other => integer(other).is_some(),
    }
}

/// The type that values of these types are brought to.
fn common(types: impl Iterator<Item = Option<ElementType>>) -> ElementType {
    let rank = |element_type: ElementType| match element_type {
        ElementType::Bool => 0,
        ElementType::Uint8 => 1,
        ElementType::Int8 => 2,
        ElementType::Uint16 => 3,
        ElementType::Int16 => 4,
        ElementType::Uint32 => 5,
        ElementType::Int32 => 6,
        ElementType::Uint64 => 7,
        ElementType::Int64 => 8,
        _ => 9,
    };
    let found = types.flatten().max_by_key(|&element_type| rank(element_type));
    match found.unwrap_or(ElementType::Float32) {
        found if rank(found) < 9 => found,
        _ => ElementType::Float32,
    }
}

/// These arguments as values of one type.
pub(crate) fn values(
    bound: &Bound<Value>,
    names: &[&str],
    to: &mut Converter<'_>,
) -> Result<Vec<Value>, Fault> {
    let arguments = names.iter().map(|name| bound.need(name)).collect::<Result<Vec<_>, _>>()?;
    let mut parts = Vec::with_capacity(names.len());
    for argument in arguments {
        parts.push(match argument {
            Argument::Value(value) => Ok(value.clone()),
            other => Err(constant(&other.to_json().unwrap_or(Json::Null))?),
        });
    }
    let wanted = common(parts.iter().map(|part| match part {
        Ok(value) => Some(value.element_type),
        Err(number) => number.element_type,
    }));
    let mut values = Vec::with_capacity(parts.len());
    for part in parts {
        values.push(match part {
            Ok(value) => to.cast(&value, wanted),
            Err(number) => to.constant(written(&number, wanted)?),
        });
    }
    Ok(values)
}

fn written(number: &Number, element_type: ElementType) -> Result<Constant, Fault> {
    let array = Array::from_f64s(element_type, &number.dims, number.values.clone());
    let tensor = array.and_then(|array| array.to_tensor());
    let tensor = tensor.map_err(|error| Fault::malformed(error.to_string()))?;
    Ok(Constant::raw("value", element_type, &number.dims, tensor.data().clone()))
}

/// These arguments as arrays of one type.
pub(crate) fn arrays(bound: &Bound<Array>, names: &[&str]) -> Result<Vec<Array>, EvaluateError> {
    let mut parts = Vec::with_capacity(names.len());
    for name in names {
        parts.push(match bound.need(name)? {
            Argument::Value(array) => Ok(array.clone()),
            other => Err(constant(&other.to_json().unwrap_or(Json::Null))?),
        });
    }
    let wanted = common(parts.iter().map(|part| match part {
        Ok(array) => Some(array.element_type()),
        Err(number) => number.element_type,
    }));
    let arrays = parts.into_iter().map(|part| match part {
        Ok(array) if array.element_type() == wanted => Ok(array),
        Ok(array) => elementwise::cast(&array, wanted),
        Err(number) => Array::from_f64s(wanted, &number.dims, number.values),
    });
    arrays.collect()
}

/// The value of an argument, which may be a constant.
pub(crate) fn value(
    bound: &Bound<Value>,
    name: &str,
    to: &mut Converter<'_>,
) -> Result<Value, Fault> {
    let mut values = values(bound, &[name], to)?;
    Ok(values.swap_remove(0))
}

/// The array of an argument, which may be a constant.
pub(crate) fn array(bound: &Bound<Array>, name: &str) -> Result<Array, EvaluateError> {
    let mut arrays = arrays(bound, &[name])?;
    Ok(arrays.swap_remove(0))
}
