//! What a run tells while it runs, and how it is told to stop.

use std::ops::ControlFlow;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::loss::LossValue;

/// Listens to a run. Every method may be left out; those that return a
/// [`ControlFlow`] stop the run at its next step boundary with `Break`: the run
/// then leaves a checkpoint and a usable model.
pub trait Observer {
    /// What was noticed of the image of a fill, in a sentence.
    fn noticed(&mut self, _sentence: &str) {}

    /// Before the first step: what the run will need.
    fn planned(&mut self, _needs: &Needs) {}

    /// After every step.
    fn step(&mut self, _step: &StepRecord, _progress: &Progress) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    /// After every validation.
    fn validated(&mut self, _validation: &Validation) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    /// Something that a person should know; the run goes on.
    fn noted(&mut self, _what: &str) {}

    /// A file was written whole.
    fn saved(&mut self, _path: &Path) {}

    /// Training is over and the volume of a fill is predicted next, to the end
    /// whatever [`Observer::predicting`] answers.
    fn trained(&mut self) {}

    /// While the volume is predicted after training or in a validation: done
    /// and all tiles.
    fn predicting(&mut self, _done: usize, _all: usize) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

/// An observer that listens to nothing.
impl Observer for () {}

/// Memory that a run will hold at its peak, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Needs {
    /// Activations and work space, from the plan.
    pub plan_bytes: u64,
    /// Parameters, gradients, optimizer state and the best parameters so far.
    pub parameter_bytes: u64,
    /// Images and labels of all cases.
    pub data_bytes: u64,
    /// Batches prepared ahead.
    pub batch_bytes: u64,
    /// What predictions need at most beyond the rest: a tile and the results,
    /// in validations beside the training, at the end in its place.
    pub prediction_bytes: u64,
}

impl Needs {
    /// The peak.
    pub fn peak_bytes(&self) -> u64 {
        self.plan_bytes
            + self.parameter_bytes
            + self.data_bytes
            + self.batch_bytes
            + self.prediction_bytes
    }
}

/// One training step. A line of the log; holds nothing that depends on the clock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// From 1: the number of steps done.
    pub step: u64,
    /// Loss of the batch, before the parameters were changed.
    #[serde(flatten)]
    pub loss: LossValue,
    /// Learning rate of this step.
    pub rate: f64,
    /// Euclidean norm of the gradient, before clipping.
    pub gradient_norm: f64,
}

/// How far the run is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Progress {
    /// Share of the budget spent, 0 to 1.
    pub share: f64,
    /// Since the run (or its resumption) began.
    pub elapsed_s: f64,
    /// Estimated time to the end of training.
    pub left_s: f64,
}

/// Scores on what was held out of training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    /// Number of steps done.
    pub step: u64,
    /// Mean IoU over the classes that occur; `None` where nothing was scored.
    pub mean_iou: Option<f64>,
    /// Mean Dice over the classes that occur.
    pub mean_dice: Option<f64>,
    /// By class, in class order; `None` where the class does not occur.
    pub iou: Vec<Option<f64>>,
    /// By class, in class order.
    pub dice: Vec<Option<f64>>,
    /// Held-out voxels that were compared.
    pub voxels: u64,
    /// Whether this is the best so far.
    pub best: bool,
}
