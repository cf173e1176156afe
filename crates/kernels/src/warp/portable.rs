//! Warping for use: the displacement row by row, then a gather.
//!
//! The spline is evaluated separably. For a plane of the target the control
//! points are combined along z, for a row along y, and in the row each interval
//! between control points has four coefficients per axis that every voxel
//! multiplies with four tabulated weights: 12 products a voxel instead of 192.
//! The affine part is added in f64, since positions in a volume of thousands of
//! voxels keep too few bits for the fraction in f32.
//!
//! A row's positions stand in memory before the gather reads them, so the first
//! loop vectorises and the second holds only the eight loads. Voxels whose
//! eight neighbours all exist, nearly all of them, take the path without border.
//!
//! Departure from the reference: displacement and weights are f32.

use super::{Border, Field, Region, Source, bspline_weights, mirrored};

/// Memory that warping needs, a few rows. It grows to fit at the first use and
/// is kept, so that a worker allocates once.
#[derive(Default)]
pub struct Workspace {
    /// Source positions of a row, along z, y, x.
    position: [Vec<f64>; 3],
    /// Weights of the spline for each phase of an interval along x.
    weights_x: Vec<[f32; 4]>,
    /// Coefficients of a plane, combined along z: `[points y, points x, 3]`.
    plane: Vec<f32>,
    /// Coefficients of a row, combined along z and y: `[points x, 3]`.
    row: Vec<f32>,
}

/// Samples an image between its voxels, linearly along each axis.
///
/// `out[v, c] = sum over the 8 voxels around position(v) of weight * source[.., c]`
/// for the target voxels `v` of `region`; `out` is `[region z, y, x, c]`. At
/// whole positions the result is the voxel itself, exactly (for finite images).
/// Neighbours outside the source count as `border` says.
///
/// Agrees with [`super::reference`] within the f32 rounding of positions: 1e-5
/// voxels times the steepest step between neighbours.
///
/// # Panics
/// When a length does not fit its shape or the spline does not cover the region.
pub fn warp_linear(
    field: &Field<'_>,
    source: Source<'_, f32>,
    border: Border<f32>,
    region: Region,
    out: &mut [f32],
    workspace: &mut Workspace,
) {
    let gather = |position: &[Vec<f64>; 3], row: &mut [f32]| match source.channels {
        // Known counts let the compiler unroll the loop over channels.
        1 => linear_row(source, 1, border, position, row),
        2 => linear_row(source, 2, border, position, row),
        3 => linear_row(source, 3, border, position, row),
        4 => linear_row(source, 4, border, position, row),
        n => linear_row(source, n, border, position, row),
    };
    for_each_row(field, &source, region, out, workspace, gather);
}

/// Samples a grid at the voxel nearest to each position (a tie goes up).
///
/// `out` is `[region z, y, x, c]`. For labels: a value of the source arrives
/// as it is or not at all.
///
/// # Panics
/// When a length does not fit its shape or the spline does not cover the region.
pub fn warp_nearest<T: Copy>(
    field: &Field<'_>,
    source: Source<'_, T>,
    border: Border<T>,
    region: Region,
    out: &mut [T],
    workspace: &mut Workspace,
) {
    for_each_row(field, &source, region, out, workspace, |position, row| {
        let c = source.channels;
        for (x, out) in row.chunks_exact_mut(c).enumerate() {
            let at = std::array::from_fn(|a| floor(position[a][x] + 0.5));
            match index(at, source.shape, border) {
                Ok(voxel) => out.copy_from_slice(&source.voxels[voxel * c..][..c]),
                Err(value) => out.fill(value),
            }
        }
    });
}

fn for_each_row<T>(
    field: &Field<'_>,
    source: &Source<'_, T>,
    region: Region,
    out: &mut [T],
    workspace: &mut Workspace,
    gather: impl Fn(&[Vec<f64>; 3], &mut [T]),
) {
    source.check();
    field.check(region);
    let [depth, height, width] = region.shape;
    let row_len = width * source.channels;
    assert_eq!(out.len(), depth * height * row_len, "out has another shape");
    if out.is_empty() {
        return;
    }
    workspace.start(field, width);
    let mut rows = out.chunks_exact_mut(row_len);
    for z in region.start[0]..region.start[0] + depth {
        workspace.enter_plane(field, z);
        for y in region.start[1]..region.start[1] + height {
            workspace.enter_row(field, z, y, region.start[2]);
            if let Some(row) = rows.next() {
                gather(&workspace.position, row);
            }
        }
    }
}

impl Workspace {
    fn start(&mut self, field: &Field<'_>, width: usize) {
        for position in &mut self.position {
            position.resize(width, 0.0);
        }
        if let Some(elastic) = &field.elastic {
            let [_, points_y, points_x] = elastic.points;
            let spacing = elastic.spacing[2];
            self.weights_x.clear();
            self.weights_x.extend(
                (0..spacing)
                    .map(|phase| bspline_weights(phase as f64 / spacing as f64).map(|w| w as f32)),
            );
            self.plane.resize(points_y * points_x * 3, 0.0);
            self.row.resize(points_x * 3, 0.0);
        }
    }

    /// Combines the coefficients along z.
    fn enter_plane(&mut self, field: &Field<'_>, z: usize) {
        if let Some(elastic) = &field.elastic {
            combine(&mut self.plane, elastic.coefficients, elastic.spacing[0], z);
        }
    }

    /// Combines the coefficients along y, then fills `position`.
    fn enter_row(&mut self, field: &Field<'_>, z: usize, y: usize, first_x: usize) {
        for (axis, position) in self.position.iter_mut().enumerate() {
            let [from_z, from_y, from_x, shift] = field.source_from_target[axis];
            let start = shift + from_z * z as f64 + from_y * y as f64;
            for (x, position) in position.iter_mut().enumerate() {
                *position = start + from_x * (first_x + x) as u32 as f64;
            }
        }
        let Some(elastic) = &field.elastic else {
            return;
        };
        combine(&mut self.row, &self.plane, elastic.spacing[1], y);
        let spacing = elastic.spacing[2];
        let end = first_x + self.position[0].len();
        let mut x = first_x;
        while x < end {
            let interval = x / spacing;
            let phase = x - interval * spacing;
            let count = (spacing - phase).min(end - x);
            let weights = &self.weights_x[phase..phase + count];
            let points = &self.row[interval * 3..(interval + 4) * 3];
            for (axis, position) in self.position.iter_mut().enumerate() {
                let [p0, p1, p2, p3] = [0, 3, 6, 9].map(|i| points[i + axis]);
                let position = &mut position[x - first_x..][..count];
                for (position, w) in position.iter_mut().zip(weights) {
                    *position += f64::from((w[0] * p0 + w[1] * p1) + (w[2] * p2 + w[3] * p3));
                }
            }
            x += count;
        }
    }
}

/// Combines four consecutive slabs of `from` into `into` with the weights that
/// the spline has at voxel `at` of the slab's axis.
fn combine(into: &mut [f32], from: &[f32], spacing: usize, at: usize) {
    let [w0, w1, w2, w3] =
        bspline_weights((at % spacing) as f64 / spacing as f64).map(|w| w as f32);
    let slab = into.len();
    let from = &from[at / spacing * slab..][..4 * slab];
    for (i, into) in into.iter_mut().enumerate() {
        *into = (w0 * from[i] + w1 * from[slab + i])
            + (w2 * from[2 * slab + i] + w3 * from[3 * slab + i]);
    }
}

#[inline(always)]
fn linear_row(
    source: Source<'_, f32>,
    channels: usize,
    border: Border<f32>,
    position: &[Vec<f64>; 3],
    row: &mut [f32],
) {
    let [depth, height, width] = source.shape.map(|n| n as i32);
    let (step_y, step_z) = (
        source.shape[2] * channels,
        source.shape[1] * source.shape[2] * channels,
    );
    let voxels = source.voxels;
    let [pz, py, px] = position.each_ref().map(|p| &p[..row.len() / channels]);
    for (x, out) in row.chunks_exact_mut(channels).enumerate() {
        let at = [pz[x], py[x], px[x]];
        let low = at.map(floor);
        let t: [f32; 3] = std::array::from_fn(|a| (at[a] - f64::from(low[a])) as f32);
        let s = t.map(|t| 1.0 - t);
        let weights = [
            [s[0] * s[1] * s[2], s[0] * s[1] * t[2]],
            [s[0] * t[1] * s[2], s[0] * t[1] * t[2]],
            [t[0] * s[1] * s[2], t[0] * s[1] * t[2]],
            [t[0] * t[1] * s[2], t[0] * t[1] * t[2]],
        ];
        let inside = |i: i32, n: i32| i >= 0 && i < n - 1;
        if inside(low[0], depth) && inside(low[1], height) && inside(low[2], width) {
            let first =
                low[0] as usize * step_z + low[1] as usize * step_y + low[2] as usize * channels;
            let pairs = [0, step_y, step_z, step_z + step_y]
                .map(|step| &voxels[first + step..][..2 * channels]);
            for c in 0..channels {
                let mut sum = 0.0;
                for (pair, w) in pairs.iter().zip(&weights) {
                    sum += w[0] * pair[c] + w[1] * pair[channels + c];
                }
                out[c] = sum;
            }
        } else {
            out.fill(0.0);
            for (corner, w) in weights.as_flattened().iter().enumerate() {
                let at = std::array::from_fn(|a| low[a] + (corner >> (2 - a) & 1) as i32);
                match index(at, source.shape, border) {
                    Ok(voxel) => {
                        let voxel = &voxels[voxel * channels..][..channels];
                        for c in 0..channels {
                            out[c] += w * voxel[c];
                        }
                    }
                    Err(value) => out.iter_mut().for_each(|out| *out += w * value),
                }
            }
        }
    }
}

/// Voxel of the source that stands at `at`, or the value that does.
#[inline(always)]
fn index<T: Copy>(at: [i32; 3], shape: [usize; 3], border: Border<T>) -> Result<usize, T> {
    let mut index = 0;
    for a in 0..3 {
        let n = shape[a];
        let i = match (usize::try_from(at[a]), border) {
            (Ok(i), _) if i < n => i,
            (_, Border::Fill(value)) => return Err(value),
            (_, Border::Mirror) => mirrored(i64::from(at[a]), n),
        };
        index = index * n + i;
    }
    Ok(index)
}

/// Largest whole number that is not above `p`.
///
/// Without a hardware instruction that every machine has, `f64::floor` is a
/// call; shifting into the positive numbers and truncating is not. The shift,
/// 2^24 voxels, leaves 2^-28 of a voxel as resolution: a position that close
/// below a voxel counts as the voxel. Positions are held to a range in which
/// the sums of indices cannot overflow.
#[inline(always)]
fn floor(p: f64) -> i32 {
    const SHIFT: i32 = 1 << 24;
    let shifted = (p + f64::from(SHIFT)).clamp(0.0, f64::from(1 << 30));
    shifted as i32 - SHIFT
}
