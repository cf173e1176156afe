//! Rows of a source, loaded and transformed.

use std::ops::Range;

use pulp::Simd;

use super::Source;
use super::lanes::{activated, factors, vector};
use crate::micro::prefetch;

/// The inside part of a row of one source; `to` is the first channel in `out`. As much
/// is fetched from `ahead` floats further on.
#[allow(
    clippy::too_many_arguments,
    reason = "the inner half of load_row, which has checked them"
)]
#[inline(always)]
pub(super) fn load<S: Simd>(
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
