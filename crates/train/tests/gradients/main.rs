//! Gradients against PyTorch's.
//!
//! | module | checks |
//! |---|---|
//! | `operators` | each operator by itself, on small arrays: `fixtures/operators.py` |
//! | `networks` | whole exported networks: `fixtures/networks.py` |
//! | `weights` | the numbers of the networks, made from seeds |
//!
//! A new operator gets a case in `fixtures/cases`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod networks;
mod operators;
mod weights;

use std::io::{Cursor, Read};

use modelyard_train::{Array, Buffers, Mode, Program, Run, Workers};
use zip::ZipArchive;

/// The members of a fixture: name and content.
fn members(archive: &'static [u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = ZipArchive::new(Cursor::new(archive)).unwrap();
    (0..archive.len())
        .map(|number| {
            let mut member = archive.by_index(number).unwrap();
            let mut content = Vec::new();
            member.read_to_end(&mut content).unwrap();
            (member.name().unwrap().into_owned(), content)
        })
        .collect()
}

/// What is evaluated and differentiated.
struct Question<'a> {
    mode: Mode,
    inputs: Vec<(&'a str, Array)>,
    targets: &'a [&'a str],
    /// Gradients of the loss by targets.
    seeds: Vec<(&'a str, Array)>,
    trained: &'a [&'a str],
}

/// The targets, and the gradients by what is trained; zeros where the loss does not depend on it.
fn answer(program: &Program, question: Question<'_>) -> Result<(Vec<Array>, Vec<Array>), String> {
    let plan =
        program.plan(question.targets, question.trained).map_err(|error| error.to_string())?;
    let (mut buffers, workers) = (Buffers::default(), Workers::new(2).unwrap());
    let mut run = Run {
        buffers: &mut buffers,
        workers: &workers,
        mode: question.mode,
        memory_limit_bytes: usize::MAX,
    };
    let mut pass = program
        .forward(&plan, program.weights(), question.inputs, &mut run)
        .map_err(|error| error.to_string())?;
    let values = question.targets.iter().map(|name| pass.value(name).clone()).collect();
    let gradients = pass.backward(question.seeds, &mut run).map_err(|error| error.to_string())?;
    let gradients = question.trained.iter().zip(gradients).map(|(name, gradient)| {
        gradient.unwrap_or_else(|| {
            let weight = program.weights().get(name).expect("a plan trains weights");
            Array::floats(weight.shape().clone(), vec![0.0; weight.len()])
        })
    });
    Ok((values, gradients.collect()))
}

/// How a fixture names a mode.
fn mode(name: &str) -> Mode {
    match name {
        "train" => Mode::Train { seed: 0 },
        "evaluate" => Mode::Evaluate,
        other => panic!("no mode '{other}'"),
    }
}
