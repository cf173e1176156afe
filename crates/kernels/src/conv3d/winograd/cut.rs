//! How a convolution is cut into tiles and blocks of tiles.

use super::form;
use crate::conv3d::Size;
use crate::micro::CHUNK_ROWS;

/// The form of each axis and the blocks of tiles of a task.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    /// Outputs of a tile along each axis.
    pub(super) m: [usize; 3],
    /// Inputs of a tile along each axis.
    pub(super) a: [usize; 3],
    /// Tiles along each axis.
    pub(super) tiles: [usize; 3],
    /// Tiles of a block along each axis.
    pub(super) block: [usize; 3],
    /// Blocks along each axis.
    pub(super) blocks: [usize; 3],
}

impl Cut {
    /// Cuts into blocks of one register tile's rows, whatever the schedule.
    pub(super) fn of(size: &Size) -> Self {
        Self::new(size, CHUNK_ROWS)
    }

    /// Cuts into blocks of about `block` tiles.
    pub(super) fn new(size: &Size, block: usize) -> Self {
        let out = size.output().space;
        let m: [usize; 3] = std::array::from_fn(|axis| best_form(size.kernel[axis], out[axis]));
        let tiles: [usize; 3] = std::array::from_fn(|axis| out[axis].div_ceil(m[axis]));
        let of_block = best_block(m, tiles, block.max(1));
        Self {
            m,
            a: m.map(form::inputs),
            tiles,
            block: of_block,
            blocks: std::array::from_fn(|axis| tiles[axis].div_ceil(of_block[axis])),
        }
    }

    /// Products of a tile, for each pair of channels.
    pub(super) fn frequencies(&self) -> usize {
        self.a.iter().product()
    }

    /// Most tiles of a block.
    pub(super) fn block_tiles(&self) -> usize {
        self.block.iter().product()
    }

    /// Tiles of a block.
    pub(super) fn block_tiles_at(&self, index: usize) -> usize {
        self.block_at(index).2.iter().product()
    }

    /// Blocks of one sample.
    pub(super) fn count(&self) -> usize {
        self.blocks.iter().product()
    }

    /// Tiles of one sample.
    fn sample_tiles(&self) -> usize {
        self.tiles.iter().product()
    }

    /// Tiles in all blocks before this one.
    pub(super) fn tiles_before(&self, index: usize) -> usize {
        let (n, first, many) = self.block_at(index);
        let [_, th, tw] = self.tiles;
        n * self.sample_tiles()
            + first[0] * th * tw
            + many[0] * (first[1] * tw + many[1] * first[2])
    }

    /// Voxels of the input of a block, `[d, h, w]`.
    pub(super) fn region(&self) -> [usize; 3] {
        std::array::from_fn(|axis| (self.block[axis] - 1) * self.m[axis] + self.a[axis])
    }

    /// Sample and first tile of a block, and its tiles along each axis.
    pub(super) fn block_at(&self, index: usize) -> (usize, [usize; 3], [usize; 3]) {
        let n = index / self.count();
        let [_, bh, bw] = self.blocks;
        let place = [
            index % self.count() / (bh * bw),
            index / bw % bh,
            index % bw,
        ];
        let first: [usize; 3] = std::array::from_fn(|axis| place[axis] * self.block[axis]);
        let many = std::array::from_fn(|axis| self.block[axis].min(self.tiles[axis] - first[axis]));
        (n, first, many)
    }

    /// First output of tile `t` of a block (its first tile, its tiles along each axis),
    /// and how many of the tile's outputs are among the convolution's, `[d, h, w]`.
    #[inline(always)]
    pub(super) fn outputs_of(
        &self,
        (first, many): ([usize; 3], [usize; 3]),
        t: usize,
        all: [usize; 3],
    ) -> ([usize; 3], [usize; 3]) {
        let place = within(many, t);
        let start: [usize; 3] =
            std::array::from_fn(|axis| (first[axis] + place[axis]) * self.m[axis]);
        let inside = std::array::from_fn(|axis| self.m[axis].min(all[axis] - start[axis]));
        (start, inside)
    }
}

/// The place of number `t` in a box of `many` along each axis.
#[inline(always)]
pub(super) fn within(many: [usize; 3], t: usize) -> [usize; 3] {
    [t / (many[1] * many[2]), t / many[2] % many[1], t % many[2]]
}

/// The tiles of a block along each axis, at most `most` in all, so that products
/// and loading cost least. Sizes are balanced: no full blocks and a rest.
fn best_block(m: [usize; 3], tiles: [usize; 3], most: usize) -> [usize; 3] {
    let a = m.map(form::inputs);
    let balanced = |axis: usize, n: usize| tiles[axis].div_ceil(tiles[axis].div_ceil(n).max(1));
    let mut best = (usize::MAX, [1; 3]);
    for d in 1..=most.min(tiles[0].max(1)) {
        for h in 1..=(most / d).min(tiles[1].max(1)) {
            let w = (most / (d * h)).min(tiles[2].max(1));
            let block = [balanced(0, d), balanced(1, h), balanced(2, w)];
            let blocks: usize = (0..3)
                .map(|axis| tiles[axis].div_ceil(block[axis]))
                .product();
            // Rows of the matrix products, which come in whole register tiles; a
            // loaded voxel costs about a tenth of a row of one frequency.
            let rows = block.iter().product::<usize>().next_multiple_of(CHUNK_ROWS);
            let region: usize = (0..3)
                .map(|axis| (block[axis] - 1) * m[axis] + a[axis])
                .product();
            let cost = blocks * (10 * rows * a.iter().product::<usize>() + region);
            if cost < best.0 {
                best = (cost, block);
            }
        }
    }
    best.1
}

/// Outputs of a tile so that the tiles that cover `out` cost least.
fn best_form(kernel: usize, out: usize) -> usize {
    if kernel == 1 {
        return 1;
    }
    let cost = |m: usize| out.div_ceil(m) * form::inputs(m);
    form::OUTPUTS
        .into_iter()
        .min_by_key(|m| cost(*m))
        .unwrap_or(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_fit_the_size() {
        assert_eq!(best_form(3, 44), 4);
        assert_eq!(best_form(3, 9), 3);
        assert_eq!(best_form(3, 2), 2);
        assert_eq!(best_form(1, 9), 1);
    }

    #[test]
    fn blocks_cover_every_tile_once() {
        for out in [[1, 1, 1], [4, 9, 30], [13, 28, 5], [60, 7, 64]] {
            let padded = out.map(|n| n + 2);
            let size = Size {
                n: 2,
                padded,
                in_c: 16,
                kernel: [3; 3],
                out_c: 16,
            };
            for block in [1, 6, 12, 24, 100] {
                let cut = Cut::new(&size, block);
                assert!(cut.block_tiles() <= block, "{cut:?}");
                let mut seen = vec![0; 2 * cut.tiles.iter().product::<usize>()];
                let mut before = 0;
                for index in 0..2 * cut.count() {
                    let (n, first, many) = cut.block_at(index);
                    assert_eq!(cut.tiles_before(index), before, "{cut:?} {index}");
                    before += many.iter().product::<usize>();
                    for d in first[0]..first[0] + many[0] {
                        for h in first[1]..first[1] + many[1] {
                            for w in first[2]..first[2] + many[2] {
                                let [td, th, tw] = cut.tiles;
                                seen[((n * td + d) * th + h) * tw + w] += 1;
                            }
                        }
                    }
                }
                assert!(seen.iter().all(|count| *count == 1), "{out:?} {block}");
            }
        }
    }
}
