//! Distillation: a small student with a large teacher against the same student with labels alone.
//!
//! The teacher's answers need no labels, so the student can learn from more than the labelled
//! digits: here from copies of them moved by a pixel in each of four directions, whose labels
//! nobody reads. The student with labels alone is also given as many steps as those copies bring.

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
/// By how many pixels the copies are moved: right and down.
const MOVES: [(isize, isize); 4] = [(1, 0), (-1, 0), (0, 1), (0, -1)];
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

    let more = moved_copies(env)?;
    let steps = EPOCHS * (1 + MOVES.len());
    let students: [(&str, Student<'_>); 4] = [
        ("labels alone", &|seed| train(env, STUDENT, EPOCHS, seed, None)),
        ("labels alone, as many steps as the last", &|seed| train(env, STUDENT, steps, seed, None)),
        ("teacher and labels", &|seed| distil(env, &teacher, None, seed)),
        ("teacher and labels, copies", &|seed| distil(env, &teacher, Some(&more), seed)),
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
    for (name, found) in [("without copies", means[2]), ("with copies", means[3])] {
        let gain = found - alone;
        let what = format!("points over the better student of labels, {name}, ≥ {GAIN}");
        report.target(&what, gain, gain >= GAIN);
    }
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

/// Trains the student with the teacher, and on unlabelled digits if there are any.
fn distil(env: &Env, teacher: &Path, unlabelled: Option<&Path>, seed: u64) -> anyhow::Result<f64> {
    let mut arguments = words(&format!("distill --epochs {EPOCHS} --seed {seed} --layers"));
    arguments.push(STUDENT.into());
    arguments.extend(["--teacher".into(), teacher.display().to_string()]);
    if let Some(unlabelled) = unlabelled {
        arguments.extend(["--unlabelled".into(), unlabelled.display().to_string()]);
    }
    Ok(ours(env, &arguments)?.test_accuracy * 100.0)
}

/// A file of all training digits, moved.
fn moved_copies(env: &Env) -> anyhow::Result<PathBuf> {
    let path = env.root.join("examples/digits/train-images-idx3-ubyte.gz");
    let images = digits::unpack(path)?.split_off(16);
    ensure!(images.len() % (SIDE * SIDE) == 0, "the digits are not {SIDE}x{SIDE}");
    let copies = MOVES.len() * images.len() / (SIDE * SIDE);
    let mut file = npy_header(&[copies, SIDE, SIDE]);
    for by in MOVES {
        for image in images.chunks_exact(SIDE * SIDE) {
            file.extend(moved(image, by));
        }
    }
    let path = env.scratch.join("moved-digits.npy");
    std::fs::write(&path, file)?;
    Ok(path)
}

/// The image moved right and down, background coming in from the other side.
fn moved(image: &[u8], (right, down): (isize, isize)) -> impl Iterator<Item = u8> {
    (0..SIDE * SIDE).map(move |at| {
        let x = (at % SIDE).checked_add_signed(-right).filter(|x| *x < SIDE);
        let y = (at / SIDE).checked_add_signed(-down).filter(|y| *y < SIDE);
        x.zip(y).map_or(0, |(x, y)| image[y * SIDE + x])
    })
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
    fn images_move_right_and_down() {
        let mut image = vec![0; SIDE * SIDE];
        image[0] = 7;
        image[SIDE * SIDE - 1] = 9;
        let place = |by| moved(&image, by).position(|pixel| pixel == 7);
        assert_eq!(place((1, 0)), Some(1));
        assert_eq!(place((0, 1)), Some(SIDE));
        assert_eq!(place((-1, 0)), None);
        assert_eq!(moved(&image, (1, 0)).filter(|pixel| *pixel > 0).count(), 1);
    }

    #[test]
    fn data_begins_at_a_multiple_of_64() {
        for rows in [1, 10, 12_345_678] {
            assert_eq!(npy_header(&[rows, SIDE, SIDE]).len() % 64, 0);
        }
    }
}
