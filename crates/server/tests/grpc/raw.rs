//! Requests that no gRPC library would send, straight over HTTP/2.

use bytes::Bytes;
use http::request::Builder;
use http::{HeaderMap, Request, StatusCode};
use modelyard_server::grpc::proto::ModelInferResponse;
use prost::Message;
use tonic::Code;

use crate::server::{TestServer, check_echo, echo_request};

const INFER: &str = "/inference.GRPCInferenceService/ModelInfer";

/// What came back: HTTP status, headers or trailers with the gRPC status, body.
struct Answer {
    http: StatusCode,
    status: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn code(&self) -> Option<Code> {
        self.status.get("grpc-status").map(|status| Code::from_bytes(status.as_bytes()))
    }
}

/// Sends a body in pieces.
async fn send(server: &TestServer, path: &str, content_type: &str, body: &[&[u8]]) -> Answer {
    let request = Request::post(format!("http://{}{path}", server.address()));
    send_request(server, request.header("content-type", content_type), body).await
}

async fn send_request(server: &TestServer, request: Builder, body: &[&[u8]]) -> Answer {
    let stream = tokio::net::TcpStream::connect(server.address()).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut client = client.ready().await.unwrap();
    let (response, mut sender) = client.send_request(request.body(()).unwrap(), false).unwrap();
    for piece in body {
        // Refused requests are answered before their body is read.
        let _ = sender.send_data(Bytes::copy_from_slice(piece), false);
    }
    let _ = sender.send_data(Bytes::new(), true);
    let (head, mut incoming) = response.await.unwrap().into_parts();
    let mut body = Vec::new();
    while let Some(chunk) = incoming.data().await {
        body.extend_from_slice(&chunk.unwrap());
    }
    let trailers = incoming.trailers().await.unwrap();
    connection.abort();
    Answer { http: head.status, status: trailers.unwrap_or(head.headers), body }
}

fn framed(message: &[u8]) -> Vec<u8> {
    let len = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0], &len[..], message].concat()
}

#[tokio::test]
async fn bodies_may_come_byte_by_byte() {
    let server = TestServer::start();
    let body = framed(&echo_request("slow", [1.; 4]).encode_to_vec());
    let pieces: Vec<&[u8]> = body.chunks(1).collect();
    let answer = send(&server, INFER, "application/grpc+proto", &pieces).await;
    assert_eq!(answer.code(), Some(Code::Ok));
    let response = ModelInferResponse::decode(&answer.body[5..]).unwrap();
    check_echo(&response, "slow", [1.; 4]);
}

#[tokio::test]
async fn hostile_bodies_get_an_error() {
    let server = TestServer::start();
    let good = framed(&echo_request("", [1.; 4]).encode_to_vec());
    let nonsense = framed(&[0x3a, 0xff, 0xff, 0xff, 0xff, 0x0f]);
    let bodies: [(&[u8], Code); 7] = [
        (&[], Code::InvalidArgument),
        (&good[..3], Code::InvalidArgument),
        (&good[..20], Code::InvalidArgument),
        (&[0xff; 50], Code::InvalidArgument),
        (&[0, 0xff, 0xff, 0xff, 0xff], Code::OutOfRange),
        (&[1, 0, 0, 0, 1, 7], Code::InvalidArgument),
        (&nonsense, Code::InvalidArgument),
    ];
    for path in [INFER, "/inference.GRPCInferenceService/ModelStreamInfer"] {
        for (body, code) in &bodies {
            let answer = send(&server, path, "application/grpc", &[body]).await;
            assert_eq!(answer.http, StatusCode::OK);
            // A stream may have no message, and answers one that says nonsense inside.
            let fine_in_a_stream = body.is_empty() || body == &nonsense.as_slice();
            let stream = path.ends_with("ModelStreamInfer");
            let expected = if stream && fine_in_a_stream { Code::Ok } else { *code };
            assert_eq!(answer.code(), Some(expected), "{path} {body:?}");
        }
    }
}

#[tokio::test]
async fn other_paths_and_media_types_are_refused() {
    let server = TestServer::start();
    let answer = send(&server, "/no.such.Service/Method", "application/grpc", &[]).await;
    assert_eq!(answer.code(), Some(Code::Unimplemented));
    let answer =
        send(&server, "/inference.GRPCInferenceService/None", "application/grpc", &[]).await;
    assert_eq!(answer.code(), Some(Code::Unimplemented));
    let answer = send(&server, INFER, "application/json", &[b"{}"]).await;
    assert_eq!(answer.http, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn deadlines_are_kept() {
    let server = TestServer::start();
    let body = framed(&echo_request("", [1.; 4]).encode_to_vec());
    for (timeout, code) in
        [("1n", Code::DeadlineExceeded), ("soon", Code::InvalidArgument), ("99999999H", Code::Ok)]
    {
        let request = Request::post(format!("http://{}{INFER}", server.address()))
            .header("content-type", "application/grpc")
            .header("grpc-timeout", timeout);
        let answer = send_request(&server, request, &[&body]).await;
        assert_eq!(answer.code(), Some(code), "{timeout}");
    }
}
