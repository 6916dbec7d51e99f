//! `modelyard registry` and `modelyard keys`: versions are published, compared, promoted and rolled back;
//! what must not happen is refused.

use modelyard_graph::file::{External, WriteOptions, write};
use serde_json::Value;

use crate::digits;
use crate::harness::{Folder, modelyard, run};
use crate::training::{refused, report};

/// Runs a command on the registry `r` of the folder, and gives what it prints.
fn registry(arguments: &[&str], folder: &Folder) -> Value {
    report(&[&["registry", "--registry", "r"], arguments].concat(), folder)
}

fn refuse(arguments: &[&str], folder: &Folder, code: i32, texts: &[&str]) {
    refused(&[&["registry", "--registry", "r"], arguments].concat(), folder, code, texts);
}

/// A registry with two versions of the digits classifier: the second is made of integers.
fn two_versions() -> Folder {
    let folder = Folder::new();
    let model = digits::model();
    let push =
        ["push", &format!("digits={model}"), "--alias", "stable", "--metric", "accuracy=0.965"];
    registry(&push, &folder);
    let quantize = ["quantize", &model, "-o", "int8.onnx", "--mode", "dynamic"];
    assert_eq!(run(&quantize, &folder).0, 0);
    let push = ["push", "digits=int8.onnx", "--alias", "canary", "--parent", "digits:1"];
    registry(
        &[&push[..], &["--notes", "a quarter of the size", "--metric", "accuracy=0.96"]].concat(),
        &folder,
    );
    folder
}

#[test]
fn a_version_is_published_compared_promoted_and_rolled_back() {
    let folder = two_versions();
    let models = registry(&["models"], &folder);
    assert_eq!(
        (&models["models"][0]["name"], &models["models"][0]["latest"]),
        (&"digits".into(), &2.into())
    );
    let shown = registry(&["show", "digits:canary"], &folder);
    let manifest = &shown["manifest"];
    assert_eq!(manifest["signature"]["inputs"][0]["datatype"], "FP32");
    assert_eq!(manifest["signature"]["inputs"][0]["shape"], serde_json::json!([-1, 784]));
    assert_eq!(manifest["lineage"]["parent"]["version"], 1);
    assert!(manifest["lineage"]["optimized"]["quantized"].as_str().unwrap().starts_with("dynamic"));
    assert_eq!(manifest["notes"], "a quarter of the size");

    let data = digits::folder().display().to_string();
    let diff = ["diff", "digits:stable", "digits:canary", "--data", &data, "--engine", "rten"];
    let found = registry(&diff, &folder);
    assert!(found["bytes"][1].as_u64() < found["bytes"][0].as_u64(), "{found}");
    let operators: Vec<&str> = (found["operators"].as_array().unwrap().iter())
        .map(|changed| changed["name"].as_str().unwrap())
        .collect();
    assert!(operators.contains(&"MatMulInteger"), "{found}");
    assert_eq!(found["metrics"][0]["two"], "0.96");
    assert!(found["answers"]["agreement"]["top_1"].as_f64().unwrap() > 0.99, "{found}");

    let points = |name: &str| {
        registry(&["show", &format!("digits:{name}")], &folder)["manifest"]["version"].clone()
    };
    registry(&["promote", "digits", "--expect", "1", "--why", "as good, and smaller"], &folder);
    assert_eq!(points("stable"), 2);
    // Whoever still takes it for 1 is told.
    refuse(
        &["promote", "digits:1", "--expect", "1"],
        &folder,
        1,
        &["points to version 2", "somebody"],
    );
    registry(&["rollback", "digits"], &folder);
    assert_eq!(points("stable"), 1);
    let log = registry(&["log", "digits"], &folder);
    let actions: Vec<&str> = (log["events"].as_array().unwrap().iter())
        .map(|event| event["action"].as_str().unwrap())
        .collect();
    assert_eq!(actions, ["rollback", "alias", "alias", "publish", "alias", "publish"]);
    assert_eq!(log["events"][1]["why"], "as good, and smaller");
    let (code, text, _) = run(&["registry", "--registry", "r", "log", "digits"], &folder);
    assert!(code == 0 && text.contains("digits:stable  2 -> 1"), "{text}");
}

#[test]
fn what_is_pulled_is_what_was_pushed_with_its_external_data() {
    let folder = Folder::new();
    let model = modelyard_testkit::models::mlp();
    let options = WriteOptions { external: External::From(64), ..WriteOptions::default() };
    std::fs::create_dir(folder.path("in")).unwrap();
    write(&model, &folder.path("in/net.onnx"), &options).unwrap();
    assert!(folder.path("in/net.onnx.data").exists());
    std::fs::write(folder.path("readme.txt"), "hello").unwrap();
    let pushed = registry(&["push", "in/net.onnx", "--with", "readme.txt"], &folder);
    assert_eq!((&pushed["model"], &pushed["version"]), (&"net".into(), &1.into()));
    registry(&["pull", "net", "-o", "out"], &folder);
    assert!(folder.path("out/readme.txt").exists());
    let (code, _, stderr) = run(&["inspect", "out/model.onnx"], &folder);
    assert_eq!(code, 0, "{stderr}");
    for (one, two) in [("in/net.onnx", "out/model.onnx"), ("in/net.onnx.data", "out/net.onnx.data")]
    {
        let read = |path: &str| std::fs::read(folder.path(path)).unwrap();
        assert!(read(one) == read(two), "{one}");
    }
    refuse(&["pull", "net", "-o", "out"], &folder, 1, &["is there already"]);
    let again = registry(&["push", "in/net.onnx", "--with", "readme.txt"], &folder);
    assert_eq!((&again["version"], &again["is_new"]), (&1.into(), &false.into()));
}

#[test]
fn only_what_a_trusted_key_signed_is_pulled_and_nothing_that_was_tampered_with() {
    let folder = Folder::new();
    for key in ["team.pem", "other.pem"] {
        let made = report(&["keys", "new", key], &folder);
        assert_eq!(report(&["keys", "show", key], &folder)["key"], made["key"]);
    }
    let (code, _, stderr) = run(&["keys", "new", "team.pem"], &folder);
    assert!(code == 1 && stderr.contains("failed to write 'team.pem'"), "{stderr}");
    let model = format!("digits={}", digits::model());
    registry(&["push", &model, "--key", "team.pem"], &folder);
    let pulled = registry(&["pull", "digits", "-o", "a", "--trust", "team.pem.pub"], &folder);
    assert_eq!(pulled["signed_by"], report(&["keys", "show", "team.pem"], &folder)["key"]);
    let untrusted = ["pull", "digits", "-o", "b", "--trust", "other.pem.pub"];
    refuse(&untrusted, &folder, 3, &["no trusted key signed it"]);
    registry(&["sign", "digits:1", "--key", "other.pem"], &folder);
    registry(&untrusted, &folder);

    let blobs = folder.path("r/blobs");
    let inner = std::fs::read_dir(blobs).unwrap().next().unwrap().unwrap().path();
    let content = std::fs::read_dir(inner).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&content).unwrap();
    bytes[1000] ^= 1;
    std::fs::write(&content, bytes).unwrap();
    refuse(&["pull", "digits", "-o", "c"], &folder, 3, &["was tampered with or damaged"]);
    assert!(!folder.path("c").exists());
    let (code, stdout, stderr) = run(&["registry", "--registry", "r", "fsck"], &folder);
    assert!(code == 3 && stdout.contains("damaged  digits:1"), "{stdout} {stderr}");
}

#[test]
fn removal_waits_for_aliases_and_its_contents_for_nobody() {
    let folder = two_versions();
    refuse(&["rm", "digits:2"], &folder, 1, &["alias 'canary' points to it"]);
    refuse(&["rm", "digits:canary"], &folder, 2, &["say which version to remove"]);
    registry(&["alias", "digits:canary", "--remove"], &folder);
    registry(&["rm", "digits:2"], &folder);
    refuse(&["pull", "digits:2"], &folder, 1, &["version 2 of model 'digits' was removed"]);
    assert_eq!(registry(&["show", "digits"], &folder)["manifest"]["version"], 1);
    assert_eq!(registry(&["gc"], &folder)["contents"], 0);
    assert_eq!(registry(&["gc", "--grace", "0s"], &folder)["contents"], 1);
    let found = registry(&["fsck", "--grace", "0s"], &folder);
    assert_eq!(found["faults"], serde_json::json!([]));
    registry(&["deprecate", "digits:1", "--why", "old"], &folder);
    refuse(&["show", "digits"], &folder, 1, &["has no version that is active"]);
    registry(&["deprecate", "digits:1", "--undo"], &folder);
    registry(&["show", "digits"], &folder);
}

#[test]
fn the_environment_names_the_registry_and_who_does_it() {
    let folder = Folder::new();
    let with = |arguments: &[&str]| {
        let variables = [("MODELYARD_REGISTRY", "e"), ("MODELYARD_ACTOR", "ci")];
        let output = modelyard(arguments, &folder).envs(variables).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {text}");
        String::from_utf8(output.stdout).unwrap()
    };
    with(&["registry", "push", &digits::model()]);
    assert!(with(&["registry", "log"]).contains("  ci  publish  digits:1"));
    // Commands that have nothing to do with it don't mind.
    with(&["inspect", &digits::model()]);
}

#[test]
fn what_is_no_registry_is_said_at_once_and_only_push_makes_one() {
    let folder = Folder::new().file("broken/registry.sqlite", "x".repeat(5000));
    for action in [&["models"][..], &["fsck"], &["rollback", "digits"]] {
        refuse(action, &folder, 1, &["there is no registry in 'r'", "`modelyard registry push`"]);
    }
    assert!(!folder.path("r").exists());
    let broken = ["registry", "--registry", "broken", "models"];
    refused(&broken, &folder, 1, &["failed to open the registry 'broken'", "not a database"]);
    std::fs::write(folder.path("text"), "hello").unwrap();
    refused(&["keys", "show", "text"], &folder, 2, &["is no public Ed25519 key"]);
}

#[test]
fn names_versions_and_files_that_are_wrong_are_said() {
    let folder = two_versions();
    std::fs::write(folder.path("text.onnx"), "hello").unwrap();
    refuse(&["push", "text.onnx"], &folder, 3, &["text.onnx"]);
    refuse(&["push", "../x=int8.onnx"], &folder, 3, &["wrong model name"]);
    refuse(&["show", "digits:9"], &folder, 1, &["has no version 9, there are 1, 2"]);
    refuse(&["show", "nothing"], &folder, 1, &["has no model 'nothing'", "'digits'"]);
    refuse(&["show", "digits:beta"], &folder, 1, &["no alias 'beta'", "'canary', 'stable'"]);
    refuse(&["show", "digits:0"], &folder, 2, &["wrong version '0'"]);
    refuse(&["alias", "digits:1", "latest"], &folder, 2, &["always is the highest"]);
    refuse(&["alias", "digits:1", "7up"], &folder, 2, &["could be taken for a version"]);
    refuse(&["push", "digits=int8.onnx", "--metric", "good"], &folder, 2, &["NAME=NUMBER"]);
    assert_eq!(registry(&["versions", "digits"], &folder)["versions"].as_array().unwrap().len(), 2);
}
