//! Training on the digits beside PyTorch, Keras and a gradient graph in ONNX Runtime: how fast, and
//! how well.

use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::compare::Spread;
use crate::contender::words;
use crate::env::Env;
use crate::report::{Report, Table, rate};

/// Threads that each trainer is measured with.
const THREADS: [usize; 2] = [1, 2];
/// Seeds over which accuracy is a mean.
pub(super) const SEEDS: std::ops::Range<u64> = 0..5;

/// What one run gave.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub(super) struct Trained {
    /// Of the training loop alone.
    pub(super) examples_per_second: f64,
    /// Share of the test digits that are named correctly.
    pub(super) test_accuracy: f64,
}

/// A net to train, and what it is measured with.
struct Net {
    name: &'static str,
    /// As ours is told.
    layers: &'static str,
    /// As peers are told.
    model: &'static str,
    batch: usize,
    epochs: usize,
    peers: [Peer; 4],
}

/// A peer at its best settings, and how many times faster ours shall be.
struct Peer {
    name: &'static str,
    run: &'static str,
    least: Option<f64>,
}

const MLP: Net = Net {
    name: "784-128-10, batch 32",
    layers: "dense(128, relu), dense(10, softmax)",
    model: "mlp",
    batch: 32,
    epochs: 5,
    peers: [
        Peer { name: "PyTorch", run: "pytorch", least: Some(2.5) },
        Peer { name: "Keras as it comes", run: "keras_tf", least: Some(5.0) },
        Peer {
            name: "Keras, 50 steps an execution, XLA",
            run: "keras_tf --steps-per-execution 50 --jit on",
            least: Some(5.0),
        },
        Peer { name: "gradient graph", run: "gradient_graph", least: None },
    ],
};

const CNN: Net = Net {
    name: "two convolution blocks, batch 64",
    layers: "conv2d(16, 3, relu, padding=same), maxpool2d(2), \
             conv2d(32, 3, relu, padding=same), maxpool2d(2), dense(10, softmax)",
    model: "cnn",
    batch: 64,
    epochs: 3,
    peers: [
        Peer { name: "PyTorch", run: "pytorch --memory-format channels-last", least: Some(1.2) },
        Peer { name: "Keras as it comes", run: "keras_tf", least: Some(0.9) },
        Peer {
            name: "Keras, 25 steps an execution",
            run: "keras_tf --steps-per-execution 25",
            least: Some(0.9),
        },
        Peer { name: "gradient graph", run: "gradient_graph", least: None },
    ],
};

/// What the CNN is given to reach its accuracy.
const CNN_RECIPE: &str = "--epochs 15 --learning-rate 0.003 --schedule cosine";

/// Measures both nets, then accuracy over seeds.
pub(crate) fn run(env: &Env) -> anyhow::Result<Report> {
    let mut report = Report::new("training", env);
    speed(env, &MLP, &mut report)?;
    speed(env, &CNN, &mut report)?;
    accuracy(env, &mut report)?;
    Ok(report)
}

/// Ours and the peers in turns, with one thread and with two.
fn speed(env: &Env, net: &Net, report: &mut Report) -> anyhow::Result<()> {
    let mut found = vec![vec![Vec::new(); THREADS.len()]; net.peers.len() + 1];
    for round in 0..env.options.rounds {
        for (column, threads) in THREADS.iter().enumerate() {
            eprintln!("{}, {threads} threads, round {}", net.name, round + 1);
            let ours = net.ours(env, &format!("--epochs {} --threads {threads}", net.epochs))?;
            found[0][column].push(ours.examples_per_second);
            for (peer, found) in net.peers.iter().zip(&mut found[1..]) {
                let more = format!("--epochs {} --threads {threads}", net.epochs);
                found[column].push(net.peer(env, peer.run, &more)?.examples_per_second);
            }
        }
    }
    let heading = ["trainer", "threads", "examples/s", "ours/this"];
    let mut table = Table::new(net.name, &heading);
    for (column, threads) in THREADS.iter().enumerate() {
        let ours = &found[0][column];
        table.row([
            "modelyard".into(),
            threads.to_string(),
            rate(Spread::of(ours.iter().copied())),
            String::new(),
        ]);
        for (peer, found) in net.peers.iter().zip(&found[1..]) {
            let theirs = &found[column];
            let ratio = Spread::of(ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs));
            let rates = rate(Spread::of(theirs.iter().copied()));
            table.row([peer.name.into(), threads.to_string(), rates, ratio.ratio()]);
            if let Some(least) = peer.least {
                let what =
                    format!("{}, {threads} threads: over {}, ≥ {least}", net.model, peer.name);
                report.target(&what, ratio.median, ratio.median >= least);
            }
        }
    }
    let gain = Spread::of(found[0][1].iter().zip(&found[0][0]).map(|(two, one)| two / one));
    let what = format!("{}: two threads over one, {}, ≥ 1", net.model, gain.ratio());
    report.target(&what, gain.median, gain.median >= 1.0);
    report.table(table);
    report.data(net.name, &found);
    Ok(())
}

/// Ours beside Keras over seeds, and the CNN given time.
fn accuracy(env: &Env, report: &mut Report) -> anyhow::Result<()> {
    let heading = ["test accuracy, %", "mean", "by seed"];
    let mut table = Table::new("2,000 test digits", &heading);
    let mut over_seeds = |name: &str, train: &dyn Fn(u64) -> anyhow::Result<Trained>| {
        eprintln!("accuracy: {name}");
        let shares = SEEDS.map(|seed| Ok(train(seed)?.test_accuracy * 100.0));
        let shares = shares.collect::<anyhow::Result<Vec<f64>>>()?;
        table.row(accuracy_row(name, &shares));
        anyhow::Ok(mean(&shares))
    };
    let keras = |net: &Net, seed| {
        let arguments = format!("--epochs 5 --steps-per-execution 50 --seed {seed}");
        net.peer(env, "keras_tf", &arguments)
    };
    let found = over_seeds("modelyard, MLP, 5 epochs", &|seed| {
        MLP.ours(env, &format!("--epochs 5 --seed {seed}"))
    })?;
    let theirs = over_seeds("Keras, MLP, 5 epochs", &|seed| keras(&MLP, seed))?;
    let longer = over_seeds("modelyard, CNN, 15 epochs, cosine", &|seed| {
        Net { batch: 32, ..CNN }.ours(env, &format!("{CNN_RECIPE} --seed {seed}"))
    })?;
    report.table(table);
    let apart = found - theirs;
    report.target("mlp: points over Keras, within 0.5", apart, apart >= -0.5);
    report.target("cnn: test accuracy in %, ≥ 98", longer, longer >= 98.0);
    Ok(())
}

/// A row with the mean over seeds and each.
pub(super) fn accuracy_row(name: &str, shares: &[f64]) -> [String; 3] {
    let each: Vec<String> = shares.iter().map(|share| format!("{share:.2}")).collect();
    [name.into(), format!("{:.2}", mean(shares)), each.join(", ")]
}

/// The mean of some numbers.
pub(super) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

impl Net {
    /// Trains with ours; its learning rate is peers', 0.001, unless told otherwise.
    fn ours(&self, env: &Env, more: &str) -> anyhow::Result<Trained> {
        let batch = self.batch.to_string();
        let mut arguments = words("train --loss cross-entropy --optimizer adam --batch");
        arguments.extend([batch, "--layers".into(), self.layers.into()]);
        arguments.extend(words(more));
        ours(env, &arguments)
    }

    /// Trains with a peer: its name and settings, and what else to tell it.
    fn peer(&self, env: &Env, run: &str, more: &str) -> anyhow::Result<Trained> {
        let mut train = Command::new(env.peer("training")?.join("run.sh"));
        train.args(words(run)).args(["--model", self.model]);
        train.args(["--batch", &self.batch.to_string()]).args(words(more));
        let json = json(&mut train)?;
        trained(&json["examples_per_second"], &json["test_accuracy"])
    }
}

/// Runs a command of ours that trains on the digits.
pub(super) fn ours(env: &Env, arguments: &[String]) -> anyhow::Result<Trained> {
    let mut train = Command::new(&env.modelyard);
    train.args(arguments).args(["--validation", "0", "--json"]);
    train.arg("--data").arg(env.root.join("examples/digits"));
    if !arguments.iter().any(|argument| argument == "--output") {
        train.arg("--output").arg(env.scratch.join("trained.onnx"));
    }
    let json = json(&mut train)?;
    trained(&json["examples_per_second"], &json["test"]["accuracy"])
}

fn json(command: &mut Command) -> anyhow::Result<Value> {
    let output = command.output().with_context(|| format!("failed to start {command:?}"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} failed: {errors}");
    serde_json::from_slice(&output.stdout).with_context(|| format!("the output of {command:?}"))
}

fn trained(rate: &Value, accuracy: &Value) -> anyhow::Result<Trained> {
    Ok(Trained {
        examples_per_second: rate.as_f64().context("no examples a second")?,
        test_accuracy: accuracy.as_f64().context("no accuracy on the test split")?,
    })
}
