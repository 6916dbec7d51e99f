//! Logs and spans of a running server.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;

use modelyard_testkit::models;

use crate::harness::{Folder, Server, request};

fn mlp() -> Folder {
    Folder::new().model("mlp.onnx", &models::mlp())
}

fn image() -> String {
    format!("{{\"image\":[{}]}}", vec!["0.25"; 784].join(","))
}

#[test]
fn the_access_log_is_off_unless_wanted() {
    let folder = mlp();
    let server = Server::start(&["mlp.onnx"], &folder);
    assert_eq!(server.post("/predict", &image()).status, 200);
    assert!(!server.log().contains("/predict"), "{}", server.log());
}

#[test]
fn logs_are_json_where_a_machine_reads_them() {
    let folder = mlp();
    let mut server = Server::start(&["mlp.onnx", "--log-format", "json", "--access-log"], &folder);
    assert_eq!(server.post("/predict", &image()).status, 200);
    assert_eq!(server.terminate().code(), Some(0));
    let log = server.log();
    let lines: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let access = lines.iter().find(|line| line["path"] == "/predict").unwrap();
    assert_eq!(access["target"], "access");
    assert_eq!(access["status"], 200);
    assert!(lines.iter().any(|line| line["message"] == "model is ready" && line["model"] == "mlp"));
}

/// A collector that takes exports until a span of the wanted trace has come.
fn collect(listener: &TcpListener, wanted: &str) -> serde_json::Value {
    loop {
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(&stream);
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            match line.trim_end().split_once(": ") {
                Some(("Content-Length", value)) => length = value.parse().unwrap(),
                Some(_) => {}
                None if line == "\r\n" => break,
                None => assert_eq!(line, "POST /v1/traces HTTP/1.1\r\n"),
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        (&stream).write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let spans = body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap();
        if let Some(span) = spans.iter().find(|span| span["traceId"] == wanted) {
            return span.clone();
        }
    }
}

#[test]
fn the_callers_trace_goes_on_in_the_collector() {
    let collector = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", collector.local_addr().unwrap());
    let folder = mlp();
    let server = Server::start(&["mlp.onnx", "--otlp-endpoint", &endpoint], &folder);
    let (trace, span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    let traceparent = format!("00-{trace}-{span}-01");
    let answer = request(
        server.http(),
        "POST",
        "/predict",
        &[("traceparent", &traceparent)],
        image().as_bytes(),
    );
    assert_eq!(answer.unwrap().status, 200);
    let exported = collect(&collector, trace);
    assert_eq!(exported["parentSpanId"], span);
    let attributes = exported["attributes"].to_string();
    assert!(attributes.contains("/predict"), "{attributes}");
}

#[test]
fn a_collector_that_is_not_there_harms_nobody() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let folder = mlp();
    let endpoint = format!("http://{gone}");
    let mut server = Server::start(&["mlp.onnx", "--otlp-endpoint", &endpoint], &folder);
    assert_eq!(server.post("/predict", &image()).status, 200);
    assert_eq!(server.terminate().code(), Some(0));
    assert!(server.log().contains("failed to send spans"), "{}", server.log());
}
