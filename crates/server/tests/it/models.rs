//! Models that need no engine.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use modelyard_engine::{Loaded, Parallelism, RunError, Session};
use modelyard_serving::{
    Labels, ModelConfig, Phase, Service, ServiceConfig, Version, VersionSpec, VersionState,
};
use modelyard_tensor::{DataType, Dim, Shape, Signature, Tensor, TensorSpec, TensorView};

/// A tensor's specification; -1 stands for a free dimension.
fn spec(name: &str, data_type: DataType, dims: &[i64]) -> TensorSpec {
    let dim = |&dim: &i64| usize::try_from(dim).map_or(Dim::Free, Dim::Fixed);
    TensorSpec { name: name.into(), data_type, dims: Some(dims.iter().map(dim).collect()) }
}

type Run = fn(&[TensorView<'_>]) -> Vec<Tensor>;

struct Fake {
    signature: Signature,
    run: Run,
}

impl Session for Fake {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn run(
        &self,
        inputs: &[TensorView<'_>],
        outputs: &[usize],
        _: Parallelism,
    ) -> Result<Vec<Tensor>, RunError> {
        let all = (self.run)(inputs);
        Ok(outputs.iter().map(|&output| all[output].clone()).collect())
    }
}

fn copy(input: &TensorView<'_>) -> Tensor {
    let data = Bytes::copy_from_slice(input.data);
    Tensor::new(input.data_type, Shape::new(input.shape), data).unwrap()
}

/// Every model: see the table in the function.
pub(crate) fn service() -> Arc<Service> {
    service_with(false)
}

/// The same, ready only when every model is.
pub(crate) fn service_with(strict_readiness: bool) -> Arc<Service> {
    let service = Service::new(ServiceConfig { threads: 1, strict_readiness }).unwrap();
    for data_type in DataType::ALL {
        // Gives back what it gets.
        let name = format!("echo_{}", data_type.name().to_lowercase());
        let inputs = vec![spec("x", data_type, &[-1, -1])];
        let outputs = vec![spec("y", data_type, &[-1, -1])];
        add(&service, &name, Signature { inputs, outputs }, |inputs| vec![copy(&inputs[0])]);
    }
    // The first three of four features are the scores of three labelled classes.
    let signature = Signature {
        inputs: vec![spec("pixels", DataType::Fp32, &[-1, 4])],
        outputs: vec![spec("scores", DataType::Fp32, &[-1, 3])],
    };
    add(&service, "digits", signature, |inputs| {
        let values = inputs[0].values::<f32>().unwrap();
        let scores: Vec<f32> = values.chunks(4).flat_map(|row| row[..3].to_vec()).collect();
        vec![Tensor::from_vec(Shape::from([values.len() / 4, 3]), scores).unwrap()]
    });
    // Two inputs, two outputs: each gives back one.
    let signature = Signature {
        inputs: vec![spec("a", DataType::Int32, &[-1, 2]), spec("b", DataType::Fp32, &[-1, 1])],
        outputs: vec![
            spec("first", DataType::Int32, &[-1, 2]),
            spec("last", DataType::Fp32, &[-1, 1]),
        ],
    };
    add(&service, "pair", signature, |inputs| inputs.iter().map(copy).collect());
    // One number a row.
    let signature = Signature {
        inputs: vec![spec("x", DataType::Fp32, &[-1])],
        outputs: vec![spec("y", DataType::Fp32, &[-1])],
    };
    add(&service, "line", signature, |inputs| vec![copy(&inputs[0])]);
    // Takes its time over a seven.
    let signature = Signature {
        inputs: vec![spec("x", DataType::Fp32, &[-1, 1])],
        outputs: vec![spec("y", DataType::Fp32, &[-1, 1])],
    };
    add(&service, "slow", signature, |inputs| {
        if inputs[0].values() == Some(&[7.0f32]) {
            std::thread::sleep(Duration::from_millis(300));
        }
        vec![copy(&inputs[0])]
    });
    // Takes 5 ms for anything, and lets two requests wait.
    let signature = Signature {
        inputs: vec![spec("x", DataType::Fp32, &[1, -1])],
        outputs: vec![spec("y", DataType::Fp32, &[1, -1])],
    };
    add(&service, "busy", signature, |inputs| {
        std::thread::sleep(Duration::from_millis(5));
        vec![copy(&inputs[0])]
    });
    service.set_version("broken", 3, VersionState::Unavailable("the file is no model".into()));
    service.set_phase(Phase::Ready);
    service
}

fn add(service: &Service, name: &str, signature: Signature, run: Run) {
    let labels: Labels = match name {
        "digits" => vec![Some(["zero", "one"].map(String::from).into())],
        _ => Vec::new(),
    };
    let load = move || {
        let session = Box::new(Fake { signature: signature.clone(), run });
        Ok(Loaded { session, engine: "fake", time: Duration::ZERO, bytes: 0 })
    };
    let mut config = ModelConfig::default();
    if name == "busy" {
        config.queue.max_requests = 2;
    }
    let model = name.to_owned();
    let spec = VersionSpec { model, number: 1, config, labels, load: Box::new(load) };
    let version = Arc::new(Version::load(spec).unwrap());
    service.set_version(name, 1, VersionState::Ready(version));
}
