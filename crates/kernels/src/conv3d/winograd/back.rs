//! Products transformed back into outputs. On the way: the bias, sums for the
//! statistics of a normalisation, and the maxima of a pooling.

#![allow(
    unsafe_code,
    reason = "tasks write boxes of the output, which are no contiguous parts"
)]

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::cut::{Cut, within};
use super::stage::Stage;
use super::tile::{self, Buffer, OUTPUTS, Tiles, load, output_at, output_lines};
use crate::micro::{Aligned, mul_add, row_of, stream, streamed};
use crate::threads::Shared;
use crate::view::{Region, Shape};

/// Where the outputs go and what happens to them on the way.
#[derive(Clone, Copy)]
pub(super) struct Outputs<'a> {
    pub(super) cut: &'a Cut,
    /// Of the convolution.
    pub(super) y: Shape,
    pub(super) bias: Option<&'a [f32]>,
    pub(super) data: &'a Shared<'a, f32>,
    /// Of `data`.
    pub(super) shape: Shape,
    pub(super) crop: [usize; 3],
    pub(super) accumulate: bool,
    /// Whether outputs go past the caches.
    pub(super) past_caches: bool,
    pub(super) moments: Option<&'a Shared<'a, f64>>,
    /// Of `y`: whole tiles, of which the first is at `crop` of `data`.
    pub(super) kept: Region,
    pub(super) pooled: Option<Pools<'a>>,
}

/// Where the maxima of windows go.
#[derive(Clone, Copy)]
pub(super) struct Pools<'a> {
    pub(super) data: &'a Shared<'a, f32>,
    pub(super) shape: Shape,
    /// By how many bits a coordinate is shifted: 1 for windows of 2.
    pub(super) shift: [usize; 3],
    pub(super) scale: Option<&'a [f32]>,
}

/// Transforms a block's products back and writes the outputs.
pub(super) struct Back<'a> {
    pub(super) outputs: Outputs<'a>,
    pub(super) block: usize,
    /// The products by these output channels, the block's from number `tile` on.
    pub(super) p: &'a [f32],
    pub(super) layout: Tiles,
    pub(super) tile: usize,
    pub(super) channels: Range<usize>,
    /// For the products on their way, or empty.
    pub(super) stage: &'a mut [f32],
}

impl WithSimd for Back<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            outputs,
            block,
            p,
            layout,
            tile,
            channels,
            stage,
        } = self;
        let (cut, y) = (outputs.cut, outputs.y);
        let (n, first, many) = cut.block_at(block);
        let (c0, width) = (channels.start, channels.len());
        // SAFETY: tasks differ in their block or in their channels.
        let mut moments = outputs.moments.map(|moments| unsafe {
            let start = block * 2 * y.c + c0;
            let sums = moments.part(start..start + width);
            (sums, moments.part(start + y.c..start + y.c + width))
        });
        if let Some((sums, squares)) = &mut moments {
            sums.fill(0.0);
            squares.fill(0.0);
        }
        let mut buffer = Buffer::new(simd);
        let mut values = Aligned([0.0; OUTPUTS]);
        let stage = Stage::new(cut, stage, layout, tile);
        let (tiles, group) = (many.iter().product(), stage.group());
        for o0 in (0..width).step_by(group) {
            stage.fetch::<S>(p, tiles, o0);
            for t in 0..tiles {
                let (start, inside) = cut.outputs_of((first, many), t, y.space);
                let to = outputs.place(n, start, inside, channels.clone());
                for o in (o0..width.min(o0 + group)).step_by(S::F32_LANES) {
                    let from = stage.source(p, t, o);
                    let bias = outputs.bias.map(|bias| load::<S>(bias, c0 + o));
                    // SAFETY: the values are this task's alone.
                    unsafe {
                        let into = (&Shared::new(&mut values.0[..]), output_lines::<S>());
                        tile::output(simd, cut.m, &mut buffer, from, bias, into);
                    }
                    let mut values = Values {
                        of: &mut values.0,
                        inside,
                    };
                    if let Some(to) = to {
                        // SAFETY: `to` is inside with all of the tile and `width`
                        // channels. Every output voxel belongs to one tile, and tasks
                        // differ in their tiles or in their channels.
                        unsafe { values.write(simd, &outputs, to + o) };
                    }
                    if let Some(pools) = &outputs.pooled {
                        values.pool(simd, pools, n, start, c0 + o);
                    }
                    if let Some((sums, squares)) = &mut moments {
                        let lanes = o..o + S::F32_LANES;
                        values.moments(simd, &mut sums[lanes.clone()], &mut squares[lanes]);
                    }
                }
            }
        }
        if outputs.past_caches {
            streamed();
        }
    }
}

impl Outputs<'_> {
    /// Where the first channel of a tile's first output goes, if the tile is kept.
    #[inline(always)]
    fn place(
        &self,
        n: usize,
        start: [usize; 3],
        inside: [usize; 3],
        channels: Range<usize>,
    ) -> Option<usize> {
        if !self.kept.contains(start) {
            return None;
        }
        let place =
            std::array::from_fn(|axis| start[axis] - self.kept.start[axis] + self.crop[axis]);
        let to = self.shape.at(n, place) + channels.start;
        let stride = self.stride();
        let last = (0..3).map(|axis| (inside[axis] - 1) * stride[axis]);
        assert!(to + last.sum::<usize>() + channels.len() <= self.data.len());
        Some(to)
    }

    /// Floats from a voxel to its neighbours along `[d, h, w]`.
    #[inline(always)]
    fn stride(&self) -> [usize; 3] {
        let Shape { space, c, .. } = self.shape;
        [space[1] * space[2] * c, space[2] * c, c]
    }
}

/// The outputs of one vector of channels of a tile: what is done to them is done in the
/// first-level cache, one thing after the other.
struct Values<'a> {
    of: &'a mut [f32; OUTPUTS],
    /// Outputs that are in the volume.
    inside: [usize; 3],
}

impl Values<'_> {
    /// Writes them, or adds them to what is there and keeps the sums.
    ///
    /// # Safety
    /// `to` is the place of the first in a target that has room for all, and nobody else
    /// is there.
    #[inline(always)]
    unsafe fn write<S: Simd>(&mut self, simd: S, outputs: &Outputs<'_>, to: usize) {
        let stride = outputs.stride();
        for d in 0..self.inside[0] {
            for h in 0..self.inside[1] {
                for w in 0..self.inside[2] {
                    let at = output_at::<S>([d, h, w]);
                    let to = to + d * stride[0] + h * stride[1] + w * stride[2];
                    // SAFETY: by the contract.
                    let to = unsafe {
                        let to = outputs.data.as_mut_ptr().add(to);
                        std::slice::from_raw_parts_mut(to, S::F32_LANES)
                    };
                    if outputs.accumulate {
                        let sum = simd.add_f32s(load::<S>(self.of, at), load::<S>(to, 0));
                        tile::store::<S>(self.of, at, sum);
                    }
                    if outputs.past_caches {
                        stream::<S>(to, &self.of[at..at + S::F32_LANES]);
                    } else {
                        tile::store::<S>(to, 0, load::<S>(self.of, at));
                    }
                }
            }
        }
    }

    /// Writes the largest of each window of a tile that begins at output `start` of
    /// sample `n`, the least where the scale of channel `c + lane` is negative.
    #[inline(always)]
    fn pool<S: Simd>(&self, simd: S, pools: &Pools<'_>, n: usize, start: [usize; 3], c: usize) {
        let sign = sign(simd, pools.scale, c);
        let first: [usize; 3] = std::array::from_fn(|axis| start[axis] >> pools.shift[axis]);
        // Windows that are inside as a whole.
        let many: [usize; 3] = std::array::from_fn(|axis| self.inside[axis] >> pools.shift[axis]);
        let window = pools.shift.map(|shift| 1 << shift);
        for number in 0..many.iter().product() {
            let place = within(many, number);
            let mut most = simd.splat_f32s(f32::NEG_INFINITY);
            for tap in 0..window.iter().product() {
                let tap = within(window, tap);
                let at = std::array::from_fn(|axis| place[axis] * window[axis] + tap[axis]);
                let value = simd.mul_f32s(load::<S>(self.of, output_at::<S>(at)), sign);
                // A value that is not a number takes the place of all others, and stays.
                let larger = simd.select_f32s(simd.greater_than_f32s(most, value), most, value);
                most = simd.select_f32s(simd.equal_f32s(most, most), larger, most);
            }
            let to = std::array::from_fn(|axis| first[axis] + place[axis]);
            let to = pools.shape.at(n, to) + c;
            // SAFETY: a window belongs to one tile, as the tile's extents are
            // multiples of the window's; tasks differ in their tiles or channels.
            let to = unsafe { pools.data.part(to..to + S::F32_LANES) };
            tile::store::<S>(to, 0, simd.mul_f32s(most, sign));
        }
    }

    /// Adds their sums and the sums of their squares.
    ///
    /// The sums are of differences from the first value: in f32, and yet as exact
    /// as sums in f64 are where the mean is far from 0.
    #[inline(always)]
    fn moments<S: Simd>(&self, simd: S, sums: &mut [f64], squares: &mut [f64]) {
        let pivot = load::<S>(self.of, 0);
        // One for each w: each waits for its last addition.
        let mut sum = [simd.splat_f32s(0.0); 4];
        let mut square = sum;
        for d in 0..self.inside[0] {
            for h in 0..self.inside[1] {
                for w in 0..4 {
                    if w < self.inside[2] {
                        let value = load::<S>(self.of, output_at::<S>([d, h, w]));
                        let difference = simd.sub_f32s(value, pivot);
                        sum[w] = simd.add_f32s(sum[w], difference);
                        square[w] = mul_add(simd, difference, difference, square[w]);
                    }
                }
            }
        }
        let all =
            |[a, b, c, d]: [S::f32s; 4]| [simd.add_f32s(simd.add_f32s(a, b), simd.add_f32s(c, d))];
        let (pivot, sum, square) = ([pivot], all(sum), all(square));
        let (pivot, sum) = (row_of::<S, 1>(&pivot), row_of::<S, 1>(&sum));
        let square = row_of::<S, 1>(&square);
        let count = self.inside.iter().product::<usize>() as f64;
        for lane in 0..S::F32_LANES {
            let (pivot, sum) = (f64::from(pivot[lane]), f64::from(sum[lane]));
            sums[lane] += sum + count * pivot;
            squares[lane] += f64::from(square[lane]) + pivot * (2.0 * sum + count * pivot);
        }
    }
}

/// 1 for each channel from `c` on, or -1 where its scale is negative.
#[inline(always)]
fn sign<S: Simd>(simd: S, scale: Option<&[f32]>, c: usize) -> S::f32s {
    let one = simd.splat_f32s(1.0);
    match scale {
        Some(scale) => {
            let negative = simd.less_than_f32s(load::<S>(scale, c), simd.splat_f32s(0.0));
            simd.select_f32s(negative, simd.splat_f32s(-1.0), one)
        }
        None => one,
    }
}
