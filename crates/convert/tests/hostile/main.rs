//! Damaged and hostile models: every fixture is a seed, cut, flipped, spliced and lied in.
//!
//! Whatever is in a file, opening, converting and evaluating it ends: in an answer or an error, in
//! time, and within bounded memory. A panic, an allocation out of bounds or a loop without end fails
//! the test; the file that did it stays in `target/tmp/hostile/<format>`, and the message says the
//! seed and the number of the case, which are the same in every run.
//!
//! `PROPTEST_CASES` says how long to play, as it does for the property tests of single parsers:
//! one case in 32 for each file. The tests are a binary of their own because of its allocator.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod mutate;
mod play;
mod seeds;

use peak_alloc::PeakAlloc;

use crate::play::play;
use crate::seeds::{files, folders, symbols};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

#[test]
fn keras() {
    play("keras", &files("keras", &["keras", "h5"]), None);
}

#[test]
fn tensorflow() {
    let mut seeds = files("tensorflow", &["pb"]);
    seeds.extend(folders("tensorflow"));
    play("tensorflow", &seeds, None);
}

#[test]
fn tflite() {
    play("tflite", &files("tflite", &["tflite"]), None);
}

#[test]
fn pt2() {
    play("pt2", &files("pt2", &["pt2"]), None);
}

#[test]
fn torchscript() {
    play("torchscript", &files("torchscript", &["pt"]), None);
}

#[test]
fn pytorch_weights() {
    play("pytorch_weights", &folders("pytorch_weights"), None);
    let states = files("pytorch_weights", &["pth"]);
    play("pytorch_weights", &states, Some("pytorch_weights/small.pt2"));
}

#[test]
fn mxnet() {
    play("mxnet", &symbols("mxnet"), None);
}

#[test]
fn onnx() {
    play("onnx", &files("onnx", &["onnx"]), None);
}

#[test]
fn trees() {
    play("trees", &files("trees", &["json", "ubj", "txt"]), None);
}
