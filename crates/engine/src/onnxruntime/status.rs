//! What the library says about a call: an `OrtStatus`, turned into an error of ours.

use std::ffi::CStr;

use ort_sys::{OrtStatus, OrtStatusPtr};

use super::library::Library;
use crate::RunError;

/// A failed call: the library's code and words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) code: i32,
    pub(super) message: String,
}

// From onnxruntime_c_api.h. Plain numbers: a newer library may answer codes that an enum of ours
// does not have.
const FAIL: i32 = 1;
const INVALID_ARGUMENT: i32 = 2;
const RUNTIME_EXCEPTION: i32 = 6;

impl Failure {
    /// The library said that all is well and gave nothing.
    #[cold]
    pub(super) fn no_value() -> Failure {
        Failure { code: FAIL, message: "the library answered nothing".into() }
    }

    /// A path that no C library can open.
    #[cold]
    pub(super) fn zero_byte() -> Failure {
        Failure { code: FAIL, message: "the path contains a zero byte".into() }
    }

    /// Whose fault a failed run is.
    ///
    /// The library has one code for arguments that it refuses itself, but a kernel that meets
    /// shapes which disagree often throws instead, which comes out as a general failure. A
    /// deterministic program that fails within a node fails because of what it was given, unless
    /// memory ran out.
    pub(super) fn into_run_error(self) -> RunError {
        let memory = self.message.contains("bad_alloc") || self.message.contains("allocate memory");
        let in_node = self.message.contains("while running");
        let inputs = match self.code {
            INVALID_ARGUMENT => true,
            FAIL | RUNTIME_EXCEPTION => in_node,
            _ => false,
        };
        if inputs && !memory {
            RunError::Inputs(self.message)
        } else {
            RunError::Failed(self.message)
        }
    }
}

impl Library {
    /// Turns a status into a result and frees it.
    pub(super) fn check(&self, status: OrtStatusPtr) -> Result<(), Failure> {
        if status.0.is_null() { Ok(()) } else { Err(self.take_failure(status.0)) }
    }

    #[cold]
    fn take_failure(&self, status: *mut OrtStatus) -> Failure {
        type GetCode = unsafe extern "system" fn(*const OrtStatus) -> i32;
        // SAFETY: an `OrtErrorCode` is a C enum, which is an `i32` at this border; reading it as
        // one is valid whatever number comes back. `status` is not null and was just handed to
        // us; it is freed once, after its message has been copied.
        unsafe {
            let code: GetCode = std::mem::transmute(self.api().GetErrorCode);
            let code = code(status);
            let message = CStr::from_ptr((self.api().GetErrorMessage)(status));
            let message = message.to_string_lossy().into_owned();
            (self.api().ReleaseStatus)(status);
            Failure { code, message }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fault_follows_code_and_place() {
        let error =
            |code, message: &str| Failure { code, message: message.into() }.into_run_error();
        assert!(matches!(error(2, "Got invalid dimensions for input"), RunError::Inputs(_)));
        let broadcast = "Non-zero status code returned while running Add node. Name:'a'";
        assert!(matches!(error(6, broadcast), RunError::Inputs(_)));
        let memory = "while running Add node: std::bad_alloc";
        assert!(matches!(error(6, memory), RunError::Failed(_)));
        assert!(matches!(error(1, "no kernel"), RunError::Failed(_)));
        assert!(matches!(error(99, "new code"), RunError::Failed(_)));
    }
}
