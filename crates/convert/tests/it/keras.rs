//! Keras: `fixtures/keras.py` made the models.

use modelyard_convert::{ConvertError, Limits, Options, open};

use crate::support::{Entries, check, entries, fixtures, zipped};

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
    layers_of_inception_resnet: "inception_parts.keras",
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

/// A damaged model is read or refused: it neither panics nor takes memory that it has no bytes for.
fn try_damaged(name: &str, at: usize, byte: u8, cut: usize) {
    let mut bytes = std::fs::read(fixtures().join("keras").join(name)).unwrap();
    let length = bytes.len();
    bytes[at % length] = byte;
    bytes.truncate(length - cut % (length / 2));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    let limits = Limits {
        tensor_bytes: 1 << 24,
        entry_bytes: 1 << 24,
        evaluation_bytes: 1 << 24,
        ..Limits::default()
    };
    if let Ok(source) = open(&path, &Options::default(), &limits) {
        let _ = source.convert(&Options::default());
    }
}

/// How many cases to try: `PROPTEST_CASES` lengthens the search.
fn cases(usual: u32) -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(usual)
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig {
        cases: cases(96),
        ..proptest::prelude::ProptestConfig::default()
    })]

    #[test]
    fn damaged_hdf5_is_no_danger(at: usize, byte: u8, cut in 0usize..3) {
        try_damaged("keras1_h5.h5", at, byte, cut * 997);
    }

    #[test]
    fn damaged_archives_are_no_danger(at: usize, byte: u8, cut in 0usize..3) {
        try_damaged("convnext_parts.keras", at, byte, cut * 997);
    }
}

/// The options of every layer of a model turned into nonsense one by one.
#[test]
fn nonsense_in_the_description_is_refused_or_harmless() {
    const NAMES: [&str; 10] = [
        "recurrent",
        "convolutions",
        "functions",
        "nested",
        "attention",
        "pools_and_borders",
        "preprocessing",
        "masks",
        "conv_lstm",
        "normalizations",
    ];
    for name in NAMES {
        let path = fixtures().join("keras").join(format!("{name}.keras"));
        let (entries, config) = unpacked(&path);
        let mut random = fastrand::Rng::with_seed(cases(7).into());
        for _ in 0..cases(40) {
            let mut json = config.clone();
            spoil(&mut json, &mut random);
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("model.keras");
            std::fs::write(&path, packed(&entries, &json)).unwrap();
            if let Ok(source) = open(&path, &Options::default(), &Limits::default()) {
                let _ = source.convert(&Options::default());
            }
        }
    }
}

fn unpacked(path: &std::path::Path) -> (Entries, serde_json::Value) {
    let entries = entries(path);
    let config = entries.iter().find(|(name, _)| name == "config.json").unwrap();
    let config = serde_json::from_slice(&config.1).unwrap();
    (entries, config)
}

fn packed(entries: &Entries, config: &serde_json::Value) -> Vec<u8> {
    let mut entries = entries.clone();
    let found = entries.iter_mut().find(|(name, _)| name == "config.json");
    found.unwrap().1 = config.to_string().into_bytes();
    zipped(&entries)
}

/// Replaces one value somewhere by another one.
fn spoil(json: &mut serde_json::Value, random: &mut fastrand::Rng) {
    let nonsense = [
        serde_json::json!(null),
        serde_json::json!(-1),
        serde_json::json!(0),
        serde_json::json!(i64::MAX),
        serde_json::json!(1e300),
        serde_json::json!("nonsense"),
        serde_json::json!([]),
        serde_json::json!([3, -7, 1i64 << 40]),
        serde_json::json!({"class_name": "Dense"}),
    ];
    let mut place = json;
    loop {
        let count = match &*place {
            serde_json::Value::Array(items) => items.len(),
            serde_json::Value::Object(map) => map.len(),
            _ => 0,
        };
        if count == 0 || random.u8(..) < 12 {
            *place = nonsense[random.usize(..nonsense.len())].clone();
            return;
        }
        let at = random.usize(..count);
        place = match place {
            serde_json::Value::Array(items) => &mut items[at],
            serde_json::Value::Object(map) => map.values_mut().nth(at).unwrap(),
            _ => return,
        };
    }
}
