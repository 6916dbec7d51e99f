//! Models from a short description of their layers: `dense(128, relu), dense(10, softmax)`.
//!
//! | module | does |
//! |---|---|
//! | `spec` | text and TOML to [`LayerSpec`]s: a name and its arguments |
//! | `arguments` | reads the arguments of one layer, names what does not belong |
//! | `network` | layers put one on the other, with the shape between them |
//! | `dense`, `convolution`, ... | one kind of layer a file |
//! | `init` | the first values of weights |

mod activation;
mod arguments;
mod convolution;
mod dense;
mod embedding;
mod init;
mod network;
mod normalization;
mod pooling;
mod recurrent;
mod residual;
mod shape;
mod spec;

pub use network::{Input, Normalization, build};
pub use spec::{Argument, LayerSpec, parse};

use network::Network;

/// Why layers make no model: which layer, what was expected, what was found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LayerError(pub String);

impl LayerError {
    fn new(text: impl Into<String>) -> LayerError {
        LayerError(text.into())
    }
}

/// Puts one layer on what is there.
type Add = fn(&mut Network, &LayerSpec) -> Result<(), LayerError>;

/// Every kind of layer, with its arguments as `--help` and errors show them.
const LAYERS: &[(&str, &str, Add)] = &[
    ("dense", "dense(units, activation=none, bias=true, init=auto)", dense::add),
    (
        "conv1d",
        "conv1d(filters, kernel, activation=none, stride=1, padding=valid, dilation=1, groups=1, \
         bias=true, init=auto)",
        convolution::add_1d,
    ),
    ("conv2d", "conv2d(filters, kernel, ...) as conv1d", convolution::add_2d),
    ("maxpool1d", "maxpool1d(size=2, stride=size, padding=valid)", pooling::add_max_1d),
    ("maxpool2d", "maxpool2d(size=2, stride=size, padding=valid)", pooling::add_max_2d),
    ("avgpool1d", "avgpool1d(size=2, stride=size, padding=valid)", pooling::add_average_1d),
    ("avgpool2d", "avgpool2d(size=2, stride=size, padding=valid)", pooling::add_average_2d),
    ("globalavgpool", "globalavgpool()", pooling::add_global_average),
    ("globalmaxpool", "globalmaxpool()", pooling::add_global_max),
    ("batchnorm", "batchnorm(momentum=0.9, epsilon=1e-5)", normalization::add_batch),
    ("layernorm", "layernorm(epsilon=1e-5)", normalization::add_layer),
    ("dropout", "dropout(ratio=0.5)", normalization::add_dropout),
    ("flatten", "flatten()", shape::add_flatten),
    ("embedding", "embedding(vocabulary, size)", embedding::add),
    ("lstm", "lstm(units, sequences=false, bidirectional=false)", recurrent::add_lstm),
    ("gru", "gru(units, sequences=false, bidirectional=false)", recurrent::add_gru),
    ("residual", "residual(layer, layer, ..., activation=none)", residual::add),
];

/// How every kind of layer is written, for `--help`.
pub fn usage() -> Vec<&'static str> {
    LAYERS.iter().map(|(_, usage, _)| *usage).collect()
}

#[cfg(test)]
mod tests;
