//! `modelyard engine`: what there is, and what cannot be installed. (That it can be is tested
//! where there is a network: `.ci/run setup`.)

use serde_json::Value;

use crate::harness::{Folder, run};

#[test]
fn the_list_says_what_is_there_and_what_to_do_about_the_rest() {
    let folder = Folder::new();
    let (code, stdout, _) = run(&["engine", "list", "--json"], &folder);
    assert_eq!(code, 0);
    let list: Value = serde_json::from_str(&stdout).unwrap();
    let engines = list["engines"].as_array().unwrap();
    let of = |name: &str| engines.iter().find(|engine| engine["engine"] == name).unwrap();
    assert_eq!(of("rten")["usable"], true);
    assert_eq!(of("rten")["origin"], "built in");
    assert_eq!(of("onnxruntime")["usable"], false);
    let text = run(&["engine", "list"], &folder).1;
    assert!(text.contains("modelyard engine install onnxruntime"), "{text}");
}

#[test]
fn a_library_that_is_none_is_listed_with_the_reason() {
    let folder = Folder::new().file("lib.so", "no library");
    let arguments = ["engine", "list", "--json", "--onnxruntime-lib", "lib.so"];
    let list: Value = serde_json::from_str(&run(&arguments, &folder).1).unwrap();
    let first = &list["engines"][0];
    assert_eq!(first["path"], "lib.so");
    assert_eq!(first["usable"], false);
}

#[test]
fn what_is_no_wheel_is_not_installed() {
    let folder = Folder::new().file("no.whl", "no wheel");
    let arguments = ["engine", "install", "onnxruntime", "--wheel", "no.whl"];
    let (code, stdout, stderr) = run(&arguments, &folder);
    assert_eq!((code, stdout.as_str()), (4, ""));
    assert!(stderr.contains("no.whl is no wheel of onnxruntime"), "{stderr}");
    let (code, _, stderr) = run(&["engine", "install", "tensorrt"], &folder);
    assert_eq!(code, 2);
    assert!(stderr.contains("onnxruntime"), "{stderr}");
}
