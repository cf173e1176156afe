//! The products of a frequency on the tiles of AMX.

use pulp::{Simd, WithSimd};

use super::tile::Tiles as Layout;
use crate::amx::{Amx, PARTS, Product, ROWS, Rows, SIDE, STEP, Tiles, packed};
use crate::micro::{PANEL, prefetch, prefetch_to_write};

/// Floats of the packed weights of a frequency and of two packed rows of tiles.
pub(super) fn scratch(in_c: usize, out_c: usize) -> usize {
    (out_c / PANEL + ROWS / SIDE) * packed(in_c)
}

/// `p[tile][o] = sum over i of v[tile][i] * kernels[i][o]` for one frequency.
pub(super) struct Frequency<'a> {
    pub(super) amx: Amx,
    pub(super) v: &'a [f32],
    /// `[panel][i][PANEL]`.
    pub(super) kernels: &'a [f32],
    /// Room for whole rows of AMX tiles.
    pub(super) p: &'a mut [f32],
    pub(super) inputs: Layout,
    pub(super) products: Layout,
    pub(super) tiles: usize,
    /// [`scratch`] floats.
    pub(super) scratch: &'a mut [f32],
}

impl WithSimd for Frequency<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let (in_c, out_c) = (self.inputs.channels, self.products.channels);
        let (panels, one) = (out_c / PANEL, packed(in_c));
        let (b, a) = self.scratch.split_at_mut(panels * one);
        let tiles = Tiles::new(self.amx);
        for (panel, to) in b.chunks_exact_mut(one).enumerate() {
            let rows = Rows {
                from: &self.kernels[panel * in_c * PANEL..],
                line: PANEL,
                panel: PANEL * PANEL,
                many: SIDE,
                panels: in_c / PANEL,
            };
            tiles.pack(rows, to);
        }
        for first in (0..self.tiles).step_by(ROWS) {
            let left = self.tiles - first;
            let many = left.div_ceil(SIDE).min(ROWS / SIDE);
            for half in 0..many {
                let rows = Rows {
                    from: &self.v[(first + half * SIDE) * in_c..],
                    line: in_c,
                    panel: PANEL,
                    many: (left - half * SIDE).min(SIDE),
                    panels: in_c / PANEL,
                };
                tiles.pack(rows, &mut a[half * one..]);
            }
            // The next rows are fetched meanwhile, a share with each product.
            let next = self.v.as_ptr().wrapping_add((first + ROWS) * in_c);
            let share = (2 * ROWS * in_c / panels).next_multiple_of(PANEL);
            for panel in (0..panels).step_by(2) {
                for line in (0..share).step_by(PANEL) {
                    prefetch(next.wrapping_add(panel / 2 * share + line));
                }
                // As are the lines that the next product writes.
                let c = &mut self.p[first * out_c + panel * PANEL..];
                for row in 0..many * SIDE {
                    let next = c.as_mut_ptr().wrapping_add(row * out_c + 2 * PANEL);
                    prefetch_to_write(next);
                    prefetch_to_write(next.wrapping_add(PANEL));
                }
                tiles.multiply(Product {
                    a,
                    b: &b[panel * one..],
                    steps: in_c.div_ceil(STEP),
                    tiles: [many, 2.min(panels - panel)],
                    c,
                    c_stride: out_c,
                    c_panel: PANEL,
                    fresh: true,
                });
            }
        }
    }
}

/// Floats of the packed tiles and gradients of a frequency.
pub(super) fn outer_scratch(tiles: usize, in_c: usize, out_c: usize) -> usize {
    (in_c + out_c) / PANEL * packed(tiles.next_multiple_of(STEP))
}

/// `c[i][o] += sum over tiles of v[tile][i] * u[tile][o]` for one frequency: the sum
/// runs over tiles, so the input's are packed transposed.
pub(super) struct Outer<'a> {
    pub(super) amx: Amx,
    /// Room for whole rows of tiles, as has `u`.
    pub(super) v: &'a mut [f32],
    pub(super) u: &'a mut [f32],
    /// Of `v` and of `u`.
    pub(super) channels: [usize; 2],
    pub(super) tiles: usize,
    /// Whether `c` begins with 0 instead of what is there.
    pub(super) fresh: bool,
    /// `[i][o]`.
    pub(super) c: &'a mut [f32],
    /// [`outer_scratch`] floats.
    pub(super) scratch: &'a mut [f32],
}

impl WithSimd for Outer<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let [in_c, out_c] = self.channels;
        let panels = self.tiles.div_ceil(SIDE);
        let one = packed(panels * SIDE);
        let (a, scratch) = self.scratch.split_at_mut(in_c / PANEL * one);
        let b = &mut scratch[..out_c / PANEL * one];
        // Zeros for the tiles that the last panel lacks.
        self.v[self.tiles * in_c..panels * SIDE * in_c].fill(0.0);
        self.u[self.tiles * out_c..panels * SIDE * out_c].fill(0.0);
        let tiles = Tiles::new(self.amx);
        let rows = |from, channels| Rows {
            from,
            line: channels,
            panel: SIDE * channels,
            many: SIDE,
            panels,
        };
        // A step of both at a time, as they lie in memory.
        for step in 0..panels.div_ceil(2) {
            let panels = 2.min(panels - 2 * step);
            let at = 2 * step * SIDE;
            for (i, to) in a.chunks_exact_mut(one).enumerate() {
                fetch_step(&self.v[at * in_c + i * PANEL..], in_c);
                let rows = Rows {
                    panels,
                    ..rows(&self.v[at * in_c + i * PANEL..], in_c)
                };
                tiles.pack_transposed(rows, &mut to[step * PARTS..]);
            }
            for (o, to) in b.chunks_exact_mut(one).enumerate() {
                fetch_step(&self.u[at * out_c + o * PANEL..], out_c);
                let rows = Rows {
                    panels,
                    ..rows(&self.u[at * out_c + o * PANEL..], out_c)
                };
                tiles.pack(rows, &mut to[step * PARTS..]);
            }
        }
        for i in (0..in_c).step_by(ROWS) {
            for o in (0..out_c).step_by(2 * PANEL) {
                tiles.multiply(Product {
                    a: &a[i / PANEL * one..],
                    b: &b[o / PANEL * one..],
                    steps: panels.div_ceil(2),
                    tiles: [2.min((in_c - i) / PANEL), 2.min((out_c - o) / PANEL)],
                    c: &mut self.c[i * out_c + o..],
                    c_stride: out_c,
                    c_panel: PANEL,
                    fresh: self.fresh,
                });
            }
        }
    }
}

/// Asks for the 16 channels of the tiles that come a step later.
#[inline(always)]
fn fetch_step(from: &[f32], channels: usize) {
    for tile in STEP..2 * STEP {
        prefetch(from.as_ptr().wrapping_add(tile * channels));
    }
}
