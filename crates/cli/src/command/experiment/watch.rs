//! How far the whole experiment is: watches one run after the other.
//!
//! Time left is that of the present run, as the training tells it, and what the
//! later ones will take: as long as finished runs of the same method did; where
//! none has finished, the minutes of the budget; else as long as the present one.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Instant;

use unet3d_train::{Observer, Progress as Share, StepRecord};

use super::method::Method;
use crate::console::{Console, duration};
use crate::interrupt::Interrupt;
use crate::progress::Progress;

/// Weight of the newest loss in the running mean that is shown.
const NEWEST: f64 = 0.05;

/// What a run took, by method: sum of seconds and number of runs.
#[derive(Clone, Debug, Default)]
pub(super) struct Pace {
    budget_s: Option<f64>,
    taken: BTreeMap<Method, (f64, f64)>,
}

impl Pace {
    /// Nothing known but the budget.
    pub(super) fn new(minutes: Option<f64>) -> Self {
        Self {
            budget_s: minutes.map(|minutes| 60.0 * minutes),
            taken: BTreeMap::new(),
        }
    }

    /// A run took so long.
    pub(super) fn add(&mut self, method: Method, seconds: f64) {
        let (sum, n) = self.taken.entry(method).or_default();
        (*sum, *n) = (*sum + seconds, *n + 1.0);
    }

    /// What a run will take, `None` where nothing is known of its like.
    pub(super) fn expected_s(&self, method: Method) -> Option<f64> {
        match (method, self.taken.get(&method)) {
            (_, Some((sum, n))) => Some(sum / n),
            (Method::Baseline(_), None) => Some(0.0),
            (Method::Network(_), None) => self.budget_s,
        }
    }
}

/// An observer of the run that is going on, and of the experiment around it.
pub(super) struct Watch {
    interrupt: Interrupt,
    bar: Progress,
    started: Instant,
    pace: Pace,
    label: String,
    /// Methods of the runs that come after this one.
    later: Vec<Method>,
    loss: f64,
    /// What the present run will take in all, as far as that is known.
    current_s: f64,
}

impl Watch {
    /// Nothing has begun.
    pub(super) fn new(console: Console, interrupt: Interrupt, pace: Pace) -> Self {
        Self {
            interrupt,
            bar: Progress::new(console, "experiment", "run"),
            started: Instant::now(),
            pace,
            label: String::new(),
            later: Vec::new(),
            loss: f64::NAN,
            current_s: 0.0,
        }
    }

    /// A run begins; `later` come after it.
    pub(super) fn begin(&mut self, label: String, later: Vec<Method>) {
        (self.label, self.later, self.loss) = (label, later, f64::NAN);
    }

    /// The run took so long.
    pub(super) fn end(&mut self, method: Method, seconds: f64) {
        self.pace.add(method, seconds);
    }

    /// Takes the bar away.
    pub(super) fn close(self) {
        self.bar.finish();
    }

    fn show(&mut self, doing: &str, left_s: f64) {
        let expected = |method: &Method| self.pace.expected_s(*method).unwrap_or(self.current_s);
        let left_s = left_s + self.later.iter().map(expected).sum::<f64>();
        let spent_s = self.started.elapsed().as_secs_f64();
        let share = spent_s / (spent_s + left_s).max(1e-9);
        let left = duration(left_s);
        self.bar.show(
            share,
            format!("{}: {doing}, {left} left in all", self.label),
        );
    }
}

impl Observer for Watch {
    fn noted(&mut self, what: &str) {
        self.bar.note(format_args!("{}: {what}.", self.label));
    }

    fn step(&mut self, step: &StepRecord, progress: &Share) -> ControlFlow<()> {
        let loss = step.loss.total;
        self.loss = match self.loss.is_finite() {
            true => (1.0 - NEWEST) * self.loss + NEWEST * loss,
            false => loss,
        };
        self.current_s = progress.elapsed_s + progress.left_s;
        let doing = format!("step {}, loss {:.3}", step.step, self.loss);
        self.show(&doing, progress.left_s);
        self.interrupt.flow()
    }

    fn predicting(&mut self, done: usize, all: usize) -> ControlFlow<()> {
        self.show(&format!("predicting, tile {done} of {all}"), 0.0);
        match self.interrupt.flow() {
            // What is finished is finished.
            ControlFlow::Break(()) if done < all => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use unet3d_train::experiment::{Baseline, Comparison};

    #[test]
    fn runs_are_expected_to_take_what_their_like_took() {
        let network = Method::Network(Comparison::Plain3d);
        let mut pace = Pace::new(None);
        assert_eq!(pace.expected_s(network), None);
        assert_eq!(
            pace.expected_s(Method::Baseline(Baseline::Interpolation)),
            Some(0.0)
        );
        pace.add(network, 10.0);
        pace.add(network, 20.0);
        assert_eq!(pace.expected_s(network), Some(15.0));
        assert_eq!(Pace::new(Some(2.0)).expected_s(network), Some(120.0));
    }
}
