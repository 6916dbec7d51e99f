//! Symbols of MXNet that hold every operator. `fixtures/mxnet.py` made them.

use std::collections::BTreeMap;
use std::slice;

use modelyard_convert::{Conversion, ConvertError, Limits, Options, SourceModel, convert, open};
use modelyard_tensor::{Dim, Shape, Tensor};

use crate::support::{check, fixtures, run};

macro_rules! symbols {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            check(concat!("mxnet/", stringify!($name), "-symbol.json"));
        })*
    };
}

symbols! {
    activation arithmetic attention boxes channels_last comparison convolution create deformable dense gluon_lstm gru images
    index lrn lstm many_boxes normalization parts pooling reduce rnn_relu rnn_tanh sequence shapes
    softmax unary
}

/// A fixture with its files changed, opened and converted.
fn changed(
    name: &str,
    symbol: impl Fn(Vec<u8>) -> Vec<u8>,
    parameters: impl Fn(Vec<u8>) -> Vec<u8>,
) -> Result<Conversion, ConvertError> {
    let folder = tempfile::tempdir().unwrap();
    let path = |ending: &str| format!("{name}-{ending}");
    let read = |ending| std::fs::read(fixtures().join("mxnet").join(path(ending))).unwrap();
    let place = |ending| folder.path().join(path(ending));
    std::fs::write(place("symbol.json"), symbol(read("symbol.json"))).unwrap();
    std::fs::write(place("0000.params"), parameters(read("0000.params"))).unwrap();
    let options = Options::default();
    let source = open(&place("symbol.json"), &options, &Limits::default())?;
    convert(source.as_ref(), &options)
}

fn says(result: Result<Conversion, ConvertError>, part: &str) {
    let error = result.unwrap_err().to_string();
    assert!(error.contains(part), "{error}");
}

fn replaced(from: &'static str, to: &'static str) -> impl Fn(Vec<u8>) -> Vec<u8> {
    move |bytes| {
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.contains(from), "nothing to change");
        text.replace(from, to).into_bytes()
    }
}

fn same(bytes: Vec<u8>) -> Vec<u8> {
    bytes
}

#[test]
fn either_file_leads_to_the_other() {
    let folder = fixtures().join("mxnet");
    let options = Options::default();
    let source = open(&folder.join("dense-0000.params"), &options, &Limits::default()).unwrap();
    assert_eq!(source.producer(), "MXNet 1.9.1");
    assert!(convert(source.as_ref(), &options).is_ok());
    let alone = tempfile::tempdir().unwrap();
    let path = alone.path().join("dense-0000.params");
    std::fs::copy(folder.join("dense-0000.params"), &path).unwrap();
    let error = open(&path, &options, &Limits::default()).err().unwrap().to_string();
    assert!(error.contains("put 'name-symbol.json' beside it"), "{error}");
}

/// What a symbol without weights becomes, for images whose height and width are free.
fn of_free_images(symbol: &str) -> (Box<dyn SourceModel>, Conversion) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net-symbol.json");
    std::fs::write(&path, symbol).unwrap();
    let parameters = fixtures().join("mxnet/dense-0000.params");
    std::fs::copy(parameters, folder.path().join("net-0000.params")).unwrap();
    let dims = ["batch", "", "height", "width"].map(|name| match name {
        "" => Dim::Fixed(3),
        name => Dim::Symbol(name.into()),
    });
    let shapes = BTreeMap::from([("data".to_owned(), dims.to_vec())]);
    let options = Options { shapes, ..Options::default() };
    let source = open(&path, &options, &Limits::default()).unwrap();
    let conversion = convert(source.as_ref(), &options).unwrap();
    (source, conversion)
}

/// Sizes that are free are found by changing them. A map of one pixel for 64 of the image has four
/// rows for images of 224 and of 256, one of one for 512 has one row up to 512: that is no reason to
/// think that they always have.
#[test]
fn a_coarse_map_of_a_free_image_is_free_too() {
    for (stride, (height, width), map) in [(64, (70, 200), [2, 4]), (512, (600, 1100), [2, 3])] {
        let symbol = r#"{"nodes": [
            {"op": "null", "name": "data", "inputs": []},
            {"op": "Pooling", "name": "coarse", "inputs": [[0, 0, 0]], "attrs":
             {"kernel": "(3, 3)", "stride": "(STRIDE, STRIDE)", "pad": "(1, 1)", "pool_type": "max"}},
            {"op": "Reshape", "name": "rows", "inputs": [[1, 0, 0]],
             "attrs": {"shape": "(0, 0, 0, -1)"}}
        ], "arg_nodes": [0], "heads": [[2, 0, 0]]}"#;
        let (source, conversion) = of_free_images(&symbol.replace("STRIDE", &stride.to_string()));
        let image = vec![1f32; 2 * 3 * height * width];
        let image = Tensor::from_vec(Shape::new(&[2, 3, height, width]), image).unwrap();
        let declared = conversion.model.signature().unwrap().outputs[0].dims.clone().unwrap();
        assert_eq!(declared[2..], [Dim::Free, Dim::Free]);
        for answers in [
            source.evaluate(slice::from_ref(&image)).unwrap(),
            run(&conversion, slice::from_ref(&image)).unwrap(),
        ] {
            assert_eq!(answers[0].shape().dims(), [2, 3, map[0], map[1]]);
        }
    }
}

/// A detector whose maps are halved and doubled, or whose anchors are made for images up to some
/// size, does not take every image: that is said when it is converted.
#[test]
fn sizes_that_a_free_image_cannot_have_are_noted() {
    let halved = r#"{"nodes": [
        {"op": "null", "name": "data", "inputs": []},
        {"op": "Pooling", "name": "half", "inputs": [[0, 0, 0]],
         "attrs": {"kernel": "(4, 4)", "stride": "(4, 4)", "pool_type": "max"}},
        {"op": "UpSampling", "name": "double", "inputs": [[1, 0, 0]],
         "attrs": {"scale": "4", "sample_type": "nearest", "num_args": "1"}},
        {"op": "elemwise_add", "name": "sum", "inputs": [[0, 0, 0], [2, 0, 0]]}
    ], "arg_nodes": [0], "heads": [[3, 0, 0]]}"#;
    let notes = |symbol: &str| of_free_images(symbol).1.notes.join("; ");
    let found = notes(halved);
    assert!(found.contains("225x225") && found.contains("by multiples of 4 do"), "{found}");
    assert!(found.contains("--shape"), "{found}");
    let anchors = r#"{"nodes": [
        {"op": "null", "name": "data", "inputs": []},
        {"op": "_zeros", "name": "all", "inputs": [], "attrs": {"shape": "(1, 1, 600, 600)"}},
        {"op": "slice_like", "name": "anchors", "inputs": [[1, 0, 0], [0, 0, 0]],
         "attrs": {"axes": "(2, 3)"}},
        {"op": "broadcast_add", "name": "boxes", "inputs": [[0, 0, 0], [2, 0, 0]]}
    ], "arg_nodes": [0], "heads": [[3, 0, 0]]}"#;
    let found = notes(anchors);
    assert!(found.contains("896x896 do not"), "{found}");
    let any = halved.replace("\"(4, 4)\"", "\"(1, 1)\"").replace("\"4\"", "\"1\"");
    assert_eq!(notes(&any), "");
}

#[test]
fn what_is_not_covered_is_named_once_each() {
    let quantized = replaced("\"InstanceNorm\"", "\"_contrib_quantized_act\"");
    says(changed("normalization", quantized, same), "quantize the result");
    let custom = replaced("\"softmin\"", "\"Custom\"");
    says(changed("softmax", custom, same), "its code is not in the model");
    let layout = replaced("\"num_group\": \"2\"", "\"layout\": \"CHWN\", \"num_group\": \"2\"");
    says(changed("convolution", layout, same), "layout 'CHWN'");
}

#[test]
fn damage_is_named() {
    says(changed("dense", |_| b"{\"nodes\": 1, \"op\"".to_vec(), same), "JSON");
    says(
        changed(
            "dense",
            replaced("\"num_hidden\": \"5\"", "\"num_hidden\": \"5\", \"flatten\": \"x\""),
            same,
        ),
        "True or False",
    );
    says(
        changed("dense", replaced("flat_weight", "other_weight"), same),
        "there is no 'other_weight'",
    );
    says(
        changed("dense", same, |mut bytes| {
            bytes.truncate(40);
            bytes
        }),
        "read",
    );
    says(
        changed("dense", same, |mut bytes| {
            bytes[24] = 1;
            bytes
        }),
        "array 0",
    );
    // An array that is said to be sparse.
    says(
        changed("dense", same, |mut bytes| {
            bytes[28] = 1;
            bytes
        }),
        "tostype('default')",
    );
    says(
        changed("dense", replaced("\"inputs\": [[0, 0, 0]", "\"inputs\": [[99, 0, 0]"), same),
        "no nodes before it",
    );
}

mod nonsense {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

        #[test]
        fn changed_and_cut_files_are_survived(
            name in prop_oneof![Just("convolution"), Just("shapes"), Just("boxes"), Just("lstm")],
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
            cut in any::<bool>(),
            in_symbol in any::<bool>(),
        ) {
            let damage = |mut bytes: Vec<u8>| {
                let at = at.index(bytes.len());
                if cut { bytes.truncate(at) } else { bytes[at] = byte }
                bytes
            };
            let _ = match in_symbol {
                true => changed(name, damage, same),
                false => changed(name, same, damage),
            };
        }
    }
}

/// Detectors with a pyramid of features ask for parts of image -1 where boxes were suppressed. (No
/// fixture: MXNet 1.9.1 itself writes its zero into another part then.)
#[test]
fn parts_of_no_image_are_zero() {
    let symbol = r#"{"nodes": [
        {"op": "null", "name": "data", "inputs": []},
        {"op": "null", "name": "rois", "inputs": []},
        {"op": "_contrib_ROIAlign", "name": "parts", "inputs": [[0, 0, 0], [1, 0, 0]],
         "attrs": {"pooled_size": "(2, 2)", "spatial_scale": "1.0", "sample_ratio": "2"}}
    ], "arg_nodes": [0, 1], "heads": [[2, 0, 0]]}"#;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("parts-symbol.json");
    std::fs::write(&path, symbol).unwrap();
    let parameters = fixtures().join("mxnet/dense-0000.params");
    std::fs::copy(parameters, folder.path().join("parts-0000.params")).unwrap();
    let fixed = |dims: &[usize]| dims.iter().map(|&size| Dim::Fixed(size)).collect::<Vec<_>>();
    let shapes = BTreeMap::from([
        ("data".to_owned(), fixed(&[1, 1, 8, 8])),
        ("rois".to_owned(), fixed(&[2, 5])),
    ]);
    let options = Options { shapes, ..Options::default() };
    let source = open(&path, &options, &Limits::default()).unwrap();
    let conversion = convert(source.as_ref(), &options).unwrap();
    let image = Tensor::from_vec(Shape::new(&[1, 1, 8, 8]), vec![3f32; 64]).unwrap();
    let rois = vec![-1f32, 1.0, 1.0, 5.0, 5.0, 0.0, 1.0, 1.0, 5.0, 5.0];
    let rois = Tensor::from_vec(Shape::new(&[2, 5]), rois).unwrap();
    let inputs = [image, rois];
    let evaluated = source.evaluate(&inputs).unwrap();
    for answers in [Some(evaluated), run(&conversion, &inputs)].into_iter().flatten() {
        let found = answers[0].values::<f32>().unwrap();
        assert_eq!(found[..], [0.0, 0.0, 0.0, 0.0, 3.0, 3.0, 3.0, 3.0]);
    }
}
