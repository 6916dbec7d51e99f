//! Everything that ends the server: a signal, the parent's end, this process itself.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::parent::Parent;

/// Signals that follow the first reason so closely are the same one again: what signals a whole
/// group (`timeout`, `tini -g`, a terminal) often signals its leader as well.
const ECHO: Duration = Duration::from_secs(1);

/// Why the server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The program's own work is done.
    Done,
    /// Something from outside, by name.
    Outside(&'static str),
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Reason::Done => "end of the program's own work",
            Reason::Outside(what) => what,
        })
    }
}

/// Everything that ends the server.
pub(super) struct Stop {
    terminate: Signal,
    interrupt: Signal,
    /// The terminal's end; absent under `nohup`, which is to outlive it.
    hangup: Option<Signal>,
    parent: Option<Parent>,
    asked: Option<oneshot::Receiver<()>>,
}

impl Stop {
    /// From now on no signal meets the default.
    pub(super) fn new(
        parent: Option<Parent>,
        asked: Option<oneshot::Receiver<()>>,
    ) -> std::io::Result<Stop> {
        let hangup = match hangup_is_ignored() {
            true => None,
            false => Some(signal(SignalKind::hangup())?),
        };
        Ok(Stop {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup,
            parent,
            asked,
        })
    }

    /// Waits for the first reason to end and names it.
    pub(super) async fn wait(&mut self) -> Reason {
        tokio::select! {
            _ = self.terminate.recv() => Reason::Outside("SIGTERM"),
            _ = self.interrupt.recv() => Reason::Outside("ctrl-C"),
            () = hung_up(&mut self.hangup) => Reason::Outside("SIGHUP"),
            () = orphaned(self.parent) => Reason::Outside("end of the parent process"),
            () = told(&mut self.asked) => Reason::Done,
        }
    }

    /// Waits, after the first reason, for somebody who insists, and names how.
    pub(super) async fn insisted(&mut self) -> &'static str {
        let first = Instant::now();
        loop {
            let signal = tokio::select! {
                _ = self.terminate.recv() => "SIGTERM",
                _ = self.interrupt.recv() => "ctrl-C",
            };
            if first.elapsed() >= ECHO {
                return signal;
            }
        }
    }
}

async fn hung_up(hangup: &mut Option<Signal>) {
    match hangup {
        Some(hangup) => drop(hangup.recv().await),
        None => std::future::pending().await,
    }
}

async fn orphaned(parent: Option<Parent>) {
    match parent {
        Some(parent) => parent.ended().await,
        None => std::future::pending().await,
    }
}

async fn told(asked: &mut Option<oneshot::Receiver<()>>) {
    if let Some(receiver) = asked {
        let told = receiver.await.is_ok();
        *asked = None;
        if told {
            return;
        }
    }
    // Nobody will ask: a sender that was dropped never does.
    std::future::pending().await
}

/// Whether whoever started us wants SIGHUP to be ignored, as `nohup` does.
fn hangup_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // Signal 1 is the lowest bit.
    mask.is_some_and(|mask| mask & 1 == 1)
}
