//! Where an operation writes, and what it leaves beside its values: partial sums for
//! statistics, maxima for a pooling.

use super::{Region, Shape};

/// Where an operation writes: a part of a tensor, from `crop` on.
pub struct Target<'a> {
    /// `n d h w c`.
    pub data: &'a mut [f32],
    /// Of `data`.
    pub shape: Shape,
    /// First voxel that is written, `[d, h, w]`.
    pub crop: [usize; 3],
    /// Whether to add to what is there.
    pub accumulate: bool,
    /// Partial sums of what is written, for the statistics of a normalisation:
    /// `[n][part][2][c]`, the values and their squares. What is there is
    /// replaced. The kernel says how many parts there are.
    pub moments: Option<&'a mut [f64]>,
    /// Outputs that are kept, the first of them at `crop`. Others count in the moments
    /// and the maxima alone; only kernels that [pool](crate::conv3d::Kernel::pools)
    /// can do without them, by whole tiles.
    pub kept: Region,
    /// The maxima, for the kernels that [pool](crate::conv3d::Kernel::pools).
    pub pooled: Option<Pooled<'a>>,
}

/// The maxima of windows of a tensor, taken as it is written.
pub struct Pooled<'a> {
    /// `n d h w c`, the extents those of the tensor over the window, rounded down.
    pub data: &'a mut [f32],
    /// 1 or 2 along each axis.
    pub window: [usize; 3],
    /// Of each channel, the factor of the [`Transform`](super::Transform) that will be applied to
    /// the pooled values as to the tensor's; only its sign counts: where it is
    /// negative the least value is taken, of which the transform is the largest.
    /// `None` where all are positive.
    pub scale: Option<&'a [f32]>,
}
