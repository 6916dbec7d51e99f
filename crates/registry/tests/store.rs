//! What every registry must do, wherever it is: one suite, run on every kind of place (`beds`).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod beds;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use beds::Bed;
use modelyard_registry::keys::{Signer, verify};
use modelyard_registry::{
    About, Actor, AliasName, Begin, EncryptionKey, Expected, FaultKind, ModelName, Publication,
    Published, Registry, RegistryError, Rollout, RolloutStep, State, Woken,
};

impl Bed {
    /// Publishes a model of one file with this content.
    async fn publish(&self, content: &[u8], aliases: &[&str]) -> Published {
        let path = self.file("model.onnx", content);
        let publication = publication(&path, aliases);
        self.registry.publish(&publication, None, &actor(1)).await.unwrap()
    }
}

fn publication(path: &Path, aliases: &[&str]) -> Publication {
    Publication {
        model: digits(),
        files: vec![("model.onnx".into(), path.to_owned())],
        about: About::default(),
        notes: "for tests".into(),
        tags: BTreeSet::new(),
        aliases: aliases.iter().map(|name| name.parse().unwrap()).collect(),
    }
}

fn digits() -> ModelName {
    "digits".parse().unwrap()
}

fn alias(name: &str) -> AliasName {
    name.parse().unwrap()
}

fn actor(now_us: i64) -> Actor {
    Actor { name: "tester@here".into(), now_us, why: "to see".into() }
}

async fn points_to(registry: &Registry, name: &str) -> Option<u64> {
    let aliases = registry.aliases(&digits()).await.unwrap();
    aliases.into_iter().find(|found| found.name.as_str() == name).map(|found| found.version)
}

async fn what_is_published_is_found_whole_and_as_it_was(bed: Bed) {
    let (model, weights) = (bed.file("a", b"graph"), bed.file("b", b"weights"));
    let mut wanted = publication(&model, &["stable"]);
    wanted.files.push(("data/weights.bin".into(), weights));
    let published = bed.registry.publish(&wanted, None, &actor(5)).await.unwrap();
    assert!((published.version, published.is_new) == (1, true));
    for reference in ["digits", "digits:1", "digits:latest", "digits:stable"] {
        let found = bed.registry.find(&reference.parse().unwrap()).await.unwrap();
        assert_eq!(found.digest, published.manifest, "{reference}");
        assert_eq!((found.manifest.created_us, found.state), (5, State::Active));
    }
    let version = bed.registry.find(&"digits".parse().unwrap()).await.unwrap();
    let out = bed.folder.path().join("out");
    bed.registry.fetch(&version, &out).await.unwrap();
    assert_eq!(std::fs::read(out.join("model.onnx")).unwrap(), b"graph");
    assert_eq!(std::fs::read(out.join("data/weights.bin")).unwrap(), b"weights");
    let again = bed.registry.fetch(&version, &out).await.unwrap_err().to_string();
    assert!(again.contains("is there already"), "{again}");
    // It is there for another process, too.
    bed.registry.close().await;
    let reopened = bed.place.open(true).await.unwrap();
    assert_eq!(reopened.find(&"digits:1".parse().unwrap()).await.unwrap(), version);
}

async fn the_same_files_are_the_same_version_and_numbers_are_never_used_again(bed: Bed) {
    assert_eq!(bed.publish(b"one", &[]).await.version, 1);
    let again = bed.publish(b"one", &["canary"]).await;
    assert!((again.version, again.is_new) == (1, false));
    assert_eq!(points_to(&bed.registry, "canary").await, Some(1));
    assert_eq!(bed.blobs().await.len(), 1);
    assert_eq!(bed.publish(b"two", &[]).await.version, 2);
    bed.registry.set_state(&digits(), 2, State::Removed, &actor(9)).await.unwrap();
    let third = bed.publish(b"two", &[]).await;
    assert!((third.version, third.is_new) == (3, true));
}

async fn latest_passes_over_what_is_deprecated(bed: Bed) {
    bed.publish(b"one", &[]).await;
    bed.publish(b"two", &[]).await;
    let latest = async || {
        let found = bed.registry.find(&"digits".parse().unwrap()).await;
        found.map(|version| version.manifest.version).map_err(|error| error.to_string())
    };
    bed.registry.set_state(&digits(), 2, State::Deprecated, &actor(2)).await.unwrap();
    assert_eq!(latest().await, Ok(1));
    bed.registry.set_state(&digits(), 1, State::Deprecated, &actor(2)).await.unwrap();
    assert_eq!(latest().await, Err("model 'digits' has no version that is active".into()));
    bed.registry.set_state(&digits(), 2, State::Active, &actor(2)).await.unwrap();
    assert_eq!(latest().await, Ok(2));
}

async fn an_alias_moves_only_from_where_it_is_expected_to_be(bed: Bed) {
    for content in [b"1", b"2", b"3"] {
        bed.publish(content, &[]).await;
    }
    let (model, stable) = (digits(), alias("stable"));
    let swap = async |expected, to| {
        bed.registry.swap_alias((&model, &stable), (expected, to), &actor(1)).await
    };
    let made = swap(Expected::Nothing, 1).await.unwrap();
    assert_eq!((made.version, made.epoch), (1, 1));
    assert!(matches!(swap(Expected::Nothing, 2).await, Err(RegistryError::Conflict(_))));
    let error = swap(Expected::Version(2), 3).await.unwrap_err().to_string();
    assert!(error.contains("points to version 1 (epoch 1), expected it to point to version 2"));
    assert_eq!(swap(Expected::Version(1), 2).await.unwrap().epoch, 2);
    // Back to what it was: not the same state, though it points to the same version.
    swap(Expected::Epoch(2), 1).await.unwrap();
    assert!(swap(Expected::Epoch(1), 3).await.is_err());
    bed.registry.drop_alias((&model, &stable), Expected::Anything, &actor(1)).await.unwrap();
    assert!(swap(Expected::Epoch(3), 3).await.is_err());
    assert_eq!(swap(Expected::Nothing, 3).await.unwrap().epoch, 5);
    let error = swap(Expected::Anything, 7).await.unwrap_err().to_string();
    assert_eq!(error, "model 'digits' has no version 7");
}

async fn of_many_who_move_an_alias_at_once_one_succeeds(bed: Bed) {
    for content in 0..8 {
        bed.publish(&[content], &[]).await;
    }
    let (model, stable) = (digits(), alias("stable"));
    for round in 0..5 {
        let epoch = bed.registry.aliases(&model).await.unwrap().first().map(|found| found.epoch);
        let expected = epoch.map_or(Expected::Nothing, Expected::Epoch);
        let tasks: Vec<_> = (0..8)
            .map(|task| {
                let (place, model, stable) = (bed.place.clone(), model.clone(), stable.clone());
                // Each has connections of its own, as processes do.
                tokio::spawn(async move {
                    let registry = place.open(true).await.unwrap();
                    let to = (task + round) % 8 + 1;
                    let swapped =
                        registry.swap_alias((&model, &stable), (expected, to), &actor(1)).await;
                    // Who wants it where it is moves nothing, and is right.
                    swapped.is_ok_and(|alias| Some(alias.epoch) != epoch)
                })
            })
            .collect();
        let mut won = 0;
        for task in tasks {
            won += u32::from(task.await.unwrap());
        }
        assert_eq!(won, 1, "round {round}");
    }
}

async fn writers_at_once_get_numbers_of_their_own(bed: Bed) {
    let tasks: Vec<_> = (0..6_u8)
        .map(|task| {
            let place = bed.place.clone();
            let path = bed.file(&format!("model{task}"), &[task / 2]);
            tokio::spawn(async move {
                let registry = place.open(true).await.unwrap();
                registry.publish(&publication(&path, &[]), None, &actor(1)).await.unwrap()
            })
        })
        .collect();
    let mut numbers = BTreeSet::new();
    for task in tasks {
        let published = task.await.unwrap();
        if published.is_new {
            assert!(numbers.insert(published.version), "{published:?}");
        }
    }
    assert_eq!(numbers.len(), 3, "the same files are the same version, whoever is first");
    let checked = bed.registry.fsck((false, Duration::ZERO), &actor(1)).await.unwrap();
    assert_eq!(checked.faults, []);
    assert_eq!(checked.contents, 3);
}

async fn a_rollback_goes_back_through_history(bed: Bed) {
    for content in [b"1", b"2", b"3"] {
        bed.publish(content, &["stable"]).await;
    }
    let (model, stable) = (digits(), alias("stable"));
    let back = async || bed.registry.roll_back(&model, &stable, &actor(1)).await;
    assert_eq!(back().await.unwrap().version, 2);
    assert_eq!(back().await.unwrap().version, 1);
    let error = back().await.unwrap_err().to_string();
    assert!(error.contains("never pointed to anything but version 1"), "{error}");
    bed.registry.set_alias(&model, &stable, 3, &actor(1)).await.unwrap();
    assert_eq!(back().await.unwrap().version, 1);
    let events = bed.registry.events(Some(&model), 3).await.unwrap();
    let last = &events[0];
    assert_eq!((last.action.as_str(), last.subject.as_str()), ("rollback", "stable"));
    assert_eq!((last.was.as_str(), last.now.as_str(), last.why.as_str()), ("3", "1", "to see"));
}

async fn what_is_used_is_not_removed(bed: Bed) {
    bed.publish(b"one", &["stable"]).await;
    let remove = async || bed.registry.set_state(&digits(), 1, State::Removed, &actor(1)).await;
    let error = remove().await.unwrap_err().to_string();
    assert!(error.contains("alias 'stable' points to it"), "{error}");
    let (model, stable) = (digits(), alias("stable"));
    bed.registry.drop_alias((&model, &stable), Expected::Anything, &actor(1)).await.unwrap();
    remove().await.unwrap();
    let version = bed.registry.find(&"digits:1".parse().unwrap()).await.unwrap();
    let error = bed.registry.fetch(&version, Path::new("/nowhere")).await.unwrap_err();
    assert!(error.to_string().contains("was removed"), "{error}");
}

async fn what_a_replica_serves_is_not_removed_until_it_says_otherwise(bed: Bed) {
    bed.publish(b"one", &[]).await;
    bed.publish(b"two", &[]).await;
    let both = [(digits(), 1), (digits(), 2)];
    bed.registry.report("left", &both).await.unwrap();
    bed.registry.report("right", &both[..1]).await.unwrap();
    let serving = async || {
        let replicas = bed.registry.replicas(Some(&digits())).await.unwrap();
        replicas.into_iter().map(|one| (one.id, one.version)).collect::<Vec<_>>()
    };
    let named = |id: &str, version| (id.to_owned(), version);
    assert_eq!(serving().await, [named("left", 1), named("left", 2), named("right", 1)]);
    let remove = async |number| {
        let removed = bed.registry.set_state(&digits(), number, State::Removed, &actor(9)).await;
        removed.map_err(|error| error.to_string())
    };
    let refused = remove(1).await.unwrap_err();
    assert!(refused.contains("replica 'left', 'right' serves it"), "{refused}");
    bed.registry.report("left", &both[1..]).await.unwrap();
    bed.registry.report("right", &[]).await.unwrap();
    assert_eq!(serving().await, [named("left", 2)]);
    remove(1).await.unwrap();
    assert!(remove(2).await.is_err());
}

async fn what_is_removed_and_named_at_once_is_one_of_both(bed: Bed) {
    bed.publish(b"one", &["stable"]).await;
    for round in 0..10_u8 {
        let number = bed.publish(&[b'r', round], &[]).await.version;
        let (left, right) = (bed.registry.clone(), bed.registry.clone());
        let name = alias("canary");
        let removed = tokio::spawn(async move {
            left.set_state(&digits(), number, State::Removed, &actor(1)).await.is_ok()
        });
        let named = tokio::spawn(async move {
            right.set_alias(&digits(), &name, number, &actor(1)).await.is_ok()
        });
        let (removed, named) = (removed.await.unwrap(), named.await.unwrap());
        assert!(removed != named, "round {round}: removed {removed}, named {named}");
    }
    let checked = bed.registry.fsck((false, Duration::ZERO), &actor(1)).await.unwrap();
    assert!(checked.is_sound(), "{:?}", checked.faults);
}

async fn what_is_collected_while_it_is_published_is_stored_again(bed: Bed) {
    for round in 0..20 {
        let number = bed.publish(b"shared", &[]).await.version;
        bed.registry.set_state(&digits(), number, State::Removed, &actor(1)).await.unwrap();
        let path = bed.file("again", b"shared");
        let (left, right) = (bed.registry.clone(), bed.registry.clone());
        let collected = tokio::spawn(async move { left.collect(Duration::ZERO, &actor(9)).await });
        let published =
            tokio::spawn(
                async move { right.publish(&publication(&path, &[]), None, &actor(2)).await },
            );
        collected.await.unwrap().unwrap();
        let published = published.await.unwrap().unwrap();
        let checked = bed.registry.fsck((false, Duration::ZERO), &actor(1)).await.unwrap();
        assert!(checked.is_sound(), "round {round}: {:?}", checked.faults);
        let state = State::Removed;
        bed.registry.set_state(&digits(), published.version, state, &actor(1)).await.unwrap();
    }
}

async fn no_signature_is_lost_and_known_files_are_signed_too(bed: Bed) {
    bed.publish(b"one", &[]).await;
    let version = bed.registry.find(&"digits".parse().unwrap()).await.unwrap();
    let (first, second, third) =
        (Signer::new(&[1; 32]), Signer::new(&[2; 32]), Signer::new(&[3; 32]));
    bed.registry.sign(&version, &first, &actor(1)).await.unwrap();
    // Read before the first one signed.
    let error = bed.registry.sign(&version, &second, &actor(1)).await.unwrap_err();
    assert!(matches!(error, RegistryError::Conflict(_)), "{error}");
    let path = bed.file("model.onnx", b"one");
    let published = bed.registry.publish(&publication(&path, &[]), Some(&third), &actor(2)).await;
    assert!(!published.unwrap().is_new);
    let version = bed.registry.find(&"digits".parse().unwrap()).await.unwrap();
    for signer in [first, third] {
        verify(&[signer.verifier()], &version.bytes, &version.signatures).unwrap();
    }
}

/// A rollout of version 2 from version 1 that is in its first epoch.
async fn rollout(bed: &Bed) -> Rollout {
    bed.publish(b"one", &["stable"]).await;
    bed.publish(b"two", &[]).await;
    begin(bed, 2).await.unwrap()
}

async fn begin(bed: &Bed, candidate: u64) -> Result<Rollout, RegistryError> {
    let (model, alias) = (digits(), alias("stable"));
    let (plan, state, stage) = ("a plan", "a state", "in step 1");
    let sticky = Some("x-user");
    let begin = Begin { model: &model, alias: &alias, candidate, plan, sticky, state, stage };
    bed.registry.begin_rollout(&begin, &actor(7)).await
}

fn step(epoch: u64, promotes: bool) -> RolloutStep<'static> {
    RolloutStep { state: "another", stage: "next", epoch, ends: promotes, promotes }
}

async fn a_rollout_is_one_at_a_time_and_moves_its_alias_in_the_end(bed: Bed) {
    let begun = rollout(&bed).await;
    assert_eq!((begun.id, begun.stable, begun.candidate, begun.epoch), (1, 1, 2, 1));
    assert_eq!((begun.sticky.as_deref(), begun.has_ended), (Some("x-user"), false));
    let second = begin(&bed, 2).await.unwrap_err().to_string();
    assert!(second.contains("under way"), "{second}");
    let removed = bed.registry.set_state(&digits(), 2, State::Removed, &actor(1)).await;
    assert!(removed.unwrap_err().to_string().contains("rollout"));
    bed.registry.step_rollout(&begun, &step(2, false), &actor(8)).await.unwrap();
    assert_eq!(points_to(&bed.registry, "stable").await, Some(1));
    let now = bed.registry.rollout(&digits()).await.unwrap().unwrap();
    assert_eq!((now.epoch, now.state.as_str(), now.stage.as_str()), (2, "another", "next"));
    bed.registry.step_rollout(&now, &step(3, true), &actor(9)).await.unwrap();
    assert_eq!(points_to(&bed.registry, "stable").await, Some(2));
    assert!(bed.registry.rollout(&digits()).await.unwrap().unwrap().has_ended);
    // A rollback knows of it, and another rollout may begin.
    bed.registry.roll_back(&digits(), &alias("stable"), &actor(10)).await.unwrap();
    assert_eq!(points_to(&bed.registry, "stable").await, Some(1));
    assert_eq!(begin(&bed, 2).await.unwrap().id, 2);
}

async fn of_many_who_take_a_step_one_succeeds(bed: Bed) {
    let begun = rollout(&bed).await;
    let mut tasks = Vec::new();
    for _ in 0..8 {
        let (registry, begun) = (bed.registry.clone(), begun.clone());
        let step = async move { registry.step_rollout(&begun, &step(2, false), &actor(8)).await };
        tasks.push(tokio::spawn(step));
    }
    let mut taken = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(()) => taken += 1,
            Err(error) => assert!(matches!(error, RegistryError::Conflict(_)), "{error}"),
        }
    }
    assert_eq!(taken, 1);
}

async fn a_promotion_fails_whole_where_somebody_moved_the_alias(bed: Bed) {
    let begun = rollout(&bed).await;
    bed.publish(b"three", &["stable"]).await;
    let error = bed.registry.step_rollout(&begun, &step(2, true), &actor(8)).await.unwrap_err();
    assert!(matches!(error, RegistryError::Conflict(_)), "{error}");
    assert_eq!(points_to(&bed.registry, "stable").await, Some(3));
    assert_eq!(bed.registry.rollout(&digits()).await.unwrap().unwrap().epoch, 1);
}

async fn figures_of_replicas_are_those_of_the_stage(bed: Bed) {
    rollout(&bed).await;
    let model = digits();
    for (replica, stage, figures) in
        [("a", "1/5", "old"), ("a", "1/6", "of a"), ("b", "1/6", "of b"), ("c", "1/5", "late")]
    {
        bed.registry.report_figures((&model, stage), replica, figures).await.unwrap();
    }
    assert_eq!(bed.registry.figures(&model, "1/6").await.unwrap(), ["of a", "of b"]);
}

async fn a_fetched_folder_is_checked_against_its_manifest(bed: Bed) {
    bed.publish(b"one", &[]).await;
    let version = bed.registry.find(&"digits".parse().unwrap()).await.unwrap();
    let out = bed.folder.path().join("out");
    bed.registry.fetch(&version, &out).await.unwrap();
    version.manifest.check_folder(&out).unwrap();
    std::fs::write(out.join("model.onnx"), b"two").unwrap();
    let error = version.manifest.check_folder(&out).unwrap_err();
    assert!(matches!(error, RegistryError::Untrusted(_)), "{error}");
    assert!(error.to_string().contains("tampered with or damaged"), "{error}");
    std::fs::remove_file(out.join("model.onnx")).unwrap();
    assert!(version.manifest.check_folder(&out).is_err());
}

async fn contents_are_collected_when_nothing_has_them_and_some_time_has_passed(bed: Bed) {
    bed.publish(b"one", &[]).await;
    bed.publish(b"two", &[]).await;
    bed.registry.set_state(&digits(), 1, State::Removed, &actor(1)).await.unwrap();
    let hour = Duration::from_secs(3600);
    let collect = async |now_us| bed.registry.collect(hour, &actor(now_us)).await.unwrap();
    assert_eq!(collect(3_599_000_000).await.contents, 0);
    // A clock that jumped back removes nothing.
    assert_eq!(collect(-5).await.contents, 0);
    let collected = collect(3_601_000_000).await;
    assert_eq!((collected.contents, collected.bytes), (1, 3));
    assert_eq!(bed.blobs().await.len(), 1);
    assert_eq!(bed.registry.events(None, 1).await.unwrap()[0].now, "1 contents, 3 bytes");
    let checked = bed.registry.fsck((false, Duration::ZERO), &actor(1)).await.unwrap();
    assert_eq!(checked.faults, []);
}

async fn leftovers_are_found_and_removed_and_damage_is_said(bed: Bed) {
    bed.publish(b"one", &[]).await;
    let own = bed.blobs().await.remove(0);
    let orphan = format!("blobs/ab/{}.0000000000000001", "ab".repeat(32));
    bed.write(&orphan, b"x").await;
    // A bucket hides what is not written to its end.
    let unfinished = if bed.is_folder() { "tmp/.tmpXYZ" } else { "blobs/ab/abcd.02" };
    bed.write(unfinished, b"half").await;
    let check = async |repair, grace| bed.registry.fsck((repair, grace), &actor(1)).await.unwrap();
    // Somebody may be about to publish them.
    assert_eq!(check(true, Duration::from_secs(60)).await.faults, []);
    let found = check(false, Duration::ZERO).await;
    assert!(found.is_sound() && found.faults.len() == 2, "{found:?}");
    assert!(found.faults.iter().all(|fault| fault.kind == FaultKind::Leftover && !fault.mended));
    assert!(check(true, Duration::ZERO).await.faults.iter().all(|fault| fault.mended));
    assert_eq!(bed.blobs().await, std::slice::from_ref(&own));
    assert_eq!(check(false, Duration::ZERO).await.faults, []);

    bed.write(&own, b"two").await;
    let found = check(true, Duration::ZERO).await;
    assert!(!found.is_sound(), "{found:?}");
    assert_eq!(found.faults[0].subject, "digits:1");
    let version = bed.registry.find(&"digits".parse().unwrap()).await.unwrap();
    let out = bed.folder.path().join("out");
    let error = bed.registry.fetch(&version, &out).await.unwrap_err().to_string();
    assert!(error.contains("was tampered with or damaged"), "{error}");
    assert!(!out.exists());
    bed.remove(&own).await;
    let found = check(true, Duration::ZERO).await;
    assert!(found.faults[0].text.contains("failed to read content"), "{found:?}");
}

async fn signatures_are_of_the_very_bytes(bed: Bed) {
    let (signer, other) = (Signer::new(&[1; 32]), Signer::new(&[2; 32]));
    let path = bed.file("model.onnx", b"one");
    bed.registry.publish(&publication(&path, &[]), Some(&signer), &actor(1)).await.unwrap();
    let find = async || bed.registry.find(&"digits".parse().unwrap()).await.unwrap();
    let version = find().await;
    let keys = [signer.verifier()];
    assert!(verify(&keys, &version.bytes, &version.signatures).is_ok());
    assert!(verify(&[other.verifier()], &version.bytes, &version.signatures).is_err());
    bed.registry.sign(&version, &other, &actor(2)).await.unwrap();
    let version = find().await;
    assert_eq!(version.signatures.len(), 2);
    assert!(verify(&[other.verifier()], &version.bytes, &version.signatures).is_ok());
}

async fn who_waits_is_told_of_changes_and_looks_all_the_same(bed: Bed) {
    let mut wake = bed.registry.wake(Duration::from_millis(50));
    if bed.is_on_postgres() {
        // Connected: what was before is not known.
        let mut patient = bed.registry.wake(Duration::from_secs(20));
        assert_eq!(patient.next().await, Woken::Told);
        bed.publish(b"one", &[]).await;
        assert_eq!(patient.next().await, Woken::Told);
        wake.next().await;
    }
    assert_eq!(wake.next().await, Woken::Polled);
}

async fn a_large_content_comes_and_goes_in_parts(bed: Bed) {
    let content: Vec<u8> = (0..20_000_001_u32).map(|index| (index % 251) as u8).collect();
    bed.publish(&content, &[]).await;
    let version = bed.registry.find(&"digits".parse().unwrap()).await.unwrap();
    let out = bed.folder.path().join("out");
    bed.registry.fetch(&version, &out).await.unwrap();
    assert!(std::fs::read(out.join("model.onnx")).unwrap() == content);
    let checked = bed.registry.fsck((false, Duration::ZERO), &actor(1)).await.unwrap();
    assert_eq!((checked.bytes, checked.faults), (20_000_001, vec![]));
}

async fn contents_get_another_key_without_being_touched(bed: Bed) {
    let Some(old) = bed.key.clone() else { return };
    bed.publish(b"one", &[]).await;
    let before = bed.read(&bed.blobs().await[0]).await;
    assert!(!before.windows(3).any(|window| window == b"one"));
    let new = EncryptionKey::generate().unwrap();
    let with = async |keys: &[&EncryptionKey]| {
        let keys = keys.iter().map(|&key| key.clone()).collect();
        bed.place.clone().with_keys(keys).open(true).await.unwrap()
    };
    let find = async |registry: &Registry, out: &str| {
        let version = registry.find(&"digits".parse().unwrap()).await.unwrap();
        let out = bed.folder.path().join(out);
        registry
            .fetch(&version, &out)
            .await
            .map(|()| std::fs::read(out.join("model.onnx")).unwrap())
    };
    let error = with(&[&new]).await.rekey(&actor(1)).await.unwrap_err().to_string();
    assert!(error.contains(&format!("by key {}", old.id())), "{error}");
    let done = with(&[&new, &old]).await.rekey(&actor(1)).await.unwrap();
    assert_eq!((done.key, done.changed, done.unchanged, done.open), (new.id(), 1, 0, 0));
    assert_eq!(bed.read(&bed.blobs().await[0]).await, before);
    assert_eq!(find(&with(&[&new]).await, "out").await.unwrap(), b"one");
    let error = find(&with(&[&old]).await, "other").await.unwrap_err().to_string();
    assert!(error.contains(&format!("by key {}, given are {}", new.id(), old.id())), "{error}");

    // Without any key everything but contents is there, and nothing is stored openly by mistake.
    let open = with(&[]).await;
    assert_eq!(open.models().await.unwrap().len(), 1);
    let path = bed.file("model.onnx", b"two");
    let error = open.publish(&publication(&path, &[]), None, &actor(1)).await.unwrap_err();
    assert!(error.to_string().contains(&format!("by key {}, and none", new.id())), "{error}");
    let checked = open.fsck((false, Duration::ZERO), &actor(1)).await.unwrap();
    assert_eq!((checked.faults, checked.sealed), (vec![], [(new.id(), 1)].into()));
    // What lies there is checked all the same.
    bed.write(&bed.blobs().await[0], b"something else").await;
    assert!(!open.fsck((false, Duration::ZERO), &actor(1)).await.unwrap().is_sound());
}

beds::on_every_bed! {
    what_is_published_is_found_whole_and_as_it_was,
    the_same_files_are_the_same_version_and_numbers_are_never_used_again,
    latest_passes_over_what_is_deprecated,
    an_alias_moves_only_from_where_it_is_expected_to_be,
    of_many_who_move_an_alias_at_once_one_succeeds,
    writers_at_once_get_numbers_of_their_own,
    a_rollback_goes_back_through_history,
    what_is_used_is_not_removed,
    what_a_replica_serves_is_not_removed_until_it_says_otherwise,
    a_fetched_folder_is_checked_against_its_manifest,
    what_is_removed_and_named_at_once_is_one_of_both,
    what_is_collected_while_it_is_published_is_stored_again,
    no_signature_is_lost_and_known_files_are_signed_too,
    a_rollout_is_one_at_a_time_and_moves_its_alias_in_the_end,
    of_many_who_take_a_step_one_succeeds,
    a_promotion_fails_whole_where_somebody_moved_the_alias,
    figures_of_replicas_are_those_of_the_stage,
    contents_are_collected_when_nothing_has_them_and_some_time_has_passed,
    leftovers_are_found_and_removed_and_damage_is_said,
    signatures_are_of_the_very_bytes,
    who_waits_is_told_of_changes_and_looks_all_the_same,
    contents_get_another_key_without_being_touched,
    a_large_content_comes_and_goes_in_parts,
}
