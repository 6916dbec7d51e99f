//! Every way to send and get tensors over v2 REST.

use modelyard_tensor::{DataType, strings};
use serde_json::{Value, json};

use crate::{Bench, Client};

const DIGITS: &str = "/v2/models/digits/infer";

fn input(data: Value) -> Value {
    json!({ "name": "pixels", "shape": [1, 4], "datatype": "FP32", "data": data })
}

#[test]
fn json_in_json_out() {
    let bench = Bench::start();
    for data in [json!([1, 2.5, -3e-1, 0]), json!([[1, 2.5, -0.3, 0.0]])] {
        let body = json!({ "id": "a \"b\"", "inputs": [input(data)] }).to_string();
        let response = bench.post(DIGITS, body);
        assert_eq!(response.status, 200, "{}", response.text());
        assert_eq!(response.header("content-type"), Some("application/json"));
        let expected = json!({
            "id": "a \"b\"",
            "model_name": "digits",
            "model_version": "1",
            "outputs": [
                { "name": "scores", "datatype": "FP32", "shape": [1, 3], "data": [1.0, 2.5, -0.3] },
            ],
        });
        assert_eq!(response.json(), expected);
    }
}

#[test]
fn members_may_come_in_any_order() {
    let bench = Bench::start();
    let body = r#" { "outputs" : [ {"parameters":{},"name":"scores"} ],
        "inputs":[ { "data" : [ [1,2,3,4] ], "x":{"y":[null,"z"]}, "datatype":"FP32" ,
        "shape":[1,4],"name":"pixels"}], "other": [true] } "#;
    let response = bench.post("/v2/models/digits/versions/1/infer", body);
    assert_eq!(response.json()["outputs"][0]["data"], json!([1.0, 2.0, 3.0]), "{response:?}");
    assert_eq!(response.json().get("id"), None);
}

#[test]
fn binary_in_binary_out() {
    let bench = Bench::start();
    let values = [1.0f32, 2.0, 3.0, 4.0];
    let json = json!({
        "parameters": { "binary_data_output": true },
        "inputs": [{
            "name": "pixels", "shape": [1, 4], "datatype": "FP32",
            "parameters": { "binary_data_size": 16 },
        }],
    });
    let response = bench.post_binary(DIGITS, &json.to_string(), bytemuck::cast_slice(&values));
    assert_eq!(response.header("content-type"), Some("application/octet-stream"));
    let (json, blobs) = response.parts();
    assert_eq!(json["outputs"][0]["parameters"]["binary_data_size"], 12);
    assert_eq!(json["outputs"][0].get("data"), None);
    assert_eq!(blobs, bytemuck::cast_slice::<f32, u8>(&values[..3]));
}

#[test]
fn binary_in_json_out_and_back() {
    let bench = Bench::start();
    let json = r#"{"inputs":[{"name":"pixels","shape":[1,4],"datatype":"FP32",
        "parameters":{"binary_data_size":16}}],"outputs":[{"name":"scores"}]}"#;
    let response = bench.post_binary(DIGITS, json, bytemuck::cast_slice(&[5.0f32, 6.0, 7.0, 8.0]));
    assert_eq!(response.json()["outputs"][0]["data"], json!([5.0, 6.0, 7.0]));

    let body = json!({
        "inputs": [input(json!([5, 6, 7, 8]))],
        "outputs": [{ "name": "scores", "parameters": { "binary_data": true } }],
    });
    let response = bench.post(DIGITS, body.to_string());
    let (_, blobs) = response.parts();
    assert_eq!(blobs, bytemuck::cast_slice::<f32, u8>(&[5.0, 6.0, 7.0]));
}

#[test]
fn inputs_and_outputs_mix_json_and_binary_in_any_order() {
    let bench = Bench::start();
    let json = json!({
        "parameters": { "binary_data_output": true },
        "inputs": [
            { "name": "b", "shape": [2, 1], "datatype": "FP32",
              "parameters": { "binary_data_size": 8 } },
            { "name": "a", "shape": [2, 2], "datatype": "INT32", "data": [[1, 2], [3, 4]] },
        ],
        "outputs": [
            { "name": "last" },
            { "name": "first", "parameters": { "binary_data": false } },
        ],
    });
    let blob = bytemuck::cast_slice(&[0.5f32, 1.5]);
    let response = bench.post_binary("/v2/models/pair/infer", &json.to_string(), blob);
    let (json, blobs) = response.parts();
    assert_eq!(json["outputs"][0]["name"], "last");
    assert_eq!(json["outputs"][1]["data"], json!([1, 2, 3, 4]));
    assert_eq!(blobs, blob);

    let json = json!({ "inputs": [
        { "name": "a", "shape": [1, 2], "datatype": "INT32", "data": [1, 2] },
        { "name": "b", "shape": [1, 1], "datatype": "FP32", "data": [0.5] },
    ], "outputs": [{ "name": "last" }] });
    let json = bench.post("/v2/models/pair/infer", json.to_string()).json();
    assert_eq!(json["outputs"].as_array().unwrap().len(), 1);
    assert_eq!(json["outputs"][0]["data"], json!([0.5]));
}

#[test]
fn a_raw_body_is_the_only_input() {
    let bench = Bench::start();
    let response = bench.post_binary(DIGITS, "", bytemuck::cast_slice(&[1.0f32, 2.0, 3.0, 4.0]));
    let (json, blobs) = response.parts();
    assert_eq!(json["outputs"][0]["shape"], json!([1, 3]));
    assert_eq!(blobs, bytemuck::cast_slice::<f32, u8>(&[1.0, 2.0, 3.0]));
    // One dimension besides the batch may be found out.
    let response = bench.post_binary("/v2/models/echo_int16/infer", "", &[1, 0, 2, 0, 3, 0]);
    assert_eq!(response.parts().0["outputs"][0]["shape"], json!([1, 3]));
    let response = bench.post_binary("/v2/models/echo_bytes/infer", "", b"text");
    assert_eq!(response.parts().1, strings::encode(["text"]));
}

#[test]
fn every_datatype_goes_both_ways() {
    let bench = Bench::start();
    let cases = [
        (DataType::Bool, json!([true, false])),
        (DataType::Uint8, json!([0, 255])),
        (DataType::Uint16, json!([0, 65535])),
        (DataType::Uint32, json!([0, u32::MAX])),
        (DataType::Uint64, json!([9_007_199_254_740_993u64, u64::MAX])),
        (DataType::Int8, json!([-128, 127])),
        (DataType::Int16, json!([-32768, 32767])),
        (DataType::Int32, json!([i32::MIN, i32::MAX])),
        (DataType::Int64, json!([i64::MIN, 9_007_199_254_740_993i64])),
        (DataType::Fp32, json!([0.1, -1e-7])),
        (DataType::Fp64, json!([0.1, -1.0e300])),
        (DataType::Bytes, json!(["", "é \" \\ \u{1}"])),
    ];
    for (data_type, data) in cases {
        let path = format!("/v2/models/echo_{}/infer", data_type.name().to_lowercase());
        let input = json!({
            "name": "x", "shape": [1, 2], "datatype": data_type.name(), "data": data,
        });
        let as_json = bench.post(&path, json!({ "inputs": [input] }).to_string());
        assert_eq!(as_json.json()["outputs"][0]["data"], data, "{data_type}");
        let body = json!({ "inputs": [input], "parameters": { "binary_data_output": true } });
        let as_binary = bench.post(&path, body.to_string());
        let (_, blob) = as_binary.parts();
        let json = json!({ "inputs": [{
            "name": "x", "shape": [1, 2], "datatype": data_type.name(),
            "parameters": { "binary_data_size": blob.len() },
        }] });
        let back = bench.post_binary(&path, &json.to_string(), blob);
        assert_eq!(back.json()["outputs"][0]["data"], data, "{data_type}");
    }
}

#[test]
fn halves_go_in_binary_only() {
    let bench = Bench::start();
    for data_type in [DataType::Fp16, DataType::Bf16] {
        let path = format!("/v2/models/echo_{}/infer", data_type.name().to_lowercase());
        let json = |output: bool| {
            let parameters = json!({ "binary_data_size": 4 });
            json!({
                "parameters": { "binary_data_output": output },
                "inputs": [{ "name": "x", "shape": [1, 2], "datatype": data_type.name(),
                             "parameters": parameters }],
            })
            .to_string()
        };
        assert_eq!(bench.post_binary(&path, &json(true), &[1, 2, 3, 4]).parts().1, [1, 2, 3, 4]);
        let refused = bench.post_binary(&path, &json(false), &[1, 2, 3, 4]);
        refused.check_error(400, &["'y'", data_type.name(), "binary"]);
        let input =
            json!({ "name": "x", "shape": [1, 1], "datatype": data_type.name(), "data": [1] });
        let refused = bench.post(&path, json!({ "inputs": [input] }).to_string());
        refused.check_error(400, &["no JSON form", "binary"]);
    }
}

#[test]
fn floats_that_json_has_no_number_for() {
    let bench = Bench::start();
    let body = r#"{"inputs":[{"name":"x","shape":[1,3],"datatype":"FP64",
        "data":[NaN,Infinity,-Infinity]}]}"#;
    let response = bench.post("/v2/models/echo_fp64/infer", body);
    assert!(response.text().contains(r#""data":[NaN,Infinity,-Infinity]"#), "{response:?}");
}

#[test]
fn the_best_classes_are_named() {
    let bench = Bench::start();
    let body = json!({
        "inputs": [{ "name": "pixels", "shape": [2, 4], "datatype": "FP32",
                     "data": [0.5, 2, 1, 0, 0, 0, 9, 0] }],
        "outputs": [{ "name": "scores", "parameters": { "classification": 2 } }],
    });
    let json = bench.post(DIGITS, body.to_string()).json();
    let expected = json!({
        "name": "scores", "datatype": "BYTES", "shape": [2, 2],
        "data": ["2.000000:1:one", "1.000000:2", "9.000000:2", "0.000000:0:zero"],
    });
    assert_eq!(json["outputs"][0], expected);
}

/// As over gRPC: where the model takes batches, each row of an output is classified for itself.
#[test]
fn a_row_of_one_number_has_one_class() {
    let bench = Bench::start();
    let body = json!({
        "inputs": [{ "name": "x", "shape": [2], "datatype": "FP32", "data": [0.5, 2] }],
        "outputs": [{ "name": "y", "parameters": { "classification": 1 } }],
    });
    let json = bench.post("/v2/models/line/infer", body.to_string()).json();
    assert_eq!(json["outputs"][0]["shape"], json!([2, 1]), "{json}");
    assert_eq!(json["outputs"][0]["data"], json!(["0.500000:0", "2.000000:0"]));
}

#[test]
fn bodies_are_coded_both_ways() {
    use std::io::Read;
    let bench = Bench::with(|limits| limits.compress_from_bytes = 1);
    let body = json!({ "inputs": [input(json!([1, 2, 3, 4]))] }).to_string();
    for (coding, wanted) in [("gzip", "deflate"), ("deflate", "gzip;q=0.9, br")] {
        let mut coded = Vec::new();
        let level = flate2::Compression::default();
        match coding {
            "gzip" => flate2::read::GzEncoder::new(body.as_bytes(), level).read_to_end(&mut coded),
            _ => flate2::read::ZlibEncoder::new(body.as_bytes(), level).read_to_end(&mut coded),
        }
        .unwrap();
        let headers = [("Content-Encoding", coding), ("Accept-Encoding", wanted)];
        let response = bench.client().request("POST", DIGITS, &headers, &coded);
        let mut text = String::new();
        let answered = response.header("content-encoding").unwrap();
        assert!(wanted.starts_with(answered), "{answered}");
        match answered {
            "gzip" => flate2::read::GzDecoder::new(&response.body[..]).read_to_string(&mut text),
            _ => flate2::read::ZlibDecoder::new(&response.body[..]).read_to_string(&mut text),
        }
        .unwrap();
        assert!(text.contains("[1.0,2.0,3.0]"), "{text}");
    }
}

/// Deflate makes up to a thousand bytes of one: a tensor of zeros is no attack.
#[test]
fn a_compressed_tensor_of_zeros_is_taken() {
    use std::io::Read;
    let bench = Bench::start();
    let mut coded = Vec::new();
    let zeros = std::io::repeat(0).take(602_112);
    flate2::read::GzEncoder::new(zeros, flate2::Compression::best())
        .read_to_end(&mut coded)
        .unwrap();
    let headers = [("Content-Encoding", "gzip"), ("Inference-Header-Content-Length", "0")];
    let path = "/v2/models/echo_uint8/infer";
    let response = bench.client().request("POST", path, &headers, &coded);
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(response.parts().1.len(), 602_112);
}

#[test]
fn a_client_that_likes_no_coding_better_gets_none() {
    let bench = Bench::with(|limits| limits.compress_from_bytes = 1);
    let accept = [("Accept-Encoding", "gzip;q=0.2, identity;q=1")];
    let response = bench.client().request("GET", "/v2", &accept, b"");
    assert_eq!(response.header("content-encoding"), None);
}

#[test]
fn one_connection_serves_request_after_request() {
    let bench = Bench::start();
    let mut client = bench.client();
    let body = json!({ "inputs": [input(json!([1, 2, 3, 4]))] }).to_string();
    for round in 0..20 {
        let id = round.to_string();
        let headers = [("x-request-id", id.as_str()), ("traceparent", "00-1-2-01")];
        let response = client.request("POST", DIGITS, &headers, body.as_bytes());
        assert_eq!((response.status, response.header("x-request-id")), (200, Some(id.as_str())));
    }
    // All at once, too.
    let one = format!(
        "POST {DIGITS} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    client.send(one.repeat(5));
    (0..5).for_each(|_| assert_eq!(client.read(false).unwrap().status, 200));
}

#[test]
fn header_and_body_may_come_in_pieces() {
    let bench = Bench::start();
    let body = json!({ "inputs": [input(json!([1, 2, 3, 4]))] }).to_string();
    let text = format!(
        "POST {DIGITS} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut client: Client = bench.client();
    for piece in text.as_bytes().chunks(7) {
        client.send(piece);
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    assert_eq!(client.read(false).unwrap().status, 200);
    let mut chunked =
        format!("POST {DIGITS} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n");
    body.as_bytes().chunks(9).for_each(|chunk| {
        chunked += &format!("{:x}\r\n{}\r\n", chunk.len(), String::from_utf8_lossy(chunk));
    });
    client.send(chunked + "0\r\n\r\n");
    assert_eq!(client.read(false).unwrap().status, 200);
}
