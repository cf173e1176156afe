//! The backward pass: the steps of the plan, one after the other.

use std::ops::Range;
use std::sync::Arc;

use unet3d_kernels::norm::{Normalised, Unpool};
use unet3d_kernels::{
    Context, Region, Source, Target, Threads, Transform, View, conv3d, norm, upconv3d,
};

use super::{Executor, cut, lap, places, source, sources, split};
use crate::config::Normalisation;
use crate::network::Parameters;
use crate::plan::Mode;
use crate::plan::step::{Backward, Chosen, ConvInput, Input, Through};

/// What the caller of a backward pass holds.
struct Callers<'a> {
    threads: &'a Threads,
    /// The trained parameters.
    values: &'a [f32],
    input: &'a [f32],
    d_logits: &'a [f32],
    gradients: &'a mut [f32],
}

impl Executor {
    /// Adds to `gradients` (laid out as the parameters) the gradient of a loss
    /// whose gradient by the logits is `d_logits`, after [`forward`](Self::forward)
    /// with the same input and parameters.
    ///
    /// # Panics
    /// When the plan is not one for training or a length does not fit.
    pub fn backward(
        &mut self,
        threads: &Threads,
        parameters: &Parameters,
        input: &[f32],
        d_logits: &[f32],
        gradients: &mut [f32],
    ) {
        assert_eq!(
            self.plan.mode(),
            Mode::Train,
            "backward needs a plan for training"
        );
        assert_eq!(input.len(), self.plan.input.len(), "length of the input");
        assert_eq!(
            d_logits.len(),
            self.plan.output.len(),
            "length of the gradient of the logits"
        );
        assert_eq!(
            gradients.len(),
            self.network.parameter_count(),
            "length of the gradients"
        );
        let mut callers = Callers {
            threads,
            values: &parameters.values,
            input,
            d_logits,
            gradients,
        };
        let steps = Arc::clone(&self.plan.backward);
        let mut clock = self.clock();
        for step in &*steps {
            self.backward_step(&step.work, &mut callers);
            lap(&mut self.profile, &mut clock, step);
        }
    }

    fn backward_step(&mut self, work: &Backward, callers: &mut Callers<'_>) {
        let context = self.context(callers.threads);
        match work {
            Backward::Through(step) => self.through(context, step, callers),
            Backward::ConvWeights {
                input,
                kernel,
                dy,
                weights,
            } => self.conv_weights(context, (input, kernel), (dy, weights), callers),
            Backward::ConvInput(step) => self.conv_input(context, step, callers),
            Backward::UpConv {
                read,
                window,
                out_c,
                dy,
                dx,
                weights,
            } => {
                let from = [read.place.clone().unwrap_or(0..0), dy.clone()];
                let to = [dx.clone(), self.plan.scratch.clone(), 0..0];
                let split = split(&mut self.arena, from, to);
                let [x, dy] = split.read;
                let problem = upconv3d::Problem {
                    input: source(&self.lazy, read, x),
                    window: *window,
                    out_c: *out_c,
                };
                let [dx, scratch, _] = split.write;
                let d_weights = &mut callers.gradients[weights.clone()];
                upconv3d::backward_weights(context, &problem, dy, d_weights, scratch);
                let weights = &callers.values[weights.clone()];
                upconv3d::backward_input(context, &problem, weights, dy, dx, scratch);
            }
        }
    }

    /// The gradient of a value by its stored form, in place; the gradients of
    /// its normalisation and of its producer's bias.
    fn through(&mut self, context: Context<'_>, step: &Through, callers: &mut Callers<'_>) {
        let gradients = &mut *callers.gradients;
        let (workspace, sums) = (&mut self.workspace, &mut self.sums);
        let Some(lazy) = self.lazy[step.value].as_mut() else {
            let dy = match &step.gradient {
                Some(place) => &self.arena[place.clone()],
                None => callers.d_logits,
            };
            if let Some(bias) = &step.bias {
                let shape = step.shape;
                norm::channel_sums(context, dy, shape, workspace, sums);
                add_sums(sums, shape.n, 0, &mut gradients[bias.clone()]);
            }
            return;
        };
        let Some(gradient) = step.gradient.clone() else {
            return;
        };
        let shape = lazy.applied.shape;
        let two = 2 * shape.c;
        let unpool = step.unpool.as_ref();
        let maxima = unpool.and_then(|unpool| unpool.maxima.clone());
        let [y, at_maxima, dy, g] = cut(
            &mut self.arena,
            [
                step.y.clone(),
                maxima.clone().unwrap_or(0..0),
                unpool.map_or(0..0, |unpool| unpool.dy.clone()),
                gradient,
            ],
        );
        let value = norm::Value {
            y,
            shape,
            transform: Transform {
                scale: &lazy.scale,
                shift: &lazy.shift,
                slope: lazy.applied.slope,
                dropout: lazy.dropout,
            },
            unpool: unpool.map(|unpool| Unpool {
                window: unpool.window,
                maxima: maxima.map(|_| &*at_maxima),
                dy: &*dy,
                present: unpool.present,
            }),
        };
        let statistics = lazy.applied.norm.as_ref().map(|_| Normalised {
            mean: &lazy.mean,
            inv_std: &lazy.inv_std,
        });
        let Some(norm) = &lazy.applied.norm else {
            if let Some(bias) = &step.bias {
                norm::backward_sums(context, &value, statistics, g, workspace, sums);
                add_sums(sums, shape.n, 0, &mut gradients[bias.clone()]);
            }
            norm::backward_apply(context, &value, None, g);
            return;
        };
        norm::backward_sums(context, &value, statistics, g, workspace, sums);
        // A bias before a normalisation changes nothing: its gradient is 0.
        add_sums(sums, shape.n, 1, &mut gradients[norm.scale.clone()]);
        add_sums(sums, shape.n, 0, &mut gradients[norm.shift.clone()]);
        let instance = self.network.config().normalisation == Normalisation::Instance;
        for n in 0..shape.n {
            let samples = if instance { n..n + 1 } else { 0..shape.n };
            let count = (samples.len() * shape.voxels()) as f64;
            for c in 0..shape.c {
                let mean_of = |k: usize| {
                    samples
                        .clone()
                        .map(|n| sums[n * two + k * shape.c + c])
                        .sum::<f64>()
                        / count
                };
                let (mean_g, mean_gx) = (mean_of(0), mean_of(1));
                let i = n * shape.c + c;
                let (scale, inv_std) = (f64::from(lazy.scale[i]), f64::from(lazy.inv_std[i]));
                let b = -scale * inv_std * mean_gx;
                lazy.coefficients[0][i] = scale as f32;
                lazy.coefficients[1][i] = b as f32;
                lazy.coefficients[2][i] = (-scale * mean_g - b * f64::from(lazy.mean[i])) as f32;
            }
        }
        let coefficients = std::array::from_fn(|k| lazy.coefficients[k].as_slice());
        norm::backward_apply(context, &value, Some(coefficients), g);
    }

    fn conv_weights(
        &mut self,
        context: Context<'_>,
        (input, kernel): (&Input, &Chosen),
        (dy, weights): (&Option<Range<usize>>, &Range<usize>),
        callers: &mut Callers<'_>,
    ) {
        let write = [dy.clone().unwrap_or(0..0), self.plan.scratch.clone(), 0..0];
        let split = split(&mut self.arena, places(&input.reads), write);
        let (sources, many) = sources(&self.lazy, &input.reads, split.read, callers.input);
        let problem = conv3d::Problem {
            input: View {
                sources: &sources[..many],
                space: input.space,
                pad: input.pad,
            },
            kernel: kernel.size.kernel,
            out_c: kernel.size.out_c,
        };
        let [dy_here, scratch, _] = split.write;
        let dy = if dy.is_some() {
            dy_here
        } else {
            callers.d_logits
        };
        let d_weights = &mut callers.gradients[weights.clone()];
        kernel
            .kernel
            .backward_weights(context, &problem, dy, d_weights, scratch);
    }

    fn conv_input(&mut self, context: Context<'_>, step: &ConvInput, callers: &Callers<'_>) {
        let from = [step.dy.clone().unwrap_or(0..0), 0..0];
        let plan = &self.plan;
        let to = [step.dx.clone(), plan.scratch.clone(), plan.flipped.clone()];
        let split = split(&mut self.arena, from, to);
        let dy = if step.dy.is_some() {
            split.read[0]
        } else {
            callers.d_logits
        };
        let [dx, scratch, flipped] = split.write;
        let weights = &callers.values[step.weights.clone()];
        let many = step.back.size.out_c;
        conv3d::flipped(
            &step.size,
            weights,
            step.first,
            many,
            callers.threads,
            flipped,
        );
        let source = [Source {
            data: dy,
            shape: step.dy_shape,
            crop: [0; 3],
            transform: None,
        }];
        let problem = conv3d::Problem {
            input: View {
                sources: &source,
                space: step.dy_shape.space,
                pad: step.pad,
            },
            kernel: step.back.size.kernel,
            out_c: many,
        };
        let target = Target {
            data: dx,
            shape: step.dx_shape,
            crop: step.crop,
            accumulate: step.accumulate,
            moments: None,
            kept: Region::all(problem.output()),
            pooled: None,
        };
        let kernel = step.back.kernel;
        kernel.forward(context, &problem, flipped, None, target, scratch);
    }
}

/// Adds the `k`-th sums of all samples, in order, to a channel vector.
fn add_sums(sums: &[f64], samples: usize, k: usize, to: &mut [f32]) {
    let channels = to.len();
    for (c, to) in to.iter_mut().enumerate() {
        let sum: f64 = (0..samples).map(|n| sums[(n * 2 + k) * channels + c]).sum();
        *to += sum as f32;
    }
}
