//! The forward pass.

use std::ops::Range;
use std::time::Instant;

use rand::Rng;
use unet3d_kernels::random::{Stream, generator};
use unet3d_kernels::{
    Dropout, Pooled, Region, Target, Threads, View, conv3d, norm, pool3d, upconv3d,
};

use super::{Executor, places, sources, split};
use crate::config::Normalisation;
use crate::graph::{Footprint, Node, ValueId};
use crate::layout::Layout;
use crate::network::Parameters;
use crate::plan::{Mode, Slabs};
use crate::profile::Pass;

/// The parameters of a convolution, and the scale of the normalisation behind it.
#[derive(Clone, Copy)]
struct Weights<'a> {
    weights: &'a [f32],
    bias: Option<&'a [f32]>,
    scale: Option<&'a [f32]>,
}

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
        assert_eq!(
            input.len(),
            self.plan.shapes[0].len(),
            "length of the input"
        );
        assert_eq!(
            parameters.values.len(),
            self.network.parameter_count(),
            "number of parameters"
        );
        assert!(
            dropout.is_none() || self.plan.mode == Mode::Train,
            "dropout in a plan for prediction, which pools what nothing was dropped from"
        );
        self.draw_dropout(dropout);
        let mut clock = self.clock();
        for step in 0..self.network.graph().nodes.len() {
            let node = self.network.graph().nodes[step].clone();
            match node {
                Node::Conv {
                    from,
                    to,
                    weight,
                    bias,
                    kernel,
                } => {
                    let weights = self.slice(&parameters.values, weight);
                    let bias = bias.map(|bias| self.slice(&parameters.values, bias));
                    let scale = self.lazy[to].as_ref().and_then(|lazy| lazy.norm);
                    let scale = scale.map(|norm| self.slice(&parameters.values, norm.scale));
                    let weights = Weights {
                        weights,
                        bias,
                        scale,
                    };
                    self.moments = 0;
                    if let Some(slabs) = self.plan.slabs_of(&self.parts[from]) {
                        let conv = ((from, to), kernel, weights);
                        self.conv_in_slabs(threads, parameters, input, slabs, conv);
                        clock = self.clock();
                        continue;
                    }
                    let all = 0..self.plan.shapes[to].space[0];
                    self.conv(threads, input, (from, to), kernel, weights, all);
                }
                // Done before the convolution that reads it.
                Node::UpConv { to, .. } if self.plan.slabs[to].is_some() => continue,
                Node::UpConv { to, .. } => {
                    let all = 0..self.plan.shapes[to].space[0];
                    self.up_conv(threads, parameters, &node, all);
                }
                // Done by the convolution.
                Node::Pool { from, .. } if self.plan.fused[from].is_some() => continue,
                Node::Pool { from, to, window } => self.pool(threads, from, to, window),
                Node::Norm { value, .. } => self.normalise(threads, value, parameters),
                // Applied when the value is read.
                Node::Activation { .. } | Node::Dropout { .. } | Node::Concat { .. } => continue,
            }
            self.lap(&mut clock, step, Pass::Forward);
        }
        self.logits()
    }

    /// Moves the running statistics by `momentum` towards those of the last
    /// forward pass (the variance unbiased, as PyTorch and Keras do).
    /// Does nothing unless the network normalises with running statistics.
    pub fn update_running(&self, parameters: &mut Parameters, momentum: f32) {
        for lazy in self.lazy.iter().flatten() {
            let Some([mean, variance]) = lazy.norm.and_then(|norm| norm.running) else {
                continue;
            };
            let running = self.network.running_layout();
            let count = (lazy.shape.n * lazy.shape.voxels()) as f32;
            let unbias = count / (count - 1.0).max(1.0);
            let epsilon = self.network.config().epsilon;
            for c in 0..lazy.shape.c {
                let biased = 1.0 / (lazy.inv_std[c] * lazy.inv_std[c]) - epsilon;
                for (entry, new) in [(mean, lazy.mean[c]), (variance, biased.max(0.0) * unbias)] {
                    let value = &mut parameters.running[running.entries[entry].range.start + c];
                    *value += momentum * (new - *value);
                }
            }
        }
    }

    fn draw_dropout(&mut self, dropout: Option<(u64, u64)>) {
        let key = dropout.map(|(seed, step)| generator(seed, Stream::Dropout, step).next_u64());
        for lazy in self.lazy.iter_mut().flatten() {
            lazy.dropout = key.zip(lazy.rate).map(|(key, (rate, index))| Dropout {
                // An odd constant keeps the keys of the layers apart.
                key: key.wrapping_add((index as u64).wrapping_mul(0xD134_2543_DE82_EF95)),
                rate,
            });
        }
    }

    fn slice<'a>(&self, values: &'a [f32], entry: usize) -> &'a [f32] {
        let layout: &Layout = self.network.layout();
        &values[layout.entries[entry].range.clone()]
    }

    /// A convolution and the up-convolution before it, some planes at a time.
    fn conv_in_slabs(
        &mut self,
        threads: &Threads,
        parameters: &Parameters,
        input: &[f32],
        slabs: Slabs,
        (values, kernel, weights): ((ValueId, ValueId), Footprint, Weights<'_>),
    ) {
        let up_conv = self.network.graph().nodes[slabs.step].clone();
        let mut seconds = [0.0; 2];
        for outputs in slabs.outputs() {
            let began = Instant::now();
            self.up_conv(threads, parameters, &up_conv, slabs.planes(&outputs));
            let made = Instant::now();
            self.conv(threads, input, values, kernel, weights, outputs);
            seconds[0] += made.duration_since(began).as_secs_f64();
            seconds[1] += made.elapsed().as_secs_f64();
        }
        if let Some(profile) = &mut self.profile {
            profile.add_seconds(slabs.step, Pass::Forward, seconds[0]);
            profile.add_seconds(slabs.reader, Pass::Forward, seconds[1]);
        }
    }

    /// The planes `outputs` of a convolution. Their partial sums for statistics follow
    /// those of the planes before.
    fn conv(
        &mut self,
        threads: &Threads,
        input: &[f32],
        (from, to): (ValueId, ValueId),
        kernel: Footprint,
        Weights {
            weights,
            bias,
            scale,
        }: Weights<'_>,
        outputs: Range<usize>,
    ) {
        let context = self.context(threads);
        let plan = &self.plan;
        let out = plan.values[to].clone().unwrap_or(0..0);
        let fused = plan.fused[to];
        let pooled = fused.and_then(|fused| plan.values[fused.to].clone());
        let parts = &self.parts[from];
        let split = split(
            &mut self.arena,
            places(plan, parts),
            [out, plan.scratch.clone(), pooled.unwrap_or(0..0)],
        );
        let (mut sources, many) = sources(plan, &self.lazy, parts, split.read, input);
        let mut space = plan.shapes[from].space;
        let whole = outputs.len() == plan.shapes[to].space[0];
        if !whole {
            space[0] = outputs.len() + kernel.size[0] - 1;
            // Of the value in slabs there are just these planes.
            for (source, (value, _)) in sources.iter_mut().zip(parts) {
                if plan.slabs[*value].is_none() {
                    source.crop[0] += outputs.start;
                }
            }
        }
        let view = View {
            sources: &sources[..many],
            space,
            pad: kernel.pad,
        };
        let problem = conv3d::Problem {
            input: view,
            kernel: kernel.size,
            out_c: plan.shapes[to].c,
        };
        let [out, scratch, pooled] = split.write;
        // Statistics come with the write, where they are wanted.
        let kernel = plan.kernel(&problem.size());
        let is_measured = self.lazy[to].as_ref().is_some_and(|lazy| lazy.measured);
        let first = self.moments;
        if is_measured {
            self.moments += plan.moments(&problem.size());
        }
        let target = Target {
            data: out,
            shape: plan.stored(to),
            crop: [outputs.start, 0, 0],
            accumulate: false,
            moments: is_measured.then(|| &mut self.workspace[first..self.moments]),
            kept: if whole {
                plan.kept(to)
            } else {
                Region::all(problem.output())
            },
            pooled: fused.map(|fused| Pooled {
                data: pooled,
                window: fused.window,
                scale,
            }),
        };
        kernel.forward(context, &problem, weights, bias, target, scratch);
    }

    /// The planes `planes` of an up-convolution, in whole windows.
    fn up_conv(
        &mut self,
        threads: &Threads,
        parameters: &Parameters,
        node: &Node,
        planes: Range<usize>,
    ) {
        let Node::UpConv {
            from,
            to,
            weight,
            bias,
            window,
        } = *node
        else {
            return;
        };
        let weights = self.slice(&parameters.values, weight);
        let bias = bias.map(|bias| self.slice(&parameters.values, bias));
        let context = self.context(threads);
        let plan = &self.plan;
        let out = plan.values[to].clone().unwrap_or(0..0);
        let parts = &self.parts[from];
        let split = split(
            &mut self.arena,
            places(plan, parts),
            [out, plan.scratch.clone(), 0..0],
        );
        let ([mut source, _], _) = sources(plan, &self.lazy, parts, split.read, &[]);
        if planes.len() < plan.shapes[to].space[0] {
            let (first, shape) = plan.up_input(from, window, &planes);
            source.data = &source.data[source.shape.at(0, [first, 0, 0])..][..shape.len()];
            source.shape = shape;
        }
        let problem = upconv3d::Problem {
            input: source,
            window,
            out_c: plan.shapes[to].c,
        };
        let [out, scratch, _] = split.write;
        let out = &mut out[..problem.size().output().len()];
        upconv3d::forward(context, &problem, weights, bias, out, scratch);
    }

    fn pool(&mut self, threads: &Threads, from: ValueId, to: ValueId, window: [usize; 3]) {
        let context = self.context(threads);
        let plan = &self.plan;
        let out = plan.values[to].clone().unwrap_or(0..0);
        let parts = &self.parts[from];
        let split = split(&mut self.arena, places(plan, parts), [out, 0..0, 0..0]);
        let ([source, _], _) = sources(plan, &self.lazy, parts, split.read, &[]);
        let [out, _, _] = split.write;
        pool3d::forward(context, &source, window, out);
    }

    /// Statistics of a value and the scale and shift that follow from them.
    fn normalise(&mut self, threads: &Threads, value: ValueId, parameters: &Parameters) {
        let context = self.context(threads);
        let config = self.network.config();
        let epsilon = f64::from(config.epsilon);
        let place = self.plan.values[value].clone().unwrap_or(0..0);
        let Some(lazy) = self.lazy[value].as_mut() else {
            return;
        };
        let Some(entries) = lazy.norm else { return };
        let shape = lazy.shape;
        let two = 2 * shape.c;
        let running = !lazy.measured;
        let parts = std::mem::take(&mut self.moments);
        if parts > 0 {
            let sums = &mut self.sums[..shape.n * two];
            norm::sum_parts(&self.workspace[..parts], shape.n, sums);
        } else if !running {
            norm::moments(
                context,
                &self.arena[place],
                shape,
                &mut self.workspace,
                &mut self.sums,
            );
        }
        let layout = self.network.layout();
        let gamma = &parameters.values[layout.entries[entries.scale].range.clone()];
        let beta = &parameters.values[layout.entries[entries.shift].range.clone()];
        for c in 0..shape.c {
            for n in 0..shape.n {
                let (mean, variance) =
                    if let (true, Some([mean, variance])) = (running, entries.running) {
                        let layout = self.network.running_layout();
                        let of = |entry: usize| {
                            f64::from(parameters.running[layout.entries[entry].range.start + c])
                        };
                        (of(mean), of(variance))
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
