//! Ctrl-C and SIGTERM while a model is trained: the run ends after the step under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::SigId;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

use crate::exit::Exit;

/// Notices the first ctrl-C or SIGTERM; the second ends the process at once. Until it is dropped:
/// then signals are for whoever listens next.
pub(crate) struct Interrupt {
    came: Arc<AtomicBool>,
    registered: Vec<SigId>,
}

impl Interrupt {
    /// From now on.
    pub(crate) fn listen() -> std::io::Result<Interrupt> {
        let mut interrupt = Interrupt { came: Arc::default(), registered: Vec::new() };
        for signal in [SIGINT, SIGTERM] {
            let came = &interrupt.came;
            // In this order: the one that ends must come before the one that sets.
            let ends =
                flag::register_conditional_shutdown(signal, Exit::Interrupted as i32, came.clone());
            interrupt.registered.push(ends?);
            interrupt.registered.push(flag::register(signal, interrupt.came.clone())?);
        }
        Ok(interrupt)
    }

    /// Whether one came.
    pub(crate) fn came(&self) -> bool {
        self.came.load(Ordering::Relaxed)
    }
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        for id in self.registered.drain(..) {
            low_level::unregister(id);
        }
    }
}
