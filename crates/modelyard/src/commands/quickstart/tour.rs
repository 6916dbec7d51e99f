//! Asks about every digit over every protocol, one request at a time.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;
use modelyard_server::Addresses;
use tokio::task::LocalSet;

use super::clients::{Clients, Protocol, Request};
use super::digits::Digits;
use crate::observe::progress::Progress;

/// Requests before the clock runs: connections, caches and the core's cost figures settle.
const WARM_UP: usize = 50;

/// What is needed to walk.
pub(super) struct Plan {
    /// Where the server listens.
    pub(super) addresses: Addresses,
    /// What to ask about.
    pub(super) digits: Digits,
    /// A folder that lives as long as the server.
    pub(super) folder: PathBuf,
    /// Where a waiting person looks.
    pub(super) progress: Progress,
}

/// What one protocol gave.
pub(super) struct Finding {
    /// The protocol.
    pub(super) protocol: Protocol,
    /// Class and probability for each digit.
    pub(super) answers: Vec<(usize, f32)>,
    /// Time for each, from sending to the end of the answer; sorted.
    pub(super) latencies: Vec<Duration>,
}

impl Plan {
    /// Walks through all protocols.
    pub(super) fn walk(&self) -> anyhow::Result<Vec<Finding>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        LocalSet::new().block_on(&runtime, self.walk_all())
    }

    async fn walk_all(&self) -> anyhow::Result<Vec<Finding>> {
        let http = self.addresses.http.context("the quickstart needs an HTTP address")?;
        let grpc = self.addresses.grpc.context("the quickstart needs a gRPC address")?;
        let mut clients = Clients::connect(http, grpc).await?;
        let steps = self.digits.len() * Protocol::ALL.len();
        let mut bar = self.progress.bar("trying digits", steps as u64);
        let mut findings = Vec::new();
        for protocol in Protocol::ALL {
            let walked = self.walk_one(protocol, &mut clients, || bar.step()).await;
            findings.push(walked.with_context(|| format!("{} failed", protocol.name()))?);
        }
        Ok(findings)
    }

    async fn walk_one(
        &self,
        protocol: Protocol,
        clients: &mut Clients,
        mut step: impl FnMut(),
    ) -> anyhow::Result<Finding> {
        let digits = 0..self.digits.len();
        let requests = digits.map(|index| protocol.request(self.digits.image(index)));
        let requests: Vec<Request> = requests.collect::<anyhow::Result<_>>()?;
        for request in requests.iter().take(WARM_UP) {
            clients.ask(protocol, request).await?;
        }
        let mut finding = Finding { protocol, answers: Vec::new(), latencies: Vec::new() };
        for request in &requests {
            let start = Instant::now();
            let answer = clients.ask(protocol, request).await?;
            finding.latencies.push(start.elapsed());
            finding.answers.push(protocol.read(answer)?);
            step();
        }
        finding.latencies.sort_unstable();
        Ok(finding)
    }
}
