//! A model that does nothing: what is left is what serving costs.

use std::sync::Arc;
use std::time::Duration;

use modelyard_engine::{Loaded, Parallelism, RunError, Session};
use modelyard_serving::{ModelConfig, Service, ServiceConfig, Version, VersionSpec};
use modelyard_tensor::{DataType, Dim, Signature, Tensor, TensorSpec, TensorView};

/// Gives zeros.
struct Idle(Signature, usize);

impl Session for Idle {
    fn signature(&self) -> &Signature {
        &self.0
    }

    fn run(
        &self,
        inputs: &[TensorView<'_>],
        _: &[usize],
        _: Parallelism,
    ) -> Result<Vec<Tensor>, RunError> {
        let rows = inputs[0].shape[0];
        let zeros = Tensor::from_vec([rows, self.1].into(), vec![0f32; rows * self.1]);
        Ok(vec![zeros.expect("as long as its shape says")])
    }
}

/// A version that takes and gives so many floats a row.
pub(crate) fn version(model: &str, number: u64, [inputs, outputs]: [usize; 2]) -> Arc<Version> {
    let spec = |name: &str, size| TensorSpec {
        name: name.into(),
        data_type: DataType::Fp32,
        dims: Some(vec![Dim::Free, Dim::Fixed(size)]),
    };
    let load = move || {
        let signature =
            Signature { inputs: vec![spec("x", inputs)], outputs: vec![spec("y", outputs)] };
        let session = Box::new(Idle(signature, outputs));
        Ok(Loaded { session, engine: "idle", time: Duration::ZERO, bytes: 0 })
    };
    let spec = VersionSpec {
        model: model.into(),
        number,
        config: ModelConfig::default(),
        labels: Vec::new(),
        load: Box::new(load),
    };
    Arc::new(Version::load(spec).expect("it loads"))
}

/// A service of one thread, without models.
pub(crate) fn service() -> Arc<Service> {
    let config = ServiceConfig { threads: 1, strict_readiness: false };
    Service::new(config).expect("threads start")
}
