//! What recording costs a request: `recording [FLOATS_IN FLOATS_OUT]`.
//!
//! A model that does nothing is asked in alternating rounds without a recorder, and by a recorder
//! that draws none, a hundredth and all requests, while another thread takes the samples. Prints the
//! median of the rounds, and how many samples were lost because that thread could not keep up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use modelyard_engine::{LoadError, Loaded, Parallelism, RunError, Session};
use modelyard_serving::{
    InferRequest, Input, ModelConfig, Next, Recorder, RequestOptions, Service, ServiceConfig,
    Version, VersionSpec, VersionState,
};
use modelyard_tensor::TensorView;
use modelyard_tensor::{AlignedBuffer, DataType, Dim, Shape, Signature, Tensor, TensorSpec};

const ROUNDS: usize = 15;
const CALLS: u32 = 50_000;

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

/// A service with one version, and what it is asked.
struct Bench {
    service: Arc<Service>,
    version: Arc<Version>,
    shape: Shape,
    data: Bytes,
}

impl Bench {
    fn new(floats: [usize; 2], share: Option<f64>) -> Bench {
        let spec = |name: &str, size| TensorSpec {
            name: name.into(),
            data_type: DataType::Fp32,
            dims: Some(vec![Dim::Free, Dim::Fixed(size)]),
        };
        let [inputs, outputs] = floats;
        let load = move || -> Result<Loaded, LoadError> {
            let signature =
                Signature { inputs: vec![spec("x", inputs)], outputs: vec![spec("y", outputs)] };
            let session = Box::new(Idle(signature, outputs));
            Ok(Loaded { session, engine: "idle", time: Duration::ZERO, bytes: 0 })
        };
        let spec = VersionSpec {
            model: "m".into(),
            number: 1,
            config: ModelConfig::default(),
            labels: Vec::new(),
            load: Box::new(load),
        };
        let version = Arc::new(Version::load(spec).expect("it loads"));
        let config = ServiceConfig { threads: 1, strict_readiness: false };
        let service = Service::new(config).expect("threads start");
        service.set_version("m", 1, VersionState::Ready(version.clone()));
        if let Some(share) = share {
            let (recorder, samples) = Recorder::new(share);
            service.record(recorder);
            std::thread::spawn(move || while let Next::Sample(_) = samples.next(None) {});
        }
        let data = AlignedBuffer::zeroed(4 * inputs).into_bytes();
        Bench { service, version, shape: [1, inputs].into(), data }
    }

    /// Nanoseconds a request.
    async fn round(&self) -> f64 {
        let start = Instant::now();
        for _ in 0..CALLS {
            let input = Input {
                data_type: DataType::Fp32,
                shape: self.shape.clone(),
                data: self.data.clone().into(),
            };
            let request = InferRequest {
                version: self.version.clone().into(),
                inputs: [input].into_iter().collect(),
                outputs: Default::default(),
                options: RequestOptions::arrived(Instant::now()),
            };
            self.service.infer(request).await.expect("it answers");
        }
        start.elapsed().as_nanos() as f64 / f64::from(CALLS)
    }
}

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|number| number.parse().ok());
    let floats = [numbers.next().unwrap_or(784), numbers.next().unwrap_or(10)];
    let shares = [None, Some(0.0), Some(0.01), Some(1.0)];
    let benches = shares.map(|share| Bench::new(floats, share));
    let mut times = [const { Vec::new() }; 4];
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        for _ in 0..ROUNDS {
            for (bench, times) in benches.iter().zip(&mut times) {
                times.push(bench.round().await);
            }
        }
    });
    for ((share, bench), times) in shares.iter().zip(&benches).zip(&mut times) {
        times.sort_by(f64::total_cmp);
        let figures = bench.service.recorder().map(Recorder::figures).unwrap_or_default();
        println!(
            "{share:?}: {:.0} ns a request ({:.0} .. {:.0}); {} drawn, {} lost",
            times[ROUNDS / 2],
            times[0],
            times[ROUNDS - 1],
            figures.drawn,
            figures.dropped
        );
    }
}
