//! The end of a process that used engines.

use std::ffi::c_int;
use std::io::Write;

unsafe extern "C" {
    /// POSIX: ends the process at once.
    fn _exit(status: c_int) -> !;
}

/// Ends the process at once, after what was printed went out. To be called last thing in `main`.
///
/// Unlike returning from `main` it runs no destructors of shared libraries: those of ONNX Runtime
/// crash while a thread still loads a session in the background.
pub fn end_process(code: u8) -> ! {
    // What cannot be written has no reader any more.
    let _ = std::io::stdout().flush();
    // SAFETY: takes any number and touches no memory of this process.
    unsafe { _exit(c_int::from(code)) }
}
