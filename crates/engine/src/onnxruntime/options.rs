//! How sessions are set up.

use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use ort_sys::{GraphOptimizationLevel, OrtSessionOptions};

use super::library::Library;
use super::session::Handle;
use super::starter;
use super::status::Failure;

/// Settings of the library by name.
///
/// * Threads spin for work only while a call runs: nothing spins idle.
/// * Weights are allocated one by one, not out of the arena that runs work in; that is one for all
///   sessions (`arena`).
const ENTRIES: [(&CStr, &CStr); 5] = [
    (c"session.intra_op.allow_spinning", c"1"),
    (c"session.inter_op.allow_spinning", c"0"),
    (c"session.force_spinning_stop", c"1"),
    (c"session.use_device_allocator_for_initializers", c"1"),
    (c"session.use_env_allocators", c"1"),
];

/// Session options of the library.
pub(super) struct Options {
    raw: NonNull<OrtSessionOptions>,
    library: &'static Library,
}

impl Drop for Options {
    fn drop(&mut self) {
        // SAFETY: made in `new`, freed once.
        unsafe { (self.library.api().ReleaseSessionOptions)(self.raw.as_ptr()) }
    }
}

impl Options {
    /// Options for a session over `threads` threads, the caller's among them.
    pub(super) fn new(library: &'static Library, threads: usize) -> Result<Self, Failure> {
        let api = library.api();
        let mut raw = ptr::null_mut();
        // SAFETY: `raw` receives the options.
        library.check(unsafe { (api.CreateSessionOptions)(&mut raw) })?;
        let raw = NonNull::new(raw).ok_or_else(Failure::no_value)?;
        let options = Options { raw, library };
        let threads = i32::try_from(threads).unwrap_or(i32::MAX);
        let level = GraphOptimizationLevel::ORT_ENABLE_ALL;
        let raw = raw.as_ptr();
        // SAFETY: the options are valid; plain numbers go in.
        unsafe {
            library.check((api.SetIntraOpNumThreads)(raw, threads))?;
            library.check((api.SetInterOpNumThreads)(raw, 1))?;
            library.check((api.SetSessionGraphOptimizationLevel)(raw, level))?;
        }
        // SAFETY: the options are valid; both functions are as the library wants them.
        unsafe {
            let (create, join) = (Some(starter::create as _), Some(starter::join as _));
            library.check((api.SessionOptionsSetCustomCreateThreadFn)(raw, create))?;
            library.check((api.SessionOptionsSetCustomJoinThreadFn)(raw, join))?;
        }
        for (key, value) in ENTRIES {
            // SAFETY: the options are valid; both are C strings.
            let status = unsafe { (api.AddSessionConfigEntry)(raw, key.as_ptr(), value.as_ptr()) };
            library.check(status)?;
        }
        Ok(options)
    }

    /// Whether the library plans memory ahead for each combination of input shapes that it meets.
    /// It keeps the plans for ever, so that is only for models with few.
    pub(super) fn plan_memory(self, plan: bool) -> Result<Self, Failure> {
        if !plan {
            // SAFETY: the options are valid.
            let status = unsafe { (self.library.api().DisableMemPattern)(self.raw.as_ptr()) };
            self.library.check(status)?;
        }
        Ok(self)
    }

    /// Opens a model file with these options.
    pub(super) fn open(&self, path: &Path) -> Result<Arc<Handle>, Failure> {
        let path = CString::new(path.as_os_str().as_bytes()).map_err(|_| Failure::zero_byte())?;
        let mut session = ptr::null_mut();
        // SAFETY: environment, path and options live through the call; `session` receives the
        // session.
        let status = unsafe {
            (self.library.api().CreateSession)(
                self.library.env(),
                path.as_ptr(),
                self.raw.as_ptr(),
                &mut session,
            )
        };
        self.library.check(status)?;
        Handle::from_raw(session, self.library)
    }
}
