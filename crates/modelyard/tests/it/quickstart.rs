//! `modelyard quickstart`: what it finds out is true, and it stops as told.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::Duration;

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

#[test]
fn every_protocol_names_the_digits_alike() {
    let arguments = [&["quickstart", "--once", "--json"][..], &FREE].concat();
    let (code, stdout, stderr) = run(&arguments, &Folder::new());
    assert_eq!((code, stderr.as_str()), (0, ""));
    let report: Value = serde_json::from_str(&stdout).unwrap();
    // As NumPy and ONNX Runtime have it: see examples/digits/README.md.
    assert_eq!(report["accuracy"], 0.961);
    assert_eq!(report["agree"], true);
    assert_eq!(report["digits"], 2000);
    assert!(report["curl"].is_null(), "nobody answers it any more");
    let protocols = report["protocols"].as_array().unwrap();
    let names: Vec<&str> = protocols.iter().map(|row| row["protocol"].as_str().unwrap()).collect();
    assert_eq!(names, ["rest_binary", "rest_json", "grpc", "predict"]);
    for row in protocols {
        assert_eq!(row["accuracy"], 0.961);
        assert!(row["p50_us"].as_f64().unwrap() <= row["p99_us"].as_f64().unwrap());
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
    for part in ["serves the model 'digits'", "96.10 %", "a 2 (", "It is a "] {
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
