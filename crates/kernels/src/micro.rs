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

/// Whether the next register tile has [`CHUNK_ROWS`] rows, where `left` are left:
/// six AVX-512 vectors are too few sums to hide the latency of a multiply-add.
#[inline(always)]
pub(crate) fn twice_the_rows<S: Simd>(left: usize) -> bool {
    S::F32_LANES == PANEL && left >= CHUNK_ROWS
}

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

/// Begins at a cache line: vectors on the stack that straddle two halve the speed
/// of what works on them.
#[repr(align(64))]
pub(crate) struct Aligned<T>(pub(crate) T);

/// The lower and the upper half of a vector as doubles.
#[inline(always)]
pub(crate) fn widened<S: Simd>(values: S::f32s) -> [S::f64s; 2] {
    let mut wide = [0f64; PANEL];
    for (wide, value) in wide.iter_mut().zip(row_of::<S, 1>(&[values])) {
        *wide = f64::from(*value);
    }
    debug_assert!(S::F64_LANES * 2 == S::F32_LANES && S::F32_LANES <= PANEL);
    // SAFETY: two vectors of doubles are as many plain doubles, at most PANEL.
    unsafe { wide.as_ptr().cast::<[S::f64s; 2]>().read_unaligned() }
}

/// Two vectors of doubles as plain ones.
#[inline(always)]
pub(crate) fn doubles_of<S: Simd>(wide: &[S::f64s; 2]) -> &[f64] {
    // SAFETY: vectors of doubles are plain doubles in memory.
    unsafe { std::slice::from_raw_parts(wide.as_ptr().cast::<f64>(), 2 * S::F64_LANES) }
}

/// Asks for a cache line that will be read soon. Reading in strides of kilobytes
/// waits for every line otherwise: no processor guesses such strides.
#[inline(always)]
pub(crate) fn prefetch(from: *const f32) {
    // SAFETY: a prefetch reads nothing and never faults.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(from.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = from;
}

/// Asks for a cache line that will be written soon, which other cores then give up.
#[inline(always)]
pub(crate) fn prefetch_to_write(to: *mut f32) {
    // SAFETY: as in `prefetch`; processors without the instruction do nothing.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        std::arch::asm!("prefetchw [{}]", in(reg) to, options(nostack, preserves_flags));
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = to;
}

/// Floats of an output, of a gradient or of transformed weights, 32 MB, from which it is written past the
/// caches: who reads it would find little of it there.
pub(crate) const PAST_CACHES: usize = 8 << 20;

/// Copies to memory that is not read soon, past the caches where that can be:
/// an ordinary store first reads the line that it overwrites. Both slices are as
/// long as some vectors; [`streamed`] follows before anyone reads.
#[inline(always)]
pub(crate) fn stream<S: Simd>(to: &mut [f32], from: &[f32]) {
    #[cfg(target_arch = "x86_64")]
    if S::F32_LANES == 16 && to.as_ptr().align_offset(64) == 0 {
        use std::arch::x86_64::{_mm512_loadu_ps, _mm512_stream_ps};
        for (to, from) in to.chunks_exact_mut(16).zip(from.chunks_exact(16)) {
            // SAFETY: vectors of 16 lanes are those of AVX-512; the chunk begins
            // at a cache line.
            unsafe { _mm512_stream_ps(to.as_mut_ptr(), _mm512_loadu_ps(from.as_ptr())) }
        }
        return;
    }
    #[cfg(target_arch = "x86_64")]
    if S::F32_LANES == 8 && !is_portable::<S>() && to.as_ptr().align_offset(32) == 0 {
        use std::arch::x86_64::{_mm256_loadu_ps, _mm256_stream_ps};
        for (to, from) in to.chunks_exact_mut(8).zip(from.chunks_exact(8)) {
            // SAFETY: vectors of 8 lanes are those of AVX; the chunk is aligned.
            unsafe { _mm256_stream_ps(to.as_mut_ptr(), _mm256_loadu_ps(from.as_ptr())) }
        }
        return;
    }
    to.copy_from_slice(from);
}

/// Ends a sequence of [`stream`].
#[inline(always)]
pub(crate) fn streamed() {
    // SAFETY: every x86-64 processor has the instruction, and it only waits.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        std::arch::x86_64::_mm_sfence();
    }
}

/// Rows of a chunk. Twelve rows by two panels of AVX-512 vectors are 24 of its 32
/// registers: enough sums to hide the latency of the multiply-adds, and half as
/// many loads as multiply-adds. Twice the six rows of the AVX2 register tile.
pub(crate) const CHUNK_ROWS: usize = 12;

/// Floats of a chunk, `[row][PANEL]`: within it every address is a constant offset.
pub(crate) const CHUNK: usize = CHUNK_ROWS * PANEL;

/// A product of twelve rows with weights in panels: `c[r][p * PANEL + l] = sum
/// over q, i of a[q][r][i] * b[p][q * PANEL + i][l]`.
pub(crate) struct ChunkProduct<'a> {
    /// `[k / PANEL][CHUNK_ROWS][PANEL]`.
    pub(crate) a: &'a [f32],
    /// Panels `b_panel` apart, each `[k][PANEL]`.
    pub(crate) b: &'a [f32],
    pub(crate) b_panel: usize,
    /// One or two.
    pub(crate) panels: usize,
    /// Input channels, a multiple of [`PANEL`].
    pub(crate) k: usize,
    /// Whether `c` begins with 0 instead of what is there.
    pub(crate) fresh: bool,
    /// Rows `c_stride` apart, panels `c_panel` apart.
    pub(crate) c: &'a mut [f32],
    pub(crate) c_stride: usize,
    pub(crate) c_panel: usize,
    /// What is multiplied next, as long as `b`: fetched on the way.
    pub(crate) next_b: *const f32,
}

impl ChunkProduct<'_> {
    /// Computes it, on the register tile that suits the vectors.
    #[inline(always)]
    pub(crate) fn run<S: Simd>(mut self, simd: S) {
        assert!(self.k >= PANEL && self.k.is_multiple_of(PANEL));
        assert!(self.panels == 1 || self.panels == 2);
        assert!(self.a.len() >= self.k * CHUNK_ROWS);
        assert!(self.b.len() >= (self.panels - 1) * self.b_panel + self.k * PANEL);
        let last = (CHUNK_ROWS - 1) * self.c_stride + (self.panels - 1) * self.c_panel;
        assert!(self.c.len() >= last + PANEL);
        let mut p = 0;
        while p < self.panels {
            p += match (S::F32_LANES, self.panels - p) {
                (16, 1) => self.tile::<S, 12, 1, 1>(simd, p, 0),
                (16, _) => self.tile::<S, 12, 2, 1>(simd, p, 0),
                (8, _) => {
                    self.tile::<S, 6, 1, 2>(simd, p, 0);
                    self.tile::<S, 6, 1, 2>(simd, p, 6)
                }
                _ => {
                    self.tile::<S, 6, 1, 4>(simd, p, 0);
                    self.tile::<S, 6, 1, 4>(simd, p, 6)
                }
            };
        }
    }

    /// `M` rows by `P` panels of `L` vectors.
    #[inline(always)]
    fn tile<S: Simd, const M: usize, const P: usize, const L: usize>(
        &mut self,
        simd: S,
        panel: usize,
        row: usize,
    ) -> usize {
        debug_assert_eq!(L * S::F32_LANES, PANEL);
        let c = &mut self.c[row * self.c_stride + panel * self.c_panel..];
        let mut acc = [[[simd.splat_f32s(0.0); L]; P]; M];
        if !self.fresh {
            for m in 0..M {
                for p in 0..P {
                    acc[m][p] = row_from::<S, L>(&c[m * self.c_stride + p * self.c_panel..]);
                }
            }
        }
        for q in 0..self.k / PANEL {
            let at = panel * self.b_panel + q * PANEL * PANEL;
            // SAFETY: `run` has asserted that all chunks of `a` are inside, and
            // all panels of `b`; q is below their number, row + M at most that
            // of a chunk.
            let (a, b) = unsafe {
                (
                    self.a.as_ptr().add(q * CHUNK + row * PANEL),
                    self.b.as_ptr().add(at),
                )
            };
            let next_b = self.next_b.wrapping_add(at);
            for i in 0..PANEL {
                let mut line = [[simd.splat_f32s(0.0); L]; P];
                for p in 0..P {
                    // SAFETY: as above, i < PANEL.
                    line[p] = unsafe { load(b.add(p * self.b_panel + i * PANEL)) };
                    if row == 0 {
                        prefetch(next_b.wrapping_add(p * self.b_panel + i * PANEL));
                    }
                }
                for m in 0..M {
                    // SAFETY: as above.
                    let x = simd.splat_f32s(unsafe { *a.add(m * PANEL + i) });
                    for p in 0..P {
                        for l in 0..L {
                            acc[m][p][l] = mul_add(simd, x, line[p][l], acc[m][p][l]);
                        }
                    }
                }
            }
        }
        for m in 0..M {
            for p in 0..P {
                c[m * self.c_stride + p * self.c_panel..][..PANEL]
                    .copy_from_slice(row_of::<S, L>(&acc[m][p]));
            }
        }
        P
    }
}

/// A sum of outer products: `c[i][o] += sum over t of a[t][i] * b[t][o]`.
pub(crate) struct OuterProduct<'a> {
    /// Rows of `a_stride`, of which the first [`PANEL`] count.
    pub(crate) a: &'a [f32],
    pub(crate) a_stride: usize,
    /// Rows of `b_stride`.
    pub(crate) b: &'a [f32],
    pub(crate) b_stride: usize,
    /// Distance of the panels of `b`.
    pub(crate) b_panel: usize,
    pub(crate) panels: usize,
    /// Rows of both.
    pub(crate) points: usize,
    /// Whether `c` begins with 0 instead of what is there.
    pub(crate) fresh: bool,
    /// [`PANEL`] rows `c_stride` apart.
    pub(crate) c: &'a mut [f32],
    pub(crate) c_stride: usize,
    /// What is multiplied next, in rows and panels as those of `b`: fetched on the way.
    pub(crate) next_b: *const f32,
}

impl OuterProduct<'_> {
    /// Computes it, on the register tile that suits the vectors.
    #[inline(always)]
    pub(crate) fn run<S: Simd>(mut self, simd: S) {
        assert!(self.points > 0 && self.panels > 0);
        assert!(self.a.len() >= (self.points - 1) * self.a_stride + PANEL);
        let last = (self.points - 1) * self.b_stride + (self.panels - 1) * self.b_panel;
        assert!(self.b.len() >= last + PANEL);
        assert!(self.c.len() >= (PANEL - 1) * self.c_stride + self.panels * PANEL);
        let mut p = 0;
        while p < self.panels {
            // The halves of a panel's rows, or 6, 6 and 4 of them.
            p += match (S::F32_LANES, self.panels - p) {
                (16, 1) => self.tile::<S, 16, 1, 1>(simd, p, 0),
                (16, _) => {
                    self.tile::<S, 8, 2, 1>(simd, p, 0);
                    self.tile::<S, 8, 2, 1>(simd, p, 8)
                }
                (8, _) => {
                    self.tile::<S, 6, 1, 2>(simd, p, 0);
                    self.tile::<S, 6, 1, 2>(simd, p, 6);
                    self.tile::<S, 4, 1, 2>(simd, p, 12)
                }
                _ => {
                    self.tile::<S, 6, 1, 4>(simd, p, 0);
                    self.tile::<S, 6, 1, 4>(simd, p, 6);
                    self.tile::<S, 4, 1, 4>(simd, p, 12)
                }
            };
        }
    }

    /// `M` input channels from `i` on by `P` panels of `L` vectors.
    #[inline(always)]
    fn tile<S: Simd, const M: usize, const P: usize, const L: usize>(
        &mut self,
        simd: S,
        panel: usize,
        i: usize,
    ) -> usize {
        debug_assert_eq!(L * S::F32_LANES, PANEL);
        let mut acc = [[[simd.splat_f32s(0.0); L]; P]; M];
        let c = &mut self.c[i * self.c_stride + panel * PANEL..];
        if !self.fresh {
            for m in 0..M {
                for p in 0..P {
                    acc[m][p] = row_from::<S, L>(&c[m * self.c_stride + p * PANEL..]);
                }
            }
        }
        let next_b = self.next_b.wrapping_add(panel * self.b_panel);
        for t in 0..self.points {
            // SAFETY: `run` has asserted that so many rows are inside; i + M is at
            // most PANEL.
            let (a, b) = unsafe {
                (
                    self.a.as_ptr().add(t * self.a_stride + i),
                    self.b
                        .as_ptr()
                        .add(t * self.b_stride + panel * self.b_panel),
                )
            };
            let mut line = [[simd.splat_f32s(0.0); L]; P];
            for p in 0..P {
                // SAFETY: as above.
                line[p] = unsafe { load(b.add(p * self.b_panel)) };
                if i == 0 {
                    prefetch(next_b.wrapping_add(t * self.b_stride + p * self.b_panel));
                }
            }
            for m in 0..M {
                // SAFETY: as above.
                let x = simd.splat_f32s(unsafe { *a.add(m) });
                for p in 0..P {
                    for l in 0..L {
                        acc[m][p][l] = mul_add(simd, x, line[p][l], acc[m][p][l]);
                    }
                }
            }
        }
        for m in 0..M {
            for p in 0..P {
                c[m * self.c_stride + p * PANEL..][..PANEL]
                    .copy_from_slice(row_of::<S, L>(&acc[m][p]));
            }
        }
        P
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
        if twice_the_rows::<S>(left) {
            return self.rows::<S, CHUNK_ROWS, V>(simd);
        }
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
