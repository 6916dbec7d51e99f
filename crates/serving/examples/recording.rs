//! What recording costs a request: `recording [FLOATS_IN FLOATS_OUT]`.
//!
//! A model that does nothing is asked in alternating rounds without a recorder, and by a recorder
//! that draws none, a hundredth and all requests, while another thread takes the samples. Prints the
//! median of the rounds, and how many samples were lost because that thread could not keep up.

mod idle;

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use modelyard_serving::{
    InferRequest, Input, Next, Recorder, RequestOptions, Service, Version, VersionState,
};
use modelyard_tensor::{AlignedBuffer, DataType, Shape};

const ROUNDS: usize = 15;
const CALLS: u32 = 50_000;

/// A service with one version, and what it is asked.
struct Bench {
    service: Arc<Service>,
    version: Arc<Version>,
    shape: Shape,
    data: Bytes,
}

impl Bench {
    fn new(floats: [usize; 2], share: Option<f64>) -> Bench {
        let (service, version) = (idle::service(), idle::version("m", 1, floats));
        service.set_version("m", 1, VersionState::Ready(version.clone()));
        if let Some(share) = share {
            let (recorder, samples) = Recorder::new(share);
            service.record(recorder);
            std::thread::spawn(move || while let Next::Sample(_) = samples.next(None) {});
        }
        let data = AlignedBuffer::zeroed(4 * floats[0]).into_bytes();
        Bench { service, version, shape: [1, floats[0]].into(), data }
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
