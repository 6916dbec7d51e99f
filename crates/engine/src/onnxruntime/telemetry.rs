//! Modelyard phones nobody, and neither does what it loads.
//!
//! ONNX Runtime from 1.29 reports its use unless `ORT_DISABLE_TELEMETRY` is set before its
//! environment is created; its API call acts only afterwards. Environment variables may only be
//! changed while nobody else can read them, so this is done first thing in `main`; a library with
//! such code that is loaded without the variable is refused.

use std::ffi::OsStr;

/// The switch.
pub(super) const VARIABLE: &str = "ORT_DISABLE_TELEMETRY";

/// Libraries 1.N with N from here on have the code.
pub(super) const FIRST_MINOR_WITH_TELEMETRY: u32 = 29;

/// Prepares the environment variables that the engines' libraries read: no telemetry, and no
/// more than `threads` threads in pools that a library makes for itself.
///
/// To be called first thing in `main`. Does nothing once the process has a second thread, since
/// changing the environment is then unsound; returns whether everything is as it should be.
pub fn prepare_process(threads: usize) -> bool {
    let pool = threads.to_string();
    set_while_alone(VARIABLE, "1".as_ref()) & set_while_alone("RTEN_NUM_THREADS", pool.as_ref())
}

/// Whether the switch is off already.
pub(super) fn is_silenced() -> bool {
    std::env::var_os(VARIABLE).is_some_and(|value| value == "1")
}

fn set_while_alone(name: &str, value: &OsStr) -> bool {
    if std::env::var_os(name).as_deref() == Some(value) {
        return true;
    }
    if !is_alone() {
        return false;
    }
    // SAFETY: this is the only thread of the process, so nobody reads the environment meanwhile.
    unsafe { std::env::set_var(name, value) };
    true
}

/// Whether this process has one thread. Only this thread could start another.
fn is_alone() -> bool {
    std::fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_the_environment_alone_beside_other_threads() {
        let (stop, wait) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || wait.recv());
        assert!(!set_while_alone("MODELYARD_TEST_ALONE", "1".as_ref()));
        assert!(std::env::var_os("MODELYARD_TEST_ALONE").is_none());
        drop(stop);
        assert!(other.join().unwrap().is_err());
    }
}
