//! Watches a training run: draws its progress, and tells it to stop when the person asks.

use std::ops::ControlFlow;

use unet3d_train::{Needs, Observer, Progress as Share, StepRecord, Validation};

use crate::console::{self, Console};
use crate::interrupt::Interrupt;
use crate::progress::Progress;

/// Weight of the newest loss in the running mean that is shown: single steps
/// jump too much to be read.
const NEWEST: f64 = 0.05;

/// An observer for the terminal.
pub(crate) struct Watch {
    console: Console,
    interrupt: Interrupt,
    memory: Option<u64>,
    bar: Option<Progress>,
    phase: &'static str,
    /// Whether the volume of a fill is predicted now.
    is_trained: bool,
    mean_loss: f64,
    /// Best score so far, for the bar.
    best: Option<f64>,
    /// Memory that the run planned.
    pub(crate) needs: Option<Needs>,
}

impl Watch {
    /// A watch that has seen nothing yet, for a run that was given `memory` bytes.
    pub(crate) fn new(console: Console, interrupt: Interrupt, memory: Option<u64>) -> Self {
        Self {
            memory,
            console,
            interrupt,
            bar: None,
            phase: "",
            is_trained: false,
            mean_loss: f64::NAN,
            best: None,
            needs: None,
        }
    }

    /// The bar of a phase, begun when the phase changes.
    fn bar(&mut self, phase: &'static str, unit: &'static str) -> &mut Progress {
        if self.phase != phase {
            self.close();
            self.phase = phase;
        }
        let console = self.console;
        self.bar
            .get_or_insert_with(|| Progress::new(console, phase, unit))
    }

    /// Takes the bar away.
    pub(crate) fn close(&mut self) {
        self.phase = "";
        if let Some(bar) = self.bar.take() {
            bar.finish();
        }
    }
}

impl Observer for Watch {
    fn noticed(&mut self, sentence: &str) {
        self.console.note(format_args!("Note: {sentence}."));
    }

    fn planned(&mut self, needs: &Needs) {
        self.needs = Some(*needs);
        self.console.note(format_args!(
            "Memory at most {}: {} activations, {} parameters, {} data, {} batches, {} predictions.",
            console::bytes(needs.peak_bytes()),
            console::bytes(needs.plan_bytes),
            console::bytes(needs.parameter_bytes),
            console::bytes(needs.data_bytes),
            console::bytes(needs.batch_bytes),
            console::bytes(needs.prediction_bytes),
        ));
        if let Some(memory) = self.memory.filter(|m| *m < needs.peak_bytes()) {
            self.console.note(format_args!(
                "This is more than the {} given with --memory: take a smaller --patch or --batch, or leave them out.",
                console::bytes(memory)
            ));
        }
    }

    fn step(&mut self, step: &StepRecord, progress: &Share) -> ControlFlow<()> {
        let loss = step.loss.total;
        self.mean_loss = if self.mean_loss.is_finite() {
            (1.0 - NEWEST) * self.mean_loss + NEWEST * loss
        } else {
            loss
        };
        let mut detail = format!("loss {:.4}", self.mean_loss);
        if let Some(best) = self.best {
            detail.push_str(&format!(", IoU {best:.3}"));
        }
        self.bar("train", "step")
            .update(progress.share, step.step, &detail);
        self.interrupt.flow()
    }

    fn validated(&mut self, validation: &Validation) -> ControlFlow<()> {
        if let Some(iou) = validation.mean_iou {
            self.best = Some(self.best.map_or(iou, |b| b.max(iou)));
        }
        self.interrupt.flow()
    }

    fn noted(&mut self, what: &str) {
        match &self.bar {
            Some(bar) => bar.note(format_args!("{what}.")),
            None => self.console.note(format_args!("{what}.")),
        }
    }

    fn trained(&mut self) {
        self.close();
        self.is_trained = true;
        self.interrupt.last_step();
        if self.interrupt.asked() {
            self.console
                .note("The volume is segmented with what was learned so far. Press Ctrl-C again to end at once, without it.");
        }
    }

    fn predicting(&mut self, done: usize, all: usize) -> ControlFlow<()> {
        if self.is_trained {
            let share = done as f64 / all.max(1) as f64;
            self.bar("predict", "tile").update(share, done as u64, "");
            return ControlFlow::Continue(());
        }
        // A validation, which leaves the bar of training where it is. What is
        // finished is finished.
        match self.interrupt.flow() {
            ControlFlow::Break(()) if done < all => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }
}
