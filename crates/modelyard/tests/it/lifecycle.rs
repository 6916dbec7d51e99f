//! starting → ready → draining → stopped, seen from outside.

use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use modelyard_testkit::models;

use crate::harness::{Folder, Server, modelyard, request, serve_arguments};

/// From here on a signal is not taken for an echo of the first.
const ECHO: Duration = Duration::from_millis(1200);

fn mlp() -> Folder {
    Folder::new().model("mlp.onnx", &models::mlp())
}

fn image() -> String {
    format!("{{\"image\":[{}]}}", vec!["0.25"; 784].join(","))
}

#[test]
fn it_serves_from_start_to_sigterm() {
    let folder = mlp();
    let mut server = Server::start(&["mlp.onnx"], &folder);
    assert_eq!(server.get("/v2/health/live").status, 200);
    let answer = server.post("/predict", &image());
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.json()["prediction"].as_array().unwrap().len(), 10);
    let metrics = request(server.metrics(), "GET", "/metrics", &[], b"").unwrap();
    assert!(metrics.body.contains("nv_inference_request_success"), "{}", metrics.body);
    assert_ne!(server.grpc(), server.http());
    assert_eq!(server.terminate().code(), Some(0));
    assert!(server.log().contains("stopped"));
}

#[test]
fn while_draining_it_is_not_ready_but_answers() {
    let folder = mlp();
    let mut server = Server::start(&["mlp.onnx", "--drain-delay", "1h"], &folder);
    server.signal("TERM");
    server.wait_until("draining", |server| server.get("/v2/health/ready").status != 200);
    assert_eq!(server.get("/v2/health/live").status, 200);
    assert_eq!(server.post("/predict", &image()).status, 200);
    // A second signal ends it at once, in the middle of the hour.
    std::thread::sleep(ECHO);
    server.signal("TERM");
    assert_eq!(server.end().code(), Some(1));
    assert!(server.log().contains("stopped at once"));
    assert!(!folder.path("addresses.json").exists());
}

#[test]
fn a_signal_that_comes_twice_is_one_signal() {
    let folder = mlp();
    let mut server = Server::start(&["mlp.onnx", "--drain-delay", "300ms"], &folder);
    server.signal("TERM");
    server.signal("TERM");
    assert_eq!(server.end().code(), Some(0), "{}", server.log());
    assert!(!server.log().contains("stopped at once"), "{}", server.log());
    assert!(!folder.path("addresses.json").exists());
}

#[test]
fn a_terminal_that_closes_drains_it_but_not_under_nohup() {
    let folder = mlp();
    let mut server = Server::start(&["mlp.onnx"], &folder);
    server.signal("HUP");
    assert_eq!(server.end().code(), Some(0));
    assert!(server.log().contains("draining reason=\"SIGHUP\""), "{}", server.log());
    let mut nohup = Command::new("nohup");
    nohup.arg(env!("CARGO_BIN_EXE_modelyard")).args(serve_arguments(&["mlp.onnx"]));
    nohup.current_dir(folder.path("")).stdin(std::process::Stdio::null());
    let mut server = Server::spawn(nohup, &folder);
    server.signal("HUP");
    assert_eq!(server.get("/v2/health/live").status, 200);
    assert_eq!(server.terminate().code(), Some(0));
    assert!(server.log().contains("draining reason=\"SIGTERM\""), "{}", server.log());
}

/// A client that honours readiness sees no failure when the server is told to stop under load.
#[test]
fn sigterm_under_load_fails_no_request() {
    let folder = mlp();
    let mut server = Server::start(&["mlp.onnx", "--drain-delay", "300ms"], &folder);
    let address = server.http();
    let (stop, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    let body = image();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !stop.load(Ordering::Acquire) {
                    let answer = request(address, "POST", "/predict", &[], body.as_bytes());
                    assert_eq!(answer.unwrap().status, 200);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        server.wait_until("load", |_| answered.load(Ordering::Relaxed) > 100);
        server.signal("TERM");
        server.wait_until("not ready", |server| server.get("/v2/health/ready").status != 200);
        let before = answered.load(Ordering::Relaxed);
        // What a load balancer does: it stops sending once readiness is gone, a little late.
        std::thread::sleep(Duration::from_millis(50));
        stop.store(true, Ordering::Release);
        assert!(answered.load(Ordering::Relaxed) > before, "nothing was answered while draining");
    });
    assert_eq!(server.end().code(), Some(0));
}

#[test]
fn ctrl_c_ends_it_like_sigterm() {
    let folder = mlp();
    let mut server = Server::start(&["mlp.onnx"], &folder);
    server.signal("INT");
    assert_eq!(server.end().code(), Some(0));
}

#[test]
fn it_ends_with_its_parent() {
    let folder = mlp();
    let arguments = serve_arguments(&["mlp.onnx", "--exit-with-parent"]);
    let program = env!("CARGO_BIN_EXE_modelyard");
    // The shell is the parent: it stays until it is killed. Nobody but the test knows the server.
    let mut shell = Command::new("sh");
    shell.args(["-c", "\"$0\" \"$@\" & wait", program]).args(arguments);
    shell.current_dir(folder.path(""));
    let server = Server::spawn(shell, &folder);
    let address = server.http();
    assert_eq!(request(address, "GET", "/v2/health/live", &[], b"").unwrap().status, 200);
    let log = folder.path("server.log");
    drop(server); // kills the shell, and only the shell
    let stopped = || std::fs::read_to_string(&log).unwrap().contains("stopped");
    for _ in 0..6000 {
        if stopped() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(stopped(), "{}", std::fs::read_to_string(&log).unwrap());
    assert!(request(address, "GET", "/v2/health/live", &[], b"").is_err());
}

#[test]
fn it_answers_liveness_while_models_load_and_can_be_stopped_then() {
    // A named pipe in the place of a model keeps the loader waiting for as long as we like.
    let folder = mlp();
    let pipe = folder.path("repository/never/1");
    std::fs::create_dir_all(&pipe).unwrap();
    let made = Command::new("mkfifo").arg(pipe.join("labels")).status().unwrap();
    assert!(made.success());
    let folder = folder
        .model("repository/never/1/model.onnx", &models::mlp())
        .file("repository/never/model.toml", "label_filename = '1/labels'");
    let mut server = Server::spawn(
        modelyard(&serve_arguments(&["mlp.onnx", "--repository", "repository"]), &folder),
        &folder,
    );
    server.wait_until("one loaded", |server| server.get("/v2/models/never").status != 200);
    assert_eq!(server.get("/v2/health/live").status, 200);
    assert_ne!(server.get("/v2/health/ready").status, 200);
    assert_eq!(server.terminate().code(), Some(0));
}
