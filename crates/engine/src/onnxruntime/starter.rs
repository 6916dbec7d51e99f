//! Starts the threads of the library's pools.
//!
//! A thread has the priority of the one that started it, and models are loaded by threads of low
//! priority. So a thread that keeps its own starts those that will serve.

use std::ffi::c_void;
use std::ptr;
use std::sync::OnceLock;
use std::sync::mpsc::{self, SendError, Sender};
use std::thread::{Builder, JoinHandle};

use ort_sys::{OrtCustomThreadHandle, OrtThreadWorkerFn};

/// As the library's own threads have it.
const STACK_BYTES: usize = 8 << 20;

/// What a thread of the library does.
struct Work {
    run: OrtThreadWorkerFn,
    parameter: *mut c_void,
}

// SAFETY: the library gives it for a thread that is not there yet, and joins that thread before it
// frees what it works on.
unsafe impl Send for Work {}

struct Order {
    work: Work,
    started: Sender<Option<JoinHandle<()>>>,
}

/// Has the thread there that starts the others, of the caller's priority for ever.
pub(crate) fn prepare() {
    starter();
}

fn starter() -> Option<&'static Sender<Order>> {
    static STARTER: OnceLock<Option<Sender<Order>>> = OnceLock::new();
    let start = || {
        let (orders, line) = mpsc::channel::<Order>();
        let serve = move || {
            for Order { work, started } in line {
                // Whoever ordered it waits for the answer.
                let _ = started.send(work.start());
            }
        };
        Builder::new().name("starter".into()).spawn(serve).ok().map(|_| orders)
    };
    STARTER.get_or_init(start).as_ref()
}

impl Work {
    fn start(self) -> Option<JoinHandle<()>> {
        let builder = Builder::new().name("onnxruntime".into()).stack_size(STACK_BYTES);
        builder.spawn(move || self.run()).ok()
    }

    fn run(self) {
        // SAFETY: as the library asks: once, on a thread of its own, with what it gave for it.
        unsafe { (self.run)(self.parameter) }
    }
}

/// Starts a thread for the library; null, which is an error there, where the system has none left.
///
/// # Safety
///
/// `run` may be called once with `parameter` on another thread, until that is joined.
pub(super) unsafe extern "C" fn create(
    _: *mut c_void,
    run: OrtThreadWorkerFn,
    parameter: *mut c_void,
) -> OrtCustomThreadHandle {
    let (started, answer) = mpsc::channel();
    let order = Order { work: Work { run, parameter }, started };
    let refused = match starter() {
        Some(starter) => starter.send(order).err().map(|SendError(order)| order),
        None => Some(order),
    };
    let thread = match refused {
        None => answer.recv().ok().flatten(),
        // Better one of this thread's priority than none.
        Some(order) => order.work.start(),
    };
    thread.map_or(ptr::null(), |thread| Box::into_raw(Box::new(thread)).cast_const().cast())
}

/// Waits for the end of a thread.
///
/// # Safety
///
/// `thread` is what [`create`] answered, and comes once.
pub(super) unsafe extern "C" fn join(thread: OrtCustomThreadHandle) {
    // SAFETY: made by `create` from a box of this type, whose owner the library was.
    let thread = unsafe { Box::from_raw(thread.cast_mut().cast::<JoinHandle<()>>()) };
    // A panic cannot come out of the library's code, and would have been printed.
    let _ = thread.join();
}
