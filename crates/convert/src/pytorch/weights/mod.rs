//! Files that hold only weights: what `torch.save` writes of a state dict, and safetensors. What is
//! computed with them comes from elsewhere: from a `.pt2` or ONNX model of the same architecture,
//! from a `config.json` of Hugging Face beside them, or from a template.
//!
//! | module | holds |
//! |---|---|
//! | `containers`, `tar` | what `torch.save` wrote over the years |
//! | `rebuild` | tensors in a pickle |
//! | `checkpoint` | the state dict among other things |
//! | `safetensors`, `shards` | weights in safetensors, in one file or several |
//! | `fitting` | weights for the names and shapes that an architecture has |
//! | `architecture` | which architecture, and where it comes from |
//! | `beside` | what other files beside a `config.json` say |
//! | `program`, `onnx` | weights in a program, or in an ONNX model |
//! | `templates` | architectures that are built in |

mod architecture;
mod beside;
mod checkpoint;
mod containers;
mod fitting;
mod onnx;
mod program;
pub(crate) mod rebuild;
mod safetensors;
mod shards;
mod tar;
mod templates;

use std::collections::BTreeMap;

use crate::input::Source;
use crate::pytorch::weight::Weight;
use crate::{ConvertError, Format, Limits, Options, SourceModel};

/// What errors call the format.
const FORMAT: &str = "PyTorch state dict";

/// Weights by name, and what is to be said about them.
#[derive(Debug)]
pub(crate) struct StateDict {
    pub(crate) format: Format,
    pub(crate) tensors: BTreeMap<String, Weight>,
    pub(crate) notes: Vec<String>,
}

/// Reads weights and finds the architecture that they belong to.
pub(crate) fn read(
    source: &Source,
    options: &Options,
    limits: &Limits,
) -> Result<Box<dyn SourceModel>, ConvertError> {
    let dict = state_dict(source, limits)?;
    if let Some((name, weight)) =
        dict.tensors.iter().find(|(_, weight)| weight.byte_len() > limits.tensor_bytes)
    {
        return Err(ConvertError::TooLarge {
            place: format!("tensor '{name}'"),
            what: "bytes",
            found: weight.byte_len(),
            limit: limits.tensor_bytes,
        });
    }
    architecture::model(source, dict, options, limits)
}

/// Names of the architectures that are built in.
pub(crate) fn vocabulary() -> Vec<String> {
    templates::names().map(str::to_owned).collect()
}

/// Files of weights in a folder, the better ones first.
const FILES: [&str; 4] = [
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
];

fn state_dict(source: &Source, limits: &Limits) -> Result<StateDict, ConvertError> {
    if source.file.is_some() {
        return shards::read(source, source.file()?, limits);
    }
    for name in FILES {
        if let Some(input) = source.beside(name)? {
            return shards::read(source, &input, limits);
        }
    }
    Err(crate::recognize::unrecognized(source, "a folder without weights in it"))
}

fn damaged(place: String, message: impl Into<String>) -> ConvertError {
    ConvertError::Malformed { format: FORMAT, place, message: message.into() }
}
