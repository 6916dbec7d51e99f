//! Progress bars and spinners for people: on a terminal only, and only when something takes over a second.

use std::convert::Infallible;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How long nothing is shown.
const QUIET: Duration = Duration::from_secs(1);
/// How often a spinner turns.
const TICK: Duration = Duration::from_millis(100);

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

    /// The same, for a command that prints JSON where `json` is set: then nobody is watching.
    pub(crate) fn unless(json: bool) -> Progress {
        match json {
            true => {
                Progress { bars: MultiProgress::with_draw_target(ProgressDrawTarget::hidden()) }
            }
            false => Progress::new(),
        }
    }

    /// Works, with a spinner on the screen once that takes over a second.
    pub(crate) fn spin<T>(&self, what: &'static str, work: impl FnOnce() -> T) -> T {
        if self.bars.is_hidden() {
            return work();
        }
        let (working, done) = mpsc::channel::<Infallible>();
        std::thread::scope(|scope| {
            scope.spawn(|| self.show_spinner(what, done));
            // Dropped when the work is done, also by a panic.
            let _working = working;
            work()
        })
    }

    /// A spinner that comes after a second and goes when `done` says so.
    fn show_spinner(&self, what: &'static str, done: Receiver<Infallible>) {
        if done.recv_timeout(QUIET) == Err(RecvTimeoutError::Timeout) {
            let style = ProgressStyle::with_template("{spinner} {msg} {elapsed}");
            let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
            let spinner = ProgressBar::new_spinner().with_style(style).with_message(what);
            let spinner = self.bars.add(spinner.with_elapsed(QUIET));
            spinner.enable_steady_tick(TICK);
            let _ = done.recv();
            spinner.finish_and_clear();
        }
    }

    /// Runs `write` while no bar is on the screen.
    pub(crate) fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        if self.bars.is_hidden() { write() } else { self.bars.suspend(write) }
    }

    /// A bar over `length` steps with a text that changes and the time that is left.
    pub(crate) fn meter(&self, length: u64) -> Bar {
        let template = "{msg} [{bar:24}] {percent}% {eta} left";
        self.styled(template, "", length)
    }

    /// A bar over `length` steps that appears after a second. Dropping it removes it.
    pub(crate) fn bar(&self, what: &'static str, length: u64) -> Bar {
        self.styled("{msg} [{bar:30}] {pos}/{len} {elapsed}", what, length)
    }

    /// A bar over `length` bytes that appears after a second. Dropping it removes it.
    pub(crate) fn bytes(&self, what: &'static str, length: u64) -> Bar {
        self.styled("{msg} [{bar:30}] {bytes}/{total_bytes} {eta} left", what, length)
    }

    fn styled(&self, template: &str, what: &'static str, length: u64) -> Bar {
        let bar = ProgressBar::hidden();
        bar.set_length(length);
        let style = ProgressStyle::with_template(template);
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

    /// Stands at this step.
    pub(crate) fn stand_at(&mut self, step: u64) {
        self.bar.set_position(step);
        self.look();
    }

    /// Stands at this step, with this text.
    pub(crate) fn set(&mut self, step: u64, text: String) {
        self.bar.set_position(step);
        self.bar.set_message(text);
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

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use indicatif::TermLike;

    use super::*;

    /// A terminal that keeps what is written.
    #[derive(Clone, Debug, Default)]
    struct Screen(Arc<Mutex<String>>);

    impl Screen {
        fn text(&self) -> String {
            self.0.lock().unwrap().clone()
        }
    }

    impl TermLike for Screen {
        fn width(&self) -> u16 {
            80
        }
        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn write_line(&self, text: &str) -> io::Result<()> {
            self.write_str(text)
        }
        fn write_str(&self, text: &str) -> io::Result<()> {
            self.0.lock().unwrap().push_str(text);
            Ok(())
        }
        fn clear_line(&self) -> io::Result<()> {
            self.write_str("<clear>")
        }
        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_spinner_comes_after_a_second_and_goes() {
        let screen = Screen::default();
        let target = ProgressDrawTarget::term_like(Box::new(screen.clone()));
        let progress = Progress { bars: MultiProgress::with_draw_target(target) };
        assert_eq!(progress.spin("quick", || 6 * 7), 42);
        assert_eq!(screen.text(), "");
        let slow = progress.spin("loading the model", || {
            while !screen.text().contains("loading the model") {
                std::thread::sleep(TICK);
            }
            screen.text()
        });
        assert!(!slow.contains("quick"), "{slow}");
        assert!(screen.text().ends_with("<clear>"), "{}", screen.text());
    }
}
