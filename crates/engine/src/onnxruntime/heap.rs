//! The C heap, where the library keeps its weights.

/// Gives what nobody uses of it back to the system. glibc keeps freed memory for later otherwise:
/// a server that unloaded a model would look as large as before.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn trim() {
    use std::ffi::c_int;

    unsafe extern "C" {
        /// glibc: releases free memory, all but `pad` bytes at the top.
        fn malloc_trim(pad: usize) -> c_int;
    }
    // SAFETY: takes any number, locks the heap's own arenas, and frees nothing that is in use.
    unsafe { malloc_trim(0) };
}

/// Elsewhere the heap gives back by itself.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn trim() {}
