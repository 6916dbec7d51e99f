//! What a call costs, engine by engine: `overhead MODEL.onnx [LIBONNXRUNTIME]`.
//!
//! Free dimensions are taken as 1. Calls run on a thread of `threads::spawn`, as in the server.

use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use modelyard_engine::onnxruntime::OnnxRuntime;
use modelyard_engine::rten::Rten;
use modelyard_engine::{
    Engine, LoadOptions, ModelFile, Parallelism, Session, prepare_process, threads,
};
use modelyard_graph::{Limits, file};
use modelyard_tensor::{AlignedBuffer, Dim, Shape, Tensor, TensorView};

fn main() {
    prepare_process(threads::budget());
    let mut arguments = std::env::args().skip(1).map(PathBuf::from);
    let path = arguments.next().expect("the first argument is a model");
    let mut engines: Vec<Box<dyn Engine>> = vec![Box::new(Rten::default())];
    if let Some(library) = arguments.next() {
        engines.push(Box::new(OnnxRuntime::open(&library).expect("the library loads")));
    }
    for engine in engines {
        measure(engine.as_ref(), &path);
    }
}

fn measure(engine: &dyn Engine, path: &Path) {
    let model = file::read_file(path, &Limits::default()).expect("the model is valid");
    let model = ModelFile { path: path.to_owned(), model };
    let options = LoadOptions { threads: threads::budget(), lone: false };
    let loaded = engine.load(&model, &options).expect("the model loads");
    println!(
        "{:12} {:8} load {:?}, {:.1} MB",
        loaded.engine,
        engine.version(),
        loaded.time,
        loaded.bytes as f64 / 1e6
    );
    let session: Arc<dyn Session> = loaded.session.into();
    let on_host = Arc::clone(&session);
    let (send, receive) = mpsc::channel();
    let thread = threads::spawn("hosted".into(), move || {
        let one = per_call(on_host.as_ref(), Parallelism::One);
        let _ = send.send([one, per_call(on_host.as_ref(), Parallelism::All)]);
    });
    thread.expect("a thread starts").join().expect("the calls succeed");
    let [one, all] = receive.recv().expect("the calls succeeded");
    println!("  hosted thread, one: {one:?}, all: {all:?}");
    println!("  another thread, one: {:?}", per_call(session.as_ref(), Parallelism::One));
    let before = cpu_time();
    std::thread::sleep(Duration::from_secs(1));
    println!("  idle: {:?} CPU a second", cpu_time() - before);
}

fn per_call(session: &dyn Session, parallelism: Parallelism) -> Duration {
    let tensors: Vec<Tensor> = session
        .signature()
        .inputs
        .iter()
        .map(|spec| {
            let dims = spec.dims.as_deref().unwrap_or_default();
            let shape: Shape =
                dims.iter().map(|dim| if let Dim::Fixed(size) = dim { *size } else { 1 }).collect();
            let len = shape.byte_len(spec.data_type).expect("no strings");
            let data = AlignedBuffer::zeroed(len).into_bytes();
            Tensor::new(spec.data_type, shape, data).expect("sizes agree")
        })
        .collect();
    let views: Vec<TensorView<'_>> = tensors.iter().map(Tensor::view).collect();
    let outputs: Vec<usize> = (0..session.signature().outputs.len()).collect();
    let run = || drop(session.run(&views, &outputs, parallelism).expect("the model runs"));
    let warm = Instant::now();
    while warm.elapsed() < Duration::from_millis(500) {
        run();
    }
    let mut rounds: Vec<Duration> = (0..21)
        .map(|_| {
            let start = Instant::now();
            let mut calls = 0;
            while start.elapsed() < Duration::from_millis(50) {
                (0..10).for_each(|_| run());
                calls += 10;
            }
            start.elapsed() / calls
        })
        .collect();
    rounds.sort();
    rounds[rounds.len() / 2]
}

fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok());
    Duration::from_millis(10 * (ticks(11).unwrap_or(0) + ticks(12).unwrap_or(0)))
}
