//! The forward pass: the steps of the plan, one after the other.

use std::ops::Range;
use std::sync::Arc;

use rand::Rng;
use unet3d_kernels::random::{Stream, generator};
use unet3d_kernels::{
    Context, Dropout, Pooled, Target, Threads, View, conv3d, norm, pool3d, upconv3d,
};

use super::{Executor, lap, places, source, sources, split};
use crate::config::Normalisation;
use crate::network::Parameters;
use crate::plan::Mode;
use crate::plan::step::{Conv, Forward, Norm, Read, Statistics, UpConv};

impl Executor {
    /// The logits `n d h w classes` for an input `n d h w c`. `dropout` is the
    /// (seed, step) that says which activations are dropped; `None` drops none.
    ///
    /// # Panics
    /// When `input` or `parameters` have not the lengths of the plan and network, or
    /// activations are dropped under a plan for prediction.
    pub fn forward(
        &mut self,
        threads: &Threads,
        parameters: &Parameters,
        input: &[f32],
        dropout: Option<(u64, u64)>,
    ) -> &[f32] {
        assert_eq!(input.len(), self.plan.input.len(), "length of the input");
        assert_eq!(
            parameters.values.len(),
            self.network.parameter_count(),
            "number of parameters"
        );
        assert!(
            dropout.is_none() || self.plan.mode() == Mode::Train,
            "dropout in a plan for prediction, which pools what nothing was dropped from"
        );
        self.draw_dropout(dropout);
        let context = self.context(threads);
        let steps = Arc::clone(&self.plan.forward);
        let mut clock = self.clock();
        for step in &*steps {
            match &step.work {
                Forward::Conv(conv) => self.conv(context, &parameters.values, input, conv),
                Forward::UpConv(up_conv) => self.up_conv(context, &parameters.values, up_conv),
                Forward::Pool { read, window, to } => self.pool(context, read, *window, to),
                Forward::Norm(norm) => self.normalise(context, norm, parameters),
            }
            lap(&mut self.profile, &mut clock, step);
        }
        self.logits()
    }

    /// Moves the running statistics by `momentum` towards those of the last
    /// forward pass (the variance unbiased, as PyTorch and Keras do).
    /// Does nothing unless the network normalises with running statistics.
    pub fn update_running(&self, parameters: &mut Parameters, momentum: f32) {
        let epsilon = self.network.config().epsilon;
        for lazy in self.lazy.iter().flatten() {
            let norm = lazy.applied.norm.as_ref();
            let Some([mean, variance]) = norm.and_then(|norm| norm.running.as_ref()) else {
                continue;
            };
            let shape = lazy.applied.shape;
            let count = (shape.n * shape.voxels()) as f32;
            let unbias = count / (count - 1.0).max(1.0);
            for c in 0..shape.c {
                let biased = 1.0 / (lazy.inv_std[c] * lazy.inv_std[c]) - epsilon;
                for (range, new) in [(mean, lazy.mean[c]), (variance, biased.max(0.0) * unbias)] {
                    let value = &mut parameters.running[range.start + c];
                    *value += momentum * (new - *value);
                }
            }
        }
    }

    fn draw_dropout(&mut self, dropout: Option<(u64, u64)>) {
        let key = dropout.map(|(seed, step)| generator(seed, Stream::Dropout, step).next_u64());
        for lazy in self.lazy.iter_mut().flatten() {
            lazy.dropout = key
                .zip(lazy.applied.dropout)
                .map(|(key, (rate, index))| Dropout {
                    // An odd constant keeps the keys of the layers apart.
                    key: key.wrapping_add((index as u64).wrapping_mul(0xD134_2543_DE82_EF95)),
                    rate,
                });
        }
    }

    fn conv(&mut self, context: Context<'_>, values: &[f32], input: &[f32], conv: &Conv) {
        let pooled = conv
            .pooled
            .as_ref()
            .map_or(0..0, |pooled| pooled.to.clone());
        let split = split(
            &mut self.arena,
            places(&conv.input.reads),
            [conv.to.clone(), self.plan.scratch.clone(), pooled],
        );
        let (sources, many) = sources(&self.lazy, &conv.input.reads, split.read, input);
        let problem = conv3d::Problem {
            input: View {
                sources: &sources[..many],
                space: conv.input.space,
                pad: conv.input.pad,
            },
            kernel: conv.kernel.size.kernel,
            out_c: conv.kernel.size.out_c,
        };
        let [out, scratch, pooled] = split.write;
        let target = Target {
            data: out,
            shape: conv.to_shape,
            crop: conv.to_crop,
            accumulate: false,
            // Statistics come with the write, where they are wanted.
            moments: (conv.moments.clone()).map(|range| &mut self.workspace[range]),
            kept: conv.kept,
            pooled: conv.pooled.as_ref().map(|to| Pooled {
                data: pooled,
                window: to.window,
                scale: to.scale.clone().map(|range| &values[range]),
            }),
        };
        let weights = &values[conv.weights.clone()];
        let bias = conv.bias.clone().map(|range| &values[range]);
        let kernel = conv.kernel.kernel;
        kernel.forward(context, &problem, weights, bias, target, scratch);
    }

    fn up_conv(&mut self, context: Context<'_>, values: &[f32], up_conv: &UpConv) {
        let from = [up_conv.read.place.clone().unwrap_or(0..0), 0..0];
        let to = [up_conv.to.clone(), self.plan.scratch.clone(), 0..0];
        let split = split(&mut self.arena, from, to);
        let problem = upconv3d::Problem {
            input: source(&self.lazy, &up_conv.read, split.read[0]),
            window: up_conv.size.window,
            out_c: up_conv.size.out_c,
        };
        let [out, scratch, _] = split.write;
        let weights = &values[up_conv.weights.clone()];
        let bias = up_conv.bias.clone().map(|range| &values[range]);
        upconv3d::forward(context, &problem, weights, bias, out, scratch);
    }

    fn pool(&mut self, context: Context<'_>, read: &Read, window: [usize; 3], to: &Range<usize>) {
        let from = [read.place.clone().unwrap_or(0..0), 0..0];
        let split = split(&mut self.arena, from, [to.clone(), 0..0, 0..0]);
        let source = source(&self.lazy, read, split.read[0]);
        let [out, _, _] = split.write;
        pool3d::forward(context, &source, window, out);
    }

    /// Statistics of a value and the scale and shift that follow from them.
    fn normalise(&mut self, context: Context<'_>, step: &Norm, parameters: &Parameters) {
        let config = self.network.config();
        let epsilon = f64::from(config.epsilon);
        let Some(lazy) = self.lazy[step.value].as_mut() else {
            return;
        };
        let shape = lazy.applied.shape;
        let two = 2 * shape.c;
        match &step.statistics {
            Statistics::Moments { len } => {
                let sums = &mut self.sums[..shape.n * two];
                norm::sum_parts(&self.workspace[..*len], shape.n, sums);
            }
            Statistics::Value(place) => norm::moments(
                context,
                &self.arena[place.clone()],
                shape,
                &mut self.workspace,
                &mut self.sums,
            ),
            Statistics::Running(_) => {}
        }
        let gamma = &parameters.values[step.scale.clone()];
        let beta = &parameters.values[step.shift.clone()];
        for c in 0..shape.c {
            for n in 0..shape.n {
                let (mean, variance) = if let Statistics::Running(both) = &step.statistics {
                    let [mean, variance] = both
                        .each_ref()
                        .map(|range| f64::from(parameters.running[range.start + c]));
                    (mean, variance)
                } else {
                    let samples = match config.normalisation {
                        Normalisation::Instance => n..n + 1,
                        _ => 0..shape.n,
                    };
                    let count = (samples.len() * shape.voxels()) as f64;
                    let sum = |k: usize| {
                        samples
                            .clone()
                            .map(|n| self.sums[n * two + k * shape.c + c])
                            .sum::<f64>()
                    };
                    let mean = sum(0) / count;
                    (mean, (sum(1) / count - mean * mean).max(0.0))
                };
                let inv_std = 1.0 / (variance + epsilon).sqrt();
                let i = n * shape.c + c;
                lazy.mean[i] = mean as f32;
                lazy.inv_std[i] = inv_std as f32;
                lazy.scale[i] = (f64::from(gamma[c]) * inv_std) as f32;
                lazy.shift[i] = (f64::from(beta[c]) - f64::from(gamma[c]) * inv_std * mean) as f32;
            }
        }
    }
}
