//! Models and messages for the tests of this module. The models answer without an engine.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use modelyard_engine::{Loaded, Parallelism, RunError, Session};
use modelyard_serving::{
    Labels, ModelConfig, Phase, Service, ServiceConfig, Version, VersionSpec, VersionState,
};
use modelyard_tensor::{DataType, Dim, Rope, Shape, Signature, Tensor, TensorSpec, TensorView};
use proptest::prelude::*;

use super::proto::infer_parameter::ParameterChoice;
use super::proto::model_infer_request::{InferInputTensor, InferRequestedOutputTensor};
use super::proto::{InferParameter, InferTensorContents, ModelInferRequest};

/// A tensor's specification; -1 stands for a free dimension.
pub(crate) fn spec(name: &str, data_type: DataType, dims: &[i64]) -> TensorSpec {
    let dim = |&dim: &i64| usize::try_from(dim).map_or(Dim::Free, Dim::Fixed);
    TensorSpec { name: name.into(), data_type, dims: Some(dims.iter().map(dim).collect()) }
}

/// Answers each output with the input at the same position, in the shape it came in.
struct Echo(Signature);

impl Session for Echo {
    fn signature(&self) -> &Signature {
        &self.0
    }

    fn run(
        &self,
        inputs: &[TensorView<'_>],
        outputs: &[usize],
        _: Parallelism,
    ) -> Result<Vec<Tensor>, RunError> {
        let echo = |&output: &usize| {
            let input = inputs[output];
            let data = bytes::Bytes::copy_from_slice(input.data);
            Tensor::new(input.data_type, Shape::new(input.shape), data)
                .map_err(|error| RunError::Failed(error.to_string()))
        };
        outputs.iter().map(echo).collect()
    }
}

/// A model that echoes its inputs as outputs of the same name behind `out_`.
pub(crate) fn service(model: &str, inputs: Vec<TensorSpec>) -> (Arc<Service>, Arc<Version>) {
    let outputs = inputs
        .iter()
        .map(|input| TensorSpec { name: format!("out_{}", input.name), ..input.clone() })
        .collect();
    build(model, Signature { inputs, outputs }, Vec::new())
}

/// One input of 4 free rows' features, one output of three labelled classes.
pub(crate) fn digits() -> (Arc<Service>, Arc<Version>) {
    let signature = Signature {
        inputs: vec![spec("x", DataType::Fp32, &[-1, 4])],
        outputs: vec![spec("y", DataType::Fp32, &[-1, 3])],
    };
    let labels: Arc<[String]> = ["zero", "one", "two"].map(String::from).into();
    build("digits", signature, vec![Some(labels)])
}

/// One input and one output of each datatype, with one free dimension that is no batch.
pub(crate) fn every_data_type() -> (Arc<Service>, Arc<Version>) {
    let inputs = DataType::ALL.map(|data_type| spec(data_type.name(), data_type, &[2, -1]));
    service("every", inputs.to_vec())
}

fn build(model: &str, signature: Signature, labels: Labels) -> (Arc<Service>, Arc<Version>) {
    let load = Box::new(move || {
        let session = Box::new(Echo(signature.clone()));
        Ok(Loaded { session, engine: "echo", time: Duration::ZERO, bytes: 0 })
    });
    let spec = VersionSpec {
        model: model.into(),
        number: 1,
        config: ModelConfig::default(),
        labels,
        load,
    };
    let version = Arc::new(Version::load(spec).unwrap());
    let config = ServiceConfig { threads: 1, strict_readiness: true };
    let service = Service::new(config).unwrap();
    service.set_version(model, 1, VersionState::Ready(version.clone()));
    service.set_phase(Phase::Ready);
    (service, version)
}

/// Any parameter.
fn parameter() -> impl Strategy<Value = InferParameter> {
    let choice = prop_oneof![
        any::<bool>().prop_map(ParameterChoice::BoolParam),
        any::<i64>().prop_map(ParameterChoice::Int64Param),
        ".{0,4}".prop_map(ParameterChoice::StringParam),
        // NaN would not equal itself.
        (-1e9..1e9).prop_map(ParameterChoice::DoubleParam),
        any::<u64>().prop_map(ParameterChoice::Uint64Param),
    ];
    prop::option::of(choice).prop_map(|parameter_choice| InferParameter { parameter_choice })
}

fn parameters() -> impl Strategy<Value = BTreeMap<String, InferParameter>> {
    prop::collection::btree_map(".{0,4}", parameter(), 0..3)
}

fn contents() -> impl Strategy<Value = InferTensorContents> {
    let strings = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..4), 0..3);
    let integers = prop::collection::vec(any::<i64>(), 0..5);
    (strings, integers, prop::collection::vec(any::<bool>(), 0..5)).prop_map(
        |(strings, integers, bool_contents)| InferTensorContents {
            bool_contents,
            int64_contents: integers,
            bytes_contents: strings.into_iter().map(Into::into).collect(),
            ..Default::default()
        },
    )
}

fn input() -> impl Strategy<Value = InferInputTensor> {
    let shape = prop::collection::vec(any::<i64>(), 0..5);
    (".{0,4}", "[A-Z]{0,4}", shape, parameters(), prop::option::of(contents())).prop_map(
        |(name, datatype, shape, parameters, contents)| InferInputTensor {
            name,
            datatype,
            shape,
            parameters,
            contents,
        },
    )
}

fn output() -> impl Strategy<Value = InferRequestedOutputTensor> {
    (".{0,4}", parameters())
        .prop_map(|(name, parameters)| InferRequestedOutputTensor { name, parameters })
}

/// Any request that is a message of the protocol, whatever it means.
pub(crate) fn any_request() -> impl Strategy<Value = ModelInferRequest> {
    let raw = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..4);
    let inputs = prop::collection::vec(input(), 0..3);
    let outputs = prop::collection::vec(output(), 0..3);
    (".{0,4}", ".{0,4}", ".{0,4}", parameters(), inputs, outputs, raw).prop_map(
        |(model_name, model_version, id, parameters, inputs, outputs, raw)| ModelInferRequest {
            model_name,
            model_version,
            id,
            parameters,
            inputs,
            outputs,
            raw_input_contents: raw.into_iter().map(Into::into).collect(),
        },
    )
}

/// The bytes in chunks of this size.
pub(crate) fn rope(bytes: &[u8], chunk: usize) -> Rope {
    let mut rope = Rope::default();
    bytes.chunks(chunk).for_each(|chunk| rope.push(bytes::Bytes::copy_from_slice(chunk)));
    rope
}
