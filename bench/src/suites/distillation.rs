//! Distillation: a small student with a large teacher against the same student with labels alone.
//!
//! The teacher's answers need no labels, so the student can learn from more than the labelled
//! digits: here from mixtures of two of them, which have no label. (Copies moved by a pixel would
//! teach more, but one could as well give them the labels of their originals, and would need no
//! teacher.) The student with labels alone is also given as many steps as the mixtures bring.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::ensure;

use super::training::{SEEDS, accuracy_row, mean, ours};
use crate::contender::words;
use crate::digits;
use crate::env::Env;
use crate::report::{Report, Table};

const TEACHER: &str = "dense(512, relu), dense(512, relu), dense(10, softmax)";
const STUDENT: &str = "dense(32, relu), dense(10, softmax)";
const EPOCHS: usize = 20;
/// Mixtures that each training digit is part of as the first.
const MIXTURES: usize = 4;
/// Points that a teacher shall be worth.
const GAIN: f64 = 0.5;
const SIDE: usize = 28;

/// Trains a student with this seed; gives the test accuracy in percent.
type Student<'a> = &'a dyn Fn(u64) -> anyhow::Result<f64>;

/// Trains the teacher once, and each kind of student with every seed.
pub(crate) fn run(env: &Env) -> anyhow::Result<Report> {
    let mut report = Report::new("distillation", env);
    let heading = ["test accuracy, %", "mean", "by seed"];
    let mut table = Table::new("784-512-512-10 teaches 784-32-10", &heading);
    let teacher = env.scratch.join("teacher.onnx");
    let taught = train(env, TEACHER, EPOCHS, 0, Some(&teacher))?;
    table.row(accuracy_row("teacher", &[taught]));

    let steps = EPOCHS * (1 + MIXTURES);
    let softer = format!("--epochs {steps} --temperature 10 --alpha 0.9");
    let more = format!("--epochs {EPOCHS} --unlabelled {}", mixtures(env)?.display());
    let students: [(&str, Student<'_>); 4] = [
        ("labels alone", &|seed| train(env, STUDENT, EPOCHS, seed, None)),
        ("labels alone, as many steps as the last", &|seed| train(env, STUDENT, steps, seed, None)),
        ("teacher and labels, as many steps", &|seed| distil(env, &teacher, &softer, seed)),
        ("teacher and labels, mixtures", &|seed| distil(env, &teacher, &more, seed)),
    ];
    let mut means = Vec::new();
    for (name, student) in students {
        eprintln!("distillation: {name}");
        let shares = SEEDS.map(student).collect::<anyhow::Result<Vec<f64>>>()?;
        table.row(accuracy_row(name, &shares));
        means.push(mean(&shares));
        report.data(name, &shares);
    }
    report.table(table);
    let alone = means[0].max(means[1]);
    report.note(format!("without mixtures the teacher is worth {:+.2} points", means[2] - alone));
    let gain = means[3] - alone;
    let what = format!("points over the better student of labels, with mixtures, ≥ {GAIN}");
    report.target(&what, gain, gain >= GAIN);
    Ok(report)
}

/// Trains on labels; gives the test accuracy in percent.
fn train(
    env: &Env,
    layers: &str,
    epochs: usize,
    seed: u64,
    output: Option<&Path>,
) -> anyhow::Result<f64> {
    let mut arguments = words(&format!("train --epochs {epochs} --seed {seed} --layers"));
    arguments.push(layers.into());
    if let Some(output) = output {
        arguments.extend(["--output".into(), output.display().to_string()]);
    }
    Ok(ours(env, &arguments)?.test_accuracy * 100.0)
}

/// Trains the student with the teacher, as these flags say.
fn distil(env: &Env, teacher: &Path, flags: &str, seed: u64) -> anyhow::Result<f64> {
    let mut arguments = words(&format!("distill {flags} --seed {seed} --layers"));
    arguments.push(STUDENT.into());
    arguments.extend(["--teacher".into(), teacher.display().to_string()]);
    Ok(ours(env, &arguments)?.test_accuracy * 100.0)
}

/// A file of mixtures of two training digits.
fn mixtures(env: &Env) -> anyhow::Result<PathBuf> {
    let path = env.root.join("examples/digits/train-images-idx3-ubyte.gz");
    let images = digits::unpack(path)?.split_off(16);
    ensure!(images.len() % (SIDE * SIDE) == 0, "the digits are not {SIDE}x{SIDE}");
    let images: Vec<&[u8]> = images.chunks_exact(SIDE * SIDE).collect();
    let mut file = npy_header(&[MIXTURES * images.len(), SIDE, SIDE]);
    for mixture in 1..=MIXTURES {
        for (number, first) in images.iter().enumerate() {
            // Far from its own place, and by another share than its neighbours': any digit may meet
            // any other.
            let second = images[(number + mixture * 1237) % images.len()];
            let percent = (number * 61 + mixture * 17) % 101;
            file.extend(first.iter().zip(second).map(|(a, b)| mixed(*a, *b, percent)));
        }
    }
    let path = env.scratch.join("mixed-digits.npy");
    std::fs::write(&path, file)?;
    Ok(path)
}

/// So many percent of the first pixel, the rest of the second.
fn mixed(first: u8, second: u8, percent: usize) -> u8 {
    ((usize::from(first) * percent + usize::from(second) * (100 - percent)) / 100) as u8
}

/// The head of an NPY file of bytes, version 1.0.
fn npy_header(shape: &[usize]) -> Vec<u8> {
    let mut dims = String::new();
    for dim in shape {
        let _ = write!(dims, "{dim}, ");
    }
    let mut text = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({dims}), }}");
    // Magic, version and length take 10 bytes; data begins at a multiple of 64.
    let padding = 63 - (10 + text.len()) % 64;
    text.push_str(&" ".repeat(padding));
    text.push('\n');
    let mut head = b"\x93NUMPY\x01\x00".to_vec();
    head.extend((text.len() as u16).to_le_bytes());
    head.extend(text.into_bytes());
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mixture_lies_between_its_parts() {
        assert_eq!(mixed(255, 0, 100), 255);
        assert_eq!(mixed(255, 7, 0), 7);
        assert_eq!(mixed(200, 100, 25), 125);
    }

    #[test]
    fn data_begins_at_a_multiple_of_64() {
        for rows in [1, 10, 12_345_678] {
            assert_eq!(npy_header(&[rows, SIDE, SIDE]).len() % 64, 0);
        }
    }
}
