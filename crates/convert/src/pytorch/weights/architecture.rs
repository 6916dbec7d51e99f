//! Which architecture weights belong to: one that the caller names, one that a `config.json` beside
//! them describes, or the only one that is built in and has just these names and shapes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::StateDict;
use super::beside::Beside;
use super::fitting::{Misfit, misfit, renamed};
use super::templates::{self, Builder, Built, Config};
use super::{onnx, program};
use crate::input::Source;
use crate::pytorch::weight::Weight;
use crate::recognize::recognize;
use crate::{ConvertError, Format, Limits, Options, SourceModel};

/// Where an architecture comes from.
enum Architecture {
    Template(&'static templates::Template),
    Config(Config, Beside),
}

impl Architecture {
    fn name(&self) -> String {
        match self {
            Architecture::Template(template) => template.name.to_owned(),
            Architecture::Config(config, _) => match config.class() {
                "" => config.model_type().to_owned(),
                class => class.to_owned(),
            },
        }
    }

    /// Labels of classes, and what images go through before.
    fn metadata(&self) -> (Vec<String>, Option<String>) {
        match self {
            Architecture::Template(_) => (Vec::new(), None),
            Architecture::Config(config, beside) => (config.labels(), beside.preprocessing.clone()),
        }
    }

    /// Its program, with the weights that have the right names and shapes.
    fn build(
        &self,
        weights: &BTreeMap<String, Weight>,
        options: &Options,
    ) -> Result<Built, ConvertError> {
        let mut to = Builder::new(&self.name(), weights);
        to.shapes.clone_from(&options.shapes);
        match self {
            Architecture::Template(template) => (template.build)(&mut to),
            Architecture::Config(config, beside) => {
                to.pooling = beside.pooling;
                templates::from_config(&mut to, config).map_err(ConvertError::Option)?;
            }
        }
        Ok(to.finish())
    }
}

/// The model that these weights make.
pub(super) fn model(
    source: &Source,
    dict: StateDict,
    options: &Options,
    limits: &Limits,
) -> Result<Box<dyn SourceModel>, ConvertError> {
    let architecture = match &options.architecture {
        Some(name) => {
            let path = Path::new(name);
            if path.is_file() {
                return from_file(path, dict, options, limits);
            }
            Architecture::Template(named(name)?)
        }
        None => match beside(source, limits)? {
            Some(config) => config,
            None => by_shape(source, &dict)?,
        },
    };
    with_weights(&architecture, dict, options)
}

/// The architecture in a file: a `.pt2`, an ONNX model or a `config.json`.
fn from_file(
    path: &Path,
    dict: StateDict,
    options: &Options,
    limits: &Limits,
) -> Result<Box<dyn SourceModel>, ConvertError> {
    let file = Source::open(path, limits)?;
    let input = file.file()?;
    if input.head(1)?.starts_with(b"{") {
        let text = input.read_all(limits.description_bytes)?;
        let config = Config::parse(&text).map_err(|message| {
            ConvertError::Option(format!("'{}' gives no architecture: {message}", path.display()))
        })?;
        return with_weights(&Architecture::Config(config, Beside::read(&file)?), dict, options);
    }
    match recognize(&file)? {
        Format::ExportedProgram => program::from_exported(&file, dict, (options, limits)),
        Format::Onnx => onnx::with_weights(&file, dict, limits),
        other => Err(ConvertError::Option(format!(
            "'{}' gives no architecture: expected a .pt2, an ONNX model or a config.json, found a \
             {other}",
            path.display()
        ))),
    }
}

fn named(name: &str) -> Result<&'static templates::Template, ConvertError> {
    templates::find(name).ok_or_else(|| {
        let nearest = templates::nearest(name).join(", ");
        ConvertError::Option(format!(
            "architecture '{name}' is neither a file nor built in; the nearest that are: {nearest}; \
             all: {}",
            templates::all().map(|template| template.name).collect::<Vec<_>>().join(", ")
        ))
    })
}

/// The architecture that a `config.json` beside the weights describes.
fn beside(source: &Source, limits: &Limits) -> Result<Option<Architecture>, ConvertError> {
    let Some(input) = source.beside("config.json")? else { return Ok(None) };
    let text = input.read_all(limits.description_bytes)?;
    // A file of this name may be something else.
    let Ok(config) = Config::parse(&text) else { return Ok(None) };
    Ok(Some(Architecture::Config(config, Beside::read(source)?)))
}

/// The only template that has all of these names and shapes.
fn by_shape(source: &Source, dict: &StateDict) -> Result<Architecture, ConvertError> {
    let options = Options::default();
    let fits = |template: &&'static templates::Template| {
        let fitted = fit(&Architecture::Template(template), dict.tensors.clone(), &options);
        fitted.is_ok_and(|fitted| fitted.misfit.is_none())
    };
    let found: Vec<&'static templates::Template> = templates::all().filter(fits).collect();
    match found.as_slice() {
        [only] => Ok(Architecture::Template(only)),
        _ => Err(ConvertError::Option(format!(
            "'{}' holds {} weights, but not what is computed with them, and their names ({}) are not \
             those of an architecture that is built in; say which one it is: the path of a .pt2 or \
             ONNX model of it, of a Hugging Face config.json, or one of {}",
            source.path.display(),
            dict.tensors.len(),
            dict.tensors.keys().take(3).cloned().collect::<Vec<_>>().join(", "),
            templates::all().map(|template| template.name).collect::<Vec<_>>().join(", ")
        ))),
    }
}

/// An architecture with weights in it.
struct Fitted {
    built: Built,
    misfit: Misfit,
    /// What was done to the names.
    note: Option<String>,
}

fn fit(
    architecture: &Architecture,
    tensors: BTreeMap<String, Weight>,
    options: &Options,
) -> Result<Fitted, ConvertError> {
    // What it asks for may depend on which weights there are.
    let first = architecture.build(&tensors, options)?;
    let expected: BTreeSet<&str> = first.expected.keys().map(String::as_str).collect();
    let (tensors, note) = renamed(tensors, &expected);
    let built = if note.is_some() { architecture.build(&tensors, options)? } else { first };
    let misfit = misfit(&tensors, &built.expected);
    Ok(Fitted { built, misfit, note })
}

fn with_weights(
    architecture: &Architecture,
    dict: StateDict,
    options: &Options,
) -> Result<Box<dyn SourceModel>, ConvertError> {
    let StateDict { format, tensors, mut notes } = dict;
    let Fitted { built, misfit, note } = fit(architecture, tensors, options)?;
    let name = architecture.name();
    if !misfit.is_none() {
        return Err(misfit.error(&name));
    }
    notes.extend(note);
    notes.push(format!("the architecture is {name}"));
    program::model(built, (format, options), notes, architecture.metadata())
}
