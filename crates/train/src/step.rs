//! One training step: draw, augment, forward, loss, backward, optimizer.

use unet3d_kernels::Threads;

use crate::optimizer::{clear, clip_norm};
use crate::{Error, StepRecord, Trainer};

impl Trainer {
    /// Takes one step. `progress`, 0 to 1, is what the schedule follows
    /// ([`Budget::progress`](crate::Budget::progress)).
    ///
    /// # Errors
    /// When the loss is not finite, or a batch cannot be made.
    pub fn step(&mut self, threads: &Threads, progress: f64) -> Result<StepRecord, Error> {
        let config = &self.config;
        let dropout = Some((config.seed, self.steps));
        let rate = config.optimizer.rate() * config.schedule.factor(self.steps, progress);

        // Drawn and augmented ahead of time by the prefetcher's threads.
        let batch = self.batches.next()?;
        let logits = self
            .executor
            .forward(threads, &self.parameters, &batch.input, dropout);
        let loss = self
            .loss
            .evaluate(threads, logits, &batch.labels, &mut self.d_logits);
        if !loss.total.is_finite() {
            return Err(Error::Diverged {
                step: self.steps + 1,
                loss: loss.total,
                rate,
            });
        }
        clear(threads, &mut self.gradients);
        self.executor.backward(
            threads,
            &self.parameters,
            &batch.input,
            &self.d_logits,
            &mut self.gradients,
        );
        let gradient_norm = clip_norm(threads, &mut self.gradients, config.clip_norm);
        self.executor
            .update_running(&mut self.parameters, config.running_momentum);
        self.optimizer.step(
            threads,
            &mut self.parameters.values,
            &self.gradients,
            rate,
            self.steps,
        );

        self.steps += 1;
        Ok(StepRecord {
            step: self.steps,
            loss,
            rate,
            gradient_norm,
        })
    }
}
