//! The servers that are measured, and how to talk to each.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::Context;

use crate::check;
use crate::env::Env;
use crate::process::{self, Server, command, free_port};

/// Worker processes of FastAPI.
const WORKERS: &str = "2";

/// A server to measure and what to send it.
pub(crate) struct Contender {
    /// Its name in tables.
    pub(crate) name: String,
    /// How to start it.
    pub(crate) start: Start,
    /// Cores to pin it to.
    pub(crate) cores: Option<&'static str>,
    /// How to talk to it.
    pub(crate) talk: Talk,
    /// A question with a known answer.
    pub(crate) question: Option<Question>,
}

/// How to start a server.
#[derive(Clone)]
pub(crate) enum Start {
    /// Modelyard with this model under the name `model`, and further flags; with ONNX Runtime
    /// unless they say otherwise.
    Ours { model: PathBuf, flags: Vec<String> },
    /// Modelyard with the models that these flags name.
    Flags(Vec<String>),
    /// A folder of `bench/peers` with this model and so many threads of its engine.
    Peer { name: &'static str, model: PathBuf, threads: usize },
    /// The empty server with these arguments.
    Empty { arguments: Vec<String> },
}

/// What to send under load: arguments of the generator besides the target.
#[derive(Clone)]
pub(crate) enum Talk {
    /// Over HTTP.
    Http(Vec<String>),
    /// Over gRPC.
    Grpc(Vec<String>),
}

/// A request over HTTP whose answer is known.
#[derive(Clone)]
pub(crate) struct Question {
    /// Where to post it.
    pub(crate) path: String,
    /// What to post.
    pub(crate) body: Vec<u8>,
    /// The class with the largest number in the answer, where that is known.
    pub(crate) class: Option<usize>,
}

impl Talk {
    /// The target and the other arguments of the generator.
    pub(crate) fn arguments(&self, server: &Server) -> Vec<String> {
        let (target, rest) = match self {
            Talk::Http(rest) => (format!("http://{}", server.http), rest),
            Talk::Grpc(rest) => (format!("grpc://{}", server.grpc), rest),
        };
        std::iter::once(target).chain(rest.iter().cloned()).collect()
    }
}

/// Arguments from words.
pub(crate) fn words(text: &str) -> Vec<String> {
    text.split_ascii_whitespace().map(String::from).collect()
}

impl Contender {
    /// Ours, started with these models, whatever is said to it.
    pub(crate) fn ours(start: Start) -> Self {
        let talk = Talk::Http(Vec::new());
        Contender { name: "modelyard".into(), start, cores: None, talk, question: None }
    }

    /// Starts the server and waits until it answers.
    pub(crate) fn start(&self, env: &Env) -> anyhow::Result<Server> {
        let started = match &self.start {
            Start::Ours { model, flags } => ours(env, Some(model), flags, self.cores),
            Start::Flags(flags) => ours(env, None, flags, self.cores),
            Start::Peer { name, model, threads } => peer(env, name, model, *threads, self.cores),
            Start::Empty { arguments } => empty(env, arguments, self.cores),
        };
        started.with_context(|| format!("failed to start {}", self.name))
    }
}

fn ours(
    env: &Env,
    model: Option<&PathBuf>,
    flags: &[String],
    cores: Option<&str>,
) -> anyhow::Result<Server> {
    let addresses = env.scratch.join(format!("addresses-{}.json", std::process::id()));
    let _ = std::fs::remove_file(&addresses);
    let mut serve = command(&env.modelyard, cores);
    serve.arg("serve").args(model.map(|model| format!("model={}", model.display())));
    serve.args(["--http-address", "127.0.0.1:0", "--grpc-address", "127.0.0.1:0"]);
    serve.args(["--metrics-address", "off", "--log-level", "warn"]);
    if !flags.iter().any(|flag| flag == "--engine") {
        serve.args(["--engine", "onnxruntime"]);
    }
    serve.arg("--onnxruntime-lib").arg(&env.library);
    serve.arg("--address-file").arg(&addresses).args(flags);
    let mut server = Server::start(serve, String::new(), String::new())?;
    let read = || {
        let text = std::fs::read(&addresses).ok()?;
        let json: serde_json::Value = serde_json::from_slice(&text).ok()?;
        Some((json["http"].as_str()?.to_owned(), json["grpc"].as_str()?.to_owned()))
    };
    (server.http, server.grpc) = server.wait_for(read)?;
    let http = server.http.clone();
    server.wait_for(|| check::is_ready(&http).then_some(()))?;
    Ok(server)
}

fn peer(
    env: &Env,
    name: &str,
    model: &std::path::Path,
    threads: usize,
    cores: Option<&str>,
) -> anyhow::Result<Server> {
    let folder = env.peer(name)?;
    let (port, grpc_port) = (free_port()?, free_port()?);
    let mut run = command(folder.join("run.sh"), cores);
    run.env("MODEL", model).env("ORT_DYLIB_PATH", &env.library);
    run.env("PORT", port.to_string()).env("GRPC_PORT", grpc_port.to_string());
    run.env("THREADS", threads.to_string()).env("WORKERS", WORKERS);
    run.stdout(Stdio::null()).stderr(log(env, name)?);
    let (http, grpc) = (format!("127.0.0.1:{port}"), format!("127.0.0.1:{grpc_port}"));
    let mut server = Server::start(run, http.clone(), grpc)?;
    server.wait_for(|| process::listens(&http).then_some(()))?;
    server.come_to_rest()?;
    Ok(server)
}

fn empty(env: &Env, arguments: &[String], cores: Option<&str>) -> anyhow::Result<Server> {
    let mut run: Command = command(&env.empty, cores);
    let output = env.scratch.join(format!("empty-{}.txt", std::process::id()));
    run.args(arguments).stdout(std::fs::File::create(&output)?);
    let mut server = Server::start(run, String::new(), String::new())?;
    let read = || {
        let text = std::fs::read_to_string(&output).ok()?;
        text.ends_with('\n').then(|| text.trim().to_owned())
    };
    server.http = server.wait_for(read)?;
    server.grpc = server.http.clone();
    Ok(server)
}

fn log(env: &Env, name: &str) -> anyhow::Result<std::fs::File> {
    Ok(std::fs::File::create(env.scratch.join(format!("{name}.log")))?)
}
