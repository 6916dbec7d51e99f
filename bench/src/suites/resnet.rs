//! ResNet-50: the server must add next to nothing to the engine.

use crate::compare::Spread;
use crate::contender::{Contender, Start, Talk, words};
use crate::env::Env;
use crate::load::{self, Figures};
use crate::report::{Report, Table, micros, rate};

/// Measures served and bare in turns, all cores busy and with one caller.
pub(crate) fn run(env: &Env) -> anyhow::Result<Report> {
    let model = env.model("resnet")?;
    let threads = std::thread::available_parallelism()?.get();
    let served = Contender {
        name: "modelyard".into(),
        start: Start::Ours { model: model.clone(), flags: Vec::new() },
        cores: None,
        talk: Talk::Http(words("-m model")),
        question: None,
    };
    let bare = |more: String| -> anyhow::Result<Figures> {
        let mut arguments = vec![model.display().to_string()];
        arguments.extend(words("--protocol engine --engine onnxruntime --onnxruntime-lib"));
        arguments.push(env.library.display().to_string());
        arguments.extend(words(&more));
        load::run(env, None, &arguments, None)
    };
    let (mut rates, mut latencies) = (Vec::new(), Vec::new());
    for round in 0..env.options.rounds {
        eprintln!("resnet, round {}", round + 1);
        let busy = bare(format!("-c {threads}"))?;
        let alone = bare("-c 1 --parallel-calls".into())?;
        let server = served.start(env)?;
        let ask = |callers: usize| {
            let mut arguments = served.talk.arguments(&server);
            arguments.extend(words(&format!("-c {callers}")));
            load::run(env, Some(&server), &arguments, None)
        };
        rates.push((ask(8)?, busy));
        latencies.push((ask(1)?, alone));
    }
    let ratio = Spread::of(rates.iter().map(|(served, bare)| served.per_second / bare.per_second));
    let added = Spread::of(latencies.iter().map(|(served, bare)| served.p50_us - bare.p50_us));
    let mut report = Report::new("resnet", env);
    let mut table = Table::new("ResNet-50 over v2 REST binary", &["what", "images/s", "p50"]);
    let mut row =
        |name: &str, pairs: &[(Figures, Figures)], of: fn(&(Figures, Figures)) -> &Figures| {
            let p50 = Spread::of(pairs.iter().map(|pair| of(pair).p50_us)).median;
            let found = Spread::of(pairs.iter().map(|pair| of(pair).per_second));
            table.row([name.into(), rate(found), micros(p50)]);
        };
    row("served, 8 callers", &rates, |pair| &pair.0);
    row(&format!("bare loop, {threads} threads of one"), &rates, |pair| &pair.1);
    row("served, 1 caller", &latencies, |pair| &pair.0);
    row("bare loop, one call on all threads", &latencies, |pair| &pair.1);
    report.table(table);
    report.note(format!("served / bare: {}", ratio.ratio()));
    report.target("served over bare, ≥ 0.97", ratio.median, ratio.median >= 0.97);
    let what = format!("added p50 in µs ({:.0}..{:.0}), < 150", added.min, added.max);
    report.target(&what, added.median, added.median < 150.0);
    report.data("busy: served, bare", &rates);
    report.data("alone: served, bare", &latencies);
    Ok(report)
}
