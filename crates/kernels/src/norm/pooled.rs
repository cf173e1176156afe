//! Both walks of the backward pass for a value that is pooled. The gradient by its
//! maxima is given to the voxels that they came from on the way, so that what the
//! pooling adds to the value's own gradient is never stored.
//!
//! Where a maximum came from is found again instead of being remembered. For the sums
//! its stored value is enough.

use pulp::{Simd, WithSimd};

use super::{Coefficients, Normalised, Sums};
use crate::micro::{row_of, stream, streamed};
use crate::pool3d::{Voxel, by_taps, output, place};
use crate::view::{Lanes, Region, Shape, Source, Transform, load_lanes, store_lanes};

/// What the gradient of a value still lacks: that by the maxima of its windows.
#[derive(Clone, Copy, Debug)]
pub struct Unpool<'a> {
    /// 1 or 2 along each axis.
    pub window: [usize; 3],
    /// The maxima as they are stored, before the transform, `n d h w c`. Without them they
    /// are found again, for which the whole value is read. Not used where values are
    /// dropped.
    pub maxima: Option<&'a [f32]>,
    /// The gradient by the maxima, `n d h w c`.
    pub dy: &'a [f32],
    /// Where other readers have left their part of the value's gradient. What is
    /// elsewhere is not read.
    pub present: Region,
}

impl Unpool<'_> {
    /// Of the maxima of a value.
    pub(super) fn shape(&self, value: Shape) -> Shape {
        let is_whole = (0..3).all(|axis| value.space[axis].is_multiple_of(self.window[axis]));
        debug_assert!(is_whole, "{:?} in {:?}", self.window, value.space);
        output(value, self.window)
    }
}

/// The windows of a value that share a plane of the maxima.
#[derive(Clone, Copy)]
pub(super) struct Windows<'a> {
    pub(super) y: &'a Source<'a>,
    /// That of `y`, which has one.
    pub(super) transform: &'a Transform<'a>,
    pub(super) unpool: Unpool<'a>,
    /// Plane of the maxima, counted through all samples.
    pub(super) plane: usize,
}

/// A window, and some of its channels.
struct Place<'a, const TAPS: usize> {
    voxel: &'a Voxel<'a, TAPS>,
    /// Which of its voxels have a gradient already, a bit for each.
    present: u8,
    /// Element of the maximum.
    maximum: usize,
    /// Sample times channels.
    nc: usize,
    /// First channel, and how many.
    i: usize,
    many: usize,
}

/// What is done to a window.
trait Visit {
    fn visit<S: Simd, const WHOLE: bool, const TAPS: usize>(
        &mut self,
        simd: S,
        place: Place<'_, TAPS>,
    );
}

impl Windows<'_> {
    /// Windows outside, channels inside: memory is walked in its order.
    #[inline(always)]
    fn walk<S: Simd, const TAPS: usize>(&self, simd: S, visitor: &mut impl Visit) {
        let Unpool {
            window, present, ..
        } = self.unpool;
        let pooled = self.unpool.shape(self.y.shape);
        let [depth, height, width] = pooled.space;
        let (n, d) = (self.plane / depth, self.plane % depth);
        let whole = pooled.c / S::F32_LANES * S::F32_LANES;
        for h in 0..height {
            let mut voxel = Voxel::<TAPS>::new(self.y, window, n, [d, h, 0]);
            // Of the taps of each column, those that are in a row of `present`.
            let mut columns = [0; 2];
            for tap in 0..TAPS {
                let [d, h, w] = place([d, h, 0], window, tap);
                if present.contains([d, h, present.start[2]]) {
                    columns[w] |= 1 << tap;
                }
            }
            for w in 0..width {
                let mut is_present = 0;
                for (offset, column) in columns[..window[2]].iter().enumerate() {
                    let w = w * window[2] + offset;
                    if present.start[2] <= w && w < present.end[2] {
                        is_present |= column;
                    }
                }
                let channels = |i, many| Place {
                    voxel: &voxel,
                    present: is_present,
                    maximum: pooled.at(n, [d, h, w]),
                    nc: n * pooled.c,
                    i,
                    many,
                };
                for i in (0..whole).step_by(S::F32_LANES) {
                    visitor.visit::<S, true, TAPS>(simd, channels(i, S::F32_LANES));
                }
                if whole < pooled.c {
                    visitor.visit::<S, false, TAPS>(simd, channels(whole, pooled.c - whole));
                }
                voxel.advance();
            }
        }
    }
}

/// Sums of what the pooling adds, of a plane of the maxima. The gradient through an
/// activation is linear, so what is there already can be summed apart.
pub(super) struct PooledSums<'a> {
    pub(super) windows: Windows<'a>,
    pub(super) normalised: Option<Normalised<'a>>,
    /// `[2][c]`.
    pub(super) part: &'a mut [f64],
}

impl PooledSums<'_> {
    #[inline(always)]
    fn run<S: Simd, const TAPS: usize>(mut self, simd: S) {
        let windows = self.windows;
        windows.walk::<S, TAPS>(simd, &mut self);
    }
}

by_taps!(PooledSums, windows.unpool.window);

impl Visit for PooledSums<'_> {
    #[inline(always)]
    fn visit<S: Simd, const WHOLE: bool, const TAPS: usize>(
        &mut self,
        simd: S,
        place: Place<'_, TAPS>,
    ) {
        let Windows {
            unpool, transform, ..
        } = self.windows;
        let Place { voxel, i, many, .. } = place;
        let nc = place.nc + i;
        let dy = load_lanes::<S, WHOLE>(simd, &unpool.dy[place.maximum + i..], many);
        let lanes = Lanes::of::<WHOLE>(simd, transform, nc, many);
        let normalised = self.normalised;
        let mut sums = Sums::new(simd);
        if transform.dropout.is_none() {
            let y = match unpool.maxima {
                Some(maxima) => load_lanes::<S, WHOLE>(simd, &maxima[place.maximum + i..], many),
                None => voxel.load::<S, WHOLE>(simd, i, many).maximum(simd),
            };
            let g = lanes.back(simd, y, dy, 0);
            sums.add_gradient::<WHOLE>(simd, g, y, normalised, (nc, many));
        } else {
            let window = voxel.load::<S, WHOLE>(simd, i, many);
            let gradients = window.spread(simd, dy);
            for tap in 0..TAPS {
                let y = window.stored[tap];
                let g = lanes.back(simd, y, gradients[tap], voxel.taps[tap] + i);
                sums.add_gradient::<WHOLE>(simd, g, y, normalised, (nc, many));
            }
        }
        sums.flush(self.part, i, many);
    }
}

/// The planes of a value that one plane of the maxima comes from.
pub(super) struct PooledApply<'a> {
    pub(super) windows: Windows<'a>,
    pub(super) coefficients: Option<Coefficients<'a>>,
    /// First element of the planes.
    pub(super) first: usize,
    /// Whether the result goes past the caches.
    pub(super) past_caches: bool,
    pub(super) part: &'a mut [f32],
}

impl PooledApply<'_> {
    #[inline(always)]
    fn run<S: Simd, const TAPS: usize>(mut self, simd: S) {
        let windows = self.windows;
        windows.walk::<S, TAPS>(simd, &mut self);
        if self.past_caches {
            streamed();
        }
    }
}

by_taps!(PooledApply, windows.unpool.window);

impl Visit for PooledApply<'_> {
    #[inline(always)]
    fn visit<S: Simd, const WHOLE: bool, const TAPS: usize>(
        &mut self,
        simd: S,
        place: Place<'_, TAPS>,
    ) {
        let Windows {
            unpool, transform, ..
        } = self.windows;
        let Place { voxel, i, many, .. } = place;
        let nc = place.nc + i;
        let window = voxel.load::<S, WHOLE>(simd, i, many);
        let dy = load_lanes::<S, WHOLE>(simd, &unpool.dy[place.maximum + i..], many);
        let lanes = Lanes::of::<WHOLE>(simd, transform, nc, many);
        let gradients = window.spread(simd, dy);
        // A line that was read is in the caches, from where it would have to be thrown out.
        let past_caches = WHOLE && self.past_caches && place.present == 0;
        for tap in 0..TAPS {
            let index = voxel.taps[tap] + i;
            let to = &mut self.part[index - self.first..];
            let (y, mut g) = (window.stored[tap], gradients[tap]);
            if place.present & (1 << tap) != 0 {
                g = simd.add_f32s(load_lanes::<S, WHOLE>(simd, to, many), g);
            }
            g = lanes.back(simd, y, g, index);
            if let Some(coefficients) = self.coefficients {
                g = coefficients.apply::<S, WHOLE>(simd, g, y, nc, many);
            }
            if past_caches {
                stream::<S>(&mut to[..S::F32_LANES], row_of::<S, 1>(&[g]));
            } else {
                store_lanes::<S, WHOLE>(simd, g, to, many);
            }
        }
    }
}
