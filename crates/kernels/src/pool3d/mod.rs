//! Max pooling with window and stride 1 or 2 along each axis.
//!
//! The pooled values are those of the transformed input. The backward pass
//! finds the maximum again instead of storing where it was; of equal values
//! the first in the order of memory gets the gradient, as in PyTorch.

pub mod reference;

use pulp::{Simd, WithSimd};

use crate::conv3d::Context;
use crate::view::{Shape, Source};

/// Output shape for an input whose extents the window divides.
pub fn output(input: Shape, window: [usize; 3]) -> Shape {
    Shape {
        space: std::array::from_fn(|axis| input.space[axis] / window[axis]),
        ..input
    }
}

/// Computes the pooled values, `n d h w c`.
pub fn forward(context: Context<'_>, input: &Source<'_>, window: [usize; 3], out: &mut [f32]) {
    let y = output(input.shape, window);
    let row = y.space[2] * y.c;
    context.threads.for_each_part(
        out,
        &mut [],
        y.n * y.space[0] * y.space[1],
        |task| task * row..(task + 1) * row,
        |task, part, _| {
            context.isa.run(Forward {
                input,
                window,
                task,
                y,
                part,
            })
        },
    );
}

/// Adds to `dx` (by the transformed input, `n d h w c`) the gradient for `dy`.
pub fn backward(
    context: Context<'_>,
    input: &Source<'_>,
    window: [usize; 3],
    dy: &[f32],
    dx: &mut [f32],
) {
    let y = output(input.shape, window);
    let planes = input.shape.at(0, [window[0], 0, 0]);
    context.threads.for_each_part(
        dx,
        &mut [],
        y.n * y.space[0],
        |task| task * planes..(task + 1) * planes,
        |task, part, _| {
            context.isa.run(Backward {
                input,
                window,
                task,
                y,
                dy,
                part,
            })
        },
    );
}

struct Forward<'a> {
    input: &'a Source<'a>,
    window: [usize; 3],
    task: usize,
    y: Shape,
    part: &'a mut [f32],
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self {
            input,
            window,
            task,
            y,
            part,
        } = self;
        let x = input.shape;
        let (n, d, h) = (
            task / (y.space[0] * y.space[1]),
            task / y.space[1] % y.space[0],
            task % y.space[1],
        );
        for (w, out) in part.chunks_exact_mut(y.c).enumerate() {
            for tap in 0..window.iter().product() {
                let start = x.at(n, place([d, h, w], window, tap));
                for c in 0..y.c {
                    let value = input.data[start + c];
                    let value = match input.transform {
                        Some(t) => t.apply(value, n * y.c + c, start + c),
                        None => value,
                    };
                    out[c] = if tap == 0 || value > out[c] {
                        value
                    } else {
                        out[c]
                    };
                }
            }
        }
    }
}

struct Backward<'a> {
    input: &'a Source<'a>,
    window: [usize; 3],
    task: usize,
    y: Shape,
    dy: &'a [f32],
    part: &'a mut [f32],
}

impl WithSimd for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        /// Channels whose maxima are searched together: their state stays in registers.
        const LANES: usize = 16;
        let Self {
            input,
            window,
            task,
            y,
            dy,
            part,
        } = self;
        let (n, d, x) = (task / y.space[0], task % y.space[0], input.shape);
        let first = x.at(n, [d * window[0], 0, 0]);
        for h in 0..y.space[1] {
            for w in 0..y.space[2] {
                let dy = &dy[y.at(n, [d, h, w])..][..y.c];
                for c0 in (0..y.c).step_by(LANES) {
                    let many = LANES.min(y.c - c0);
                    let (mut best, mut at) = ([f32::NEG_INFINITY; LANES], [0u32; LANES]);
                    for tap in 0..window.iter().product() {
                        let start = x.at(n, place([d, h, w], window, tap)) + c0;
                        for c in 0..many {
                            let value = input.data[start + c];
                            let value = match input.transform {
                                Some(t) => t.apply(value, n * y.c + c0 + c, start + c),
                                None => value,
                            };
                            let better = tap == 0 || value > best[c];
                            best[c] = if better { value } else { best[c] };
                            at[c] = if better { tap as u32 } else { at[c] };
                        }
                    }
                    for c in 0..many {
                        let start = x.at(n, place([d, h, w], window, at[c] as usize)) + c0;
                        part[start + c - first] += dy[c0 + c];
                    }
                }
            }
        }
    }
}

/// The input voxel of a tap of an output voxel.
#[inline(always)]
fn place(at: [usize; 3], window: [usize; 3], tap: usize) -> [usize; 3] {
    let taps = [
        tap / (window[1] * window[2]),
        tap / window[2] % window[1],
        tap % window[2],
    ];
    std::array::from_fn(|axis| at[axis] * window[axis] + taps[axis])
}
