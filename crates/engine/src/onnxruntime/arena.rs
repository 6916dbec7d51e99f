//! The memory that runs work in: one arena for all sessions, which gives back what it no longer
//! needs.
//!
//! Left alone, each session has an arena of its own that grows in powers of two and never
//! shrinks: a few large batches would cost their memory for ever.

use std::cell::Cell;
use std::ptr::{self, NonNull};

use ort_sys::{OrtEnv, OrtMemoryInfo, OrtRunOptions};

use super::library::Library;
use super::status::Failure;

/// One run in so many of a thread frees, at its end, what the arena does not hold in use. The
/// memory is taken anew by the next run, so that must be seldom.
const TRIM_EVERY: u32 = 1024;

/// Options of runs that trim the arena.
pub(super) struct Trim(NonNull<OrtRunOptions>);

// SAFETY: the options are only read after they have been made.
unsafe impl Send for Trim {}
// SAFETY: as above.
unsafe impl Sync for Trim {}

impl Trim {
    /// Makes the options. Like the library, they live as long as the process.
    pub(super) fn new(library: &Library) -> Result<Trim, Failure> {
        let api = library.api();
        let mut raw = ptr::null_mut();
        // SAFETY: `raw` receives the options; key and value are C strings.
        unsafe {
            library.check((api.CreateRunOptions)(&mut raw))?;
            let (key, value) = (c"memory.enable_memory_arena_shrinkage", c"cpu:0");
            library.check((api.AddRunConfigEntry)(raw, key.as_ptr(), value.as_ptr()))?;
        }
        NonNull::new(raw).map(Trim).ok_or_else(Failure::no_value)
    }

    /// The options of this thread's next run: null for most.
    pub(super) fn now_and_then(&self) -> *const OrtRunOptions {
        thread_local! {
            static RUNS: Cell<u32> = const { Cell::new(0) };
        }
        RUNS.set(RUNS.get().wrapping_add(1));
        if RUNS.get().is_multiple_of(TRIM_EVERY) { self.0.as_ptr() } else { ptr::null() }
    }
}

/// Makes the arena that sessions with `session.use_env_allocators` share; it grows by what is
/// asked for.
pub(super) fn share(
    library: &Library,
    env: *mut OrtEnv,
    memory: *const OrtMemoryInfo,
) -> Result<(), Failure> {
    const AS_REQUESTED: usize = 1;
    let (keys, values) = ([c"arena_extend_strategy".as_ptr()], [AS_REQUESTED]);
    let api = library.api();
    let mut arena = ptr::null_mut();
    // SAFETY: keys and values are as many as said; the environment copies the settings, so they
    // can go after the call.
    unsafe {
        let status = (api.CreateArenaCfgV2)(keys.as_ptr(), values.as_ptr(), 1, &mut arena);
        library.check(status)?;
        let status = (api.CreateAndRegisterAllocator)(env, memory, arena);
        (api.ReleaseArenaCfg)(arena);
        library.check(status)
    }
}
