//! How far deformations move, and that each part does what its name says.

use unet3d_kernels::random::{Stream, generator};
use unet3d_kernels::warp::reference::position;

use super::super::Elastic;
use super::*;

fn elastic_only() -> AugmentConfig {
    AugmentConfig {
        elastic: Elastic::default(),
        ..AugmentConfig::none()
    }
}

fn offset(field: &Field<'_>, patch: [usize; 3], voxel: [usize; 3], centre: [usize; 3]) -> [f64; 3] {
    let source = position(field, voxel);
    std::array::from_fn(|a| {
        source[a] - centre[a] as f64 - (voxel[a] as f64 - (patch[a] / 2) as f64)
    })
}

/// Spacing 32 and deviation 4 displace by 1.33 voxels, root mean square per
/// component: each basis function squared averages to 151/315 = 0.479 over an
/// interval, so the deviation is 4 * 0.479^(3/2) = 1.328. An interpolating
/// spline would make it about 4.
#[test]
fn the_elastic_displacement_is_a_third_of_the_deviation() {
    let patch = [64; 3];
    let mut sums = [0.0; 3];
    let mut count = 0.0;
    for i in 0..400 {
        let mut rng = generator(i, Stream::Test, 0);
        let deformation = Deformation::draw(&elastic_only(), patch, [1.0; 3], &mut rng);
        let field = deformation.field([100; 3]);
        // 4 x 4 x 4 voxels at all phases of the two intervals per axis.
        for z in (4..64).step_by(16) {
            for y in (4..64).step_by(16) {
                for x in (4..64).step_by(16) {
                    let moved = offset(&field, patch, [z, y, x], [100; 3]);
                    (0..3).for_each(|a| sums[a] += moved[a] * moved[a]);
                    count += 1.0;
                }
            }
        }
    }
    for sum in sums {
        let rms = f64::sqrt(sum / count);
        // A field of 64^3 holds about 8 independent displacements, 400 of them
        // 3200: the relative error of the deviation is 1/sqrt(2*3200) = 1.25 %,
        // and 3 of those are 0.05.
        assert!((rms - 1.328).abs() < 0.05, "root mean square {rms}");
    }
}

#[test]
fn nothing_moves_without_augmentation() {
    let patch = [5, 8, 9];
    let mut rng = generator(1, Stream::Test, 1);
    let drawn = Deformation::draw(&AugmentConfig::none(), patch, [3.0, 0.7, 0.7], &mut rng);
    for deformation in [drawn, Deformation::identity(patch)] {
        let field = deformation.field([10, 20, 30]);
        assert_eq!(position(&field, [2, 4, 4]), [10.0, 20.0, 30.0]);
        assert_eq!(position(&field, [0, 0, 8]), [8.0, 16.0, 34.0]);
    }
}

#[test]
fn rotation_keeps_lengths_in_space_not_in_voxels() {
    let patch = [21; 3];
    let spacing_mm = [3.0, 1.0, 0.5];
    for axis in 0..3 {
        let mut config = AugmentConfig::none();
        config.rotation_degrees[axis] = [90.0; 2];
        let mut rng = generator(1, Stream::Test, 2);
        let field = Deformation::draw(&config, patch, spacing_mm, &mut rng);
        let field = field.field([0; 3]);
        let (first, second) = ((axis + 1) % 3, (axis + 2) % 3);
        let mut voxel = [10; 3];
        voxel[first] += 6;
        let source = position(&field, voxel);
        // Six voxels along one axis lie as far away along the other.
        let expected = 6.0 * spacing_mm[first] / spacing_mm[second];
        for a in 0..3 {
            let expected = if a == second { expected } else { 0.0 };
            assert!(
                (source[a] - expected).abs() < 1e-9,
                "about {axis}: {source:?}"
            );
        }
    }
}

#[test]
fn scaling_makes_structures_grow() {
    let mut config = AugmentConfig::none();
    config.scaling = [2.0; 2];
    let mut rng = generator(1, Stream::Test, 3);
    let deformation = Deformation::draw(&config, [9; 3], [1.0; 3], &mut rng);
    // Four voxels from the centre of the patch lies what lay two away.
    let source = position(&deformation.field([50; 3]), [8, 4, 0]);
    assert_eq!(source, [52.0, 50.0, 48.0]);
}

#[test]
fn mirroring_turns_every_second_patch_about_its_centre() {
    let mut config = AugmentConfig::none();
    config.mirror = [false, true, false];
    let turned = (0..100).filter(|&i| {
        let mut rng = generator(i, Stream::Test, 4);
        let deformation = Deformation::draw(&config, [9; 3], [1.0; 3], &mut rng);
        let source = position(&deformation.field([50; 3]), [7, 7, 7]);
        assert!(
            source == [53.0; 3] || source == [53.0, 47.0, 53.0],
            "{source:?}"
        );
        source[1] == 47.0
    });
    assert!((30..70).contains(&turned.count()));
}

#[test]
fn elastic_moves_along_with_the_rotation() {
    // Turned by 180 degrees about z, an elastic displacement of +y is one of -y.
    let mut config = elastic_only();
    let mut rng = generator(9, Stream::Test, 5);
    let straight = Deformation::draw(&config, [33; 3], [1.0; 3], &mut rng);
    config.rotation_degrees[0] = [180.0; 2];
    let mut rng = generator(9, Stream::Test, 5);
    let turned = Deformation::draw(&config, [33; 3], [1.0; 3], &mut rng);
    let a = position(&straight.field([0; 3]), [16; 3]);
    let b = position(&turned.field([0; 3]), [16; 3]);
    assert!(
        (a[0] - b[0]).abs() < 1e-6 && (a[1] + b[1]).abs() < 1e-6,
        "{a:?} {b:?}"
    );
    assert!(a[1].abs() > 1e-3);
}

#[test]
fn in_plane_never_leaves_the_slice() {
    let config = AugmentConfig::default().in_plane();
    let mut rng = generator(3, Stream::Test, 6);
    let deformation = Deformation::draw(&config, [1, 64, 64], [2.0, 0.5, 0.5], &mut rng);
    let field = deformation.field([7, 40, 40]);
    for voxel in [[0, 0, 0], [0, 63, 10], [0, 32, 32]] {
        assert_eq!(position(&field, voxel)[0], 7.0);
    }
}

#[test]
fn redrawing_is_drawing() {
    let config = AugmentConfig::default();
    let mut again = Deformation::draw(
        &config,
        [40; 3],
        [1.0; 3],
        &mut generator(1, Stream::Test, 7),
    );
    again.redraw(&config, [1.0; 3], &mut generator(2, Stream::Test, 7));
    let fresh = Deformation::draw(
        &config,
        [40; 3],
        [1.0; 3],
        &mut generator(2, Stream::Test, 7),
    );
    assert_eq!(again, fresh);
    again.reset();
    assert_eq!(position(&again.field([5; 3]), [20; 3]), [5.0; 3]);
}
