//! Conversion of one fixture, and everything that must agree with it.

use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};

use modelyard_convert::verify::compare;
use modelyard_convert::{Conversion, Limits, Options, SourceModel, convert, open};
use modelyard_engine::{
    EngineChoice, EngineConfig, Engines, LoadOptions, ModelFile, Parallelism, RunError, Session,
};
use modelyard_tensor::{AlignedBuffer, DataType, Shape, Tensor, TensorView};
use safetensors::{Dtype, SafeTensors};
use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

/// What a fixture's framework was asked, and what it answered.
pub(crate) struct Expected {
    tensors: Vec<(String, Tensor)>,
}

/// Converts the fixture `path` (below `tests/fixtures`) and compares everything with the answers
/// of its framework.
pub(crate) fn check(path: &str) -> Conversion {
    check_with(path, &Options::default())
}

/// As [`check`], with options.
pub(crate) fn check_with(path: &str, options: &Options) -> Conversion {
    let path = fixtures().join(path);
    let source = open(&path, options, &Limits::default()).unwrap();
    let conversion = convert(source.as_ref(), options).unwrap();
    let expected = Expected::read(&path.with_extension("safetensors"));
    let inputs = expected.inputs(&conversion);
    compare_all("the reference evaluator", &expected, &conversion, evaluate(&*source, &inputs));
    if let Some(answers) = run(&conversion, &inputs) {
        compare_all("the converted model", &expected, &conversion, answers);
    }
    conversion
}

/// The folder of all fixtures.
pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

pub(crate) fn evaluate(source: &dyn SourceModel, inputs: &[Tensor]) -> Vec<Tensor> {
    source.evaluate(inputs).unwrap()
}

pub(crate) fn compare_all(
    what: &str,
    expected: &Expected,
    conversion: &Conversion,
    found: Vec<Tensor>,
) {
    let outputs = &conversion.model.signature().unwrap().outputs;
    assert_eq!(outputs.len(), found.len(), "{what} has another number of outputs");
    for (spec, found) in outputs.iter().zip(&found) {
        let answer = expected.get(&format!("out.{}", spec.name));
        let agreement = compare(answer, found, &conversion.tolerance, None);
        if let Some(mismatch) = agreement.mismatch {
            panic!("{what} disagrees with the framework on '{}': {mismatch}", spec.name);
        }
    }
}

/// Runs a converted model in an ONNX Runtime that `MODELYARD_TEST_ONNXRUNTIME` names; else in the
/// embedded engine, and where that lacks an operator in the evaluator that training uses.
///
/// `None` where neither has all operators: then only ONNX Runtime can tell, as it does in CI.
pub(crate) fn run(conversion: &Conversion, inputs: &[Tensor]) -> Option<Vec<Tensor>> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    std::fs::write(&path, conversion.model.encode()).unwrap();
    let library = std::env::var_os("MODELYARD_TEST_ONNXRUNTIME").map(PathBuf::from);
    let is_strict = library.is_some();
    let config = EngineConfig { ort_dylib_path: library, ..EngineConfig::default() };
    let file = ModelFile { path: path.clone(), model: conversion.model.clone() };
    let engines = Engines::new(config);
    let options = LoadOptions { threads: 1, lone: false };
    if is_strict {
        let loaded = engines.load(EngineChoice::Named("onnxruntime"), &file, &options);
        return Some(run_session(&*loaded.unwrap().session, inputs).unwrap());
    }
    let loaded = engines.load(EngineChoice::Auto, &file, &options);
    let loaded = loaded.map_err(|error| error.to_string());
    let found = loaded.and_then(|loaded| {
        run_session(&*loaded.session, inputs).map_err(|error| error.to_string())
    });
    let refusal = match found {
        Ok(answers) => return Some(answers),
        Err(refusal) => refusal,
    };
    let source = open(&path, &Options::default(), &Limits::default()).unwrap();
    match source.evaluate(inputs) {
        Ok(answers) => Some(answers),
        Err(error) => {
            eprintln!("not run without MODELYARD_TEST_ONNXRUNTIME: {refusal}; {error}");
            None
        }
    }
}

fn run_session(session: &dyn Session, inputs: &[Tensor]) -> Result<Vec<Tensor>, RunError> {
    let buffers: Vec<AlignedBuffer> = inputs
        .iter()
        .map(|input| {
            let mut buffer = AlignedBuffer::zeroed(input.data().len());
            buffer.as_mut_slice().copy_from_slice(input.data());
            buffer
        })
        .collect();
    let views: Vec<TensorView<'_>> = inputs
        .iter()
        .zip(&buffers)
        .map(|(input, buffer)| TensorView {
            data_type: input.data_type(),
            shape: input.shape(),
            data: buffer.as_ref(),
        })
        .collect();
    let all: Vec<usize> = (0..session.signature().outputs.len()).collect();
    session.run(&views, &all, Parallelism::One)
}

impl Expected {
    pub(crate) fn read(path: &Path) -> Expected {
        let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let tensors = file.tensors().into_iter().map(|(name, view)| {
            let tensor = Tensor::new(
                data_type(view.dtype()),
                Shape::new(view.shape()),
                view.data().to_vec().into(),
            );
            (name, tensor.unwrap())
        });
        Expected { tensors: tensors.collect() }
    }

    fn get(&self, name: &str) -> &Tensor {
        let found = self.tensors.iter().find(|(other, _)| other == name);
        &found.unwrap_or_else(|| panic!("the fixture has no tensor '{name}'")).1
    }

    pub(crate) fn inputs(&self, conversion: &Conversion) -> Vec<Tensor> {
        let inputs = &conversion.model.signature().unwrap().inputs;
        inputs.iter().map(|spec| self.get(&format!("in.{}", spec.name)).clone()).collect()
    }
}

fn data_type(dtype: Dtype) -> DataType {
    match dtype {
        Dtype::BOOL => DataType::Bool,
        Dtype::U8 => DataType::Uint8,
        Dtype::I8 => DataType::Int8,
        Dtype::U16 => DataType::Uint16,
        Dtype::I16 => DataType::Int16,
        Dtype::U32 => DataType::Uint32,
        Dtype::I32 => DataType::Int32,
        Dtype::U64 => DataType::Uint64,
        Dtype::I64 => DataType::Int64,
        Dtype::F16 => DataType::Fp16,
        Dtype::BF16 => DataType::Bf16,
        Dtype::F32 => DataType::Fp32,
        Dtype::F64 => DataType::Fp64,
        other => panic!("{other:?} has no datatype"),
    }
}

/// What a zip file holds, in its order: names and contents.
pub(crate) type Entries = Vec<(String, Vec<u8>)>;

/// The entries of a zip file.
pub(crate) fn entries(path: &Path) -> Entries {
    let mut archive = ZipArchive::new(Cursor::new(std::fs::read(path).unwrap())).unwrap();
    let mut entries = Vec::new();
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        entries.push((entry.name().unwrap().into_owned(), content));
    }
    entries
}

/// A zip file with these entries.
pub(crate) fn zipped(entries: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut out = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in entries {
        out.start_file(name.as_str(), SimpleFileOptions::default()).unwrap();
        out.write_all(content).unwrap();
    }
    out.finish().unwrap().into_inner()
}
