//! README.md does what it says: every command in it is run here, in its order, or by `.ci/run`
//! where it takes a network or is this very test.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::harness::{Folder, Server, modelyard, serve_arguments};

/// Commands that `.ci/run` runs, each with what must stand there.
const ELSEWHERE: [(&str, &str); 3] = [
    ("cargo run --release -- quickstart", "cargo run --release -- quickstart --once"),
    ("cargo test --workspace", "cargo test --workspace"),
    ("modelyard engine install onnxruntime", "modelyard\" engine install onnxruntime"),
];

/// The address in the README.
const ADDRESS: &str = "localhost:8000";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// The lines of all blocks of this language.
fn lines(text: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}");
    let mut lines = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        if line.starts_with("```") {
            inside = line == fence;
        } else if inside {
            lines.push(line.to_owned());
        }
    }
    lines
}

/// The commands of the README, in order.
fn commands() -> Vec<String> {
    lines(&read("README.md"), "sh")
}

/// Runs one line as a user would, in a checkout, with the binary on the `PATH`.
fn shell(line: &str, folder: &Folder) -> String {
    let binary = Path::new(env!("CARGO_BIN_EXE_modelyard"));
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", binary.parent().unwrap().display());
    // As `modelyard` itself would be run: away from the user's own settings.
    let clean = modelyard(&[], folder);
    let mut command = Command::new("sh");
    for (name, value) in clean.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let command = command.args(["-ec", line]).current_dir(folder.path("")).env("PATH", path);
    let output = command.stdin(Stdio::null()).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}\n{stderr}");
    String::from_utf8(output.stdout).unwrap()
}

/// The version that is served from then on.
fn now_served(line: &str) -> Option<&'static str> {
    match line {
        line if line.starts_with("modelyard registry promote") => Some("2"),
        line if line.starts_with("modelyard registry rollback") => Some("1"),
        _ => None,
    }
}

#[test]
fn every_command_of_the_readme_works() {
    let folder = Folder::new();
    std::os::unix::fs::symlink(root().join("examples"), folder.path("examples")).unwrap();
    let mut server: Option<Server> = None;
    let mut ran = 0;
    for line in commands() {
        if ELSEWHERE.iter().any(|(command, _)| *command == line) {
            continue;
        }
        ran += 1;
        if let Some(arguments) = line.strip_prefix("modelyard serve ") {
            let arguments: Vec<&str> = arguments.split(' ').collect();
            // The one before would keep the address file from being this one's.
            drop(server.take());
            let _ = std::fs::remove_file(folder.path("addresses.json"));
            let command = modelyard(&serve_arguments(&arguments), &folder);
            let mut started = Server::spawn(command, &folder);
            started.wait_until("ready", |server| server.get("/v2/health/ready").status == 200);
            server = Some(started);
            continue;
        }
        let address = server.as_ref().map(|server| server.http().to_string());
        assert!(address.is_some() || !line.contains(ADDRESS), "no server yet for: {line}");
        let line = line.replace(ADDRESS, address.as_deref().unwrap_or_default());
        let said = shell(&line, &folder);
        if let Some(version) = now_served(&line) {
            let server = server.as_mut().expect("something is served");
            server.wait_until(&line, |server| {
                server.get("/v2/models/digits").json()["versions"] == serde_json::json!([version])
            });
        }
        if line.contains("/predict") {
            assert!(said.contains("\"class\":7"), "{line}\n{said}");
        }
        if line.starts_with("modelyard predict") {
            let first = |row: &str| row.split_whitespace().take(2).eq(["0", "7"]);
            assert!(said.lines().any(first), "{line}\n{said}");
        }
    }
    assert!(ran >= 10, "the README has only {ran} commands");
}

#[test]
fn what_is_not_run_here_is_run_by_ci() {
    let ci = read(".ci/run");
    let readme = commands();
    for (command, there) in ELSEWHERE {
        assert!(readme.iter().any(|line| line == command), "README.md without: {command}");
        assert!(ci.contains(there), ".ci/run without: {there}");
    }
}

#[test]
fn keys_and_files_that_the_readme_names_exist() {
    let readme = read("README.md");
    let keys = shell("modelyard validate --keys", &Folder::new());
    let table = readme.split("| key |").nth(1).unwrap().split("\n\n").next().unwrap();
    let first_cells = table.lines().skip(2).map(|row| row.split('|').nth(1).unwrap());
    let named = first_cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    for key in named {
        assert!(keys.lines().any(|line| line.starts_with(&format!("{key} = "))), "{key}");
    }
    let links = readme.split("](").skip(1).map(|rest| rest.split(')').next().unwrap());
    for link in links.filter(|link| !link.starts_with("http")) {
        assert!(root().join(link).exists(), "{link}");
    }
}
