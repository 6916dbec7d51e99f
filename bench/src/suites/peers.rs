//! Digits beside other servers, over each protocol that they speak.

use crate::compare::{Comparison, Load, compare};
use crate::contender::{Contender, Question, Start, Talk, words};
use crate::digits::{Digit, scratch_file};
use crate::env::Env;
use crate::report::Report;

/// Cores of the server and of the generator where one core each is measured.
const SERVER_CORE: &str = "0";
const GENERATOR_CORE: &str = "1";

/// `POST /predict`.
pub(crate) fn predict(env: &Env) -> anyhow::Result<Report> {
    let digit = Digit::first(env)?;
    let mut report = Report::new("predict-peers", env);
    beside_flask(env, &digit, &mut report)?;
    beside_all(env, &digit, &mut report)?;
    Ok(report)
}

/// v2 REST binary.
pub(crate) fn binary(env: &Env) -> anyhow::Result<Report> {
    against_furnace(env, "binary-peers", Talk::Http(words("-m model")), 1.5)
}

/// v2 gRPC.
pub(crate) fn grpc(env: &Env) -> anyhow::Result<Report> {
    against_furnace(env, "grpc-peers", Talk::Grpc(words("-m model")), 1.9)
}

/// Flask's server uses one core: so do both.
fn beside_flask(env: &Env, digit: &Digit, report: &mut Report) -> anyhow::Result<()> {
    let pin = |contender| Contender { cores: Some(SERVER_CORE), ..contender };
    let talk = predict_talk(env, digit, "image")?;
    let flask = peer(env, "flask", talk.clone(), digit.predict_question("image"));
    let contenders = [pin(ours(env, digit, talk, "--threads 1")), pin(flask)];
    let loads = [8, 64].map(|callers| Load::callers(callers).on(GENERATOR_CORE));
    let found = compare(env, &contenders, &loads)?;
    goal(report, &found, 1, 20.0);
    report.comparison("Server on core 0 with one engine thread, generator on core 1", &found);
    Ok(())
}

fn beside_all(env: &Env, digit: &Digit, report: &mut Report) -> anyhow::Result<()> {
    let talk = predict_talk(env, digit, "image")?;
    let question = digit.predict_question("image");
    let v2 = scratch_file(env, "v2.json", digit.v2_body("input").as_bytes())?;
    let v2 = Talk::Http(words(&format!("--protocol rest-json -m model --input {v2}")));
    let furnace = |name: &str, talk, question| Contender {
        name: name.into(),
        ..peer(env, "furnace", talk, question)
    };
    let contenders = [
        ours(env, digit, talk.clone(), ""),
        peer(env, "fastapi", talk.clone(), question.clone()),
        peer(env, "fastify", talk, question),
        furnace(
            "furnace, its /predict",
            predict_talk(env, digit, "input")?,
            digit.predict_question("input"),
        ),
        furnace("furnace, v2 JSON", v2, digit.v2_question("input")),
    ];
    let found = compare(env, &contenders, &[8, 64].map(Load::callers))?;
    for (number, least) in [5.0, 2.8, 1.6, 1.6].into_iter().enumerate() {
        goal(report, &found, number + 1, least);
    }
    report.comparison("Servers and generator share the cores", &found);
    Ok(())
}

fn against_furnace(
    env: &Env,
    suite: &'static str,
    talk: Talk,
    least: f64,
) -> anyhow::Result<Report> {
    let digit = Digit::first(env)?;
    let furnace = peer(env, "furnace", talk.clone(), digit.v2_question("input"));
    let contenders = [ours(env, &digit, talk, ""), furnace];
    let found = compare(env, &contenders, &[1, 8, 64].map(Load::callers))?;
    let mut report = Report::new(suite, env);
    goal(&mut report, &found, 1, least);
    report.comparison("Servers and generator share the cores", &found);
    Ok(report)
}

/// Says at each load with several callers whether we are so many times faster.
fn goal(report: &mut Report, found: &Comparison, peer: usize, least: f64) {
    for (load, name) in found.loads.iter().enumerate().filter(|(_, name)| *name != "c=1") {
        let ratio = found.ratio((0, peer), load, |f| f.per_second).median;
        let what = format!("{name}: over {}, ≥ {least}", found.contenders[peer]);
        report.target(&what, ratio, ratio >= least);
    }
}

/// A load on `/predict` with the pixels under this name.
fn predict_talk(env: &Env, digit: &Digit, key: &str) -> anyhow::Result<Talk> {
    let body = digit.predict_body(key);
    let input = scratch_file(env, &format!("predict-{key}.json"), body.as_bytes())?;
    Ok(Talk::Http(words(&format!("--protocol predict --input {input}"))))
}

fn ours(env: &Env, digit: &Digit, talk: Talk, flags: &str) -> Contender {
    Contender {
        name: "modelyard".into(),
        start: Start::Ours { model: env.digits_model(), flags: words(flags) },
        cores: None,
        talk,
        question: Some(digit.v2_question("image")),
    }
}

fn peer(env: &Env, name: &'static str, talk: Talk, question: Question) -> Contender {
    // A digit is not worth a second thread.
    let start = Start::Peer { name, model: env.digits_model(), threads: 1 };
    Contender { name: name.into(), start, cores: None, talk, question: Some(question) }
}
