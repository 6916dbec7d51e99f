//! `InputLayer`: where data comes in.

use modelyard_graph::ElementType;
use modelyard_tensor::Dim;
use serde_json::Value as Json;

use crate::EvaluateError;
use crate::keras::argument::Arguments;
use crate::keras::config::{Config, integer};
use crate::keras::converter::Converter;
use crate::keras::evaluator::{Evaluator, Sample};
use crate::keras::fault::Fault;
use crate::keras::layer::{Layer, Operation};
use crate::keras::value::Value;

/// An input of a model.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    /// Its shape, where the file says it; free dimensions have no name yet.
    pub(crate) dims: Option<Vec<Dim>>,
    /// What its elements are.
    pub(crate) element_type: ElementType,
}

/// Names that versions of Keras gave the shape.
const SHAPE: [&str; 2] = ["batch_shape", "batch_input_shape"];

/// Size of a free axis of an image to try a model with: the least that every published
/// architecture takes is 75.
const FREE_SPACE: usize = 96;

impl Input {
    /// An input of this shape and type.
    pub(crate) fn new(shape: Option<&Json>, dtype: Option<&Json>) -> Input {
        let dims = shape.and_then(Json::as_array).map(|dims| {
            let dim = |dim: &Json| {
                let size = integer(dim).and_then(|size| usize::try_from(size).ok());
                size.filter(|&size| size > 0).map_or(Dim::Free, Dim::Fixed)
            };
            dims.iter().map(dim).collect()
        });
        Input { dims, element_type: element_type(dtype.and_then(Json::as_str)) }
    }

    /// The type that the layer says it computes in.
    pub(crate) fn policy(&self) -> Option<ElementType> {
        Some(self.element_type)
    }

    /// The shape with names for what is free: `batch`, and the input's name with the axis.
    pub(crate) fn named_dims(&self, name: &str) -> Vec<Dim> {
        let named = |(axis, dim): (usize, &Dim)| match (axis, dim) {
            (0, Dim::Free) => Dim::Symbol("batch".into()),
            (_, Dim::Free) => Dim::Symbol(format!("{name}_{axis}")),
            (_, other) => other.clone(),
        };
        self.dims.iter().flatten().enumerate().map(named).collect()
    }

    /// Sizes of free axes to try the model with.
    pub(crate) fn trial_sizes(&self, name: &str) -> Vec<(String, usize)> {
        let dims = self.named_dims(name);
        let symbols = dims.iter().enumerate().skip(1).filter_map(|(axis, dim)| match dim {
            Dim::Symbol(symbol) if dims.len() >= 4 && axis + 1 < dims.len() => {
                Some((symbol.clone(), FREE_SPACE))
            }
            _ => None,
        });
        symbols.collect()
    }
}

/// Reads an `InputLayer`.
pub(crate) fn read(config: &Config) -> Result<Box<dyn Operation>, Fault> {
    if config.flag(&["ragged"], false)? || config.flag(&["sparse"], false)? {
        return Err(Fault::unsupported("a ragged or sparse input", "use a dense input"));
    }
    Ok(Box::new(Input::new(config.get(&SHAPE), config.get(&["dtype"]))))
}

/// The type of this name; `float` for none.
pub(crate) fn element_type(name: Option<&str>) -> ElementType {
    match name.unwrap_or("float32") {
        "float16" => ElementType::Float16,
        "bfloat16" => ElementType::Bfloat16,
        "float64" => ElementType::Float64,
        "int8" => ElementType::Int8,
        "int16" => ElementType::Int16,
        "int32" => ElementType::Int32,
        "int64" => ElementType::Int64,
        "uint8" => ElementType::Uint8,
        "uint16" => ElementType::Uint16,
        "uint32" => ElementType::Uint32,
        "uint64" => ElementType::Uint64,
        "bool" => ElementType::Bool,
        "string" => ElementType::String,
        _ => ElementType::Float32,
    }
}

impl Operation for Input {
    fn as_input(&self) -> Option<&Input> {
        Some(self)
    }

    fn convert(
        &self,
        _: &Layer,
        call: &Arguments<Value>,
        _: &mut Converter<'_>,
    ) -> Result<Vec<Value>, Fault> {
        Ok(vec![call.input()?.clone()])
    }

    fn evaluate(
        &self,
        _: &Layer,
        call: &Arguments<Sample>,
        _: &Evaluator<'_>,
    ) -> Result<Vec<Sample>, EvaluateError> {
        Ok(vec![call.input()?.clone()])
    }
}
