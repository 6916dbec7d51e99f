//! A model that was read.

use modelyard_graph::ElementType;
use modelyard_tensor::Tensor;
use serde_json::Value as Json;

use crate::archive::Archive;
use crate::emitter::{Emitter, node};
use crate::input::Source;
use crate::keras::converter::Converter;
use crate::keras::evaluator::{Evaluator, Sample};
use crate::keras::hdf5::{Hdf5, malformed};
use crate::keras::layer::Layer;
use crate::keras::layers::input::Input;
use crate::keras::network::Network;
use crate::keras::reader::{Context, Place, Reader, class_of};
use crate::keras::value::Value;
use crate::keras::weights::Weights;
use crate::keras::{FORMAT, config, functional, sequential};
use crate::reference::{Array, Data};
use crate::source::SourceModel;
use crate::{Conversion, ConvertError, EvaluateError, Format, Limits, Options, Tolerance};

/// A Keras model.
#[derive(Debug)]
struct KerasModel {
    format: Format,
    /// The version of Keras that wrote it.
    version: String,
    name: String,
    network: Network,
    weights: Weights,
    inputs: Vec<Input>,
    notes: Vec<String>,
    limits: Limits,
}

/// What a file holds: the JSON that describes the model, and its weights.
struct File {
    format: Format,
    version: String,
    json: String,
    weights: Hdf5,
}

/// Reads a `.keras` archive or an HDF5 file.
pub(crate) fn read(
    source: &Source,
    options: &Options,
    limits: &Limits,
) -> Result<Box<dyn SourceModel>, ConvertError> {
    let input = source.file()?;
    let is_zip = input.head(2)?.starts_with(b"PK");
    let file = if is_zip { archived(source, limits)? } else { whole_file(source, limits)? };
    let json: Json = serde_json::from_str(&file.json)
        .map_err(|error| malformed("the description of the model", error))?;
    let json = config::without_tuples(json);
    let major = file.version.split('.').next().and_then(|part| part.parse().ok()).unwrap_or(1);
    let mut reader = Reader::new(major, limits);
    let network = top_network(&json, &mut reader)?;
    let weights = match file.format {
        Format::KerasHdf5 => {
            let layers = network.layers.iter();
            let layers: Vec<_> = layers.map(|it| (it.name.clone(), it.variables())).collect();
            Weights::of_hdf5(file.weights, &layers, major)?
        }
        _ => Weights::of_archive(file.weights),
    };
    let mut inputs = Vec::new();
    for index in 0..network.inputs.len() {
        inputs.push(input_of(&network, index, options)?);
    }
    check_options(&network, options)?;
    let name = functional::model_name(&json);
    let (format, version, notes) = (file.format, file.version, reader.notes);
    let limits = limits.clone();
    Ok(Box::new(KerasModel { format, version, name, network, weights, inputs, notes, limits }))
}

/// What a `.keras` archive holds.
fn archived(source: &Source, limits: &Limits) -> Result<File, ConvertError> {
    let archive = Archive::open(source.file()?, FORMAT, limits)?;
    let json = archive.read_text("config.json")?;
    let version = match archive.contains("metadata.json") {
        true => {
            let metadata: Json = serde_json::from_str(&archive.read_text("metadata.json")?)
                .map_err(|error| malformed("metadata.json", error))?;
            metadata.get("keras_version").and_then(Json::as_str).unwrap_or("3").to_owned()
        }
        false => "3".to_owned(),
    };
    if !archive.contains("model.weights.h5") {
        let message = "it has no 'model.weights.h5'; save the model in one piece, without \
                       sharding (`model.save(\"model.keras\")`)";
        return Err(malformed("the archive", message));
    }
    let weights = Hdf5::open(&archive.input("model.weights.h5")?, limits)?;
    Ok(File { format: Format::KerasArchive, version, json, weights })
}

/// What a model in HDF5 holds.
fn whole_file(source: &Source, limits: &Limits) -> Result<File, ConvertError> {
    let weights = Hdf5::open(source.file()?, limits)?;
    let Some(json) = weights.text("", "model_config")? else {
        return Err(ConvertError::Unrecognized {
            path: source.path.clone(),
            expected: "a whole Keras model, with the attribute 'model_config'".into(),
            found: "an HDF5 file without one, perhaps weights alone; save the whole model \
                    (`model.save(\"model.keras\")`, not `save_weights`)"
                .into(),
        });
    };
    let root = weights.text("", "keras_version")?;
    let version = match root {
        Some(version) => version,
        None if weights.has_group("model_weights") => {
            weights.text("model_weights", "keras_version")?.unwrap_or_else(|| "1".into())
        }
        None => "1".into(),
    };
    Ok(File { format: Format::KerasHdf5, version, json, weights })
}

/// The model as a whole.
fn top_network(json: &Json, reader: &mut Reader) -> Result<Network, ConvertError> {
    let class = class_of(json).unwrap_or_default();
    if let Some(class) = functional::derived_class(json) {
        reader.notes.push(format!(
            "the model's class {class} is not in the file; its graph of layers is converted, what \
             the class does otherwise is not"
        ));
    }
    let trainable = json.get("config").and_then(|config| config.get("trainable"));
    let trainable = trainable.and_then(Json::as_bool).unwrap_or(true);
    let place = Place { trainable, ..Place::default() };
    let mut context = Context { reader, place, quantized: None };
    let network = match class.as_str() {
        "Sequential" => sequential::read(json, &mut context),
        _ => functional::read(json, &mut context),
    };
    network.map_err(|fault| fault.into_error(&functional::model_name(json)))
}

/// An input of the model, with the shape that the caller wants.
fn input_of(network: &Network, index: usize, options: &Options) -> Result<Input, ConvertError> {
    let layer = network.input_layer(index);
    let operation = layer.and_then(|layer| layer.operation.as_ref().ok());
    let found = layer.zip(operation.and_then(|operation| operation.as_input()));
    let Some((layer, input)) = found else {
        return Err(malformed("the inputs of the model", "expected an InputLayer, found another"));
    };
    let mut input = input.clone();
    if let Some(dims) = options.shapes.get(&layer.name) {
        input.dims = Some(dims.clone());
    }
    if input.dims.is_none() {
        return Err(ConvertError::Option(format!(
            "the file does not say which shape the input '{}' has; say it with its name, such as \
             '{}=batch,224,224,3'",
            layer.name, layer.name
        )));
    }
    Ok(input)
}

fn check_options(network: &Network, options: &Options) -> Result<(), ConvertError> {
    let names: Vec<&str> = (0..network.inputs.len())
        .filter_map(|index| network.input_layer(index).map(|layer| layer.name.as_str()))
        .collect();
    match options.shapes.keys().find(|name| !names.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => Err(ConvertError::Option(format!(
            "the model has no input '{name}'; its inputs are {}",
            names.join(", ")
        ))),
    }
}

impl KerasModel {
    /// Names of the outputs: those of the layers, made different from each other and from the
    /// inputs.
    fn output_names(&self) -> Vec<String> {
        let inputs = (0..self.inputs.len()).map(|index| self.input_name(index).to_owned());
        let mut taken: Vec<String> = inputs.collect();
        let mut names = Vec::new();
        for output in &self.network.outputs {
            let mut name = output.name.clone();
            let mut count = 0;
            while taken.contains(&name) {
                count += 1;
                name = format!("{}_{count}", output.name);
            }
            taken.push(name.clone());
            names.push(name);
        }
        names
    }

    fn input_name(&self, index: usize) -> &str {
        self.network.input_layer(index).map_or("", |layer: &Layer| &layer.name)
    }

    fn add_inputs(&self, emitter: &mut Emitter) -> Vec<Value> {
        let mut values = Vec::new();
        for (index, input) in self.inputs.iter().enumerate() {
            let name = self.input_name(index).to_owned();
            let dims = input.named_dims(&name);
            emitter.input(&name, input.element_type, Some(&dims));
            let element_type = input.element_type;
            values.push(Value { name, dims, element_type, mask: None, declared: None });
        }
        values
    }

    /// What the reader should know of floats that are not 32 bits wide.
    fn widths(&self, conversion: &mut Conversion) {
        let is_other = |layer: &&Layer| layer.policy.is_some_and(|it| it != ElementType::Float32);
        let Some(layer) = self.network.layers.iter().find(is_other) else { return };
        let element_type = layer.policy.unwrap_or(ElementType::Float32);
        conversion.notes.push(format!(
            "the model computes in {element_type}; it was converted to compute in float, so answers \
             differ by rounding"
        ));
        conversion.tolerance = match element_type {
            ElementType::Float16 => Tolerance { relative: 1e-2, ..Tolerance::default() },
            ElementType::Bfloat16 => Tolerance { relative: 5e-2, ..Tolerance::default() },
            _ => Tolerance::default(),
        };
    }
}

impl SourceModel for KerasModel {
    fn format(&self) -> Format {
        self.format
    }

    fn producer(&self) -> String {
        format!("Keras {}", self.version)
    }

    fn convert(&self, _: &Options) -> Result<Conversion, ConvertError> {
        let mut emitter = Emitter::new(&self.name);
        let mut values = self.add_inputs(&mut emitter);
        let names = self.output_names();
        names.iter().for_each(|name| emitter.reserve(name));
        let mut to = Converter::new(emitter, &self.weights, self.limits.nodes);
        for value in &mut values {
            let declared = value.element_type;
            // Floats of any width are computed as 32-bit ones.
            if is_other_float(declared) {
                *value = to.float(value);
                value.declared = Some(declared);
            }
        }
        let outputs = self.network.convert_calls(values, &mut to);
        let outputs = outputs.map_err(|fault| fault.into_error(&self.name))?;
        to.emitter.begin("outputs", "outputs");
        for (name, output) in names.iter().zip(outputs) {
            let Some(output) = output else { continue };
            let declared = output.declared.filter(|it| is_other_float(*it));
            let element_type = declared.unwrap_or(output.element_type);
            let value = match declared {
                Some(wanted) => {
                    let code = i64::from(wanted.code());
                    to.add(node("Cast", &[&output.name]).with("to", code))
                }
                None => output.name.clone(),
            };
            to.emitter.output(name, &value, element_type, Some(&output.dims));
        }
        let (notes, relative) = (std::mem::take(&mut to.notes), to.relative);
        let (model, mut steps) = to.emitter.finish()?;
        steps.retain(|step| step.operator != "outputs");
        let mut conversion = Conversion::new(model, steps);
        conversion.notes = self.notes.iter().cloned().chain(notes).collect();
        conversion.notes.dedup();
        self.widths(&mut conversion);
        conversion.tolerance.relative = conversion.tolerance.relative.max(relative);
        for (index, input) in self.inputs.iter().enumerate() {
            conversion.sizes.extend(input.trial_sizes(self.input_name(index)));
        }
        Ok(conversion)
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, EvaluateError> {
        if inputs.len() != self.inputs.len() {
            let (expected, found) = (self.inputs.len(), inputs.len());
            return Err(EvaluateError::new(format!("expected {expected} inputs, found {found}")));
        }
        let mut samples = Vec::new();
        for (tensor, input) in inputs.iter().zip(&self.inputs) {
            let array = Array::from_tensor(tensor)?;
            let declared = Some(input.element_type).filter(|it| is_other_float(*it));
            samples.push(Sample { array: as_floats(array)?, mask: None, declared });
        }
        let with = Evaluator::new(&self.weights, self.limits.nodes);
        let outputs = self.network.evaluate_calls(samples, &with)?;
        let tensors = outputs.into_iter().map(|output| {
            let declared = output.declared.filter(|it| is_other_float(*it));
            match (declared, output.array.data()) {
                (Some(wanted), Data::Floats(_)) => {
                    let dims = output.array.dims().to_vec();
                    Array::from_f64s(wanted, &dims, output.array.to_f64s()?)?.to_tensor()
                }
                _ => output.array.to_tensor(),
            }
        });
        tensors.collect()
    }
}

fn is_other_float(element_type: ElementType) -> bool {
    matches!(element_type, ElementType::Float16 | ElementType::Bfloat16 | ElementType::Float64)
}

/// Floats of all widths as 32-bit ones.
fn as_floats(array: Array) -> Result<Array, EvaluateError> {
    match is_other_float(array.element_type()) {
        true => {
            let dims = array.dims().to_vec();
            Array::from_f64s(ElementType::Float32, &dims, array.to_f64s()?)
        }
        false => Ok(array),
    }
}
