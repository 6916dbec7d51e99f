//! The layers of Keras, one file each or a few that are alike: what they become, and what they
//! compute.
//!
//! Adding one is a file and a line in [`LAYERS`].

mod activation;
mod attention;
mod batch_norm;
mod border;
mod category;
mod conv_lstm;
mod convolution;
mod convolution_transposed;
mod dense;
mod depthwise;
mod dot;
mod einsum_dense;
mod embedding;
mod global_pool;
mod group_norm;
mod identity;
pub(crate) mod input;
mod layer_norm;
mod masking;
mod merge;
mod pool;
mod prelu;
mod quantized;
mod recurrent;
mod refused;
mod reshape;
mod residual;
pub(crate) mod resize;
mod scaling;
mod unit_norm;
mod window;
mod wrapper;

use modelyard_graph::{Constant, ElementType};

use crate::EvaluateError;
use crate::keras::argument::{Argument, Arguments};
use crate::keras::config::Config;
use crate::keras::evaluator::Sample;
use crate::keras::fault::Fault;
use crate::keras::layer::Operation;
use crate::keras::layers::window::Window;
use crate::keras::reader::Context;
use crate::keras::value::Value;
use crate::reference::convolution::Convolution;
use crate::reference::{Array, elementwise};

/// Reads a layer of one of several classes.
type Read = fn(&str, &Config, &mut Context<'_>) -> Result<Box<dyn Operation>, Fault>;

/// Classes, with what reads them. Names of Keras 1 are among them.
const LAYERS: &[(&[&str], Read)] = &[
    (&["InputLayer"], |_, config, _| input::read(config)),
    (&["Dense"], dense::read),
    (&["EinsumDense"], einsum_dense::read),
    (&["Embedding"], embedding::read),
    (&["Masking"], masking::read),
    (&["Activation", "ReLU", "LeakyReLU", "ELU", "Softmax", "ThresholdedReLU"], activation::read),
    (&["PReLU"], prelu::read),
    (&["Conv1D", "Conv2D", "Conv3D"], convolution::read),
    (&["Convolution1D", "Convolution2D", "Convolution3D"], convolution::read),
    (&["AtrousConvolution1D", "AtrousConvolution2D"], convolution::read),
    (&["Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"], convolution_transposed::read),
    (&["Deconvolution2D"], convolution_transposed::read),
    (&["DepthwiseConv1D", "DepthwiseConv2D"], depthwise::read),
    (&["SeparableConv1D", "SeparableConv2D", "SeparableConvolution2D"], depthwise::read),
    (&["MaxPooling1D", "MaxPooling2D", "MaxPooling3D"], pool::read),
    (&["AveragePooling1D", "AveragePooling2D", "AveragePooling3D"], pool::read),
    (&["GlobalMaxPooling1D", "GlobalMaxPooling2D", "GlobalMaxPooling3D"], global_pool::read),
    (
        &["GlobalAveragePooling1D", "GlobalAveragePooling2D", "GlobalAveragePooling3D"],
        global_pool::read,
    ),
    (&["BatchNormalization", "SyncBatchNormalization", "BatchNormalizationV1"], batch_norm::read),
    (&["BatchNormalizationV2"], batch_norm::read),
    (&["LayerNormalization", "RMSNormalization"], layer_norm::read),
    (&["GroupNormalization"], group_norm::read),
    (&["UnitNormalization"], unit_norm::read),
    (&["Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"], merge::read),
    (&["Concatenate", "Merge"], merge::read),
    (&["Dot"], dot::read),
    (&["Flatten", "Reshape", "Permute", "RepeatVector"], reshape::read),
    (&["ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D"], border::read),
    (&["Cropping1D", "Cropping2D", "Cropping3D"], border::read),
    (&["UpSampling1D", "UpSampling2D", "UpSampling3D", "Resizing", "CenterCrop"], resize::read),
    (&["Rescaling", "Normalization", "LayerScale"], scaling::read),
    (&["CustomScaleLayer"], residual::read),
    (&["CategoryEncoding", "Discretization", "IntegerLookup"], category::read),
    (&["SimpleRNN", "LSTM", "GRU", "RNN"], recurrent::read),
    (&["Bidirectional"], recurrent::bidirectional::read),
    (&["ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"], conv_lstm::read),
    (&["TimeDistributed", "SpectralNormalization", "Wrapper"], wrapper::read),
    (
        &["MultiHeadAttention", "GroupQueryAttention", "GroupedQueryAttention"],
        attention::heads::read,
    ),
    (&["Attention", "AdditiveAttention"], attention::simple::read),
    (&["Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D"], identity::read),
    (&["AlphaDropout", "GaussianDropout", "GaussianNoise"], identity::read),
    (&["ActivityRegularization", "Identity", "StochasticDepth"], identity::read),
    (&["RandomBrightness", "RandomColorDegeneration", "RandomColorJitter"], identity::read),
    (&["RandomContrast", "RandomCrop", "RandomFlip", "RandomGrayscale"], identity::read),
    (&["RandomHeight", "RandomWidth", "RandomHue", "RandomPosterization"], identity::read),
    (&["RandomRotation", "RandomSaturation", "RandomSharpness", "RandomShear"], identity::read),
    (&["RandomTranslation", "RandomZoom", "RandomGaussianBlur", "RandomInvert"], identity::read),
    (&["RandomErasing", "RandomElasticTransform", "RandomPerspective"], identity::read),
];

/// Reads a layer of this class.
pub(crate) fn read(
    class: &str,
    config: &Config,
    context: &mut Context<'_>,
) -> Result<Box<dyn Operation>, Fault> {
    match LAYERS.iter().find(|(classes, _)| classes.contains(&class)) {
        Some((_, read)) => read(class, config, context),
        None => Err(refused::fault(class)),
    }
}

/// Classes that are read, those of all versions.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    LAYERS.iter().flat_map(|(classes, _)| classes.iter().copied())
}

/// The number of spatial axes in the name of a class: 2 of `Conv2D`.
fn rank_of(class: &str) -> usize {
    class.chars().find_map(|letter| letter.to_digit(10)).map_or(1, |digit| digit as usize)
}

/// The value; an error unless it has this many dimensions.
fn of_rank(value: &Value, rank: usize) -> Result<&Value, Fault> {
    if value.rank() != rank {
        let found = value.rank();
        return Err(Fault::malformed(format!("expected {rank} dimensions, found {found}")));
    }
    Ok(value)
}

/// The array as floats.
fn floats(array: &Array) -> Result<Array, EvaluateError> {
    match array.element_type() {
        ElementType::Float32 => Ok(array.clone()),
        _ => elementwise::cast(array, ElementType::Float32),
    }
}

/// How a window walks over spatial axes of these sizes.
fn walking(window: &Window, sizes: &[usize], groups: usize) -> Result<Convolution, EvaluateError> {
    if sizes.len() != window.size.len() {
        let (wanted, found) = (window.size.len(), sizes.len());
        return Err(EvaluateError::new(format!("expected {wanted} spatial axes, found {found}")));
    }
    Ok(convolution::padded(window, &window.pads_of(sizes)?, groups))
}

/// The first two tensors of a call.
fn two<V>(call: &Arguments<V>) -> Result<[&V; 2], Fault> {
    match call.all_values().as_slice() {
        [one, two, ..] => Ok([one, two]),
        found => Err(Fault::malformed(format!("expected two tensors, found {}", found.len()))),
    }
}

/// The mask of the first input, or the one that is given.
fn mask_value(call: &Arguments<Value>) -> Option<Value> {
    if let Some(Argument::Value(mask)) = call.named("mask") {
        return Some(mask.clone());
    }
    let first = call.all_values().into_iter().next()?;
    let dims = first.dims.iter().take(2).cloned().collect();
    let (name, element_type) = (first.mask.clone()?, ElementType::Bool);
    Some(Value { name, dims, element_type, mask: None, declared: None })
}

/// The mask of the first input, or the one that is given.
fn mask_sample(call: &Arguments<Sample>) -> Option<Array> {
    if let Some(Argument::Value(mask)) = call.named("mask") {
        return Some(mask.array.clone());
    }
    call.all_values().into_iter().next()?.mask.clone()
}

/// An error for a layer whose weights are quantized.
fn refuse_quantized(context: &Context<'_>) -> Result<(), Fault> {
    match &context.quantized {
        None => Ok(()),
        Some(mode) => Err(Fault::unsupported(format!("quantization '{mode}'"), quantized::WAY_OUT)),
    }
}

/// A 32-bit integer without dimensions.
fn int32(name: &str, value: i32) -> Constant {
    Constant::raw(name, ElementType::Int32, &[], value.to_le_bytes().to_vec())
}

/// A boolean without dimensions.
fn boolean(name: &str, value: bool) -> Constant {
    Constant::raw(name, ElementType::Bool, &[], vec![u8::from(value)])
}
