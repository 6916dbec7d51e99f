//! Keras: `fixtures/keras.py` made the models.

use modelyard_convert::{ConvertError, Limits, Options, open};

use crate::check;
use crate::support::fixtures;

/// A test for each fixture.
macro_rules! fixtures {
    ($($name:ident: $file:literal),* $(,)?) => {
        $(
            #[test]
            fn $name() {
                check(concat!("keras/", $file));
            }
        )*
    };
}

fixtures! {
    activations: "activations.keras",
    convolutions: "convolutions.keras",
    other_convolutions: "other_convolutions.keras",
    pools_and_borders: "pools_and_borders.keras",
    bicubic: "bicubic.keras",
    normalizations: "normalizations.keras",
    merges: "merges.keras",
    recurrent: "recurrent.keras",
    recurrent_others: "recurrent_others.keras",
    masks: "masks.keras",
    attention: "attention.keras",
    functions: "functions.keras",
    preprocessing: "preprocessing.keras",
    nested_models_and_shared_layers: "nested.keras",
    nested_models_in_hdf5_with_a_frozen_layer: "nested_h5.h5",
    a_sequential_model_that_was_built_later: "sequential.keras",
    sizes_that_are_not_known: "free_sizes.keras",
    channels_first: "channels_first.keras",
    half_precision: "mixed_float16.keras",
    weights_in_8_bits: "quantized.keras",
    images_over_time: "conv_lstm.keras",
    layers_of_convnext: "convnext_parts.keras",
    keras_2_in_hdf5: "keras2_h5.h5",
    keras_2_archive: "keras2_archive.keras",
    keras_1: "keras1_h5.h5",
    keras_1_on_theano: "keras1_theano_h5.h5",
}

#[test]
fn code_is_refused_by_name_all_of_it_at_once() {
    let path = fixtures().join("keras/refused.keras");
    let source = open(&path, &Options::default(), &Limits::default()).unwrap();
    let Err(ConvertError::Unsupported(missing)) = source.convert(&Options::default()) else {
        panic!("it was converted");
    };
    let places: Vec<&str> = missing.iter().map(|missing| missing.place.as_str()).collect();
    assert_eq!(places, ["double", "own_activation"]);
    assert_eq!(
        missing[0].to_string(),
        "Lambda at 'double': code of Python, which is never executed, is not covered; replace it by \
         functions of keras.ops, or by a layer of Keras"
    );
}

#[test]
fn weights_alone_are_no_model() {
    let path = fixtures().join("keras/weights_only.weights.h5");
    let Err(error) = open(&path, &Options::default(), &Limits::default()) else {
        panic!("it was read");
    };
    let error = error.to_string();
    assert!(error.contains("perhaps weights alone; save the whole model"), "{error}");
}
