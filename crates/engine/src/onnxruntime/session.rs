//! A loaded model, shared by all its callers.
//!
//! One session has one thread of its own: the caller's. It serves any number of callers at once.
//! A lone caller of a model that is worth it gets a second session over all threads, made in the
//! background when the first such call has shown what the model costs. Where all calls are lone,
//! that one is all there is.

use std::ffi::CString;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use modelyard_tensor::{Dim, Signature, Tensor, TensorView};
use ort_sys::{OrtSession, OrtValue};
use smallvec::SmallVec;

use super::library::Library;
use super::options::Options;
use super::status::Failure;
use super::value::{Value, into_tensor};
use crate::{LoadOptions, Parallelism, RunError, Session};

/// A call that takes this long on one thread gains by several; below, starting the others costs
/// about as much as they save.
const WORTH_ALL_THREADS: Duration = Duration::from_millis(1);

/// So many calls in a row must have taken that long: one may just have been interrupted.
const SLOW_CALLS: u32 = 3;

/// A session of the library.
pub(super) struct Handle {
    raw: NonNull<OrtSession>,
    library: &'static Library,
}

// SAFETY: `Run` on one session is documented as callable from several threads at once.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: the last owner; every run has ended, since a run borrows the handle.
        unsafe { (self.library.api().ReleaseSession)(self.raw.as_ptr()) }
    }
}

impl Handle {
    pub(super) fn from_raw(
        raw: *mut OrtSession,
        library: &'static Library,
    ) -> Result<Arc<Handle>, Failure> {
        let raw = NonNull::new(raw).ok_or_else(Failure::no_value)?;
        Ok(Arc::new(Handle { raw, library }))
    }
}

/// [`Session`] over ONNX Runtime.
pub(super) struct OnnxRuntimeSession {
    shared: Arc<Shared>,
}

struct Shared {
    library: &'static Library,
    path: PathBuf,
    /// The file that was loaded: it may be replaced by another.
    file: Option<Stamp>,
    threads: usize,
    signature: Signature,
    inputs: Vec<CString>,
    outputs: Vec<CString>,
    one: Arc<Handle>,
    all: OnceLock<Arc<Handle>>,
    all_requested: AtomicBool,
    slow_calls: AtomicU32,
}

impl OnnxRuntimeSession {
    /// Loads the model at `path`.
    pub(super) fn load(
        library: &'static Library,
        path: PathBuf,
        signature: Signature,
        &LoadOptions { threads, lone }: &LoadOptions,
    ) -> Result<Self, String> {
        let few_shapes = has_few_shapes(&signature);
        let file = stamp(&path);
        let one = Options::new(library, if lone { threads } else { 1 })
            .and_then(|options| options.plan_memory(few_shapes)?.open(&path))
            .map_err(|failure| failure.message)?;
        let inputs = names(signature.inputs.iter().map(|spec| &spec.name))?;
        let outputs = names(signature.outputs.iter().map(|spec| &spec.name))?;
        let shared = Shared {
            library,
            path,
            file,
            threads,
            signature,
            inputs,
            outputs,
            one,
            all: OnceLock::new(),
            all_requested: AtomicBool::new(lone || threads <= 1),
            slow_calls: AtomicU32::new(0),
        };
        Ok(OnnxRuntimeSession { shared: Arc::new(shared) })
    }
}

/// What tells a file from another at the same path.
type Stamp = (u64, u64, SystemTime);

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.ino(), metadata.len(), metadata.modified().ok()?))
}

/// Whether only the outermost dimension of any input is free.
fn has_few_shapes(signature: &Signature) -> bool {
    signature
        .inputs
        .iter()
        .all(|spec| spec.dims.as_ref().is_some_and(|dims| !dims.iter().skip(1).any(Dim::is_free)))
}

fn names<'a>(names: impl Iterator<Item = &'a String>) -> Result<Vec<CString>, String> {
    names
        .map(|name| CString::new(name.as_str()))
        .collect::<Result<_, _>>()
        .map_err(|_| "the name of an input or output contains a zero byte".to_owned())
}

impl Session for OnnxRuntimeSession {
    fn signature(&self) -> &Signature {
        &self.shared.signature
    }

    fn run(
        &self,
        inputs: &[TensorView<'_>],
        outputs: &[usize],
        parallelism: Parallelism,
    ) -> Result<Vec<Tensor>, RunError> {
        let shared = &self.shared;
        if outputs.is_empty() {
            // The library demands at least one.
            return Ok(Vec::new());
        }
        if parallelism == Parallelism::One {
            return shared.run_on(&shared.one, inputs, outputs);
        }
        if let Some(all) = shared.all.get() {
            return shared.run_on(all, inputs, outputs);
        }
        if shared.all_requested.load(Ordering::Relaxed) {
            return shared.run_on(&shared.one, inputs, outputs);
        }
        let start = Instant::now();
        let answer = shared.run_on(&shared.one, inputs, outputs);
        if start.elapsed() < WORTH_ALL_THREADS {
            shared.slow_calls.store(0, Ordering::Relaxed);
        } else if shared.slow_calls.fetch_add(1, Ordering::Relaxed) + 1 >= SLOW_CALLS {
            shared.request_all_threads();
        }
        answer
    }

    fn is_spread(&self) -> bool {
        self.shared.all.get().is_some()
    }

    fn spread(&self) {
        if !self.shared.all_requested.swap(true, Ordering::Relaxed) {
            self.shared.open_all_threads();
        }
    }
}

impl Shared {
    fn run_on(
        &self,
        session: &Arc<Handle>,
        inputs: &[TensorView<'_>],
        outputs: &[usize],
    ) -> Result<Vec<Tensor>, RunError> {
        let library = self.library;
        let mut values: SmallVec<[Value; 4]> = SmallVec::with_capacity(inputs.len());
        for input in inputs {
            // SAFETY: the values end with this call, before the inputs; an output that shares an
            // input's memory is copied by `into_tensor`.
            let value = unsafe { Value::borrowed(input, library) };
            values.push(value.map_err(Failure::into_run_error)?);
        }
        let value_ptrs: SmallVec<[*const OrtValue; 4]> = values.iter().map(Value::as_ptr).collect();
        let input_names: SmallVec<[_; 4]> = self.inputs.iter().map(|name| name.as_ptr()).collect();
        let output_names: SmallVec<[_; 4]> =
            outputs.iter().map(|&index| self.outputs[index].as_ptr()).collect();
        let mut answers: SmallVec<[*mut OrtValue; 4]> =
            SmallVec::from_elem(ptr::null_mut(), outputs.len());
        // SAFETY: session, names and values live through the call; each array is as long as
        // said; the answers are null, so the library makes them.
        let status = unsafe {
            (library.api().Run)(
                session.raw.as_ptr(),
                library.run_options(),
                input_names.as_ptr(),
                value_ptrs.as_ptr(),
                value_ptrs.len().min(input_names.len()),
                output_names.as_ptr(),
                output_names.len(),
                answers.as_mut_ptr(),
            )
        };
        let answers: SmallVec<[Option<Value>; 4]> =
            answers.into_iter().map(|raw| Value::from_raw(raw, library)).collect();
        library.check(status).map_err(Failure::into_run_error)?;
        answers
            .into_iter()
            .map(|value| {
                let value = value.ok_or_else(|| Failure::no_value().into_run_error())?;
                into_tensor(value, inputs, session)
            })
            .collect()
    }

    /// Makes the session over all threads, once, without anybody waiting for it.
    fn request_all_threads(self: &Arc<Self>) {
        if self.all_requested.swap(true, Ordering::Relaxed) {
            return;
        }
        let shared = Arc::clone(self);
        let thread = std::thread::Builder::new()
            .name("onnxruntime-load".into())
            .spawn(move || shared.open_all_threads());
        if let Err(error) = thread {
            tracing::warn!("lone calls stay on one thread: cannot start a thread: {error}");
        }
    }

    /// Makes the session over all threads.
    fn open_all_threads(&self) {
        let opened = Options::new(self.library, self.threads).and_then(|options| {
            options.plan_memory(has_few_shapes(&self.signature))?.open(&self.path)
        });
        match opened {
            // Looked at afterwards: then it was this file that was read.
            Ok(_) if self.file.is_none() || stamp(&self.path) != self.file => tracing::warn!(
                model = %self.path.display(),
                "lone calls stay on one thread: the file is not the one that was loaded"
            ),
            Ok(session) => drop(self.all.set(session)),
            Err(failure) => tracing::warn!(
                model = %self.path.display(),
                "lone calls stay on one thread: {}", failure.message
            ),
        }
    }
}
