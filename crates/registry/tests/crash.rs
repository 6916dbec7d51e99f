//! Processes that are killed, and disks that are full: what was said to be done is done, what was not is
//! not there by half.
//!
//! The test starts itself as another process, which publishes, moves an alias, removes and collects, and
//! says before and after each step what it does. `MODELYARD_CRASHES` sets how often it is killed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use fastrand::Rng;
use modelyard_registry::{
    About, Actor, AliasName, ModelName, Publication, Reference, Registry, RegistryError, Selector,
    State,
};

/// Where the other process works, and with which seed.
const ROOT: &str = "MODELYARD_CRASH_ROOT";
const SEED: &str = "MODELYARD_CRASH_SEED";

fn actor() -> Actor {
    Actor { name: "crash".into(), now_us: 1, why: String::new() }
}

fn model() -> ModelName {
    "m".parse().unwrap()
}

fn stable() -> AliasName {
    "stable".parse().unwrap()
}

/// Says something at once, whatever becomes of this process after.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n> {text}").and_then(|()| out.flush()).unwrap();
}

/// What the other process does until it is killed.
async fn work(root: &Path, seed: u64) {
    let mut random = Rng::with_seed(seed);
    let registry = Registry::open(&root.join("registry")).await.unwrap();
    let mut versions: Vec<u64> = match registry.versions(&model()).await {
        Ok(all) => all
            .iter()
            .filter(|one| one.state == State::Active)
            .map(|one| one.manifest.version)
            .collect(),
        Err(_) => Vec::new(),
    };
    loop {
        let step = random.u8(..10);
        let done = match step {
            0..5 => {
                publish(root, &registry, &mut random).await.map(|version| versions.push(version))
            }
            5..8 if !versions.is_empty() => {
                let version = versions[random.usize(..versions.len())];
                say(&format!("moving {version}"));
                let moved = registry.set_alias(&model(), &stable(), version, &actor()).await;
                moved.map(|_| say(&format!("moved {version}")))
            }
            8 if versions.len() > 3 => {
                let version = versions.remove(0);
                say(&format!("removing {version}"));
                let removed = registry.set_state(&model(), version, State::Removed, &actor()).await;
                removed.map(|()| say(&format!("removed {version}")))
            }
            _ => registry.collect(Duration::ZERO, &actor()).await.map(drop),
        };
        match done {
            // The alias points to it.
            Ok(()) | Err(RegistryError::Conflict(_) | RegistryError::NotFound(_)) => {}
            // A full disk: nothing was done.
            Err(error) => say(&format!("failed: {error}")),
        }
    }
}

async fn publish(root: &Path, registry: &Registry, random: &mut Rng) -> Result<u64, RegistryError> {
    let mut files = Vec::new();
    for number in 0..random.usize(1..4) {
        let path = root.join(format!("file{number}"));
        let content: Vec<u8> = (0..random.usize(1..200_000)).map(|_| random.u8(..)).collect();
        std::fs::write(&path, content).map_err(|source| RegistryError::Io {
            action: "write",
            path: path.clone(),
            source,
        })?;
        files.push((format!("file{number}"), path));
    }
    let publication = Publication {
        model: model(),
        files,
        about: About::default(),
        notes: String::new(),
        tags: Default::default(),
        aliases: Vec::new(),
    };
    let published = registry.publish(&publication, None, &actor()).await?;
    say(&format!("published {} {}", published.version, published.manifest));
    Ok(published.version)
}

/// What is known from what the killed processes said.
#[derive(Default)]
struct Known {
    /// Published for certain: the digests of manifests by version.
    published: BTreeMap<u64, String>,
    /// Where the alias may point: to where it was last, or to where it was just being moved.
    alias: Vec<u64>,
    /// Removed, or just being removed.
    removed: Vec<u64>,
    failures: usize,
}

impl Known {
    fn hear(&mut self, text: &str) {
        let words: Vec<&str> = text.split(' ').collect();
        let number = || words[1].parse().unwrap();
        match words[0] {
            "published" => drop(self.published.insert(number(), words[2].to_owned())),
            "moving" => self.alias.push(number()),
            "moved" => self.alias = vec![number()],
            "removing" => self.removed.push(number()),
            "removed" => {}
            "failed:" => self.failures += 1,
            other => panic!("unknown word '{other}'"),
        }
    }

    /// Compares it with what is there.
    async fn check(&self, root: &Path) {
        let registry = Registry::open(&root.join("registry")).await.unwrap();
        let how = (true, Duration::ZERO);
        let found = registry.fsck(how, &actor()).await.unwrap();
        assert!(found.is_sound(), "{found:?}");
        let again = registry.fsck(how, &actor()).await.unwrap();
        assert_eq!(again.faults, [], "what is left over goes");
        for (number, digest) in &self.published {
            let reference = Reference { model: model(), selector: Selector::Number(*number) };
            let version = registry.find(&reference).await.unwrap();
            assert_eq!(version.digest.to_string(), *digest, "version {number}");
            let may_be_gone = self.removed.contains(number);
            assert!(version.state == State::Active || may_be_gone, "version {number} is lost");
        }
        let aliases = registry.aliases(&model()).await.unwrap();
        if let Some(alias) = aliases.first() {
            assert!(self.alias.contains(&alias.version), "{alias:?} is none of {:?}", self.alias);
        } else {
            assert!(self.published.is_empty() || self.alias.len() != 1, "the alias is lost");
        }
        registry.close().await;
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Starts this test as another process; a limit on the size of files makes a disk that is full.
fn start(test: &str, root: &Path, (seed, kilobytes): (u64, Option<u64>)) -> std::process::Child {
    let limit = kilobytes.map_or("unlimited".into(), |limit| limit.to_string());
    // A signal that is ignored stays so in what is started: writing then fails instead.
    let script = format!("trap '' XFSZ; ulimit -f {limit}; exec \"$0\" \"$@\"");
    Command::new("bash")
        .args(["-c", &script])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(ROOT, root)
        .env(SEED, seed.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Kills it after a while, and hears all that it said.
fn killed(mut child: std::process::Child, after: Duration, known: &mut Known) {
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let (said, heard) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut line = String::new();
        while out.read_line(&mut line).is_ok_and(|count| count > 0) {
            // A line that was not written to its end says nothing.
            if let Some(text) = line.strip_prefix("> ").and_then(|line| line.strip_suffix('\n')) {
                let _ = said.send(text.to_owned());
            }
            line.clear();
        }
        let _ = out.read_to_end(&mut Vec::new());
    });
    std::thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap();
    heard.iter().for_each(|text| known.hear(&text));
}

/// Runs as the other process, if this is one.
fn is_other_process() -> bool {
    let Some(root) = std::env::var_os(ROOT) else { return false };
    let seed = std::env::var(SEED).unwrap().parse().unwrap();
    runtime().block_on(work(&PathBuf::from(root), seed));
    true
}

fn rounds(usual: u64) -> u64 {
    std::env::var("MODELYARD_CRASHES").map_or(usual, |rounds| rounds.parse().unwrap())
}

#[test]
fn whatever_a_killed_process_said_is_done_is_done() {
    if is_other_process() {
        return;
    }
    let folder = tempfile::TempDir::new().unwrap();
    let (mut known, mut random) = (Known::default(), Rng::with_seed(1));
    for seed in 0..rounds(12) {
        let name = "whatever_a_killed_process_said_is_done_is_done";
        let child = start(name, folder.path(), (seed, None));
        killed(child, Duration::from_millis(random.u64(60..400)), &mut known);
        runtime().block_on(known.check(folder.path()));
    }
    assert!(!known.published.is_empty(), "nothing was published: the test shows nothing");
}

#[test]
fn a_disk_that_is_full_loses_nothing() {
    if is_other_process() {
        return;
    }
    let folder = tempfile::TempDir::new().unwrap();
    let (mut known, mut random) = (Known::default(), Rng::with_seed(2));
    for seed in 0..rounds(8) {
        let name = "a_disk_that_is_full_loses_nothing";
        // From no file of weights at all to nearly all; the database grows past it, too.
        let limit = random.u64(1..200);
        let child = start(name, folder.path(), (seed, Some(limit)));
        killed(child, Duration::from_millis(random.u64(60..300)), &mut known);
        runtime().block_on(known.check(folder.path()));
        // Room again.
        let child = start(name, folder.path(), (seed + 1_000_000, None));
        killed(child, Duration::from_millis(random.u64(60..200)), &mut known);
        runtime().block_on(known.check(folder.path()));
    }
    assert!(known.failures > 0 && !known.published.is_empty(), "the test shows nothing");
}
