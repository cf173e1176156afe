//! The input of a block of tiles: loaded, normalised and activated on the way, and
//! transformed.

#![allow(
    unsafe_code,
    reason = "tasks write chunks of all blocks, which are no contiguous parts"
)]

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::cut::{Cut, within};
use super::stage::Stage;
use super::tile::{self, Buffer, Lines, Tiles};
use crate::conv3d::{Problem, Size};
use crate::threads::Shared;
use crate::view::AHEAD;

/// Input channels loaded and transformed at a time: two cache lines a voxel.
pub(super) const CHANNELS: usize = 32;

/// Floats of a block's loaded input.
pub(super) fn region(cut: &Cut, size: &Size) -> usize {
    cut.region().iter().product::<usize>() * CHANNELS.min(size.in_c)
}

/// Loads the input of a block and transforms its tiles into `v`, the first as
/// number `tile`.
pub(super) struct Load<'a> {
    pub(super) problem: &'a Problem<'a>,
    pub(super) cut: &'a Cut,
    pub(super) block: usize,
    /// Input channels.
    pub(super) channels: Range<usize>,
    /// For the loaded voxels.
    pub(super) region: &'a mut [f32],
    /// For the transformed tiles on their way, or empty, see [`Stage`].
    pub(super) stage: &'a mut [f32],
    pub(super) v: &'a Shared<'a, f32>,
    pub(super) layout: Tiles,
    pub(super) tile: usize,
}

impl WithSimd for Load<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            problem,
            cut,
            block,
            channels: all,
            region,
            stage,
            v,
            layout,
            tile,
        } = self;
        let (n, first, many) = cut.block_at(block);
        let padded = problem.input.padded();
        let start: [usize; 3] = std::array::from_fn(|axis| first[axis] * cut.m[axis]);
        // Voxels of the region, and those of them that are in the (padded) input.
        let extent: [usize; 3] =
            std::array::from_fn(|axis| (many[axis] - 1) * cut.m[axis] + cut.a[axis]);
        let inside: [usize; 3] =
            std::array::from_fn(|axis| extent[axis].min(padded[axis] - start[axis]));
        let mut buffer = Buffer::new(simd);
        let stage = Stage::new(cut, stage, layout, tile);
        for c0 in all.clone().step_by(CHANNELS) {
            let channels = CHANNELS.min(all.end - c0);
            let line = extent[2] * channels;
            // Beyond the last row of these channels come the first of the next.
            let rows = extent[0] * extent[1];
            let place = |row: usize| {
                let (group, row) = (row / rows, row % rows);
                let at = [
                    start[0] + row / extent[1],
                    start[1] + row % extent[1],
                    start[2],
                ];
                (at, c0 + group * CHANNELS)
            };
            for d in 0..extent[0] {
                for h in 0..extent[1] {
                    let to = &mut region[(d * extent[1] + h) * line..][..line];
                    if d >= inside[0] || h >= inside[1] {
                        to.fill(0.0);
                        continue;
                    }
                    let at = [start[0] + d, start[1] + h, start[2]];
                    let next = place(d * extent[1] + h + AHEAD);
                    problem.input.load_row_before(
                        simd,
                        n,
                        at,
                        inside[2],
                        c0..c0 + channels,
                        to,
                        next,
                    );
                    to[inside[2] * channels..].fill(0.0);
                }
            }
            let stride = [extent[1] * line, line, channels];
            for t in 0..many.iter().product() {
                let [d, h, w] = within(many, t);
                let at =
                    d * cut.m[0] * stride[0] + h * cut.m[1] * stride[1] + w * cut.m[2] * stride[2];
                for c in (0..channels).step_by(S::F32_LANES) {
                    let from = Lines { at: at + c, stride };
                    // SAFETY: v is this task's alone, or tasks write different tiles of
                    // it, which are read when all are done.
                    unsafe {
                        let into = stage.place(v, t, c0 + c - all.start);
                        tile::input(simd, cut.m, &mut buffer, (region, from), into);
                    }
                }
            }
            // SAFETY: as above.
            unsafe { stage.send::<S>(v, many.iter().product(), c0 + channels - all.start) };
        }
    }
}
