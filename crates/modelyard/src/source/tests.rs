//! Scans of folders made for the test. What is inside the model files does not matter here.

use std::fs;

use tempfile::TempDir;

use super::*;
use crate::cli::Globals;
use crate::config::Overrides;

/// A folder with these files; each is `path` or `path=content`.
fn folder(files: &[&str]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for file in files {
        let (path, content) = file.split_once('=').unwrap_or((file, ""));
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    folder
}

fn config() -> Config {
    Config::load(&Globals::default(), Overrides::default()).unwrap()
}

/// Scans a folder as a repository; one line a model: name, versions, mistakes.
fn scanned(files: &[&str]) -> Vec<String> {
    let folder = folder(files);
    let mut config = config();
    config.repositories = vec![folder.path().to_owned()];
    let base = format!("{}/", folder.path().display());
    let show = |source: ModelSource| {
        let versions: Vec<String> = source
            .versions
            .iter()
            .map(|version| match &version.file {
                Ok(path) => format!("{}:{}", version.number, path.display()),
                Err(mistake) => format!("{}!{mistake}", version.number),
            })
            .collect();
        let mistakes = source.mistakes.0.iter().map(|mistake| format!(" [{mistake}]"));
        let text = format!("{} {}", source.name, versions.join(" "));
        (text + &mistakes.collect::<String>()).replace(&base, "")
    };
    find(&[], &config).unwrap().into_iter().map(show).collect()
}

#[test]
fn the_latest_version_is_served_unless_told_otherwise() {
    let files = ["m/1/model.onnx", "m/2/model.onnx", "m/10/model.onnx", "README.md", ".git/x"];
    assert_eq!(scanned(&files), ["m 10:m/10/model.onnx"]);
    let with = |policy: &'static str| scanned(&[files.as_slice(), &[policy]].concat());
    assert_eq!(
        with("m/model.toml=version_policy = 'latest:2'"),
        ["m 2:m/2/model.onnx 10:m/10/model.onnx"]
    );
    assert_eq!(
        with("m/config.pbtxt=version_policy { all {} }"),
        ["m 1:m/1/model.onnx 2:m/2/model.onnx 10:m/10/model.onnx"]
    );
    assert_eq!(
        with("m/config.pbtxt=version_policy { specific { versions: [1, 3] } }"),
        ["m 1:m/1/model.onnx 3!m/3/model.onnx: there is no such model file"]
    );
}

#[test]
fn folders_that_are_no_versions_are_passed_over() {
    let files = ["m/0/model.onnx", "m/01/model.onnx", "m/1/model.onnx", "m/new/model.onnx"];
    assert_eq!(scanned(&files), ["m 1:m/1/model.onnx"]);
}

#[test]
fn a_model_file_may_be_a_folder_or_have_another_name() {
    assert_eq!(
        scanned(&["m/1/model.onnx/model.onnx", "m/1/model.onnx/weights.bin"]),
        ["m 1:m/1/model.onnx/model.onnx"]
    );
    assert_eq!(
        scanned(&["m/1/net.onnx", "m/config.pbtxt=default_model_filename: 'net.onnx'"]),
        ["m 1:m/1/net.onnx"]
    );
}

#[test]
fn a_badly_named_folder_in_a_repository_leaves_the_others_serving() {
    let files = ["lost+found/x", ".git/x", "good/1/model.onnx", "my model/1/model.onnx"];
    let expected = [
        "good 1:good/1/model.onnx",
        "my model  [my model: wrong model name 'my model', expected at most 200 letters, digits, \
         '-', '_' and '.', the first a letter, digit or '_'; rename the folder]",
    ];
    assert_eq!(scanned(&files), expected);
}

#[cfg(unix)]
#[test]
fn a_linked_model_is_called_as_the_link_is() {
    let folder = folder(&["store/a+b/1/model.onnx", "models/readme"]);
    let link = folder.path().join("models/digits");
    std::os::unix::fs::symlink("../store/a+b", link).unwrap();
    let mut config = config();
    config.repositories = vec![folder.path().join("models")];
    let sources = find(&[], &config).unwrap();
    assert_eq!(sources[0].name, "digits");
    assert!(sources[0].versions[0].file.is_ok());
}

#[test]
fn mistakes_stay_with_their_model() {
    let files = [
        "bad/1/model.onnx",
        "bad/model.toml=max_batch_size = 'x'\ninstanzes = 1",
        "empty/readme",
        "good/1/model.onnx",
        "other/1/model.onnx",
        "other/config.pbtxt=name: 'another'",
    ];
    let expected = [
        "bad 1:bad/1/model.onnx [bad/model.toml:2: instanzes: unknown key, did you mean \
         'instances'?] [bad/model.toml:1: max_batch_size = \"x\": expected a whole number from 0 \
         to 65536, or \"auto\"]",
        "empty  [empty: expected a version folder such as '1/model.onnx', found none]",
        "good 1:good/1/model.onnx",
        "other 1:other/1/model.onnx [other/config.pbtxt:1: name = another: expected the name of \
         the model's folder, 'other']",
    ];
    assert_eq!(scanned(&files), expected);
}

#[test]
fn files_are_named_after_themselves_or_by_the_user() {
    let folder = folder(&["net.onnx", "net.toml=instances = 2", "m/1/model.onnx"]);
    let path = |name: &str| folder.path().join(name).display().to_string();
    let arguments =
        [path("net.onnx"), format!("again={}", path("net.onnx")), path("m"), path("gone.onnx")];
    let sources = find(&arguments, &config()).unwrap();
    let names: Vec<&str> = sources.iter().map(|source| source.name.as_str()).collect();
    assert_eq!(names, ["again", "gone", "m", "net"]);
    assert_eq!(sources[3].settings.serving.instances, Some(2));
    assert!(sources[1].versions[0].file.as_ref().unwrap_err().to_string().contains("gone.onnx"));
}

#[test]
fn wrong_arguments_are_refused_all_at_once() {
    let folder = folder(&["net.onnx"]);
    let net = folder.path().join("net.onnx").display().to_string();
    let arguments = [format!("a/b={net}"), net.clone(), net];
    let mistakes = find(&arguments, &config()).unwrap_err();
    assert_eq!(mistakes.0.len(), 2, "{mistakes}");
    assert!(mistakes.0[0].to_string().contains("wrong model name 'a/b'"));
    assert!(mistakes.0[1].to_string().contains("model 'net' is there already"));
}

#[test]
fn a_missing_repository_is_a_mistake() {
    let mut config = config();
    config.repositories = vec!["/nowhere/at/all".into()];
    let text = find(&[], &config).unwrap_err().to_string();
    assert!(text.starts_with("/nowhere/at/all: failed to read the repository: "), "{text}");
}
