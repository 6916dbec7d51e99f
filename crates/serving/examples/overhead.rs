//! What the core adds to a bare call: `overhead MODEL.onnx LIBONNXRUNTIME`.
//!
//! Calls the engine and then [`Service::infer`] with the same bytes, in alternating rounds on one
//! thread as the server's IO threads are, and prints both and their difference.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use modelyard_engine::onnxruntime::OnnxRuntime;
use modelyard_engine::{Engine, LoadOptions, ModelFile, Parallelism, prepare_process, threads};
use modelyard_graph::{Limits, file};
use modelyard_serving::{
    InferRequest, Input, ModelConfig, RequestOptions, Service, ServiceConfig, Version, VersionSpec,
    VersionState,
};
use modelyard_tensor::{AlignedBuffer, Dim, Rope, Shape, TensorView};

fn main() {
    prepare_process(threads::budget());
    let mut arguments = std::env::args().skip(1).map(PathBuf::from);
    let path = arguments.next().expect("the first argument is a model");
    let library = arguments.next().expect("the second argument is libonnxruntime");
    let engine = OnnxRuntime::open(&library).expect("the library loads");
    let load = move || {
        let model = file::read_file(&path, &Limits::default()).expect("the model is valid");
        let file = ModelFile { path: path.clone(), model };
        engine.load(&file, &LoadOptions { threads: threads::budget(), lone: false })
    };
    threads::spawn("io".into(), move || measure(load))
        .expect("a thread starts")
        .join()
        .expect("the calls succeed");
}

fn measure(
    load: impl Fn() -> Result<modelyard_engine::Loaded, modelyard_engine::LoadError>
    + Send
    + Sync
    + 'static,
) {
    let bare = load().expect("the model loads");
    let spec = VersionSpec {
        model: "m".into(),
        number: 1,
        config: ModelConfig::default(),
        labels: Vec::new(),
        load: Box::new(load),
    };
    let version = Arc::new(Version::load(spec).expect("the model loads"));
    let service =
        Service::new(ServiceConfig { threads: 2, strict_readiness: false }).expect("threads start");
    service.set_version("m", 1, VersionState::Ready(version.clone()));

    let spec = &version.signature().inputs[0];
    let dims = spec.dims.as_deref().unwrap_or_default();
    let fixed = |dim: &Dim| if let Dim::Fixed(size) = dim { *size } else { 1 };
    let shape: Shape = dims.iter().map(fixed).collect();
    let data_type = spec.data_type;
    let len = shape.byte_len(data_type).expect("no strings");
    let data: Bytes = AlignedBuffer::zeroed(len).into_bytes();
    let view = TensorView { data_type, shape: &shape, data: &data };
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let call = || {
        runtime.block_on(async {
            for _ in 0..100 {
                let request = InferRequest {
                    version: service.route("m", None, |_| None).expect("it is there"),
                    inputs: [Input {
                        data_type,
                        shape: shape.clone(),
                        data: Rope::from(data.clone()),
                    }]
                    .into_iter()
                    .collect(),
                    outputs: Default::default(),
                    options: RequestOptions::arrived(Instant::now()),
                };
                service.infer(request).await.expect("it answers");
            }
        });
    };
    let run = || {
        for _ in 0..100 {
            bare.session.run(&[view], &[0], Parallelism::One).expect("it runs");
        }
    };
    for round in 0..6 {
        let (engine, core) = (per_100(run), per_100(call));
        if round > 0 {
            println!("engine {engine:?}, core {core:?}, added {:?}", core.saturating_sub(engine));
        }
    }
}

fn per_100(body: impl Fn()) -> Duration {
    let start = Instant::now();
    let mut calls = 0;
    while start.elapsed() < Duration::from_millis(300) {
        body();
        calls += 100;
    }
    start.elapsed() / calls
}
