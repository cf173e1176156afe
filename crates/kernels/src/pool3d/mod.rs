//! Max pooling with window and stride 1 or 2 along each axis.
//!
//! The pooled values are those of the transformed input. The gradient by them goes
//! to where they came from as a part of the way through the activation: see
//! [`norm::Unpool`](crate::norm::Unpool).
//!
//! Voxels outside, channels inside: memory is walked in its order, a row for
//! each tap along depth and height, and what is reloaded for each voxel (scale
//! and shift) is in the nearest cache.

pub mod reference;

use pulp::{Simd, WithSimd};

use crate::Context;
use crate::view::{Lanes, Shape, Source, load_lanes, store_lanes};

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
    let out = &mut out[..y.len()];
    let row = y.space[2] * y.c;
    context
        .threads
        .for_each_chunk(out, row, &mut [], |task, part, _| {
            context.isa.run(Forward {
                input,
                window,
                task,
                y,
                part,
            });
        });
}

/// Compiles the `run::<S, TAPS>` of a task for each size of the window in its field
/// `$window`. With the taps known their values and masks stay in registers.
macro_rules! by_taps {
    ($task:ident, $($window:ident).+) => {
        impl WithSimd for $task<'_> {
            type Output = ();

            #[inline(always)]
            fn with_simd<S: Simd>(self, simd: S) {
                match self.$($window).+.iter().product() {
                    1 => self.run::<S, 1>(simd),
                    2 => self.run::<S, 2>(simd),
                    4 => self.run::<S, 4>(simd),
                    _ => self.run::<S, 8>(simd),
                }
            }
        }
    };
}

pub(crate) use by_taps;

/// One row of the output.
struct Forward<'a> {
    input: &'a Source<'a>,
    window: [usize; 3],
    task: usize,
    y: Shape,
    part: &'a mut [f32],
}

by_taps!(Forward, window);

impl Forward<'_> {
    #[inline(always)]
    fn run<S: Simd, const TAPS: usize>(self, simd: S) {
        let Self {
            input,
            window,
            task,
            y,
            part,
        } = self;
        let (n, d, h) = (
            task / (y.space[0] * y.space[1]),
            task / y.space[1] % y.space[0],
            task % y.space[1],
        );
        let mut voxel = Voxel::<TAPS>::new(input, window, n, [d, h, 0]);
        let whole = y.c / S::F32_LANES * S::F32_LANES;
        for out in part.chunks_exact_mut(y.c) {
            for i in (0..whole).step_by(S::F32_LANES) {
                let best = voxel.load::<S, true>(simd, i, S::F32_LANES).best;
                store_lanes::<S, true>(simd, best, &mut out[i..], S::F32_LANES);
            }
            if whole < y.c {
                let best = voxel.load::<S, false>(simd, whole, y.c - whole).best;
                store_lanes::<S, false>(simd, best, &mut out[whole..], y.c - whole);
            }
            voxel.advance();
        }
    }
}

/// The input voxels of one output voxel.
pub(crate) struct Voxel<'a, const TAPS: usize> {
    input: &'a Source<'a>,
    /// Sample times channels.
    nc: usize,
    /// Where in the input each begins.
    pub(crate) taps: [usize; TAPS],
    /// From one output voxel to the next of its row.
    step: usize,
}

/// Some channels of the input voxels of one output voxel.
pub(crate) struct Window<S: Simd, const TAPS: usize> {
    /// As they are stored.
    pub(crate) stored: [S::f32s; TAPS],
    /// The largest transformed value.
    pub(crate) best: S::f32s,
    /// Which taps were greater than all before them.
    greater: [S::m32s; TAPS],
}

impl<'a, const TAPS: usize> Voxel<'a, TAPS> {
    #[inline(always)]
    pub(crate) fn new(input: &'a Source<'a>, window: [usize; 3], n: usize, at: [usize; 3]) -> Self {
        let x = input.shape;
        Self {
            input,
            nc: n * x.c,
            taps: std::array::from_fn(|tap| x.at(n, place(at, window, tap))),
            step: window[2] * x.c,
        }
    }

    #[inline(always)]
    pub(crate) fn advance(&mut self) {
        self.taps.iter_mut().for_each(|tap| *tap += self.step);
    }

    /// Loads `many` channels from `i` on.
    #[allow(
        clippy::manual_map,
        reason = "a closure that is not inlined passes vectors through memory"
    )]
    #[inline(always)]
    pub(crate) fn load<S: Simd, const WHOLE: bool>(
        &self,
        simd: S,
        i: usize,
        many: usize,
    ) -> Window<S, TAPS> {
        let lanes = match &self.input.transform {
            Some(transform) => Some(Lanes::of::<WHOLE>(simd, transform, self.nc + i, many)),
            None => None,
        };
        let mut stored = [simd.splat_f32s(0.0); TAPS];
        let mut best = stored[0];
        let mut greater = [simd.greater_than_f32s(best, best); TAPS];
        for tap in 0..TAPS {
            let index = self.taps[tap] + i;
            stored[tap] = load_lanes::<S, WHOLE>(simd, &self.input.data[index..], many);
            let value = match &lanes {
                Some(lanes) => lanes.apply(simd, stored[tap], index),
                None => stored[tap],
            };
            if tap == 0 {
                best = value;
                continue;
            }
            greater[tap] = simd.greater_than_f32s(value, best);
            best = simd.select_f32s(greater[tap], value, best);
        }
        Window {
            stored,
            best,
            greater,
        }
    }
}

impl<S: Simd, const TAPS: usize> Window<S, TAPS> {
    /// The stored value that became the maximum: of equal ones the first in the order
    /// of memory, as in PyTorch.
    #[inline(always)]
    pub(crate) fn maximum(&self, simd: S) -> S::f32s {
        let mut maximum = self.stored[0];
        for tap in 1..TAPS {
            maximum = simd.select_f32s(self.greater[tap], self.stored[tap], maximum);
        }
        maximum
    }

    /// `dy` for the tap that was the maximum and 0 for the others.
    #[inline(always)]
    pub(crate) fn spread(&self, simd: S, dy: S::f32s) -> [S::f32s; TAPS] {
        let zero = simd.splat_f32s(0.0);
        // Backwards, the first tap that is greater than all before it is the maximum.
        let mut left = dy;
        let mut gradients = [zero; TAPS];
        for tap in (1..TAPS).rev() {
            gradients[tap] = simd.select_f32s(self.greater[tap], left, zero);
            left = simd.select_f32s(self.greater[tap], zero, left);
        }
        gradients[0] = left;
        gradients
    }
}

/// The input voxel of a tap of an output voxel.
#[inline(always)]
pub(crate) fn place(at: [usize; 3], window: [usize; 3], tap: usize) -> [usize; 3] {
    let taps = [
        tap / (window[1] * window[2]),
        tap / window[2] % window[1],
        tap % window[2],
    ];
    std::array::from_fn(|axis| at[axis] * window[axis] + taps[axis])
}
