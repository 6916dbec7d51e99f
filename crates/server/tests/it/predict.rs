//! The plain way.

use serde_json::json;

use crate::Bench;

#[test]
fn one_example_gives_one_answer() {
    let bench = Bench::start();
    for body in [
        r#"{"image":[0.5,2,1,0]}"#,
        r#"{"pixels":[0.5,2,1,0]}"#,
        r#"{"image":[[0.5,2],[1,0]],"comment":{"a":[1]}}"#,
    ] {
        let response = bench.post("/predict/digits", body);
        let expected = json!({ "prediction": [0.5, 2.0, 1.0], "class": 1, "label": "one" });
        assert_eq!(response.json(), expected, "{body}");
    }
}

#[test]
fn a_list_of_examples_gives_lists() {
    let bench = Bench::start();
    let expected = json!({
        "prediction": [[0.5, 2.0, 1.0], [0.0, 0.0, 9.0]],
        "class": [1, 2],
        "label": ["one", null],
    });
    for body in [
        r#"{"instances":[[0.5,2,1,0],[0,0,9,0]]}"#,
        r#"{"image":[[0.5,2,1,0],[0,0,9,0]]}"#,
        r#"{"pixels":[[[0.5,2],[1,0]],[[0,0],[9,0]]]}"#,
    ] {
        assert_eq!(bench.post("/predict/digits", body).json(), expected, "{body}");
    }
    let one = bench.post("/predict/digits", r#"{"instances":[[9,2,1,0]]}"#).json();
    assert_eq!(one, json!({ "prediction": [[9.0, 2.0, 1.0]], "class": [0], "label": ["zero"] }));
}

#[test]
fn several_inputs_and_outputs_go_by_name() {
    let bench = Bench::start();
    let json = bench.post("/predict/pair", r#"{"b":[0.5],"a":[1,2]}"#).json();
    assert_eq!(json, json!({ "prediction": { "first": [1, 2], "last": [0.5] } }));
    let json = bench.post("/predict/pair", r#"{"a":[[1,2],[3,4]],"b":[[0.5],[1.5]]}"#).json();
    let expected = json!({ "first": [[1, 2], [3, 4]], "last": [[0.5], [1.5]] });
    assert_eq!(json["prediction"], expected);
    bench.post("/predict/pair", r#"{"a":[1,2]}"#).check_error(400, &["'b'", "FP32"]);
    bench
        .post("/predict/pair", r#"{"a":[1,2],"b":[[1],[2]]}"#)
        .check_error(400, &["one example", "list"]);
}

#[test]
fn examples_of_several_inputs_may_be_objects() {
    let bench = Bench::start();
    let post = |body: &str| bench.post("/predict/pair", body);
    let rows = r#"{"instances":[{"a":[1,2],"b":[0.5]},{"b":[1.5],"c":{},"a":[3,4]}]}"#;
    let expected = json!({ "first": [[1, 2], [3, 4]], "last": [[0.5], [1.5]] });
    assert_eq!(post(rows).json(), json!({ "prediction": expected }));
    let scalar = r#"{"instances":[{"a":[1,2],"b":0.5}]}"#;
    assert_eq!(post(scalar).json()["prediction"]["last"], json!([[0.5]]));
    let one = bench.post("/predict/digits", r#"{"instances":[{"pixels":[9,2,1,0]}]}"#).json();
    assert_eq!(one["class"], json!([0]));
    for (body, words) in [
        (r#"{"instances":[{"a":[1,2],"b":[1]},{"a":[1,2]}]}"#, ["example 1", "'b'"]),
        (r#"{"instances":[{"a":[1,2],"a":[1,2],"b":[1]}]}"#, ["'a'", "twice"]),
        (r#"{"instances":[{"a":[1,2],"b":[1]},{"a":[1],"b":[1]}]}"#, ["'a'", "[1]"]),
        (r#"{"instances":[{"a":[1],"b":[1]}]}"#, ["'a'", "[1,1]"]),
        (r#"{"instances":[{"a":[1,2],"b":[1]},[1]]}"#, ["expected '{'", "'[1]'"]),
        (r#"{"instances":[{"a":["x"],"b":[1]}]}"#, ["input 'a'", "INT32"]),
        (r#"{"instances":[{"a":[1,2],"b":[1]}],"a":[1,2]}"#, ["'a'", "twice"]),
        (r#"{"a":[1,2],"instances":[{"a":[1,2],"b":[1]}]}"#, ["twice", "instances"]),
        (r#"{"instances":[[1,2]]}"#, ["'a'", "'instances', a list of such objects"]),
    ] {
        post(body).check_error(400, &words);
    }
}

#[test]
fn halves_that_do_not_fit_are_refused() {
    let bench = Bench::start();
    bench
        .post("/predict/echo_fp16", r#"{"x":[1,70000]}"#)
        .check_error(400, &["'x'", "70000", "FP16"]);
    bench.post("/predict/echo_bf16", r#"{"x":[-3.4e38]}"#).check_error(400, &["element 0", "BF16"]);
    let infinite = bench.post("/predict/echo_fp16", r#"{"x":[65504,-Infinity]}"#);
    assert_eq!(infinite.text(), r#"{"prediction":[65504.0,-Infinity]}"#);
}

#[test]
fn an_answer_of_nothing_but_nan_has_no_class() {
    let bench = Bench::start();
    let answer = bench.post("/predict/digits", r#"{"image":[NaN,NaN,NaN,0]}"#);
    assert_eq!(answer.text(), r#"{"prediction":[NaN,NaN,NaN],"class":null,"label":null}"#);
}

#[test]
fn other_datatypes_are_taken_too() {
    let bench = Bench::start();
    for (model, text, expected) in [
        ("echo_bytes", r#"{"x":["a","b"]}"#, json!(["a", "b"])),
        ("echo_bool", r#"{"x":[true,0]}"#, json!([true, false])),
        ("echo_fp16", r#"{"x":[0.5,-2]}"#, json!([0.5, -2.0])),
        ("echo_bf16", r#"{"x":[0.5,-2]}"#, json!([0.5, -2.0])),
        ("echo_int64", r#"{"x":[9007199254740993]}"#, json!([9_007_199_254_740_993i64])),
    ] {
        let json = bench.post(&format!("/predict/{model}"), text).json();
        assert_eq!(json["prediction"], expected, "{model}");
    }
}

#[test]
fn wrong_requests_say_what_was_expected() {
    let bench = Bench::start();
    let post = |body: &str| bench.post("/predict/digits", body);
    post(r#"{"image":[1,2,3]}"#).check_error(400, &["'pixels'", "[?,4]", "[3]"]);
    post(r#"{"instances":[1,2,3,4]}"#).check_error(400, &["[?,4]", "[4]"]);
    post(r#"{"picture":[1,2,3,4]}"#).check_error(400, &["'pixels'", "'image'"]);
    post(r#"{"image":[1,"2",3,4]}"#).check_error(400, &["FP32", "byte 12"]);
    let refused = post(r#"{"instances":[[1,2,3,4]],"x":1}"#);
    assert_eq!(refused.status, 200, "{}", refused.text());
    post("[1,2,3,4]").check_error(400, &["expected '{'"]);
    post("").check_error(400, &["expected '{'"]);
    post(r#"{"image":[1,2,3,4],"image":[1,2,3,4]}"#).check_error(400, &["twice"]);
    bench.post("/predict", r#"{"image":[1]}"#).check_error(400, &["several models", "digits"]);
    bench.post("/predict/nothing", "{}").check_error(404, &["nothing"]);
}
