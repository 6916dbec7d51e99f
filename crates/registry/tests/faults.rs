//! Work with files that fails: a disk that is full, a write that is torn, a file that cannot be renamed or
//! removed, a store that answers too late or not at all. After each fault all that was said to be done is
//! there and whole, and nothing by half.
//!
//! Processes that die are in `crash.rs`. `MODELYARD_FAULTS` sets how many faults there are in both.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use fastrand::Rng;
use modelyard_registry::{
    About, Actor, Archive, EncryptionKey, Hook, ModelName, Place, Publication, Reference, Registry,
    RegistryError, Selector, State, Step,
};
use object_store::memory::InMemory;

/// Faults after which a registry begins anew, so that there is not ever more to check.
const EPOCH: usize = 50;
/// What goes wrong.
const KINDS: [ErrorKind; 4] = [
    ErrorKind::StorageFull,
    ErrorKind::TimedOut,
    ErrorKind::PermissionDenied,
    ErrorKind::ConnectionReset,
];

/// Lets one step fail: the one that so many others come before.
#[derive(Clone)]
struct Trap(Arc<(AtomicI64, AtomicI64)>);

impl Trap {
    const NEVER: i64 = i64::MIN;

    fn new() -> Trap {
        Trap(Arc::new((AtomicI64::new(Trap::NEVER), AtomicI64::new(0))))
    }

    fn hook(&self) -> Hook {
        let Trap(trap) = self.clone();
        Arc::new(move |_: Step| {
            let (left, kind) = &*trap;
            if left.load(Ordering::Relaxed) == Trap::NEVER
                || left.fetch_sub(1, Ordering::Relaxed) != 0
            {
                return None;
            }
            Some(KINDS[kind.load(Ordering::Relaxed) as usize])
        })
    }

    fn set(&self, random: &mut Rng) {
        self.0.1.store(random.i64(0..KINDS.len() as i64), Ordering::Relaxed);
        self.0.0.store(random.i64(0..16), Ordering::Relaxed);
    }

    /// Whether it struck. From now on it does not.
    fn take(&self) -> bool {
        let left = self.0.0.swap(Trap::NEVER, Ordering::Relaxed);
        left < 0 && left != Trap::NEVER
    }
}

fn actor() -> Actor {
    Actor { name: "unlucky".into(), now_us: 1, why: String::new() }
}

fn model() -> ModelName {
    "m".parse().unwrap()
}

/// A registry with what is known of it for certain.
struct Bed {
    folder: tempfile::TempDir,
    registry: Registry,
    trap: Trap,
    published: BTreeMap<u64, String>,
    removed: Vec<u64>,
    saved: Option<String>,
}

impl Bed {
    /// In a folder, encrypted in a folder, in a store of objects.
    async fn new(kind: usize) -> Bed {
        let (folder, trap) = (tempfile::TempDir::new().unwrap(), Trap::new());
        let root = folder.path().join("registry");
        std::fs::create_dir(&root).unwrap();
        let place = Place::folder(&root).with_faults(trap.hook());
        let place = match kind {
            0 => place,
            1 => place.with_keys(vec![EncryptionKey::generate().unwrap()]),
            _ => place.with_store(Arc::new(InMemory::new())),
        };
        let registry = place.open(true).await.unwrap();
        let (published, removed) = Default::default();
        Bed { folder, registry, trap, published, removed, saved: None }
    }

    fn backup(&self) -> Archive {
        let path = self.folder.path().join("backup");
        Archive::parse(path.to_str().unwrap()).unwrap().with_faults(self.trap.hook())
    }

    /// Does something, in which a step may fail.
    async fn step(&mut self, random: &mut Rng) -> Result<(), RegistryError> {
        match random.u8(..10) {
            0..5 => {
                let published = self.publish(random).await?;
                self.published.insert(published.0, published.1);
            }
            5 if self.published.len() > 2 => {
                let oldest = *self.published.keys().next().unwrap();
                self.published.remove(&oldest);
                self.removed.push(oldest);
                self.registry.set_state(&model(), oldest, State::Removed, &actor()).await?;
            }
            6 => drop(self.registry.collect(Duration::ZERO, &actor()).await?),
            7 if !self.published.is_empty() => {
                let number = *self.published.keys().next_back().unwrap();
                let version = self.find(number).await?;
                let out = self.folder.path().join("out");
                let fetched = self.registry.fetch(&version, &out).await;
                assert_eq!(out.exists(), fetched.is_ok(), "whole or not at all");
                let _ = std::fs::remove_dir_all(&out);
                fetched?;
            }
            _ => {
                self.saved = Some(self.registry.back_up(&self.backup(), &actor()).await?.snapshot);
            }
        }
        Ok(())
    }

    async fn publish(&self, random: &mut Rng) -> Result<(u64, String), RegistryError> {
        let file = |number: usize, random: &mut Rng| -> (String, PathBuf) {
            let path = self.folder.path().join(format!("file{number}"));
            let content: Vec<u8> = (0..random.usize(0..20_000)).map(|_| random.u8(..)).collect();
            std::fs::write(&path, content).unwrap();
            (format!("file{number}"), path)
        };
        let publication = Publication {
            model: model(),
            files: (0..random.usize(1..4)).map(|number| file(number, random)).collect(),
            about: About::default(),
            notes: String::new(),
            tags: Default::default(),
            aliases: vec!["newest".parse().unwrap()],
        };
        let published = self.registry.publish(&publication, None, &actor()).await?;
        Ok((published.version, published.manifest.to_string()))
    }

    async fn find(&self, number: u64) -> Result<modelyard_registry::Version, RegistryError> {
        let reference = Reference { model: model(), selector: Selector::Number(number) };
        self.registry.find(&reference).await
    }

    /// Compares what is known with what is there.
    async fn check(&self, random: &mut Rng) {
        let how = (random.bool(), Duration::ZERO);
        let found = self.registry.fsck(how, &actor()).await.unwrap();
        assert!(found.is_sound(), "{found:?}");
        for (number, digest) in &self.published {
            let version = self.find(*number).await.unwrap();
            assert_eq!(
                (version.digest.to_string(), version.state),
                (digest.clone(), State::Active)
            );
        }
        let versions = self.registry.versions(&model()).await.unwrap_or_default();
        for version in versions.iter().filter(|version| version.state == State::Active) {
            let number = version.manifest.version;
            let is_known = self.published.contains_key(&number) || self.removed.contains(&number);
            assert!(is_known, "version {number} was said to have failed");
        }
        if let Some(snapshot) = &self.saved {
            self.check_backup(snapshot, random).await;
        }
    }

    async fn check_backup(&self, snapshot: &str, random: &mut Rng) {
        let aside = tempfile::TempDir::new().unwrap();
        let restored = Registry::open(&aside.path().join("registry")).await.unwrap();
        restored.restore(&self.backup(), (Some(snapshot), &actor())).await.unwrap();
        let found = restored.fsck((false, Duration::ZERO), &actor()).await.unwrap();
        assert_eq!(found.faults, [], "of what was restored");
        unfinished_restore_shows_nothing(&self.backup(), (&self.trap, random), aside.path()).await;
    }
}

/// A restore that fails leaves an empty registry, which is restored into again.
async fn unfinished_restore_shows_nothing(
    backup: &Archive,
    (trap, random): (&Trap, &mut Rng),
    aside: &Path,
) {
    let place = Place::folder(&aside.join("again")).with_faults(trap.hook());
    let registry = place.open(true).await.unwrap();
    trap.set(random);
    let restored = registry.restore(backup, (None, &actor())).await;
    trap.take();
    if restored.is_err() {
        assert_eq!(registry.models().await.unwrap(), []);
        registry.restore(backup, (None, &actor())).await.unwrap();
    }
    assert!(registry.fsck((false, Duration::ZERO), &actor()).await.unwrap().is_sound());
}

#[tokio::test]
async fn whatever_fails_nothing_is_lost_and_nothing_is_there_by_half() {
    let wanted =
        std::env::var("MODELYARD_FAULTS").map_or(240, |all| all.parse::<usize>().unwrap() * 8 / 10);
    let mut random = Rng::with_seed(5);
    let (mut faults, mut published, mut kind) = (0, 0, 0);
    while faults < wanted {
        let mut bed = Bed::new(kind % 3).await;
        let until = wanted.min(faults + EPOCH);
        while faults < until {
            bed.trap.set(&mut random);
            let done = bed.step(&mut random).await;
            let has_struck = bed.trap.take();
            if !has_struck {
                done.unwrap();
                continue;
            }
            faults += 1;
            bed.check(&mut random).await;
        }
        published += bed.published.len() + bed.removed.len();
        kind += 1;
        println!("{faults} faults, {published} versions published");
    }
    assert!(published > 0, "nothing was published: the test shows nothing");
}
