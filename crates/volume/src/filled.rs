//! Which part of a grid a file filled, where its volume was placed in a larger one.

use std::ops::Range;

/// The part that a file filled; the samples elsewhere are 0 and mean nothing.
#[derive(Clone, Debug, PartialEq)]
pub enum Filled {
    /// A box along `[z, y, x]`.
    Box([Range<usize>; 3]),
    /// Whole slices, of a file that holds only some.
    Slices {
        /// Across which axis: 0 = z, 1 = y, 2 = x.
        axis: usize,
        /// Their numbers, ascending.
        indices: Vec<usize>,
    },
}

impl Filled {
    /// Whether the voxel at `[z, y, x]` was filled.
    pub fn holds(&self, at: [usize; 3]) -> bool {
        match self {
            Self::Box(ranges) => (0..3).all(|axis| ranges[axis].contains(&at[axis])),
            Self::Slices { axis, indices } => indices.binary_search(&at[*axis]).is_ok(),
        }
    }

    /// How many voxels of a grid of this shape were.
    pub fn voxels(&self, shape: [usize; 3]) -> usize {
        match self {
            Self::Box(ranges) => ranges.iter().map(|range| range.len()).product(),
            Self::Slices { axis, indices } => {
                let others = (0..3).filter(|a| a != axis).map(|a| shape[a]);
                indices.len() * others.product::<usize>()
            }
        }
    }

    /// The same in a larger grid in which this one begins at `start`.
    pub(crate) fn within(&self, start: [usize; 3]) -> Self {
        match self {
            Self::Box(ranges) => {
                Self::Box([0, 1, 2].map(|a| start[a] + ranges[a].start..start[a] + ranges[a].end))
            }
            Self::Slices { axis, indices } => Self::Slices {
                axis: *axis,
                indices: indices.iter().map(|i| start[*axis] + i).collect(),
            },
        }
    }

    /// What of it is left in a part of the grid, along `[z, y, x]`.
    pub(crate) fn cropped(&self, part: &[Range<usize>; 3]) -> Self {
        match self {
            Self::Box(ranges) => Self::Box([0, 1, 2].map(|a| {
                let within = |at: usize| at.clamp(part[a].start, part[a].end) - part[a].start;
                within(ranges[a].start)..within(ranges[a].end)
            })),
            Self::Slices { axis, indices } => {
                let kept = indices.iter().filter(|i| part[*axis].contains(i));
                Self::Slices {
                    axis: *axis,
                    indices: kept.map(|i| i - part[*axis].start).collect(),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_filled_as_a_whole() {
        let filled = Filled::Slices {
            axis: 1,
            indices: vec![2, 5],
        };
        assert!(filled.holds([0, 2, 9]) && !filled.holds([2, 3, 2]));
        assert_eq!(filled.voxels([3, 6, 4]), 24);
        let part = filled.cropped(&[0..1, 3..6, 0..4]);
        assert!(part.holds([0, 2, 0]) && part.voxels([1, 3, 4]) == 4);
        assert_eq!(part.within([0, 3, 0]).voxels([3, 6, 4]), 12);
        assert!(part.within([0, 3, 0]).holds([0, 5, 0]));
    }

    #[test]
    fn boxes_move_with_their_grid() {
        let filled = Filled::Box([1..3, 0..2, 2..4]);
        assert_eq!(filled.voxels([9, 9, 9]), 8);
        assert_eq!(filled.within([1, 1, 1]), Filled::Box([2..4, 1..3, 3..5]));
        let part = filled.cropped(&[2..9, 0..9, 0..9]);
        assert_eq!(part, Filled::Box([0..1, 0..2, 2..4]));
    }
}
