//! One file a suite.

mod batching;
mod cycles;
mod distillation;
mod drain;
mod limit;
mod memory;
mod mobilenet;
mod overload;
mod parse;
mod peers;
mod perf_analyzer;
mod registered;
mod resnet;
mod start;
mod switches;
mod switching;
mod training;

use crate::env::Env;
use crate::report::Report;

/// What can be measured.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Suite {
    /// Digits over /predict, v2 binary and v2 gRPC against what no server can beat
    Limit,
    /// Digits over /predict: Flask, FastAPI, Fastify, furnace-server
    PredictPeers,
    /// Digits over v2 REST binary: furnace-server
    BinaryPeers,
    /// Digits over v2 gRPC: furnace-server
    GrpcPeers,
    /// MobileNetV2 over binary and JSON, against in process and furnace-server
    Mobilenet,
    /// ResNet-50 served against a bare loop
    Resnet,
    /// What batches gain in process, and how much of it callers get
    Batching,
    /// Memory after many requests of mixed sizes
    Memory,
    /// Time from start to first answer, and size of the binary
    Start,
    /// Ten times more requests than fit
    Overload,
    /// SIGTERM under load
    Drain,
    /// New versions of a model under load, beside another one
    Switches,
    /// Memory after many models were loaded and unloaded
    Cycles,
    /// Start with a thousand models registered
    Registered,
    /// Our generator against NVIDIA's perf_analyzer
    PerfAnalyzer,
    /// Digits learned beside PyTorch and Keras
    Training,
    /// A small student with a teacher and without
    Distillation,
}

impl Suite {
    /// Measures.
    pub(crate) fn run(self, env: &Env) -> anyhow::Result<Report> {
        match self {
            Suite::Limit => limit::run(env),
            Suite::PredictPeers => peers::predict(env),
            Suite::BinaryPeers => peers::binary(env),
            Suite::GrpcPeers => peers::grpc(env),
            Suite::Mobilenet => mobilenet::run(env),
            Suite::Resnet => resnet::run(env),
            Suite::Batching => batching::run(env),
            Suite::Memory => memory::run(env),
            Suite::Start => start::run(env),
            Suite::Overload => overload::run(env),
            Suite::Drain => drain::run(env),
            Suite::Switches => switches::run(env),
            Suite::Cycles => cycles::run(env),
            Suite::Registered => registered::run(env),
            Suite::PerfAnalyzer => perf_analyzer::run(env),
            Suite::Training => training::run(env),
            Suite::Distillation => distillation::run(env),
        }
    }
}
