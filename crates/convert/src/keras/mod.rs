//! Keras: `.keras` archives and whole models in HDF5, of Keras 1, 2 and 3.
//!
//! A file describes its layers in JSON and has their weights in HDF5. Nothing in it is executed:
//! a Lambda layer's code, or a class from elsewhere, is refused by name.
//!
//! | module | holds |
//! |---|---|
//! | `model` | a model that was read: [`crate::SourceModel`] for Keras |
//! | `hdf5`, `weight`, `weights`, `variables` | weights, where each kind of file has them |
//! | `reader`, `config`, `fault` | layers from JSON, under the names of all versions |
//! | `sequential`, `functional`, `inbound`, `names` | models from JSON: which layer takes what |
//! | `network`, `layer`, `argument` | layers and calls between them |
//! | `converter`, `value` | what layers write nodes with |
//! | `evaluator`, `einsum` | what layers compute with |
//! | `activations` | functions that layers apply to what they give |
//! | `layers` | the layers, one file each or a few that are alike |
//! | `functions` | functions of `keras.ops` and of TensorFlow that are applied like layers |

mod activations;
mod argument;
mod config;
mod converter;
mod einsum;
mod evaluator;
mod fault;
mod functional;
mod functions;
mod hdf5;
mod inbound;
mod layer;
mod layers;
mod model;
mod names;
mod network;
mod reader;
mod sequential;
mod value;
mod variables;
mod weight;
mod weights;

pub(crate) use model::read;

/// What errors call the format.
pub(crate) const FORMAT: &str = "Keras model";

/// Names of the layers and functions that are converted.
pub(crate) fn vocabulary() -> Vec<String> {
    let models = ["Functional", "Sequential", "InputLayer"].map(str::to_owned);
    let layers = layers::names().map(str::to_owned);
    let functions = functions::names().map(|name| format!("keras.ops.{name}"));
    models.into_iter().chain(layers).chain(functions).collect()
}
