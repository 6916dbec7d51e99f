//! All of a registry elsewhere, and back: on every kind of place, and whatever is wrong with the backup.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod beds;

use std::path::{Path, PathBuf};
use std::time::Duration;

use beds::Bed;
use modelyard_registry::keys::{Signer, verify};
use modelyard_registry::{
    About, Actor, Archive, EncryptionKey, Event, ModelName, Place, Publication, Registry,
    RegistryError, State, Version,
};

fn actor(now_us: i64) -> Actor {
    Actor { name: "keeper".into(), now_us, why: "to be safe".into() }
}

fn digits() -> ModelName {
    "digits".parse().unwrap()
}

fn archive(path: &Path) -> Archive {
    Archive::parse(path.to_str().unwrap()).unwrap()
}

async fn publish(registry: &Registry, folder: &Path, content: &[u8]) -> u64 {
    let path = folder.join("model.onnx");
    std::fs::write(&path, content).unwrap();
    let publication = Publication {
        model: digits(),
        files: vec![("model.onnx".into(), path)],
        about: About::default(),
        notes: "a \"quoted\" ß\nnote".into(),
        tags: ["tiny".to_owned()].into(),
        aliases: vec!["canary".parse().unwrap()],
    };
    let signer = Signer::new(&[3; 32]);
    registry.publish(&publication, Some(&signer), &actor(1)).await.unwrap().version
}

/// A registry in a folder: three versions, of which one was removed, aliases that moved.
async fn filled(folder: &Path) -> Registry {
    let registry = Registry::open(&folder.join("source")).await.unwrap();
    for content in ["one", "two", "three"] {
        publish(&registry, folder, content.as_bytes()).await;
    }
    let (model, stable) = (digits(), "stable".parse().unwrap());
    registry.set_alias(&model, &stable, 1, &actor(2)).await.unwrap();
    registry.set_alias(&model, &stable, 3, &actor(2)).await.unwrap();
    registry.set_state(&model, 2, State::Removed, &actor(3)).await.unwrap();
    let gone = "gone".parse().unwrap();
    registry.set_alias(&model, &gone, 1, &actor(3)).await.unwrap();
    let expected = modelyard_registry::Expected::Anything;
    registry.drop_alias((&model, &gone), expected, &actor(3)).await.unwrap();
    registry
}

/// All that a registry says; lines of the log without their numbers.
async fn said(registry: &Registry) -> (Vec<Version>, String, Vec<Event>) {
    let versions = registry.versions(&digits()).await.unwrap();
    let aliases = format!("{:?}", registry.aliases(&digits()).await.unwrap());
    let mut events = registry.events(None, 1000).await.unwrap();
    events.reverse();
    events.iter_mut().for_each(|event| event.id = 0);
    (versions, aliases, events)
}

/// Checks that one registry has all that another had, and is whole.
async fn assert_same(registry: &Registry, of: &Registry, folder: &Path) {
    let (mut found, wanted) = (said(registry).await, said(of).await);
    let last = found.2.pop().unwrap();
    assert_eq!((last.action.as_str(), last.actor.as_str()), ("recover", "keeper"));
    assert_eq!(found, wanted);
    let checked = registry.fsck((false, Duration::ZERO), &actor(9)).await.unwrap();
    assert_eq!((checked.faults, checked.sealed), (vec![], Default::default()));
    let version = registry.find(&"digits:stable".parse().unwrap()).await.unwrap();
    verify(&[Signer::new(&[3; 32]).verifier()], &version.bytes, &version.signatures).unwrap();
    let out = folder.join(format!("out-{:x}", fastrand::u64(..)));
    registry.fetch(&version, &out).await.unwrap();
    assert_eq!(std::fs::read(out.join("model.onnx")).unwrap(), b"three");
}

async fn what_is_restored_is_what_was_backed_up(bed: Bed) {
    let folder = bed.folder.path();
    let source = filled(folder).await;
    for name in ["backup", "backup.tar"] {
        let archive = archive(&folder.join(name));
        let done = source.back_up(&archive, &actor(10)).await.unwrap();
        assert_eq!((done.models, done.versions, done.contents, done.copied), (1, 3, 2, 2));
        assert_eq!(archive.snapshots().await.unwrap()[0].name, done.snapshot);
    }
    // Into the bed, whatever it is; and from there back into a folder.
    let keys: Vec<EncryptionKey> = bed.key.iter().cloned().collect();
    let from = archive(&folder.join("backup.tar"));
    bed.registry.restore(&from, (None, &actor(11))).await.unwrap();
    assert_same(&bed.registry, &source, folder).await;
    assert_eq!(publish(&bed.registry, folder, b"four").await, 4);
    let again = archive(&folder.join("again"));
    bed.registry.back_up(&again, &actor(12)).await.unwrap();
    let place = Place::folder(&folder.join("restored")).with_keys(keys);
    let restored = place.open(true).await.unwrap();
    restored.restore(&again, (None, &actor(13))).await.unwrap();
    assert_same(&restored, &bed.registry, folder).await;
    // Epochs go on: an alias that was taken away is not as it was before.
    let gone =
        restored.set_alias(&digits(), &"gone".parse().unwrap(), 1, &actor(14)).await.unwrap();
    assert_eq!(gone.epoch, 3);
    if bed.key.is_some() {
        // What is encrypted is so in the backup, too.
        let open = Registry::open(&folder.join("open")).await.unwrap();
        open.restore(&again, (None, &actor(13))).await.unwrap();
        let checked = open.fsck((false, Duration::ZERO), &actor(9)).await.unwrap();
        assert!(checked.faults.is_empty() && checked.sealed.values().sum::<usize>() == 1);
    }
}

async fn a_bucket_keeps_backups_too(bed: Bed) {
    let Ok(bucket) = std::env::var("MODELYARD_TEST_S3") else { return };
    let to = format!("{bucket}/backup-{:016x}", fastrand::u64(..));
    let to = Archive::parse(&to).unwrap().with_environment(std::env::vars());
    let source = filled(bed.folder.path()).await;
    source.back_up(&to, &actor(1)).await.unwrap();
    assert_eq!(source.back_up(&to, &actor(2)).await.unwrap().copied, 0);
    bed.registry.restore(&to, (None, &actor(3))).await.unwrap();
    assert_same(&bed.registry, &source, bed.folder.path()).await;
}

beds::on_every_bed! {
    what_is_restored_is_what_was_backed_up,
    a_bucket_keeps_backups_too,
}

/// A backup in a folder.
struct Backup {
    folder: tempfile::TempDir,
}

impl Backup {
    async fn new() -> Backup {
        let folder = tempfile::TempDir::new().unwrap();
        let source = filled(folder.path()).await;
        source.back_up(&archive(&folder.path().join("backup")), &actor(10)).await.unwrap();
        Backup { folder }
    }

    fn files(&self, below: &str) -> Vec<PathBuf> {
        fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { walk(&path, found) } else { found.push(path) }
            }
        }
        let mut found = Vec::new();
        walk(&self.folder.path().join(below), &mut found);
        found.sort();
        found
    }

    /// Restores into a registry of its own, which must stay empty where that fails.
    async fn restore(&self, from: &str) -> Result<(), RegistryError> {
        let root = self.folder.path().join(format!("restored-{:x}", fastrand::u64(..)));
        let registry = Registry::open(&root).await.unwrap();
        let from = archive(&self.folder.path().join(from));
        let restored = registry.restore(&from, (None, &actor(11))).await;
        if restored.is_err() {
            assert_eq!(registry.models().await.unwrap(), []);
            let checked = registry.fsck((false, Duration::ZERO), &actor(9)).await.unwrap();
            assert!(checked.is_sound(), "{:?}", checked.faults);
        }
        restored.map(drop)
    }

    async fn error(&self, from: &str) -> String {
        let error = self.restore(from).await.unwrap_err();
        assert!(matches!(error, RegistryError::Untrusted(_)), "{error:?}");
        error.to_string()
    }
}

#[tokio::test]
async fn only_what_is_new_is_copied_and_every_snapshot_can_be_restored() {
    let folder = tempfile::TempDir::new().unwrap();
    let source = filled(folder.path()).await;
    let archive = archive(&folder.path().join("backup"));
    let first = source.back_up(&archive, &actor(10)).await.unwrap();
    publish(&source, folder.path(), b"four").await;
    // The clock jumped back.
    let second = source.back_up(&archive, &actor(-5)).await.unwrap();
    assert_eq!((second.contents, second.copied, second.copied_bytes), (3, 1, 4));
    let names: Vec<_> = archive.snapshots().await.unwrap();
    assert_eq!((&names[0].name, &names[1].name), (&first.snapshot, &second.snapshot));
    assert_eq!((names[1].made_us, names[1].by.as_str()), (Some(-5), "keeper"));
    for (snapshot, versions) in [(None, 4), (Some(first.snapshot.as_str()), 3)] {
        let root = folder.path().join(format!("restored-{versions}"));
        let registry = Registry::open(&root).await.unwrap();
        let done = registry.restore(&archive, (snapshot, &actor(11))).await.unwrap();
        assert_eq!(done.versions, versions);
        let error = registry.restore(&archive, (None, &actor(11))).await.unwrap_err().to_string();
        assert!(error.contains("the registry is not empty"), "{error}");
        assert_eq!(registry.versions(&digits()).await.unwrap().len() as u64, versions);
    }
    let registry = Registry::open(&folder.path().join("other")).await.unwrap();
    let error = registry.restore(&archive, (Some("7"), &actor(11))).await.unwrap_err().to_string();
    assert!(error.contains("no snapshot '7'") && error.contains(&first.snapshot), "{error}");
}

#[tokio::test]
async fn of_a_damaged_backup_nothing_is_restored_and_what_is_damaged_is_named() {
    let backup = Backup::new().await;
    backup.restore("backup").await.unwrap();
    let contents = backup.files("backup/contents");
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    std::fs::remove_file(&contents[0]).unwrap();
    std::fs::write(&contents[1], "twos").unwrap();
    let error = backup.error("backup").await;
    assert!(error.contains(&format!("{}' is missing", name(&contents[0]))), "{error}");
    assert!(error.contains(&format!("{}' was tampered", name(&contents[1]))), "{error}");

    let snapshot = backup.files("backup/snapshots").remove(0);
    let text = std::fs::read_to_string(&snapshot).unwrap();
    let line = |number: usize| text.lines().nth(number).unwrap().to_owned() + "\n";
    let place = name(&contents[0]);
    for (wrong, words) in [
        (text.replace("keeper", "creeper"), "its digest is another"),
        (text.replacen(&line(2), "", 1), "it lacks"),
        (text.replace("stable", "staple"), "its digest is another"),
        (text[..text.len() / 2].to_owned(), "is none"),
        (text.lines().take(5).map(|line| format!("{line}\n")).collect(), "it is cut off"),
        (format!("{text}{}", line(1)), "something follows"),
        (text.replace(&place, "../../../../etc/passwd"), "damaged"),
        ("hello\n".to_owned(), "says no schema"),
        (String::new(), "it is cut off"),
    ] {
        std::fs::write(&snapshot, &wrong).unwrap();
        let error = backup.error("backup").await;
        assert!(error.contains(words), "{words}: {error}");
    }
    std::fs::write(&snapshot, text.replacen("\"schema\":1", "\"schema\":2", 1)).unwrap();
    let error = backup.restore("backup").await.unwrap_err();
    assert!(matches!(error, RegistryError::Newer { found: 2, known: 1, .. }), "{error}");
    let error = backup.restore("nowhere").await.unwrap_err().to_string();
    assert!(error.contains("there is no backup in"), "{error}");
}

#[tokio::test]
async fn damage_in_the_registry_stops_a_backup() {
    let backup = Backup::new().await;
    let root = backup.folder.path().join("source");
    for blob in backup.files("source/blobs") {
        std::fs::write(blob, "x").unwrap();
    }
    let registry = Registry::open(&root).await.unwrap();
    for to in ["other", "other.tar"] {
        let to = archive(&backup.folder.path().join(to));
        let error = registry.back_up(&to, &actor(1)).await.unwrap_err().to_string();
        assert!(error.contains("was tampered with or damaged"), "{error}");
    }
    assert!(!backup.folder.path().join("other.tar").exists());
    assert_eq!(backup.files("other"), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn a_tar_is_one_that_tar_reads_and_one_that_tar_wrote_is_read() {
    let backup = Backup::new().await;
    let run = |arguments: &[&str]| {
        let mut tar = std::process::Command::new("tar");
        let output = tar.args(arguments).current_dir(backup.folder.path()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    run(&["-cf", "theirs.tar", "-C", "backup", "."]);
    // The folder of what is not written to its end is no part of a backup, but empty.
    backup.restore("theirs.tar").await.unwrap();
    let registry = Registry::open(&backup.folder.path().join("source")).await.unwrap();
    let ours = archive(&backup.folder.path().join("ours.tar"));
    registry.back_up(&ours, &actor(1)).await.unwrap();
    std::fs::create_dir(backup.folder.path().join("unpacked")).unwrap();
    run(&["-xf", "ours.tar", "-C", "unpacked"]);
    backup.restore("unpacked").await.unwrap();
    let error = registry.back_up(&ours, &actor(1)).await.unwrap_err().to_string();
    assert!(error.contains("is there already"), "{error}");
}

#[tokio::test]
async fn a_tar_that_leads_elsewhere_or_lies_about_sizes_is_refused() {
    let backup = Backup::new().await;
    let registry = Registry::open(&backup.folder.path().join("source")).await.unwrap();
    let path = backup.folder.path().join("ours.tar");
    registry.back_up(&archive(&path), &actor(1)).await.unwrap();
    let good = std::fs::read(&path).unwrap();
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        let sum: u32 = (0..512)
            .map(|at| if (148..156).contains(&at) { 32 } else { u32::from(bytes[at]) })
            .sum();
        bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        bytes
    };
    let named = |name: &str| {
        changed(&|bytes: &mut Vec<u8>| {
            bytes[..100].fill(0);
            bytes[..name.len()].copy_from_slice(name.as_bytes());
        })
    };
    let mut cases: Vec<(Vec<u8>, &str)> =
        ["../../etc/passwd", "/etc/passwd", "contents/../x", "contents/ab/ä", "blobs/ab/abc", "x"]
            .iter()
            .map(|name| (named(name), "is no part of one"))
            .collect();
    cases.push((changed(&|bytes| bytes[156] = b'2'), "is no part of one"));
    cases.push((changed(&|bytes| bytes[124..135].copy_from_slice(b"77777777777")), "is cut off"));
    let large = |bytes: &mut Vec<u8>| {
        bytes[124] = 0x80;
        bytes[125..136].fill(0xff);
    };
    cases.push((changed(&large), "is cut off"));
    cases.push((good[..good.len() - 1024].to_vec(), "it is cut off"));
    cases.push((good[..700].to_vec(), "is cut off"));
    cases.push((b"hello".to_vec(), "it is cut off"));
    cases.push((vec![1; 2048], "no header at byte 0"));
    cases.push(([&good[..1024], &good[..]].concat(), "is there twice"));
    for (bytes, words) in cases {
        std::fs::write(&path, &bytes).unwrap();
        let error = backup.error("ours.tar").await;
        assert!(error.contains("is no backup") && error.contains(words), "{words}: {error}");
    }
}

/// The database was lost, the contents were not; the backup is damaged.
#[tokio::test]
async fn a_restore_that_fails_takes_nothing_away_that_was_there() {
    let backup = Backup::new().await;
    let root = backup.folder.path().join("source");
    for file in ["registry.sqlite", "registry.sqlite-wal", "registry.sqlite-shm"] {
        let _ = std::fs::remove_file(root.join(file));
    }
    let before = backup.files("source/blobs");
    assert!(!before.is_empty());
    std::fs::write(&backup.files("backup/contents")[0], "x").unwrap();
    let registry = Registry::open(&root).await.unwrap();
    let from = archive(&backup.folder.path().join("backup"));
    registry.restore(&from, (None, &actor(11))).await.unwrap_err();
    let after = backup.files("source/blobs");
    assert!(before.iter().all(|file| after.contains(file)), "{before:?} {after:?}");
}
