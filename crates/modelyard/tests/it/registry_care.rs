//! `modelyard registry backup`, `restore`, `rekey`: a registry elsewhere and back, and under lock and key.

use serde_json::Value;

use crate::digits;
use crate::harness::{Folder, modelyard, run};
use crate::training::{refused, report};

/// Runs a command on a registry of the folder, and gives what it prints.
fn registry(root: &str, arguments: &[&str], folder: &Folder) -> Value {
    report(&[&["registry", "--registry", root], arguments].concat(), folder)
}

fn refuse(root: &str, arguments: &[&str], folder: &Folder, (code, texts): (i32, &[&str])) {
    refused(&[&["registry", "--registry", root], arguments].concat(), folder, code, texts);
}

/// All files below a path.
fn files(folder: &Folder, below: &str) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.path(below)];
    while let Some(path) = folders.pop() {
        for entry in std::fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found
}

#[test]
fn a_registry_comes_back_from_a_folder_and_from_a_tar() {
    let folder = Folder::new();
    let model = format!("digits={}", digits::model());
    registry("r", &["push", &model, "--alias", "stable"], &folder);
    for to in ["saved", "saved.tar"] {
        let done = registry("r", &["backup", to], &folder);
        assert_eq!((&done["versions"], &done["copied"]), (&1.into(), &done["contents"]));
    }
    registry("r", &["alias", "digits:1", "canary", "--why", "to see"], &folder);
    let second = registry("r", &["backup", "saved"], &folder);
    assert_eq!(second["copied"], 0);
    std::fs::remove_dir_all(folder.path("r")).unwrap();

    // The registry is lost: its backups tell what there is.
    let found = registry("r", &["snapshots", "saved"], &folder);
    let names: Vec<&str> = (found["snapshots"].as_array().unwrap().iter())
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    assert_eq!(names[1], second["snapshot"]);
    registry("r", &["restore", "saved"], &folder);
    let shown = registry("r", &["show", "digits:canary"], &folder);
    assert_eq!(shown["aliases"], serde_json::json!(["canary", "stable"]));
    let log = registry("r", &["log"], &folder);
    assert_eq!(
        (&log["events"][0]["action"], &log["events"][1]["why"]),
        (&"recover".into(), &"to see".into())
    );
    refuse("r", &["restore", "saved"], &folder, (1, &["the registry is not empty"]));
    for (root, arguments) in [
        ("first", &["restore", "saved", "--snapshot", names[0]][..]),
        ("tar", &["restore", "saved.tar"]),
    ] {
        registry(root, arguments, &folder);
        refuse(root, &["show", "digits:canary"], &folder, (1, &["no alias 'canary'"]));
        registry(root, &["pull", "digits:stable", "-o", root.replace('t', "x").as_str()], &folder);
    }
    refuse("new", &["restore", "nowhere"], &folder, (1, &["there is no backup in 'nowhere'"]));
    assert!(!folder.path("new").exists());
    refuse("none", &["backup", "saved"], &folder, (1, &["there is no registry in 'none'"]));

    let content = files(&folder, "saved/contents").remove(0);
    std::fs::write(&content, "something else").unwrap();
    let name = content.file_name().unwrap().to_string_lossy().into_owned();
    refuse("new", &["restore", "saved"], &folder, (3, &["nothing was restored", &name]));
    assert_eq!(registry("new", &["restore", "saved.tar"], &folder)["versions"], 1);
}

#[test]
fn contents_are_encrypted_by_a_key_that_can_be_changed() {
    let folder = Folder::new();
    let made = report(&["keys", "new", "--encryption", "old.key"], &folder);
    assert_eq!(report(&["keys", "show", "old.key"], &folder)["key"], made["key"]);
    let old = made["key"].as_str().unwrap().to_owned();
    let new = report(&["keys", "new", "--encryption", "new.key"], &folder)["key"].clone();
    let model = digits::model();
    registry("r", &["push", &format!("digits={model}"), "--encryption-key", "old.key"], &folder);
    let graph = std::fs::read(&model).unwrap();
    for file in files(&folder, "r/blobs") {
        let stored = std::fs::read(file).unwrap();
        assert!(stored.len() >= 16 && !graph.starts_with(&stored[..16]));
    }
    let by = format!("is encrypted by key {old}");
    refuse("r", &["pull", "digits"], &folder, (3, &[&by, "--encryption-key"]));
    refuse("r", &["push", &format!("other={model}")], &folder, (2, &["none was given"]));
    let (code, text, _) = run(&["registry", "--registry", "r", "fsck"], &folder);
    assert!(
        code == 0 && text.contains(&format!("encrypted by key {old}, which was not given")),
        "{text}"
    );

    let wrong = ["rekey", "--encryption-key", "new.key"];
    refuse("r", &wrong, &folder, (3, &[&by]));
    let both = [&wrong[..], &["--encryption-key", "old.key"]].concat();
    let done = registry("r", &both, &folder);
    assert_eq!((&done["key"], &done["unchanged"], &done["open"]), (&new, &0.into(), &0.into()));
    assert_eq!(registry("r", &both, &folder)["changed"], 0);
    refuse(
        "r",
        &["pull", "digits", "--encryption-key", "old.key"],
        &folder,
        (3, &["encrypted by key"]),
    );

    // The variable holds the key itself; nothing shows it.
    let key = std::fs::read_to_string(folder.path("new.key")).unwrap().trim().to_owned();
    let with = |arguments: &[&str]| {
        let mut command = modelyard(arguments, &folder);
        let variables =
            [("MODELYARD_REGISTRY", "r"), ("MODELYARD_REGISTRY_ENCRYPTION_KEY", key.as_str())];
        let output = command.envs(variables).output().unwrap();
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success() && !text.contains(&key), "{text}");
    };
    with(&["registry", "pull", "digits", "-o", "out"]);
    with(&["registry", "--help"]);
    with(&["inspect", &model]);
    assert_eq!(std::fs::read(folder.path("out/model.onnx")).unwrap(), graph);
    // A backup of it needs no key; whoever reads what came of it does.
    registry("r", &["backup", "saved.tar"], &folder);
    registry("again", &["restore", "saved.tar"], &folder);
    refuse("again", &["pull", "digits"], &folder, (3, &["is encrypted by key"]));
    registry("again", &["pull", "digits", "--encryption-key", "new.key"], &folder);
}

#[test]
fn a_shared_registry_that_is_named_wrongly_is_said_without_its_password() {
    let folder = Folder::new().file("open.key", "ab".repeat(32));
    let url = "postgres://me:hidden@127.0.0.1:1/models";
    refuse(url, &["models"], &folder, (2, &["needs a place for contents, --registry-contents"]));
    let contents = ["models", "--registry-contents", "contents"];
    let (code, _, text) = run(&[&["registry", "--registry", url], &contents[..]].concat(), &folder);
    assert!(code == 1 && text.contains("'postgres://me@127.0.0.1:1/models'"), "{text}");
    assert!(!text.contains("hidden"), "{text}");
    refuse("mysql://h/d", &["models"], &folder, (2, &["wrong registry 'mysql://…'"]));
    refuse("r", &contents, &folder, (2, &["goes with a registry in PostgreSQL"]));
    refuse("r", &["backup", "ftp://x/y"], &folder, (1, &["there is no registry in 'r'"]));
    refuse("r", &["snapshots", "ftp://x/y"], &folder, (2, &["wrong place 'ftp://…'"]));
    let opened = ["models", "--encryption-key", "open.key"];
    refuse("r", &opened, &folder, (2, &["others can read the private key 'open.key'"]));
}
