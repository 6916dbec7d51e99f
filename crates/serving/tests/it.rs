//! The serving core from outside, over sessions that do exactly what a test needs.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use bytes::Bytes;
use modelyard_engine::{LoadError, Loaded, Parallelism, RunError, Session};
use modelyard_rollout::{BasisPoints, Split};
use modelyard_serving::{
    ErrorCode, InferError, InferRequest, InferResponse, Input, ModelConfig, Next, Phase, Recorder,
    RequestOptions, Route, Service, ServiceConfig, Trial, Version, VersionSpec, VersionState,
};
use modelyard_tensor::{DataType, Dim, Rope, Shape, Signature, Tensor, TensorSpec, TensorView};
use parking_lot::Mutex;

/// What a session did.
#[derive(Default)]
struct Seen {
    batches: Mutex<Vec<usize>>,
    thread: Mutex<Option<ThreadId>>,
    loads: AtomicUsize,
    /// Whether loading fails.
    broken: AtomicBool,
}

/// Doubles floats; behaves as told.
struct Doubler {
    signature: Signature,
    behaviour: Behaviour,
    seen: Arc<Seen>,
}

#[derive(Clone, Copy)]
enum Behaviour {
    /// Takes so long for a batch and so long more for each row.
    Costs { batch: Duration, row: Duration },
    /// Panics (as engines report it) on a row that starts with 666.
    PanicsOn666,
    /// Refuses a row that starts with 666.
    Refuses666,
    /// Adds the sum of all rows to each: rows depend on each other.
    MixesRows,
    /// Computes a hundredth more in a batch than alone.
    Wavers,
}

fn spec(name: &str) -> TensorSpec {
    let dims = Some(vec![Dim::Symbol("batch".into()), Dim::Free]);
    TensorSpec { name: name.into(), data_type: DataType::Fp32, dims }
}

/// The processor time of this thread.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), u32::try_from(time.tv_nsec).unwrap())
}

impl Session for Doubler {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn run(
        &self,
        inputs: &[TensorView<'_>],
        outputs: &[usize],
        _: Parallelism,
    ) -> Result<Vec<Tensor>, RunError> {
        let rows = inputs[0].shape[0];
        let values = inputs[0].values::<f32>().expect("aligned, as the contract says");
        self.seen.batches.lock().push(rows);
        *self.seen.thread.lock() = Some(std::thread::current().id());
        let hit = values.contains(&666.0);
        let mut add = 0.0;
        match self.behaviour {
            Behaviour::Costs { batch, row } => {
                // Work is what a processor does: a thread that has to wait for one costs no more.
                let until = cpu_time() + batch + row * rows as u32;
                while cpu_time() < until {
                    std::hint::spin_loop();
                }
            }
            Behaviour::PanicsOn666 if hit => return Err(RunError::Panicked("666".into())),
            Behaviour::Refuses666 if hit => return Err(RunError::Inputs("666".into())),
            Behaviour::MixesRows => add = values.iter().sum(),
            _ => {}
        }
        let factor =
            if matches!(self.behaviour, Behaviour::Wavers) && rows > 1 { 2.02 } else { 2.0 };
        let doubled: Vec<f32> = values.iter().map(|value| value * factor + add).collect();
        let output = Tensor::from_vec(Shape::new(inputs[0].shape), doubled).unwrap();
        Ok(outputs.iter().map(|_| output.clone()).collect())
    }
}

struct Bench {
    service: Arc<Service>,
    seen: Arc<Seen>,
}

impl Bench {
    fn new(behaviour: Behaviour, config: ModelConfig) -> Self {
        Bench::with(ServiceConfig { threads: 1, strict_readiness: false }, behaviour, config)
    }

    fn strict(behaviour: Behaviour) -> Self {
        let service = ServiceConfig { threads: 1, strict_readiness: true };
        Bench::with(service, behaviour, ModelConfig::default())
    }

    fn with(service: ServiceConfig, behaviour: Behaviour, config: ModelConfig) -> Self {
        let service = Service::new(service).unwrap();
        let seen = Arc::new(Seen::default());
        let bench = Bench { service, seen };
        let version = bench.load(1, behaviour, config).unwrap();
        bench.service.set_version("double", 1, VersionState::Ready(version));
        bench.service.set_phase(Phase::Ready);
        bench.seen.batches.lock().clear();
        bench
    }

    /// Loads a version, and leaves it to the test.
    fn load(
        &self,
        number: u64,
        behaviour: Behaviour,
        config: ModelConfig,
    ) -> Result<Arc<Version>, LoadError> {
        Version::load(self.spec(number, behaviour, config)).map(Arc::new)
    }

    fn spec(&self, number: u64, behaviour: Behaviour, config: ModelConfig) -> VersionSpec {
        let shared = self.seen.clone();
        let load = move || {
            shared.loads.fetch_add(1, SeqCst);
            if shared.broken.load(SeqCst) {
                return Err(LoadError::Failed { engine: "fake", message: "no memory".into() });
            }
            let signature = Signature { inputs: vec![spec("x")], outputs: vec![spec("y")] };
            let session = Doubler { signature, behaviour, seen: shared.clone() };
            Ok(Loaded {
                session: Box::new(session),
                engine: "fake",
                time: Duration::ZERO,
                bytes: 0,
            })
        };
        let (model, labels, load) = ("double".to_owned(), Vec::new(), Box::new(load));
        VersionSpec { model, number, config, labels, load }
    }

    fn slow(config: ModelConfig) -> Self {
        let batch = Duration::from_millis(20);
        Bench::new(Behaviour::Costs { batch, row: Duration::from_micros(10) }, config)
    }

    fn request(&self, rows: &[[f32; 2]]) -> InferRequest {
        let data: Vec<u8> = rows.as_flattened().iter().flat_map(|v| v.to_le_bytes()).collect();
        let (data_type, shape) = (DataType::Fp32, Shape::from([rows.len(), 2]));
        InferRequest {
            version: self.service.route("double", None, |_| None).unwrap(),
            inputs: [Input { data_type, shape, data: Rope::from(Bytes::from(data)) }]
                .into_iter()
                .collect(),
            outputs: Default::default(),
            options: RequestOptions::arrived(Instant::now()),
        }
    }

    /// Sends in the background; yields so that the request is queued when this returns.
    async fn send(
        &self,
        request: InferRequest,
    ) -> tokio::task::JoinHandle<Result<InferResponse, InferError>> {
        let service = self.service.clone();
        let task = tokio::spawn(async move { service.infer(request).await });
        tokio::task::yield_now().await;
        task
    }
}

fn values(response: &InferResponse) -> Vec<f32> {
    response.outputs[0].values::<f32>().unwrap().into_owned()
}

#[tokio::test]
async fn cheap_models_run_on_the_callers_thread() {
    let cheap = Behaviour::Costs { batch: Duration::ZERO, row: Duration::ZERO };
    let bench = Bench::new(cheap, ModelConfig::default());
    let here = Some(std::thread::current().id());
    // The first request of its size tells what it costs; a busy machine makes it look dear for a
    // while.
    for _ in 0..1000 {
        let response = bench.service.infer(bench.request(&[[1., 2.]])).await.unwrap();
        assert_eq!(values(&response), [2., 4.]);
        if *bench.seen.thread.lock() == here {
            return;
        }
    }
    panic!("never ran on the caller's thread");
}

/// A model cheap enough for the caller's thread that gains by batching, its cost known.
async fn cheap_and_gaining() -> Bench {
    let cheap = Behaviour::Costs { batch: Duration::from_micros(10), row: Duration::ZERO };
    let bench = Bench::new(cheap, ModelConfig::default());
    for _ in 0..8 {
        bench.service.infer(bench.request(&[[1., 2.]])).await.unwrap();
    }
    bench.seen.batches.lock().clear();
    bench
}

#[tokio::test]
async fn cheap_requests_that_are_ready_at_once_run_together() {
    let bench = cheap_and_gaining().await;
    for _ in 0..64 {
        let requests = [1.0, 2.0, 3.0, 4.0].map(|value| bench.request(&[[value, -value]]));
        let [first, second, third, fourth] = requests.map(|request| bench.service.infer(request));
        let answers = tokio::join!(first, second, third, fourth);
        for (answer, value) in
            [answers.0, answers.1, answers.2, answers.3].into_iter().zip([1., 2., 3., 4.])
        {
            assert_eq!(values(&answer.unwrap()), [2. * value, -2. * value]);
        }
    }
    let runs = bench.seen.batches.lock().len();
    assert!(runs < 200, "256 requests, four at a time, took {runs} runs");
    assert_eq!(*bench.seen.thread.lock(), Some(std::thread::current().id()));
}

#[tokio::test]
async fn those_who_joined_a_request_that_was_given_up_are_answered() {
    let bench = cheap_and_gaining().await;
    for _ in 0..64 {
        let given_up = bench.service.infer(bench.request(&[[7., 7.]]));
        let answered = bench.service.infer(bench.request(&[[1., 2.]]));
        let mut given_up = Box::pin(given_up);
        let mut answered = Box::pin(answered);
        let mut polled = false;
        let answer = std::future::poll_fn(|cx| {
            if !polled {
                polled = true;
                // Whichever leads, it is gone before its turn ends.
                let _ = given_up.as_mut().poll(cx);
                let ready = answered.as_mut().poll(cx);
                given_up = Box::pin(bench.service.infer(bench.request(&[[0., 0.]])));
                return ready;
            }
            answered.as_mut().poll(cx)
        });
        assert_eq!(values(&answer.await.unwrap()), [2., 4.]);
    }
    assert!(bench.seen.batches.lock().iter().all(|&rows| rows == 1), "a given-up request ran");
}

#[tokio::test]
async fn requests_that_wait_share_batches_and_get_their_own_rows() {
    let bench = Bench::slow(ModelConfig::default());
    for _ in 0..3 {
        let mut tasks = Vec::new();
        for value in 0..40 {
            let value = value as f32;
            let rows = vec![[value, -value]; 1 + value as usize % 3];
            tasks.push((value, bench.send(bench.request(&rows)).await));
        }
        for (value, task) in tasks {
            let response = task.await.unwrap().unwrap();
            assert_eq!(response.outputs[0].shape().dims(), [1 + value as usize % 3, 2]);
            assert_eq!(values(&response)[..2], [2. * value, -2. * value]);
        }
    }
    let runs = bench.seen.batches.lock().len();
    assert!(runs < 60, "120 requests of a model that gains by batching took {runs} runs");
}

#[tokio::test]
async fn a_model_that_mixes_rows_is_never_batched() {
    let bench = Bench::new(Behaviour::MixesRows, ModelConfig::default());
    assert_eq!(bench.service.resolve("double", None).unwrap().max_batch_size(), 0);
}

/// A configured batch size must not give callers each other's data.
#[tokio::test]
async fn a_model_that_mixes_rows_is_never_batched_even_when_told_to() {
    let mut config = ModelConfig::default();
    config.batching.max_batch_size = Some(8);
    config.batching.max_queue_delay = Duration::from_millis(20);
    let bench = Bench::new(Behaviour::MixesRows, config);
    assert_eq!(bench.service.resolve("double", None).unwrap().max_batch_size(), 8);
    let mut tasks = Vec::new();
    for value in [1., 2., 3.] {
        tasks.push((value, bench.send(bench.request(&[[value, 0.], [0., 0.]])).await));
    }
    for (value, task) in tasks {
        // Twice its own, and the sum of its own rows alone.
        assert_eq!(values(&task.await.unwrap().unwrap())[0], 3. * value);
    }
    assert_eq!(*bench.seen.batches.lock(), [2, 2, 2]);
    let error = bench.service.infer(bench.request(&[[0., 0.]; 9])).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidArgument);
}

/// magika 1.0.3 amplifies rounding: a row alone and in a batch differ by 0.8 %, but never with
/// what is beside it.
#[tokio::test]
async fn a_model_that_amplifies_rounding_is_batched() {
    let bench = Bench::new(Behaviour::Wavers, ModelConfig::default());
    assert_eq!(bench.service.resolve("double", None).unwrap().max_batch_size(), 128);
}

#[tokio::test]
async fn a_full_queue_refuses_at_once_and_says_when_to_retry() {
    let mut config = ModelConfig::default();
    config.queue.max_requests = 2;
    let bench = Bench::slow(config);
    let mut waiting = vec![bench.send(bench.request(&[[0., 0.]])).await];
    while bench.seen.batches.lock().is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    waiting.push(bench.send(bench.request(&[[1., 1.]])).await);
    waiting.push(bench.send(bench.request(&[[2., 2.]])).await);
    let error = bench.service.infer(bench.request(&[[3., 3.]])).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Overloaded);
    assert!(error.retry_after.is_some());
    assert!(bench.service.resolve("double", None).unwrap().check_capacity().is_err());
    for task in waiting {
        task.await.unwrap().unwrap();
    }
    let figures = bench.service.resolve("double", None).unwrap().statistics();
    assert_eq!((figures.success.count, figures.failures[0].count), (3, 1));
}

#[tokio::test]
async fn giving_up_frees_the_place_in_the_queue() {
    let mut config = ModelConfig::default();
    config.queue.max_requests = 1;
    let bench = Bench::slow(config);
    let running = bench.send(bench.request(&[[0., 0.]])).await;
    while bench.seen.batches.lock().is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let given_up = bench.send(bench.request(&[[1., 1.]])).await;
    given_up.abort();
    assert!(given_up.await.unwrap_err().is_cancelled());
    bench.service.infer(bench.request(&[[2., 2.]])).await.unwrap();
    running.await.unwrap().unwrap();
    let figures = bench.service.resolve("double", None).unwrap().statistics();
    assert_eq!((figures.success.count, figures.failures[1].count), (2, 1));
}

#[tokio::test]
async fn a_deadline_that_cannot_be_met_is_refused_and_costs_nothing() {
    let bench = Bench::slow(ModelConfig::default());
    let mut tasks = Vec::new();
    for _ in 0..3 {
        tasks.push(bench.send(bench.request(&[[0., 0.]])).await);
    }
    let mut request = bench.request(&[[1., 1.]]);
    request.options.deadline = Some(Instant::now() + Duration::from_millis(1));
    let error = bench.service.infer(request).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::DeadlineExceeded);
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    let rows: usize = bench.seen.batches.lock().iter().sum();
    assert_eq!(rows, 3, "the late request was not run");
}

#[tokio::test]
async fn a_deadline_that_has_passed_is_said_to_have() {
    let bench = Bench::slow(ModelConfig::default());
    let mut request = bench.request(&[[1., 1.]]);
    request.options.deadline = Some(request.options.arrived);
    let error = bench.service.infer(request).await.unwrap_err();
    assert_eq!(error.message, "the deadline had passed before model 'double' was asked");
}

#[tokio::test]
async fn the_hint_when_to_retry_follows_what_waits() {
    let mut config = ModelConfig::default();
    config.queue.max_requests = 150;
    config.batching.max_batch_size = Some(1);
    config.instances = Some(1);
    let bench = Bench::slow(config);
    let mut tasks = Vec::new();
    let error = loop {
        let request = bench.request(&[[1., 1.]]);
        if request.version.check_capacity().is_ok() {
            tasks.push(bench.send(request).await);
            continue;
        }
        // A place may have become free just now: then it waits, and is given up at once.
        if let Ok(answer) = tokio::time::timeout(Duration::ZERO, bench.service.infer(request)).await
        {
            break answer.unwrap_err();
        }
    };
    // 150 requests of 20 ms, one at a time.
    let hint = error.retry_after.unwrap();
    assert!((Duration::from_secs(2)..=Duration::from_secs(60)).contains(&hint), "{hint:?}");
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
}

/// A cheap model used to run at once, whatever it was told.
#[tokio::test]
async fn a_cheap_model_waits_for_company_when_told_to() {
    let mut config = ModelConfig::default();
    config.batching.max_batch_size = Some(8);
    config.batching.max_queue_delay = Duration::from_millis(50);
    let cheap = Behaviour::Costs { batch: Duration::ZERO, row: Duration::ZERO };
    let bench = Bench::new(cheap, config);
    let mut tasks = Vec::new();
    for value in [1., 2., 3.] {
        tasks.push(bench.send(bench.request(&[[value, 0.]])).await);
    }
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!(*bench.seen.batches.lock(), [3]);
}

#[tokio::test]
async fn urgent_requests_overtake() {
    let mut config = ModelConfig::default();
    config.batching.max_batch_size = Some(1);
    let bench = Bench::slow(config);
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = Vec::new();
    for (name, priority) in [("first", 0), ("low", -1), ("normal", 0), ("urgent", 5)] {
        let mut request = bench.request(&[[0., 0.]]);
        request.options.priority = priority;
        let (service, order) = (bench.service.clone(), order.clone());
        tasks.push(tokio::spawn(async move {
            service.infer(request).await.unwrap();
            order.lock().push(name);
        }));
        tokio::task::yield_now().await;
        while bench.seen.batches.lock().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(*order.lock(), ["first", "urgent", "normal", "low"]);
}

#[tokio::test]
async fn a_recorder_gets_requests_with_their_answers() {
    let cheap = Behaviour::Costs { batch: Duration::ZERO, row: Duration::ZERO };
    let bench = Bench::new(cheap, ModelConfig::default());
    let (recorder, samples) = Recorder::new(1.0);
    bench.service.record(recorder);
    let service = &bench.service;
    service.infer_called(bench.request(&[[1., 2.], [3., 4.]]), "a").await.unwrap();
    let mut wrong = bench.request(&[[1., 2.]]);
    wrong.inputs[0].data_type = DataType::Int32;
    service.infer(wrong).await.unwrap_err();
    let Next::Sample(sample) = samples.next(None) else { panic!("nothing was recorded") };
    assert_eq!((&*sample.model, sample.version, &*sample.id, sample.rows), ("double", 1, "a", 2));
    let (name, input) = &sample.inputs[0];
    assert_eq!((&**name, &*input.values::<f32>().unwrap()), ("x", &[1., 2., 3., 4.][..]));
    let (outputs, timing) = sample.answer.as_ref().unwrap();
    assert_eq!(&*outputs[0].1.values::<f32>().unwrap(), [2., 4., 6., 8.]);
    assert!(outputs[0].0 == "y" && sample.latency >= timing.compute);
    let Next::Sample(sample) = samples.next(None) else { panic!("a refusal was not recorded") };
    assert_eq!(sample.answer.unwrap_err().code, ErrorCode::InvalidArgument);
    let soon = Instant::now() + Duration::from_millis(1);
    assert!(matches!(samples.next(Some(soon)), Next::Late));
    let recorder = service.recorder().unwrap();
    recorder.close();
    assert!(matches!(samples.next(None), Next::Closed));
    service.infer(bench.request(&[[1., 2.]])).await.unwrap();
    assert_eq!(recorder.figures().drawn, 2, "nothing is drawn after the end");
}

#[tokio::test]
async fn a_recorder_that_cannot_keep_up_loses_samples_and_holds_up_nobody() {
    let cheap = Behaviour::Costs { batch: Duration::ZERO, row: Duration::ZERO };
    let config = ModelConfig { tape_sample: Some(0.5), ..ModelConfig::default() };
    let bench = Bench::new(cheap, config);
    let (recorder, samples) = Recorder::new(0.0);
    bench.service.record(recorder);
    for _ in 0..4000 {
        bench.service.infer(bench.request(&[[1., 2.]])).await.unwrap();
    }
    let recorder = bench.service.recorder().unwrap();
    let figures = recorder.figures();
    // Half of them, by the model's own share: 300 off is nine standard deviations.
    assert!(figures.drawn.abs_diff(2000) < 300, "{figures:?}");
    assert_eq!(figures.dropped, figures.drawn - 1024);
    recorder.close();
    let mut taken = 0;
    while let Next::Sample(_) = samples.next(None) {
        taken += 1;
    }
    assert_eq!(taken, 1024);
}

#[tokio::test]
async fn one_bad_request_does_not_spoil_its_batch() {
    let mut config = ModelConfig::default();
    config.batching.max_batch_size = Some(8);
    config.batching.max_queue_delay = Duration::from_millis(50);
    config.instances = Some(1);
    let bench = Bench::new(Behaviour::Refuses666, config);
    bench.seen.batches.lock().clear();
    let version = bench.service.resolve("double", None).unwrap();
    let mut tasks = Vec::new();
    for value in [1., 666., 3.] {
        tasks.push(bench.send(bench.request(&[[value, 0.], [value, 0.]])).await);
    }
    let mut codes = Vec::new();
    for task in tasks {
        codes.push(task.await.unwrap().map(|r| values(&r)[0]).map_err(|e| e.code));
    }
    assert_eq!(codes, [Ok(2.), Err(ErrorCode::InvalidArgument), Ok(6.)]);
    assert_eq!(version.statistics().failures[3].count, 1);
}

#[tokio::test]
async fn a_panicking_engine_is_contained_and_loaded_again() {
    let bench = Bench::new(Behaviour::PanicsOn666, ModelConfig::default());
    let error = bench.service.infer(bench.request(&[[666., 0.]])).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Unavailable);
    let give_up = Instant::now() + Duration::from_secs(10);
    while bench.service.infer(bench.request(&[[1., 0.]])).await.is_err() {
        assert!(Instant::now() < give_up, "the model did not come back");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(bench.seen.loads.load(SeqCst), 2);
}

/// Readiness must not lie while the session is gone, and trying must go on.
#[tokio::test]
async fn a_model_that_is_being_loaded_again_is_not_ready() {
    let bench = Bench::new(Behaviour::PanicsOn666, ModelConfig::default());
    let service = &bench.service;
    let state = || service.index().swap_remove(0);
    bench.seen.broken.store(true, SeqCst);
    service.infer(bench.request(&[[666., 0.]])).await.unwrap_err();
    assert!(!service.model_ready("double", None) && !service.model_ready("double", Some(1)));
    assert!(["LOADING", "UNAVAILABLE"].contains(&state().state));
    wait_until(|| state().state == "UNAVAILABLE").await;
    assert!(state().reason.ends_with("failed to load the model: no memory"), "{}", state().reason);
    let error = service.infer(bench.request(&[[1., 0.]])).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Unavailable);
    bench.seen.broken.store(false, SeqCst);
    wait_until(|| service.model_ready("double", None)).await;
    assert_eq!((state().state, state().reason.as_str()), ("READY", ""));
    service.infer(bench.request(&[[1., 0.]])).await.unwrap();
}

#[tokio::test]
async fn strict_readiness_sees_a_model_that_is_being_loaded_again() {
    let bench = Bench::strict(Behaviour::PanicsOn666);
    assert!(bench.service.ready());
    bench.seen.broken.store(true, SeqCst);
    bench.service.infer(bench.request(&[[666., 0.]])).await.unwrap_err();
    assert!(!bench.service.ready());
    bench.seen.broken.store(false, SeqCst);
    wait_until(|| bench.service.ready()).await;
}

async fn wait_until(condition: impl Fn() -> bool) {
    let give_up = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < give_up, "it did not come about");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn wrong_requests_are_refused_with_what_was_expected() {
    let bench = Bench::new(Behaviour::MixesRows, ModelConfig::default());
    let check = async |change: fn(&mut Input), expected: &str| {
        let mut request = bench.request(&[[1., 2.]]);
        change(&mut request.inputs[0]);
        let error = bench.service.infer(request).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidArgument);
        assert!(error.message.contains(expected), "{error}");
    };
    check(|i| i.data_type = DataType::Int64, "expects datatype FP32, but INT64").await;
    check(|i| i.shape = [2].into(), "expects shape [batch,?], but [2]").await;
    check(|i| i.shape = [1, 3].into(), "8 bytes of data, but FP32 of shape [1,3] takes 12").await;
    check(|i| i.shape = [usize::MAX, usize::MAX].into(), "too large").await;
}

#[tokio::test]
async fn the_index_tells_where_versions_stand() {
    let bench = Bench::new(Behaviour::MixesRows, ModelConfig::default());
    let service = &bench.service;
    service.set_version("double", 2, VersionState::Loading);
    service.set_version("broken", 1, VersionState::Unavailable("bad file".into()));
    let lines: Vec<_> =
        service.index().into_iter().map(|e| (e.model, e.version, e.state, e.reason)).collect();
    assert_eq!(
        lines,
        [
            ("broken".to_owned(), 1, "UNAVAILABLE", "bad file".to_owned()),
            ("double".to_owned(), 1, "READY", String::new()),
            ("double".to_owned(), 2, "LOADING", String::new()),
        ]
    );
    assert_eq!(service.resolve("double", None).unwrap().number(), 1);
    let code = |model: &str, version| service.resolve(model, version).map(|_| ()).unwrap_err().code;
    assert_eq!(code("double", Some(2)), ErrorCode::Unavailable);
    assert_eq!(code("double", Some(3)), ErrorCode::NotFound);
    assert_eq!(code("nosuch", None), ErrorCode::NotFound);
    assert_eq!(code("broken", None), ErrorCode::Unavailable);
    assert!(service.ready() && service.model_ready("double", None));
    service.set_phase(Phase::Draining);
    assert!(!service.ready() && service.live());
    service.infer(bench.request(&[[1., 2.]])).await.unwrap();
}

#[tokio::test]
async fn versions_are_switched_in_one_step_and_go_with_their_last_request() {
    let bench = Bench::strict(Behaviour::MixesRows);
    let service = &bench.service;
    let under_way = bench.request(&[[1., 2.]]);
    let second = bench.load(2, Behaviour::MixesRows, ModelConfig::default()).unwrap();
    let changes = [(2, VersionState::Ready(second)), (1, VersionState::Unloaded)];
    let replaced = service.set_versions("double", &changes);
    assert_eq!(replaced.len(), 1);
    let first = Arc::downgrade(&replaced[0]);
    drop(replaced);
    assert_eq!(service.resolve("double", None).unwrap().number(), 2);
    let line = |index: usize| {
        let entry = service.index().swap_remove(index);
        (entry.version, entry.state, entry.reason)
    };
    assert_eq!(line(0), (1, "UNLOADING", String::new()));
    assert_eq!(line(1), (2, "READY", String::new()));
    assert_eq!(service.resolve("double", Some(1)).err().unwrap().code, ErrorCode::NotFound);
    assert!(service.ready(), "nobody waits for what was unloaded");
    assert!(first.upgrade().is_some(), "a request holds it");
    service.infer(under_way).await.unwrap();
    // The thread that answered lets go a moment later.
    for _ in 0..1000 {
        if first.strong_count() == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(line(0), (1, "UNAVAILABLE", "unloaded".to_owned()));
}

#[tokio::test]
async fn requests_that_name_no_version_go_to_the_preferred_one() {
    let bench = Bench::new(Behaviour::MixesRows, ModelConfig::default());
    let service = &bench.service;
    let second = bench.load(2, Behaviour::MixesRows, ModelConfig::default()).unwrap();
    let second = VersionState::Ready(second);
    let answering = || service.resolve("double", None).unwrap().number();
    service.switch("double", &[(2, second.clone())], Some(Route::to(1)));
    assert_eq!(answering(), 1);
    // It holds until somebody says otherwise.
    service.set_version("double", 3, VersionState::Loading);
    assert_eq!(answering(), 1);
    service.switch("double", &[], Some(Route::to(2)));
    assert_eq!(answering(), 2);
    service.switch("double", &[(2, VersionState::Unloaded)], Some(Route::to(2)));
    assert_eq!(answering(), 1, "the preferred one is not loaded");
    service.switch("double", &[(2, second)], Some(Route::to(1)));
    service.switch("double", &[], None);
    assert_eq!(answering(), 2, "the highest");
}

/// A route to version 1, with version 2 as candidate that gets these shares, of requests and copies.
fn trial(share: u16, copied: u16) -> (Route, Arc<Trial>) {
    let points = |points| BasisPoints::new(points).unwrap();
    let trial = Arc::new(Trial::new(2, points(copied)));
    let split = Split::all(1).with_candidate(2, points(share)).unwrap();
    (Route { split, sticky: None, trial: Some(trial.clone()) }, trial)
}

#[tokio::test]
async fn a_candidate_gets_its_share_and_each_side_its_figures() {
    let bench = Bench::new(Behaviour::MixesRows, ModelConfig::default());
    let service = &bench.service;
    let second = bench.load(2, Behaviour::Refuses666, ModelConfig::default()).unwrap();
    let (route, trial) = trial(5_000, 0);
    service.switch("double", &[(2, VersionState::Ready(second))], Some(route));
    assert_eq!(service.resolve("double", None).unwrap().number(), 1, "who asks about the model");
    for _ in 0..400 {
        service.infer(bench.request(&[[666., 2.]])).await.ok();
    }
    // Whoever names a version is not part of the trial.
    let mut named = bench.request(&[[1., 2.]]);
    named.version = service.route("double", Some(2), |_| None).unwrap();
    service.infer(named).await.unwrap();
    let found = trial.observations();
    assert_eq!(found.stable.requests + found.candidate.requests, 400);
    assert!((100..300).contains(&found.candidate.requests), "{}", found.candidate.requests);
    assert_eq!((found.stable.errors, found.stable.latency.total()), (0, found.stable.requests));
    assert_eq!(found.candidate.errors, found.candidate.requests, "it refuses what the other takes");
}

#[tokio::test]
async fn copies_are_compared_and_never_answered() {
    let bench = Bench::new(Behaviour::Refuses666, ModelConfig::default());
    let service = &bench.service;
    let second = bench.load(2, Behaviour::MixesRows, ModelConfig::default()).unwrap();
    let (route, trial) = trial(0, 10_000);
    service.switch("double", &[(2, VersionState::Ready(second))], Some(route));
    for _ in 0..20 {
        let answer = service.infer(bench.request(&[[1., 2.]])).await.unwrap();
        assert_eq!(answer.outputs[0].view().values::<f32>().unwrap(), [2., 4.]);
    }
    let end = Instant::now() + Duration::from_secs(30);
    while trial.observations().drift.answers + trial.shed() < 20 {
        assert!(Instant::now() < end, "{:?}", trial.observations());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let found = trial.observations();
    assert!(found.drift.answers > 0);
    assert_eq!(found.candidate.requests, found.drift.answers);
    assert_eq!(found.stable.requests, 0, "all were copied");
    // 2 and 4 against 5 and 7.
    let expected = (18.0f64 / 20.0).sqrt();
    assert!((found.drift.mean_relative_error() - expected).abs() < 1e-6, "{:?}", found.drift);
}

#[tokio::test]
async fn a_candidate_that_is_not_loaded_leaves_its_share_to_the_other() {
    let bench = Bench::new(Behaviour::MixesRows, ModelConfig::default());
    let (route, trial) = trial(9_999, 10_000);
    bench.service.switch("double", &[(2, VersionState::Unavailable("torn".into()))], Some(route));
    for _ in 0..20 {
        bench.service.infer(bench.request(&[[1., 2.]])).await.unwrap();
    }
    assert_eq!(trial.observations().stable.requests, 20);
}

#[tokio::test]
async fn what_fails_to_load_later_takes_no_readiness_away() {
    let bench = Bench::strict(Behaviour::MixesRows);
    let service = &bench.service;
    service.set_version("double", 2, VersionState::Loading);
    assert!(service.ready());
    service.set_version("double", 2, VersionState::Unavailable("its file is torn".into()));
    assert!(service.ready());
    let serving = service.resolve("double", None).unwrap();
    service.set_version("double", 1, VersionState::Kept(serving, "its file is torn".into()));
    let index = service.index();
    assert_eq!((index[0].state, index[0].reason.as_str()), ("READY", "its file is torn"));
    assert_eq!(service.resolve("double", Some(1)).unwrap().number(), 1);
}

#[tokio::test]
async fn the_index_forgets_versions_that_were_unloaded_long_ago() {
    let bench = Bench::new(Behaviour::MixesRows, ModelConfig::default());
    for number in 2..100 {
        bench.service.set_version("double", number, VersionState::Unloaded);
    }
    let versions: Vec<u64> = bench.service.index().iter().map(|entry| entry.version).collect();
    assert_eq!(versions, [vec![1], (92..100).collect()].concat());
}

#[test]
fn recorded_requests_warm_a_version_as_far_as_they_fit() {
    let cheap = Behaviour::Costs { batch: Duration::ZERO, row: Duration::ZERO };
    let bench = Bench::new(cheap, ModelConfig::default());
    let rows = |name: &str, rows: usize, values: usize| {
        let data = vec![7f32; rows * values];
        vec![(name.to_owned(), Tensor::from_vec([rows, values].into(), data).unwrap())]
    };
    let other_type = Tensor::from_vec([9, 3].into(), vec![1i32; 27]).unwrap();
    let recorded = [
        rows("x", 5, 3),
        rows("other", 6, 3),
        vec![("x".to_owned(), other_type)],
        rows("x", 7, 4),
        [rows("x", 8, 4), rows("z", 8, 4)].concat(),
    ];
    let mut config = ModelConfig::default();
    config.batching.max_batch_size = Some(32);
    let spec = bench.spec(2, cheap, config);
    Version::load_warmed(spec, &recorded).unwrap();
    let ran = bench.seen.batches.lock();
    // The newest as it came, its first row, the next one; then the batch size asked for.
    assert!(ran.ends_with(&[5, 1, 7, 32]), "{ran:?}");
    drop(ran);
    let refuses = bench.spec(3, Behaviour::Refuses666, ModelConfig::default());
    let bad = vec![("x".to_owned(), Tensor::from_vec([1, 2].into(), vec![666f32; 2]).unwrap())];
    Version::load_warmed(refuses, std::slice::from_ref(&bad)).unwrap();
    let panics = bench.spec(4, Behaviour::PanicsOn666, ModelConfig::default());
    let error = Version::load_warmed(panics, &[bad]).err().unwrap().to_string();
    assert!(error.contains("a trial run failed"), "{error}");
}

#[test]
fn batch_sizes_that_were_asked_for_are_warmed() {
    let cheap = Behaviour::Costs { batch: Duration::ZERO, row: Duration::ZERO };
    let bench = Bench::new(cheap, ModelConfig::default());
    let mut config = ModelConfig::default();
    config.batching.max_batch_size = Some(32);
    config.batching.preferred_batch_sizes = vec![8, 16];
    bench.load(2, cheap, config).unwrap();
    let ran = bench.seen.batches.lock();
    assert!(ran.ends_with(&[8, 16, 32]), "{ran:?}");
}
