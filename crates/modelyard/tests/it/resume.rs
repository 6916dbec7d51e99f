//! Runs that are cut off, by `kill -9` and by ctrl-C, and go on.

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{Folder, end, modelyard, run};
use crate::training::{assert_same, few_digits, points, refused, report, signal};

/// Batch normalization, dropout and momentum: all that a run has to remember.
const TRAIN: [&str; 16] = [
    "train",
    "--layers",
    "dense(64, relu), batchnorm, dropout(0.2), dense(10, softmax)",
    "--data",
    "digits",
    "--epochs",
    "30",
    "--early-stop",
    "29",
    "--schedule",
    "cosine",
    "--optimizer",
    "rmsprop",
    "--momentum=0.5",
    "--checkpoint-every",
    "0s",
];

fn digits() -> Folder {
    few_digits(Folder::new(), 320, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
}

fn start(arguments: &[&str], folder: &Folder) -> Child {
    let mut command = modelyard(arguments, folder);
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits until a run has saved its first checkpoint.
fn wait_for_a_checkpoint(folder: &Folder, child: &mut Child) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !folder.path("model.onnx.checkpoint").exists() {
        assert!(child.try_wait().unwrap().is_none(), "the run ended without a checkpoint");
        assert!(Instant::now() < deadline, "no checkpoint");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits for the end: how, and what was said.
fn ended(child: &mut Child) -> (ExitStatus, String) {
    let status = end(child).expect("the run ends");
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    (status, said)
}

#[test]
fn a_run_that_is_killed_and_resumed_gives_the_same_file() {
    let folder = digits();
    let more = |more: &'static [&'static str]| [&TRAIN[..], more].concat();
    report(&more(&["--output", "whole.onnx"]), &folder);
    let mut child = start(&more(&["--threads", "1"]), &folder);
    wait_for_a_checkpoint(&folder, &mut child);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!folder.path("model.onnx").exists(), "it was killed too late");

    let other = |more: &[&str], text: &str| {
        refused(&[&TRAIN[..], &["--resume"], more].concat(), &folder, 2, &[text]);
    };
    other(&["--seed", "2"], "seed was 1 there, it is 2 here");
    other(&["--batch", "16"], "batch was 32 there, it is 16 here");
    other(&["--validation", "0.5"], "the model or data was model ");
    other(&["--l2", "0.1"], "penalties was ");

    let (code, _, said) = run(&more(&["--resume", "--threads", "2"]), &folder);
    assert_eq!(code, 0, "{said}");
    assert!(said.starts_with("resumed in epoch "), "{said}");
    assert_same(&folder, "whole.onnx", "model.onnx");
    assert!(!folder.path("model.onnx.checkpoint").exists());
}

#[test]
fn ctrl_c_saves_and_says_how_to_go_on() {
    let folder = digits();
    // No checkpoint but that of the signal.
    let rarely = [&TRAIN[..TRAIN.len() - 1], &["30s"]].concat();
    report(&[&rarely[..], &["--output", "whole.onnx"]].concat(), &folder);
    let mut child = start(&[&rarely[..], &["--metrics", "m.jsonl"]].concat(), &folder);
    let deadline = Instant::now() + Duration::from_secs(60);
    while std::fs::metadata(folder.path("m.jsonl")).map_or(0, |file| file.len()) == 0 {
        assert!(Instant::now() < deadline, "no epoch ends");
        std::thread::sleep(Duration::from_millis(2));
    }
    signal(child.id(), "INT");
    let (status, said) = ended(&mut child);
    assert_eq!(status.code(), Some(130), "{said}");
    let last = said.lines().last().unwrap();
    assert!(last.starts_with("error: stopped after step "), "{said}");
    assert!(last.contains("the same command with --resume goes on from"), "{said}");
    report(&[&rarely[..], &["--resume"]].concat(), &folder);
    assert_same(&folder, "whole.onnx", "model.onnx");
}

/// A run that cannot go on, because nobody reads its metrics, still ends by the second signal.
#[test]
fn the_second_ctrl_c_ends_at_once() {
    let folder = Folder::new().file("points.csv", points(40, 1));
    let pipe = folder.path("metrics");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let layers = ["train", "--layers", "dense(2)", "--data", "points.csv", "--metrics", "metrics"];
    let mut command = modelyard(&[&layers[..], &["--epochs", "100000"]].concat(), &folder);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // For writing too: opened for reading alone it would wait for a run that has failed.
    let reader = std::fs::File::options().read(true).write(true).open(&pipe).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    // It takes 64 KiB, less what is lost where a line does not fit on a page.
    while rustix::io::ioctl_fionread(&reader).unwrap() < 60_000 {
        assert!(child.try_wait().unwrap().is_none(), "the run ended");
        assert!(Instant::now() < deadline, "the pipe does not fill");
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(100));
    signal(child.id(), "INT");
    std::thread::sleep(Duration::from_millis(200));
    assert!(child.try_wait().unwrap().is_none(), "it ended by the first");
    signal(child.id(), "INT");
    let status = end(&mut child).expect("it ends");
    assert_eq!(status.code(), Some(130));
    assert!(!folder.path("model.onnx.checkpoint").exists(), "it did more than end");
}
