//! One of the two that are compared: runs a recorded request, and times it.

use std::time::{Duration, Instant};

use anyhow::Context;
use modelyard_engine::Parallelism;
use modelyard_tape::NamedTensor;
use modelyard_tensor::{Signature, Tensor};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::commands::local_model::{self, LocalModel};
use crate::commands::predict::remote;
use crate::http_client::HttpClient;

/// One of the two that are compared.
pub(super) enum Side {
    /// A model in this process.
    Local(Local),
    /// A model of a server.
    Remote(Remote),
}

/// A model in this process.
pub(super) struct Local {
    /// As it was asked for.
    pub(super) called: String,
    pub(super) model: LocalModel,
    /// Where its files lie, if they are there for this alone.
    pub(super) _folder: Option<TempDir>,
}

/// A model of a server.
pub(super) struct Remote {
    url: String,
    route: String,
    timeout: Duration,
    signature: Signature,
}

/// What became of a request.
pub(super) enum Ran {
    /// The outputs by name, and how long it took.
    Answered(Vec<NamedTensor>, Duration),
    /// Why there are none.
    Failed(String),
}

impl Side {
    /// As it was asked for.
    pub(super) fn called(&self) -> String {
        match self {
            Side::Local(local) => local.called.clone(),
            Side::Remote(remote) => format!("{}{}", remote.url, remote.route),
        }
    }

    /// What runs it.
    pub(super) fn by(&self) -> &str {
        match self {
            Side::Local(local) => local.model.loaded.engine,
            Side::Remote(_) => "server",
        }
    }

    /// What it takes and gives.
    pub(super) fn signature(&self) -> &Signature {
        match self {
            Side::Local(local) => local.model.loaded.session.signature(),
            Side::Remote(remote) => &remote.signature,
        }
    }

    /// The recorded inputs in this model's order, or why it does not take them.
    pub(super) fn inputs(&self, recorded: &[NamedTensor]) -> Result<Vec<Tensor>, String> {
        let specs = &self.signature().inputs;
        if let Some(extra) =
            recorded.iter().find(|input| specs.iter().all(|s| s.name != input.name))
        {
            return Err(format!("'{}' has no input '{}'", self.called(), extra.name));
        }
        let fitting = |spec: &modelyard_tensor::TensorSpec| {
            let input = recorded.iter().find(|input| input.name == spec.name);
            let Some(NamedTensor { tensor, .. }) = input else {
                return Err(format!("no input '{}' was recorded", spec.name));
            };
            if tensor.data_type() != spec.data_type || !spec.accepts(tensor.shape()) {
                return Err(format!(
                    "input '{}' of '{}' is {} {}, another was recorded",
                    spec.name,
                    self.called(),
                    spec.data_type,
                    spec.shape_text()
                ));
            }
            Ok(tensor.clone())
        };
        specs.iter().map(fitting).collect()
    }

    /// One that runs requests, for one thread.
    pub(super) fn runner(&self, parallelism: Parallelism) -> anyhow::Result<Runner<'_>> {
        match self {
            Side::Local(local) => Ok(Runner::Local(&local.model, parallelism)),
            Side::Remote(remote) => {
                let runtime = runtime()?;
                let connect = HttpClient::connect(&remote.url, remote.timeout);
                let client = runtime.block_on(connect)?;
                Ok(Runner::Remote(remote, runtime, client))
            }
        }
    }
}

fn runtime() -> anyhow::Result<Runtime> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("failed to start a runtime")
}

impl Remote {
    /// Asks what the model takes.
    pub(super) fn ask(url: &str, route: &str, timeout: Duration) -> anyhow::Result<Remote> {
        let signature = runtime()?.block_on(async {
            let mut client = HttpClient::connect(url, timeout).await?;
            remote::signature(&mut client, route).await
        })?;
        Ok(Remote { url: url.to_owned(), route: route.to_owned(), timeout, signature })
    }
}

/// Runs requests.
pub(super) enum Runner<'a> {
    /// In this process.
    Local(&'a LocalModel, Parallelism),
    /// On a server.
    Remote(&'a Remote, Runtime, HttpClient),
}

impl Runner<'_> {
    /// Runs a request that fits.
    pub(super) fn run(&mut self, inputs: &[Tensor]) -> anyhow::Result<Ran> {
        match self {
            Runner::Local(model, parallelism) => Ok(run_here(model, *parallelism, inputs)),
            Runner::Remote(remote, runtime, client) => {
                runtime.block_on(run_there(remote, client, inputs))
            }
        }
    }
}

fn run_here(model: &LocalModel, parallelism: Parallelism, inputs: &[Tensor]) -> Ran {
    let session = model.loaded.session.as_ref();
    let outputs = &session.signature().outputs;
    let all: Vec<usize> = (0..outputs.len()).collect();
    // Inputs are copied to where engines want them before the clock runs.
    let (ran, time) = local_model::with_views(inputs, |views| {
        let start = Instant::now();
        (session.run(views, &all, parallelism), start.elapsed())
    });
    match ran {
        Ok(tensors) => {
            let named = outputs.iter().zip(tensors);
            let named = named.map(|(spec, tensor)| NamedTensor { name: spec.name.clone(), tensor });
            Ran::Answered(named.collect(), time)
        }
        Err(error) => Ran::Failed(error.to_string()),
    }
}

/// An error when the server cannot be reached; what it refuses is an answer.
async fn run_there(
    remote: &Remote,
    client: &mut HttpClient,
    inputs: &[Tensor],
) -> anyhow::Result<Ran> {
    let (headers, body) = remote::request(&remote.signature, inputs);
    let start = Instant::now();
    let reply = client.post(&format!("{}/infer", remote.route), headers, body).await?;
    let time = start.elapsed();
    let reply = match reply.successful() {
        Ok(reply) => reply,
        Err(error) => return Ok(Ran::Failed(error.to_string())),
    };
    let (_, outputs) = remote::response(&reply.headers, reply.body)
        .context("failed to understand the server's answer")?;
    let named = outputs.into_iter().map(|(name, tensor)| NamedTensor { name, tensor });
    Ok(Ran::Answered(named.collect(), time))
}
