use super::*;
use modelyard_tensor::Dim;

fn spec(name: &str, data_type: DataType, width: usize) -> TensorSpec {
    let dims = Some(vec![Dim::Free, Dim::Fixed(width)]);
    TensorSpec { name: name.into(), data_type, dims }
}

fn one_input() -> Signature {
    Signature { inputs: vec![spec("x", DataType::Fp32, 2)], outputs: Vec::new() }
}

fn two_inputs() -> Signature {
    let inputs = vec![spec("a", DataType::Fp32, 2), spec("b", DataType::Int64, 1)];
    Signature { inputs, outputs: Vec::new() }
}

/// Shapes and elements of what the arguments give.
fn check(signature: &Signature, arguments: &[&str], expected: &str) {
    let arguments: Vec<String> = arguments.iter().map(|&text| text.to_owned()).collect();
    let tensors = read(&arguments, signature, false).unwrap();
    let shown: Vec<String> = tensors
        .iter()
        .map(|tensor| format!("{}{}", tensor.shape(), Value::from(json::elements(tensor))))
        .collect();
    assert_eq!(shown.join(" "), expected, "{arguments:?}");
}

fn refusal(signature: &Signature, arguments: &[&str]) -> String {
    let arguments: Vec<String> = arguments.iter().map(|&text| text.to_owned()).collect();
    let error = read(&arguments, signature, false).unwrap_err();
    error.chain().map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[test]
fn every_form_of_json_is_understood() {
    let one = one_input();
    let row = "[1,2][1.0,2.0]";
    check(&one, &["[1, 2]"], row);
    check(&one, &["[[1, 2]]"], row);
    check(&one, &["x=[1, 2]"], row);
    check(&one, &["{\"x\": [1, 2]}"], row);
    check(&one, &["{\"instances\": [[1, 2]]}"], row);
    check(&one, &["{\"instances\": [{\"x\": [1, 2]}]}"], row);
    check(&one, &["{\"inputs\": {\"x\": [1, 2]}}"], row);
    let tensor = "{\"name\":\"x\",\"shape\":[1,2],\"datatype\":\"FP32\",\"data\":[1,2]}";
    check(&one, &[&format!("{{\"inputs\": [{tensor}]}}")], row);
    check(&one, &["[[1, 2], [3, 4]]"], "[2,2][1.0,2.0,3.0,4.0]");
}

#[test]
fn several_inputs_go_by_name() {
    let two = two_inputs();
    let both = "[1,2][1.0,2.0] [1,1][7]";
    check(&two, &["b=[7]", "a=[1, 2]"], both);
    check(&two, &["{\"b\": [[7]], \"a\": [1, 2]}"], both);
    let instances = "{\"instances\": [{\"a\": [1, 2], \"b\": [7]}, {\"b\": [8], \"a\": [3, 4]}]}";
    check(&two, &[instances], "[2,2][1.0,2.0,3.0,4.0] [2,1][7,8]");
}

#[test]
fn files_are_known_by_their_content() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let tensor = Tensor::from_vec([2].into(), vec![1f64, 2.]).unwrap();
    let seven = Tensor::from_vec([1].into(), vec![7u8]).unwrap();
    std::fs::write(path("x"), npy::write(&tensor).unwrap()).unwrap();
    std::fs::write(path("one"), npz::write([("arr_0", &tensor)]).unwrap()).unwrap();
    std::fs::write(path("two"), npz::write([("b", &seven), ("a", &tensor)]).unwrap()).unwrap();
    std::fs::write(path("grey"), b"P5 2 2 255 \x00\xff\x00\xff").unwrap();
    std::fs::write(path("a=b"), b"[1, 2]").unwrap();
    check(&one_input(), &[&path("x")], "[1,2][1.0,2.0]");
    check(&one_input(), &[&path("one")], "[1,2][1.0,2.0]");
    check(&one_input(), &[&path("a=b")], "[1,2][1.0,2.0]");
    check(&two_inputs(), &[&path("two")], "[1,2][1.0,2.0] [1,1][7]");
    let image = Signature { inputs: vec![spec("x", DataType::Uint8, 4)], outputs: Vec::new() };
    check(&image, &[&path("grey")], "[1,4][0,255,0,255]");
    let error = refusal(&two_inputs(), &[&path("one")]);
    assert!(error.ends_with("the model has no input 'arr_0', it takes 'a', 'b'"), "{error}");
}

#[test]
fn every_mismatch_says_what_was_expected() {
    let (one, two) = (one_input(), two_inputs());
    let check = |signature: &Signature, arguments: &[&str], expected: &str| {
        let error = refusal(signature, arguments);
        assert!(error.ends_with(expected), "{error}");
    };
    check(&one, &["[1, 2, 3]"], "input 'x' takes shape [?,2], but [3] was given");
    check(&one, &["[1, \"a\"]"], "input 'x' is wrong: expected FP32, found \"a\"");
    check(&one, &["{\"y\": [1, 2]}"], "the model has no input 'y', it takes 'x'");
    check(&one, &["[1, 2]", "x=[1, 2]"], "input 'x' is given twice");
    check(&one, &[], "no input given for 'x' (--input NAME=...)");
    check(&two, &["a=[1, 2]"], "no input given for 'b' (--input NAME=...)");
    check(&two, &["[1, 2]"], "say which input it is (--input NAME=...), of 'a', 'b'");
    check(&two, &["{\"instances\": [{\"a\": [1, 2]}, {\"b\": [1]}]}"], "missing in instance 0");
    check(&one, &["{\"x\": "], "EOF while parsing a value at line 1 column 6");
    let tensor = "{\"name\":\"x\",\"shape\":[3],\"datatype\":\"FP32\",\"data\":[1,2]}";
    let body = format!("{{\"inputs\": [{tensor}]}}");
    check(&one, &[&body], "FP32 data of shape [3] takes 12 bytes, but 8 were given");
    assert!(refusal(&one, &["no/such/file"]).starts_with("failed to read 'no/such/file'"));
}
