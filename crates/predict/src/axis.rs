//! One axis of the volume, cut into overlapping tiles.
//!
//! Comes in: what the network does to sizes along this axis, the number of
//! voxels, a tile size. Leaves: a list of [`Span`]s, each saying where its tile
//! lies and which voxels it decides; together they decide every voxel once.
//!
//! Tiles start at multiples of the network's total pooling, `stride`. Pooling
//! makes the network treat neighbouring voxels differently (it is equivariant
//! to shifts by `stride` only), so on this grid, and on no other, a tiled
//! prediction equals that of the whole volume, and the choice of the tile never
//! changes a result. The price are up to `stride - 1` voxels of each tile that
//! two tiles compute.

use std::ops::Range;

use unet3d_unet::{Network, Padding};

/// What a network does to sizes along one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AxisRule {
    /// Product of the poolings; legal sizes are this far apart.
    pub(crate) stride: usize,
    /// Smallest legal input.
    pub(crate) smallest: usize,
    /// Input minus output: real context, half of it on each side.
    pub(crate) shrink: usize,
    /// Outputs next to a tile's border that see the zeros outside it, and are
    /// left to the neighbouring tile; a multiple of `stride`, 0 without padding.
    pub(crate) halo: usize,
}

/// The part of one axis that a tile covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// Volume coordinate of the first voxel of the tile's input; negative in
    /// the mirrored context before the volume.
    pub(crate) input_start: isize,
    /// Voxels of the volume that this tile decides.
    pub(crate) keep: Range<usize>,
    /// Index of `keep.start` in the tile's output.
    pub(crate) first_output: usize,
}

impl AxisRule {
    /// The rules of the three axes; `shrink` is what the network says of its
    /// smallest input.
    pub(crate) fn of(network: &Network) -> [Self; 3] {
        [0, 1, 2].map(|axis| {
            let stride = network.stride(axis);
            Self {
                stride,
                smallest: network.legal_size(axis, 1),
                shrink: network.margin(axis),
                halo: match network.config().padding {
                    Padding::Valid => 0,
                    Padding::Same => network.reach(axis).next_multiple_of(stride),
                },
            }
        })
    }

    /// Smallest legal input of at least `at_least` voxels.
    pub(crate) fn legal(&self, at_least: usize) -> usize {
        self.smallest
            + at_least
                .saturating_sub(self.smallest)
                .next_multiple_of(self.stride)
    }

    /// Whether slices across this axis do not see each other.
    pub(crate) fn is_flat(&self) -> bool {
        self.stride == 1 && self.shrink == 0 && self.halo == 0
    }

    /// The input that predicts `voxels` in one piece.
    pub(crate) fn whole(&self, voxels: usize) -> usize {
        self.legal(voxels + self.shrink)
    }

    /// Voxels of a tile's output that do not advance it when there is more than
    /// one tile.
    pub(crate) fn lost(&self) -> usize {
        self.shrink + 2 * self.halo
    }

    /// Number of tiles of size `tile` (legal) that cover `voxels`; `None` when
    /// a tile is too small to advance.
    pub(crate) fn count(&self, voxels: usize, tile: usize) -> Option<usize> {
        let whole = self.whole(voxels);
        if tile >= whole {
            return Some(1);
        }
        let advance = tile.checked_sub(self.lost())? / self.stride;
        let missing = (whole - tile) / self.stride;
        (advance > 0).then(|| 1 + missing.div_ceil(advance))
    }

    /// The smallest tile that can advance, or the whole where that is smaller.
    pub(crate) fn smallest_tile(&self, voxels: usize) -> usize {
        self.legal(self.lost() + self.stride)
            .min(self.whole(voxels))
    }

    /// For every possible number of tiles the smallest size that needs no more,
    /// from small tiles to the whole: with equal numbers smaller is cheaper,
    /// and the smallest has no sliver at the end.
    pub(crate) fn candidates(&self, voxels: usize) -> Vec<usize> {
        let mut sizes = Vec::new();
        let mut last_count = None;
        let mut tile = self.smallest_tile(voxels);
        while tile <= self.whole(voxels) {
            let count = self.count(voxels, tile);
            if count != last_count {
                sizes.push(tile);
                last_count = count;
            }
            tile += self.stride;
        }
        sizes
    }

    /// The tiles along this axis; `None` when the tile is too small to advance.
    pub(crate) fn spans(&self, voxels: usize, tile: usize) -> Option<Vec<Span>> {
        let count = self.count(voxels, tile)?;
        let output = tile - self.shrink;
        let margin = (self.shrink / 2) as isize;
        // In units of `stride`, spread evenly; the last tile ends where the
        // whole prediction would, so its far border is the whole's as well.
        let missing = self.whole(voxels).saturating_sub(tile) / self.stride;
        let start = |i: usize| match i {
            0 => 0,
            i => i * missing / (count - 1) * self.stride,
        };
        // First voxel that tile `i` decides: halfway through the overlap with
        // the tile before, on the grid.
        let first = |i: usize| match i {
            0 => 0,
            i if i == count => voxels,
            i => {
                let overlap = start(i - 1) + output - start(i);
                start(i) + overlap / 2 / self.stride * self.stride
            }
        };
        let span = |i| Span {
            input_start: start(i) as isize - margin,
            keep: first(i)..first(i + 1).min(voxels),
            first_output: first(i) - start(i),
        };
        Some((0..count).map(span).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The paper's network without padding, and what padding makes of it.
    const VALID: AxisRule = AxisRule {
        stride: 8,
        smallest: 92,
        shrink: 88,
        halo: 0,
    };
    const SAME: AxisRule = AxisRule {
        stride: 8,
        smallest: 8,
        shrink: 0,
        halo: 48,
    };

    #[test]
    fn the_papers_tile() {
        assert_eq!(VALID.legal(1), 92);
        assert_eq!(VALID.legal(93), 100);
        assert_eq!(VALID.whole(44), 132);
        assert_eq!(VALID.count(44, 132), Some(1));
        // 44 outputs advance by 40: 0, 40, 80, 120 reach 164.
        assert_eq!(VALID.count(164, 132), Some(4));
        assert_eq!(VALID.count(165, 132), Some(5));
        assert_eq!(VALID.count(100, 92), None);
        assert_eq!(VALID.smallest_tile(100), 100);
        assert_eq!(VALID.smallest_tile(3), 92);
        assert_eq!(SAME.count(100, 96), None);
        assert_eq!(SAME.smallest_tile(1000), 104);
        assert_eq!(SAME.smallest_tile(50), 56);
    }

    #[test]
    fn candidates_are_balanced() {
        // One tile less needs a larger tile, the same number no smaller one.
        for rule in [VALID, SAME] {
            let sizes = rule.candidates(512);
            assert_eq!(*sizes.last().unwrap(), rule.whole(512));
            let counts: Vec<_> = sizes.iter().map(|t| rule.count(512, *t)).collect();
            assert!(counts.windows(2).all(|c| c[0] > c[1]), "{counts:?}");
            for (tile, count) in sizes.iter().zip(&counts).skip(1) {
                assert!(rule.count(512, tile - rule.stride) > *count);
            }
        }
    }

    proptest! {
        #[test]
        fn every_voxel_is_decided_once_by_a_tile_that_knows(
            stride in 1usize..9,
            shrink in 0usize..30,
            halo in 0usize..4,
            smallest in 1usize..20,
            voxels in 1usize..300,
            larger in 0usize..30,
        ) {
            let rule = AxisRule {
                stride,
                smallest: 2 * shrink + smallest,
                shrink: 2 * shrink,
                // A network has either.
                halo: if shrink == 0 { halo * stride } else { 0 },
            };
            let rule = if rule.halo > 0 { AxisRule { smallest: stride, ..rule } } else { rule };
            let tile = rule.smallest_tile(voxels) + larger * stride;
            let spans = rule.spans(voxels, tile).unwrap();
            let output = tile - rule.shrink;
            let whole_end = rule.whole(voxels).max(tile) - rule.shrink;
            let mut next = 0;
            for span in &spans {
                prop_assert_eq!(span.keep.start, next);
                prop_assert!(!span.keep.is_empty());
                next = span.keep.end;
                let start = span.input_start + shrink as isize;
                prop_assert_eq!(start + span.first_output as isize, span.keep.start as isize);
                prop_assert_eq!(start.rem_euclid(stride as isize), 0);
                let last = span.first_output + span.keep.len();
                prop_assert!(last <= output);
                // Away from the tile's border, unless it is the whole's too.
                prop_assert!(start == 0 || span.first_output >= rule.halo);
                prop_assert!(start as usize + output == whole_end || output - last >= rule.halo);
            }
            prop_assert_eq!(next, voxels);
            prop_assert_eq!(Some(spans.len()), rule.count(voxels, tile));
        }

        #[test]
        fn a_tile_below_the_smallest_cannot_advance(
            voxels in 1usize..400,
            fewer in 1usize..8,
        ) {
            for rule in [VALID, SAME] {
                let smallest = rule.smallest_tile(voxels);
                if let Some(tile) = smallest.checked_sub(fewer * rule.stride)
                    && tile >= rule.smallest
                    && smallest < rule.whole(voxels)
                {
                    prop_assert_eq!(rule.count(voxels, tile), None);
                }
            }
        }
    }
}
