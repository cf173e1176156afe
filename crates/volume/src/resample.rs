//! Images and labels on another grid of the same extent.
//!
//! Voxels are boxes that fill the volume: when n voxels become m, voxel i of
//! the new grid has its centre at `(i + 0.5) n / m - 0.5` of the old one. The
//! first and last half voxel repeat the border value. Images are linear
//! between voxel centres; labels are those of the nearest centre, so that no
//! label arises that nobody gave and unlabeled stays unlabeled.

use crate::{Geometry, Image, Label};

/// The geometry of the same extent with `shape` voxels: spacing and orientation
/// adapted.
pub fn resample_geometry(from: &Geometry, shape: [usize; 3]) -> Geometry {
    // Old voxels for each new one.
    let step = [0, 1, 2].map(|a| from.shape[a] as f64 / shape[a] as f64);
    Geometry {
        shape,
        spacing_mm: from.spacing_mm.map(|s| [0, 1, 2].map(|a| s[a] * step[a])),
        forms: from.forms.clone(),
        world_from_volume: from.world_from_volume.map(|rows| {
            rows.map(|row| {
                // Voxel 0 has its centre at step / 2 - 1/2 of the old grid.
                let origin = row[3] + (0..3).map(|a| row[a] * (0.5 * step[a] - 0.5)).sum::<f64>();
                [row[0] * step[0], row[1] * step[1], row[2] * step[2], origin]
            })
        }),
    }
}

/// `image` with `shape` voxels `[z, y, x]`, linear between voxel centres.
///
/// Each new voxel looks at the two nearest old ones along each axis, so
/// shrinking to less than half leaves out voxels and aliases; fine for the
/// spacings of one data set, not for thumbnails.
///
/// # Panics
/// When one shape is empty and the other is not.
pub fn resample_image(image: &Image, shape: [usize; 3]) -> Image {
    let geometry = resample_geometry(&image.geometry, shape);
    let mut voxels = image.voxels.clone();
    let mut at = image.geometry.shape;
    // Linear in 3D is linear along each axis in turn. x last: until then the
    // rows stay long and contiguous.
    for axis in 0..3 {
        let (outer, inner) = around(at, axis, image.channels);
        voxels = resample_axis(&voxels, outer, [at[axis], shape[axis]], inner);
        at[axis] = shape[axis];
    }
    Image {
        geometry,
        channels: image.channels,
        voxels,
    }
}

/// `labels` of shape `from` on a grid of shape `to` over the same extent: the
/// label of the nearest voxel centre (of two equally near, the later).
///
/// # Panics
/// When `labels` has not `from` voxels, or `from` is empty and `to` is not.
pub fn resample_labels(labels: &[Label], from: [usize; 3], to: [usize; 3]) -> Vec<Label> {
    assert_eq!(labels.len(), from.iter().product::<usize>());
    let nearest = [0, 1, 2].map(|a| {
        (0..to[a])
            .map(|i| (2 * i + 1) * from[a] / (2 * to[a]))
            .collect::<Vec<_>>()
    });
    let mut out = Vec::with_capacity(to.iter().product());
    for &z in &nearest[0] {
        for &y in &nearest[1] {
            let row = &labels[(z * from[1] + y) * from[2]..][..from[2]];
            out.extend(nearest[2].iter().map(|&x| row[x]));
        }
    }
    out
}

/// Elements before and after `axis` in a `[z, y, x, c]` array.
fn around(shape: [usize; 3], axis: usize, channels: usize) -> (usize, usize) {
    let outer = shape[..axis].iter().product();
    let inner = shape[axis + 1..].iter().product::<usize>() * channels;
    (outer, inner)
}

/// Linear along the middle axis of `[outer, n, inner]`, n from `sizes[0]` to `sizes[1]`.
fn resample_axis(x: &[f32], outer: usize, sizes: [usize; 2], inner: usize) -> Vec<f32> {
    let [n, m] = sizes;
    if n == m {
        return x.to_vec();
    }
    let mut out = vec![0.0; outer * m * inner];
    for (o, out) in out.chunks_exact_mut((m * inner).max(1)).enumerate() {
        let x = &x[o * n * inner..][..n * inner];
        for (i, out) in out.chunks_exact_mut(inner.max(1)).enumerate() {
            let centre = (i as f64 + 0.5) * n as f64 / m as f64 - 0.5;
            let centre = centre.clamp(0.0, (n - 1) as f64);
            let low = centre.floor() as usize;
            let weight = (centre - low as f64) as f32;
            let a = &x[low * inner..][..inner];
            let b = &x[(low + 1).min(n - 1) * inner..][..inner];
            for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
                *out = a + (b - a) * weight;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn image(shape: [usize; 3], channels: usize, f: impl Fn([usize; 3], usize) -> f32) -> Image {
        let mut voxels = Vec::new();
        for z in 0..shape[0] {
            for y in 0..shape[1] {
                for x in 0..shape[2] {
                    voxels.extend((0..channels).map(|c| f([z, y, x], c)));
                }
            }
        }
        Image {
            geometry: Geometry::of_shape(shape),
            channels,
            voxels,
        }
    }

    #[test]
    fn two_voxels_become_four_by_hand() {
        let out = resample_image(&image([1, 1, 2], 1, |p, _| p[2] as f32 * 4.0), [1, 1, 4]);
        assert_eq!(out.voxels, [0.0, 1.0, 3.0, 4.0]);
        let out = resample_image(&image([1, 4, 1], 1, |p, _| p[1] as f32), [1, 2, 1]);
        assert_eq!(out.voxels, [0.5, 2.5]);
    }

    #[test]
    fn a_linear_image_stays_linear_inside() {
        let f = |z: f64, y: f64, x: f64, c: usize| (2.0 * z - y + 0.5 * x) as f32 + c as f32;
        let from = [5, 6, 7];
        let to = [8, 4, 9];
        let out = resample_image(
            &image(from, 2, |p, c| f(p[0] as f64, p[1] as f64, p[2] as f64, c)),
            to,
        );
        let centre = |i: usize, a: usize| {
            ((i as f64 + 0.5) * from[a] as f64 / to[a] as f64 - 0.5)
                .clamp(0.0, (from[a] - 1) as f64)
        };
        let expected = image(to, 2, |p, c| {
            f(centre(p[0], 0), centre(p[1], 1), centre(p[2], 2), c)
        });
        for (a, b) in out.voxels.iter().zip(&expected.voxels) {
            assert!((a - b).abs() < 1e-5);
        }
    }

    #[test]
    fn labels_take_the_nearest_and_keep_unlabeled() {
        let [a, b, u] = [Label::of_class(0), Label::of_class(7), Label::UNLABELED];
        assert_eq!(
            resample_labels(&[a, u, b], [1, 1, 3], [1, 1, 6]),
            [a, a, u, u, b, b]
        );
        assert_eq!(resample_labels(&[a, u, b], [3, 1, 1], [1, 1, 2]), [u, u]);
    }

    #[test]
    fn geometry_keeps_the_extent() {
        let from = Geometry {
            shape: [4, 10, 6],
            spacing_mm: Some([3.0, 1.0, 0.5]),
            world_from_volume: Some([
                [0.0, 0.0, 0.5, 10.0],
                [0.0, 1.0, 0.0, 20.0],
                [3.0, 0.0, 0.0, 30.0],
            ]),
            forms: None,
        };
        let to = resample_geometry(&from, [8, 5, 6]);
        assert_eq!(to.spacing_mm, Some([1.5, 2.0, 0.5]));
        // The centre of the volume stays where it is in the world.
        let world = |g: &Geometry| {
            g.world_from_volume.unwrap().map(|r| {
                (0..3)
                    .map(|a| r[a] * (g.shape[a] as f64 - 1.0) / 2.0)
                    .sum::<f64>()
                    + r[3]
            })
        };
        for (a, b) in world(&from).iter().zip(world(&to)) {
            assert!((a - b).abs() < 1e-12);
        }
    }

    proptest! {
        #[test]
        fn same_shape_is_the_same_and_values_stay_in_range(
            from in [1usize..6, 1..6, 1..6],
            to in [1usize..9, 1..9, 1..9],
            seed in any::<u32>(),
        ) {
            let im = image(from, 3, |p, c| {
                let h = (p[0] * 31 + p[1] * 17 + p[2] * 7 + c) as u32;
                (h.wrapping_mul(2_654_435_761) ^ seed) as f32
            });
            prop_assert_eq!(&resample_image(&im, from), &im);
            let out = resample_image(&im, to);
            prop_assert_eq!(out.voxels.len(), to.iter().product::<usize>() * 3);
            let least = im.voxels.iter().copied().fold(f32::INFINITY, f32::min);
            let most = im.voxels.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let slack = most.abs() * 1e-6;
            prop_assert!(out.voxels.iter().all(|v| (least - slack..=most + slack).contains(v)));
        }
    }
}
