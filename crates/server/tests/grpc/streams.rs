//! `ModelStreamInfer`.

use std::time::Duration;

use modelyard_server::grpc::proto::ModelInferRequest;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic::codec::CompressionEncoding;

use crate::server::{TestServer, check_echo, echo_request};

fn values(index: usize) -> [f32; 4] {
    [index as f32; 4]
}

#[tokio::test]
async fn answers_in_the_order_of_the_requests() {
    const REQUESTS: usize = 500;
    let server = TestServer::start();
    let requests: Vec<ModelInferRequest> =
        (0..REQUESTS).map(|index| echo_request(&index.to_string(), values(index))).collect();
    let call = server.client().await.model_stream_infer(tokio_stream::iter(requests)).await;
    let mut answers = call.unwrap().into_inner();
    for index in 0..REQUESTS {
        let answer = answers.message().await.unwrap().unwrap();
        assert_eq!(answer.error_message, "");
        let response = answer.infer_response.unwrap();
        check_echo(&response, &index.to_string(), values(index));
        assert!(response.parameters.contains_key("triton_final_response"));
    }
    assert!(answers.message().await.unwrap().is_none());
}

#[tokio::test]
async fn an_error_leaves_the_stream_open() {
    let server = TestServer::start();
    let (sender, receiver) = mpsc::channel(4);
    let call = server.client().await.model_stream_infer(ReceiverStream::new(receiver)).await;
    let mut answers = call.unwrap().into_inner();

    sender.send(echo_request("good", values(1))).await.unwrap();
    let answer = answers.message().await.unwrap().unwrap();
    check_echo(&answer.infer_response.unwrap(), "good", values(1));

    let bad = ModelInferRequest { model_name: "none".into(), ..echo_request("bad", values(2)) };
    sender.send(bad).await.unwrap();
    let answer = answers.message().await.unwrap().unwrap();
    assert!(answer.error_message.contains("'none'"), "{}", answer.error_message);
    assert_eq!(answer.infer_response.unwrap().id, "bad");

    sender.send(echo_request("again", values(3))).await.unwrap();
    let answer = answers.message().await.unwrap().unwrap();
    check_echo(&answer.infer_response.unwrap(), "again", values(3));
    drop(sender);
    assert!(answers.message().await.unwrap().is_none());
}

#[tokio::test]
async fn draining_ends_idle_streams() {
    let mut server = TestServer::start();
    let (sender, receiver) = mpsc::channel(4);
    let call = server.client().await.model_stream_infer(ReceiverStream::new(receiver)).await;
    let mut answers = call.unwrap().into_inner();
    sender.send(echo_request("last", values(1))).await.unwrap();
    let answer = answers.message().await.unwrap().unwrap();
    check_echo(&answer.infer_response.unwrap(), "last", values(1));
    let (finished, took) = server.stop().await;
    assert!(finished && took < Duration::from_secs(5), "{took:?}");
    let status = answers.message().await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Unavailable, "the server is stopping"));
}

#[tokio::test]
async fn streams_are_compressed_as_asked() {
    let server = TestServer::start();
    let client = server.client().await.send_compressed(CompressionEncoding::Gzip);
    let mut client = client.accept_compressed(CompressionEncoding::Gzip);
    let requests = [echo_request("a", values(1)), echo_request("b", values(2))];
    let mut answers =
        client.model_stream_infer(tokio_stream::iter(requests)).await.unwrap().into_inner();
    for (index, id) in ["a", "b"].into_iter().enumerate() {
        let answer = answers.message().await.unwrap().unwrap();
        check_echo(&answer.infer_response.unwrap(), id, values(index + 1));
    }
}

#[tokio::test]
async fn a_dropped_stream_leaves_the_server_well() {
    let server = TestServer::start();
    let mut client = server.client().await;
    for _ in 0..20 {
        let (sender, receiver) = mpsc::channel(64);
        for index in 0..64 {
            sender.send(echo_request("", values(index))).await.unwrap();
        }
        let call = client.model_stream_infer(ReceiverStream::new(receiver));
        drop(tokio::time::timeout(Duration::from_micros(500), call).await);
    }
    let response = client.model_infer(echo_request("after", values(9))).await.unwrap();
    check_echo(response.get_ref(), "after", values(9));
}
