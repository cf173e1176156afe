//! Where an operation reads: stored tensors, cropped, side by side, zeros around.

use std::ops::Range;

use pulp::Simd;

use super::load::load;
use super::{AHEAD, Shape, Transform};

/// A stored tensor, from `crop` on.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// `n d h w c`.
    pub data: &'a [f32],
    /// Of `data`.
    pub shape: Shape,
    /// First voxel that is seen, `[d, h, w]`.
    pub crop: [usize; 3],
    /// What is still to be done to the values; `None` for nothing.
    pub transform: Option<Transform<'a>>,
}

/// One or two sources side by side in the channel direction, zeros around.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// In the order of their channels.
    pub sources: &'a [Source<'a>],
    /// Voxels seen, `[d, h, w]`, without the padding.
    pub space: [usize; 3],
    /// Zeros on each side, `[d, h, w]`.
    pub pad: [usize; 3],
}

impl<'a> View<'a> {
    /// All of one tensor as it is stored.
    pub fn of(source: &'a Source<'a>) -> Self {
        Self {
            sources: std::slice::from_ref(source),
            space: source.shape.space,
            pad: [0; 3],
        }
    }

    /// Samples.
    pub fn n(&self) -> usize {
        self.sources[0].shape.n
    }

    /// Channels of all sources together.
    pub fn c(&self) -> usize {
        self.sources.iter().map(|source| source.shape.c).sum()
    }

    /// Extent with padding, `[d, h, w]`.
    pub fn padded(&self) -> [usize; 3] {
        std::array::from_fn(|axis| self.space[axis] + 2 * self.pad[axis])
    }

    /// One transformed value; `at` counts from the padding. For references.
    pub fn value(&self, n: usize, at: [usize; 3], c: usize) -> f32 {
        let inside = (0..3).all(|a| at[a] >= self.pad[a] && at[a] < self.pad[a] + self.space[a]);
        if !inside {
            return 0.0;
        }
        let mut c = c;
        for source in self.sources {
            if c < source.shape.c {
                let place = std::array::from_fn(|a| at[a] - self.pad[a] + source.crop[a]);
                let index = source.shape.at(n, place) + c;
                let y = source.data[index];
                return source
                    .transform
                    .map_or(y, |t| t.apply(y, n * source.shape.c + c, index));
            }
            c -= source.shape.c;
        }
        0.0
    }

    /// Loads the transformed channels `c0..c1` of the voxels `w0..w0 + len` of
    /// row `(n, d, h)`, coordinates counted from the padding, into
    /// `out[(w - w0) * (c1 - c0) + c - c0]`.
    #[allow(clippy::too_many_arguments, reason = "from where to where")]
    #[inline(always)] // compiled for the caller's instruction set
    pub fn load_row<S: Simd>(
        &self,
        simd: S,
        n: usize,
        at: [usize; 3],
        len: usize,
        c0: usize,
        c1: usize,
        out: &mut [f32],
    ) {
        let next = [at[0], at[1] + AHEAD, at[2]];
        self.load_row_before(simd, n, at, len, c0..c1, out, (next, c0));
    }

    /// The same, and fetches as much from the place and the channel `next` on: what
    /// is loaded [`AHEAD`] rows later.
    #[allow(clippy::too_many_arguments, reason = "from where to where")]
    #[inline(always)]
    pub(crate) fn load_row_before<S: Simd>(
        &self,
        simd: S,
        n: usize,
        [d, h, w0]: [usize; 3],
        len: usize,
        Range { start: c0, end: c1 }: Range<usize>,
        out: &mut [f32],
        next: ([usize; 3], usize),
    ) {
        let width = c1 - c0;
        let out = &mut out[..len * width];
        let inside =
            |at: usize, axis: usize| at >= self.pad[axis] && at < self.pad[axis] + self.space[axis];
        if !inside(d, 0) || !inside(h, 1) {
            out.fill(0.0);
            return;
        }
        // Voxels of the row that are inside: begin..end, counted from w0.
        let begin = self.pad[2].saturating_sub(w0).min(len);
        let end = (self.pad[2] + self.space[2])
            .saturating_sub(w0)
            .min(len)
            .max(begin);
        out[..begin * width].fill(0.0);
        out[end * width..].fill(0.0);
        if begin == end {
            return;
        }
        let mut first = 0; // first channel of this source in the view
        for source in self.sources {
            let (low, high) = (c0.max(first), c1.min(first + source.shape.c));
            if low < high {
                let place = [d - self.pad[0], h - self.pad[1], w0 + begin - self.pad[2]]
                    .into_iter()
                    .zip(source.crop);
                let mut at = [0; 3];
                for (to, (from, crop)) in at.iter_mut().zip(place) {
                    *to = from + crop;
                }
                let channels = low - first..high - first;
                // Wherever that leads: to fetch in vain does no harm.
                let ([nd, nh, nw], nc) = next;
                let [_, rows, voxels] = source.shape.space;
                let ahead = (nd.wrapping_sub(d).wrapping_mul(rows))
                    .wrapping_add(nh.wrapping_sub(h))
                    .wrapping_mul(voxels)
                    .wrapping_add(nw.wrapping_sub(w0))
                    .wrapping_mul(source.shape.c)
                    .wrapping_add(nc.wrapping_sub(c0));
                load(
                    simd,
                    source,
                    n,
                    at,
                    ahead,
                    end - begin,
                    channels,
                    &mut out[begin * width..end * width],
                    width,
                    low - c0,
                );
            }
            first += source.shape.c;
        }
    }
}
