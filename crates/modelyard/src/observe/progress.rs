//! A progress bar for people: on a terminal only, and only when something takes over a second.

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How long nothing is shown.
const QUIET: Duration = Duration::from_secs(1);

/// Where bars are drawn. Clones share the place.
#[derive(Clone)]
pub(crate) struct Progress {
    bars: MultiProgress,
}

impl Progress {
    /// Bars on stderr where a person is watching, nowhere otherwise.
    pub(crate) fn new() -> Progress {
        let target = match crate::output::is_watched() {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        };
        Progress { bars: MultiProgress::with_draw_target(target) }
    }

    /// Runs `write` while no bar is on the screen.
    pub(crate) fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        if self.bars.is_hidden() { write() } else { self.bars.suspend(write) }
    }

    /// A bar over `length` steps that appears after a second. Dropping it removes it.
    pub(crate) fn bar(&self, what: &'static str, length: u64) -> Bar {
        let bar = ProgressBar::hidden();
        bar.set_length(length);
        let style = ProgressStyle::with_template("{msg} [{bar:30}] {pos}/{len} {elapsed}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_message(what);
        Bar { progress: self.clone(), bar, shown: false }
    }
}

/// A bar on the way.
pub(crate) struct Bar {
    progress: Progress,
    bar: ProgressBar,
    shown: bool,
}

impl Bar {
    /// One step more.
    pub(crate) fn step(&mut self) {
        self.bar.inc(1);
        self.look();
    }

    /// Shows the bar once it is worth it. Called now and then while waiting.
    pub(crate) fn look(&mut self) {
        if !self.shown && self.bar.elapsed() >= QUIET && !self.progress.bars.is_hidden() {
            self.shown = true;
            self.bar = self.progress.bars.add(self.bar.clone());
        }
        if self.shown {
            self.bar.tick();
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
