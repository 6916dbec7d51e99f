//! Exported programs of PyTorch: `fixtures/pt2.py` made them.

use std::collections::BTreeSet;
use std::path::PathBuf;

use modelyard_convert::{Format, Limits, Options, convert, open, operators};
use modelyard_tensor::Dim;
use proptest::prelude::*;

use crate::support::{Entries, check, fixtures, zipped};

macro_rules! programs {
    ($($name:ident),* $(,)?) => {
        $(
            #[test]
            fn $name() {
                check(concat!("pt2/", stringify!($name), ".pt2"));
            }
        )*
    };
}

programs!(
    arithmetic,
    comparisons,
    selection,
    functions,
    activations,
    products,
    convolutions,
    normalizations,
    attention,
    pools,
    resizes,
    antialiased,
    pads,
    fixed,
    reductions,
    orders,
    shapes,
    casts,
    slices,
    indices,
    data_dependent,
    creations,
    recurrences,
    grids,
    in_place,
    sizes,
    branches,
    stored,
    package,
    flat,
);

fn path(name: &str) -> PathBuf {
    fixtures().join("pt2").join(name)
}

fn entries(name: &str) -> Entries {
    crate::support::entries(&path(name))
}

fn program_of(entries: &Entries) -> serde_json::Value {
    let text = entries.iter().find(|(name, _)| name.ends_with("models/model.json"));
    serde_json::from_slice(&text.unwrap().1).unwrap()
}

/// Every operator that is called, those inside branches included.
fn targets(value: &serde_json::Value, found: &mut BTreeSet<String>) {
    match value {
        serde_json::Value::Object(map) => {
            if let Some(target) = map.get("target").and_then(|target| target.as_str()) {
                let target = target.trim_start_matches("torch.ops.");
                let target = target
                    .strip_prefix("_operator.")
                    .map_or_else(|| target.to_owned(), |rest| format!("operator.{rest}"));
                found.insert(target);
            }
            map.values().for_each(|value| targets(value, found));
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| targets(item, found)),
        _ => {}
    }
}

#[test]
fn every_operator_is_called_by_a_fixture() {
    let mut called = BTreeSet::new();
    for file in std::fs::read_dir(fixtures().join("pt2")).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".pt2") && name != "flat.pt2" {
            targets(&program_of(&entries(&name)), &mut called);
        }
    }
    let missing: Vec<String> = operators(Format::ExportedProgram)
        .into_iter()
        .filter(|name| !called.contains(name) && !NOT_WRITTEN.contains(&name.as_str()))
        .collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

/// Operators that torch 2.15 does not write into the programs of the fixtures: names of other versions
/// and producers, of other devices, assertions that are dropped, and operations on numbers, which have
/// tests of their own.
const NOT_WRITTEN: &[&str] = &[
    "aten._assert_async.default",
    "aten._assert_async.msg",
    "aten._functional_assert_scalar.default",
    "aten._local_scalar_dense.default",
    "aten._reshape_alias.default",
    "aten._scaled_dot_product_efficient_attention.default",
    "aten._scaled_dot_product_flash_attention.default",
    "aten.bool.default",
    "aten.double.default",
    "aten.float.default",
    "aten.half.default",
    "aten.int.default",
    "aten.lift_fresh.default",
    "aten.long.default",
    "aten.size.int",
    "aten.softsign.default",
    "aten.sym_constrain_range.default",
    "aten.sym_constrain_range_for_size.default",
    "aten.to.prim_Device",
    "higher_order.invoke_subgraph",
    "math.ceil",
    "math.floor",
    "math.pow",
    "math.trunc",
    "operator.abs",
    "operator.and_",
    "operator.eq",
    "operator.gt",
    "operator.lt",
    "operator.ne",
    "operator.or_",
    "operator.pos",
    "torch._check",
    "torch._check_is_size",
    "torch._sym_sqrt",
    "torch.sym_int",
    "torch.sym_not",
];

/// The error that reading and converting these entries gives.
fn refused(entries: &Entries) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.pt2");
    std::fs::write(&path, zipped(entries)).unwrap();
    let options = Options::default();
    match open(&path, &options, &Limits::default()) {
        Err(error) => error.to_string(),
        Ok(source) => convert(source.as_ref(), &options).unwrap_err().to_string(),
    }
}

/// `stored` with its program changed.
fn changed(change: impl FnOnce(&mut serde_json::Value)) -> Entries {
    let mut entries = entries("stored.pt2");
    let mut program = program_of(&entries);
    change(&mut program);
    let text = serde_json::to_vec(&program).unwrap();
    entries.iter_mut().find(|(name, _)| name.ends_with("models/model.json")).unwrap().1 = text;
    entries
}

fn check_refused(entries: &Entries, expected: &str) {
    let error = refused(entries);
    assert!(error.contains(expected), "expected '{expected}' in: {error}");
}

#[test]
fn other_versions_are_named() {
    let entries = changed(|program| program["schema_version"]["major"] = 9.into());
    check_refused(&entries, "expected schema version 8, found 9.20");
    let entries = changed(|program| program["schema_version"] = 3.into());
    check_refused(&entries, "export the model again with torch 2.5 or later");
}

#[test]
fn big_endian_weights_are_named() {
    let mut entries = entries("stored.pt2");
    entries.iter_mut().find(|(name, _)| name.ends_with("byteorder")).unwrap().1 = b"big".to_vec();
    check_refused(&entries, "little-endian");
}

#[test]
fn missing_weights_are_named() {
    let mut entries = entries("stored.pt2");
    entries.retain(|(name, _)| !name.ends_with("weight_0"));
    check_refused(&entries, "the archive has no");
    let mut without = self::entries("stored.pt2");
    without.retain(|(name, _)| !name.ends_with("model_weights_config.json"));
    check_refused(&without, "the archive has no weight for value");
}

#[test]
fn weights_beyond_their_storage_are_named() {
    let mut entries = entries("stored.pt2");
    let weight = entries.iter_mut().find(|(name, _)| name.ends_with("weights/weight_0")).unwrap();
    weight.1.truncate(4);
    check_refused(&entries, "bytes");
}

#[test]
fn unknown_operators_are_all_named_with_a_way_out() {
    let entries = changed(|program| {
        let nodes = program["graph_module"]["graph"]["nodes"].as_array_mut().unwrap();
        for node in nodes {
            node["target"] = "torch.ops.aten.randn_like.default".into();
        }
    });
    let error = refused(&entries);
    assert!(error.contains("aten.randn_like.default"), "{error}");
    assert!(error.contains("model.eval()"), "{error}");
    let nodes = "the model has 12 parts that cannot be converted";
    assert!(error.contains(nodes) && error.contains("and 9 more"), "{error}");
}

#[test]
fn samples_are_the_inputs_of_the_export() {
    for name in ["stored.pt2", "package.pt2", "flat.pt2"] {
        let source = open(&path(name), &Options::default(), &Limits::default()).unwrap();
        let samples = source.samples();
        assert_eq!(samples.len(), 1, "{name}");
        assert_eq!(samples[0].len(), 1, "{name}");
        assert_eq!(samples[0][0].shape().dims(), [2, 3], "{name}");
    }
}

#[test]
fn tied_weights_are_written_once() {
    let conversion = check("pt2/stored.pt2");
    let floats: usize = conversion
        .model
        .graph
        .initializers
        .iter()
        .map(|each| each.dims.iter().product::<usize>())
        .sum();
    assert!(floats < 12 + 12 + 12 + 40, "{floats}");
}

#[test]
fn free_sizes_have_names_and_ranges() {
    let conversion = check("pt2/stored.pt2");
    let signature = conversion.model.signature().unwrap();
    let dims = signature.inputs[0].dims.as_ref().unwrap();
    assert_eq!(dims[0].to_string(), "batch");
    assert!(conversion.sizes["batch"] >= 2 && conversion.sizes["batch"] <= 16);
    assert!(conversion.notes.iter().any(|note| note.contains("2 to 16")), "{:?}", conversion.notes);
}

#[test]
fn shapes_that_were_not_exported_are_refused() {
    let with = |dims: &[Dim]| {
        let mut options = Options::default();
        options.shapes.insert("x".into(), dims.to_vec());
        open(&path("stored.pt2"), &options, &Limits::default()).map(drop)
    };
    let free = || Dim::Symbol("images".into());
    assert!(with(&[free(), Dim::Fixed(3)]).is_ok());
    assert!(with(&[Dim::Fixed(4), Dim::Fixed(3)]).is_ok());
    let error = with(&[free(), Dim::Fixed(5)]).unwrap_err().to_string();
    assert!(error.contains("was exported with shape"), "{error}");
    let mut options = Options::default();
    options.shapes.insert("other".into(), Vec::new());
    let error = open(&path("stored.pt2"), &options, &Limits::default()).map(drop).unwrap_err();
    assert_eq!(error.to_string(), "there is no input 'other'; the model has x");
}

#[test]
fn fixed_batches_are_noted() {
    let conversion = check("pt2/fixed.pt2");
    assert!(conversion.notes.iter().any(|note| note.contains("dynamic_shapes")));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn damaged_files_do_no_harm(at in 0.0..1.0f64, value: u8, cut: bool) {
        let mut bytes = std::fs::read(path("stored.pt2")).unwrap();
        let place = (at * bytes.len() as f64) as usize;
        if cut {
            bytes.truncate(place);
        } else {
            bytes[place] ^= value;
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("model.pt2");
        std::fs::write(&file, bytes).unwrap();
        let options = Options::default();
        if let Ok(source) = open(&file, &options, &Limits::default()) {
            source.samples();
            convert(source.as_ref(), &options).ok();
        }
    }

    #[test]
    fn damaged_programs_do_no_harm(at in 0.0..1.0f64, value in 32u8..127) {
        let mut entries = entries("in_place.pt2");
        let text = &mut entries.iter_mut().find(|(name, _)| name.ends_with("model.json")).unwrap().1;
        let place = ((at * text.len() as f64) as usize).min(text.len() - 1);
        text[place] = value;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("model.pt2");
        std::fs::write(&file, zipped(&entries)).unwrap();
        let options = Options::default();
        let Ok(source) = open(&file, &options, &Limits::default()) else { return Ok(()) };
        let Ok(conversion) = convert(source.as_ref(), &options) else { return Ok(()) };
        let given = crate::support::Expected::read(&path("in_place.safetensors"));
        let is_known = |name: &str| ["x", "y"].contains(&name);
        let signature = conversion.model.signature();
        if signature.is_ok_and(|found| found.inputs.iter().all(|input| is_known(&input.name))) {
            source.evaluate(&given.inputs(&conversion)).ok();
        }
    }
}
