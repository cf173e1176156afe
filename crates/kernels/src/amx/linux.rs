//! The instructions, and the leave of the system to use them.

#![allow(
    unsafe_code,
    reason = "tile instructions have no intrinsics in stable Rust; bounds are asserted once a product"
)]

use std::arch::asm;
use std::arch::x86_64::*;
use std::marker::PhantomData;
use std::sync::OnceLock;

use super::{PARTS, Product, Rows, SIDE};

/// Proof that this process may use AMX with bf16, and AVX-512.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Amx(());

impl Amx {
    /// Asks the processor, then the system, which keeps tiles of 8 KB a thread only
    /// for processes that have asked. The permission is that of all threads.
    pub(crate) fn try_new() -> Option<Self> {
        static GRANTED: OnceLock<bool> = OnceLock::new();
        GRANTED
            .get_or_init(|| {
                processor_has_it() && is_x86_feature_detected!("avx512f") && permitted()
            })
            .then_some(Self(()))
    }
}

/// amx-bf16 and amx-tile of CPUID leaf 7.
fn processor_has_it() -> bool {
    const BF16: u32 = 1 << 22;
    const TILE: u32 = 1 << 24;
    __cpuid(0).eax >= 7 && __cpuid_count(7, 0).edx & (BF16 | TILE) == BF16 | TILE
}

/// `arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA)`, since Linux 5.16. Older
/// ones refuse, as does any that does not save the tiles.
fn permitted() -> bool {
    const ARCH_PRCTL: isize = 158;
    const REQUEST_PERMISSION: usize = 0x1023;
    const TILE_DATA: usize = 18;
    let result: isize;
    // SAFETY: the call touches no memory of this process; the system overwrites rcx
    // and r11 besides the result.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => result,
            in("rdi") REQUEST_PERMISSION,
            in("rsi") TILE_DATA,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result == 0
}

/// Eight tiles of 16 rows by 64 bytes on this thread, until dropped.
pub(crate) struct Tiles {
    /// Another thread has other tiles.
    on_this_thread: PhantomData<*const ()>,
}

/// What `ldtilecfg` reads.
#[repr(C, align(64))]
struct Config {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

impl Tiles {
    pub(crate) fn new(_: Amx) -> Self {
        let mut config = Config {
            palette: 1,
            start_row: 0,
            reserved: [0; 14],
            row_bytes: [0; 16],
            rows: [0; 16],
        };
        config.row_bytes[..8].fill(64);
        config.rows[..8].fill(SIDE as u8);
        // SAFETY: an `Amx` is proof that the instruction exists and is permitted;
        // the configuration is that of palette 1, 64 bytes.
        unsafe {
            asm!(
                "ldtilecfg [{config}]",
                config = in(reg) &raw const config,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack, readonly, preserves_flags),
            );
        }
        Self {
            on_this_thread: PhantomData,
        }
    }

    /// Packs sixteen rows: `to[step][part][row]`.
    #[inline]
    pub(crate) fn pack(&self, rows: Rows<'_>, to: &mut [f32]) {
        let Rows {
            from,
            line,
            panel,
            many,
            panels,
        } = rows;
        assert!((1..=SIDE).contains(&many) && panels > 0);
        assert!(from.len() >= (many - 1) * line + (panels - 1) * panel + SIDE);
        assert!(to.len() >= panels.div_ceil(2) * PARTS);
        // SAFETY: `Tiles` come from an `Amx`, proof of AVX-512; the asserts bound what
        // is read and written.
        unsafe { pack(rows, to.as_mut_ptr()) }
    }

    /// Packs sixteen columns: of what lies as rows of a sum, those of a step as
    /// [`pack`](Self::pack) would pack the rows of the transposed matrix.
    #[inline]
    pub(crate) fn pack_transposed(&self, rows: Rows<'_>, to: &mut [f32]) {
        let Rows {
            from,
            line,
            panel,
            many,
            panels,
        } = rows;
        assert!(many == SIDE && (1..=2).contains(&panels));
        assert!(from.len() >= (many - 1) * line + (panels - 1) * panel + SIDE);
        assert!(to.len() >= PARTS);
        // SAFETY: as in `pack`.
        unsafe { pack_transposed(rows, to.as_mut_ptr()) }
    }

    /// Computes it.
    #[inline]
    pub(crate) fn multiply(&self, product: Product<'_>) {
        let Product {
            a,
            b,
            steps,
            tiles,
            c,
            c_stride,
            c_panel,
            fresh,
        } = product;
        let [rows, panels] = tiles;
        assert!(a.len() >= rows * steps * PARTS && b.len() >= panels * steps * PARTS);
        assert!(steps > 0 && rows <= 2 && panels <= 2);
        assert!(c.len() >= (rows * SIDE - 1) * c_stride + (panels - 1) * c_panel + SIDE);
        let far = steps * PARTS;
        let (a, b, c) = (a.as_ptr(), b.as_ptr(), c.as_mut_ptr());
        let part = Sums {
            a: [a, a.wrapping_add(far)],
            b: [b, b.wrapping_add(far)],
            c: [c, c.wrapping_add(c_panel)],
            stride: c_stride * size_of::<f32>(),
            steps,
            fresh,
        };
        // SAFETY: the asserts bound what is read and written; `Tiles` are configured.
        unsafe {
            match tiles {
                [2, 2] => two_by_two(part),
                [2, _] => two_by_one(part),
                [_, 2] => one_by_two(part),
                _ => one_by_one(part),
            }
        }
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: as in `new`. Tiles in use would make every task switch dearer.
        unsafe {
            asm!(
                "tilerelease",
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack, nomem, preserves_flags),
            );
        }
    }
}

/// # Safety
/// What `rows` speaks of can be read, its packed form written to `to`.
#[target_feature(enable = "avx512f")]
unsafe fn pack(rows: Rows<'_>, to: *mut f32) {
    let zero = _mm512_setzero_ps();
    for step in 0..rows.panels.div_ceil(2) {
        let to = to.wrapping_add(step * PARTS);
        for r in 0..SIDE {
            let from = rows
                .from
                .as_ptr()
                .wrapping_add(2 * step * rows.panel + r * rows.line);
            let (mut x, mut y) = (zero, zero);
            if r < rows.many {
                // SAFETY: row and panel are among those that can be read.
                unsafe {
                    x = _mm512_loadu_ps(from);
                    if 2 * step + 1 < rows.panels {
                        y = _mm512_loadu_ps(from.wrapping_add(rows.panel));
                    }
                }
            }
            for (part, value) in parts(x, y).into_iter().enumerate() {
                // SAFETY: by the contract of this function.
                unsafe {
                    _mm512_storeu_si512(to.wrapping_add((part * SIDE + r) * SIDE).cast(), value);
                }
            }
        }
    }
}

/// # Safety
/// As [`pack`], one step.
#[target_feature(enable = "avx512f")]
unsafe fn pack_transposed(rows: Rows<'_>, to: *mut f32) {
    let zero = _mm512_setzero_si512();
    let mut all = [[zero; SIDE]; 3];
    for r in 0..SIDE {
        let from = rows.from.as_ptr().wrapping_add(r * rows.line);
        // SAFETY: by the contract of this function.
        let (x, y) = unsafe {
            let x = _mm512_loadu_ps(from);
            if rows.panels == 2 {
                (x, _mm512_loadu_ps(from.wrapping_add(rows.panel)))
            } else {
                (x, _mm512_setzero_ps())
            }
        };
        for (part, value) in parts(x, y).into_iter().enumerate() {
            all[part][r] = value;
        }
    }
    for (part, rows) in all.iter().enumerate() {
        for (r, value) in transposed(rows).into_iter().enumerate() {
            // SAFETY: by the contract of this function.
            unsafe {
                _mm512_storeu_si512(to.wrapping_add((part * SIDE + r) * SIDE).cast(), value);
            }
        }
    }
}

/// The transpose of 16 x 16 words: within pairs, within fours, then of the quarters of
/// the vectors.
#[inline]
#[target_feature(enable = "avx512f")]
fn transposed(rows: &[__m512i; SIDE]) -> [__m512i; SIDE] {
    let mut fours = [_mm512_setzero_si512(); SIDE];
    for q in 0..4 {
        let [r0, r1, r2, r3] = [0, 1, 2, 3].map(|r| rows[4 * q + r]);
        let (low, high) = (_mm512_unpacklo_epi32(r0, r1), _mm512_unpackhi_epi32(r0, r1));
        let (low2, high2) = (_mm512_unpacklo_epi32(r2, r3), _mm512_unpackhi_epi32(r2, r3));
        // Columns c, c + 4, c + 8, c + 12 of four rows.
        fours[q] = _mm512_unpacklo_epi64(low, low2);
        fours[4 + q] = _mm512_unpackhi_epi64(low, low2);
        fours[8 + q] = _mm512_unpacklo_epi64(high, high2);
        fours[12 + q] = _mm512_unpackhi_epi64(high, high2);
    }
    let mut columns = [_mm512_setzero_si512(); SIDE];
    for c in 0..4 {
        let [q0, q1, q2, q3] = [0, 1, 2, 3].map(|q| fours[4 * c + q]);
        let even = _mm512_shuffle_i32x4::<0b10_00_10_00>(q0, q1);
        let odd = _mm512_shuffle_i32x4::<0b11_01_11_01>(q0, q1);
        let even2 = _mm512_shuffle_i32x4::<0b10_00_10_00>(q2, q3);
        let odd2 = _mm512_shuffle_i32x4::<0b11_01_11_01>(q2, q3);
        columns[c] = _mm512_shuffle_i32x4::<0b10_00_10_00>(even, even2);
        columns[4 + c] = _mm512_shuffle_i32x4::<0b10_00_10_00>(odd, odd2);
        columns[8 + c] = _mm512_shuffle_i32x4::<0b11_01_11_01>(even, even2);
        columns[12 + c] = _mm512_shuffle_i32x4::<0b11_01_11_01>(odd, odd2);
    }
    columns
}

/// High, middle and low parts, those of `x` in the lower half of each lane.
#[inline]
#[target_feature(enable = "avx512f")]
fn parts(x: __m512, y: __m512) -> [__m512i; 3] {
    let [xh, xm, xl] = split(x);
    let [yh, ym, yl] = split(y);
    let pair = |x, y| {
        _mm512_or_si512(
            _mm512_srli_epi32::<16>(_mm512_castps_si512(x)),
            _mm512_castps_si512(y),
        )
    };
    [pair(xh, yh), pair(xm, ym), pair(xl, yl)]
}

/// `x = high + middle + low`, each of at most 8 significant bits: the first two
/// rounded to nearest, the differences exact.
#[inline]
#[target_feature(enable = "avx512f")]
fn split(x: __m512) -> [__m512; 3] {
    let (half, mask) = (
        _mm512_set1_epi32(0x8000),
        _mm512_set1_epi32(0xffff_0000u32 as i32),
    );
    let rounded = |x: __m512| {
        _mm512_castsi512_ps(_mm512_and_si512(
            _mm512_add_epi32(_mm512_castps_si512(x), half),
            mask,
        ))
    };
    let high = rounded(x);
    let rest = _mm512_sub_ps(x, high);
    let middle = rounded(rest);
    [high, middle, _mm512_sub_ps(rest, middle)]
}

/// The operands of a product of tiles as addresses.
struct Sums {
    a: [*const f32; 2],
    b: [*const f32; 2],
    /// Panels of the first row of sums; rows `stride` bytes apart.
    c: [*mut f32; 2],
    stride: usize,
    steps: usize,
    fresh: bool,
}

/// A function that keeps one or two by one or two tiles of sums. `$a` and `$b` are
/// empty where the second tile of rows or of columns exists, else they make a comment
/// of what concerns it.
macro_rules! sums {
    ($name:ident, $a:literal, $b:literal, $both:literal) => {
        /// # Safety
        /// Tiles are configured; so many packed steps can be read and tiles written.
        unsafe fn $name(sums: Sums) {
            let Sums { a, b, c, stride, steps, fresh } = sums;
            let below = c.map(|c| c.wrapping_byte_add(SIDE * stride));
            // SAFETY: by the contract of this function.
            unsafe {
                asm!(
                    "tilezero tmm0",
                    concat!($b, "tilezero tmm1"),
                    concat!($a, "tilezero tmm2"),
                    concat!($both, "tilezero tmm3"),
                    "test {fresh}, {fresh}",
                    "jnz 2f",
                    "tileloadd tmm0, [{c0} + {stride}]",
                    concat!($b, "tileloadd tmm1, [{c1} + {stride}]"),
                    concat!($a, "tileloadd tmm2, [{c2} + {stride}]"),
                    concat!($both, "tileloadd tmm3, [{c3} + {stride}]"),
                    "2:",
                    // low high'
                    "tileloadd tmm4, [{a0} + {line} + 2048]",
                    "tileloadd tmm6, [{b0} + {line}]",
                    "tdpbf16ps tmm0, tmm4, tmm6",
                    concat!($b, "tileloadd tmm7, [{b1} + {line}]"),
                    concat!($b, "tdpbf16ps tmm1, tmm4, tmm7"),
                    concat!($a, "tileloadd tmm5, [{a1} + {line} + 2048]"),
                    concat!($a, "tdpbf16ps tmm2, tmm5, tmm6"),
                    concat!($both, "tdpbf16ps tmm3, tmm5, tmm7"),
                    // middle high'
                    "tileloadd tmm4, [{a0} + {line} + 1024]",
                    "tdpbf16ps tmm0, tmm4, tmm6",
                    concat!($b, "tdpbf16ps tmm1, tmm4, tmm7"),
                    concat!($a, "tileloadd tmm5, [{a1} + {line} + 1024]"),
                    concat!($a, "tdpbf16ps tmm2, tmm5, tmm6"),
                    concat!($both, "tdpbf16ps tmm3, tmm5, tmm7"),
                    // middle middle'
                    "tileloadd tmm6, [{b0} + {line} + 1024]",
                    "tdpbf16ps tmm0, tmm4, tmm6",
                    concat!($b, "tileloadd tmm7, [{b1} + {line} + 1024]"),
                    concat!($b, "tdpbf16ps tmm1, tmm4, tmm7"),
                    concat!($a, "tdpbf16ps tmm2, tmm5, tmm6"),
                    concat!($both, "tdpbf16ps tmm3, tmm5, tmm7"),
                    // high middle'
                    "tileloadd tmm4, [{a0} + {line}]",
                    "tdpbf16ps tmm0, tmm4, tmm6",
                    concat!($b, "tdpbf16ps tmm1, tmm4, tmm7"),
                    concat!($a, "tileloadd tmm5, [{a1} + {line}]"),
                    concat!($a, "tdpbf16ps tmm2, tmm5, tmm6"),
                    concat!($both, "tdpbf16ps tmm3, tmm5, tmm7"),
                    // high low'
                    "tileloadd tmm6, [{b0} + {line} + 2048]",
                    "tdpbf16ps tmm0, tmm4, tmm6",
                    concat!($b, "tileloadd tmm7, [{b1} + {line} + 2048]"),
                    concat!($b, "tdpbf16ps tmm1, tmm4, tmm7"),
                    concat!($a, "tdpbf16ps tmm2, tmm5, tmm6"),
                    concat!($both, "tdpbf16ps tmm3, tmm5, tmm7"),
                    // high high'
                    "tileloadd tmm6, [{b0} + {line}]",
                    "tdpbf16ps tmm0, tmm4, tmm6",
                    concat!($b, "tileloadd tmm7, [{b1} + {line}]"),
                    concat!($b, "tdpbf16ps tmm1, tmm4, tmm7"),
                    concat!($a, "tdpbf16ps tmm2, tmm5, tmm6"),
                    concat!($both, "tdpbf16ps tmm3, tmm5, tmm7"),
                    "add {a0}, 3072",
                    "add {a1}, 3072",
                    "add {b0}, 3072",
                    "add {b1}, 3072",
                    "dec {steps}",
                    "jnz 2b",
                    "tilestored [{c0} + {stride}], tmm0",
                    concat!($b, "tilestored [{c1} + {stride}], tmm1"),
                    concat!($a, "tilestored [{c2} + {stride}], tmm2"),
                    concat!($both, "tilestored [{c3} + {stride}], tmm3"),
                    a0 = inout(reg) a[0] => _,
                    a1 = inout(reg) a[1] => _,
                    b0 = inout(reg) b[0] => _,
                    b1 = inout(reg) b[1] => _,
                    c0 = in(reg) c[0],
                    c1 = in(reg) c[1],
                    c2 = in(reg) below[0],
                    c3 = in(reg) below[1],
                    stride = in(reg) stride,
                    line = in(reg) 64usize,
                    steps = inout(reg) steps => _,
                    fresh = in(reg) usize::from(fresh),
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack),
                );
            }
        }
    };
}

sums!(two_by_two, "", "", "");
sums!(two_by_one, "", "#", "#");
sums!(one_by_two, "#", "", "#");
sums!(one_by_one, "#", "#", "#");
