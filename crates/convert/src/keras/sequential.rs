//! `Sequential`: layers one after the other.

use serde_json::Value as Json;

use crate::keras::argument::Arguments;
use crate::keras::fault::Fault;
use crate::keras::layer::Layer;
use crate::keras::layers::input::Input;
use crate::keras::names::Names;
use crate::keras::network::{Call, Network, Output, Reference};
use crate::keras::reader::{Context, class_of};

/// Reads a `Sequential` model.
pub(crate) fn read(json: &Json, context: &mut Context<'_>) -> Result<Network, Fault> {
    let config = json.get("config").unwrap_or(&Json::Null);
    // Before Keras 2.2 the options were the list of layers.
    let list = config.as_array().or_else(|| config.get("layers")?.as_array());
    let list = list.ok_or_else(|| Fault::malformed("expected a list of 'layers', found none"))?;
    let mut names = Names::default();
    let mut layers = Vec::with_capacity(list.len() + 1);
    for json in list {
        let class = class_of(json).unwrap_or_default();
        // An input layer has no weights, and is not counted among those that may have some.
        let name = if class == "InputLayer" { "input".into() } else { names.next(&class) };
        let path = format!("{}/layers/{name}", context.place.path.trim_end_matches('/'));
        let path = path.trim_start_matches('/').to_owned();
        layers.push(context.reader.layer(json, path, &context.place)?);
    }
    if layers.first().is_none_or(|layer| layer.class != "InputLayer") {
        layers.insert(0, input_layer(json, list.first(), context));
    }
    let name = layers.last().map_or(String::new(), |layer| layer.name.clone());
    let calls = (0..layers.len()).map(|index| Call {
        layer: index,
        arguments: match index.checked_sub(1) {
            None => Arguments { positional: Vec::new(), named: Vec::new() },
            Some(before) => Arguments::one(Reference { call: before, tensor: 0 }),
        },
    });
    let calls: Vec<Call> = calls.collect();
    let last = Reference { call: calls.len() - 1, tensor: 0 };
    Ok(Network { layers, calls, inputs: vec![0], outputs: vec![Output { name, from: last }] })
}

/// The input that a model has whose layers begin without one.
fn input_layer(json: &Json, first: Option<&Json>, context: &Context<'_>) -> Layer {
    let name = match first.and_then(crate::keras::reader::name_of) {
        Some(first) => format!("{first}_input"),
        None => "input".into(),
    };
    let shape = first.and_then(first_shape).or_else(|| build_shape(json));
    let input = Input::new(shape, first.and_then(|first| first.get("config")?.get("dtype")));
    Layer {
        label: format!("{}/{name}", context.place.label).trim_start_matches('/').to_owned(),
        name,
        class: "InputLayer".into(),
        path: String::new(),
        trainable: false,
        policy: input.policy(),
        operation: Ok(Box::new(input)),
    }
}

/// The shape that the first layer says it takes: its own option, or that of the model it is.
fn first_shape(json: &Json) -> Option<&Json> {
    let mut json = json;
    // Bounded: each step goes one level down in the JSON.
    loop {
        let config = json.get("config")?;
        let shape = config.get("batch_input_shape").or_else(|| config.get("batch_shape"));
        if shape.is_some() {
            return shape;
        }
        let inner = config.as_array().or_else(|| config.get("layers")?.as_array());
        json = match inner {
            Some(layers) => layers.first()?,
            // A wrapper.
            None => return None,
        };
    }
}

/// The shape that the model was built for.
fn build_shape(json: &Json) -> Option<&Json> {
    let config = json.get("config")?;
    let shape = config.get("build_input_shape").filter(|shape| shape.is_array());
    shape.or_else(|| json.get("build_config")?.get("input_shape").filter(|shape| shape.is_array()))
}
