//! MobileNetV2: a model that takes milliseconds, bodies of 602 kB and 1.19 MB.

use std::path::{Path, PathBuf};

use crate::compare::{Comparison, Load, Spread, compare, compare_beside};
use crate::contender::{Contender, Question, Start, Talk, words};
use crate::digits::scratch_file;
use crate::env::Env;
use crate::load;
use crate::report::{Report, Table, rate};

/// Measures binary against in process and furnace-server, then JSON against all peers.
pub(crate) fn run(env: &Env) -> anyhow::Result<Report> {
    let threads = std::thread::available_parallelism()?.get();
    let image = Image { model: env.model("mobilenet")?, pixels: pixels(), threads };
    let mut report = Report::new("mobilenet", env);
    binary(env, &image, &mut report)?;
    json(env, &image, &mut report)?;
    Ok(report)
}

/// Images a second in process, round by round.
#[derive(Default)]
struct InProcess {
    /// On one thread.
    one: Vec<f64>,
    /// On as many as there are cores.
    all: Vec<f64>,
}

fn binary(env: &Env, image: &Image, report: &mut Report) -> anyhow::Result<()> {
    let talk = Talk::Http(words("-m model"));
    let contenders = [image.ours(talk.clone()), image.peer("furnace", talk, image.v2())];
    let mut bare = InProcess::default();
    let found = compare_beside(env, &contenders, &[1, 8, 64].map(Load::callers), || {
        bare.one.push(in_process(env, &image.model, 1)?);
        bare.all.push(in_process(env, &image.model, image.threads)?);
        Ok(())
    })?;
    judge(report, &found, &bare);
    report.comparison("v2 REST binary, 602 kB", &found);
    let mut table = Table::new("In process", &["threads", "images/s"]);
    for (threads, found) in [(1, bare.one), (image.threads, bare.all)] {
        table.row([threads.to_string(), rate(Spread::of(found.iter().copied()))]);
        report.data(&format!("in process, {threads} threads"), found);
    }
    report.table(table);
    Ok(())
}

fn judge(report: &mut Report, found: &Comparison, bare: &InProcess) {
    let share = |load: usize, bare: &[f64]| {
        let pairs = found.figures[0][load].iter().zip(bare);
        Spread::of(pairs.map(|(served, bare)| served.per_second / bare)).median
    };
    for (load, name) in found.loads.iter().enumerate() {
        if name == "c=1" {
            let gain = share(load, &bare.one);
            report.target("a lone caller over one thread in process, ≥ 1.2", gain, gain >= 1.2);
        } else {
            let share = share(load, &bare.all);
            report.target(&format!("{name}: share of in process, ≥ 0.9"), share, share >= 0.9);
        }
    }
    let (_, peak) = found.memory_mb[0];
    report.target("peak RSS, 64 callers included, in MB, < 200", peak, peak < 200.0);
}

fn json(env: &Env, image: &Image, report: &mut Report) -> anyhow::Result<()> {
    let talk = |protocol: &str, name: &str, question: &Question| -> anyhow::Result<Talk> {
        let file = scratch_file(env, &format!("mobilenet-{name}.json"), &question.body)?;
        Ok(Talk::Http(words(&format!("--protocol {protocol} --input {file}"))))
    };
    let v2 = talk("rest-json -m model", "v2", &image.v2())?;
    let plain = talk("predict", "image", &image.plain("image"))?;
    let furnace = talk("predict", "input", &image.plain("input"))?;
    let named = |name: &str, contender| Contender { name: name.into(), ..contender };
    let contenders = [
        named("modelyard, v2", image.ours(v2.clone())),
        named("modelyard, /predict", image.ours(plain.clone())),
        named("furnace, v2", image.peer("furnace", v2, image.v2())),
        named("furnace, its /predict", image.peer("furnace", furnace, image.plain("input"))),
        image.peer("fastapi", plain.clone(), image.plain("image")),
        image.peer("fastify", plain.clone(), image.plain("image")),
        image.peer("flask", plain, image.plain("image")),
    ];
    let found = compare(env, &contenders, &[Load::callers(8)])?;
    for (number, name) in found.contenders.iter().enumerate().skip(2) {
        // Each peer against ours with the same body, or nearly.
        let ours = usize::from(name != "furnace, v2");
        let ratio = found.ratio((ours, number), 0, |f| f.per_second).median;
        report.target(&format!("JSON over {name}, ≥ 1.8"), ratio, ratio >= 1.8);
    }
    report.comparison("JSON, 1.19 MB", &found);
    Ok(())
}

/// Images a second in process on so many threads.
fn in_process(env: &Env, model: &Path, threads: usize) -> anyhow::Result<f64> {
    let mut arguments = vec![model.display().to_string()];
    arguments.extend(words("--protocol engine --engine onnxruntime --onnxruntime-lib"));
    arguments.push(env.library.display().to_string());
    arguments.extend(words(&format!("-c {threads}")));
    Ok(load::run(env, None, &arguments, None)?.per_second)
}

/// A request for a model that takes images, over v2 REST with JSON.
pub(super) fn question() -> Question {
    question_of(&pixels())
}

fn question_of(pixels: &str) -> Question {
    let body = format!(
        "{{\"inputs\":[{{\"name\":\"input\",\"shape\":[1,3,224,224],\"datatype\":\"FP32\",\
         \"data\":[{pixels}]}}]}}"
    );
    Question { path: "/v2/models/model/infer".into(), body: body.into(), class: None }
}

/// What is asked of every server.
struct Image {
    model: PathBuf,
    pixels: String,
    /// As many as there are cores.
    threads: usize,
}

impl Image {
    /// v2 REST, JSON.
    fn v2(&self) -> Question {
        question_of(&self.pixels)
    }

    /// A `/predict` that looks for the pixels under this name.
    fn plain(&self, key: &str) -> Question {
        let body = format!("{{\"{key}\": [{}]}}", self.pixels);
        Question { path: "/predict".into(), body: body.into(), class: None }
    }

    fn ours(&self, talk: Talk) -> Contender {
        Contender {
            name: "modelyard".into(),
            start: Start::Ours { model: self.model.clone(), flags: Vec::new() },
            cores: None,
            talk,
            question: Some(self.v2()),
        }
    }

    fn peer(&self, name: &'static str, talk: Talk, question: Question) -> Contender {
        // Fastify runs the model on its only thread: what the others get from several callers at
        // once, it gets from a parallel engine.
        let threads = if name == "fastify" { self.threads } else { 1 };
        let start = Start::Peer { name, model: self.model.clone(), threads };
        Contender { name: name.into(), start, cores: None, talk, question: Some(question) }
    }
}

/// 150,528 numbers with five decimals, as many bytes as normalized images take.
fn pixels() -> String {
    let number = |index: u32| format!("0.{:05}", index.wrapping_mul(2_654_435_761) % 100_000);
    (0..3 * 224 * 224).map(number).collect::<Vec<_>>().join(",")
}
