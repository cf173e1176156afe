//! How an operation reads its input: stored tensors with what is still to be
//! done to them.
//!
//! A stored activation is a raw convolution output. Its normalisation, its
//! activation and its dropout are a [`Transform`] that is applied when the next
//! operation loads it; cropping and concatenation are a [`View`] of one or two
//! [`Source`]s. Nothing of this is ever written back to memory.

use std::ops::Range;

use pulp::Simd;

use crate::micro::prefetch;

/// Rows of the input that are fetched ahead of the one that is loaded: what
/// memory needs for an answer.
pub(crate) const AHEAD: usize = 3;

/// Extents of a tensor `n d h w c`, channels innermost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Samples.
    pub n: usize,
    /// `[d, h, w]`.
    pub space: [usize; 3],
    /// Channels.
    pub c: usize,
}

impl Shape {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.n * self.voxels() * self.c
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Voxels of one sample.
    pub fn voxels(&self) -> usize {
        self.space.iter().product()
    }

    /// Offset of the first channel of a voxel.
    pub fn at(&self, n: usize, [d, h, w]: [usize; 3]) -> usize {
        (((n * self.space[0] + d) * self.space[1] + h) * self.space[2] + w) * self.c
    }
}

/// Which activations are dropped: a pure function of (key, element).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// Differs for every layer and step.
    pub key: u64,
    /// Probability of being dropped, below 1.
    pub rate: f32,
}

impl Dropout {
    /// Factor of element `index`: 0 when dropped, else `1 / (1 - rate)`. Elements
    /// 2^32 apart, 16 GB, share their fate.
    #[inline(always)]
    pub fn factor(&self, index: usize) -> f32 {
        self.of(index as u32)
    }

    /// Of 32 bits alone, which vectors multiply several times as fast as 64.
    #[inline(always)]
    fn of(&self, index: u32) -> f32 {
        // The key is mixed first, as SplitMix64 does: similar keys would give similar
        // masks. Then the rounds of a 32-bit mixer, `lowbias32` of Wellons' search
        // (2018), with one half of the key before each: with one half alone all masks
        // would be permutations of one pattern; so, only those of equal later halves are.
        let mut key = (self.key ^ (self.key >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        key = (key ^ (key >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        key ^= key >> 31;
        let [early, late] = [key as u32, (key >> 32) as u32];
        let mut z = index ^ early;
        z = (z ^ (z >> 16)).wrapping_mul(0x7FEB_352D) ^ late;
        z = (z ^ (z >> 15)).wrapping_mul(0x846C_A68B);
        z ^= z >> 16;
        if z < (self.rate * (1u64 << 32) as f32) as u32 {
            0.0
        } else {
            1.0 / (1.0 - self.rate)
        }
    }
}

/// What is still to be done to a stored value `y`:
/// `dropout(activation(scale * y + shift))`.
#[derive(Clone, Copy, Debug)]
pub struct Transform<'a> {
    /// `n * c` factors.
    pub scale: &'a [f32],
    /// `n * c` summands.
    pub shift: &'a [f32],
    /// Factor of negative values: 0 for ReLU, 1 for none.
    pub slope: f32,
    /// In training only.
    pub dropout: Option<Dropout>,
}

impl Transform<'_> {
    /// The transformed value of element `index` with channel `nc = n * C + c`.
    #[inline(always)]
    pub fn apply(&self, y: f32, nc: usize, index: usize) -> f32 {
        let u = y * self.scale[nc] + self.shift[nc];
        let z = if u > 0.0 { u } else { u * self.slope };
        match self.dropout {
            Some(dropout) => z * dropout.factor(index),
            None => z,
        }
    }

    /// The derivative of [`apply`](Self::apply) by `u = scale * y + shift`.
    #[inline(always)]
    pub fn derivative(&self, y: f32, nc: usize, index: usize) -> f32 {
        let u = y * self.scale[nc] + self.shift[nc];
        let slope = if u > 0.0 { 1.0 } else { self.slope };
        match self.dropout {
            Some(dropout) => slope * dropout.factor(index),
            None => slope,
        }
    }
}

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

/// The inside part of a row of one source; `to` is the first channel in `out`. As much
/// is fetched from `ahead` floats further on.
#[allow(
    clippy::too_many_arguments,
    reason = "the inner half of load_row, which has checked them"
)]
#[inline(always)]
fn load<S: Simd>(
    simd: S,
    source: &Source<'_>,
    n: usize,
    at: [usize; 3],
    ahead: usize,
    len: usize,
    channels: Range<usize>,
    out: &mut [f32],
    width: usize,
    to: usize,
) {
    let c = source.shape.c;
    let start = source.shape.at(n, at);
    let rows = source.data[start..start + len * c].chunks_exact(c);
    let many = channels.len();
    if many.is_multiple_of(S::F32_LANES) {
        let vectors = Vectors {
            source,
            n,
            start,
            ahead,
            len,
            width,
        };
        let mut i = 0;
        while i < many {
            let (from, to) = (channels.start + i, to + i);
            i += match (many - i) / S::F32_LANES {
                1 => vectors.load::<S, 1>(simd, from, out, to),
                2 | 3 => vectors.load::<S, 2>(simd, from, out, to),
                _ => vectors.load::<S, 4>(simd, from, out, to),
            };
        }
        return;
    }
    let Some(transform) = source.transform else {
        if width == c && many == c {
            out.copy_from_slice(&source.data[start..start + len * c]);
        } else {
            for (row, out) in rows.zip(out.chunks_exact_mut(width)) {
                out[to..to + many].copy_from_slice(&row[channels.clone()]);
            }
        }
        return;
    };
    let scale = &transform.scale[n * c..][channels.clone()];
    let shift = &transform.shift[n * c..][channels.clone()];
    let slope = transform.slope;
    if transform.dropout.is_none() && many == c && width == c && FEW.contains(&c) {
        let from = &source.data[start..start + len * c];
        load_few(simd, from, (scale, shift, slope), out);
        return;
    }
    for (w, (row, out)) in rows.zip(out.chunks_exact_mut(width)).enumerate() {
        let row = &row[channels.clone()];
        let out = &mut out[to..to + many];
        for i in 0..many {
            let u = row[i] * scale[i] + shift[i];
            out[i] = if u > 0.0 { u } else { u * slope };
        }
        if let Some(dropout) = transform.dropout {
            let index = start + w * c + channels.start;
            for (i, value) in out.iter_mut().enumerate() {
                *value *= dropout.factor(index + i);
            }
        }
    }
}

/// Part of a row whose channels are whole vectors.
struct Vectors<'a> {
    source: &'a Source<'a>,
    n: usize,
    /// Of the first voxel in the source.
    start: usize,
    /// How far on is fetched.
    ahead: usize,
    len: usize,
    /// Floats of a loaded voxel.
    width: usize,
}

impl Vectors<'_> {
    /// Loads `V` vectors of channels of each voxel, from channel `from` to `to`; returns
    /// how many channels that are.
    #[inline(always)]
    fn load<S: Simd, const V: usize>(
        &self,
        simd: S,
        from: usize,
        out: &mut [f32],
        to: usize,
    ) -> usize {
        let c = self.source.shape.c;
        let many = V * S::F32_LANES;
        let first = self.start + from;
        let data = &self.source.data[first..][..(self.len - 1) * c + many];
        let out = &mut out[to..][..(self.len - 1) * self.width + many];
        let next = data.as_ptr().wrapping_add(self.ahead);
        let Some(transform) = self.source.transform else {
            for w in 0..self.len {
                for v in 0..V {
                    prefetch(next.wrapping_add(w * c + v * S::F32_LANES));
                }
                out[w * self.width..][..many].copy_from_slice(&data[w * c..][..many]);
            }
            return many;
        };
        let at = self.n * c + from;
        let factors_of = |of: &[f32]| -> [S::f32s; V] { crate::micro::row_from::<S, V>(&of[at..]) };
        let (scale, shift) = (factors_of(transform.scale), factors_of(transform.shift));
        for w in 0..self.len {
            let values = crate::micro::row_from::<S, V>(&data[w * c..]);
            let mut done = values;
            for v in 0..V {
                prefetch(next.wrapping_add(w * c + v * S::F32_LANES));
                done[v] = activated(simd, values[v], scale[v], shift[v], transform.slope);
                if let Some(dropout) = transform.dropout {
                    let index = first + w * c + v * S::F32_LANES;
                    done[v] = simd.mul_f32s(done[v], factors::<S>(dropout, index));
                }
            }
            out[w * self.width..][..many].copy_from_slice(crate::micro::row_of::<S, V>(&done));
        }
        many
    }
}

/// Channels of voxels that are loaded several to a vector.
const FEW: std::ops::RangeInclusive<usize> = 1..=4;

/// A row of voxels of [`FEW`] channels, of which a vector holds several: its
/// factors recur after as many vectors as there are channels.
#[inline(always)]
fn load_few<S: Simd>(
    simd: S,
    from: &[f32],
    (scale, shift, slope): (&[f32], &[f32], f32),
    out: &mut [f32],
) {
    const MOST: usize = 16 * *FEW.end(); // lanes of the longest vector
    let (c, lanes) = (scale.len(), S::F32_LANES);
    let (mut scales, mut shifts) = ([0.0; MOST], [0.0; MOST]);
    for i in 0..c * lanes {
        (scales[i], shifts[i]) = (scale[i % c], shift[i % c]);
    }
    let whole = from.len() / lanes * lanes;
    let mut i = 0;
    for at in (0..whole).step_by(lanes) {
        let (scale, shift) = (vector::<S>(&scales[i..]), vector::<S>(&shifts[i..]));
        let value = activated(simd, vector::<S>(&from[at..]), scale, shift, slope);
        out[at..at + lanes].copy_from_slice(crate::micro::row_of::<S, 1>(&[value]));
        i += lanes;
        if i == c * lanes {
            i = 0;
        }
    }
    for at in whole..from.len() {
        let u = from[at] * scale[at % c] + shift[at % c];
        out[at] = if u > 0.0 { u } else { u * slope };
    }
}

/// The first floats of a slice as a vector.
#[inline(always)]
pub(crate) fn vector<S: Simd>(from: &[f32]) -> S::f32s {
    let [vector] = crate::micro::row_from::<S, 1>(from);
    vector
}

/// `activation(scale * y + shift)`, rounded as [`Transform::apply`] rounds.
#[inline(always)]
pub(crate) fn activated<S: Simd>(
    simd: S,
    y: S::f32s,
    scale: S::f32s,
    shift: S::f32s,
    slope: f32,
) -> S::f32s {
    let u = simd.add_f32s(simd.mul_f32s(y, scale), shift);
    let positive = simd.greater_than_f32s(u, simd.splat_f32s(0.0));
    simd.select_f32s(positive, u, simd.mul_f32s(u, simd.splat_f32s(slope)))
}

/// The first floats of a slice as a vector; where not `WHOLE`, only `many` of
/// them and zeros: the channels that are left.
#[inline(always)]
pub(crate) fn load_lanes<S: Simd, const WHOLE: bool>(
    simd: S,
    from: &[f32],
    many: usize,
) -> S::f32s {
    if WHOLE {
        vector::<S>(from)
    } else {
        simd.partial_load_f32s(&from[..many])
    }
}

/// The other way, as [`load_lanes`].
#[inline(always)]
pub(crate) fn store_lanes<S: Simd, const WHOLE: bool>(
    simd: S,
    value: S::f32s,
    to: &mut [f32],
    many: usize,
) {
    if WHOLE {
        to[..S::F32_LANES].copy_from_slice(crate::micro::row_of::<S, 1>(&[value]));
    } else {
        simd.partial_store_f32s(&mut to[..many], value);
    }
}

/// A [`Transform`] of neighbouring channels, held in registers. Rounds as the
/// scalar one rounds.
#[derive(Clone, Copy)]
pub(crate) struct Lanes<S: Simd> {
    scale: S::f32s,
    shift: S::f32s,
    slope: f32,
    dropout: Option<Dropout>,
}

impl<S: Simd> Lanes<S> {
    /// Of the channels from `nc = n * C + c` on, `many` of them.
    #[inline(always)]
    pub(crate) fn of<const WHOLE: bool>(
        simd: S,
        transform: &Transform<'_>,
        nc: usize,
        many: usize,
    ) -> Self {
        Self {
            scale: load_lanes::<S, WHOLE>(simd, &transform.scale[nc..], many),
            shift: load_lanes::<S, WHOLE>(simd, &transform.shift[nc..], many),
            slope: transform.slope,
            dropout: transform.dropout,
        }
    }

    /// [`Transform::apply`] to the elements from `index` on.
    #[inline(always)]
    pub(crate) fn apply(&self, simd: S, y: S::f32s, index: usize) -> S::f32s {
        let z = activated(simd, y, self.scale, self.shift, self.slope);
        match self.dropout {
            Some(dropout) => simd.mul_f32s(z, factors::<S>(dropout, index)),
            None => z,
        }
    }

    /// The gradient `dz` by the transformed values as one by
    /// `u = scale * y + shift`.
    #[inline(always)]
    pub(crate) fn back(&self, simd: S, y: S::f32s, dz: S::f32s, index: usize) -> S::f32s {
        let u = simd.add_f32s(simd.mul_f32s(y, self.scale), self.shift);
        let positive = simd.greater_than_f32s(u, simd.splat_f32s(0.0));
        let slower = simd.mul_f32s(dz, simd.splat_f32s(self.slope));
        let g = simd.select_f32s(positive, dz, slower);
        match self.dropout {
            Some(dropout) => simd.mul_f32s(g, factors::<S>(dropout, index)),
            None => g,
        }
    }
}

/// [`Dropout::factor`] of the elements from `index` on.
#[inline(always)]
fn factors<S: Simd>(dropout: Dropout, index: usize) -> S::f32s {
    let mut factors = [0.0; crate::micro::PANEL];
    for (i, factor) in factors[..S::F32_LANES].iter_mut().enumerate() {
        *factor = dropout.of((index as u32).wrapping_add(i as u32));
    }
    vector::<S>(&factors)
}

/// A box of voxels of a tensor, the same one in each sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// First voxel inside, `[d, h, w]`.
    pub start: [usize; 3],
    /// Behind the last voxel inside, `[d, h, w]`.
    pub end: [usize; 3],
}

impl Region {
    /// No voxel.
    pub const NOTHING: Self = Self {
        start: [0; 3],
        end: [0; 3],
    };

    /// All voxels of a tensor.
    pub fn all(shape: Shape) -> Self {
        Self {
            start: [0; 3],
            end: shape.space,
        }
    }

    /// Whether no voxel is inside.
    pub fn is_empty(&self) -> bool {
        (0..3).any(|axis| self.start[axis] >= self.end[axis])
    }

    /// Whether the voxel is inside.
    pub fn contains(&self, at: [usize; 3]) -> bool {
        (0..3).all(|axis| (self.start[axis]..self.end[axis]).contains(&at[axis]))
    }

    /// Its rows in these planes: the first voxel of each, and the one behind the last.
    pub(crate) fn rows(self, planes: Range<usize>) -> impl Iterator<Item = [[usize; 3]; 2]> {
        let planes = planes.start.max(self.start[0])..planes.end.min(self.end[0]);
        planes.flat_map(move |d| {
            (self.start[1]..self.end[1])
                .map(move |h| [self.start[2], self.end[2]].map(|w| [d, h, w]))
        })
    }
}

/// Where an operation writes: a part of a tensor, from `crop` on.
pub struct Target<'a> {
    /// `n d h w c`.
    pub data: &'a mut [f32],
    /// Of `data`.
    pub shape: Shape,
    /// First voxel that is written, `[d, h, w]`.
    pub crop: [usize; 3],
    /// Whether to add to what is there.
    pub accumulate: bool,
    /// Partial sums of what is written, for the statistics of a normalisation:
    /// `[n][part][2][c]`, the values and their squares. What is there is
    /// replaced. The kernel says how many parts there are.
    pub moments: Option<&'a mut [f64]>,
    /// Outputs that are kept, the first of them at `crop`. Others count in the moments
    /// and the maxima alone; only kernels that [pool](crate::conv3d::Kernel::pools)
    /// can do without them, by whole tiles.
    pub kept: Region,
    /// The maxima, for the kernels that [pool](crate::conv3d::Kernel::pools).
    pub pooled: Option<Pooled<'a>>,
}

/// The maxima of windows of a tensor, taken as it is written.
pub struct Pooled<'a> {
    /// `n d h w c`, the extents those of the tensor over the window, rounded down.
    pub data: &'a mut [f32],
    /// 1 or 2 along each axis.
    pub window: [usize; 3],
    /// Of each channel, the factor of the [`Transform`] that will be applied to
    /// the pooled values as to the tensor's; only its sign counts: where it is
    /// negative the least value is taken, of which the transform is the largest.
    /// `None` where all are positive.
    pub scale: Option<&'a [f32]>,
}
