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

/// Compiles the `run::<S, V>` of a task for the vectors of each instruction set:
/// `V` of them make a panel.
macro_rules! by_panel {
    ($task:ident) => {
        impl pulp::WithSimd for $task<'_> {
            type Output = ();

            #[inline(always)]
            fn with_simd<S: pulp::Simd>(self, simd: S) {
                match $crate::micro::PANEL / S::F32_LANES {
                    1 => self.run::<S, 1>(simd),
                    2 => self.run::<S, 2>(simd),
                    _ => self.run::<S, 4>(simd),
                }
            }
        }
    };
}
pub(crate) use by_panel;

/// Calls `$call` with the constant `$rows`, the rows of the next register tile
/// where `$left` are left: [`TILE_ROWS`], fewer at the end.
macro_rules! by_rows {
    ($left:expr, $rows:ident => $call:expr) => {
        $crate::micro::by_rows!(@ $left, $rows, $call, 1 2 3 4 5)
    };
    (@ $left:expr, $rows:ident, $call:expr, $($many:literal)*) => {
        match $left {
            $($many => {
                const $rows: usize = $many;
                $call
            })*
            _ => {
                const $rows: usize = $crate::micro::TILE_ROWS;
                $call
            }
        }
    };
}
pub(crate) use by_rows;

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
                local[m][v] = mul_add(simd, a, b[v], local[m][v]);
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
                local[m][v] = mul_add(simd, a, b[v], local[m][v]);
            }
        }
    }
    *acc = local;
}

/// `a * b + c`, fused where the machine does that in hardware. Portable code
/// must not: without the instruction a fused product is a library call, fifty
/// times slower.
#[inline(always)]
pub(crate) fn mul_add<S: Simd>(simd: S, a: S::f32s, b: S::f32s, c: S::f32s) -> S::f32s {
    if is_portable::<S>() {
        simd.add_f32s(simd.mul_f32s(a, b), c)
    } else {
        simd.mul_add_f32s(a, b, c)
    }
}

#[inline(always)]
pub(crate) fn is_portable<S: Simd>() -> bool {
    std::any::TypeId::of::<S>() == std::any::TypeId::of::<pulp::Scalar256b>()
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

/// One register tile of a weight gradient: up to [`TILE_ROWS`] input channels
/// by one panel of output channels, over `rows` lines of `w` points.
pub(crate) struct OuterTile<'a> {
    /// First input value; lines are `line` apart, points `stride`.
    pub(crate) x: &'a [f32],
    pub(crate) line: usize,
    pub(crate) stride: usize,
    /// Output gradients `[row][w][PANEL]`.
    pub(crate) dy: &'a [f32],
    pub(crate) rows: usize,
    pub(crate) w: usize,
    /// Sums are added here: rows of `out_c`, the first `many` of a panel.
    pub(crate) to: &'a mut [f32],
    pub(crate) out_c: usize,
    pub(crate) many: usize,
}

impl OuterTile<'_> {
    /// Does as many of the `left` input channels as fit; returns how many.
    #[inline(always)]
    pub(crate) fn run<S: Simd, const V: usize>(self, simd: S, left: usize) -> usize {
        by_rows!(left, M => self.rows::<S, M, V>(simd))
    }

    #[inline(always)]
    fn rows<S: Simd, const M: usize, const V: usize>(self, simd: S) -> usize {
        let mut acc = [[simd.splat_f32s(0.0); V]; M];
        for r in 0..self.rows {
            accumulate_outer::<S, M, V>(
                simd,
                &mut acc,
                (&self.x[r * self.line..], self.stride),
                (&self.dy[r * self.w * PANEL..], PANEL),
                self.w,
            );
        }
        for (m, row) in acc.iter().enumerate() {
            let to = &mut self.to[m * self.out_c..][..self.many];
            to.iter_mut()
                .zip(row_of::<S, V>(row))
                .for_each(|(to, v)| *to += v);
        }
        M
    }
}
