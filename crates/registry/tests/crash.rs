//! Processes that are killed, and disks that are full: what was said to be done is done, what was not is
//! not there by half.
//!
//! The test starts itself as another process, which publishes, moves an alias, removes, collects and backs
//! up, and says before and after each step what it does. It is killed at any time, or dies at a certain
//! step of its work with files, in the middle of a write too. `MODELYARD_FAULTS` sets how many faults there
//! are here and in `faults.rs` together.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fastrand::Rng;
use modelyard_registry::{
    About, Actor, AliasName, Archive, Hook, ModelName, Place, Publication, Reference, Registry,
    RegistryError, Selector, State, Step,
};

/// Where the other process works, and with which seed.
const ROOT: &str = "MODELYARD_CRASH_ROOT";
const SEED: &str = "MODELYARD_CRASH_SEED";
/// The step at which the other process dies; 0: at none.
const STEP: &str = "MODELYARD_CRASH_STEP";
/// Faults after which a test begins anew, so that it does not check ever more.
const EPOCH: u64 = 20;

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

/// Dies at this step; of a write, when half of it is done.
fn dying(at: u64) -> Hook {
    let steps = AtomicU64::new(0);
    Arc::new(move |step| {
        let now = steps.fetch_add(1, Ordering::Relaxed) + 1;
        match step {
            Step::Torn => std::process::abort(),
            Step::Write if now == at => Some(std::io::ErrorKind::Other),
            _ if now == at => std::process::abort(),
            _ => None,
        }
    })
}

fn backup(root: &Path) -> Archive {
    Archive::parse(root.join("backup").to_str().unwrap()).unwrap()
}

/// What the other process does until it is killed.
async fn work(root: &Path, (seed, step): (u64, u64)) {
    let mut random = Rng::with_seed(seed);
    let place = Place::folder(&root.join("registry"));
    let place = if step == 0 { place } else { place.with_faults(dying(step)) };
    let registry = place.open(true).await.unwrap();
    let mut versions: Vec<u64> = match registry.versions(&model()).await {
        Ok(all) => all
            .iter()
            .filter(|one| one.state == State::Active)
            .map(|one| one.manifest.version)
            .collect(),
        Err(_) => Vec::new(),
    };
    loop {
        let step = random.u8(..12);
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
            9 => {
                let done = registry.back_up(&backup(root), &actor()).await;
                done.map(|done| say(&format!("saved {}", done.snapshot)))
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
        let content: Vec<u8> = (0..random.usize(1..100_000)).map(|_| random.u8(..)).collect();
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
    /// Whether it was moved for certain: the first move may have died.
    alias_is_set: bool,
    /// Removed, or just being removed.
    removed: Vec<u64>,
    /// The last snapshot for certain.
    saved: Option<String>,
    failures: usize,
}

impl Known {
    fn hear(&mut self, text: &str) {
        let words: Vec<&str> = text.split(' ').collect();
        let number = || words[1].parse().unwrap();
        match words[0] {
            "published" => drop(self.published.insert(number(), words[2].to_owned())),
            "moving" => self.alias.push(number()),
            "moved" => (self.alias, self.alias_is_set) = (vec![number()], true),
            "removing" => self.removed.push(number()),
            "removed" => {}
            "saved" => self.saved = Some(words[1].to_owned()),
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
            assert!(!self.alias_is_set, "the alias is lost");
        }
        registry.close().await;
        if let Some(snapshot) = &self.saved {
            let aside = tempfile::TempDir::new().unwrap();
            let restored = Registry::open(aside.path()).await.unwrap();
            let how = (Some(snapshot.as_str()), &actor());
            restored.restore(&backup(root), how).await.unwrap();
            let found = restored.fsck((false, Duration::ZERO), &actor()).await.unwrap();
            assert_eq!(found.faults, [], "of what was restored");
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// How the other process ends.
#[derive(Clone, Copy)]
struct End {
    /// It is killed after this many milliseconds.
    after_ms: u64,
    /// It dies at this step of its work with files, if that comes first; 0: at none.
    step: u64,
    /// Files grow to this many kilobytes: the disk is full.
    kilobytes: Option<u64>,
}

/// Starts this test as another process, and hears all that it says until it has ended.
fn run(test: &str, root: &Path, (seed, end): (u64, End), known: &mut Known) {
    let limit = end.kilobytes.map_or("unlimited".into(), |limit| limit.to_string());
    // A signal that is ignored stays so in what is started: writing then fails instead. One that dies
    // leaves no image of its memory.
    let script = format!("trap '' XFSZ; ulimit -c 0; ulimit -f {limit}; exec \"$0\" \"$@\"");
    let mut child = Command::new("bash")
        .args(["-c", &script])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(ROOT, root)
        .env(SEED, seed.to_string())
        .env(STEP, end.step.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
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
    let mut waited_ms = 0;
    while waited_ms < end.after_ms && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(10));
        waited_ms += 10;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap();
    heard.iter().for_each(|text| known.hear(&text));
}

/// Runs as the other process, if this is one.
fn is_other_process() -> bool {
    let Some(root) = std::env::var_os(ROOT) else { return false };
    let number = |name: &str| std::env::var(name).unwrap().parse().unwrap();
    runtime().block_on(work(&PathBuf::from(root), (number(SEED), number(STEP))));
    true
}

/// How many faults one test makes: so many, or a share of all.
fn rounds(usual: u64, share: u64) -> u64 {
    std::env::var("MODELYARD_FAULTS").map_or(usual, |all| all.parse::<u64>().unwrap() / share)
}

/// Lets the other process end in one way again and again, and checks what is left each time.
fn survive(test: &str, rounds: u64, end: impl Fn(&mut Rng) -> End) {
    let mut random = Rng::with_seed(rounds);
    let (mut published, mut failures) = (0, 0);
    for epoch in 0..rounds.div_ceil(EPOCH) {
        let folder = tempfile::TempDir::new().unwrap();
        let mut known = Known::default();
        for round in epoch * EPOCH..rounds.min((epoch + 1) * EPOCH) {
            let how = end(&mut random);
            run(test, folder.path(), (round, how), &mut known);
            runtime().block_on(known.check(folder.path()));
            if how.kilobytes.is_some() {
                // Room again.
                let how = End { after_ms: random.u64(60..200), step: 0, kilobytes: None };
                run(test, folder.path(), (round + 1_000_000, how), &mut known);
                runtime().block_on(known.check(folder.path()));
            }
        }
        published += known.published.len();
        failures += known.failures;
        let done = rounds.min((epoch + 1) * EPOCH);
        println!("{test}: {done} faults, {published} versions published, {failures} steps failed");
    }
    assert!(published > 0, "nothing was published: the test shows nothing");
}

#[test]
fn whatever_a_killed_process_said_is_done_is_done() {
    if is_other_process() {
        return;
    }
    let name = "whatever_a_killed_process_said_is_done_is_done";
    let end = |random: &mut Rng| End { after_ms: random.u64(60..400), step: 0, kilobytes: None };
    survive(name, rounds(12, 20), end);
}

#[test]
fn whatever_step_a_process_dies_at_the_state_is_the_old_or_the_new() {
    if is_other_process() {
        return;
    }
    let name = "whatever_step_a_process_dies_at_the_state_is_the_old_or_the_new";
    let end = |random: &mut Rng| End { after_ms: 2_000, step: random.u64(1..60), kilobytes: None };
    survive(name, rounds(20, 10), end);
}

#[test]
fn a_disk_that_is_full_loses_nothing() {
    if is_other_process() {
        return;
    }
    // From no file of weights at all to nearly all; the database grows past it, too.
    let end = |random: &mut Rng| {
        let kilobytes = Some(random.u64(1..200));
        End { after_ms: random.u64(60..300), step: 0, kilobytes }
    };
    survive("a_disk_that_is_full_loses_nothing", rounds(8, 20), end);
}
