//! The options of `modelyard bench`, as text and as checked values.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use modelyard_tensor::{Dim, Shape, TensorSpec};

use super::arrivals::Arrivals;
use super::measure::Load;
use crate::cli::EngineArgs;
use crate::config::kind::Kind;
use crate::config::units::Span;
use crate::config::value::Value;

/// Options.
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// What to measure: http://host:port, grpc://host:port, or a model file to run in process
    #[arg(value_name = "TARGET")]
    pub(crate) target: String,
    /// Model on the server [default: its only one]
    #[arg(long, short, value_name = "NAME")]
    pub(crate) model: Option<String>,
    /// Version of the model [default: the server's choice]
    #[arg(long, value_name = "N", default_value = "", hide_default_value = true)]
    pub(crate) model_version: String,
    /// How to ask [default: rest-binary for http://, grpc for grpc://, in-process for a file]
    #[arg(long, value_enum)]
    pub(crate) protocol: Option<Protocol>,
    /// Closed loop: so many callers, each waiting for its answer [default: 1,8,64]
    #[arg(long, short, value_name = "N,…", value_delimiter = ',', value_parser = callers)]
    pub(crate) concurrency: Vec<usize>,
    /// Open loop: so many requests a second, whatever the server does
    #[arg(long, short, value_name = "N,…", value_delimiter = ',', value_parser = rate)]
    pub(crate) rate: Vec<f64>,
    /// How the requests of an open loop are spread over time
    #[arg(long, value_enum, default_value = "poisson")]
    pub(crate) arrivals: Arrivals,
    /// Connections: in an open loop over HTTP the most requests under way [default: 256], over
    /// gRPC how many connections the callers share [default: 8, at most one a caller]
    #[arg(long, value_name = "N", value_parser = callers)]
    pub(crate) connections: Option<usize>,
    /// Length of one measurement
    #[arg(long, short, value_name = "TIME", default_value = "5s", value_parser = duration)]
    pub(crate) duration: Duration,
    /// Unmeasured load before each measurement
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration_or_none)]
    pub(crate) warmup: Duration,
    /// Measurements of each load; the loads take turns
    #[arg(long, value_name = "N", default_value = "3", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) rounds: u16,
    /// Give a request up after this time
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub(crate) timeout: Duration,
    /// What to send, as [NAME=]FILE: .npy, .npz, .json or an image, whose rows become requests;
    /// with /predict and rest-json a lone .json file goes out as it is [default: random values]
    #[arg(long, short, value_name = "[NAME=]FILE")]
    pub(crate) input: Vec<String>,
    /// Shape of an input with free dimensions, such as ids:1,128 (repeatable)
    #[arg(long, value_name = "NAME:DIMS", value_parser = shape)]
    pub(crate) shape: Vec<(String, Shape)>,
    /// An input of a server that does not describe its models, such as x:FP32:1,784 (repeatable,
    /// needs --model)
    #[arg(long, value_name = "NAME:DATATYPE:DIMS", value_parser = signature, requires = "model")]
    pub(crate) signature: Vec<TensorSpec>,
    /// Rows in a request, or a range such as 1-32 to mix
    #[arg(long, short, value_name = "N", default_value = "1", value_parser = batch)]
    pub(crate) batch: RangeInclusive<usize>,
    /// Process of the server on this machine: its CPU time per request is measured too
    #[arg(long, value_name = "PID")]
    pub(crate) pid: Option<u32>,
    /// Threads that generate load [default: 1; in process as many as the models may use]
    #[arg(long, value_name = "N", value_parser = callers)]
    pub(crate) load_threads: Option<usize>,
    /// With --protocol engine: let each call use all threads
    #[arg(long)]
    pub(crate) parallel_calls: bool,
    /// Decides everything random
    #[arg(long, value_name = "N", default_value = "1")]
    pub(crate) seed: u64,
    /// Print the result as JSON
    #[arg(long, conflicts_with = "markdown")]
    pub(crate) json: bool,
    /// Print the result as a Markdown table
    #[arg(long)]
    pub(crate) markdown: bool,
    /// Draw latency over throughput into this file
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
    /// In process: which engine, with what.
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
}

const AFTER_HELP: &str = "\
Latency: open loop from the time a request was due, so that a stalled server cannot hide what it
held up (coordinated omission); closed loop from when it was sent. Intervals (±): 95 % block
bootstrap over windows. The generator needs CPU too: give it other cores than the server
(taskset), or compare only what was measured the same way.

Examples:
  modelyard bench http://localhost:8000 -m digits                    v2 REST, binary tensors
  modelyard bench grpc://localhost:8001 -c 1,8,64 --svg grpc.svg     v2 gRPC, with a plot
  modelyard bench http://localhost:8000 --protocol predict --rate 1000,5000
  modelyard bench model.onnx --protocol engine -c 1,2                the bare engine";

/// How requests reach the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Protocol {
    /// v2 REST with binary tensors in both directions
    RestBinary,
    /// v2 REST, all JSON
    RestJson,
    /// v2 gRPC with raw contents
    Grpc,
    /// POST /predict
    Predict,
    /// The serving core in this process, without a network
    InProcess,
    /// The engine alone, in this process
    Engine,
}

impl Protocol {
    /// The name in reports.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Protocol::RestBinary => "v2 REST binary",
            Protocol::RestJson => "v2 REST JSON",
            Protocol::Grpc => "v2 gRPC",
            Protocol::Predict => "/predict",
            Protocol::InProcess => "in process",
            Protocol::Engine => "bare engine",
        }
    }
}

impl Args {
    /// The loads asked for, in their order.
    pub(crate) fn loads(&self) -> Vec<Load> {
        let closed = self.concurrency.iter().map(|callers| Load::Closed(*callers));
        let open = self.rate.iter().map(|rate| Load::Open(*rate, self.arrivals));
        let loads: Vec<Load> = closed.chain(open).collect();
        if loads.is_empty() { [1, 8, 64].map(Load::Closed).to_vec() } else { loads }
    }

    /// Shapes by input name; the last one said counts.
    pub(crate) fn shapes(&self) -> BTreeMap<String, Shape> {
        self.shape.iter().cloned().collect()
    }
}

fn check<K: Kind>(kind: K, text: &str) -> Result<K::Out, String> {
    kind.check(&Value::Text(text.into())).ok_or_else(|| format!("expected {}", kind.expected()))
}

fn duration(text: &str) -> Result<Duration, String> {
    check(Span { min: Duration::from_millis(10), max: Duration::from_secs(24 * 3600) }, text)
}

fn duration_or_none(text: &str) -> Result<Duration, String> {
    check(Span { min: Duration::ZERO, max: Duration::from_secs(3600) }, text)
}

fn callers(text: &str) -> Result<usize, String> {
    const MAX: usize = 65_536;
    let number = text.parse().ok().filter(|number| (1..=MAX).contains(number));
    number.ok_or_else(|| format!("expected a whole number from 1 to {MAX}"))
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse::<f64>().ok().filter(|rate| (1e-3..=1e8).contains(rate));
    rate.ok_or_else(|| "expected requests a second, from 0.001 to 100000000".into())
}

fn batch(text: &str) -> Result<RangeInclusive<usize>, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.parse(), last.parse()) {
        (Ok(first), Ok(last)) if 1 <= first && first <= last && last <= 65_536 => Ok(first..=last),
        _ => Err("expected a number of rows such as 8, or a range such as 1-32".into()),
    }
}

fn shape(text: &str) -> Result<(String, Shape), String> {
    let parsed = || {
        // Input names may hold colons: `serving_default_x:0`.
        let (name, dims) = text.rsplit_once(':')?;
        let dims = dims.split(',').map(|dim| dim.trim().parse().ok());
        Some((name.to_owned(), dims.collect::<Option<Shape>>()?))
    };
    parsed().ok_or_else(|| "expected NAME:DIMS such as ids:1,128".into())
}

fn signature(text: &str) -> Result<TensorSpec, String> {
    let parsed = || {
        let (name_and_type, _) = text.rsplit_once(':')?;
        let (name, data_type) = name_and_type.rsplit_once(':')?;
        let (_, shape) = shape(text).ok()?;
        let dims = Some(shape.iter().map(|dim| Dim::Fixed(*dim)).collect());
        Some(TensorSpec { name: name.into(), data_type: data_type.parse().ok()?, dims })
    };
    parsed().ok_or_else(|| "expected NAME:DATATYPE:DIMS such as x:FP32:1,784".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_checked() {
        assert_eq!(shape("x:0:1,128"), Ok(("x:0".into(), Shape::from([1, 128]))));
        assert!(shape("x").is_err() && shape("x:1,a").is_err());
        let spec = signature("x:0:INT64:1,16").unwrap();
        assert_eq!((spec.name.as_str(), spec.wire_shape()), ("x:0", vec![1, 16]));
        assert!(signature("x:1,16").is_err());
        assert_eq!(batch("1-32"), Ok(1..=32));
        assert_eq!(batch("8"), Ok(8..=8));
        assert!(batch("0").is_err() && batch("9-2").is_err());
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert!(duration("0").is_err() && duration_or_none("0").is_ok());
        assert!(rate("0").is_err() && rate("NaN").is_err() && rate("0.5").is_ok());
        assert!(callers("0").is_err());
    }
}
