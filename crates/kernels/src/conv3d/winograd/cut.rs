//! How a convolution is cut into tiles and blocks of tiles.

use super::form;
use crate::conv3d::Size;

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
    /// Cuts into blocks of about `block` tiles.
    pub(super) fn new(size: &Size, block: usize) -> Self {
        let out = size.output().space;
        let m: [usize; 3] = std::array::from_fn(|axis| best_form(size.kernel[axis], out[axis]));
        let tiles: [usize; 3] = std::array::from_fn(|axis| out[axis].div_ceil(m[axis]));
        let mut left = block.max(1);
        let mut of_block = [1; 3];
        for axis in [2, 1, 0] {
            let most = left.min(tiles[axis]);
            // Blocks of equal size rather than full ones and a rest.
            of_block[axis] = tiles[axis].div_ceil(tiles[axis].div_ceil(most));
            left = (left / of_block[axis]).max(1);
        }
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

    /// Blocks of one sample.
    pub(super) fn count(&self) -> usize {
        self.blocks.iter().product()
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
                for index in 0..2 * cut.count() {
                    let (n, first, many) = cut.block_at(index);
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
