//! SavedModels and frozen graphs that TensorFlow wrote: see `fixtures/tensorflow.py`.

use std::path::Path;

use bytes::Bytes;
use modelyard_convert::verify::compare;
use modelyard_convert::{ConvertError, Limits, Options, SourceModel, convert, open};
use modelyard_tensor::{Dim, Shape, Tensor};
use proptest::prelude::*;

use crate::support::{check, fixtures, run};

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
    control = "control";
    lists = "lists.pb";
    keras_cnn = "keras_cnn";
    keras_rnn = "keras_rnn";
    module = "module";
    tables = "tables";
    version1 = "version1";
}

fn opened(path: &str, options: &Options) -> Result<Box<dyn SourceModel>, ConvertError> {
    open(&fixtures().join("tensorflow").join(path), options, &Limits::default())
}

#[test]
fn another_signature_has_other_inputs() {
    let options = Options { signature: Some("embed".into()), ..Options::default() };
    let source = opened("module", &options).unwrap();
    let conversion = convert(source.as_ref(), &options).unwrap();
    let signature = conversion.model.signature().unwrap();
    let names: Vec<&str> = signature.inputs.iter().map(|spec| spec.name.as_str()).collect();
    assert_eq!(names, ["ids", "scale"]);
    assert_eq!(signature.outputs[0].name, "rows");
    assert_eq!(signature.outputs[0].dims.as_ref().unwrap()[1], Dim::Fixed(4));
    let ids = Tensor::from_vec(Shape::new(&[2]), vec![5i32, 0]).unwrap();
    let scale = Tensor::from_vec(Shape::new(&[4]), vec![1.0f32, 2.0, 0.0, 1.0]).unwrap();
    let inputs = [ids, scale];
    let one = source.evaluate(&inputs).unwrap();
    let two = run(&conversion, &inputs).unwrap();
    assert_eq!(compare(&one[0], &two[0], &conversion.tolerance, None).mismatch, None);
}

#[test]
fn a_wrong_signature_names_those_there_are() {
    let options = Options { signature: Some("predict".into()), ..Options::default() };
    let error = opened("module", &options).err().unwrap().to_string();
    assert!(error.contains("'embed', 'run', 'serving_default'"), "{error}");
}

#[test]
fn words_are_looked_up_in_the_file_of_the_assets() {
    let options = Options { signature: Some("words".into()), ..Options::default() };
    let source = opened("tables", &options).unwrap();
    convert(source.as_ref(), &options).unwrap();
    let words = ["cat", "dog", "the"].map(|word| Bytes::from_static(word.as_bytes()));
    let found =
        source.evaluate(&[Tensor::from_strings(Shape::new(&[3]), &words).unwrap()]).unwrap();
    assert_eq!(*found[0].values::<i64>().unwrap(), [1, -1, 0]);
}

#[test]
fn values_inside_a_frozen_graph_can_be_its_inputs_and_outputs() {
    let options = Options { outputs: vec!["Tanh:0".into()], ..Options::default() };
    let source = opened("unary.pb", &options).unwrap();
    let conversion = convert(source.as_ref(), &options).unwrap();
    let outputs = &conversion.model.signature().unwrap().outputs;
    assert_eq!(outputs.len(), 1);
    assert_eq!(outputs[0].name, "Tanh");
    let options = Options { outputs: vec!["nothing".into()], ..Options::default() };
    let error = opened("unary.pb", &options).err().unwrap().to_string();
    assert!(error.contains("no value 'nothing'") && error.contains("Identity"), "{error}");
    let options = Options { inputs: vec!["nothing".into()], ..Options::default() };
    let error = opened("unary.pb", &options).err().unwrap().to_string();
    assert!(error.contains("placeholders are: ") && error.contains("x"), "{error}");
}

/// A SavedModel with one file changed.
fn damaged(name: &str, file: &str, change: impl Fn(&mut Vec<u8>)) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("variables")).unwrap();
    let from = fixtures().join("tensorflow").join(name);
    let files =
        ["saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001"];
    for path in files {
        let mut bytes = std::fs::read(from.join(path)).unwrap();
        if path == file {
            change(&mut bytes);
        }
        std::fs::write(folder.path().join(path), bytes).unwrap();
    }
    folder
}

fn error_of(path: &Path) -> String {
    let options = Options::default();
    let source = match open(path, &options, &Limits::default()) {
        Ok(source) => source,
        Err(error) => return error.to_string(),
    };
    convert(source.as_ref(), &options).err().map(|error| error.to_string()).unwrap_or_default()
}

#[test]
fn damage_is_named() {
    let cut = damaged("module", "variables/variables.index", |bytes| bytes.truncate(40));
    assert!(error_of(cut.path()).contains("the index: it is shorter than the footer"));
    let cut = damaged("module", "variables/variables.data-00000-of-00001", |bytes| bytes.clear());
    assert!(error_of(cut.path()).contains("variables.data-00000-of-00001"));
    let cut = damaged("module", "saved_model.pb", |bytes| bytes.truncate(bytes.len() / 2));
    assert!(error_of(cut.path()).contains("is the file truncated?"));
    let missing = damaged("module", "", |_| ());
    std::fs::remove_file(missing.path().join("variables/variables.data-00000-of-00001")).unwrap();
    assert!(error_of(missing.path()).contains("variables.data-00000-of-00001' is missing"));
    let bare = damaged("module", "", |_| ());
    std::fs::remove_dir_all(bare.path().join("variables")).unwrap();
    assert!(error_of(bare.path()).contains("a variable without a value is not covered"));
}

/// Whatever a file holds: an answer or an error, in bounded time and memory.
fn survives(path: &Path) {
    let options = Options::default();
    let limits = Limits { evaluation_bytes: 1 << 20, ..Limits::default() };
    if let Ok(source) = open(path, &options, &limits) {
        let _ = source.convert(&options);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn no_frozen_graph_is_too_strange(
        name in prop::sample::select(FROZEN.as_slice()),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0u8..8), 1..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = std::fs::read(fixtures().join("tensorflow").join(name)).unwrap();
        for (at, bit) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()).max(64));
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        survives(file.path());
    }

    #[test]
    fn no_saved_model_is_too_strange(
        name in prop::sample::select(["keras_cnn", "keras_rnn", "control", "module"].as_slice()),
        file in prop::sample::select(["saved_model.pb", "variables/variables.index"].as_slice()),
        at in any::<prop::sample::Index>(),
        bit in 0u8..8,
    ) {
        let folder = damaged(name, file, |bytes| {
            let at = at.index(bytes.len().max(1));
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << bit;
            }
        });
        survives(folder.path());
    }
}

const FROZEN: [&str; 10] = [
    "convolutions.pb",
    "crops.pb",
    "free_sizes.pb",
    "lists.pb",
    "places.pb",
    "reduce.pb",
    "shapes.pb",
    "slices.pb",
    "spectra.pb",
    "transposed.pb",
];
