//! Warping as it is defined: nested loops, 64 products for each displacement,
//! f64 throughout. What the fast version is tested against.

use super::{Border, Field, Region, Source, bspline_weights, mirrored};

/// Position in the source, in voxels `[z, y, x]`, that target voxel `target` shows.
pub fn position(field: &Field<'_>, target: [usize; 3]) -> [f64; 3] {
    let mut source: [f64; 3] = std::array::from_fn(|a| {
        let row = field.source_from_target[a];
        row[3] + (0..3).map(|b| row[b] * target[b] as f64).sum::<f64>()
    });
    if let Some(elastic) = &field.elastic {
        let mut first = [0; 3];
        let mut weights = [[0.0; 4]; 3];
        for a in 0..3 {
            first[a] = target[a] / elastic.spacing[a];
            let phase = target[a] % elastic.spacing[a];
            weights[a] = bspline_weights(phase as f64 / elastic.spacing[a] as f64);
        }
        for jz in 0..4 {
            for jy in 0..4 {
                for jx in 0..4 {
                    let row = (first[0] + jz) * elastic.points[1] + first[1] + jy;
                    let point = row * elastic.points[2] + first[2] + jx;
                    let weight = weights[0][jz] * weights[1][jy] * weights[2][jx];
                    for a in 0..3 {
                        source[a] += weight * f64::from(elastic.coefficients[point * 3 + a]);
                    }
                }
            }
        }
    }
    source
}

/// See [`super::warp_linear`].
pub fn warp_linear(
    field: &Field<'_>,
    source: Source<'_, f32>,
    border: Border<f32>,
    region: Region,
    out: &mut [f32],
) {
    for_each_voxel(region, |i, target| {
        let position = position(field, target);
        for c in 0..source.channels {
            let mut sum = 0.0;
            for corner in 0..8 {
                let mut weight = 1.0;
                let mut at = [0i64; 3];
                for a in 0..3 {
                    let low = position[a].floor();
                    let upper = corner >> a & 1;
                    let t = position[a] - low;
                    weight *= if upper == 1 { t } else { 1.0 - t };
                    at[a] = low as i64 + upper;
                }
                sum += weight * f64::from(fetch(&source, border, at, c));
            }
            out[i * source.channels + c] = sum as f32;
        }
    });
}

/// See [`super::warp_nearest`].
pub fn warp_nearest<T: Copy>(
    field: &Field<'_>,
    source: Source<'_, T>,
    border: Border<T>,
    region: Region,
    out: &mut [T],
) {
    for_each_voxel(region, |i, target| {
        let nearest = position(field, target).map(|p| (p + 0.5).floor() as i64);
        for c in 0..source.channels {
            out[i * source.channels + c] = fetch(&source, border, nearest, c);
        }
    });
}

fn for_each_voxel(region: Region, mut f: impl FnMut(usize, [usize; 3])) {
    let [depth, height, width] = region.shape;
    for z in 0..depth {
        for y in 0..height {
            for x in 0..width {
                let [z0, y0, x0] = region.start;
                f((z * height + y) * width + x, [z0 + z, y0 + y, x0 + x]);
            }
        }
    }
}

fn fetch<T: Copy>(source: &Source<'_, T>, border: Border<T>, at: [i64; 3], c: usize) -> T {
    let shape = source.shape;
    if let Border::Fill(value) = border
        && (0..3).any(|a| at[a] < 0 || at[a] >= shape[a] as i64)
    {
        return value;
    }
    let [z, y, x] = std::array::from_fn(|a| mirrored(at[a], shape[a]));
    source.voxels[((z * shape[1] + y) * shape[2] + x) * source.channels + c]
}
