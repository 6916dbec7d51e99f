//! What is counted, logged and traced of calls.

use std::io::Write;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tracing_subscriber::fmt::format::FmtSpan;

use crate::server::{TestServer, echo_request};

/// The counter of one status.
fn counter(status: &str) -> String {
    format!("modelyard_responses_total{{protocol=\"grpc\",status=\"{status}\"}}")
}

/// Waits until a counter stands there: a call is counted when its last byte has left.
async fn counts_to(server: &TestServer, status: &str, expected: u64) {
    let name = counter(status);
    for _ in 0..500 {
        if server.metric(&name).await == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(server.metric(&name).await, expected, "{name}");
}

#[tokio::test]
async fn calls_are_counted_by_status() {
    let server = TestServer::start();
    let mut client = server.client().await;
    for _ in 0..3 {
        client.model_infer(echo_request("", [0.; 4])).await.unwrap();
    }
    counts_to(&server, "OK", 3).await;

    let mut unknown = echo_request("", [0.; 4]);
    unknown.model_name = "none".into();
    assert_eq!(client.model_infer(unknown).await.unwrap_err().code(), Code::NotFound);
    counts_to(&server, "NOT_FOUND", 1).await;

    let requests = [echo_request("a", [0.; 4]), echo_request("b", [0.; 4])];
    let call = client.model_stream_infer(tokio_stream::iter(requests)).await;
    let mut answers = call.unwrap().into_inner();
    while answers.message().await.unwrap().is_some() {}
    counts_to(&server, "OK", 4).await;

    let mut health = HealthClient::new(server.channel().await);
    health.check(HealthCheckRequest::default()).await.unwrap();
    counts_to(&server, "OK", 5).await;
}

#[tokio::test]
async fn a_stream_that_the_client_resets_is_cancelled() {
    let server = TestServer::start();
    let stream = tokio::net::TcpStream::connect(server.address()).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let mut client = client.ready().await.unwrap();
    let path = "/inference.GRPCInferenceService/ModelStreamInfer";
    let request = http::Request::post(format!("http://{}{path}", server.address()))
        .header("content-type", "application/grpc")
        .body(())
        .unwrap();
    let (response, mut sender) = client.send_request(request, false).unwrap();
    assert_eq!(response.await.unwrap().status(), 200);
    sender.send_reset(h2::Reason::CANCEL);
    counts_to(&server, "CANCELLED", 1).await;
}

#[tokio::test]
async fn the_request_id_comes_back() {
    let server = TestServer::start();
    let mut client = server.client().await;
    for (model, expected) in [("echo", None), ("none", Some(Code::NotFound))] {
        let mut message = echo_request("", [0.; 4]);
        message.model_name = model.into();
        let mut request = Request::new(message);
        request.metadata_mut().insert("x-request-id", "abc-7".parse().unwrap());
        let (code, metadata) = match client.model_infer(request).await {
            Ok(response) => (None, response.metadata().clone()),
            Err(status) => (Some(status.code()), status.metadata().clone()),
        };
        assert_eq!(code, expected);
        assert_eq!(metadata.get("x-request-id").unwrap(), "abc-7", "{model}");
    }
}

/// Where everything logged and traced in this test binary goes, as lines of JSON.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn lines() -> &'static Lines {
    static LINES: OnceLock<Lines> = OnceLock::new();
    LINES.get_or_init(|| {
        let lines = Lines::default();
        let writer = lines.clone();
        tracing_subscriber::fmt()
            .json()
            .with_span_events(FmtSpan::CLOSE)
            .with_writer(move || writer.clone())
            .init();
        lines
    })
}

/// Waits for a line that has all these words.
async fn line_with(words: &[&str]) -> serde_json::Value {
    for _ in 0..500 {
        let text = String::from_utf8(lines().0.lock().unwrap().clone()).unwrap();
        let found = text.lines().find(|line| words.iter().all(|word| line.contains(word)));
        if let Some(line) = found {
            return serde_json::from_str(line).unwrap();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("no line with {words:?}");
}

#[tokio::test]
async fn calls_are_logged_and_go_on_with_the_callers_trace() {
    lines();
    let server = TestServer::start();
    let mut client = server.client().await;
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let mut message = echo_request("", [0.; 4]);
    message.model_name = "broken".into();
    let mut request = Request::new(message);
    request.metadata_mut().insert("traceparent", traceparent.parse().unwrap());
    request.metadata_mut().insert("x-request-id", "logged-1".parse().unwrap());
    client.model_infer(request).await.unwrap_err();

    let access = line_with(&["\"target\":\"access\"", "logged-1"]).await;
    assert_eq!(access["fields"]["path"], "/inference.GRPCInferenceService/ModelInfer");
    assert_eq!(access["fields"]["status"], "UNAVAILABLE");
    assert!(access["fields"]["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{access}");

    let closed = line_with(&["\"message\":\"close\"", traceparent]).await;
    assert_eq!(closed["target"], modelyard_server::trace::TARGET);
    assert_eq!(closed["span"]["grpc_status"], Code::Unavailable as i32);
    assert_eq!(closed["span"]["error"], "UNAVAILABLE");
}
