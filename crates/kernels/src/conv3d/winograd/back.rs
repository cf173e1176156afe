//! Products transformed back into outputs. On the way: the bias, sums for the
//! statistics of a normalisation, and the maxima of a pooling.

#![allow(
    unsafe_code,
    reason = "tasks write boxes of the output, which are no contiguous parts"
)]

use pulp::{Simd, WithSimd};

use super::cut::{Cut, within};
use super::form::MOST;
use super::stage::Stage;
use super::tile::{self, Buffer, Tiles, load};
use crate::micro::{Aligned, row_of, stream, streamed};
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
    pub(super) channels: std::ops::Range<usize>,
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
        let (cut, y, shape) = (outputs.cut, outputs.y, outputs.shape);
        let (n, first, many) = cut.block_at(block);
        let (c0, width) = (channels.start, channels.len());
        let stride = [
            shape.space[1] * shape.space[2] * shape.c,
            shape.space[2] * shape.c,
            shape.c,
        ];
        // SAFETY: tasks differ in their block or in their channels.
        let moments = outputs.moments.map(|moments| unsafe {
            let start = block * 2 * y.c + c0;
            let sums = moments.part(start..start + width);
            (sums, moments.part(start + y.c..start + y.c + width))
        });
        let mut moments = moments;
        if let Some((sums, squares)) = &mut moments {
            sums.fill(0.0);
            squares.fill(0.0);
        }
        let mut buffer = Buffer::new(simd);
        let mut maxima = Aligned([simd.splat_f32s(0.0); MOST_OUTPUTS]);
        let stage = Stage::new(cut, stage, layout, tile);
        let (tiles, group) = (many.iter().product(), stage.group());
        for o0 in (0..width).step_by(group) {
            stage.fetch::<S>(p, tiles, o0);
            for t in 0..tiles {
                let (start, inside) = cut.outputs_of((first, many), t, y.space);
                let is_kept = outputs.kept.contains(start);
                let mut to = 0;
                if is_kept {
                    let place = std::array::from_fn(|axis| {
                        start[axis] - outputs.kept.start[axis] + outputs.crop[axis]
                    });
                    to = shape.at(n, place) + c0;
                    let last = (0..3).map(|axis| (inside[axis] - 1) * stride[axis]);
                    assert!(to + last.sum::<usize>() + width <= outputs.data.len());
                }
                for o in (o0..width.min(o0 + group)).step_by(S::F32_LANES) {
                    let zero = simd.splat_f32s(0.0);
                    let mut finish = Finish::<S> {
                        // Inside by the assert above, where it is written to.
                        to: outputs.data.as_mut_ptr().wrapping_add(to + o),
                        stride,
                        inside,
                        bias: match outputs.bias {
                            Some(bias) => load::<S>(bias, c0 + o),
                            None => zero,
                        },
                        accumulate: outputs.accumulate,
                        past_caches: outputs.past_caches,
                        measured: moments.is_some(),
                        pivot: zero,
                        sum: zero,
                        squares: zero,
                        is_kept,
                        maxima: None,
                    };
                    if let Some(pools) = &outputs.pooled {
                        maxima.0.fill(simd.splat_f32s(f32::NEG_INFINITY));
                        finish.maxima = Some(Maxima {
                            of: &mut maxima.0,
                            shift: pools.shift,
                            sign: sign(simd, pools.scale, c0 + o),
                        });
                    }
                    let from = stage.source(p, t, o);
                    tile::output(simd, cut.m, &mut buffer, from, &mut finish);
                    if let (Some(pools), Some(maxima)) = (&outputs.pooled, &finish.maxima) {
                        pools.write(simd, maxima, n, (start, inside), c0 + o);
                    }
                    if let Some((sums, squares)) = &mut moments {
                        let count = inside.iter().product::<usize>() as f64;
                        let lanes = o..o + S::F32_LANES;
                        finish.moments(count, &mut sums[lanes.clone()], &mut squares[lanes]);
                    }
                }
            }
        }
        if outputs.past_caches {
            streamed();
        }
    }
}

/// Writes one vector of channels of one tile's outputs and sums them up.
///
/// The sums are of differences from the first value: in f32, and yet as exact
/// as sums in f64 are where the mean is far from 0.
struct Finish<'a, S: Simd> {
    to: *mut f32,
    stride: [usize; 3],
    /// Outputs that are in the volume.
    inside: [usize; 3],
    bias: S::f32s,
    accumulate: bool,
    past_caches: bool,
    measured: bool,
    pivot: S::f32s,
    sum: S::f32s,
    squares: S::f32s,
    /// Whether the tile is written.
    is_kept: bool,
    maxima: Option<Maxima<'a, S>>,
}

/// The largest outputs of a tile's windows, of one vector of channels.
struct Maxima<'a, S: Simd> {
    /// By window, as [`Maxima::index`] says.
    of: &'a mut [S::f32s; MOST_OUTPUTS],
    shift: [usize; 3],
    /// 1, or -1 where the least is wanted.
    sign: S::f32s,
}

/// Outputs of the largest tile.
const MOST_OUTPUTS: usize = 4 * 4 * 4;

impl<S: Simd> Maxima<'_, S> {
    #[inline(always)]
    fn index([d, h, w]: [usize; 3]) -> usize {
        (d * 4 + h) * 4 + w
    }

    #[inline(always)]
    fn add(&mut self, simd: S, at: [usize; 3], value: S::f32s) {
        let window = std::array::from_fn(|axis| at[axis] >> self.shift[axis]);
        let most = &mut self.of[Self::index(window)];
        let value = simd.mul_f32s(value, self.sign);
        // A value that is not a number takes the place of all others, and stays.
        let larger = simd.select_f32s(simd.greater_than_f32s(*most, value), *most, value);
        *most = simd.select_f32s(simd.equal_f32s(*most, *most), larger, *most);
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

impl Pools<'_> {
    /// Writes the maxima of a tile of sample `n` to the channels from `c` on.
    #[inline(always)]
    fn write<S: Simd>(
        &self,
        simd: S,
        maxima: &Maxima<'_, S>,
        n: usize,
        (start, inside): ([usize; 3], [usize; 3]),
        c: usize,
    ) {
        let first: [usize; 3] = std::array::from_fn(|axis| start[axis] >> self.shift[axis]);
        // Windows that are inside as a whole.
        let many: [usize; 3] = std::array::from_fn(|axis| inside[axis] >> self.shift[axis]);
        for window in 0..many.iter().product() {
            let at = within(many, window);
            let to = self
                .shape
                .at(n, std::array::from_fn(|axis| first[axis] + at[axis]))
                + c;
            let value = simd.mul_f32s(maxima.of[Maxima::<S>::index(at)], maxima.sign);
            // SAFETY: a window belongs to one tile, as the tile's extents are
            // multiples of the window's; tasks differ in their tiles or channels.
            let to = unsafe { self.data.part(to..to + S::F32_LANES) };
            tile::store::<S>(to, 0, value);
        }
    }
}

impl<S: Simd> tile::Sink<S> for Finish<'_, S> {
    #[inline(always)]
    fn put(&mut self, simd: S, [h, w]: [usize; 2], line: [S::f32s; MOST], many: usize) {
        if h >= self.inside[1] || w >= self.inside[2] {
            return;
        }
        let at = h * self.stride[1] + w * self.stride[2];
        if self.measured && h + w == 0 {
            self.pivot = simd.add_f32s(line[0], self.bias);
        }
        for d in 0..many {
            if d < self.inside[0] {
                // SAFETY of all three accesses below: they are reached only where the
                // tile is kept, and then `Back` has asserted that it is inside the
                // target. Every output voxel belongs to one tile, and tasks differ in
                // their tiles or in their channels.
                let to = self.to.wrapping_add(at + d * self.stride[0]);
                let mut value = simd.add_f32s(line[d], self.bias);
                if self.accumulate && self.is_kept {
                    // SAFETY: above; it is kept.
                    value = simd.add_f32s(value, unsafe { to.cast::<S::f32s>().read_unaligned() });
                }
                if !self.is_kept {
                    // Only its sums and maxima are wanted.
                } else if self.past_caches {
                    // SAFETY: above; it is kept, or the branch before were taken.
                    let to = unsafe { std::slice::from_raw_parts_mut(to, S::F32_LANES) };
                    stream::<S>(to, row_of::<S, 1>(&[value]));
                } else {
                    // SAFETY: the same.
                    unsafe { to.cast::<S::f32s>().write_unaligned(value) };
                }
                if let Some(maxima) = &mut self.maxima {
                    maxima.add(simd, [d, h, w], value);
                }
                if self.measured {
                    let difference = simd.sub_f32s(value, self.pivot);
                    self.sum = simd.add_f32s(self.sum, difference);
                    self.squares =
                        crate::micro::mul_add(simd, difference, difference, self.squares);
                }
            }
        }
    }
}

impl<S: Simd> Finish<'_, S> {
    /// Adds the sums of values and squares of `count` values.
    #[inline(always)]
    fn moments(&self, count: f64, sums: &mut [f64], squares: &mut [f64]) {
        let (pivots, differences) = ([self.pivot], [self.sum]);
        let (pivots, differences) = (row_of::<S, 1>(&pivots), row_of::<S, 1>(&differences));
        let all = [self.squares];
        let all = row_of::<S, 1>(&all);
        for lane in 0..S::F32_LANES {
            let (pivot, sum) = (f64::from(pivots[lane]), f64::from(differences[lane]));
            sums[lane] += sum + count * pivot;
            squares[lane] += f64::from(all[lane]) + pivot * (2.0 * sum + count * pivot);
        }
    }
}
