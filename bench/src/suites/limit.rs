//! The yardstick: one over the CPU time of an empty handler, the bare engine call, and the
//! fastest parse and print, all measured in this run.

use anyhow::{Context, ensure};
use bytes::Bytes;
use prost::Message;
use serde_json::Value;

use super::parse::{self, InferRequest, InferResponse, InferTensor};
use crate::check;
use crate::compare::{Comparison, Load, Spread, compare};
use crate::contender::{Contender, Start, Talk, words};
use crate::digits::{Digit, scratch_file};
use crate::env::Env;
use crate::load;
use crate::report::{Report, Table, micros, rate};

/// The share of the limit to reach.
const TARGET: f64 = 0.85;

/// One protocol: what is sent, what comes back, and what parsing costs at least.
struct Protocol {
    name: &'static str,
    ours: Talk,
    /// Arguments of the empty server, and what it is sent.
    empty: (Vec<String>, Talk),
    parse_us: f64,
}

/// Measures all three.
pub(crate) fn run(env: &Env) -> anyhow::Result<Report> {
    let digit = Digit::first(env)?;
    let engine_us = engine_us(env)?;
    let protocols = [predict(env, &digit)?, binary(env, &digit)?, grpc(env)?];
    let mut report = Report::new("limit", env);
    let heading =
        ["protocol", "load", "requests/s", "CPU", "empty", "engine", "parse", "limit/ours"];
    let mut table = Table::new("Server CPU of a request, and the limit", &heading);
    for protocol in &protocols {
        let comparison = compare(env, &contenders(env, protocol, &digit), &loads())?;
        for (load, name) in comparison.loads.iter().enumerate() {
            let floor = engine_us.median + protocol.parse_us;
            let ratio = ratio(&comparison, load, floor);
            let cpu = |number| comparison.spread(number, load, |f| f.cpu_us).median;
            table.row([
                protocol.name.to_owned(),
                name.clone(),
                rate(comparison.spread(0, load, |f| f.per_second)),
                micros(cpu(0)),
                micros(cpu(1).min(cpu(2))),
                micros(engine_us.median),
                micros(protocol.parse_us),
                ratio.ratio(),
            ]);
            let what = format!("{} {name}: share of the limit, ≥ {TARGET}", protocol.name);
            report.target(&what, ratio.median, ratio.median >= TARGET);
        }
        report.comparison(protocol.name, &comparison);
        report.data("parse_us", protocol.parse_us);
    }
    report.table(table);
    report.data("engine_us", engine_us);
    Ok(report)
}

fn loads() -> [Load; 2] {
    [Load::callers(8), Load::callers(64)]
}

/// Our share of the limit, round by round; the empty server in its better layout.
fn ratio(comparison: &Comparison, load: usize, floor_us: f64) -> Spread {
    let rounds = comparison.figures[0][load].len();
    let cpu = |contender: usize, round: usize| comparison.figures[contender][load][round].cpu_us;
    Spread::of((0..rounds).map(|round| {
        let empty = cpu(1, round).min(cpu(2, round));
        (empty + floor_us) / cpu(0, round)
    }))
}

fn contenders(env: &Env, protocol: &Protocol, digit: &Digit) -> Vec<Contender> {
    let empty = |name: &str, more: &[&str]| {
        let mut arguments = protocol.empty.0.clone();
        arguments.extend(more.iter().map(ToString::to_string));
        let (start, talk) = (Start::Empty { arguments }, protocol.empty.1.clone());
        Contender { name: name.into(), start, cores: None, talk, question: None }
    };
    let ours = Contender {
        name: "modelyard".into(),
        start: Start::Ours { model: env.digits_model(), flags: Vec::new() },
        cores: None,
        talk: protocol.ours.clone(),
        question: Some(digit.v2_question("image")),
    };
    vec![
        ours,
        empty("empty, a runtime a core", &[]),
        empty("empty, multi-thread", &["--multi-thread"]),
    ]
}

/// CPU time of one call of the bare engine.
fn engine_us(env: &Env) -> anyhow::Result<Spread> {
    let mut arguments = vec![env.digits_model().display().to_string()];
    arguments.extend(words("--protocol engine -c 1 --engine onnxruntime --onnxruntime-lib"));
    arguments.push(env.library.display().to_string());
    let rounds = (0..env.options.rounds).map(|_| load::run(env, None, &arguments, None));
    let figures = rounds.collect::<anyhow::Result<Vec<_>>>()?;
    Ok(Spread::of(figures.iter().map(|figures| figures.generator_cpu_us)))
}

/// What our server answers to a request.
fn answer(env: &Env, path: &str, body: &[u8]) -> anyhow::Result<check::Answer> {
    let start = Start::Ours { model: env.digits_model(), flags: Vec::new() };
    let (talk, question) = (Talk::Http(Vec::new()), None);
    let server =
        Contender { name: "modelyard".into(), start, cores: None, talk, question }.start(env)?;
    let answer = check::ask(&server.http, "POST", path, body)?;
    let text = String::from_utf8_lossy(&answer.body);
    ensure!(answer.status == 200, "{path} answered {}: {text}", answer.status);
    Ok(answer)
}

fn predict(env: &Env, digit: &Digit) -> anyhow::Result<Protocol> {
    let body = digit.predict_body("image");
    let input = scratch_file(env, "predict.json", body.as_bytes())?;
    let answer = answer(env, "/predict", body.as_bytes())?;
    let json: Value = serde_json::from_slice(&answer.body).context("the answer to /predict")?;
    let floats = json["prediction"].as_array().context("no prediction")?.iter();
    let floats: Vec<f32> = floats.filter_map(|number| Some(number.as_f64()? as f32)).collect();
    let file = scratch_file(env, "predict-answer.json", &answer.body)?;
    let talk = Talk::Http(vec!["--protocol".into(), "predict".into(), "--input".into(), input]);
    Ok(Protocol {
        name: "/predict JSON",
        ours: talk.clone(),
        empty: (words(&format!("http --answer {file}")), talk),
        parse_us: parse::json_us(&body, &floats),
    })
}

fn binary(env: &Env, digit: &Digit) -> anyhow::Result<Protocol> {
    let body = digit
        .v2_body("image")
        .replace("{\"inputs\"", "{\"parameters\":{\"binary_data_output\":true},\"inputs\"");
    let answer = answer(env, "/v2/models/model/infer", body.as_bytes())?;
    let length = answer.head.lines().find_map(|line| {
        line.strip_prefix("inference-header-content-length:").map(|length| length.trim().to_owned())
    });
    let length = length.context("the answer is not binary")?;
    let file = scratch_file(env, "binary-answer", &answer.body)?;
    let arguments = format!(
        "http --content-type application/octet-stream --json-length {length} --answer {file}"
    );
    Ok(Protocol {
        name: "v2 REST binary",
        ours: Talk::Http(words("-m model")),
        empty: (words(&arguments), Talk::Http(words("-m model --signature image:FP32:1,784"))),
        parse_us: parse::copy_us(&[1; 784 * 4]),
    })
}

fn grpc(env: &Env) -> anyhow::Result<Protocol> {
    let tensor = |name: &str, shape: Vec<i64>| InferTensor {
        name: name.into(),
        datatype: "FP32".into(),
        shape,
    };
    let response = InferResponse {
        model_name: "model".into(),
        model_version: "1".into(),
        outputs: vec![tensor("probabilities", vec![1, 10])],
        raw_output_contents: vec![Bytes::from_static(&[0; 40])],
    };
    let request = InferRequest {
        model_name: "model".into(),
        inputs: vec![tensor("image", vec![1, 784])],
        raw_input_contents: vec![Bytes::from_static(&[0; 784 * 4])],
    };
    let file = scratch_file(env, "grpc-answer", &response.encode_to_vec())?;
    Ok(Protocol {
        name: "v2 gRPC",
        ours: Talk::Grpc(words("-m model")),
        empty: (
            words(&format!("grpc --answer {file}")),
            Talk::Grpc(words("-m model --signature image:FP32:1,784")),
        ),
        parse_us: parse::grpc_us(&request.encode_to_vec().into(), &response),
    })
}
