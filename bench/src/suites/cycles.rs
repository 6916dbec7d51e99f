//! Memory comes back: after 200 times loading and unloading it is what it was after five.

use std::time::Duration;

use crate::check;
use crate::contender::{Contender, Question, Start};
use crate::digits::Digit;
use crate::env::Env;
use crate::process::Server;
use crate::registry::{Repository, order};
use crate::report::{Report, Table};

/// When memory is looked at, in cycles.
const LOOKS: [usize; 4] = [5, 50, 100, 200];
/// The last versions are unloaded in the background.
const SETTLE: Duration = Duration::from_millis(500);

/// Loads an MLP and a CNN of 102 MB, asks each, unloads both; again and again.
pub(crate) fn run(env: &Env) -> anyhow::Result<Report> {
    let mut report = Report::new("cycles", env);
    let repository = Repository::new(env)?;
    repository.add("mlp", &std::fs::read(env.digits_model())?)?;
    repository.add("cnn", &std::fs::read(env.model("resnet")?)?)?;
    let question = |model: &str, question: Question| {
        let path = format!("/v2/models/{model}/infer");
        (model.to_owned(), Question { path, ..question })
    };
    let digit = Digit::first(env)?.v2_question("image");
    let questions = [question("mlp", digit), question("cnn", super::mobilenet::question())];
    let flags = repository.explicit(std::iter::empty());
    let server = Contender::ours(Start::Flags(flags)).start(env)?;
    let mut table = Table::new("Resident memory, MB", &["cycles", "loaded", "unloaded"]);
    table.row(["0".into(), String::new(), format!("{:.1}", server.resident_mb())]);
    let (mut resident, mut done) = (Vec::new(), 0);
    for look in LOOKS {
        let mut loaded_mb = 0.0;
        while done < look {
            loaded_mb = cycle(&server, &questions)?;
            done += 1;
        }
        std::thread::sleep(SETTLE);
        let now = server.resident_mb();
        resident.push(now);
        eprintln!("cycles: {done}, {now:.1} MB");
        table.row([done.to_string(), format!("{loaded_mb:.1}"), format!("{now:.1}")]);
    }
    report.table(table);
    let ratio = resident[LOOKS.len() - 1] / resident[0];
    report.target("after 200 cycles over after 5, ≤ 1.1", ratio, ratio <= 1.1);
    report.data("MB after 5, 50, 100, 200 cycles", &resident);
    Ok(report)
}

/// Gives the memory while both are loaded.
fn cycle(server: &Server, questions: &[(String, Question)]) -> anyhow::Result<f64> {
    for (model, question) in questions {
        order(&server.http, model, "load")?;
        check::predict(&server.http, question)?;
    }
    let loaded_mb = server.resident_mb();
    for (model, _) in questions {
        order(&server.http, model, "unload")?;
    }
    Ok(loaded_mb)
}
