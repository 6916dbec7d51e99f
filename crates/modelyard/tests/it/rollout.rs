//! Rollouts: a candidate gets requests step by step, and all of them or none in the end.

use std::fs;

use modelyard_testkit::models;
use serde_json::{Value, json};

use crate::harness::{Folder, Server, request};
use crate::training::{refused, report};

const SERVE: [&str; 8] = [
    "--registry",
    "r",
    "--set",
    "load_nice=0",
    "--set",
    "registry_poll=50ms",
    "--from-registry",
    "m:stable",
];

fn registry(arguments: &[&str], folder: &Folder) -> Value {
    report(&[&["registry", "--registry", "r"], arguments].concat(), folder)
}

fn rollout(arguments: &[&str], folder: &Folder) -> Value {
    registry(&[&["rollout"], arguments].concat(), folder)
}

/// Versions 1 (stable) and 2 (canary) of a model that answer the same.
fn two_versions() -> Folder {
    let folder = Folder::new();
    for (note, alias) in [("one", "stable"), ("two", "canary")] {
        let mut model = models::mlp();
        model.metadata.insert("note".into(), note.into());
        fs::write(folder.path("m.onnx"), model.encode()).unwrap();
        registry(&["push", "m.onnx", "--alias", alias, "--metric", "accuracy=0.9"], &folder);
    }
    folder
}

fn body() -> String {
    let image = vec![0.25; 784];
    let input = json!({"name": "input", "datatype": "FP32", "shape": [1, 784], "data": image});
    json!({ "inputs": [input] }).to_string()
}

/// Asks the model, for a user where one is named; the version that answered.
fn ask(server: &Server, user: Option<&str>) -> u64 {
    let headers: Vec<(&str, &str)> = user.iter().map(|user| ("x-user", *user)).collect();
    let path = "/v2/models/m/infer";
    let answer = request(server.http(), "POST", path, &headers, body().as_bytes()).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()["model_version"].as_str().unwrap().parse().unwrap()
}

fn versions(server: &Server) -> Value {
    server.get("/v2/models/m").json()["versions"].clone()
}

/// The same with a parameter that says who asks.
fn ask_as(server: &Server, user: &str) -> u64 {
    let mut body: Value = serde_json::from_str(&body()).unwrap();
    body["parameters"] = json!({"user": user, "other": 7});
    let answer = server.post("/v2/models/m/infer", &body.to_string());
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()["model_version"].as_str().unwrap().parse().unwrap()
}

/// The last lines of the log: action, what became of it, why.
fn log(folder: &Folder) -> Vec<[String; 3]> {
    let log = registry(&["log", "m"], folder);
    let text = |event: &Value, key: &str| event[key].as_str().unwrap().to_owned();
    let line = |event: &Value| [text(event, "action"), text(event, "now"), text(event, "why")];
    log["events"].as_array().unwrap().iter().map(line).collect()
}

#[test]
fn a_candidate_that_is_no_worse_takes_over_step_by_step() {
    let folder = two_versions();
    let mut server = Server::start(&SERVE, &folder);
    let plan = ["--plan", "50%:20,100%", "--limit", "accuracy>=0.8", "--latency-ratio", "16"];
    rollout(&[&["start", "m"], &plan[..]].concat(), &folder);
    server.wait_until("both are served", |server| versions(server) == json!(["1", "2"]));
    let mut answered = [0u64; 2];
    while versions(&server) != json!(["2"]) {
        answered[usize::try_from(ask(&server, None)).unwrap() - 1] += 1;
        assert!(answered.iter().sum::<u64>() < 5_000, "never promoted: {}", server.log());
    }
    assert!(answered[0] >= 5 && answered[1] >= 20, "{answered:?}");
    assert_eq!(ask(&server, None), 2);
    let lines = log(&folder);
    assert_eq!(lines[0][..2], ["rollout", "promoted"]);
    assert!(lines[0][2].contains("requests"), "{}", lines[0][2]);
    assert_eq!(lines[1][..2], ["alias", "2"]);
    let status = rollout(&["status", "m"], &folder);
    assert_eq!((&status["stage"], &status["has_ended"]), (&json!("promoted"), &json!(true)));
    registry(&["rollback", "m"], &folder);
    server.wait_until("rolled back by hand", |server| versions(server) == json!(["1"]));
}

#[test]
fn a_candidate_whose_answers_differ_is_rolled_back_before_anybody_gets_one() {
    let folder = two_versions();
    let mut other = models::mlp().encode();
    // Inside of the weights of the first layer.
    other[100_000..300_000].fill(0);
    fs::write(folder.path("m.onnx"), other).unwrap();
    registry(&["push", "m.onnx", "--alias", "canary"], &folder);
    let mut server = Server::start(&SERVE, &folder);
    let plan = ["--plan", "shadow=100%:20,50%:20,100%", "--max-relative-error", "0.01"];
    rollout(&[&["start", "m"], &plan[..]].concat(), &folder);
    server.wait_until("both are served", |server| versions(server) == json!(["1", "3"]));
    let mut asked = 0;
    while versions(&server) != json!(["1"]) {
        assert_eq!(ask(&server, None), 1);
        asked += 1;
        assert!(asked < 5_000, "never rolled back: {}", server.log());
    }
    let lines = log(&folder);
    assert_eq!(lines[0][..2], ["rollout", "rolled back"]);
    assert!(lines[0][2].contains("relative"), "{}", lines[0][2]);
    let models = registry(&["models"], &folder);
    assert_eq!(
        models["models"][0]["aliases"][1],
        json!({"name": "stable", "version": 1, "epoch": 1})
    );
}

#[test]
fn a_user_stays_with_one_version_and_people_can_intervene() {
    let folder = two_versions();
    let mut server = Server::start(&SERVE, &folder);
    let plan = ["--plan", "50%:1000000,100%", "--sticky-header", "X-User"];
    rollout(&[&["start", "m:2"], &plan[..]].concat(), &folder);
    server.wait_until("both are served", |server| versions(server) == json!(["1", "2"]));
    let users = ["ann", "ben", "cleo", "dan", "eve", "fay", "gus", "hal", "ida", "jon"];
    let first = users.map(|user| ask(&server, Some(user)));
    assert!(first.contains(&1) && first.contains(&2), "{first:?}");
    assert_eq!(users.map(|user| ask(&server, Some(user))), first);
    // One at a time, and what it is about stays.
    let registry_at = ["registry", "--registry", "r"];
    let refuse = |arguments: &[&str], texts: &[&str]| {
        refused(&[&registry_at, arguments].concat(), &folder, 1, texts);
    };
    refuse(&["rollout", "start", "m:2"], &["under way"]);
    refuse(&["rm", "m:2"], &["cannot be removed"]);
    refuse(&["rollout", "resume", "m"], &["not paused"]);
    assert_eq!(rollout(&["pause", "m"], &folder)["stage"], "paused in step 1");
    assert_eq!(rollout(&["resume", "m"], &folder)["stage"], "in step 1");
    server.wait_until("counted", |_| {
        let status = rollout(&["status", "m"], &folder);
        let requests = |side: &str| status[side]["requests"].as_u64().unwrap();
        requests("stable_figures") + requests("candidate_figures") == 20
    });
    rollout(&["abort", "m"], &folder);
    server.wait_until("aborted", |server| versions(server) == json!(["1"]));
    refuse(&["rollout", "abort", "m"], &["aborted already"]);

    // A parameter may say who it is, too; the same users are the same versions'.
    let plan = ["--plan", "50%:1000000,100%", "--sticky-parameter", "user"];
    rollout(&[&["start", "m:2"], &plan[..]].concat(), &folder);
    server.wait_until("both once more", |server| versions(server) == json!(["1", "2"]));
    assert_eq!(users.map(|user| ask_as(&server, user)), first);
    rollout(&["abort", "m"], &folder);
    server.wait_until("aborted", |server| versions(server) == json!(["1"]));

    // Another one; somebody moves the alias by hand.
    rollout(&["start", "m:2", "--plan", "1%:1000000,100%"], &folder);
    server.wait_until("both again", |server| versions(server) == json!(["1", "2"]));
    registry(&["promote", "m:2"], &folder);
    server.wait_until("no rollout any more", |_| {
        rollout(&["status", "m"], &folder)["stage"] == "aborted"
    });
    assert!(log(&folder)[0][2].contains("was moved to version 2"));
    server.wait_until("moved", |server| versions(server) == json!(["2"]));
}

#[test]
fn what_cannot_be_rolled_out_is_refused() {
    let folder = two_versions();
    fs::write(folder.path("m.onnx"), models::add().encode()).unwrap();
    registry(&["push", "m.onnx"], &folder);
    let refuse = |arguments: &[&str], code: i32, texts: &[&str]| {
        let start = ["registry", "--registry", "r", "rollout", "start"];
        refused(&[&start, arguments].concat(), &folder, code, texts);
    };
    refuse(&["m:3"], 3, &["take or give other tensors"]);
    refuse(&["m:1"], 1, &["points to version 1 already"]);
    refuse(&["m:2", "--alias", "prod"], 1, &["no alias 'prod'"]);
    refuse(&["m:2", "--plan", "10%:5"], 2, &["100%"]);
    refuse(&["m:2", "--class-changes", "0.1"], 2, &["shadow"]);
    refuse(&["m:2", "--limit", "accuracy=1"], 2, &["METRIC>=X"]);
}
