//! MobileNetV2: a model that takes milliseconds, bodies of 602 kB and 1.19 MB.

use crate::compare::{Load, Spread, compare};
use crate::contender::{Contender, Question, Start, Talk, words};
use crate::digits::scratch_file;
use crate::env::Env;
use crate::load;
use crate::report::{Report, Table, rate};

/// Measures binary against in process and furnace-server, then JSON against all peers.
pub(crate) fn run(env: &Env) -> anyhow::Result<Report> {
    let model = env.model("mobilenet")?;
    let threads = std::thread::available_parallelism()?.get();
    let mut report = Report::new("mobilenet", env);
    let pixels = pixels();
    let v2 = format!(
        "{{\"inputs\":[{{\"name\":\"input\",\"shape\":[1,3,224,224],\"datatype\":\"FP32\",\"data\":[{pixels}]}}]}}"
    );
    let question = |path: &str, body: String| Question {
        path: path.into(),
        body: body.into_bytes(),
        class: None,
    };
    let ask_v2 = question("/v2/models/model/infer", v2.clone());
    let plain = format!("{{\"image\": [{pixels}]}}");
    let ask_plain = question("/predict", plain.clone());

    let in_process = in_process(env, &format!("-c {threads}"))?;
    let one_thread = self::in_process(env, "-c 1")?;
    let binary = Talk::Http(words("-m model"));
    let ours = |talk: Talk| Contender {
        name: "modelyard".into(),
        start: Start::Ours { model: model.clone(), flags: Vec::new() },
        cores: None,
        talk,
        question: Some(ask_v2.clone()),
    };
    let peer = |name: &'static str, talk: &Talk, question: &Question| Contender {
        name: name.into(),
        start: Start::Peer {
            name,
            model: model.clone(),
            variables: vec![("THREADS", "1".into()), ("WORKERS", "2".into())],
        },
        cores: None,
        talk: talk.clone(),
        question: Some(question.clone()),
    };
    let contenders = [ours(binary.clone()), peer("furnace", &binary, &ask_v2)];
    let found = compare(env, &contenders, &[1, 8, 64].map(Load::callers))?;
    for (load, name) in found.loads.iter().enumerate() {
        let served = found.spread(0, load, |f| f.per_second).median;
        if load == 0 {
            let gain = served / one_thread.median;
            report.target("a lone caller over one thread in process, ≥ 1.2", gain, gain >= 1.2);
        } else {
            let share = served / in_process.median;
            report.target(&format!("{name}: share of in process, ≥ 0.9"), share, share >= 0.9);
        }
    }
    let (resident, _) = found.memory_mb[0];
    report.target("RSS after 64 callers in MB, < 200", resident, resident < 200.0);
    report.comparison("v2 REST binary, 602 kB", &found);
    let mut table = Table::new("In process", &["threads", "images/s"]);
    table.row(["1".into(), rate(one_thread)]);
    table.row([threads.to_string(), rate(in_process)]);
    report.table(table);

    let json = scratch_file(env, "mobilenet-v2.json", v2.as_bytes())?;
    let plain = scratch_file(env, "mobilenet-predict.json", plain.as_bytes())?;
    let v2 = Talk::Http(words(&format!("--protocol rest-json -m model --input {json}")));
    let plain = Talk::Http(words(&format!("--protocol predict --input {plain}")));
    let contenders = [
        ours(v2.clone()),
        peer("furnace", &v2, &ask_v2),
        peer("fastapi", &plain, &ask_plain),
        peer("fastify", &plain, &ask_plain),
    ];
    let found = compare(env, &contenders, &[Load::callers(8)])?;
    for (number, name) in found.contenders.iter().enumerate().skip(1) {
        let ratio = found.ratio((0, number), 0, |f| f.per_second).median;
        report.target(&format!("JSON over {name}, ≥ 1.8"), ratio, ratio >= 1.8);
    }
    report.comparison("JSON, 1.19 MB", &found);
    Ok(report)
}

/// Images a second in process, round by round.
fn in_process(env: &Env, more: &str) -> anyhow::Result<Spread> {
    let mut arguments = vec![env.model("mobilenet")?.display().to_string()];
    arguments.extend(words("--protocol engine --engine onnxruntime --onnxruntime-lib"));
    arguments.push(env.library.display().to_string());
    arguments.extend(words(more));
    let rounds = (0..env.options.rounds).map(|_| load::run(env, None, &arguments, None));
    let figures = rounds.collect::<anyhow::Result<Vec<_>>>()?;
    Ok(Spread::of(figures.iter().map(|figures| figures.per_second)))
}

/// 150,528 numbers with five decimals, as many bytes as normalized images take.
fn pixels() -> String {
    let number = |index: u32| format!("0.{:05}", index.wrapping_mul(2_654_435_761) % 100_000);
    (0..3 * 224 * 224).map(number).collect::<Vec<_>>().join(",")
}
