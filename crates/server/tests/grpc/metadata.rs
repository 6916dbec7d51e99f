//! The methods that need no engine.

use modelyard_server::grpc::proto::{
    LogSettingsRequest, ModelConfigRequest, ModelMetadataRequest, ModelReadyRequest,
    ModelStatisticsRequest, RepositoryIndexRequest, RepositoryModelLoadRequest, ServerLiveRequest,
    ServerMetadataRequest, ServerReadyRequest, SystemSharedMemoryStatusRequest,
};
use modelyard_serving::Phase;
use tonic::Code;

use crate::server::{TestServer, echo_request};

#[tokio::test]
async fn readiness_follows_the_phase() {
    let server = TestServer::start();
    let mut client = server.client().await;
    for (phase, ready) in [(Phase::Ready, true), (Phase::Draining, false)] {
        server.service.set_phase(phase);
        assert!(client.server_live(ServerLiveRequest {}).await.unwrap().get_ref().live);
        assert_eq!(
            client.server_ready(ServerReadyRequest {}).await.unwrap().get_ref().ready,
            ready
        );
        for (name, expected) in [("echo", ready), ("broken", false), ("none", false)] {
            let request = ModelReadyRequest { name: name.into(), version: "1".into() };
            let response = client.model_ready(request).await.unwrap();
            assert_eq!(response.get_ref().ready, expected, "{name} in {phase:?}");
        }
    }
}

#[tokio::test]
async fn metadata_is_the_signature() {
    let server = TestServer::start();
    let mut client = server.client().await;
    let metadata = client.server_metadata(ServerMetadataRequest {}).await.unwrap().into_inner();
    assert_eq!(metadata.name, "modelyard");
    assert!(metadata.extensions.contains(&"statistics".to_owned()));

    let request = ModelMetadataRequest { name: "echo".into(), version: String::new() };
    let metadata = client.model_metadata(request).await.unwrap().into_inner();
    assert_eq!(metadata.versions, ["1"]);
    assert_eq!(metadata.inputs[0].name, "x");
    assert_eq!(metadata.inputs[0].shape, [-1, 4]);
    assert_eq!(metadata.outputs[0].datatype, "FP32");

    let request = ModelMetadataRequest { name: "none".into(), version: String::new() };
    assert_eq!(client.model_metadata(request).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn configuration_leaves_out_the_batch() {
    let server = TestServer::start();
    let request = ModelConfigRequest { name: "echo".into(), version: "1".into() };
    let response = server.client().await.model_config(request).await.unwrap();
    let config = response.into_inner().config.unwrap();
    assert!(config.max_batch_size > 0);
    assert_eq!(config.input[0].dims, [4]);
}

#[tokio::test]
async fn statistics_count_inferences() {
    let server = TestServer::start();
    let mut client = server.client().await;
    let statistics =
        |name: &str| ModelStatisticsRequest { name: name.into(), version: String::new() };
    for _ in 0..3 {
        client.model_infer(echo_request("", [0.; 4])).await.unwrap();
    }
    let mut bad = echo_request("", [0.; 4]);
    bad.inputs[0].name = "odd".into();
    client.model_infer(bad).await.unwrap_err();

    let of_echo = client.model_statistics(statistics("echo")).await.unwrap().into_inner();
    let [echo] = of_echo.model_stats.as_slice() else { panic!("one version: {of_echo:?}") };
    assert_eq!(echo.inference_count, 3);
    let figures = echo.inference_stats.as_ref().unwrap();
    assert_eq!(figures.success.unwrap().count, 3);
    assert_eq!(figures.fail.unwrap().count, 1);

    let of_all = client.model_statistics(statistics("")).await.unwrap().into_inner();
    assert_eq!(of_all.model_stats.len(), 2);
    let status = client.model_statistics(statistics("none")).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
}

#[tokio::test]
async fn the_index_says_why_a_model_is_not_ready() {
    let server = TestServer::start();
    let mut client = server.client().await;
    let index = |ready| RepositoryIndexRequest { ready, ..Default::default() };
    let all = client.repository_index(index(false)).await.unwrap().into_inner().models;
    let broken = all.iter().find(|model| model.name == "broken").unwrap();
    assert_eq!((broken.state.as_str(), broken.version.as_str()), ("UNAVAILABLE", "1"));
    assert_eq!(broken.reason, "its file is torn");
    let ready = client.repository_index(index(true)).await.unwrap().into_inner().models;
    let names: Vec<&str> = ready.iter().map(|model| model.name.as_str()).collect();
    assert_eq!(names, ["echo", "every"]);
}

#[tokio::test]
async fn what_is_not_offered_says_what_to_do() {
    let server = TestServer::start();
    let mut client = server.client().await;
    let statuses = [
        client.repository_model_load(RepositoryModelLoadRequest::default()).await.unwrap_err(),
        client.log_settings(LogSettingsRequest::default()).await.unwrap_err(),
        client
            .system_shared_memory_status(SystemSharedMemoryStatusRequest::default())
            .await
            .unwrap_err(),
    ];
    for status in statuses {
        assert_eq!(status.code(), Code::Unimplemented);
        assert!(status.message().contains("is not offered: "), "{status}");
    }
}
