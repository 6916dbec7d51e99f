//! Digits beside other servers, over each protocol that they speak.

use crate::compare::{Load, compare};
use crate::contender::{Contender, Start, Talk, words};
use crate::digits::{Digit, scratch_file};
use crate::env::Env;
use crate::report::Report;

/// Cores of the server and of the generator where one core each is measured.
const SERVER_CORE: &str = "0";
const GENERATOR_CORE: &str = "1";

/// `POST /predict`.
pub(crate) fn predict(env: &Env) -> anyhow::Result<Report> {
    let digit = Digit::first(env)?;
    let input = scratch_file(env, "predict.json", digit.predict_body().as_bytes())?;
    let talk = Talk::Http(words(&format!("--protocol predict --input {input}")));
    let json = scratch_file(env, "v2.json", digit.v2_body("image").as_bytes())?;
    let v2 = Talk::Http(words(&format!("--protocol rest-json -m model --input {json}")));
    let mut report = Report::new("predict-peers", env);

    let one_thread = || vec![("THREADS", "1".to_owned())];
    let pinned = [
        Contender { cores: Some(SERVER_CORE), ..ours(env, &digit, talk.clone(), "--threads 1") },
        Contender {
            cores: Some(SERVER_CORE),
            ..peer(env, "flask", one_thread(), talk.clone(), digit.predict_question())
        },
    ];
    let loads = [8, 64].map(|callers| Load::callers(callers).on(GENERATOR_CORE));
    let found = compare(env, &pinned, &loads)?;
    for (load, name) in found.loads.iter().enumerate() {
        let ratio = found.ratio((0, 1), load, |f| f.per_second).median;
        report.target(&format!("{name}: over Flask, one core each, ≥ 20"), ratio, ratio >= 20.0);
    }
    report.comparison("Server on core 0 with one engine thread, generator on core 1", &found);

    let workers = || vec![("THREADS", "1".to_owned()), ("WORKERS", "2".to_owned())];
    let shared = [
        ours(env, &digit, talk.clone(), ""),
        peer(env, "fastapi", workers(), talk.clone(), digit.predict_question()),
        peer(env, "fastify", one_thread(), talk, digit.predict_question()),
        peer(env, "furnace", Vec::new(), v2, digit.v2_question("image")),
    ];
    let found = compare(env, &shared, &[Load::callers(8), Load::callers(64)])?;
    for (number, (peer, least)) in
        [("FastAPI", 5.0), ("Fastify", 2.8), ("furnace-server", 1.6)].into_iter().enumerate()
    {
        for (load, name) in found.loads.iter().enumerate() {
            let ratio = found.ratio((0, number + 1), load, |f| f.per_second).median;
            report.target(&format!("{name}: over {peer}, ≥ {least}"), ratio, ratio >= least);
        }
    }
    report.comparison("Servers and generator share the cores (furnace: v2 JSON)", &found);
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

fn against_furnace(
    env: &Env,
    suite: &'static str,
    talk: Talk,
    least: f64,
) -> anyhow::Result<Report> {
    let digit = Digit::first(env)?;
    let question = digit.v2_question("image");
    let contenders =
        [ours(env, &digit, talk.clone(), ""), peer(env, "furnace", Vec::new(), talk, question)];
    let found = compare(env, &contenders, &[1, 8, 64].map(Load::callers))?;
    let mut report = Report::new(suite, env);
    for (load, name) in found.loads.iter().enumerate().skip(1) {
        let ratio = found.ratio((0, 1), load, |f| f.per_second).median;
        report.target(&format!("{name}: over furnace-server, ≥ {least}"), ratio, ratio >= least);
    }
    report.comparison("Servers and generator share the cores", &found);
    Ok(report)
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

fn peer(
    env: &Env,
    name: &'static str,
    variables: Vec<(&'static str, String)>,
    talk: Talk,
    question: crate::contender::Question,
) -> Contender {
    let start = Start::Peer { name, model: env.digits_model(), variables };
    Contender { name: name.into(), start, cores: None, talk, question: Some(question) }
}
