//! Scores on data that training does not see: whole cases, or slices of the
//! training cases.

use std::ops::ControlFlow;

use unet3d_kernels::Threads;
use unet3d_metrics::{Confusion, Report};
use unet3d_predict::{Error as PredictError, Model, Options, predict};
use unet3d_volume::{Image, Labels};

use crate::{Case, Error, Observer, Validation, hold_out_slices};

/// What is held out of training.
#[derive(Clone, Debug, Default)]
pub struct HeldOut {
    /// Whole cases.
    pub cases: Vec<Case>,
    /// Of the training case of this index, labels on slices that were taken
    /// out of it.
    pub slices: Vec<(usize, Labels)>,
}

impl HeldOut {
    /// Takes slices out of training cases, for want of cases to hold out.
    ///
    /// # Errors
    /// None that labels read from a file can cause.
    pub fn slices_of(training: &mut [Case]) -> Result<Self, Error> {
        let mut held_out = Self::default();
        for (index, case) in training.iter_mut().enumerate() {
            if let Some(slices) = hold_out_slices(&case.labels)? {
                case.labels = slices.training;
                held_out.slices.push((index, slices.held_out));
            }
        }
        Ok(held_out)
    }

    /// Whether there is nothing to score.
    pub fn is_empty(&self) -> bool {
        self.cases.is_empty() && self.slices.is_empty()
    }

    /// Voxels along `[z, y, x]` of all that a validation predicts.
    pub(crate) fn shapes<'a>(
        &'a self,
        training: &'a [Case],
    ) -> impl Iterator<Item = [usize; 3]> + 'a {
        let slices = self.slices.iter().map(|(index, _)| &training[*index]);
        let cases = self.cases.iter().chain(slices);
        cases.map(|case| case.image.geometry.shape)
    }

    /// Bytes that the data keep in memory.
    pub(crate) fn bytes(&self) -> u64 {
        let slices: usize = self.slices.iter().map(|(_, l)| l.voxels.len()).sum();
        self.cases.iter().map(Case::bytes).sum::<u64>() + slices as u64
    }
}

/// Predicts what is held out and scores it; `None` where the observer stopped it.
///
/// # Errors
/// When a prediction fails.
pub fn validate(
    model: &Model,
    held_out: &HeldOut,
    training: &[Case],
    options: &Options,
    threads: &Threads,
    observer: &mut dyn Observer,
) -> Result<Option<Report>, Error> {
    let whole = held_out
        .cases
        .iter()
        .map(|case| (&case.name, &case.image, &case.labels));
    let slices = held_out
        .slices
        .iter()
        .map(|(index, labels)| (&training[*index].name, &training[*index].image, labels));
    let mut counts = Vec::new();
    for (name, image, labels) in whole.chain(slices) {
        match score(model, image, labels, options, threads, observer)? {
            Some(confusion) => counts.push((name.clone(), confusion)),
            None => return Ok(None),
        }
    }
    Ok(Some(Report::of_held_out(&model.pipeline.classes, &counts)))
}

/// Predicts one image and counts it against what is known of it; `None` where
/// the observer stopped it.
pub(crate) fn score(
    model: &Model,
    image: &Image,
    truth: &Labels,
    options: &Options,
    threads: &Threads,
    observer: &mut dyn Observer,
) -> Result<Option<Confusion>, Error> {
    let mut progress =
        |p: unet3d_predict::Progress| -> ControlFlow<()> { observer.predicting(p.done, p.total) };
    match predict(model, image, options, threads, &mut progress) {
        Ok(prediction) => {
            let mut confusion = Confusion::new(truth.classes.len());
            confusion.add(&truth.voxels, &prediction.labels, None);
            Ok(Some(confusion))
        }
        Err(PredictError::Interrupted { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl Validation {
    /// The scores of a report after so many steps.
    pub(crate) fn new(step: u64, report: &Report, best: bool) -> Self {
        let scores = &report.overall;
        Self {
            step,
            mean_iou: scores.mean_iou,
            mean_dice: scores.mean_dice,
            iou: scores.classes.iter().map(|c| c.iou).collect(),
            dice: scores.classes.iter().map(|c| c.dice).collect(),
            voxels: scores.voxels,
            best,
        }
    }
}
