//! `--exit-with-parent`: no server outlives the test or the notebook that started it.
//!
//! The parent is watched by its id: a kernel signal on the parent's death
//! (`PR_SET_PDEATHSIG`) would also come when only the *thread* that started us ends.

use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, getpgrp, getppid};

/// How often to look. An orphan lives no longer than this.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The process that started this one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parent(Option<Pid>);

impl Parent {
    /// To be called early: a parent that ended before cannot be told from the one that took over.
    pub(crate) fn now() -> Parent {
        Parent(getppid())
    }

    /// Waits until the parent has ended.
    pub(super) async fn ended(self) {
        if self.was_gone() {
            return;
        }
        while getppid() == self.0 {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Whether the parent had ended before we could look: process 1 took us over, and the leader
    /// of our process group, which we were born into, is gone. (In a container process 1 may be
    /// the true parent; it then leads the group itself.)
    fn was_gone(self) -> bool {
        let leader = Path::new("/proc").join(getpgrp().as_raw_pid().to_string());
        self.0.is_some_and(Pid::is_init) && Path::new("/proc/self").exists() && !leader.exists()
    }
}
