//! From nothing to the first answer, and what there is to download.

use std::time::Instant;

use crate::check;
use crate::compare::Spread;
use crate::contender::{Contender, Start, Talk, words};
use crate::digits::Digit;
use crate::env::Env;
use crate::report::{Report, Table};

/// Starts of each engine.
const STARTS: usize = 15;

/// Starts the digits model with each engine; the answer is checked.
pub(crate) fn run(env: &Env) -> anyhow::Result<Report> {
    let mut report = Report::new("start", env);
    let digit = Digit::first(env)?;
    let question = digit.v2_question("image");
    let mut table = Table::new("Digits, milliseconds", &["engine", "start to first answer"]);
    for (engine, flags) in [("onnxruntime", ""), ("rten", "--engine rten")] {
        let start = Start::Ours { model: env.digits_model(), flags: words(flags) };
        let talk = Talk::Http(Vec::new());
        let ours = Contender { name: engine.into(), start, cores: None, talk, question: None };
        let mut times = Vec::new();
        for _ in 0..STARTS {
            let begin = Instant::now();
            let server = ours.start(env)?;
            check::predict(&server.http, &question)?;
            times.push(begin.elapsed().as_secs_f64() * 1e3);
        }
        let spread = Spread::of(times);
        table.row([
            engine.into(),
            format!("{:.1} ({:.1}..{:.1})", spread.median, spread.min, spread.max),
        ]);
        let what = format!("{engine}: start to first answer in ms, < 100");
        report.target(&what, spread.median, spread.median < 100.0);
        report.data(engine, spread);
    }
    report.table(table);
    let size = std::fs::metadata(&env.modelyard)?.len() as f64 / 1e6;
    report.target("stripped binary in MB, < 60", size, size < 60.0);
    Ok(report)
}
