//! Batching: what a batch gains in process, and how much of that callers get without asking.

use std::path::Path;

use crate::compare::{Comparison, Load, Spread, compare};
use crate::contender::{Contender, Start, Talk, words};
use crate::env::Env;
use crate::load;
use crate::report::{Report, Table, rate};

/// Batch sizes tried in process.
const SIZES: [usize; 6] = [1, 2, 4, 8, 16, 32];
/// A model gains by batching when a row costs so much less in a batch.
const GAINS: f64 = 2.0;

/// Measures four models: two that may gain by batching, two that don't.
pub(crate) fn run(env: &Env) -> anyhow::Result<Report> {
    let mut report = Report::new("batching", env);
    let digits = env.digits_model();
    let models = [
        ("wide MLP", env.model("wide")?, ""),
        ("MiniLM-like, 16 tokens", env.model("minilm")?, "--signature input_ids:INT64:1,16"),
        ("MobileNetV2", env.model("mobilenet")?, ""),
        ("digits MLP", digits, ""),
    ];
    for (name, model, signature) in &models {
        let gain = gain(env, &mut report, name, model)?;
        let served = served(env, model, signature)?;
        let ratio = served.ratio((0, 1), 0, |f| f.per_second);
        report.comparison(&format!("{name}: 64 callers over v2 REST binary"), &served);
        // The digits' cost is the server's own, whatever its engine would gain.
        let least = if gain >= GAINS && *name != "digits MLP" { 0.8 * gain } else { 1.0 };
        let what = format!("{name}: with batches over without, {}, ≥ {least:.2}", ratio.ratio());
        report.target(&what, ratio.median, ratio.median >= least);
        let p99 = half_load(env, model, signature, &served)?;
        report.comparison(&format!("{name}: half of that, open loop"), &p99);
        let ratio = p99.ratio((0, 1), 0, |f| f.p99_us);
        let what = format!("{name}: p99 at half load over without, {}, ≤ 1.1", ratio.ratio());
        report.target(&what, ratio.median, ratio.median <= 1.1);
    }
    Ok(report)
}

/// How many more rows a second the best batch size gives in process.
fn gain(env: &Env, report: &mut Report, name: &str, model: &Path) -> anyhow::Result<f64> {
    let threads = std::thread::available_parallelism()?.get();
    let mut rows = vec![Vec::new(); SIZES.len()];
    for _ in 0..env.options.rounds {
        for (size, rows) in SIZES.iter().zip(&mut rows) {
            let mut arguments = vec![model.display().to_string()];
            arguments.extend(words("--protocol engine --engine onnxruntime --onnxruntime-lib"));
            arguments.push(env.library.display().to_string());
            arguments.extend(words(&format!("-c {threads} --duration 1s --warmup 300ms")));
            match name.starts_with("MiniLM") {
                true => arguments.extend(words(&format!("--shape input_ids:{size},16"))),
                false => arguments.extend(words(&format!("--batch {size}"))),
            }
            // `--shape` leaves the generator without a notion of rows.
            rows.push(load::run(env, None, &arguments, None)?.per_second * *size as f64);
        }
    }
    let spreads: Vec<Spread> = rows.into_iter().map(Spread::of).collect();
    let mut table =
        Table::new(format!("{name} in process"), &["rows in a batch", "rows/s", "gain"]);
    let mut best = 1.0f64;
    for (size, spread) in SIZES.iter().zip(&spreads) {
        let gain = spread.median / spreads[0].median;
        best = best.max(gain);
        table.row([size.to_string(), rate(*spread), format!("{gain:.2}×")]);
    }
    report.table(table);
    report.data(&format!("{name}: rows/s by batch size"), &spreads);
    Ok(best)
}

fn contenders(model: &Path, signature: &str) -> [Contender; 2] {
    let contender = |name: &str, flags: &str| Contender {
        name: name.into(),
        start: Start::Ours { model: model.to_owned(), flags: words(flags) },
        cores: None,
        talk: Talk::Http(words(&format!("-m model {signature}"))),
        question: None,
    };
    [
        contender("as it comes", ""),
        contender("max_batch_size 1", "--set models.model.max_batch_size=1"),
    ]
}

fn served(env: &Env, model: &Path, signature: &str) -> anyhow::Result<Comparison> {
    compare(env, &contenders(model, signature), &[Load::callers(64)])
}

fn half_load(
    env: &Env,
    model: &Path,
    signature: &str,
    served: &Comparison,
) -> anyhow::Result<Comparison> {
    let rate = served.spread(1, 0, |f| f.per_second).median / 2.0;
    let arguments = words(&format!("--rate {rate:.1}"));
    let load = Load { name: format!("{rate:.0}/s"), arguments, cores: None };
    compare(env, &contenders(model, signature), &[load])
}
