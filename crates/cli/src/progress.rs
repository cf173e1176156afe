//! Progress on standard error: a bar where a person looks, a plain line now
//! and then where a file does.

use std::fmt::Display;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::console::{Console, duration, visible};

/// How often a plain line is written where no bar can be drawn: seldom enough
/// to keep logs short, often enough to see that the program lives.
const PLAIN_EVERY: Duration = Duration::from_secs(15);

/// Steps of the bar: finer than its width on any screen.
const FINE: u64 = 10_000;

/// Progress of one piece of work.
pub(crate) struct Progress {
    console: Console,
    bar: ProgressBar,
    name: &'static str,
    unit: &'static str,
    started: Instant,
    /// Share and count at the first update: a resumed run begins in the middle.
    first: Option<(f64, u64)>,
    last_line: Instant,
}

impl Progress {
    /// Begins `name`, counted in `unit`.
    pub(crate) fn new(console: Console, name: &'static str, unit: &'static str) -> Self {
        let bar = ProgressBar::with_draw_target(
            Some(FINE),
            if console.has_bar() {
                ProgressDrawTarget::stderr_with_hz(8)
            } else {
                ProgressDrawTarget::hidden()
            },
        );
        let style = ProgressStyle::with_template("{prefix:10} {bar:32.cyan/dim} {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_prefix(name);
        Self {
            console,
            bar,
            name,
            unit,
            started: Instant::now(),
            first: None,
            last_line: Instant::now(),
        }
    }

    /// `share` of the work is done, `done` units in all; `detail` is what else
    /// is worth seeing, as in `loss 0.231`.
    pub(crate) fn update(&mut self, share: f64, done: u64, detail: &str) {
        let elapsed_s = self.started.elapsed().as_secs_f64();
        let share = share.clamp(0.0, 1.0);
        let (first_share, first_done) = *self.first.get_or_insert((share, done));
        let gained = share - first_share;
        let left = if gained > 0.0 {
            format!("{} left", duration(elapsed_s * (1.0 - share) / gained))
        } else {
            "time left not known yet".into()
        };
        let rate = (done - first_done.min(done)) as f64 / elapsed_s.max(1e-3);
        let rate = if rate >= 1.0 || rate == 0.0 {
            format!("{rate:.1} {}s/s", self.unit)
        } else {
            format!("{:.1} s/{}", 1.0 / rate, self.unit)
        };
        let separator = if detail.is_empty() { "" } else { ", " };
        let message = format!("{} {done}{separator}{detail}, {rate}, {left}", self.unit);
        self.show(share, message);
    }

    /// `share` of the work is done; `message` says all else.
    pub(crate) fn show(&mut self, share: f64, message: String) {
        let share = share.clamp(0.0, 1.0);
        self.bar.set_position((share * FINE as f64) as u64);
        if self.bar.is_hidden() {
            if self.last_line.elapsed() >= PLAIN_EVERY {
                self.last_line = Instant::now();
                let percent = (share * 100.0) as u32;
                self.console
                    .note(format_args!("{}: {percent} %, {message}", self.name));
            }
        } else {
            self.bar.set_message(visible(&message).into_owned());
        }
    }

    /// A line that stays, above the bar.
    pub(crate) fn note(&self, line: impl Display) {
        self.bar.suspend(|| self.console.note(line));
    }

    /// Takes the bar away.
    pub(crate) fn finish(self) {
        self.bar.finish_and_clear();
    }
}
