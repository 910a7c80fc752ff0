//! Progress of long work, for people who watch.

use std::io::{self, IsTerminal};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

const TEMPLATE: &str = "{wide_bar} {human_pos}/{human_len} {msg}, {eta} left";

/// A bar on standard error if that is a terminal, else nothing. It is gone when dropped.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Of so many images.
    pub(crate) fn new(images: usize) -> Self {
        Progress::of(images, "images")
    }

    /// Of so many of something.
    pub(crate) fn of(count: usize, what: &'static str) -> Self {
        let target = if io::stderr().is_terminal() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let style = ProgressStyle::with_template(TEMPLATE)
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("=> ");
        let bar = ProgressBar::with_draw_target(Some(count as u64), target);
        Progress { bar: bar.with_style(style).with_message(what) }
    }

    /// So many more are done.
    pub(crate) fn add(&self, count: usize) {
        self.bar.inc(count as u64);
    }

    /// Does what writes to the terminal while the bar is not there.
    pub(crate) fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        self.bar.suspend(write)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
