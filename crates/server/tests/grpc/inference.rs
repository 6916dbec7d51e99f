//! `ModelInfer`.

use modelyard_server::Limits;
use modelyard_server::grpc::proto::infer_parameter::ParameterChoice;
use modelyard_server::grpc::proto::model_infer_request::{
    InferInputTensor, InferRequestedOutputTensor,
};
use modelyard_server::grpc::proto::{InferParameter, ModelInferRequest};
use modelyard_tensor::{DataType, strings};
use tonic::Code;
use tonic::codec::CompressionEncoding;

use crate::server::{TestServer, check_echo, echo_request, raw};

#[tokio::test]
async fn answers_raw_contents() {
    let server = TestServer::start();
    let mut client = server.client().await;
    for id in ["", "7", "ein längerer Name"] {
        let values = [1., -2., f32::INFINITY, 0.5];
        let response = client.model_infer(echo_request(id, values)).await.unwrap();
        check_echo(response.get_ref(), id, values);
    }
}

#[tokio::test]
async fn answers_every_datatype() {
    let server = TestServer::start();
    let contents = |data_type: DataType| match data_type.size() {
        Some(size) => (1..=2 * size).map(|byte| (byte % 2) as u8).collect(),
        None => strings::encode(["some", "strings"]),
    };
    let inputs = DataType::ALL.map(|data_type| InferInputTensor {
        name: data_type.name().into(),
        datatype: data_type.name().into(),
        shape: vec![2, 1],
        ..Default::default()
    });
    let request = ModelInferRequest {
        model_name: "every".into(),
        inputs: inputs.into(),
        raw_input_contents: DataType::ALL.map(contents).into(),
        ..Default::default()
    };
    let response = server.client().await.model_infer(request.clone()).await.unwrap().into_inner();
    assert_eq!(response.raw_output_contents, request.raw_input_contents);
    for (output, input) in response.outputs.iter().zip(&request.inputs) {
        assert_eq!((&output.name, &output.datatype), (&input.name, &input.datatype));
        assert_eq!(output.shape, input.shape);
    }
}

#[tokio::test]
async fn large_tensors_come_whole() {
    let server = TestServer::start();
    let mut request = echo_request("", [0.; 4]);
    let values: Vec<f32> = (0..4 * 100_000).map(|value| value as f32).collect();
    request.inputs[0].shape = vec![100_000, 4];
    request.raw_input_contents = vec![raw(&values)];
    let mut client = server.client().await.max_decoding_message_size(8 << 20);
    let response = client.model_infer(request).await.unwrap().into_inner();
    assert_eq!(response.raw_output_contents, [raw(&values)]);
}

#[tokio::test]
async fn classes_come_with_labels() {
    let server = TestServer::start();
    let mut request = echo_request("", [0.25, 0.5, 0.125, 0.]);
    let classification = InferParameter { parameter_choice: Some(ParameterChoice::Int64Param(2)) };
    request.outputs = vec![InferRequestedOutputTensor {
        name: "y".into(),
        parameters: [("classification".to_owned(), classification)].into(),
    }];
    let response = server.client().await.model_infer(request).await.unwrap().into_inner();
    assert_eq!(response.outputs[0].datatype, "BYTES");
    assert_eq!(response.outputs[0].shape, [1, 2]);
    let expected = strings::encode(["0.500000:1:one", "0.250000:0:zero"]);
    assert_eq!(response.raw_output_contents, [expected]);
}

#[tokio::test]
async fn compressed_requests_get_compressed_answers() {
    let server = TestServer::start();
    for encoding in [CompressionEncoding::Gzip, CompressionEncoding::Deflate] {
        let client = server.client().await;
        let mut client = client.send_compressed(encoding).accept_compressed(encoding);
        let response = client.model_infer(echo_request("z", [3.; 4])).await.unwrap();
        check_echo(response.get_ref(), "z", [3.; 4]);
        assert!(response.metadata().contains_key("grpc-encoding"));
    }
}

#[tokio::test]
async fn errors_say_what_is_wrong_and_the_server_goes_on() {
    let server = TestServer::start();
    let mut client = server.client().await;
    type Change = fn(&mut ModelInferRequest);
    let cases: [(Change, Code, &str); 6] = [
        (|r| r.model_name = "none".into(), Code::NotFound, "'none'"),
        (|r| r.model_name = "broken".into(), Code::Unavailable, "its file is torn"),
        (|r| r.model_version = "x".into(), Code::InvalidArgument, "'x'"),
        (|r| r.inputs[0].shape[1] = 5, Code::InvalidArgument, "[1,5]"),
        (|r| r.raw_input_contents.clear(), Code::InvalidArgument, "no data"),
        (|r| r.inputs[0].datatype = "INT32".into(), Code::InvalidArgument, "INT32"),
    ];
    for (change, code, words) in cases {
        let mut request = echo_request("", [0.; 4]);
        change(&mut request);
        let status = client.model_infer(request).await.unwrap_err();
        assert_eq!(status.code(), code, "{status}");
        assert!(status.message().contains(words), "{status}");
    }
    client.model_infer(echo_request("", [0.; 4])).await.unwrap();
}

#[tokio::test]
async fn messages_over_the_limit_are_refused() {
    let server = TestServer::with(Limits { body_bytes: 100, ..Limits::default() });
    let mut client = server.client().await;
    let mut request = echo_request("", [0.; 4]);
    request.id = "long".repeat(100);
    let status = client.model_infer(request).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange);
    assert!(status.message().contains("100"), "{status}");
    client.model_infer(echo_request("", [0.; 4])).await.unwrap();
}
