//! Wrong, hostile and broken requests: each gets its error, and the server goes on.

use std::io::Read;

use serde_json::{Value, json};

use crate::Bench;

const DIGITS: &str = "/v2/models/digits/infer";

/// Posts a request with one input of these members.
fn post(bench: &Bench, input: Value) -> crate::Response {
    bench.post(DIGITS, json!({ "inputs": [input] }).to_string())
}

#[test]
fn wrong_inputs_say_what_was_expected_and_what_found() {
    let bench = Bench::start();
    let data = json!([1, 2, 3, 4]);
    let input = |name: &str, shape: Value, datatype: &str, data: &Value| json!({ "name": name, "shape": shape, "datatype": datatype, "data": data });
    let cases: [(Value, u16, &[&str]); 12] = [
        (input("pixel", json!([1, 4]), "FP32", &data), 400, &["'pixel'", "'pixels'", "[?,4]"]),
        (input("pixels", json!([1, 4]), "INT32", &data), 400, &["FP32", "INT32"]),
        (input("pixels", json!([1, 4]), "FLOAT", &data), 400, &["FLOAT", "FP32"]),
        (input("pixels", json!([1, 5]), "FP32", &data), 400, &["4 elements", "holds 5"]),
        (input("pixels", json!([4]), "FP32", &data), 400, &["[?,4]", "[4]"]),
        (input("pixels", json!([4, 1]), "FP32", &data), 400, &["[?,4]", "[4,1]"]),
        (input("pixels", json!([-1, 4]), "FP32", &data), 400, &["dimension"]),
        (
            input("pixels", json!([1, 4]), "FP32", &json!([[1, 2], [3, 4]])),
            400,
            &["[2,2]", "[1,4]"],
        ),
        (input("pixels", json!([1, 4]), "FP32", &json!([[1, 2], [3]])), 400, &["irregular"]),
        (input("pixels", json!([1, 4]), "FP32", &json!([1, 2, 3, "4"])), 400, &["FP32"]),
        (input("pixels", json!([1, 4]), "FP32", &json!([1, 2, 3, null])), 400, &["FP32", "null"]),
        (json!({ "shape": [1], "datatype": "FP32", "data": [1] }), 400, &["'name'"]),
    ];
    for (input, status, texts) in cases {
        post(&bench, input).check_error(status, texts);
    }
    bench.post("/v2/models/pair/infer", r#"{"inputs":[]}"#).check_error(400, &["'a'", "missing"]);
    let twice = input("pixels", json!([1, 4]), "FP32", &data);
    let twice = json!({ "inputs": [twice, twice] });
    bench.post(DIGITS, twice.to_string()).check_error(400, &["twice"]);
    let output = json!({
        "inputs": [input("pixels", json!([1, 4]), "FP32", &data)], "outputs": [{ "name": "z" }],
    });
    bench.post(DIGITS, output.to_string()).check_error(400, &["'z'", "'scores'"]);
    bench.post("/v2/models/none/infer", "{}").check_error(404, &["none"]);
    bench.post("/v2/models/digits/versions/7/infer", "{}").check_error(404, &["7"]);
    bench.check_alive();
}

#[test]
fn integers_are_not_taken_for_floats_by_a_second_datatype() {
    let bench = Bench::start();
    let input = r#""name":"pixels","shape":[1,4],"datatype":"INT32","data":[1,2,3,4]"#;
    for (key, again) in [
        ("datatype", r#""FP32""#),
        ("name", r#""pixels""#),
        ("shape", "[1,4]"),
        ("data", "[1,2,3,4]"),
    ] {
        let body = format!(r#"{{"inputs":[{{{input},"{key}":{again}}}]}}"#);
        bench.post(DIGITS, body).check_error(400, &["'pixels'", key, "twice"]);
    }
}

#[test]
fn numbers_that_do_not_fit_are_refused() {
    let bench = Bench::start();
    for (datatype, data, text) in [
        ("INT32", "[NaN]", "NaN"),
        ("INT8", "[128]", "128"),
        ("UINT64", "[-1]", "-1"),
        ("UINT64", "[18446744073709551616]", "18446744073709551616"),
        ("INT64", "[1.5]", "1.5"),
        ("FP32", "[1e39]", "1e39"),
        ("BOOL", "[2]", "2"),
        ("BYTES", "[1]", "1"),
    ] {
        let body = format!(
            r#"{{"inputs":[{{"name":"x","shape":[1,1],"datatype":"{datatype}","data":{data}}}]}}"#
        );
        let path = format!("/v2/models/echo_{}/infer", datatype.to_lowercase());
        bench.post(&path, body).check_error(400, &[datatype, text]);
    }
}

#[test]
fn huge_shapes_cost_nothing() {
    let bench = Bench::start();
    for (shape, status) in [
        (json!([4_000_000_000u64, 4_000_000_000u64, 4_000_000_000u64]), 400),
        (json!([1u64 << 40]), 413),
        (json!([u64::MAX, 2]), 400),
    ] {
        let with_data =
            json!({ "name": "pixels", "shape": shape, "datatype": "FP32", "data": [1, 2] });
        post(&bench, with_data).check_error(status, &["elements"]);
        let json = json!({ "inputs": [{
            "name": "pixels", "shape": shape, "datatype": "FP32",
            "parameters": { "binary_data_size": 8 },
        }] });
        bench.post_binary(DIGITS, &json.to_string(), &[0; 8]).check_error(status, &["elements"]);
    }
    let dims = json!(vec![1; 1000]);
    post(&bench, json!({ "name": "pixels", "shape": dims, "datatype": "FP32", "data": [1] }))
        .check_error(400, &["dimensions"]);
    bench.check_alive();
}

#[test]
fn binary_that_lies_about_its_length_is_refused() {
    let bench = Bench::start();
    let json = |size: u64| {
        json!({ "inputs": [{
            "name": "pixels", "shape": [1, 4], "datatype": "FP32",
            "parameters": { "binary_data_size": size },
        }] })
        .to_string()
    };
    bench.post_binary(DIGITS, &json(16), &[0; 15]).check_error(400, &["16", "15"]);
    bench
        .post_binary(DIGITS, &json(16), &[0; 17])
        .check_error(400, &["1 byte more", "binary_data_size"]);
    bench.post_binary(DIGITS, &json(12), &[0; 12]).check_error(400, &["12", "16"]);
    bench.post_binary(DIGITS, &json(u64::MAX), &[0; 16]).check_error(400, &["only 16 bytes"]);
    bench.post_binary(DIGITS, "", &[0; 15]).check_error(400, &["15 bytes"]);
    let body = json(16);
    let headers = [("Inference-Header-Content-Length", "+5")];
    let response = bench.client().request("POST", DIGITS, &headers, body.as_bytes());
    response.check_error(400, &["'+5'", "number of bytes"]);
    for length in ["999999999", "18446744073709551616", "-1", "x", "5", "1e2"] {
        let headers = [("Inference-Header-Content-Length", length)];
        let response = bench.client().request("POST", DIGITS, &headers, body.as_bytes());
        response.check_error(400, &[]);
    }
    bench.post_binary("/v2/models/pair/infer", "", &[0; 8]).check_error(400, &["one input", "2"]);
    let strings = r#"{"inputs":[{"name":"x","shape":[1,1],"datatype":"BYTES",
        "parameters":{"binary_data_size":8}}]}"#;
    for blob in [[255u8, 255, 255, 255, 0, 0, 0, 0], [0; 8], [5, 0, 0, 0, 1, 1, 1, 1]] {
        let response = bench.post_binary("/v2/models/echo_bytes/infer", strings, &blob);
        response.check_error(400, &["'x'", "BYTES"]);
    }
    bench.check_alive();
}

#[test]
fn valid_json_is_not_called_invalid() {
    let bench = Bench::start();
    let half = json!({ "name": "x", "shape": [1, 1], "datatype": "FP16", "data": [1] });
    let half = bench.post("/v2/models/echo_fp16/infer", json!({ "inputs": [half] }).to_string());
    let deep = format!("{}1{}", "[".repeat(100), "]".repeat(100));
    let with = |shape: &str, data: &str| {
        let body = format!(
            r#"{{"inputs":[{{"name":"pixels","shape":{shape},"datatype":"FP32","data":{data}}}]}}"#
        );
        bench.post(DIGITS, body)
    };
    for (refused, word) in [
        (half, "input 'x': FP16"),
        (with("[1,4]", &deep), "input 'pixels': arrays and objects nest"),
        (with("[1,4]", "[1,2,3,1e39]"), "input 'pixels': 1e39 is out"),
        (with("[1,4]", "[[1,2],[3]]"), "input 'pixels': the nested arrays are irregular"),
        (with("[1,4]", "[1,2,3,\"4\"]"), "found '\"4\"'"),
        (with("[1,1.5]", "[1]"), "found '1.5'"),
        (with("[18446744073709551616]", "[1]"), "found '18446744073709551616'"),
        (bench.post(DIGITS, r#"{"id":5}"#), "expected a string, found '5'"),
    ] {
        refused.check_error(400, &[word, "at byte "]);
        assert!(!refused.text().contains("invalid JSON"), "{}", refused.text());
    }
    with("[1,4]", "[1,2,3,tru]").check_error(400, &["invalid JSON", "found 'tru'"]);
    bench.post("/predict/digits", "{\"image\" 1}").check_error(400, &["invalid JSON"]);
}

#[test]
fn what_is_not_offered_says_so_and_what_to_do() {
    let bench = Bench::start();
    let with = |parameters: Value, input: Value, output: Value| {
        let body = json!({
            "parameters": parameters,
            "inputs": [{ "name": "pixels", "shape": [1, 4], "datatype": "FP32",
                         "parameters": input, "data": [1, 2, 3, 4] }],
            "outputs": [{ "name": "scores", "parameters": output }],
        });
        bench.post(DIGITS, body.to_string())
    };
    let none = || json!({});
    let region = || json!({ "shared_memory_region": "r" });
    with(json!({ "sequence_id": 5 }), none(), none()).check_error(501, &["sequence batching"]);
    with(none(), region(), none()).check_error(501, &["input 'pixels'", "in the request"]);
    with(none(), none(), region()).check_error(501, &["output 'scores'", "from the answer"]);
    with(json!({ "triton_x": 1 }), none(), none()).check_error(400, &["'triton_x'"]);
    with(json!({ "timeout": 1.5 }), none(), none()).check_error(400, &["'timeout'", "integer"]);
    let harmless = json!({
        "sequence_id": 0, "sequence_start": false, "sequence_end": false, "own": [1],
        "triton_enable_empty_final_response": true, "priority": 2, "timeout": 60_000_000,
    });
    assert_eq!(with(harmless, none(), none()).status, 200);
    bench.get("/v2/systemsharedmemory/status").check_error(501, &["instead of shared memory"]);
    bench.post("/v2/trace/setting", "{}").check_error(501, &["configured at the start"]);
}

#[test]
fn broken_json_is_refused() {
    let bench = Bench::start();
    for body in [
        "",
        "{",
        "[]",
        "null",
        r#"{"inputs":{}}"#,
        r#"{"inputs":[1]}"#,
        r#"{"inputs":[]} x"#,
        r#"{"id":5,"inputs":[]}"#,
        "{\"id\":\"\u{1}\",\"inputs\":[]}",
        r#"{"inputs":[{"name":"pixels","shape":[1,4],"datatype":"FP32","data":[1,2,3,4}]}"#,
        r#"{"inputs":[{"name":"pixels","shape":[1,4],"datatype":"FP32","data":[1,2,03,4]}]}"#,
    ] {
        bench.post(DIGITS, body).check_error(400, &[]);
    }
    bench.post(DIGITS, b"{\"id\":\"\xff\"}").check_error(400, &["UTF-8"]);
    for bomb in ["[".repeat(1_000_000), "{\"a\":".repeat(500_000)] {
        bench.post(DIGITS, format!("{{\"x\":{bomb}")).check_error(400, &["nest"]);
        bench.post("/predict/digits", format!("{{\"image\":{bomb}")).check_error(400, &[]);
    }
    bench.check_alive();
}

#[test]
fn bombs_and_unknown_codings_are_refused() {
    let bench = Bench::with(|limits| limits.decompressed_bytes = 1 << 20);
    let mut bomb = Vec::new();
    let zeros = std::io::repeat(b' ').take(8 << 20);
    flate2::read::GzEncoder::new(zeros, flate2::Compression::best())
        .read_to_end(&mut bomb)
        .unwrap();
    let post = |coding: &str, body: &[u8]| {
        bench.client().request("POST", DIGITS, &[("Content-Encoding", coding)], body)
    };
    post("gzip", &bomb).check_error(413, &["gzip", "1048576", "limits.decompressed_bytes"]);
    post("gzip", b"not gzip").check_error(400, &["gzip"]);
    post("deflate", &bomb).check_error(400, &["deflate"]);
    let response = post("br", b"{}");
    response.check_error(415, &["br", "gzip"]);
    assert_eq!(response.header("accept-encoding"), Some("gzip, deflate"));
    bench.check_alive();
}

#[test]
fn bodies_over_the_limit_are_refused_before_they_are_read() {
    let bench = Bench::with(|limits| limits.body_bytes = 1000);
    // All of a large body is on its way: the answer must not be lost in a reset.
    let response = bench.post(DIGITS, vec![b' '; 8 << 20]);
    response.check_error(413, &["1000"]);
    assert_eq!(response.header("connection"), Some("close"));
    let mut client = bench.client();
    client.send(format!("POST {DIGITS} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"));
    client.send(format!("800\r\n{}\r\n0\r\n\r\n", " ".repeat(2048)));
    let response = client.read(false).unwrap();
    response.check_error(413, &["1000"]);
    assert_eq!(response.header("connection"), Some("close"));
    bench.check_alive();
}
