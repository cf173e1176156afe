//! Convolution of one voxel to a few output channels: the last layer of every
//! network, which scores classes.
//!
//! A panel of 16 output channels would be mostly zeros here, so input channels
//! are in the lanes instead. Forward: a task is a few rows of one output plane; an
//! output is a dot product of a loaded voxel with a row of transposed weights.
//! Weight gradient: a task is a slab of output planes; a vector of input channels
//! times each output gradient of its voxel. Either way the input is read once, and
//! memory is what takes the time.

#![allow(
    unsafe_code,
    reason = "tasks write sums beside their part of the output"
)]

use std::ops::Range;

use pulp::Simd;

use super::sums::add_row;
use super::{Kernel, Problem, Size};
use crate::Context;
use crate::micro::{PANEL, mul_add, row_of};
use crate::threads::{LINE, Shared};
use crate::view::{Region, Target, vector};

/// Output channels at most: more of them fill a panel's quarter.
const MOST_OUT: usize = 4;
/// Output rows of a task: one row of 64 channels is some 30 KB, and a few of them
/// are enough work for a task.
const ROWS: usize = 8;
/// Tasks of a weight gradient aimed at: enough for 16 threads.
const OUTER_TASKS: usize = 16;

/// Convolution of one voxel to few output channels.
pub struct Pointwise;

/// Slabs of output planes of a weight gradient.
fn slabs(size: &Size) -> usize {
    OUTER_TASKS.min(size.n * size.output().space[0]).max(1)
}

/// Floats of a loaded row.
fn line(size: &Size) -> usize {
    (size.padded[2] * size.in_c).next_multiple_of(LINE)
}

impl Kernel for Pointwise {
    fn name(&self) -> &'static str {
        "pointwise"
    }

    fn supports(&self, size: &Size) -> bool {
        size.kernel == [1; 3]
            && (1..=MOST_OUT).contains(&size.out_c)
            && size.in_c >= PANEL
            && size.in_c.is_multiple_of(PANEL)
    }

    fn growth(&self, _: &Size) -> f32 {
        1.0
    }

    fn scratch(&self, size: &Size, threads: usize) -> usize {
        // Transposed weights forward, sums of slabs backward.
        slabs(size) * size.weights() + threads * line(size)
    }

    fn parts(&self, size: &Size) -> usize {
        let y = size.output();
        y.space[0] * y.space[1].div_ceil(ROWS)
    }

    fn forward(
        &self,
        context: Context<'_>,
        problem: &Problem<'_>,
        weights: &[f32],
        bias: Option<&[f32]>,
        out: Target<'_>,
        scratch: &mut [f32],
    ) {
        let (size, y) = (problem.size(), problem.output());
        let (turned, scratch) = scratch.split_at_mut(size.weights());
        super::transpose(&weights[..size.weights()], size.in_c, y.c, turned);
        let turned = &*turned;
        let per_plane = y.space[1].div_ceil(ROWS);
        let Target {
            data,
            shape,
            crop,
            accumulate,
            moments,
            kept,
            pooled,
        } = out;
        assert!(pooled.is_none(), "this kernel does not pool");
        assert_eq!(kept, Region::all(y), "this kernel keeps all");
        let moments = moments.map(Shared::new);
        let row = shape.space[2] * shape.c;
        let place = |task: usize| {
            let (plane, first) = (task / per_plane, task % per_plane * ROWS);
            let rows = first..(first + ROWS).min(y.space[1]);
            (plane / y.space[0], plane % y.space[0], rows)
        };
        context.threads.for_each_part(
            data,
            scratch,
            y.n * y.space[0] * per_plane,
            |task| {
                let (n, d, rows) = place(task);
                let start = shape.at(n, [d + crop[0], rows.start + crop[1], 0]);
                start..start + rows.len() * row
            },
            |task, part, loaded| {
                let (n, d, rows) = place(task);
                // SAFETY: every task has its own part.
                let moments = moments
                    .as_ref()
                    .map(|m| unsafe { m.part(task * 2 * y.c..(task + 1) * 2 * y.c) });
                context.isa.run(Forward {
                    problem,
                    turned,
                    bias,
                    at: (n, d),
                    rows,
                    part,
                    row,
                    first: crop[2] * shape.c,
                    accumulate,
                    loaded,
                    moments,
                });
            },
        );
    }

    fn backward_weights(
        &self,
        context: Context<'_>,
        problem: &Problem<'_>,
        d_out: &[f32],
        d_weights: &mut [f32],
        scratch: &mut [f32],
    ) {
        let (size, y) = (problem.size(), problem.output());
        let (slabs, one, planes) = (slabs(&size), size.weights(), y.n * y.space[0]);
        let (sums, scratch) = scratch.split_at_mut(slabs * one);
        context
            .threads
            .for_each_chunk(sums, one, scratch, |slab, part, loaded| {
                context.isa.run(Outer {
                    problem,
                    d_out,
                    planes: slab * planes / slabs..(slab + 1) * planes / slabs,
                    part,
                    loaded,
                });
            });
        for slab in sums.chunks_exact(one) {
            for (o, row) in slab.chunks_exact(size.in_c).enumerate() {
                for (to, from) in d_weights[..one].chunks_exact_mut(y.c).zip(row) {
                    to[o] += from;
                }
            }
        }
    }
}

/// Compiles `run::<S, O>` of a task for each number of output channels.
macro_rules! by_outputs {
    ($task:ident) => {
        impl pulp::WithSimd for $task<'_> {
            type Output = ();

            #[inline(always)]
            fn with_simd<S: Simd>(self, simd: S) {
                match self.problem.out_c {
                    1 => self.run::<S, 1>(simd),
                    2 => self.run::<S, 2>(simd),
                    3 => self.run::<S, 3>(simd),
                    _ => self.run::<S, MOST_OUT>(simd),
                }
            }
        }
    };
}

/// One forward task: the output rows `rows` of the plane `at`.
struct Forward<'a> {
    problem: &'a Problem<'a>,
    /// `[o][i]`.
    turned: &'a [f32],
    bias: Option<&'a [f32]>,
    /// Sample and output plane.
    at: (usize, usize),
    rows: Range<usize>,
    part: &'a mut [f32],
    /// Floats of a row of `part`, and where its first voxel is written.
    row: usize,
    first: usize,
    accumulate: bool,
    loaded: &'a mut [f32],
    moments: Option<&'a mut [f64]>,
}

by_outputs!(Forward);

impl Forward<'_> {
    #[inline(always)]
    fn run<S: Simd, const O: usize>(mut self, simd: S) {
        let size = self.problem.size();
        let (in_c, width) = (size.in_c, size.padded[2]);
        let turned: [&[f32]; O] = std::array::from_fn(|o| &self.turned[o * in_c..][..in_c]);
        let bias: [f32; O] = std::array::from_fn(|o| self.bias.map_or(0.0, |bias| bias[o]));
        let x = &mut self.loaded[..width * in_c];
        if let Some(moments) = &mut self.moments {
            moments.fill(0.0);
        }
        for (r, h) in self.rows.clone().enumerate() {
            let (n, d) = self.at;
            self.problem
                .input
                .load_row(simd, n, [d, h, 0], width, 0, in_c, x);
            let to = &mut self.part[r * self.row + self.first..][..width * O];
            for (to, x) in to.chunks_exact_mut(O).zip(x.chunks_exact(in_c)) {
                let mut acc = [simd.splat_f32s(0.0); O];
                for i in (0..in_c).step_by(S::F32_LANES) {
                    let x = vector::<S>(&x[i..]);
                    for o in 0..O {
                        acc[o] = mul_add(simd, x, vector::<S>(&turned[o][i..]), acc[o]);
                    }
                }
                for o in 0..O {
                    let sum = simd.reduce_sum_f32s(acc[o]) + bias[o];
                    to[o] = if self.accumulate { to[o] + sum } else { sum };
                }
            }
            if let Some(moments) = &mut self.moments {
                add_row(simd, to, moments);
            }
        }
    }
}

/// One weight-gradient task: the output planes `planes`.
struct Outer<'a> {
    problem: &'a Problem<'a>,
    d_out: &'a [f32],
    planes: Range<usize>,
    /// `[o][i]`.
    part: &'a mut [f32],
    loaded: &'a mut [f32],
}

by_outputs!(Outer);

impl Outer<'_> {
    #[inline(always)]
    fn run<S: Simd, const O: usize>(self, simd: S) {
        let (in_c, y) = (self.problem.input.c(), self.problem.output());
        let width = y.space[2];
        let x = &mut self.loaded[..width * in_c];
        self.part.fill(0.0);
        for plane in self.planes {
            let (n, d) = (plane / y.space[0], plane % y.space[0]);
            for h in 0..y.space[1] {
                self.problem
                    .input
                    .load_row(simd, n, [d, h, 0], width, 0, in_c, x);
                let dy = &self.d_out[y.at(n, [d, h, 0])..][..width * O];
                for i in (0..in_c).step_by(S::F32_LANES) {
                    let mut acc = [simd.splat_f32s(0.0); O];
                    for (dy, x) in dy.chunks_exact(O).zip(x.chunks_exact(in_c)) {
                        let x = vector::<S>(&x[i..]);
                        for o in 0..O {
                            acc[o] = mul_add(simd, x, simd.splat_f32s(dy[o]), acc[o]);
                        }
                    }
                    for o in 0..O {
                        let to = &mut self.part[o * in_c + i..][..S::F32_LANES];
                        let sum = [simd.add_f32s(vector::<S>(to), acc[o])];
                        to.copy_from_slice(row_of::<S, 1>(&sum));
                    }
                }
            }
        }
    }
}
