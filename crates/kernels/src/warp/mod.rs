//! Warping: an image or a label image sampled at displaced positions.
//!
//! In come a source grid (`[z, y, x, c]`) and a [`Field`] that says for every
//! target voxel which position of the source it shows; out comes a box of
//! target voxels. Rotation, scaling, mirroring and the elastic deformation are
//! all in the one field, so a patch is resampled once, however many changes it
//! goes through. Images are sampled linearly, labels at the nearest voxel: a
//! label is never a mixture of two.
//!
//! `reference` is the definition, `portable` the one that is used: it evaluates
//! the spline separably and has its own path for voxels away from the border.

mod portable;
pub mod reference;

#[cfg(test)]
mod tests;

pub use portable::{Workspace, warp_linear, warp_nearest};

/// Where in the source each target voxel lies.
///
/// `source = source_from_target * [z, y, x, 1] + elastic(z, y, x)`, voxel
/// centres at whole numbers on both sides.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    /// Rows: z, y, x of the source in voxels; columns: z, y, x of the target
    /// in voxels, and the translation.
    pub source_from_target: [[f64; 4]; 3],
    /// The smooth part, `None` for an affine field.
    pub elastic: Option<Elastic<'a>>,
}

/// A displacement: cubic B-splines on a coarse grid over the target.
///
/// With `k = floor(x / spacing)` and `t = x / spacing - k` along each axis,
/// `displacement = sum over j of b_j(t) * coefficients[k + j]`, `j` from 0 to
/// 3, the same along z, y and x ([`bspline_weights`]). The values are used as
/// spline coefficients as they are: no filter makes the spline pass through
/// them. This is the convention of the authors of the 3D U-Net; an
/// interpolating spline would displace about three times as far.
#[derive(Clone, Copy, Debug)]
pub struct Elastic<'a> {
    /// Distance of control points along z, y, x in target voxels, at least 1.
    pub spacing: [usize; 3],
    /// Control points along z, y, x; [`control_points`] says how many it takes.
    pub points: [usize; 3],
    /// `[points z, points y, points x, 3]`: displacement along z, y, x of the
    /// source, in source voxels.
    pub coefficients: &'a [f32],
}

/// A grid of voxels to sample from.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a, T> {
    /// `[z, y, x, c]`.
    pub voxels: &'a [T],
    /// Voxels along z, y, x, at least 1 each.
    pub shape: [usize; 3],
    /// Values of a voxel, at least 1.
    pub channels: usize,
}

/// What stands outside the source.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Border<T> {
    /// The source mirrored at its outermost voxels, which are not repeated:
    /// `.. 2 1 [0 1 2 .. n-1] n-2 n-3 ..`
    Mirror,
    /// This value.
    Fill(T),
}

/// The box of target voxels to compute: all of a patch, or its central part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// First voxel along z, y, x.
    pub start: [usize; 3],
    /// Voxels along z, y, x.
    pub shape: [usize; 3],
}

impl Region {
    /// All of a target of this shape.
    pub fn whole(shape: [usize; 3]) -> Self {
        Self {
            start: [0; 3],
            shape,
        }
    }
}

/// Control points that a spline needs along each axis of a target of `shape`.
///
/// Three more than there are intervals; one interval more than voxels at whole
/// multiples need, as the authors' layer has it, so that equal random numbers
/// mean equal fields for every size in an interval.
pub fn control_points(shape: [usize; 3], spacing: [usize; 3]) -> [usize; 3] {
    std::array::from_fn(|axis| shape[axis] / spacing[axis] + 4)
}

/// The four cubic B-spline basis functions that are not zero at `t` in 0..1,
/// in the order of their control points. They sum to 1.
pub fn bspline_weights(t: f64) -> [f64; 4] {
    let s = 1.0 - t;
    [
        s * s * s / 6.0,
        (3.0 * t * t * t - 6.0 * t * t + 4.0) / 6.0,
        (3.0 * s * s * s - 6.0 * s * s + 4.0) / 6.0,
        t * t * t / 6.0,
    ]
}

impl<T> Source<'_, T> {
    fn check(&self) {
        assert!(
            self.shape.iter().all(|&n| n > 0) && self.channels > 0,
            "source has no voxels"
        );
        assert_eq!(
            self.voxels.len(),
            self.shape.iter().product::<usize>() * self.channels,
            "source has another number of values than its shape says"
        );
    }
}

impl Field<'_> {
    fn check(&self, region: Region) {
        if let Some(elastic) = &self.elastic {
            let end = std::array::from_fn(|a| region.start[a] + region.shape[a]);
            let need = control_points(end.map(|n| n.saturating_sub(1)), elastic.spacing);
            assert!(
                (0..3).all(|a| elastic.points[a] >= need[a]),
                "spline has {:?} control points, the region needs {need:?}",
                elastic.points
            );
            assert_eq!(
                elastic.coefficients.len(),
                elastic.points.iter().product::<usize>() * 3,
                "spline has another number of coefficients than points"
            );
        }
    }
}

/// Index inside `0..n` of the voxel that mirroring shows at `i`.
fn mirrored(i: i64, n: usize) -> usize {
    if n == 1 {
        return 0;
    }
    let period = 2 * (n as i64 - 1);
    let i = i.rem_euclid(period);
    i.min(period - i) as usize
}
