//! Ten times more requests than fit: what fits is still answered, the rest refused at once.

use crate::contender::{Contender, Start, Talk, words};
use crate::env::Env;
use crate::load;
use crate::report::{Report, Table, micros};

/// A model whose requests are small and whose answers take milliseconds: the generator can send
/// ten times too many from the same two cores.
const MODEL: &str = "minilm";

/// Measures the peak, then ten times the peak, in turns.
pub(crate) fn run(env: &Env) -> anyhow::Result<Report> {
    let mut report = Report::new("overload", env);
    let heading =
        ["round", "peak/s", "offered/s", "goodput/s", "refused", "p99 refused", "max refused"];
    let mut table = Table::new("MiniLM-like, 16 tokens, v2 REST binary", &heading);
    let ours = Contender {
        name: "modelyard".into(),
        start: Start::Ours { model: env.model(MODEL)?, flags: Vec::new() },
        cores: None,
        talk: Talk::Http(words("-m model --signature input_ids:INT64:1,16")),
        question: None,
    };
    let (mut goodputs, mut slowest, mut others) = (Vec::new(), Vec::new(), 0);
    for round in 0..env.options.rounds {
        let server = ours.start(env)?;
        let ask = |more: &str| {
            let mut arguments = ours.talk.arguments(&server);
            arguments.extend(words(more));
            load::run(env, Some(&server), &arguments, None)
        };
        let peak = ask("-c 64")?;
        let rate = 10.0 * peak.per_second;
        let flood = ask(&format!("--rate {rate:.0} --connections 4000 --warmup 2s"))?;
        table.row([
            (round + 1).to_string(),
            format!("{:.0}", peak.per_second),
            format!("{rate:.0}"),
            format!("{:.0}", flood.per_second),
            flood.refused.to_string(),
            micros(flood.refused_p99_us),
            micros(flood.refused_max_us),
        ]);
        goodputs.push(flood.per_second / peak.per_second);
        // Without a refusal nothing is known about refusals.
        slowest.push(if flood.refused > 0 { flood.refused_p99_us / 1e3 } else { f64::NAN });
        others += flood.failed - flood.refused;
        report.data("peak, overload", [&peak, &flood]);
    }
    report.table(table);
    let goodput = crate::compare::Spread::of(goodputs);
    let what = format!("goodput over peak, {}, ≥ 0.9", goodput.ratio());
    report.target(&what, goodput.median, goodput.median >= 0.9);
    let slowest = crate::compare::Spread::of(slowest).median;
    report.target("refused in ms (p99, from when they were due), < 20", slowest, slowest < 20.0);
    report.note(format!("{others} requests failed otherwise (see the JSON)"));
    Ok(report)
}
