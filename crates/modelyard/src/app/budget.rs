//! Which models are in memory, where not all of them may be at once.
//!
//! A model that was just loaded keeps its place for a while (its lease), and one that requests wait for
//! does too: two callers cannot make two models push each other out again and again. Of the others the
//! one goes that was used least recently.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// The shortest lease.
const LEASE_LEAST: Duration = Duration::from_secs(1);
/// How many times as long as its loading took a model may stay at least.
const LEASE_LOADS: u32 = 5;

/// The models in memory, and what they take.
pub(super) struct Budget {
    limit: u64,
    models: Mutex<Models>,
}

#[derive(Default)]
struct Models {
    held: BTreeMap<String, Held>,
    /// What each took when it was loaded last.
    footprints: BTreeMap<String, u64>,
}

/// A model in memory, or on its way there.
struct Held {
    bytes: u64,
    /// When its lease ends; none while it is being loaded.
    until: Option<Instant>,
}

/// How a model is used.
#[derive(Clone, Copy, Debug)]
pub(super) struct Use {
    /// When it last ran.
    pub(super) last: SystemTime,
    /// Whether it has to stay: requests wait for it, or it could not be loaded again.
    pub(super) stays: bool,
}

impl Budget {
    /// So many bytes for all models together.
    pub(super) fn new(limit: u64) -> Budget {
        Budget { limit, models: Mutex::default() }
    }

    /// Keeps room for a model: what it took last, or else `guess`. Answers the models that have to go
    /// for that; or why there is no room.
    pub(super) fn reserve(
        &self,
        model: &str,
        guess: u64,
        used: impl Fn(&str) -> Use,
    ) -> Result<Vec<String>, String> {
        let mut models = self.lock();
        let need = models.footprints.get(model).copied().unwrap_or(guess);
        self.make_room(&mut models, (model, need), used)
    }

    /// Notes what a model takes now that it is loaded. Answers the models that have to go for that; or
    /// why it cannot stay, and then it has no room any more.
    pub(super) fn settle(
        &self,
        model: &str,
        (bytes, took): (u64, Duration),
        used: impl Fn(&str) -> Use,
    ) -> Result<Vec<String>, String> {
        let mut models = self.lock();
        models.footprints.insert(model.to_owned(), bytes);
        let gone = self.make_room(&mut models, (model, bytes), used).inspect_err(|_| {
            models.held.remove(model);
        })?;
        let lease = LEASE_LEAST.max(took * LEASE_LOADS);
        if let Some(held) = models.held.get_mut(model) {
            held.until = Some(Instant::now() + lease);
        }
        Ok(gone)
    }

    /// A model is not in memory any more.
    pub(super) fn release(&self, model: &str) {
        self.lock().held.remove(model);
    }

    fn make_room(
        &self,
        models: &mut Models,
        (model, need): (&str, u64),
        used: impl Fn(&str) -> Use,
    ) -> Result<Vec<String>, String> {
        let before = models.held.remove(model);
        let others: u64 = models.held.values().map(|held| held.bytes).sum();
        let mut over = (others + need).saturating_sub(self.limit);
        let mut gone = Vec::new();
        for (name, bytes) in models.idle(used) {
            if over == 0 {
                break;
            }
            over = over.saturating_sub(bytes);
            gone.push(name);
        }
        if over > 0 {
            let reason = self.full(models, need);
            // A version that serves meanwhile takes what it took.
            models.held.extend(before.map(|held| (model.to_owned(), held)));
            return Err(reason);
        }
        for name in &gone {
            models.held.remove(name);
        }
        models.held.insert(model.to_owned(), Held { bytes: need, until: None });
        Ok(gone)
    }

    fn full(&self, models: &Models, need: u64) -> String {
        let (need, limit) = (megabytes(need), megabytes(self.limit));
        let held: Vec<String> = models
            .held
            .iter()
            .map(|(name, held)| format!("'{name}' {}", megabytes(held.bytes)))
            .collect();
        match held.is_empty() {
            true => format!("it takes {need} of memory, memory_budget is {limit}"),
            false => format!(
                "it takes {need} of memory, memory_budget is {limit}, and what is in use has to stay: {}",
                held.join(", ")
            ),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Models> {
        self.models.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Models {
    /// Those that may go, least recently used first, with what that frees.
    fn idle(&self, used: impl Fn(&str) -> Use) -> Vec<(String, u64)> {
        let now = Instant::now();
        let over =
            self.held.iter().filter(|(_, held)| held.until.is_some_and(|until| until <= now));
        let mut idle: Vec<(SystemTime, String, u64)> = over
            .map(|(name, held)| (used(name), name, held.bytes))
            .filter(|(used, ..)| !used.stays)
            .map(|(used, name, bytes)| (used.last, name.clone(), bytes))
            .collect();
        idle.sort();
        idle.into_iter().map(|(_, name, bytes)| (name, bytes)).collect()
    }
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Use {
        let last = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
        Use { last, stays: false }
    }

    /// Loads a model whose lease is over at once.
    fn load(budget: &Budget, model: &str, bytes: u64, used: &dyn Fn(&str) -> Use) -> Vec<String> {
        let mut gone = budget.reserve(model, bytes, used).unwrap();
        gone.extend(budget.settle(model, (bytes, Duration::ZERO), used).unwrap());
        budget.lock().held.get_mut(model).unwrap().until = Some(Instant::now());
        gone
    }

    #[test]
    fn the_least_recently_used_go_and_no_more_than_must() {
        let budget = Budget::new(100);
        let used = |model: &str| {
            at(match model {
                "a" => 3,
                "b" => 1,
                _ => 2,
            })
        };
        assert!(load(&budget, "a", 40, &used).is_empty());
        assert!(load(&budget, "b", 30, &used).is_empty());
        assert!(load(&budget, "c", 30, &used).is_empty());
        assert_eq!(load(&budget, "d", 50, &used), ["b", "c"]);
        // What a model took is known the next time, whatever is guessed.
        budget.release("d");
        assert_eq!(budget.reserve("d", 1, used).unwrap(), [] as [&str; 0]);
        assert_eq!(budget.lock().held["d"].bytes, 50);
    }

    #[test]
    fn what_stays_leased_or_being_loaded_stays() {
        let budget = Budget::new(100);
        let used = |_: &str| at(1);
        load(&budget, "a", 60, &used);
        let busy = |_: &str| Use { stays: true, ..at(1) };
        let error = budget.reserve("b", 50, busy).unwrap_err();
        assert_eq!(
            error,
            "it takes 0.0 MB of memory, memory_budget is 0.0 MB, and what is in use has to stay: 'a' \
             0.0 MB"
        );
        budget.settle("a", (60, Duration::from_secs(60)), used).unwrap();
        assert!(budget.reserve("b", 50, used).is_err(), "leased");
        budget.release("a");
        budget.reserve("b", 50, used).unwrap();
        assert!(budget.reserve("a", 60, used).is_err(), "being loaded");
    }

    #[test]
    fn what_serves_is_counted_on_where_there_is_no_room_for_its_successor() {
        let budget = Budget::new(100);
        let used = |_: &str| at(1);
        load(&budget, "a", 60, &used);
        budget.lock().footprints.insert("a".into(), 120);
        assert!(budget.reserve("a", 1, used).is_err());
        assert_eq!(budget.lock().held["a"].bytes, 60);
    }

    #[test]
    fn what_is_larger_than_it_was_guessed_makes_others_go_or_goes_itself() {
        let budget = Budget::new(100);
        let used = |_: &str| at(1);
        load(&budget, "a", 60, &used);
        assert!(budget.reserve("b", 30, used).unwrap().is_empty());
        assert_eq!(budget.settle("b", (70, Duration::ZERO), used).unwrap(), ["a"]);
        budget.release("b");
        assert!(budget.reserve("c", 30, used).unwrap().is_empty());
        assert!(budget.settle("c", (101, Duration::ZERO), used).is_err());
        assert!(budget.lock().held.is_empty());
    }
}
