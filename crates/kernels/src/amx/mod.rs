//! Products of f32 matrices on the tiles of AMX, by three parts of bf16 each.
//!
//! A `tdpbf16ps` multiplies a tile of 16 x 32 by one of 32 x 16 and adds to 16 x 16
//! sums of f32: sixteen times the multiply-adds of an AVX-512 unit, but of bf16, whose
//! significand has 8 bits. So each f32 is split into three of them, `x = high + middle +
//! low`, without error, and six of the nine products are summed (Henry, Tang and
//! Heinecke 2019, "Leveraging the bfloat16 artificial intelligence datatype for
//! higher-precision computations"):
//!
//! `low high' + middle high' + middle middle' + high middle' + high low' + high high'`
//!
//! in this order, small terms first. Parts are rounded to nearest, so `middle` is at
//! most `2^-8` and `low` `2^-17` of `high`, and the three products left out together
//! are at most about `2^-24` of the whole, `2^-26` root mean square. The products
//! themselves are exact in f32. What is smaller than `2^-126`, a part or a product,
//! counts as 0.
//!
//! Both operands are packed in steps of 32 along the sum. A pair, which the tiles want
//! side by side, are the values `k` and `k + 16` of a step: the lanes of two vectors
//! that are loaded anyway, so that packing needs no shuffles.

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
mod absent;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod linux;

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
pub(crate) use absent::{Amx, Tiles};
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub(crate) use linux::{Amx, Tiles};

/// Rows and columns of a tile of sums.
pub(crate) const SIDE: usize = 16;
/// Rows of a product: two tiles, which by two panels are four tiles of sums, enough
/// to hide the 52 cycles of a `tdpbf16ps` that takes 16.
pub(crate) const ROWS: usize = 2 * SIDE;
/// Terms of a sum that one `tdpbf16ps` adds.
pub(crate) const STEP: usize = 32;
/// Floats of the three parts of 16 rows (or columns) by one step.
pub(crate) const PARTS: usize = 3 * SIDE * SIDE;

/// Floats of 16 packed rows (or columns) with `k` values each.
pub(crate) const fn packed(k: usize) -> usize {
    k.div_ceil(STEP) * PARTS
}

/// Sixteen rows, or what has the same form, to be packed: 16 values in a row,
/// `line` apart from the next of the rows, `panel` apart from the next 16 of the sum.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub(crate) from: &'a [f32],
    pub(crate) line: usize,
    pub(crate) panel: usize,
    /// Rows that there are, at most [`SIDE`]; zeros for the others.
    pub(crate) many: usize,
    /// Panels of the sum; zeros for the half that the last step may lack.
    pub(crate) panels: usize,
}

/// Up to two by two tiles of sums: `c[r][p * c_panel + l] = sum over k of a[r][k] *
/// b[p][k][l]`.
pub(crate) struct Product<'a> {
    /// One or two times 16 packed rows, one after the other.
    pub(crate) a: &'a [f32],
    /// One or two packed panels, one after the other.
    pub(crate) b: &'a [f32],
    /// Steps of both.
    pub(crate) steps: usize,
    /// Tiles of rows and of columns, one or two.
    pub(crate) tiles: [usize; 2],
    /// Rows `c_stride` apart, panels `c_panel` apart.
    pub(crate) c: &'a mut [f32],
    pub(crate) c_stride: usize,
    pub(crate) c_panel: usize,
    /// Whether `c` begins with 0 instead of what is there.
    pub(crate) fresh: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values between -1 and 1 whose parts are all in use.
    fn values(many: usize, seed: u32) -> Vec<f32> {
        let mix = |i: usize| (i as u32 ^ seed).wrapping_mul(0x9e37_79b9).rotate_left(15);
        let value = |i| mix(i).wrapping_mul(0x85eb_ca6b) as i32 as f32 / 2f32.powi(31);
        (0..many).map(value).collect()
    }

    #[test]
    fn products_are_as_good_as_those_of_f32() {
        let Some(amx) = Amx::try_new() else {
            return; // Its own tests are those of the level `amx`, which is not here.
        };
        let tiles = Tiles::new(amx);
        for (rows, k, panels) in [(1, 16, 1), (16, 32, 2), (17, 48, 1), (32, 144, 2)] {
            // b is [panel][k][16], as weights are.
            let (a, b) = (values(rows * k, 1), values(panels * k * SIDE, 2));
            let high = rows.div_ceil(SIDE);
            let one = packed(k);
            let (mut pa, mut pb) = (vec![f32::NAN; high * one], vec![f32::NAN; panels * one]);
            let mut transposed = pa.clone();
            for half in 0..high {
                let many = (rows - half * SIDE).min(SIDE);
                let from = &a[half * SIDE * k..];
                let rows = Rows {
                    from,
                    line: k,
                    panel: SIDE,
                    many,
                    panels: k / SIDE,
                };
                tiles.pack(rows, &mut pa[half * one..]);
                // The same from the transposed matrix, a step at a time.
                let mut turned = vec![0.0; k * SIDE];
                for (i, turned) in turned.iter_mut().enumerate() {
                    if i % SIDE < many {
                        *turned = from[i % SIDE * k + i / SIDE];
                    }
                }
                for step in 0..k.div_ceil(STEP) {
                    let from = &turned[step * STEP * SIDE..];
                    let panels = 2.min(k / SIDE - 2 * step);
                    let rows = Rows {
                        from,
                        line: SIDE,
                        panel: SIDE * SIDE,
                        many: SIDE,
                        panels,
                    };
                    tiles.pack_transposed(rows, &mut transposed[half * one + step * PARTS..]);
                }
            }
            let bits = |v: &[f32]| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&pa), bits(&transposed));
            for panel in 0..panels {
                let from = &b[panel * k * SIDE..];
                let rows = Rows {
                    from,
                    line: SIDE,
                    panel: SIDE * SIDE,
                    many: SIDE,
                    panels: k / SIDE,
                };
                tiles.pack(rows, &mut pb[panel * one..]);
            }
            let mut c = vec![0.5; high * SIDE * panels * SIDE];
            for fresh in [true, false] {
                tiles.multiply(Product {
                    a: &pa,
                    b: &pb,
                    steps: k.div_ceil(STEP),
                    tiles: [high, panels],
                    c: &mut c,
                    c_stride: panels * SIDE,
                    c_panel: SIDE,
                    fresh,
                });
            }
            // Twice the sum. A quarter of the bound of f32 sums, docs/numerics.md: without
            // the smallest of the six products it would not hold.
            for (i, c) in c.iter().enumerate().take(rows * panels * SIDE) {
                let (row, panel, column) = (i / (panels * SIDE), i / SIDE % panels, i % SIDE);
                let term = |t: usize| {
                    f64::from(a[row * k + t]) * f64::from(b[(panel * k + t) * SIDE + column])
                };
                let want = 2.0 * (0..k).map(term).sum::<f64>();
                let bound = f64::from(f32::EPSILON) * (k as f64).sqrt() * want.abs().max(1.0);
                let error = (f64::from(*c) - want).abs();
                assert!(
                    error < bound,
                    "{rows} x {k}, {row},{panel},{column}: {error:e} of {want}"
                );
            }
        }
    }
}
