//! Batches: what one step learns from.
//!
//! A [`Recipe`] holds everything that batches depend on and makes the batch of
//! any step from (seed, step) alone, so that it does not matter who makes it,
//! when, or whether the run began at that step. The [`Prefetcher`] has worker
//! threads make them ahead of their use.

mod prefetch;

use std::sync::Arc;

use unet3d_kernels::random::{Stream, generator};
use unet3d_volume::Label;
use unet3d_volume::words::counted;

pub use self::prefetch::Prefetcher;
use crate::augment::{AugmentConfig, AugmentError, Augmenter};
use crate::sampler::Sampler;

/// What one step learns from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// The step that it is for.
    pub step: u64,
    /// `[n, d, h, w, c]` of the patch's input shape.
    pub input: Vec<f32>,
    /// `[n, d, h, w]` of the patch's output shape.
    pub labels: Vec<Label>,
}

/// Everything that the batch of a step depends on.
#[derive(Clone, Debug)]
pub struct Recipe {
    sampler: Arc<Sampler>,
    augment: AugmentConfig,
    patches: usize,
    channels: usize,
    seed: u64,
}

/// Why there is no batch.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// The augmentation's settings make no sense.
    #[error(transparent)]
    Augment(#[from] AugmentError),
    /// Cases differ in channels.
    #[error(
        "case {name}: the image has {}, the first case has {expected}, all must have the same", counted(*.found, "channel")
    )]
    Channels {
        /// Name of the case.
        name: String,
        /// Its channels.
        found: usize,
        /// Channels of the first case.
        expected: usize,
    },
    /// A batch of nothing.
    #[error("batch size is 0, must be at least 1")]
    Empty,
    /// The operating system refused a thread.
    #[error("cannot start a thread that prepares batches: {0}. Fewer workers may be possible")]
    Thread(#[from] std::io::Error),
    /// A worker panicked.
    #[error("preparing the batch of step {step} failed: {message}. This is a bug of the program")]
    Worker {
        /// The step whose batch is missing.
        step: u64,
        /// What the worker said.
        message: String,
    },
}

impl Recipe {
    /// Batches of `patches` patches drawn by `sampler` and changed as `augment` says.
    ///
    /// # Errors
    /// When the augmentation's settings make no sense, the cases differ in
    /// their number of channels, or `patches` is 0.
    pub fn new(
        sampler: Arc<Sampler>,
        augment: AugmentConfig,
        patches: usize,
        seed: u64,
    ) -> Result<Self, BatchError> {
        augment.check()?;
        let cases = sampler.cases();
        let channels = cases[0].image.channels;
        if let Some(case) = cases.iter().find(|case| case.image.channels != channels) {
            return Err(BatchError::Channels {
                name: case.name.clone(),
                found: case.image.channels,
                expected: channels,
            });
        }
        if patches == 0 {
            return Err(BatchError::Empty);
        }
        Ok(Self {
            sampler,
            augment,
            patches,
            channels,
            seed,
        })
    }

    /// Where the batches' patches come from.
    pub fn sampler(&self) -> &Sampler {
        &self.sampler
    }

    /// Bytes of one batch.
    pub fn bytes(&self) -> u64 {
        let patch = self.sampler.patch();
        let voxels = patch.input_voxels() * self.channels * size_of::<f32>();
        (self.patches * (voxels + patch.output_voxels() * size_of::<Label>())) as u64
    }

    /// What makes this recipe's patches, one for each thread.
    ///
    /// # Errors
    /// None, for settings that [`new`](Self::new) has accepted.
    pub fn augmenter(&self) -> Result<Augmenter, AugmentError> {
        Augmenter::new(self.augment.clone(), self.sampler.patch())
    }

    /// Makes the batch of `step` in place: equal recipe and step, equal batch.
    pub fn make(&self, augmenter: &mut Augmenter, step: u64, batch: &mut Batch) {
        let patch = self.sampler.patch();
        let (voxels, outputs) = (patch.input_voxels() * self.channels, patch.output_voxels());
        batch.step = step;
        batch.input.resize(self.patches * voxels, 0.0);
        batch
            .labels
            .resize(self.patches * outputs, Label::UNLABELED);
        let inputs = batch.input.chunks_exact_mut(voxels);
        let labels = batch.labels.chunks_exact_mut(outputs);
        for (index, (input, labels)) in inputs.zip(labels).enumerate() {
            let location = self.sampler.draw(self.seed, step, index as u64);
            let case = &self.sampler.cases()[location.case];
            let mut rng = generator(self.seed, Stream::Augmentation, step);
            rng.set_stream(index as u64);
            augmenter.make_patch(case, location, &mut rng, input, labels);
        }
    }
}

#[cfg(test)]
mod tests;
