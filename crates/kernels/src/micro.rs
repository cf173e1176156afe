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
fn is_portable<S: Simd>() -> bool {
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

/// The rows of a [`Product`]'s register tile: `a` must have room for as many,
/// even where there are fewer rows. Twelve by two panels of AVX-512 vectors are
/// 24 of its 32 registers: enough sums to hide the latency of the
/// multiply-adds, and half as many loads as multiply-adds.
pub(crate) const fn product_rows(lanes: usize) -> usize {
    if lanes == PANEL { 12 } else { TILE_ROWS }
}

/// The most that [`product_rows`] gives.
pub(crate) const MOST_ROWS: usize = 12;

/// A matrix product with weights in panels: `c[r][p * PANEL + l] = sum over k of
/// a[r][k] * b[p][k][l]`.
pub(crate) struct Product<'a> {
    /// `rows` by `k`, rows `a_stride` apart.
    pub(crate) a: &'a [f32],
    pub(crate) a_stride: usize,
    pub(crate) rows: usize,
    /// `[panel][k][PANEL]`.
    pub(crate) b: &'a [f32],
    pub(crate) panels: usize,
    pub(crate) k: usize,
    /// Rows of `panels` panels, `c_stride` apart.
    pub(crate) c: &'a mut [f32],
    pub(crate) c_stride: usize,
}

impl Product<'_> {
    /// Computes it, on the register tile that suits the vectors.
    #[inline(always)]
    pub(crate) fn run<S: Simd>(mut self, simd: S) {
        let rows = self.rows.max(product_rows(S::F32_LANES));
        assert!(self.k > 0 && self.a.len() >= (rows - 1) * self.a_stride + self.k);
        assert!(self.b.len() >= self.panels * self.k * PANEL);
        assert!(self.c.len() >= (rows - 1) * self.c_stride + self.panels * PANEL);
        let mut panel = 0;
        while panel < self.panels {
            panel += match (S::F32_LANES, self.panels - panel) {
                (16, 1) => self.panel::<S, 12, 1, 1>(simd, panel),
                (16, _) => self.panel::<S, 12, 2, 1>(simd, panel),
                (8, _) => self.panel::<S, TILE_ROWS, 1, 2>(simd, panel),
                _ => self.panel::<S, TILE_ROWS, 1, 4>(simd, panel),
            };
        }
    }

    /// All rows by `P` panels of `L` vectors. The last tile of rows overlaps the
    /// one before rather than being cut.
    #[inline(always)]
    fn panel<S: Simd, const M: usize, const P: usize, const L: usize>(
        &mut self,
        simd: S,
        panel: usize,
    ) -> usize {
        debug_assert_eq!(L * S::F32_LANES, PANEL);
        let b = &self.b[panel * self.k * PANEL..];
        let mut row = 0;
        loop {
            // SAFETY: `run` has asserted that M rows from here on are inside `a`
            // and `c`, and P panels inside `b`.
            unsafe {
                product_tile::<S, M, P, L>(
                    simd,
                    self.a.as_ptr().add(row * self.a_stride),
                    self.a_stride,
                    b.as_ptr(),
                    self.k,
                    self.c.as_mut_ptr().add(row * self.c_stride + panel * PANEL),
                    self.c_stride,
                );
            }
            if row + M >= self.rows {
                return P;
            }
            row = (row + M).min(self.rows - M);
        }
    }
}

/// `M` rows by `P` panels.
///
/// # Safety
/// `a` has `M` rows of `k`, `b` has `P` panels of `k` rows, `c` has `M` rows of
/// `P` panels.
#[inline(always)]
unsafe fn product_tile<S: Simd, const M: usize, const P: usize, const L: usize>(
    simd: S,
    a: *const f32,
    a_stride: usize,
    b: *const f32,
    k: usize,
    c: *mut f32,
    c_stride: usize,
) {
    let mut acc = [[[simd.splat_f32s(0.0); L]; P]; M];
    for i in 0..k {
        let mut row = [[simd.splat_f32s(0.0); L]; P];
        for p in 0..P {
            // SAFETY: by the contract, i < k.
            row[p] = unsafe { load(b.add((p * k + i) * PANEL)) };
        }
        for m in 0..M {
            // SAFETY: as above.
            let x = simd.splat_f32s(unsafe { *a.add(m * a_stride + i) });
            for p in 0..P {
                for l in 0..L {
                    acc[m][p][l] = mul_add(simd, x, row[p][l], acc[m][p][l]);
                }
            }
        }
    }
    for (m, rows) in acc.iter().enumerate() {
        for (p, panel) in rows.iter().enumerate() {
            // SAFETY: as above.
            unsafe {
                c.add(m * c_stride + p * PANEL)
                    .cast::<[S::f32s; L]>()
                    .write_unaligned(*panel);
            }
        }
    }
}

/// Positions whose outer products are summed in registers at a time: 64 rows of
/// 128 channels are 32 KB, most of a first-level cache.
const OUTER_POINTS: usize = 64;

/// A sum of outer products: `c[i][o] += sum over t of a[t][i] * b[t][o]`, with
/// `i` and `o` in multiples of [`PANEL`].
pub(crate) struct OuterProduct<'a> {
    /// `[t][i]`.
    pub(crate) a: &'a [f32],
    /// `[t][o]`.
    pub(crate) b: &'a [f32],
    /// How many of `t`, `i` and `o`.
    pub(crate) points: usize,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    /// Whether `c` begins with 0 instead of what is there.
    pub(crate) fresh: bool,
    /// `[i][o]`.
    pub(crate) c: &'a mut [f32],
}

impl OuterProduct<'_> {
    /// Computes it, on the register tile that suits the vectors.
    #[inline(always)]
    pub(crate) fn run<S: Simd>(mut self, simd: S) {
        assert!(self.rows.is_multiple_of(PANEL) && self.columns.is_multiple_of(PANEL));
        assert!(self.a.len() >= self.points * self.rows);
        assert!(self.b.len() >= self.points * self.columns);
        assert!(self.c.len() >= self.rows * self.columns);
        for first in (0..self.points).step_by(OUTER_POINTS) {
            let points = first..(first + OUTER_POINTS).min(self.points);
            let fresh = self.fresh && first == 0;
            let mut o = 0;
            while o < self.columns {
                let panels = (self.columns - o) / PANEL;
                for i in (0..self.rows).step_by(PANEL) {
                    let (at, points) = ([i, o], points.clone());
                    // The halves of a panel's rows, or two thirds and a third.
                    match (S::F32_LANES, panels) {
                        (16, 1) => self.tile::<S, 16, 1, 1>(simd, at, points, fresh),
                        (16, _) => {
                            self.tile::<S, 8, 2, 1>(simd, at, points.clone(), fresh);
                            self.tile::<S, 8, 2, 1>(simd, [i + 8, o], points, fresh);
                        }
                        (8, _) => {
                            self.tile::<S, 6, 1, 2>(simd, at, points.clone(), fresh);
                            self.tile::<S, 6, 1, 2>(simd, [i + 6, o], points.clone(), fresh);
                            self.tile::<S, 4, 1, 2>(simd, [i + 12, o], points, fresh);
                        }
                        _ => {
                            self.tile::<S, 6, 1, 4>(simd, at, points.clone(), fresh);
                            self.tile::<S, 6, 1, 4>(simd, [i + 6, o], points.clone(), fresh);
                            self.tile::<S, 4, 1, 4>(simd, [i + 12, o], points, fresh);
                        }
                    }
                }
                o += if S::F32_LANES == PANEL && panels > 1 {
                    2 * PANEL
                } else {
                    PANEL
                };
            }
        }
    }

    #[inline(always)]
    fn tile<S: Simd, const M: usize, const P: usize, const L: usize>(
        &mut self,
        simd: S,
        [i, o]: [usize; 2],
        points: std::ops::Range<usize>,
        fresh: bool,
    ) {
        debug_assert_eq!(L * S::F32_LANES, PANEL);
        let mut acc = [[[simd.splat_f32s(0.0); L]; P]; M];
        let c = &mut self.c[i * self.columns + o..];
        if !fresh {
            for m in 0..M {
                for p in 0..P {
                    acc[m][p] = row_from::<S, L>(&c[m * self.columns + p * PANEL..]);
                }
            }
        }
        let mut local = acc;
        for t in points {
            // SAFETY: `run` has asserted the lengths; t < points, i + M <= rows
            // and o + P panels <= columns.
            let (a, b) = unsafe {
                (
                    self.a.as_ptr().add(t * self.rows + i),
                    self.b.as_ptr().add(t * self.columns + o),
                )
            };
            let mut row = [[simd.splat_f32s(0.0); L]; P];
            for p in 0..P {
                // SAFETY: as above.
                row[p] = unsafe { load(b.add(p * PANEL)) };
            }
            for m in 0..M {
                // SAFETY: as above.
                let x = simd.splat_f32s(unsafe { *a.add(m) });
                for p in 0..P {
                    for l in 0..L {
                        local[m][p][l] = mul_add(simd, x, row[p][l], local[m][p][l]);
                    }
                }
            }
        }
        for m in 0..M {
            for p in 0..P {
                c[m * self.columns + p * PANEL..][..PANEL]
                    .copy_from_slice(row_of::<S, L>(&local[m][p]));
            }
        }
    }
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
