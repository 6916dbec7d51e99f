//! Where ONNX Runtime is looked for, in this order: what the user named, `ORT_DYLIB_PATH`, what
//! `modelyard engine install` put into the data directory, newest first.

use std::path::PathBuf;

use super::EngineConfig;
use super::installed::{self, Installed};
use crate::onnxruntime;

/// What to say when there is none.
pub(super) const NOT_FOUND: &str = "it is not installed; run `modelyard engine install onnxruntime`, or name a library with \
     --onnxruntime-lib or ORT_DYLIB_PATH";

/// A library that may be an ONNX Runtime.
pub(super) struct Candidate {
    pub(super) path: PathBuf,
    pub(super) origin: &'static str,
    /// What was recorded about it, if it was installed by us.
    pub(super) installed: Option<Installed>,
}

/// All of them, the one to use first.
pub(super) fn candidates(config: &EngineConfig) -> Vec<Candidate> {
    let named = |path: &Option<PathBuf>, origin| {
        path.clone().map(|path| Candidate { path, origin, installed: None })
    };
    let mut candidates: Vec<Candidate> = named(&config.onnxruntime_lib, "--onnxruntime-lib")
        .into_iter()
        .chain(named(&config.ort_dylib_path, "ORT_DYLIB_PATH"))
        .collect();
    let installed = installed::find(&config.data_dir, onnxruntime::NAME);
    candidates.extend(installed.into_iter().map(|installed| Candidate {
        path: installed.path.clone(),
        origin: "installed",
        installed: Some(installed),
    }));
    candidates
}
