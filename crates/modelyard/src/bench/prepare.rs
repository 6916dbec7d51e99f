//! From options to a plan: ask the server what the model takes, make the requests, load the model
//! when it runs in process.

use std::sync::Arc;

use anyhow::{Context, anyhow, bail, ensure};
use bytes::Bytes;
use modelyard_tensor::{Signature, TensorSpec};
use tokio::task::LocalSet;

use super::args::{Args, Protocol};
use super::encode::{self, Body};
use super::grpc::GrpcTarget;
use super::inputs::{self, Example, Sizes};
use super::measure::{Plan, Transport};
use super::random::Random;
use super::target::{self, Described, Server};
use crate::cli::Globals;
use crate::commands::predict::input;
use crate::exit::{Exit, ExitWith};

/// Most requests under way in an open loop, unless told.
const OPEN_CALLERS: usize = 256;
/// Connections that gRPC callers share, unless told: what a handful of clients would open.
const GRPC_CONNECTIONS: usize = 8;

/// Everything before the first measurement.
pub(crate) struct Prepared {
    /// What to run.
    pub(crate) plan: Plan,
    /// How.
    pub(crate) protocol: Protocol,
    /// The model's name, where known.
    pub(crate) model: Option<String>,
    /// Mean bytes of a request.
    pub(crate) request_bytes: usize,
    /// Connections, where their number is fixed.
    pub(crate) connections: Option<usize>,
}

/// Does all of it.
pub(crate) fn prepare(args: &Args, globals: &Globals) -> anyhow::Result<Prepared> {
    let (scheme, rest) = args.target.split_once("://").unwrap_or(("", &args.target));
    let protocol = protocol(args, scheme)?;
    match protocol {
        Protocol::RestBinary | Protocol::RestJson | Protocol::Predict => {
            http(args, &Server::parse(rest, 8000).exit_with(Exit::Usage)?, protocol)
        }
        Protocol::Grpc => grpc(args, &Server::parse(rest, 8001).exit_with(Exit::Usage)?),
        Protocol::InProcess | Protocol::Engine => {
            super::in_process::prepare(args, globals, protocol)
        }
    }
}

fn protocol(args: &Args, scheme: &str) -> anyhow::Result<Protocol> {
    let fitting: &[Protocol] = match scheme {
        "http" => &[Protocol::RestBinary, Protocol::RestJson, Protocol::Predict],
        "grpc" => &[Protocol::Grpc],
        "" => &[Protocol::InProcess, Protocol::Engine],
        "https" => {
            let text = "https:// is not spoken: measure the plain port";
            return Err(anyhow!(text)).exit_with(Exit::Usage);
        }
        other => {
            let text = "expected http://host:port, grpc://host:port or a model file";
            return Err(anyhow!("unknown target '{other}://': {text}")).exit_with(Exit::Usage);
        }
    };
    match args.protocol {
        None => Ok(fitting[0]),
        Some(protocol) if fitting.contains(&protocol) => Ok(protocol),
        Some(protocol) => {
            let text =
                "expected http:// for REST and /predict, grpc:// for gRPC, a file for the rest";
            let target = &args.target;
            Err(anyhow!("{} does not go with '{target}': {text}", protocol.name()))
                .exit_with(Exit::Usage)
        }
    }
}

fn http(args: &Args, server: &Server, protocol: Protocol) -> anyhow::Result<Prepared> {
    let verbatim = match &args.input[..] {
        [file] if protocol != Protocol::RestBinary && file.ends_with(".json") => Some(file),
        _ => None,
    };
    let prefix = &server.prefix;
    if let Some(file) = verbatim {
        let body = std::fs::read(file).with_context(|| format!("failed to read {file}"))?;
        let path = match (protocol, &args.model) {
            (Protocol::Predict, None) => format!("{prefix}/predict"),
            (Protocol::Predict, Some(model)) => format!("{prefix}/predict/{model}"),
            (_, Some(model)) => infer_path(prefix, model, &args.model_version),
            (_, None) => bail!("a body needs to know its model: say --model"),
        };
        let requests = vec![encode::http(&server.host, &path, &Body::json(body))];
        let rows = vec![*args.batch.start()];
        return Ok(over_http(args, server, protocol, args.model.clone(), requests, rows));
    }
    let ask_server = target::describe_rest(server, args.model.as_deref(), &args.model_version);
    let described = describe(args, ask_server)?;
    let examples = examples(args, &described.inputs)?;
    let path = match protocol {
        Protocol::Predict => format!("{prefix}/predict/{}", described.model),
        _ => infer_path(prefix, &described.model, &args.model_version),
    };
    let request = |example: &Example| {
        let body = match protocol {
            Protocol::RestJson => encode::rest_json(example)?,
            Protocol::Predict => encode::predict(example)?,
            _ => encode::rest_binary(example),
        };
        Ok(encode::http(&server.host, &path, &body))
    };
    let requests = examples.iter().map(request).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(over_http(args, server, protocol, Some(described.model), requests, rows(&examples)))
}

fn infer_path(prefix: &str, model: &str, version: &str) -> String {
    match version {
        "" => format!("{prefix}/v2/models/{model}/infer"),
        version => format!("{prefix}/v2/models/{model}/versions/{version}/infer"),
    }
}

fn over_http(
    args: &Args,
    server: &Server,
    protocol: Protocol,
    model: Option<String>,
    requests: Vec<Bytes>,
    rows: Vec<usize>,
) -> Prepared {
    let request_bytes = mean_length(&requests);
    let transport = Transport::Http(server.address, requests.into());
    let plan = plan(args, transport, rows, 1);
    Prepared { plan, protocol, model, request_bytes, connections: args.connections }
}

fn grpc(args: &Args, server: &Server) -> anyhow::Result<Prepared> {
    let ask_server = target::describe_grpc(server, args.model.as_deref(), &args.model_version);
    let described = describe(args, ask_server)?;
    let examples = examples(args, &described.inputs)?;
    let request = |example| encode::grpc(&described.model, &args.model_version, example);
    let requests: Vec<Bytes> = examples.iter().map(request).collect();
    let request_bytes = mean_length(&requests);
    let uri = target::grpc_method(server, "ModelInfer")?;
    let target = GrpcTarget { address: server.address, uri, requests: requests.into() };
    let connections = args.connections.unwrap_or(GRPC_CONNECTIONS);
    Ok(Prepared {
        plan: plan(args, Transport::Grpc(Arc::new(target), connections), rows(&examples), 1),
        protocol: Protocol::Grpc,
        model: Some(described.model),
        request_bytes,
        connections: Some(connections),
    })
}

/// What the options say about the model, or else the server.
fn describe(
    args: &Args,
    ask_server: impl Future<Output = anyhow::Result<Described>>,
) -> anyhow::Result<Described> {
    if let (false, Some(model)) = (args.signature.is_empty(), &args.model) {
        return Ok(Described { model: model.clone(), inputs: args.signature.clone() });
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, ask_server).exit_with(Exit::Remote)
}

/// The inputs to send, by the options.
pub(crate) fn examples(args: &Args, specs: &[TensorSpec]) -> anyhow::Result<Vec<Example>> {
    if !args.input.is_empty() {
        ensure!(
            args.batch.start() == args.batch.end(),
            "--batch: the rows of a file go out in equal batches, not in a range"
        );
        let signature = Signature { inputs: specs.to_vec(), outputs: Vec::new() };
        let tensors = input::read(&args.input, &signature, false)?;
        return inputs::from_file(specs, tensors, *args.batch.start());
    }
    let sizes = Sizes { shapes: args.shapes(), batch: args.batch.clone() };
    inputs::random(specs, &sizes, &mut Random::new(args.seed)).exit_with(Exit::Usage)
}

/// Rows of each example.
pub(crate) fn rows(examples: &[Example]) -> Vec<usize> {
    examples.iter().map(|example| example.rows).collect()
}

/// The plan that all ways have in common.
pub(crate) fn plan(args: &Args, transport: Transport, rows: Vec<usize>, threads: usize) -> Plan {
    Plan {
        transport,
        rows: rows.into(),
        duration: args.duration,
        warmup: args.warmup,
        timeout: args.timeout,
        open_callers: args.connections.unwrap_or(OPEN_CALLERS),
        threads: args.load_threads.unwrap_or(threads),
        pid: args.pid,
        seed: args.seed,
    }
}

fn mean_length(requests: &[Bytes]) -> usize {
    requests.iter().map(Bytes::len).sum::<usize>() / requests.len().max(1)
}
