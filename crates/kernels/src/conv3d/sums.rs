//! Sums of what a convolution writes, for the statistics of a normalisation.
//!
//! Differences from a pivot, the first value of a run, are summed in f32 over runs
//! of at most [`RUN`] voxels and then added up in f64: as exact as sums in f64
//! where the mean is far from 0, at an eighth of their instructions.

use pulp::Simd;

use crate::micro::{mul_add, row_of};
use crate::view::vector;

/// Voxels of a run: few enough that f32 sums lose less than the values have.
pub(super) const RUN: usize = 64;

/// Running sums of `V` vectors of channels.
#[derive(Clone, Copy)]
pub(super) struct Sums<S: Simd, const V: usize> {
    pivot: [S::f32s; V],
    sum: [S::f32s; V],
    squares: [S::f32s; V],
    count: usize,
}

impl<S: Simd, const V: usize> Sums<S, V> {
    #[inline(always)]
    pub(super) fn new(simd: S) -> Self {
        let zero = [simd.splat_f32s(0.0); V];
        Self {
            pivot: zero,
            sum: zero,
            squares: zero,
            count: 0,
        }
    }

    /// Adds the channels of one voxel.
    #[inline(always)]
    pub(super) fn add(&mut self, simd: S, values: &[S::f32s; V]) {
        if self.count == 0 {
            self.pivot = *values;
        }
        self.count += 1;
        for v in 0..V {
            let difference = simd.sub_f32s(values[v], self.pivot[v]);
            self.sum[v] = simd.add_f32s(self.sum[v], difference);
            self.squares[v] = mul_add(simd, difference, difference, self.squares[v]);
        }
    }

    /// Ends the run, if so many voxels more would make it too long, by adding it
    /// to the channels `o..` of `moments`, `[2][c]`; lanes beyond `c` are dropped.
    #[inline(always)]
    pub(super) fn flush(&mut self, simd: S, more: usize, moments: &mut [f64], o: usize) {
        if self.count == 0 || self.count + more <= RUN {
            return;
        }
        let c = moments.len() / 2;
        let many = (V * S::F32_LANES).min(c - o);
        let (sums, squares) = moments.split_at_mut(c);
        let (sums, squares) = (&mut sums[o..][..many], &mut squares[o..][..many]);
        let count = self.count as f64;
        let pivots = &row_of::<S, V>(&self.pivot)[..many];
        let differences = &row_of::<S, V>(&self.sum)[..many];
        let all = &row_of::<S, V>(&self.squares)[..many];
        for i in 0..many {
            let (pivot, sum) = (f64::from(pivots[i]), f64::from(differences[i]));
            sums[i] += sum + count * pivot;
            squares[i] += f64::from(all[i]) + pivot * (2.0 * sum + count * pivot);
        }
        *self = Self::new(simd);
    }
}

/// Adds the values and squares of the voxels of `row` to `moments`, `[2][c]`.
#[inline(always)]
pub(super) fn add_row<S: Simd>(simd: S, row: &[f32], moments: &mut [f64]) {
    let c = moments.len() / 2;
    let whole = c / S::F32_LANES * S::F32_LANES;
    for o in (0..whole).step_by(S::F32_LANES) {
        let mut sums = Sums::<S, 1>::new(simd);
        for voxel in row.chunks_exact(c) {
            sums.add(simd, &[vector::<S>(&voxel[o..])]);
            sums.flush(simd, 1, moments, o);
        }
        sums.flush(simd, RUN, moments, o);
    }
    let (sums, squares) = moments.split_at_mut(c);
    for voxel in row.chunks_exact(c) {
        for o in whole..c {
            let value = f64::from(voxel[o]);
            sums[o] += value;
            squares[o] += value * value;
        }
    }
}
