//! rten: pure Rust, embedded, always there.
//!
//! | module | holds |
//! |---|---|
//! | `session` | a loaded model |
//! | `border` | datatypes in and out |
//! | `load`, `beside` | from a file, and weights beside it, to a session |
//! | `unsupported` | operators that it does not have |
//! | `amend` | what it answers wrongly, made right |
//! | `admission` | what cannot be made right |
//! | `integers` | constants beyond 32 bits |
//! | `sizes` | outputs as large as a request says |

mod admission;
mod amend;
mod beside;
mod border;
mod integers;
mod load;
mod session;
mod sizes;
#[cfg(test)]
mod testing;
mod unsupported;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use modelyard_graph::Model;
use rten::ThreadPool;

use crate::memory::resident_bytes;
use crate::{Engine, LoadError, LoadOptions, Loaded, ModelFile, Refusal};

/// The engine's name.
pub const NAME: &str = "rten";

/// Version of the library, as pinned in Cargo.toml.
const VERSION: &str = "0.27.0";

/// rten as an [`Engine`].
#[derive(Default)]
pub struct Rten {
    /// The pool for calls over all threads, shared by all models; remade when asked for another
    /// size.
    all: Mutex<Option<(usize, Arc<ThreadPool>)>>,
}

impl Rten {
    /// Makes the pool for calls over all threads.
    pub(crate) fn prepare(&self, options: &LoadOptions) {
        self.pool(options.threads.max(1));
    }

    fn pool(&self, threads: usize) -> Arc<ThreadPool> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        match &*all {
            Some((size, pool)) if *size == threads => Arc::clone(pool),
            _ => {
                let pool = Arc::new(ThreadPool::with_num_threads(threads));
                *all = Some((threads, Arc::clone(&pool)));
                pool
            }
        }
    }
}

impl Engine for Rten {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> String {
        VERSION.to_owned()
    }

    fn refusals(&self, model: &Model) -> Vec<Refusal> {
        let mut refusals = unsupported::refusals(model);
        refusals.extend(admission::refusals(model));
        refusals.extend(amend::amend(model).refusals);
        refusals
    }

    fn load(&self, file: &ModelFile, options: &LoadOptions) -> Result<Loaded, LoadError> {
        let (start, before) = (Instant::now(), resident_bytes());
        // What rten does not have, its loader tells.
        let mut refusals = admission::refusals(&file.model);
        let mut amended = amend::amend(&file.model);
        refusals.append(&mut amended.refusals);
        if !refusals.is_empty() {
            return Err(LoadError::Refused { engine: NAME, refusals });
        }
        let session = load::load(file, amended, self.pool(options.threads.max(1)))?;
        Ok(Loaded {
            session: Box::new(session),
            engine: NAME,
            time: start.elapsed(),
            bytes: resident_bytes().saturating_sub(before),
        })
    }
}
