//! Memory does not creep: after a million requests of mixed sizes it is what it was after ten
//! thousand.

use crate::contender::{Contender, Start, Talk, words};
use crate::env::Env;
use crate::load;
use crate::process::Server;
use crate::report::{Report, Table};

/// Requests before the first look.
const FIRST_LOOK: u64 = 10_000;

/// Sends batches of 1 to 32 digits in random order, over HTTP and over gRPC.
pub(crate) fn run(env: &Env) -> anyhow::Result<Report> {
    let mut report = Report::new("memory", env);
    let looks = [FIRST_LOOK, env.options.requests];
    let [first, last] = looks.map(|look| format!("after {look} requests"));
    let heading = ["protocol", &first, &last, "ratio"];
    let mut table = Table::new("Resident memory, MB", &heading);
    let talks = [
        ("v2 REST binary", Talk::Http(words("-m model"))),
        ("v2 gRPC", Talk::Grpc(words("-m model"))),
    ];
    for (name, talk) in talks {
        let start = Start::Ours { model: env.digits_model(), flags: Vec::new() };
        let ours = Contender { name: name.into(), start, cores: None, talk, question: None };
        let server = ours.start(env)?;
        let mut sent = 0;
        let mut resident = Vec::new();
        for look in looks {
            while sent < look {
                let missing = look - sent;
                let seconds = if missing > 50_000 { 5.0 } else { 0.2 };
                sent += ask(env, &ours, &server, seconds)?;
            }
            resident.push(server.resident_mb());
        }
        let ratio = resident[1] / resident[0];
        table.row([
            name.into(),
            format!("{:.1}", resident[0]),
            format!("{:.1}", resident[1]),
            format!("{ratio:.3}"),
        ]);
        report.target(&format!("{name}: growth, ≤ 1.05"), ratio, ratio <= 1.05);
        report.data(name, &resident);
    }
    report.table(table);
    Ok(report)
}

fn ask(env: &Env, ours: &Contender, server: &Server, seconds: f64) -> anyhow::Result<u64> {
    let mut arguments = ours.talk.arguments(server);
    arguments.extend(words(&format!("-c 16 --batch 1-32 --warmup 0 --duration {seconds}s")));
    let figures = load::run(env, Some(server), &arguments, None)?;
    anyhow::ensure!(figures.failed == 0, "{} under load", figures.failures);
    Ok(figures.completed)
}
