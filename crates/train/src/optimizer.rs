//! Gradients in, changed parameters out: SGD with momentum, Adam, AdamW.
//!
//! Parameters, gradients and each slot of state are contiguous buffers of equal
//! length and order, so an optimizer is one loop. Weight decay touches only the
//! ranges that [`Optimizer::new`] is given (the weights), never biases nor the
//! scale and shift of a normalisation.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use unet3d_kernels::Threads;

use crate::Error;

/// Which optimizer. The learning rate is the one that the schedule scales.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum OptimizerConfig {
    /// Stochastic gradient descent with momentum.
    Sgd {
        /// Learning rate.
        rate: f64,
        /// Share of the last step kept.
        momentum: f64,
        /// Which of two formulas; they differ only while the rate changes.
        #[serde(default)]
        form: MomentumForm,
        /// Added to the gradient: `weight_decay * w`.
        #[serde(default)]
        weight_decay: f64,
    },
    /// Adam; weight decay is added to the gradient.
    Adam {
        /// Learning rate.
        rate: f64,
        /// Averaging of the gradient and of its square.
        #[serde(default = "betas")]
        betas: [f64; 2],
        /// Added to the gradient: `weight_decay * w`.
        #[serde(default)]
        weight_decay: f64,
    },
    /// Adam with decoupled weight decay: `w -= rate * weight_decay * w`.
    AdamW {
        /// Learning rate.
        rate: f64,
        /// Averaging of the gradient and of its square.
        #[serde(default = "betas")]
        betas: [f64; 2],
        /// Share of a weight removed in a step of rate 1.
        weight_decay: f64,
    },
}

/// Where the learning rate enters the momentum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MomentumForm {
    /// `v = momentum * v + g; w -= rate * v`.
    #[default]
    Pytorch,
    /// `v = momentum * v + rate * g; w -= v`, as the authors' solver does.
    Caffe,
}

impl Default for OptimizerConfig {
    /// AdamW at a rate chosen for budgets of minutes with the small network; a
    /// starting point, not the outcome of a search.
    fn default() -> Self {
        Self::AdamW {
            rate: 2e-3,
            betas: betas(),
            weight_decay: 1e-2,
        }
    }
}

fn betas() -> [f64; 2] {
    [0.9, 0.999]
}

/// Keeps the division by the root of the second moment finite; the value that
/// Adam's authors and every framework use.
const ADAM_EPSILON: f64 = 1e-8;

impl OptimizerConfig {
    /// The learning rate before the schedule.
    pub fn rate(&self) -> f64 {
        match self {
            Self::Sgd { rate, .. } | Self::Adam { rate, .. } | Self::AdamW { rate, .. } => *rate,
        }
    }

    /// Number of state values for each parameter.
    pub fn slots(&self) -> usize {
        match self {
            Self::Sgd { .. } => 1,
            Self::Adam { .. } | Self::AdamW { .. } => 2,
        }
    }

    /// Refuses settings outside their range.
    ///
    /// # Errors
    /// Names the setting.
    pub fn check(&self) -> Result<(), Error> {
        let (weight_decay, shares) = match self {
            Self::Sgd {
                momentum,
                weight_decay,
                ..
            } => (*weight_decay, [*momentum, 0.0]),
            Self::Adam {
                betas,
                weight_decay,
                ..
            }
            | Self::AdamW {
                betas,
                weight_decay,
                ..
            } => (*weight_decay, *betas),
        };
        let rate = self.rate();
        if !(rate.is_finite() && rate > 0.0) {
            return Err(Error::config("optimizer.rate", rate, "it must be above 0"));
        }
        if !(weight_decay.is_finite() && weight_decay >= 0.0) {
            let rule = "it must not be negative";
            return Err(Error::config("optimizer.weight_decay", weight_decay, rule));
        }
        if let Some(share) = shares.iter().find(|s| !(0.0..1.0).contains(*s)) {
            let rule = "it must be at least 0 and below 1";
            return Err(Error::config("optimizer.momentum or betas", share, rule));
        }
        Ok(())
    }
}

/// An optimizer with its state.
#[derive(Clone, Debug)]
pub struct Optimizer {
    config: OptimizerConfig,
    decayed: Vec<Range<usize>>,
    /// `slots` buffers one after another, each as long as the parameters:
    /// the momentum, or the first and the second moment.
    pub state: Vec<f32>,
}

impl Optimizer {
    /// An optimizer of so many parameters, of which those in `decayed`
    /// (ascending, disjoint) are subject to weight decay.
    pub fn new(config: OptimizerConfig, parameters: usize, decayed: Vec<Range<usize>>) -> Self {
        let state = vec![0.0; config.slots() * parameters];
        Self {
            config,
            decayed,
            state,
        }
    }

    /// One step. `step` counts from 0, `rate` is the learning rate of this step.
    pub fn step(
        &mut self,
        threads: &Threads,
        parameters: &mut [f32],
        gradients: &[f32],
        rate: f64,
        step: u64,
    ) {
        let (first, second) = self.state.split_at_mut(parameters.len());
        let mut second = second.chunks_mut(CHUNK);
        let mut chunks: Vec<Chunk<'_>> = parameters
            .chunks_mut(CHUNK)
            .zip(gradients.chunks(CHUNK))
            .zip(first.chunks_mut(CHUNK))
            .map(|((parameters, gradients), first)| Chunk {
                parameters,
                gradients,
                first,
                second: second.next().unwrap_or_default(),
            })
            .collect();
        let (config, decayed) = (&self.config, &self.decayed);
        threads.for_each_chunk(&mut chunks, 1, &mut [], |index, chunk, _| {
            let [chunk] = chunk else { return };
            let (start, len) = (index * CHUNK, chunk.parameters.len());
            let inside = |at: usize| at.clamp(start, start + len) - start;
            let mut done = 0;
            for range in decayed {
                let range = inside(range.start)..inside(range.end);
                chunk.update(config, done..range.start, false, (rate, step));
                chunk.update(config, range.clone(), true, (rate, step));
                done = range.end;
            }
            chunk.update(config, done..len, false, (rate, step));
        });
    }
}

/// Floats that are one task: its four buffers fit into the second cache, and a
/// million parameters make sixteen tasks. A sum is taken chunk by chunk, so its
/// bits depend on this number and not on that of the threads.
const CHUNK: usize = 1 << 16;

/// The same stretch of the parameters, their gradients and the slots of state.
struct Chunk<'a> {
    parameters: &'a mut [f32],
    gradients: &'a [f32],
    first: &'a mut [f32],
    /// Empty where there is one slot.
    second: &'a mut [f32],
}

impl Chunk<'_> {
    fn update(
        &mut self,
        config: &OptimizerConfig,
        range: Range<usize>,
        decay: bool,
        (rate, step): (f64, u64),
    ) {
        let first = &mut self.first[range.clone()];
        let values = self.parameters[range.clone()]
            .iter_mut()
            .zip(&self.gradients[range.clone()]);
        let decay = |weight_decay: f64| if decay { weight_decay as f32 } else { 0.0 };
        match *config {
            OptimizerConfig::Sgd {
                momentum,
                form,
                weight_decay,
                ..
            } => {
                let (momentum, decay) = (momentum as f32, decay(weight_decay));
                let (inside, outside) = match form {
                    MomentumForm::Pytorch => (1.0, rate as f32),
                    MomentumForm::Caffe => (rate as f32, 1.0),
                };
                for ((w, g), v) in values.zip(first) {
                    *v = momentum * *v + inside * (g + decay * *w);
                    *w -= outside * *v;
                }
            }
            OptimizerConfig::Adam {
                betas,
                weight_decay,
                ..
            }
            | OptimizerConfig::AdamW {
                betas,
                weight_decay,
                ..
            } => {
                let decoupled = matches!(config, OptimizerConfig::AdamW { .. });
                let decay = decay(weight_decay);
                let (added, kept) = match decoupled {
                    true => (0.0, 1.0 - rate as f32 * decay),
                    false => (decay, 1.0),
                };
                let count = (step + 1) as f64;
                let correction = betas.map(|beta| 1.0 - beta.powf(count));
                let size = (rate / correction[0]) as f32;
                let root = correction[1].sqrt() as f32;
                let [b1, b2] = betas.map(|beta| beta as f32);
                let [c1, c2] = betas.map(|beta| (1.0 - beta) as f32);
                let second = &mut self.second[range];
                for (((w, g), m), v) in values.zip(first).zip(second) {
                    let g = g + added * *w;
                    *m = b1 * *m + c1 * g;
                    *v = b2 * *v + c2 * g * g;
                    *w = *w * kept - size * *m / (v.sqrt() / root + ADAM_EPSILON as f32);
                }
            }
        }
    }
}

/// Sets all gradients to 0.
pub fn clear(threads: &Threads, gradients: &mut [f32]) {
    threads.for_each_chunk(gradients, CHUNK, &mut [], |_, chunk, _| chunk.fill(0.0));
}

/// Scales the gradients down to a Euclidean norm of at most `largest`; the norm
/// they had comes back.
pub fn clip_norm(threads: &Threads, gradients: &mut [f32], largest: Option<f64>) -> f64 {
    let mut squares = vec![0.0; gradients.len().div_ceil(CHUNK)];
    let all = &*gradients;
    threads.for_each_chunk(&mut squares, 1, &mut [], |index, squares, _| {
        let chunk = &all[index * CHUNK..all.len().min((index + 1) * CHUNK)];
        squares.fill(sum_of_squares(chunk));
    });
    let norm = squares.iter().sum::<f64>().sqrt();
    if let Some(largest) = largest.filter(|largest| norm > *largest) {
        let factor = (largest / norm) as f32;
        threads.for_each_chunk(gradients, CHUNK, &mut [], |_, chunk, _| {
            chunk.iter_mut().for_each(|g| *g *= factor);
        });
    }
    norm
}

fn sum_of_squares(values: &[f32]) -> f64 {
    /// Independent sums: one alone would wait for the last addition each time.
    const SUMS: usize = 16;
    let mut sums = [0.0; SUMS];
    let square = |v: &f32| f64::from(*v) * f64::from(*v);
    let rows = values.chunks_exact(SUMS);
    let rest: f64 = rows.remainder().iter().map(square).sum();
    for row in rows {
        for (sum, v) in sums.iter_mut().zip(row) {
            *sum += square(v);
        }
    }
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two parameters, the second one decayed, gradients 0.5 and -1.0 in every
    /// step; steps at rates 0.1 and 0.01.
    fn two_steps(config: OptimizerConfig) -> [[f32; 2]; 2] {
        let second = std::iter::once(1..2).collect();
        let mut optimizer = Optimizer::new(config, 2, second);
        let threads = Threads::new(1).unwrap();
        let mut w = [1.0, 2.0];
        [0.1, 0.01].map(|rate| {
            let step = u64::from(rate == 0.01);
            optimizer.step(&threads, &mut w, &[0.5, -1.0], rate, step);
            w
        })
    }

    fn assert_close(found: [[f32; 2]; 2], expected: [[f32; 2]; 2]) {
        for (f, e) in found.iter().flatten().zip(expected.iter().flatten()) {
            assert!((f - e).abs() < 1e-6, "{found:?} is not {expected:?}");
        }
    }

    #[test]
    fn sgd_by_hand() {
        let config = |form| OptimizerConfig::Sgd {
            rate: 0.1,
            momentum: 0.9,
            form,
            weight_decay: 0.5,
        };
        // v = .5, 1 - 1 = 0; w = .95, 2. Then v = .95, .9 * 0 - 1 + 1 = 0.
        assert_close(
            two_steps(config(MomentumForm::Pytorch)),
            [[0.95, 2.0], [0.9405, 2.0]],
        );
        // v = .05; w = .95. Then v = .045 + .005 = .05.
        assert_close(
            two_steps(config(MomentumForm::Caffe)),
            [[0.95, 2.0], [0.9, 2.0]],
        );
    }

    #[test]
    fn adam_by_hand() {
        // A constant gradient makes every Adam step the rate times its sign.
        let adam = OptimizerConfig::Adam {
            rate: 0.1,
            betas: [0.9, 0.999],
            weight_decay: 0.0,
        };
        assert_close(two_steps(adam), [[0.9, 2.1], [0.89, 2.11]]);
        // Decay: 2 * (1 - .1 * .5) = 1.9, + .1; then 2 * (1 - .01 * .5) = 1.99, + .01.
        let adam_w = OptimizerConfig::AdamW {
            rate: 0.1,
            betas: [0.9, 0.999],
            weight_decay: 0.5,
        };
        assert_close(two_steps(adam_w), [[0.9, 2.0], [0.89, 2.0]]);
        // Decay in the gradient: -1 + 1.5 * 2 = 2, so the second goes down.
        let decayed = OptimizerConfig::Adam {
            rate: 0.1,
            betas: [0.9, 0.999],
            weight_decay: 1.5,
        };
        assert!((two_steps(decayed)[0][1] - 1.9).abs() < 1e-6);
    }

    #[test]
    fn clipping_keeps_the_direction() {
        let threads = Threads::new(1).unwrap();
        let mut gradients = [3.0, -4.0];
        assert_eq!(clip_norm(&threads, &mut gradients, Some(10.0)), 5.0);
        assert_eq!(gradients, [3.0, -4.0]);
        assert_eq!(clip_norm(&threads, &mut gradients, Some(1.0)), 5.0);
        assert!((gradients[0] - 0.6).abs() < 1e-6 && (gradients[1] + 0.8).abs() < 1e-6);
    }

    /// Lengths below, at and above a chunk; what is decayed begins and ends
    /// inside chunks and crosses their borders.
    #[test]
    fn bits_do_not_depend_on_the_threads_nor_on_the_chunks() {
        let configs = [
            OptimizerConfig::Sgd {
                rate: 0.1,
                momentum: 0.9,
                form: MomentumForm::Pytorch,
                weight_decay: 0.5,
            },
            OptimizerConfig::default(),
        ];
        for len in [100, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 17] {
            let decayed = vec![1..7, 9..len / 2, len / 2 + 3..len - 2];
            let gradients: Vec<f32> = (0..len).map(|i| (i % 17) as f32 - 8.0).collect();
            for config in &configs {
                let run = |count| {
                    let threads = Threads::new(count).unwrap();
                    let mut optimizer = Optimizer::new(config.clone(), len, decayed.clone());
                    let (mut w, mut g) = (vec![1.0; len], gradients.clone());
                    let norm = clip_norm(&threads, &mut g, Some(1.0));
                    for step in 0..2 {
                        optimizer.step(&threads, &mut w, &g, 0.1, step);
                    }
                    clear(&threads, &mut g);
                    assert!(g.iter().all(|g| *g == 0.0));
                    (norm, w)
                };
                let (norm, w) = run(1);
                assert!(run(2) == (norm, w.clone()) && run(7) == (norm, w.clone()));
                let squares: f64 = gradients.iter().map(|g| f64::from(g * g)).sum();
                assert!((norm - squares.sqrt()).abs() < 1e-12 * norm);
                // One parameter alone, with the same gradient.
                let threads = Threads::new(1).unwrap();
                for i in [0, 1, 6, 7, len / 2 - 1, len / 2, len / 2 + 3, len - 1] {
                    let inside = decayed.iter().any(|range| range.contains(&i));
                    let own = inside.then_some(0..1).into_iter().collect();
                    let mut optimizer = Optimizer::new(config.clone(), 1, own);
                    let mut alone = [1.0];
                    let g = gradients[i] * (1.0 / norm) as f32;
                    for step in 0..2 {
                        optimizer.step(&threads, &mut alone, &[g], 0.1, step);
                    }
                    assert_eq!(alone[0], w[i], "{i} of {len}");
                }
            }
        }
    }
}
