//! The two register tiles on which convolution, up-convolution and their
//! gradients stand.
//!
//! Both keep `M` rows by `V` vectors of sums in registers. With AVX2 (16
//! registers) 6 x 2 leaves room for two vectors and a broadcast and needs 12
//! independent sums to hide the 4 cycles of a multiply-add at two a cycle.

#![allow(
    unsafe_code,
    reason = "the innermost loops: bounds are asserted once, outside them"
)]

use pulp::Simd;

/// Rows of the register tile: 6 x 2 vectors are 12 of the 16 AVX2 registers.
pub(crate) const TILE_ROWS: usize = 6;
/// Floats of a weight panel's row: two AVX2 vectors, one AVX-512 vector.
pub(crate) const PANEL: usize = 16;

/// `acc[m][v] += sum over k of x[m * stride + k] * panel[k][v]`, for the
/// first `m` rows, the panel being `k` rows of [`PANEL`] floats.
#[inline(always)]
pub(crate) fn accumulate<S: Simd, const M: usize, const V: usize>(
    simd: S,
    acc: &mut [[S::f32s; V]; M],
    x: &[f32],
    stride: usize,
    panel: &[f32],
    k: usize,
) {
    debug_assert_eq!(V * S::F32_LANES, PANEL);
    assert!(k == 0 || x.len() >= (M - 1) * stride + k);
    assert!(panel.len() >= k * PANEL);
    let mut local = *acc;
    for i in 0..k {
        // SAFETY: i < k, and the asserts above bound both reads.
        let b: [S::f32s; V] = unsafe { load(panel.as_ptr().add(i * PANEL)) };
        for m in 0..M {
            // SAFETY: as above.
            let a = simd.splat_f32s(unsafe { *x.get_unchecked(m * stride + i) });
            for v in 0..V {
                local[m][v] = simd.mul_add_e_f32s(a, b[v], local[m][v]);
            }
        }
    }
    *acc = local;
}

/// `acc[m][v] += sum over p of x[p * x_stride + m] * dy[p * dy_stride + v]`:
/// the outer products of a weight gradient, over `points` positions.
#[inline(always)]
pub(crate) fn accumulate_outer<S: Simd, const M: usize, const V: usize>(
    simd: S,
    acc: &mut [[S::f32s; V]; M],
    (x, x_stride): (&[f32], usize),
    (dy, dy_stride): (&[f32], usize),
    points: usize,
) {
    debug_assert_eq!(V * S::F32_LANES, PANEL);
    assert!(points == 0 || x.len() >= (points - 1) * x_stride + M);
    assert!(points == 0 || dy.len() >= (points - 1) * dy_stride + PANEL);
    let mut local = *acc;
    for p in 0..points {
        // SAFETY: p < points, and the asserts above bound both reads.
        let b: [S::f32s; V] = unsafe { load(dy.as_ptr().add(p * dy_stride)) };
        for m in 0..M {
            // SAFETY: as above.
            let a = simd.splat_f32s(unsafe { *x.get_unchecked(p * x_stride + m) });
            for v in 0..V {
                local[m][v] = simd.mul_add_e_f32s(a, b[v], local[m][v]);
            }
        }
    }
    *acc = local;
}

/// # Safety
/// `V` vectors can be read at `from`.
#[inline(always)]
unsafe fn load<T: Copy, const V: usize>(from: *const f32) -> [T; V] {
    // SAFETY: by the contract of this function; T is a vector of floats.
    unsafe { from.cast::<[T; V]>().read_unaligned() }
}

/// The tile as floats, row after row.
#[inline(always)]
pub(crate) fn row_of<S: Simd, const V: usize>(row: &[S::f32s; V]) -> &[f32] {
    // SAFETY: vectors of floats are plain floats in memory.
    unsafe { std::slice::from_raw_parts(row.as_ptr().cast::<f32>(), V * S::F32_LANES) }
}

/// A row of the tile from [`PANEL`] floats.
#[inline(always)]
pub(crate) fn row_from<S: Simd, const V: usize>(from: &[f32]) -> [S::f32s; V] {
    assert!(from.len() >= V * S::F32_LANES);
    // SAFETY: the assert above.
    unsafe { load(from.as_ptr()) }
}
