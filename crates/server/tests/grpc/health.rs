//! `grpc.health.v1` and server reflection.

use std::time::Duration;

use modelyard_serving::Phase;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::server::TestServer;

fn of(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.into() }
}

#[tokio::test]
async fn health_is_that_of_server_and_models() {
    let server = TestServer::start();
    let mut client = HealthClient::new(server.channel().await);
    let serving = ServingStatus::Serving;
    for (name, expected) in [
        ("", serving),
        ("inference.GRPCInferenceService", serving),
        ("echo", serving),
        ("broken", ServingStatus::NotServing),
    ] {
        assert_eq!(client.check(of(name)).await.unwrap().get_ref().status(), expected, "{name}");
    }
    assert_eq!(client.check(of("none")).await.unwrap_err().code(), Code::NotFound);
    server.service.set_phase(Phase::Draining);
    let drained = client.check(of("")).await.unwrap();
    assert_eq!(drained.get_ref().status(), ServingStatus::NotServing);
}

#[tokio::test]
async fn watchers_are_told_of_changes() {
    let server = TestServer::start();
    let mut client = HealthClient::new(server.channel().await);
    let mut watched = client.watch(of("")).await.unwrap().into_inner();
    let first = watched.message().await.unwrap().unwrap();
    assert_eq!(first.status(), ServingStatus::Serving);
    server.service.set_phase(Phase::Draining);
    let second = watched.message().await.unwrap().unwrap();
    assert_eq!(second.status(), ServingStatus::NotServing);
    let mut unknown = client.watch(of("none")).await.unwrap().into_inner();
    let status = unknown.message().await.unwrap().unwrap().status();
    assert_eq!(status, ServingStatus::ServiceUnknown);
}

#[tokio::test]
async fn draining_does_not_wait_for_watchers() {
    let mut server = TestServer::start();
    let mut client = HealthClient::new(server.channel().await);
    let mut watched = client.watch(of("")).await.unwrap().into_inner();
    assert_eq!(watched.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    server.service.set_phase(Phase::Draining);
    let (finished, took) = server.stop().await;
    assert!(finished && took < Duration::from_secs(5), "{took:?}");
    assert_eq!(watched.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    assert_eq!(watched.message().await.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn draining_does_not_wait_for_silent_connections() {
    let mut server = TestServer::start();
    let _silent = tokio::net::TcpStream::connect(server.address()).await.unwrap();
    while server.metric("modelyard_connections ").await < 2 {}
    let (finished, took) = server.stop().await;
    assert!(finished && took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test]
async fn reflection_lists_the_services() {
    let server = TestServer::start();
    let mut client = ServerReflectionClient::new(server.channel().await);
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let call = client.server_reflection_info(tokio_stream::iter([request])).await.unwrap();
    let answer = call.into_inner().message().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("another answer: {answer:?}");
    };
    let names: Vec<&str> = list.service.iter().map(|service| service.name.as_str()).collect();
    assert!(names.contains(&"inference.GRPCInferenceService"), "{names:?}");
    assert!(names.contains(&"grpc.health.v1.Health"), "{names:?}");
}
