//! `modelyard quickstart`: what it finds out is true, and it stops as told.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Folder, end, modelyard, run};

/// Free ports, so that tests do not stand in each other's way.
const FREE: [&str; 6] = [
    "--set",
    "http_address=127.0.0.1:0",
    "--set",
    "grpc_address=127.0.0.1:0",
    "--set",
    "metrics_address=127.0.0.1:0",
];

/// Waits until a file is there, but not for ever.
fn wait_for(path: &Path) {
    let start = Instant::now();
    while !path.exists() {
        assert!(start.elapsed() < Duration::from_secs(60), "never: {}", path.display());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn every_protocol_names_the_digits_alike() {
    let arguments = [&["quickstart", "--once", "--json"][..], &FREE].concat();
    let (code, stdout, stderr) = run(&arguments, &Folder::new());
    assert_eq!((code, stderr.as_str()), (0, ""));
    let report: Value = serde_json::from_str(&stdout).unwrap();
    // See examples/digits/README.md.
    assert_eq!(report["accuracy"], 0.965);
    assert_eq!(report["agree"], true);
    assert_eq!(report["digits"], 2000);
    assert!(report["curl"].is_null(), "nobody answers it any more");
    let protocols = report["protocols"].as_array().unwrap();
    let names: Vec<&str> = protocols.iter().map(|row| row["protocol"].as_str().unwrap()).collect();
    assert_eq!(names, ["rest_binary", "rest_json", "grpc", "predict"]);
    for row in protocols {
        assert_eq!(row["accuracy"], 0.965);
        assert!(row["p50_us"].as_f64().unwrap() <= row["p99_us"].as_f64().unwrap());
    }
}

#[test]
fn a_model_is_trained_first_when_asked_for() {
    let arguments = [&["quickstart", "--train", "--once", "--json"][..], &FREE].concat();
    let (code, stdout, stderr) = run(&arguments, &Folder::new());
    assert_eq!((code, stderr.as_str()), (0, ""));
    let report: Value = serde_json::from_str(&stdout).unwrap();
    let training = &report["training"];
    assert_eq!(training["trained_parameters"], 101_770);
    assert_eq!(training["ended"], "finished");
    assert!(training["training"]["accuracy"].as_f64().unwrap() > 0.99);
    assert!(training["test"]["accuracy"].as_f64().unwrap() > 0.95);
    // What was trained is what is served.
    assert_eq!(report["accuracy"], training["test"]["accuracy"]);
    assert_eq!(report["agree"], true);
}

#[test]
fn ctrl_c_ends_training_and_tour_with_a_word() {
    for (train, waits_for, said) in [
        (&["--train"][..], "Training", "error: stopped after step"),
        (&[], "", "error: stopped before the end of the tour: ctrl-C"),
    ] {
        let folder = Folder::new();
        let arguments = [&["quickstart"][..], train, &FREE].concat();
        let addresses = ["--set", "address_file=addresses.json"];
        let mut command = modelyard(&[&arguments[..], &addresses].concat(), &folder);
        command.env("TMPDIR", folder.path("tmp")).stdout(Stdio::piped()).stderr(Stdio::piped());
        std::fs::create_dir(folder.path("tmp")).unwrap();
        let mut child = command.spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        match waits_for {
            // The tour takes seconds from here on.
            "" => wait_for(&folder.path("addresses.json")),
            line => {
                let mut first = String::new();
                stdout.read_line(&mut first).unwrap();
                assert!(first.starts_with(line), "{first}");
            }
        }
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        let ended = end(&mut child).and_then(|status| status.code());
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        assert_eq!(ended, Some(130), "{stderr}");
        assert!(stderr.starts_with(said), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert_eq!(std::fs::read_dir(folder.path("tmp")).unwrap().count(), 0);
    }
}

#[test]
fn a_closed_terminal_and_a_hurry_leave_nothing_behind() {
    for (signals, code) in [(&["-HUP"][..], 0), (&["-TERM", "-TERM"], 1)] {
        let folder = Folder::new();
        let delay = ["--set", "drain_delay=1h"];
        let delay = if code == 0 { &[] } else { &delay[..] };
        let arguments = [&["quickstart"][..], &FREE, delay].concat();
        let mut command = modelyard(&arguments, &folder);
        command.env("TMPDIR", folder.path("")).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        assert!(lines.into_iter().any(|line| line.contains("curl")));
        assert_ne!(std::fs::read_dir(folder.path("")).unwrap().count(), 0);
        for signal in signals {
            let pid = child.id().to_string();
            assert!(Command::new("kill").arg(signal).arg(&pid).status().unwrap().success());
            std::thread::sleep(Duration::from_millis(1200));
        }
        let ended = end(&mut child);
        // Where it has not, nothing else would.
        child.kill().unwrap();
        assert_eq!(ended.and_then(|status| status.code()), Some(code));
        assert_eq!(std::fs::read_dir(folder.path("")).unwrap().count(), 0, "{signals:?}");
    }
}

/// People see digits, and a curl line that works while it serves. Ports that are taken are stepped
/// around, and nothing is left behind.
#[test]
fn it_keeps_serving_and_its_curl_line_works() {
    let folder = Folder::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let http = format!("http_address={}", taken.local_addr().unwrap());
    let arguments = [&["quickstart"][..], &FREE, &["--set", &http]].concat();
    let mut child = modelyard(&arguments, &folder).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let first = lines.next().unwrap();
    assert!(first.starts_with("HTTP address 127.0.0.1:") && first.contains("is taken"), "{first}");
    let page: Vec<String> = lines.by_ref().take_while(|line| !line.starts_with("Still")).collect();
    let page = page.join("\n");
    for part in ["serves the model 'digits'", "96.50 %", "a 2 (", "It is a "] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let curl = lines.next().unwrap();
    let output = Command::new("sh").args(["-ec", &curl]).output().unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["class"], 7);
    let example = curl.split(['@', ' ']).find(|word| word.ends_with("digit.json")).unwrap();
    assert!(std::path::Path::new(example).exists());
    let sent = Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert!(sent.success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(!std::path::Path::new(example).exists(), "{example} was left behind");
}
