//! SIGTERM under load: a client that stops when readiness says so loses no request.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::check;
use crate::contender::{Contender, Start, Talk, words};
use crate::digits::Digit;
use crate::env::Env;
use crate::report::{Report, Table};

/// Clients, each on a kept-alive connection.
const CLIENTS: usize = 16;
/// How often readiness is asked for: as an impatient load balancer would.
const PROBE: Duration = Duration::from_millis(100);

/// Stops the server under load, once a round.
pub(crate) fn run(env: &Env) -> anyhow::Result<Report> {
    let mut report = Report::new("drain", env);
    let heading = ["round", "answered", "failed", "SIGTERM to end", "exit"];
    let mut table = Table::new("Digits, v2 REST JSON, drain_delay 1 s", &heading);
    let mut failed = 0;
    for round in 0..env.options.rounds {
        let outcome = stop_once(env)?;
        failed += outcome.failed;
        table.row([
            (round + 1).to_string(),
            outcome.answered.to_string(),
            outcome.failed.to_string(),
            format!("{:.2} s", outcome.end.as_secs_f64()),
            outcome.exit.to_string(),
        ]);
        ensure!(outcome.exit.success(), "the server ended with {}", outcome.exit);
    }
    report.table(table);
    report.target("failed requests", failed as f64, failed == 0);
    Ok(report)
}

struct Outcome {
    answered: u64,
    failed: u64,
    end: Duration,
    exit: ExitStatus,
}

fn stop_once(env: &Env) -> anyhow::Result<Outcome> {
    let digit = Digit::first(env)?;
    let ours = Contender {
        name: "modelyard".into(),
        start: Start::Ours { model: env.digits_model(), flags: words("--drain-delay 1s") },
        cores: None,
        talk: Talk::Http(Vec::new()),
        question: None,
    };
    let mut server = ours.start(env)?;
    let http = server.http.clone();
    let body = digit.v2_body("image");
    let ready = AtomicBool::new(true);
    let (answered, failed) = (AtomicU64::new(0), AtomicU64::new(0));
    let client = || {
        let mut connection = None;
        while ready.load(Ordering::Relaxed) {
            match request(&http, &mut connection, &body) {
                Ok(()) => answered.fetch_add(1, Ordering::Relaxed),
                Err(error) => {
                    eprintln!("failed request: {error:#}");
                    failed.fetch_add(1, Ordering::Relaxed)
                }
            };
        }
    };
    let (end, exit) = std::thread::scope(|scope| -> anyhow::Result<_> {
        for _ in 0..CLIENTS {
            scope.spawn(client);
        }
        scope.spawn(|| {
            while check::is_ready(&http) {
                std::thread::sleep(PROBE);
            }
            ready.store(false, Ordering::Relaxed);
        });
        std::thread::sleep(Duration::from_secs(1));
        let begin = Instant::now();
        server.terminate();
        let exit = server.wait()?;
        Ok((begin.elapsed(), exit))
    })?;
    Ok(Outcome { answered: answered.into_inner(), failed: failed.into_inner(), end, exit })
}

/// One request over the connection, which is made or made anew when there is none.
fn request(address: &str, connection: &mut Option<TcpStream>, body: &str) -> anyhow::Result<()> {
    let mut stream = match connection.take() {
        Some(stream) => stream,
        None => {
            let stream = TcpStream::connect(address).context("failed to connect")?;
            stream.set_nodelay(true)?;
            stream
        }
    };
    let head = format!(
        "POST /v2/models/model/infer HTTP/1.1\r\nHost: {address}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).context("failed to send")?;
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let count = stream.read(&mut piece).context("failed to read")?;
        ensure!(count > 0, "closed after {} bytes of the answer", answer.len());
        answer.extend_from_slice(&piece[..count]);
        let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = length.context("no content-length")?.trim().parse()?;
        if answer.len() >= end + 4 + length {
            ensure!(
                head.starts_with("http/1.1 200"),
                "answered {}",
                head.lines().next().unwrap_or("")
            );
            if !head.contains("connection: close") {
                *connection = Some(stream);
            }
            return Ok(());
        }
    }
}
