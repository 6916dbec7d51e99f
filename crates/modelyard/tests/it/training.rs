//! What the tests of `train`, `finetune` and `distill` share: small data, and ways to run them.

use std::process::Command;

use modelyard_graph::{Limits, Model, file};
use serde_json::Value;

use crate::digits;
use crate::harness::{Folder, run};

/// Runs a command with `--json` and gives what it prints.
pub(crate) fn report(arguments: &[&str], folder: &Folder) -> Value {
    let (code, stdout, stderr) = run(&[arguments, &["--json"]].concat(), folder);
    assert_eq!(code, 0, "{arguments:?}: {stderr}");
    serde_json::from_str(&stdout).unwrap()
}

/// Runs a command that must fail with this exit code and say this.
pub(crate) fn refused(arguments: &[&str], folder: &Folder, code: i32, texts: &[&str]) {
    let (found, stdout, stderr) = run(arguments, folder);
    assert_eq!((found, stdout.as_str()), (code, ""), "{arguments:?}: {stderr}");
    for text in texts {
        assert!(stderr.contains(text), "{arguments:?}: '{text}' is not in: {stderr}");
    }
}

/// The model in a file.
pub(crate) fn model(path: &str, folder: &Folder) -> Model {
    file::read_whole(&folder.path(path), &Limits::default()).unwrap()
}

/// The values of a weight, bit for bit.
pub(crate) fn weight(model: &Model, name: &str) -> Vec<u8> {
    let found = model.graph.initializer(name).and_then(|constant| constant.bytes());
    found.unwrap_or_else(|| panic!("no weight {name}")).to_vec()
}

/// A value of the metadata, which is JSON.
pub(crate) fn metadata(model: &Model, key: &str) -> Value {
    serde_json::from_str(&model.metadata[key]).unwrap()
}

/// Points of a square with the name of what they are: `same` where both have the same sign, which
/// no line tells apart.
pub(crate) fn points(count: usize, seed: u64) -> String {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut text = "a,b,sign\n".to_owned();
    for _ in 0..count {
        let (x, y) = (random.f32() * 2.0 - 1.0, random.f32() * 2.0 - 1.0);
        let sign = if x * y > 0.0 { "same" } else { "other" };
        text.push_str(&format!("{x},{y},{sign}\n"));
    }
    text
}

/// `y = (a - 500 b - 18000) / 100`, with `a` around 20,000 and `b` around 3: hopeless without
/// taking mean and deviation out.
pub(crate) fn values(count: usize) -> String {
    let mut random = fastrand::Rng::with_seed(7);
    let mut text = "a,b,y\n".to_owned();
    for _ in 0..count {
        let (a, b) = (20_000.0 + 100.0 * random.f32(), 3.0 + random.f32());
        text.push_str(&format!("{a},{b},{}\n", (a - 500.0 * b - 18_000.0) / 100.0));
    }
    text
}

/// Sentences of six words out of nine: is there a 3 after a 7?
pub(crate) fn sentences(count: usize) -> String {
    let mut random = fastrand::Rng::with_seed(3);
    let mut text = String::new();
    for _ in 0..count {
        let words: Vec<u32> = (0..6).map(|_| random.u32(1..10)).collect();
        let seven = words.iter().position(|word| *word == 7);
        let found = seven.is_some_and(|at| words[at..].contains(&3));
        text.push_str(&format!("{{\"words\": {words:?}, \"label\": \"{found}\"}}\n"));
    }
    text
}

/// A folder `digits` in the form of MNIST: so many digits to learn from, 50 to test by, only those
/// that `keep` names.
pub(crate) fn few_digits(folder: Folder, count: usize, keep: &[u8]) -> Folder {
    let all = digits::first(2000).into_iter().filter(|(_, digit)| keep.contains(digit));
    let all: Vec<_> = all.take(count + 50).collect();
    let write = |folder: Folder, part: &str, digits: &[(Vec<u8>, u8)]| {
        let count = u32::try_from(digits.len()).unwrap().to_be_bytes();
        let mut images = [&[0, 0, 8, 3], &count[..], &[0, 0, 0, 28, 0, 0, 0, 28]].concat();
        let mut labels = [&[0, 0, 8, 1], &count[..]].concat();
        for (pixels, digit) in digits {
            images.extend(pixels);
            labels.push(*digit);
        }
        folder
            .file(&format!("digits/{part}-images-idx3-ubyte"), images)
            .file(&format!("digits/{part}-labels-idx1-ubyte"), labels)
    };
    let (train, test) = all.split_at(count);
    write(write(folder, "train", train), "test", test)
}

/// Sends a signal to a process.
pub(crate) fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status().unwrap();
    assert!(sent.success());
}

/// The bytes of two files are the same.
pub(crate) fn assert_same(folder: &Folder, left: &str, right: &str) {
    let read = |path: &str| std::fs::read(folder.path(path)).unwrap();
    assert!(read(left) == read(right), "{left} and {right} differ");
}
