//! Functions of `keras.ops`, and of TensorFlow in files of Keras 2, that are applied to tensors like
//! layers.
//!
//! | module | holds |
//! |---|---|
//! | `bound` | the arguments of a call by their names |
//! | `operands` | two or more values brought to one type |
//! | `elementwise` | one value or two, each element by itself |
//! | `reductions` | sums, means, largest elements |
//! | `shapes` | other shapes and orders of the same elements |
//! | `joins` | several values become one, or one becomes several |
//! | `items` | parts of a value |
//! | `products` | products of matrices |
//! | `neural` | softmax and the like |
//! | `tensorflow` | what TensorFlow calls them |
//!
//! Adding one is a line in the table of its module.

mod bound;
mod elementwise;
mod items;
mod joins;
mod neural;
mod operands;
mod products;
mod reductions;
mod shapes;
mod tensorflow;

use crate::EvaluateError;
use crate::keras::argument::{Argument, Arguments};
use crate::keras::config::Config;
use crate::keras::converter::Converter;
use crate::keras::evaluator::{Evaluator, Sample};
use crate::keras::fault::Fault;
use crate::keras::functions::bound::Bound;
use crate::keras::layer::{Layer, Operation};
use crate::keras::value::Value;
use crate::reference::Array;

/// A function: its names in Keras, its parameters in order, what it becomes and what it computes.
struct Entry {
    names: &'static [&'static str],
    parameters: &'static [&'static str],
    convert: fn(&Bound<Value>, &mut Converter<'_>) -> Result<Vec<Value>, Fault>,
    evaluate: fn(&Bound<Array>) -> Result<Vec<Array>, EvaluateError>,
}

/// The tables of all modules.
const TABLES: &[&[Entry]] = &[
    elementwise::ENTRIES,
    reductions::ENTRIES,
    shapes::ENTRIES,
    joins::ENTRIES,
    items::ENTRIES,
    products::ENTRIES,
    neural::ENTRIES,
];

fn entry(name: &str) -> Option<&'static Entry> {
    TABLES.iter().flat_map(|table| table.iter()).find(|entry| entry.names.contains(&name))
}

/// Names of the functions, as Keras has their classes.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    TABLES.iter().flat_map(|table| table.iter()).flat_map(|entry| entry.names.iter().copied())
}

/// Whether there is a function of this name.
pub(crate) fn is_known(name: &str) -> bool {
    entry(name).is_some()
}

/// Whether it is a class by which Keras 2 applied a function of TensorFlow.
pub(crate) fn is_lambda(class: &str) -> bool {
    matches!(class, "TFOpLambda" | "SlicingOpLambda" | "TensorFlowOpLayer" | "ClassMethod")
}

/// A function with the options that it was made with.
#[derive(Debug)]
struct Function {
    entry: &'static Entry,
    /// What the file calls the arguments, in their order; `None` where it is as in the entry.
    parameters: &'static [&'static str],
    /// Arguments that are options.
    options: Vec<(String, serde_json::Value)>,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.names.first().unwrap_or(&""))
    }
}

/// Reads a function.
pub(crate) fn read(class: &str, config: &Config) -> Result<Box<dyn Operation>, Fault> {
    let (name, parameters) = if is_lambda(class) {
        let function = config.text(&["function"], "")?;
        let function = if function.is_empty() { config.text(&["name"], "")? } else { function };
        let found = tensorflow::find(&function);
        let (name, parameters) = found.ok_or_else(|| missing(&format!("tf.{function}")))?;
        (name, Some(parameters))
    } else {
        (class, None)
    };
    let entry = entry(name).ok_or_else(|| missing(&format!("keras.ops.{name}")))?;
    let options = match parameters {
        Some(_) => Vec::new(),
        None => config.entries(entry.parameters),
    };
    let parameters = parameters.unwrap_or(entry.parameters);
    Ok(Box::new(Function { entry, parameters, options }))
}

fn missing(name: &str) -> Fault {
    Fault::unsupported(
        format!("the function {name}"),
        "build it from layers and keras.ops that are covered",
    )
}

impl Function {
    fn bind<V: Clone>(&self, call: &Arguments<V>) -> Bound<V> {
        let mut bound = Bound::default();
        for (index, argument) in call.positional.iter().enumerate() {
            if let Some(name) = self.entry.parameters.get(index) {
                bound.set(name, argument.clone());
            }
        }
        let options = self.options.iter().map(|(name, json)| (name, Argument::Json(json.clone())));
        let named = call.named.iter().map(|(name, argument)| (name, argument.clone()));
        for (name, argument) in options.chain(named) {
            // By its place, as the file and the entry may have other names for it.
            let place = self.parameters.iter().position(|parameter| parameter == name);
            let own = place.and_then(|place| self.entry.parameters.get(place));
            let own = own.or_else(|| self.entry.parameters.iter().find(|own| *own == name));
            if let Some(own) = own {
                bound.set(own, argument);
            }
        }
        bound
    }
}

impl Operation for Function {
    fn convert(
        &self,
        _: &Layer,
        call: &Arguments<Value>,
        to: &mut Converter<'_>,
    ) -> Result<Vec<Value>, Fault> {
        (self.entry.convert)(&self.bind(call), to)
    }

    fn evaluate(
        &self,
        _: &Layer,
        call: &Arguments<Sample>,
        _: &Evaluator<'_>,
    ) -> Result<Vec<Sample>, EvaluateError> {
        let call = call.try_map(&mut |sample| Ok::<_, EvaluateError>(sample.array.clone()))?;
        let outputs = (self.entry.evaluate)(&self.bind(&call))?;
        Ok(outputs.into_iter().map(Sample::new).collect())
    }
}
