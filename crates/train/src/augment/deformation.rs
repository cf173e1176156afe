//! One random deformation: where in the volume each voxel of a patch comes from.
//!
//! With `p` a voxel of the patch, `c` its centre and `u` the elastic
//! displacement, the source is
//!
//! `volume_from_patch(p) = centre + D^-1 R S M D (p + u(p) - c)`
//!
//! where `M` mirrors, `S` divides by the growth of structures, `R` rotates about
//! z, then y, then x, and `D` turns voxels into units of equal length along all
//! axes. This is the authors' order: elastic first, then to the centre, to
//! equal units, rotate, back, to the place in the volume. Since the map is
//! linear after `u`, it is applied to the spline's coefficients once instead of
//! to every voxel.

use rand::{Rng, RngExt};
use unet3d_kernels::warp::{self, Field};

use super::AugmentConfig;

/// A drawn deformation of patches of one shape, not yet at a place.
#[derive(Clone, Debug, PartialEq)]
pub struct Deformation {
    /// Shape of the patch `[z, y, x]`.
    patch: [usize; 3],
    /// `D^-1 R S M D`, from patch to volume.
    linear: [[f64; 3]; 3],
    /// Distance of control points in voxels; the spline is absent when
    /// `coefficients` are.
    spacing: [usize; 3],
    points: [usize; 3],
    /// `[points, 3]`, in voxels of the volume.
    coefficients: Vec<f32>,
}

impl Deformation {
    /// The deformation that moves nothing.
    pub fn identity(patch: [usize; 3]) -> Self {
        Self {
            patch,
            linear: std::array::from_fn(|a| std::array::from_fn(|b| f64::from(a == b))),
            spacing: [1; 3],
            points: [0; 3],
            coefficients: Vec::new(),
        }
    }

    /// A random deformation of patches of shape `patch` (`[z, y, x]`) of a
    /// volume whose voxels are `spacing_mm` apart. Only the ratios of
    /// `spacing_mm` matter; `[1.0; 3]` where it is not known.
    pub fn draw(
        config: &AugmentConfig,
        patch: [usize; 3],
        spacing_mm: [f64; 3],
        rng: &mut impl Rng,
    ) -> Self {
        let mut deformation = Self::identity(patch);
        deformation.redraw(config, spacing_mm, rng);
        deformation
    }

    /// Replaces this deformation by a new random one; keeps its memory.
    pub fn redraw(&mut self, config: &AugmentConfig, spacing_mm: [f64; 3], rng: &mut impl Rng) {
        self.linear = draw_linear(config, spacing_mm, rng);
        self.coefficients.clear();
        let elastic = &config.elastic;
        if !elastic.enabled || elastic.std_voxels == [0.0; 3] {
            return;
        }
        self.spacing = elastic.spacing_voxels;
        self.points = warp::control_points(self.patch, self.spacing);
        for _ in 0..self.points.iter().product() {
            let in_patch = elastic.std_voxels.map(|std| std * normal(rng));
            let in_volume = self.linear.map(|row| dot(row, in_patch) as f32);
            self.coefficients.extend(in_volume);
        }
    }

    /// Replaces this deformation by the one that moves nothing.
    pub fn reset(&mut self) {
        self.coefficients.clear();
        self.linear = std::array::from_fn(|a| std::array::from_fn(|b| f64::from(a == b)));
    }

    /// The deformation at a place: the patch's centre voxel (index `shape / 2`)
    /// shows voxel `centre` of the volume, but for the elastic displacement there.
    pub fn field(&self, centre: [usize; 3]) -> Field<'_> {
        let middle = self.patch.map(|n| (n / 2) as f64);
        let source_from_target = std::array::from_fn(|a| {
            let [z, y, x] = self.linear[a];
            let shift = centre[a] as f64 - dot(self.linear[a], middle);
            [z, y, x, shift]
        });
        let elastic = (!self.coefficients.is_empty()).then_some(warp::Elastic {
            spacing: self.spacing,
            points: self.points,
            coefficients: &self.coefficients,
        });
        Field {
            source_from_target,
            elastic,
        }
    }
}

/// Draws `D^-1 R S M D`.
fn draw_linear(config: &AugmentConfig, spacing_mm: [f64; 3], rng: &mut impl Rng) -> [[f64; 3]; 3] {
    let angles = config
        .rotation_degrees
        .map(|range| uniform(range, rng).to_radians());
    let growth = uniform(config.scaling.map(f64::ln), rng).exp();
    let sign = config.mirror.map(|mirror| {
        let mirrored = rng.random_bool(0.5);
        if mirror && mirrored { -1.0 } else { 1.0 }
    });
    let mut rotation = rotation_in_plane(0, angles[0]);
    for axis in 1..3 {
        rotation = product(rotation_in_plane(axis, angles[axis]), rotation);
    }
    std::array::from_fn(|a| {
        std::array::from_fn(|b| {
            // The ratio of spacings is exactly 1 on the diagonal, so that no
            // rotation and no growth leave whole positions whole.
            rotation[a][b] * sign[b] * (spacing_mm[b] / spacing_mm[a]) / growth
        })
    })
}

/// Rotation about one axis, for vectors `[z, y, x]`.
fn rotation_in_plane(axis: usize, angle: f64) -> [[f64; 3]; 3] {
    let (sin, cos) = angle.sin_cos();
    let (first, second) = ((axis + 1) % 3, (axis + 2) % 3);
    let mut matrix = [[0.0; 3]; 3];
    matrix[axis][axis] = 1.0;
    matrix[first][first] = cos;
    matrix[first][second] = -sin;
    matrix[second][first] = sin;
    matrix[second][second] = cos;
    matrix
}

fn product(left: [[f64; 3]; 3], right: [[f64; 3]; 3]) -> [[f64; 3]; 3] {
    std::array::from_fn(|a| std::array::from_fn(|b| (0..3).map(|i| left[a][i] * right[i][b]).sum()))
}

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// A number of the range, the range's one number when it holds only one.
pub(super) fn uniform([low, high]: [f64; 2], rng: &mut impl Rng) -> f64 {
    let share: f64 = rng.random();
    low + share * (high - low)
}

/// A standard normal number, by Box and Muller.
fn normal(rng: &mut impl Rng) -> f64 {
    let radius: f64 = 1.0 - rng.random::<f64>(); // 0 excluded, for the logarithm
    let angle: f64 = rng.random();
    (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
}

#[cfg(test)]
mod tests;
