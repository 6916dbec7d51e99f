//! More models than memory.

use modelyard_testkit::models;
use serde_json::{Value, json};

use crate::harness::{Folder, Server, request, run};

/// Six models of 4 MB, which take some more in memory.
fn six_models() -> Folder {
    let model = models::slow(2, 1024).encode();
    let names = ["a", "b", "c", "d", "e", "f"];
    names.iter().fold(Folder::new(), |folder, name| {
        folder.file(&format!("repository/{name}/1/model.onnx"), &model)
    })
}

fn serve(budget: &str, folder: &Folder) -> Server {
    let arguments = ["--repository=repository", "--memory-budget", budget, "--set", "load_nice=0"];
    Server::start(&arguments, folder)
}

fn ask(server: &Server, model: &str) -> (u16, String) {
    let data = vec![0.5; 1024];
    let input = json!({"name": "input", "datatype": "FP32", "shape": [1, 1024], "data": data});
    let body = json!({ "inputs": [input] }).to_string();
    let path = format!("/v2/models/{model}/infer");
    let answer = request(server.http(), "POST", &path, &[], body.as_bytes()).unwrap();
    (answer.status, answer.body)
}

/// The models that are in memory.
fn in_memory(server: &Server) -> Vec<String> {
    let index = server.post("/v2/repository/index", "").json();
    let is_loaded = |entry: &&Value| {
        entry["state"] == "READY" && entry["reason"].as_str().unwrap_or_default().is_empty()
    };
    let loaded = index.as_array().unwrap().iter().filter(is_loaded);
    loaded.map(|entry| entry["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn models_are_loaded_when_asked_for_and_make_room_for_others() {
    let folder = six_models();
    let mut server = serve("40MB", &folder);
    assert_eq!(in_memory(&server), [] as [&str; 0]);
    assert_eq!(server.get("/v2/models/a/ready").status, 200);
    // Of many who ask at once one has it loaded.
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(ask(&server, "a").0, 200));
        }
    });
    let loads = |server: &Server| server.log().matches("model is ready").count();
    assert_eq!(loads(&server), 1, "{}", server.log());
    for model in ["b", "c", "d", "e", "f", "a"] {
        // The others may not go at once: 507 meanwhile.
        server.wait_until("room", |server| ask(server, model).0 == 200);
        let loaded = in_memory(&server);
        assert!(loaded.contains(&model.to_owned()) && loaded.len() < 6, "{loaded:?}");
    }
    assert!(server.log().contains("makes room in memory"), "{}", server.log());
    // What is known of a model is told from memory, too: it is loaded for that.
    let metadata = server.get("/v2/models/b").json();
    assert_eq!(metadata["inputs"][0]["name"], "input");
    assert_eq!(server.terminate().code(), Some(0));
}

#[test]
fn a_model_that_does_not_fit_is_refused_and_says_what_it_takes() {
    let folder = six_models();
    let server = serve("2MiB", &folder);
    let (status, body) = ask(&server, "a");
    assert_eq!(status, 507, "{body}");
    assert!(body.contains("MB of memory, memory_budget is 2.1 MB"), "{body}");
    assert_eq!(server.get("/v2/health/ready").status, 200);
}

#[test]
fn what_could_not_be_loaded_again_stays_in_memory() {
    let folder = six_models();
    let arguments = [
        "--repository=repository",
        "--memory-budget=40MB",
        "--model-control-mode=poll",
        "--repository-poll-secs=1",
        "--set=load_nice=0",
    ];
    let mut server = Server::start(&arguments, &folder);
    assert_eq!(ask(&server, "a").0, 200);
    // Its next version is no model: the first goes on.
    let folder = folder.file("made/model.onnx", "noise");
    std::fs::rename(folder.path("made"), folder.path("repository/a/2")).unwrap();
    server.wait_until("refused", |server| server.log().contains("model is not available"));
    for model in ["b", "c", "d", "e", "f"] {
        server.wait_until("room", |server| ask(server, model).0 == 200);
        let (status, body) = ask(&server, "a");
        assert_eq!(status, 200, "{model}: {body}");
    }
    assert!(server.log().contains("makes room in memory"), "{}", server.log());
}

#[test]
fn a_load_that_failed_is_tried_again() {
    let folder = six_models().file("repository/x/1/model.onnx", "noise");
    let mut server = serve("40MB", &folder);
    let (status, body) = ask(&server, "x");
    assert!(status == 503 && body.contains("unavailable"), "{status} {body}");
    let index = server.post("/v2/repository/index", "").body;
    assert!(index.contains("UNAVAILABLE"), "{index}");
    std::fs::copy(folder.path("repository/a/1/model.onnx"), folder.path("new")).unwrap();
    std::fs::rename(folder.path("new"), folder.path("repository/x/1/model.onnx")).unwrap();
    server.wait_until("mended", |server| ask(server, "x").0 == 200);
}

#[test]
fn grpc_loads_for_metadata_and_requests_too() {
    let folder = six_models();
    let server = serve("40MB", &folder);
    let url = format!("grpc://{}", server.grpc());
    let bench = ["bench", &url, "--model", "b", "--concurrency", "1"];
    let short = ["--duration", "200ms", "--warmup", "100ms", "--rounds", "1"];
    let (code, told, said) = run(&[&bench[..], &short].concat(), &folder);
    assert_eq!(code, 0, "{told}{said}");
    assert!(server.log().contains("model is ready model=\"b\""), "{}", server.log());
}
