//! One measurement: generator threads run a load against a transport, this thread reads clocks.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use bytes::Bytes;
use modelyard_engine::threads;
use tokio::task::LocalSet;

use super::arrivals::Arrivals;
use super::cpu;
use super::drive::{Job, drive};
use super::grpc::{Channel, GrpcCaller, GrpcTarget};
use super::http::HttpCaller;
use super::local::{EngineCaller, EngineModel, ServedModel, ServiceCaller};
use super::recorder::{Recorder, Span};
use super::report::LoadReport;

/// Windows in one measurement.
const WINDOWS: u32 = 10;
/// Time for the threads to start.
const START_DELAY: Duration = Duration::from_millis(5);

/// How many requests are sent when.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Load {
    /// So many callers, each waiting for its answer.
    Closed(usize),
    /// So many requests a second, whatever the server does.
    Open(f64, Arrivals),
}

impl From<Load> for LoadReport {
    fn from(load: Load) -> Self {
        match load {
            Load::Closed(concurrency) => LoadReport::Closed { concurrency },
            Load::Open(rate, arrivals) => LoadReport::Open { rate, arrivals },
        }
    }
}

/// How requests get to the model.
#[derive(Clone)]
pub(crate) enum Transport {
    /// HTTP/1.1, one connection a caller.
    Http(std::net::SocketAddr, Arc<[Bytes]>),
    /// gRPC over so many shared connections.
    Grpc(Arc<GrpcTarget>, usize),
    /// The serving core in this process.
    Service(Arc<ServedModel>),
    /// The bare engine in this process.
    Engine(Arc<EngineModel>),
}

/// What stays the same from measurement to measurement.
pub(crate) struct Plan {
    /// How requests get there.
    pub(crate) transport: Transport,
    /// Rows of each prepared request.
    pub(crate) rows: Arc<[usize]>,
    /// Measured time.
    pub(crate) duration: Duration,
    /// Unmeasured time before it.
    pub(crate) warmup: Duration,
    /// When a request is given up.
    pub(crate) timeout: Duration,
    /// Most requests under way in an open loop.
    pub(crate) open_callers: usize,
    /// Generator threads.
    pub(crate) threads: usize,
    /// Process whose CPU time is read.
    pub(crate) pid: Option<u32>,
    /// Decides what is random.
    pub(crate) seed: u64,
}

/// What one measurement gave.
pub(crate) struct Sample {
    /// What the callers saw.
    pub(crate) recorder: Recorder,
    /// Length of one window.
    pub(crate) window: Duration,
    /// CPU time of the server.
    pub(crate) server_cpu: Option<Duration>,
    /// CPU time of this process.
    pub(crate) own_cpu: Option<Duration>,
}

impl Sample {
    /// Good answers a second.
    pub(crate) fn rate(&self) -> f64 {
        let windows = &self.recorder.windows;
        let completed: u64 = windows.iter().map(|window| window.completed).sum();
        completed as f64 / (self.window.as_secs_f64() * windows.len() as f64)
    }
}

impl Plan {
    /// Measures once. `tick` is called a few times a second meanwhile.
    pub(crate) fn measure(
        &self,
        load: Load,
        round: u64,
        tick: impl Fn(),
    ) -> anyhow::Result<Sample> {
        let begin = Instant::now() + START_DELAY;
        let span =
            Span { start: begin + self.warmup, window: self.duration / WINDOWS, windows: WINDOWS };
        let callers = match load {
            Load::Closed(callers) => callers,
            Load::Open(..) => self.open_callers,
        };
        let count = match &self.transport {
            Transport::Engine(_) => callers, // a call blocks its thread
            _ => self.threads.min(callers),
        };
        let mut threads = Vec::new();
        for number in 0..count {
            let share = callers / count + usize::from(number < callers % count);
            let job = Job {
                open: match load {
                    Load::Closed(_) => None,
                    Load::Open(rate, arrivals) => Some((rate / count as f64, arrivals)),
                },
                begin,
                span,
                timeout: self.timeout,
                rows: self.rows.clone(),
                seed: self.seed ^ (round << 32) ^ ((number as u64) << 48),
            };
            threads.push(self.start(number, count, share, job)?);
        }
        let at = |time: Instant| {
            wait_until(time, &tick);
            let own = cpu::time_of_tree(std::process::id());
            (self.pid.and_then(cpu::time_of_tree), own)
        };
        let (before, after) = (at(span.start), at(span.end()));
        let mut recorder = Recorder::new(span);
        for thread in threads {
            let part = thread.join().map_err(|_| anyhow!("a generator thread panicked"))?;
            recorder.add(&part.context("a generator thread failed")?);
        }
        let spent = |before: Option<Duration>, after: Option<Duration>| Some(after? - before?);
        Ok(Sample {
            recorder,
            window: span.window,
            server_cpu: spent(before.0, after.0),
            own_cpu: spent(before.1, after.1),
        })
    }

    fn start(
        &self,
        number: usize,
        count: usize,
        callers: usize,
        job: Job,
    ) -> anyhow::Result<Thread> {
        let transport = self.transport.clone();
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        let body = move || {
            let _ = sender.send(transport.run(number, count, callers, job));
        };
        let name = format!("load-{number}");
        let thread = match self.transport {
            // Engines want threads of their own making.
            Transport::Service(_) | Transport::Engine(_) => threads::spawn(name, body),
            _ => std::thread::Builder::new().name(name).spawn(body),
        };
        Ok(Thread { thread: thread.context("failed to start a generator thread")?, receiver })
    }
}

/// A generator thread and what it will hand over.
struct Thread {
    thread: JoinHandle<()>,
    receiver: std::sync::mpsc::Receiver<io::Result<Recorder>>,
}

impl Thread {
    fn join(self) -> std::thread::Result<io::Result<Recorder>> {
        let part = self.receiver.recv();
        self.thread.join()?;
        part.map_err(|error| Box::new(error) as _)
    }
}

impl Transport {
    fn run(self, number: usize, count: usize, callers: usize, job: Job) -> io::Result<Recorder> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let local = LocalSet::new();
        match self {
            Transport::Http(address, requests) => {
                let caller = |_| HttpCaller::new(address, requests.clone());
                runtime.block_on(drive(&local, (0..callers).map(caller).collect(), job))
            }
            Transport::Grpc(target, connections) => {
                let share = connections / count + usize::from(number < connections % count);
                let channels: Vec<Rc<Channel>> =
                    (0..share.max(1)).map(|_| Rc::new(Channel::new(target.address))).collect();
                let caller = |caller: usize| {
                    GrpcCaller::new(channels[caller % channels.len()].clone(), target.clone())
                };
                runtime.block_on(drive(&local, (0..callers).map(caller).collect(), job))
            }
            Transport::Service(model) => {
                let caller = |_| ServiceCaller::new(model.clone());
                runtime.block_on(drive(&local, (0..callers).map(caller).collect(), job))
            }
            Transport::Engine(model) => {
                let caller = |_| EngineCaller::new(model.clone());
                runtime.block_on(drive(&local, (0..callers).map(caller).collect(), job))
            }
        }
    }
}

fn wait_until(time: Instant, tick: &impl Fn()) {
    const TICK: Duration = Duration::from_millis(250);
    loop {
        let left = time.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        std::thread::sleep(left.min(TICK));
        tick();
    }
}
