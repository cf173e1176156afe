//! The backward pass: the list of nodes read bottom-up.
//!
//! The gradient of a value is complete when its producer is reached, but for the part of a
//! pooling: all its readers come later in the list. There it goes through pooling, dropout,
//! activation and normalisation in one sweep, and on to the weights and to the input.

use std::ops::Range;

use unet3d_kernels::norm::{Normalised, Unpool};
use unet3d_kernels::{Region, Source, Target, Threads, Transform, View, conv3d, norm, upconv3d};

use super::{Executor, cut, places, sources, split};
use crate::config::Normalisation;
use crate::graph::{Footprint, Node, ValueId};
use crate::network::Parameters;
use crate::plan::Mode;
use crate::profile::Pass;

/// A pooling whose part of the gradient of the pooled value is still to be added.
#[derive(Clone, Copy)]
struct Pooling {
    to: ValueId,
    window: [usize; 3],
    /// Where the gradient is already.
    present: Region,
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
            self.plan.mode,
            Mode::Train,
            "backward needs a plan for training"
        );
        assert_eq!(
            input.len(),
            self.plan.shapes[0].len(),
            "length of the input"
        );
        assert_eq!(
            d_logits.len(),
            self.logits().len(),
            "length of the gradient of the logits"
        );
        assert_eq!(
            gradients.len(),
            self.network.parameter_count(),
            "length of the gradients"
        );
        // Where the gradient of each value already is, and by which pooling it will be whole.
        let mut present = vec![Region::NOTHING; self.plan.shapes.len()];
        let mut poolings: Vec<Option<Pooling>> = vec![None; self.plan.shapes.len()];
        let mut clock = self.clock();
        for step in (0..self.network.graph().nodes.len()).rev() {
            let node = self.network.graph().nodes[step].clone();
            if let Node::Conv { to, .. } | Node::UpConv { to, .. } | Node::Pool { to, .. } = node {
                let all = Region::all(self.plan.shapes[to]);
                debug_assert!(
                    present[to] == all
                        || poolings[to].is_some()
                        || self.plan.gradients[to].is_none(),
                    "value {to} has a gradient only in {:?}",
                    present[to]
                );
            }
            match node {
                Node::Conv {
                    from,
                    to,
                    weight,
                    bias,
                    kernel,
                } => {
                    self.through_lazy(threads, to, bias, poolings[to], d_logits, gradients);
                    self.lap(&mut clock, step, Pass::Activation);
                    self.conv_weights(
                        threads,
                        input,
                        (from, to),
                        kernel,
                        weight,
                        d_logits,
                        gradients,
                    );
                    self.lap(&mut clock, step, Pass::Weights);
                    if from != 0 {
                        self.conv_input(
                            threads,
                            (from, to),
                            kernel,
                            weight,
                            parameters,
                            d_logits,
                            &mut present,
                        );
                        self.lap(&mut clock, step, Pass::Input);
                    }
                }
                Node::UpConv {
                    from,
                    to,
                    weight,
                    bias,
                    window,
                } => {
                    self.through_lazy(threads, to, bias, poolings[to], d_logits, gradients);
                    self.lap(&mut clock, step, Pass::Activation);
                    self.back_up_conv(threads, (from, to), window, weight, parameters, gradients);
                    present[from] = Region::all(self.plan.shapes[from]);
                    self.lap(&mut clock, step, Pass::Backward);
                }
                Node::Pool { from, to, window } => {
                    let pooling = Pooling {
                        to,
                        window,
                        present: present[from],
                    };
                    let other = poolings[from].replace(pooling);
                    assert!(other.is_none(), "value {from} is pooled twice");
                }
                // Part of the producer of the value.
                Node::Norm { .. }
                | Node::Activation { .. }
                | Node::Dropout { .. }
                | Node::Concat { .. } => {}
            }
        }
    }

    /// The gradient of a value by its stored form, in place; the gradients of
    /// its normalisation and of its producer's bias.
    fn through_lazy(
        &mut self,
        threads: &Threads,
        value: ValueId,
        bias: Option<usize>,
        pooling: Option<Pooling>,
        d_logits: &[f32],
        gradients: &mut [f32],
    ) {
        let context = self.context(threads);
        let shape = self.plan.shapes[value];
        let layout = self.network.layout();
        let two = 2 * shape.c;
        let Some(lazy) = self.lazy[value].as_mut() else {
            assert!(pooling.is_none(), "value {value} is pooled as it is");
            if let Some(bias) = bias {
                let dy = match &self.plan.gradients[value] {
                    Some(place) => &self.arena[place.clone()],
                    None => d_logits,
                };
                norm::channel_sums(context, dy, shape, &mut self.workspace, &mut self.sums);
                add_sums(
                    &self.sums,
                    shape.n,
                    shape.c,
                    0,
                    &mut gradients[layout.entries[bias].range.clone()],
                );
            }
            return;
        };
        let Some(gradient) = self.plan.gradients[value].clone() else {
            return;
        };
        let y = self.plan.values[value].clone().unwrap_or(0..0);
        let place = |places: &[Option<Range<usize>>], value: Option<ValueId>| {
            let place = value.and_then(|value| places[value].clone());
            place.unwrap_or(0..0)
        };
        // Where a pass of its own pools, what it stores is transformed.
        let raw = self.plan.fused[value].map(|fused| fused.to);
        let maxima = place(&self.plan.values, raw);
        let dy = place(&self.plan.gradients, pooling.map(|pooling| pooling.to));
        let [y, maxima, dy, g] = cut(&mut self.arena, [y, maxima, dy, gradient]);
        let (y, maxima, dy) = (&*y, &*maxima, &*dy);
        let unpool = pooling.map(|pooling| Unpool {
            window: pooling.window,
            maxima: raw.map(|_| maxima),
            dy,
            present: pooling.present,
        });
        let statistics = lazy.norm.map(|_| Normalised {
            mean: &lazy.mean,
            inv_std: &lazy.inv_std,
        });
        let transform = Transform {
            scale: &lazy.scale,
            shift: &lazy.shift,
            slope: lazy.slope,
            dropout: lazy.dropout,
        };
        let (workspace, sums) = (&mut self.workspace, &mut self.sums);
        let value = norm::Value {
            y,
            shape,
            transform,
            unpool,
        };
        let mut sum = |dz: &[f32]| {
            norm::backward_sums(context, &value, statistics, dz, workspace, sums);
        };
        let Some(entries) = lazy.norm else {
            if let Some(bias) = bias {
                sum(g);
                add_sums(
                    sums,
                    shape.n,
                    shape.c,
                    0,
                    &mut gradients[layout.entries[bias].range.clone()],
                );
            }
            norm::backward_apply(context, &value, None, g);
            return;
        };
        sum(g);
        // A bias before a normalisation changes nothing: its gradient is 0.
        add_sums(
            sums,
            shape.n,
            shape.c,
            1,
            &mut gradients[layout.entries[entries.scale].range.clone()],
        );
        add_sums(
            sums,
            shape.n,
            shape.c,
            0,
            &mut gradients[layout.entries[entries.shift].range.clone()],
        );
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

    #[expect(clippy::too_many_arguments, reason = "the operands of one node")]
    fn conv_weights(
        &mut self,
        threads: &Threads,
        input: &[f32],
        (from, to): (ValueId, ValueId),
        kernel: Footprint,
        weight: usize,
        d_logits: &[f32],
        gradients: &mut [f32],
    ) {
        let context = self.context(threads);
        let plan = &self.plan;
        let dy = plan.gradients[to].clone().unwrap_or(0..0);
        let parts = &self.parts[from];
        let split = split(
            &mut self.arena,
            places(plan, parts),
            [dy.clone(), plan.scratch.clone(), 0..0],
        );
        let (sources, many) = sources(plan, &self.lazy, parts, split.read, input);
        let view = View {
            sources: &sources[..many],
            space: plan.shapes[from].space,
            pad: kernel.pad,
        };
        let problem = conv3d::Problem {
            input: view,
            kernel: kernel.size,
            out_c: plan.shapes[to].c,
        };
        let [dy_here, scratch, _] = split.write;
        let dy = if dy.is_empty() { d_logits } else { dy_here };
        let range = self.network.layout().entries[weight].range.clone();
        plan.kernel(&problem.size()).backward_weights(
            context,
            &problem,
            dy,
            &mut gradients[range],
            scratch,
        );
    }

    #[expect(clippy::too_many_arguments, reason = "the operands of one node")]
    fn conv_input(
        &mut self,
        threads: &Threads,
        (from, to): (ValueId, ValueId),
        kernel: Footprint,
        weight: usize,
        parameters: &Parameters,
        d_logits: &[f32],
        present: &mut [Region],
    ) {
        let context = self.context(threads);
        let plan = &self.plan;
        let size = plan.conv_size(from, to, kernel);
        let weights = &parameters.values[self.network.layout().entries[weight].range.clone()];
        let mut first = 0;
        for &(value, crop) in &self.parts[from] {
            let shape = plan.shapes[value];
            let dy_place = plan.gradients[to].clone().unwrap_or(0..0);
            let dx = plan.gradients[value].clone().unwrap_or(0..0);
            let write = [dx, plan.scratch.clone(), plan.flipped.clone()];
            let split = split(&mut self.arena, [dy_place.clone(), 0..0], write);
            let dy = if dy_place.is_empty() {
                d_logits
            } else {
                split.read[0]
            };
            let [dx, scratch, flipped] = split.write;
            conv3d::flipped(&size, weights, first, shape.c, threads, flipped);
            let source = [Source {
                data: dy,
                shape: plan.shapes[to],
                crop: [0; 3],
                transform: None,
            }];
            let view = View {
                sources: &source,
                space: plan.shapes[to].space,
                pad: std::array::from_fn(|axis| kernel.size[axis] - 1 - kernel.pad[axis]),
            };
            let problem = conv3d::Problem {
                input: view,
                kernel: kernel.size,
                out_c: shape.c,
            };
            // A cropped skip leaves a rim without gradient; what is read there is that of
            // the pooling alone.
            let space = problem.output().space;
            let region = Region {
                start: crop,
                end: std::array::from_fn(|axis| crop[axis] + space[axis]),
            };
            let accumulate = !present[value].is_empty();
            debug_assert!(!accumulate || present[value] == region);
            let target = Target {
                data: dx,
                shape,
                crop,
                accumulate,
                moments: None,
                kept: Region::all(problem.output()),
                pooled: None,
            };
            let size = problem.size();
            plan.kernel(&size)
                .forward(context, &problem, flipped, None, target, scratch);
            present[value] = region;
            first += shape.c;
        }
    }

    fn back_up_conv(
        &mut self,
        threads: &Threads,
        (from, to): (ValueId, ValueId),
        window: [usize; 3],
        weight: usize,
        parameters: &Parameters,
        gradients: &mut [f32],
    ) {
        let context = self.context(threads);
        let plan = &self.plan;
        let dy = plan.gradients[to].clone().unwrap_or(0..0);
        let dx = plan.gradients[from].clone().unwrap_or(0..0);
        let x = plan.values[from].clone().unwrap_or(0..0);
        let split = split(&mut self.arena, [x, dy], [dx, plan.scratch.clone(), 0..0]);
        let [x, dy] = split.read;
        let ([source, _], _) = sources(plan, &self.lazy, &self.parts[from], [x, &[]], &[]);
        let problem = upconv3d::Problem {
            input: source,
            window,
            out_c: plan.shapes[to].c,
        };
        let [dx, scratch, _] = split.write;
        let range = self.network.layout().entries[weight].range.clone();
        upconv3d::backward_weights(
            context,
            &problem,
            dy,
            &mut gradients[range.clone()],
            scratch,
        );
        upconv3d::backward_input(
            context,
            &problem,
            &parameters.values[range],
            dy,
            dx,
            scratch,
        );
    }
}

/// Adds the `k`-th sums of all samples, in order, to a channel vector.
fn add_sums(sums: &[f64], samples: usize, channels: usize, k: usize, to: &mut [f32]) {
    for (c, to) in to.iter_mut().enumerate() {
        let sum: f64 = (0..samples).map(|n| sums[(n * 2 + k) * channels + c]).sum();
        *to += sum as f32;
    }
}
