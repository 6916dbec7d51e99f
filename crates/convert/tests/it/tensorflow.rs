//! SavedModels and frozen graphs that TensorFlow wrote: see `fixtures/tensorflow.py`.

use crate::support::check;

macro_rules! agrees {
    ($($name:ident = $path:literal;)*) => {
        $(
            #[test]
            fn $name() {
                check(concat!("tensorflow/", $path));
            }
        )*
    };
}

agrees! {
    unary = "unary.pb";
    activations = "activations.pb";
    binary = "binary.pb";
    comparison = "comparison.pb";
    specials = "specials.pb";
    reduce = "reduce.pb";
    products = "products.pb";
    convolutions = "convolutions.pb";
    free_sizes = "free_sizes.pb";
    transposed = "transposed.pb";
    images = "images.pb";
    volumes = "volumes.pb";
    resize = "resize.pb";
    blocks = "blocks.pb";
    crops = "crops.pb";
    shapes = "shapes.pb";
    slices = "slices.pb";
    places = "places.pb";
    spectra = "spectra.pb";
    fake_quant = "fake_quant.pb";
    control = "control.pb";
    lists = "lists.pb";
    keras_cnn = "keras_cnn";
    keras_rnn = "keras_rnn";
    module = "module";
    tables = "tables";
    version1 = "version1";
}
