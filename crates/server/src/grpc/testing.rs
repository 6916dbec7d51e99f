//! Models for the tests of this module: they answer without an engine.

use std::sync::Arc;
use std::time::Duration;

use modelyard_engine::{Loaded, Parallelism, RunError, Session};
use modelyard_serving::{
    Labels, ModelConfig, Phase, Service, ServiceConfig, Version, VersionSpec, VersionState,
};
use modelyard_tensor::{DataType, Dim, Shape, Signature, Tensor, TensorSpec, TensorView};

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
