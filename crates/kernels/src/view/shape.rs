//! Extents of tensors, and boxes of their voxels.

use std::ops::Range;

/// Extents of a tensor `n d h w c`, channels innermost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Samples.
    pub n: usize,
    /// `[d, h, w]`.
    pub space: [usize; 3],
    /// Channels.
    pub c: usize,
}

impl Shape {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.n * self.voxels() * self.c
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Voxels of one sample.
    pub fn voxels(&self) -> usize {
        self.space.iter().product()
    }

    /// Offset of the first channel of a voxel.
    pub fn at(&self, n: usize, [d, h, w]: [usize; 3]) -> usize {
        (((n * self.space[0] + d) * self.space[1] + h) * self.space[2] + w) * self.c
    }
}

/// A box of voxels of a tensor, the same one in each sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// First voxel inside, `[d, h, w]`.
    pub start: [usize; 3],
    /// Behind the last voxel inside, `[d, h, w]`.
    pub end: [usize; 3],
}

impl Region {
    /// No voxel.
    pub const NOTHING: Self = Self {
        start: [0; 3],
        end: [0; 3],
    };

    /// All voxels of a tensor.
    pub fn all(shape: Shape) -> Self {
        Self {
            start: [0; 3],
            end: shape.space,
        }
    }

    /// Whether no voxel is inside.
    pub fn is_empty(&self) -> bool {
        (0..3).any(|axis| self.start[axis] >= self.end[axis])
    }

    /// Whether the voxel is inside.
    pub fn contains(&self, at: [usize; 3]) -> bool {
        (0..3).all(|axis| (self.start[axis]..self.end[axis]).contains(&at[axis]))
    }

    /// Its rows in these planes: the first voxel of each, and the one behind the last.
    pub(crate) fn rows(self, planes: Range<usize>) -> impl Iterator<Item = [[usize; 3]; 2]> {
        let planes = planes.start.max(self.start[0])..planes.end.min(self.end[0]);
        planes.flat_map(move |d| {
            (self.start[1]..self.end[1])
                .map(move |h| [self.start[2], self.end[2]].map(|w| [d, h, w]))
        })
    }
}
