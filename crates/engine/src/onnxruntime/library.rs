//! The shared library: found, loaded once, its environment made.

use std::collections::HashMap;
use std::error::Error;
use std::ffi::{CStr, c_char, c_void};
use std::path::{Path, PathBuf};
use std::ptr::{self, NonNull};

use ort_sys::{
    OrtAllocator, OrtAllocatorType, OrtApi, OrtApiBase, OrtEnv, OrtLoggingLevel, OrtMemType,
    OrtMemoryInfo, OrtRunOptions,
};
use parking_lot::Mutex;

use super::arena::{self, Trim};
use super::telemetry;

/// The API version that we use; each library has those of all older ones too.
const API_VERSION: u32 = ort_sys::ORT_API_VERSION;

/// A loaded ONNX Runtime with its environment. Lives until the process ends: its threads and
/// static destructors make unloading unsafe.
pub(super) struct Library {
    api: NonNull<OrtApi>,
    env: NonNull<OrtEnv>,
    memory_info: NonNull<OrtMemoryInfo>,
    allocator: NonNull<OrtAllocator>,
    /// Present once the library is complete.
    trim: Option<Trim>,
    path: PathBuf,
    version: String,
}

// SAFETY: the API table is immutable; environment, memory info and default allocator are
// documented as usable from several threads at once.
unsafe impl Send for Library {}
// SAFETY: as above.
unsafe impl Sync for Library {}

impl Library {
    /// Loads the library at `path`, or returns it when it is loaded already.
    pub(super) fn open(path: &Path) -> Result<&'static Library, String> {
        static LOADED: Mutex<Option<HashMap<PathBuf, &'static Library>>> = Mutex::new(None);
        let path = path
            .canonicalize()
            .map_err(|error| format!("cannot find {}: {error}", path.display()))?;
        let mut loaded = LOADED.lock();
        let loaded = loaded.get_or_insert_default();
        if let Some(library) = loaded.get(&path) {
            return Ok(library);
        }
        let library: &'static Library = Box::leak(Box::new(Library::load(&path)?));
        loaded.insert(path, library);
        Ok(library)
    }

    fn load(path: &Path) -> Result<Library, String> {
        let shown = path.display();
        // SAFETY: the user chose this file as their ONNX Runtime; loading a shared library runs
        // its initializers, which is what they asked for.
        let handle = unsafe { libloading::Library::new(path) }
            .map_err(|error| format!("cannot load {shown} as a shared library: {}", why(&error)))?;
        // Never unloaded, see the type.
        let handle = std::mem::ManuallyDrop::new(handle);
        type GetApiBase = unsafe extern "C" fn() -> *const OrtApiBase;
        // SAFETY: a symbol of this name has this type in every ONNX Runtime since 1.0.
        let base = unsafe {
            let symbol = handle.get::<GetApiBase>(b"OrtGetApiBase\0").map_err(|_| {
                format!("{shown} is not ONNX Runtime: it has no symbol OrtGetApiBase")
            })?;
            symbol().as_ref().ok_or_else(|| format!("{shown} offers no API"))?
        };
        // SAFETY: returns a static string.
        let version = unsafe { CStr::from_ptr((base.GetVersionString)()) };
        let version = version.to_string_lossy().into_owned();
        check_version(&version).map_err(|message| format!("{shown} {message}"))?;
        // SAFETY: the version was checked; null is handled.
        let api = NonNull::new(unsafe { (base.GetApi)(API_VERSION) }.cast_mut())
            .ok_or_else(|| format!("{shown} (version {version}) lacks API {API_VERSION}"))?;
        Library::with_environment(api, path.to_owned(), version)
            .map_err(|message| format!("cannot initialize {shown}: {message}"))
    }

    fn with_environment(
        api: NonNull<OrtApi>,
        path: PathBuf,
        version: String,
    ) -> Result<Library, String> {
        let mut library = Library {
            api,
            env: NonNull::dangling(),
            memory_info: NonNull::dangling(),
            allocator: NonNull::dangling(),
            trim: None,
            path,
            version,
        };
        // SAFETY: each call writes one pointer that it owns for us; the name is a C string; the
        // logger has the library's type and takes no parameter.
        unsafe {
            let api = library.api();
            let mut env = ptr::null_mut();
            let status = (api.CreateEnvWithCustomLogger)(
                log,
                ptr::null_mut(),
                OrtLoggingLevel::ORT_LOGGING_LEVEL_WARNING,
                c"modelyard".as_ptr(),
                &mut env,
            );
            library.check(status).map_err(|failure| failure.message)?;
            let status = (api.DisableTelemetryEvents)(env);
            library.check(status).map_err(|failure| failure.message)?;
            let mut info = ptr::null_mut();
            let status = (api.CreateCpuMemoryInfo)(
                OrtAllocatorType::OrtArenaAllocator,
                OrtMemType::OrtMemTypeDefault,
                &mut info,
            );
            library.check(status).map_err(|failure| failure.message)?;
            let mut allocator = ptr::null_mut();
            let status = (api.GetAllocatorWithDefaultOptions)(&mut allocator);
            library.check(status).map_err(|failure| failure.message)?;
            arena::share(&library, env, info).map_err(|failure| failure.message)?;
            library.env = NonNull::new(env).ok_or("no environment")?;
            library.memory_info = NonNull::new(info).ok_or("no memory info")?;
            library.allocator = NonNull::new(allocator).ok_or("no allocator")?;
        }
        library.trim = Some(Trim::new(&library).map_err(|failure| failure.message)?);
        Ok(library)
    }

    /// The table of functions.
    pub(super) fn api(&self) -> &OrtApi {
        // SAFETY: the table is static within a library that is never unloaded.
        unsafe { self.api.as_ref() }
    }

    pub(super) fn env(&self) -> *mut OrtEnv {
        self.env.as_ptr()
    }

    /// Describes memory of ours that tensors borrow.
    pub(super) fn memory_info(&self) -> *const OrtMemoryInfo {
        self.memory_info.as_ptr()
    }

    /// The library's own allocator, for strings.
    pub(super) fn allocator(&self) -> *mut OrtAllocator {
        self.allocator.as_ptr()
    }

    /// The options of this thread's next run.
    pub(super) fn run_options(&self) -> *const OrtRunOptions {
        self.trim.as_ref().map_or(ptr::null(), Trim::now_and_then)
    }

    pub(super) fn version(&self) -> &str {
        &self.version
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Whether a library of this version can be used: new enough, and silent.
fn check_version(version: &str) -> Result<(), String> {
    let mut parts = version.split('.').map(str::parse::<u32>);
    let (Some(Ok(major)), Some(Ok(minor))) = (parts.next(), parts.next()) else {
        return Err(format!("has the version '{version}', which is not of the form 1.N"));
    };
    if major != 1 || minor < API_VERSION {
        return Err(format!(
            "is ONNX Runtime {version}, expected 1.{API_VERSION} or newer (but below 2)"
        ));
    }
    if minor >= telemetry::FIRST_MINOR_WITH_TELEMETRY && !telemetry::is_silenced() {
        return Err(format!(
            "is ONNX Runtime {version}, which reports its use to its maker; set \
             {}=1 in the environment",
            telemetry::VARIABLE
        ));
    }
    Ok(())
}

/// An error with what caused it: `dlopen failed` alone does not say what is missing.
fn why(error: &dyn Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// Receives the library's log lines.
///
/// Failed calls come back as statuses and are reported by whoever made them, so its errors are
/// only worth a debug line here.
unsafe extern "system" fn log(
    _parameter: *mut c_void,
    severity: OrtLoggingLevel,
    _category: *const c_char,
    _id: *const c_char,
    _location: *const c_char,
    message: *const c_char,
) {
    if message.is_null() {
        return;
    }
    // SAFETY: the library hands over a C string that lives as long as this call.
    let message = unsafe { CStr::from_ptr(message) };
    // A panic of a subscriber must not cross into C++.
    let _ = std::panic::catch_unwind(|| {
        let message = message.to_string_lossy();
        if severity == OrtLoggingLevel::ORT_LOGGING_LEVEL_FATAL {
            tracing::error!(target: "onnxruntime", "{message}");
        } else {
            tracing::debug!(target: "onnxruntime", "{message}");
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_loader_said_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("libonnxruntime.so");
        std::fs::write(&path, b"\x7fELF but cut off").unwrap();
        let error = Library::open(&path).err().unwrap();
        // glibc's words: `file too short`.
        assert!(error.contains("libonnxruntime.so") && error.contains("short"), "{error}");
    }

    #[test]
    fn versions_are_judged_before_the_api_is_asked() {
        assert_eq!(check_version("1.22.0"), Ok(()));
        assert_eq!(check_version("1.28.0"), Ok(()));
        assert!(check_version("1.16.3").is_err());
        assert!(check_version("2.0.0").is_err());
        assert!(check_version("nightly").is_err());
    }
}
