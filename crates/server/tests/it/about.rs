//! Metadata, statistics, index, metrics, documents.

use modelyard_serving::{Phase, VersionState};
use serde_json::json;

use crate::{Bench, Client};

#[test]
fn the_server_says_what_it_is_and_how() {
    let bench = Bench::start();
    let json = bench.get("/v2").json();
    assert_eq!(json["name"], "modelyard");
    assert!(json["extensions"].as_array().unwrap().contains(&json!("binary_tensor_data")));
    for path in ["/v2/health/live", "/v2/health/ready", "/v2/models/digits/ready"] {
        assert_eq!(bench.get(path).status, 200, "{path}");
    }
    bench.service.set_phase(Phase::Draining);
    assert_eq!(bench.get("/v2/health/live").status, 200);
    let response = bench.get("/v2/health/ready");
    response.check_error(503, &["not ready", "draining"]);
    assert!(response.header("retry-after").is_some());
    assert_eq!(bench.get("/v2/models/digits/ready").status, 503);
    // Draining is said, not done: whoever comes is still answered.
    bench.check_alive();
}

#[test]
fn strict_readiness_says_which_model_is_missing() {
    let bench = Bench::serve(crate::models::service_with(true), |_| {});
    let ready = || {
        let page = bench.get("/metrics").text();
        page.lines().any(|line| line == "modelyard_ready 1")
    };
    let response = bench.get("/v2/health/ready");
    response.check_error(503, &["strict readiness", "1 version ", "'broken' 3 (UNAVAILABLE)"]);
    // Waiting does not help.
    assert_eq!(response.header("retry-after"), None);
    assert!(!ready());
    bench.service.set_version("broken", 3, VersionState::Loading);
    assert!(bench.get("/v2/health/ready").header("retry-after").is_some());
    let other = Bench::start();
    let page = other.get("/metrics").text();
    assert!(page.contains("\nmodelyard_ready 1\n"), "{page}");
}

#[test]
fn models_say_what_they_are() {
    let bench = Bench::start();
    let models = bench.get("/v2/models").json();
    assert!(models["models"].as_array().unwrap().contains(&json!("digits")));
    let expected = json!({
        "name": "digits",
        "versions": ["1"],
        "platform": "onnxruntime_onnx",
        "inputs": [{ "name": "pixels", "datatype": "FP32", "shape": [-1, 4] }],
        "outputs": [{ "name": "scores", "datatype": "FP32", "shape": [-1, 3] }],
    });
    assert_eq!(bench.get("/v2/models/digits").json(), expected);
    assert_eq!(bench.get("/v2/models/digits/versions/1").json(), expected);
    assert_eq!(bench.get("/v2/models/digits/config").json()["name"], "digits");
    assert_eq!(bench.get("/v2/models/di%67its").status, 200);
    bench.get("/v2/models/none").check_error(404, &["none"]);
    bench.get("/v2/models/digits/versions/2").check_error(404, &["2"]);
    bench.get("/v2/models/digits/versions/x").check_error(400, &["'x'"]);
    bench.get("/v2/models/broken").check_error(503, &["the file is no model"]);
}

#[test]
fn statistics_count_what_was_done() {
    let bench = Bench::start();
    let before = bench.get("/v2/models/digits/stats").json();
    bench.check_alive();
    bench.post("/predict/digits", "{").check_error(400, &[]);
    let after = bench.get("/v2/models/digits/versions/1/stats").json();
    let count = |json: &serde_json::Value, what: &str| {
        json["model_stats"][0]["inference_stats"][what]["count"].as_u64().unwrap()
    };
    assert_eq!(count(&after, "success"), count(&before, "success") + 1);
    assert_eq!(count(&after, "fail"), count(&before, "fail") + 1);
    let all = bench.get("/v2/models/stats").json();
    assert!(all["model_stats"].as_array().unwrap().len() > 10);
    bench.get("/v2/models/none/stats").check_error(404, &["none"]);
}

#[test]
fn the_index_lists_every_version() {
    let bench = Bench::start();
    for body in ["", "{}", r#"{"ready":false}"#] {
        let json = bench.post("/v2/repository/index", body).json();
        let entries = json.as_array().unwrap();
        let broken = entries.iter().find(|entry| entry["name"] == "broken").unwrap();
        assert_eq!(broken["state"], "UNAVAILABLE");
        assert_eq!(broken["reason"], "the file is no model");
        assert_eq!(broken["version"], "3");
    }
    let json = bench.post("/v2/repository/main/index", r#"{"ready":true}"#).json();
    assert!(json.as_array().unwrap().iter().all(|entry| entry["state"] == "READY"));
    // As curl -X POST does it: no length, no body.
    let mut client = bench.client();
    client.send("POST /v2/repository/index HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.read(false).unwrap().status, 200);
    bench.post("/v2/repository/models/digits/load", "").check_error(501, &["not offered"]);
}

#[test]
fn metrics_are_on_both_ports() {
    let bench = Bench::start();
    bench.check_alive();
    let metrics = bench.running.addresses().metrics.unwrap();
    for address in [bench.http(), metrics] {
        let response = Client::new(address).request("GET", "/metrics", &[], b"");
        assert!(response.header("content-type").unwrap().starts_with("text/plain"));
        let text = response.text();
        for line in [
            "nv_inference_request_success{model=\"digits\",version=\"1\"} 1\n",
            "# TYPE modelyard_inference_stage_duration_seconds histogram\n",
            "modelyard_responses_total{protocol=\"http\",status=\"2xx\"}",
            "modelyard_connections ",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
    }
    let response = Client::new(metrics).request("GET", "/v2", &[], b"");
    response.check_error(404, &["only /metrics"]);
}

#[test]
fn documents_are_served() {
    let bench = Bench::start();
    assert_eq!(bench.get("/openapi.json").json()["openapi"], "3.1.0");
    let page = bench.get("/docs");
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let head = bench.client().request("HEAD", "/v2", &[], b"");
    assert_eq!((head.status, head.body.len()), (200, 0));
    bench.get("/nowhere").check_error(404, &["/nowhere"]);
    let refused = bench.get("/predict");
    refused.check_error(405, &["POST"]);
    assert_eq!(refused.header("allow"), Some("POST"));
}
