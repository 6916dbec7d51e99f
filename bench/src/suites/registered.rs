//! A thousand models are there, a hundred are loaded: how long a start takes.

use std::time::Instant;

use crate::compare::Spread;
use crate::contender::{Contender, Start};
use crate::env::Env;
use crate::registry::{Registry, Repository, noted};
use crate::report::{Report, Table, rate};

/// Models that are there, and of these, loaded.
const MODELS: usize = 1_000;
const LOADED: usize = 100;

/// From the start of the process until it says that it is ready.
pub(crate) fn run(env: &Env) -> anyhow::Result<Report> {
    let mut report = Report::new("registered", env);
    let model = modelyard_testkit::models::slow(2, 16).encode();
    let names: Vec<String> = (0..MODELS).map(|number| format!("m{number:04}")).collect();
    // Spread over all of them.
    let loaded = || names.iter().step_by(MODELS / LOADED).map(String::as_str);
    let (registry, repository) = (Registry::new(env)?, Repository::new(env)?);
    eprintln!("registered: publishing {MODELS} models");
    for (number, name) in names.iter().enumerate() {
        let model = noted(&model, number);
        registry.push(name, &model, &["--alias", "stable"])?;
        repository.add(name, &model)?;
    }
    let heading = ["where", "start to ready, ms", "RSS"];
    let title = format!("{MODELS} models, {LOADED} loaded");
    let mut table = Table::new(title, &heading);
    let followed = registry.followed(loaded());
    let explicit = repository.explicit(loaded());
    let cases = [
        ("registry, nothing fetched yet", &followed, true),
        ("registry, fetched before", &followed, false),
        ("repository folder, explicit", &explicit, false),
    ];
    let mut times = vec![Vec::new(); cases.len()];
    let mut resident = vec![0.0; cases.len()];
    for _ in 0..env.options.rounds {
        for (index, (_, flags, is_first)) in cases.iter().enumerate() {
            if *is_first && registry.cache().exists() {
                std::fs::remove_dir_all(registry.cache())?;
            }
            let ours = Contender::ours(Start::Flags(flags.to_vec()));
            let begin = Instant::now();
            let server = ours.start(env)?;
            times[index].push(begin.elapsed().as_secs_f64() * 1e3);
            resident[index] = server.resident_mb();
        }
    }
    for ((name, ..), (times, resident)) in cases.iter().zip(times.iter().zip(&resident)) {
        let spread = Spread::of(times.iter().copied());
        table.row([(*name).into(), rate(spread), format!("{resident:.0} MB")]);
        let what = format!("{name}: start to ready in s, < 3");
        report.target(&what, spread.median / 1e3, spread.median < 3_000.0);
        report.data(name, times);
    }
    report.table(table);
    Ok(report)
}
