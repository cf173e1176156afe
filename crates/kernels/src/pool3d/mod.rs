//! Max pooling with window and stride 1 or 2 along each axis.
//!
//! The pooled values are those of the transformed input. The backward pass
//! finds the maximum again instead of storing where it was; of equal values
//! the first in the order of memory gets the gradient, as in PyTorch.
//!
//! Voxels outside, channels inside: memory is walked in its order, a row for
//! each tap along depth and height, and what is reloaded for each voxel (scale
//! and shift) is in the nearest cache.

pub mod reference;

use pulp::{Simd, WithSimd};

use crate::conv3d::Context;
use crate::view::{Lanes, Region, Shape, Source, load_lanes, store_lanes};

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

/// The gradient by the transformed input (`n d h w c`) for the gradient `dy`:
/// added inside `present`, where `dx` already holds a gradient, and written
/// over whatever is there outside.
pub fn backward(
    context: Context<'_>,
    input: &Source<'_>,
    window: [usize; 3],
    dy: &[f32],
    present: Region,
    dx: &mut [f32],
) {
    let y = output(input.shape, window);
    let dx = &mut dx[..input.shape.len()];
    let planes = input.shape.at(0, [window[0], 0, 0]);
    context
        .threads
        .for_each_chunk(dx, planes, &mut [], |task, part, _| {
            context.isa.run(Backward {
                input,
                window,
                task,
                y,
                dy,
                present,
                part,
            });
        });
}

/// Compiles the `run::<S, TAPS>` of a task for each size of window. With the
/// taps known their values and masks stay in registers.
macro_rules! by_taps {
    ($task:ident) => {
        impl WithSimd for $task<'_> {
            type Output = ();

            #[inline(always)]
            fn with_simd<S: Simd>(self, simd: S) {
                match self.window.iter().product() {
                    1 => self.run::<S, 1>(simd),
                    2 => self.run::<S, 2>(simd),
                    4 => self.run::<S, 4>(simd),
                    _ => self.run::<S, 8>(simd),
                }
            }
        }
    };
}

/// One row of the output.
struct Forward<'a> {
    input: &'a Source<'a>,
    window: [usize; 3],
    task: usize,
    y: Shape,
    part: &'a mut [f32],
}

by_taps!(Forward);

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
                let (best, _) = voxel.maximum::<S, true>(simd, i, S::F32_LANES);
                store_lanes::<S, true>(simd, best, &mut out[i..], S::F32_LANES);
            }
            if whole < y.c {
                let (best, _) = voxel.maximum::<S, false>(simd, whole, y.c - whole);
                store_lanes::<S, false>(simd, best, &mut out[whole..], y.c - whole);
            }
            voxel.advance();
        }
    }
}

/// All input planes of one plane of the output.
struct Backward<'a> {
    input: &'a Source<'a>,
    window: [usize; 3],
    task: usize,
    y: Shape,
    dy: &'a [f32],
    present: Region,
    part: &'a mut [f32],
}

by_taps!(Backward);

impl Backward<'_> {
    #[inline(always)]
    fn run<S: Simd, const TAPS: usize>(self, simd: S) {
        let Self {
            input,
            window,
            task,
            y,
            dy,
            present,
            part,
        } = self;
        let (n, d) = (task / y.space[0], task % y.space[0]);
        let first = input.shape.at(n, [d * window[0], 0, 0]);
        let whole = y.c / S::F32_LANES * S::F32_LANES;
        for h in 0..y.space[1] {
            let mut voxel = Voxel::<TAPS>::new(input, window, n, [d, h, 0]);
            let row = &dy[y.at(n, [d, h, 0])..][..y.space[2] * y.c];
            for (w, dy) in row.chunks_exact(y.c).enumerate() {
                let mut add = [false; TAPS];
                for (tap, add) in add.iter_mut().enumerate() {
                    *add = present.contains(place([d, h, w], window, tap));
                }
                for i in (0..whole).step_by(S::F32_LANES) {
                    let dy = load_lanes::<S, true>(simd, &dy[i..], S::F32_LANES);
                    voxel.spread::<S, true>(simd, (i, S::F32_LANES), dy, add, (first, part));
                }
                if whole < y.c {
                    let many = y.c - whole;
                    let dy = load_lanes::<S, false>(simd, &dy[whole..], many);
                    voxel.spread::<S, false>(simd, (whole, many), dy, add, (first, part));
                }
                voxel.advance();
            }
        }
    }
}

/// The input voxels of one output voxel.
struct Voxel<'a, const TAPS: usize> {
    input: &'a Source<'a>,
    /// Sample times channels.
    nc: usize,
    /// Where in the input each begins.
    taps: [usize; TAPS],
    /// From one output voxel to the next of its row.
    step: usize,
}

impl<'a, const TAPS: usize> Voxel<'a, TAPS> {
    #[inline(always)]
    fn new(input: &'a Source<'a>, window: [usize; 3], n: usize, at: [usize; 3]) -> Self {
        let x = input.shape;
        Self {
            input,
            nc: n * x.c,
            taps: std::array::from_fn(|tap| x.at(n, place(at, window, tap))),
            step: window[2] * x.c,
        }
    }

    #[inline(always)]
    fn advance(&mut self) {
        self.taps.iter_mut().for_each(|tap| *tap += self.step);
    }

    /// The maxima of `many` channels from `i` on, and which taps were greater
    /// than all before them.
    #[allow(
        clippy::manual_map,
        reason = "a closure that is not inlined passes vectors through memory"
    )]
    #[inline(always)]
    fn maximum<S: Simd, const WHOLE: bool>(
        &self,
        simd: S,
        i: usize,
        many: usize,
    ) -> (S::f32s, [S::m32s; TAPS]) {
        let lanes = match &self.input.transform {
            Some(transform) => Some(Lanes::of::<WHOLE>(simd, transform, self.nc + i, many)),
            None => None,
        };
        let mut best = self.value::<S, WHOLE>(simd, &lanes, self.taps[0] + i, many);
        let mut greater = [simd.greater_than_f32s(best, best); TAPS];
        for tap in 1..TAPS {
            let value = self.value::<S, WHOLE>(simd, &lanes, self.taps[tap] + i, many);
            greater[tap] = simd.greater_than_f32s(value, best);
            best = simd.select_f32s(greater[tap], value, best);
        }
        (best, greater)
    }

    /// The transformed values from element `index` on.
    #[inline(always)]
    fn value<S: Simd, const WHOLE: bool>(
        &self,
        simd: S,
        lanes: &Option<Lanes<S>>,
        index: usize,
        many: usize,
    ) -> S::f32s {
        let value = load_lanes::<S, WHOLE>(simd, &self.input.data[index..], many);
        match lanes {
            Some(lanes) => lanes.apply(simd, value, index),
            None => value,
        }
    }

    /// Gives `dy`, of `many` channels from `i` on, to the taps that were the
    /// maximum and 0 to the others: added where `add`, else written, to the
    /// gradient by the input from element `first` on.
    #[inline(always)]
    fn spread<S: Simd, const WHOLE: bool>(
        &self,
        simd: S,
        (i, many): (usize, usize),
        dy: S::f32s,
        add: [bool; TAPS],
        (first, dx): (usize, &mut [f32]),
    ) {
        let (_, greater) = self.maximum::<S, WHOLE>(simd, i, many);
        let zero = simd.splat_f32s(0.0);
        // Backwards, the first tap that is greater than all before it is the
        // maximum, and of equal ones the first in the order of memory.
        let mut left = dy;
        for tap in (0..TAPS).rev() {
            let mut gradient = left;
            if tap > 0 {
                gradient = simd.select_f32s(greater[tap], left, zero);
                left = simd.select_f32s(greater[tap], zero, left);
            }
            let to = &mut dx[self.taps[tap] + i - first..];
            if add[tap] {
                let there = load_lanes::<S, WHOLE>(simd, to, many);
                gradient = simd.add_f32s(there, gradient);
            }
            store_lanes::<S, WHOLE>(simd, gradient, to, many);
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
