//! The fast warp against the reference, and what both promise.

use rand::RngExt;

use super::*;
use crate::random::{Stream, generator};

fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut rng = generator(seed, Stream::Test, 0);
    (0..count).map(|_| rng.random_range(-1.0..1.0)).collect()
}

fn source<T>(voxels: &[T], shape: [usize; 3], channels: usize) -> Source<'_, T> {
    Source {
        voxels,
        shape,
        channels,
    }
}

fn shifted(shift: [f64; 3]) -> Field<'static> {
    Field {
        source_from_target: std::array::from_fn(|a| {
            let mut row = [0.0, 0.0, 0.0, shift[a]];
            row[a] = 1.0;
            row
        }),
        elastic: None,
    }
}

/// Turned, stretched and displaced, reaching well over every side of the source.
fn wild<'a>(coefficients: &'a mut Vec<f32>, target: [usize; 3], spacing: [usize; 3]) -> Field<'a> {
    let points = control_points(target, spacing);
    *coefficients = numbers(points.iter().product::<usize>() * 3, 5);
    coefficients.iter_mut().for_each(|c| *c *= 4.0);
    Field {
        source_from_target: [
            [0.91, -0.13, 0.05, -2.3],
            [0.17, 1.07, -0.11, -1.9],
            [-0.07, 0.19, 0.97, -3.1],
        ],
        elastic: Some(Elastic {
            spacing,
            points,
            coefficients,
        }),
    }
}

#[test]
fn linear_agrees_with_the_reference() {
    let mut workspace = Workspace::default();
    let mut failures = Vec::new();
    let (mut zeros, mut all) = (0, 0);
    let cases = [
        ([9, 11, 13], [12, 14, 17], [4, 5, 6]),
        ([20, 16, 24], [16, 16, 16], [32, 32, 32]),
        ([1, 5, 7], [3, 8, 9], [1, 2, 3]),
        ([1, 1, 1], [4, 4, 4], [2, 2, 2]),
        ([2, 3, 2], [1, 1, 1], [7, 7, 7]),
    ];
    for (source_shape, target, spacing) in cases {
        for channels in 1..=6 {
            for border in [Border::Mirror, Border::Fill(0.0), Border::Fill(-3.0)] {
                let voxels = numbers(source_shape.iter().product::<usize>() * channels, 3);
                let mut coefficients = Vec::new();
                let field = wild(&mut coefficients, target, spacing);
                let source = source(&voxels, source_shape, channels);
                let region = Region::whole(target);
                let mut expected = vec![0.0; target.iter().product::<usize>() * channels];
                let mut found = vec![f32::NAN; expected.len()];
                reference::warp_linear(&field, source, border, region, &mut expected);
                warp_linear(&field, source, border, region, &mut found, &mut workspace);
                // Steps between neighbours are at most 4 (fill -3 beside 1); a
                // displacement of up to 4 carries 8 roundings of 2^-24, weights
                // a few more: 3 axes * 4 * 4 * 16 * 2^-24 < 2e-4 at worst.
                let worst = expected.iter().zip(&found).map(|(a, b)| (a - b).abs());
                let worst = worst.fold(0.0, |a: f32, b| if b.is_nan() { b } else { a.max(b) });
                if worst.is_nan() || worst >= 5e-5 {
                    failures.push(format!(
                        "{source_shape:?} x{channels} {border:?} to {target:?}: {worst}"
                    ));
                }
                zeros += expected.iter().filter(|v| **v == 0.0).count();
                all += expected.len();
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(zeros * 4 < all, "{zeros} of {all} voxels are 0: no test");
}

#[test]
fn nearest_agrees_with_the_reference() {
    let (source_shape, target) = ([9, 11, 13], [14, 16, 17]);
    let voxels: Vec<u16> = (0..9 * 11 * 13).collect();
    let mut workspace = Workspace::default();
    for border in [Border::Mirror, Border::Fill(u16::MAX)] {
        let mut coefficients = Vec::new();
        let field = wild(&mut coefficients, target, [4, 5, 6]);
        let source = source(&voxels, source_shape, 1);
        let region = Region::whole(target);
        let mut expected = vec![0; target.iter().product()];
        let mut found = expected.clone();
        reference::warp_nearest(&field, source, border, region, &mut expected);
        warp_nearest(&field, source, border, region, &mut found, &mut workspace);
        // f32 displacements may fall on the other side of a middle: 1e-6 of
        // a voxel each way, so not once in these 3,800 draws.
        assert_eq!(expected, found, "{border:?}");
        if border != Border::Mirror {
            let outside = found.iter().filter(|&&v| v == u16::MAX).count();
            assert!(outside > 100, "only {outside} voxels outside: no test");
        }
    }
}

#[test]
fn whole_positions_give_the_voxels_themselves() {
    let shape = [6, 7, 8];
    let mut workspace = Workspace::default();
    for channels in [1, 2, 3, 5] {
        let voxels = numbers(6 * 7 * 8 * channels, 1);
        let source = source(&voxels, shape, channels);
        for border in [Border::Mirror, Border::Fill(9.0)] {
            let mut out = vec![f32::NAN; voxels.len()];
            let field = shifted([0.0; 3]);
            let region = Region::whole(shape);
            warp_linear(&field, source, border, region, &mut out, &mut workspace);
            assert_eq!(out, voxels, "{border:?}, {channels} channels");
        }
        // One step outside: mirrored without repeating the outermost voxel.
        let mut out = vec![f32::NAN; channels];
        let region = Region::whole([1; 3]);
        let field = shifted([-1.0, 7.0, 8.0]);
        warp_linear(
            &field,
            source,
            Border::Mirror,
            region,
            &mut out,
            &mut workspace,
        );
        let mirrored = ((7 + 5) * 8 + 6) * channels;
        assert_eq!(out, voxels[mirrored..][..channels]);
        warp_linear(
            &field,
            source,
            Border::Fill(9.0),
            region,
            &mut out,
            &mut workspace,
        );
        assert!(out.iter().all(|v| *v == 9.0));
    }
}

#[test]
fn a_region_is_the_same_bits_as_that_part_of_the_whole() {
    let target = [12, 14, 17];
    let voxels = numbers(9 * 9 * 9 * 3, 2);
    let source = source(&voxels, [9, 9, 9], 3);
    let mut coefficients = Vec::new();
    let field = wild(&mut coefficients, target, [5, 4, 6]);
    let mut workspace = Workspace::default();
    let mut whole = vec![0.0; 12 * 14 * 17 * 3];
    let border = Border::Mirror;
    warp_linear(
        &field,
        source,
        border,
        Region::whole(target),
        &mut whole,
        &mut workspace,
    );
    let region = Region {
        start: [3, 2, 5],
        shape: [6, 7, 8],
    };
    let mut part = vec![0.0; 6 * 7 * 8 * 3];
    warp_linear(&field, source, border, region, &mut part, &mut workspace);
    for z in 0..6 {
        for y in 0..7 {
            let expected = &whole[(((z + 3) * 14 + y + 2) * 17 + 5) * 3..][..8 * 3];
            assert_eq!(&part[(z * 7 + y) * 8 * 3..][..8 * 3], expected);
        }
    }
    // An empty region asks for nothing.
    let empty = Region {
        start: [0; 3],
        shape: [0, 7, 8],
    };
    warp_linear(&field, source, border, empty, &mut [], &mut workspace);
}

#[test]
fn spline_weights_sum_to_one_and_meet_at_the_knots() {
    for i in 0..=20 {
        let sum: f64 = bspline_weights(f64::from(i) / 20.0).iter().sum();
        assert!((sum - 1.0).abs() < 1e-15);
    }
    let (end, start) = (bspline_weights(1.0), bspline_weights(0.0));
    for j in 0..3 {
        assert!((end[j + 1] - start[j]).abs() < 1e-15);
    }
    assert_eq!(start[3], 0.0);
}

#[test]
fn equal_coefficients_are_a_shift() {
    let points = control_points([40, 40, 40], [32; 3]);
    assert_eq!(points, [5, 5, 5]);
    let coefficients = [1.0, -2.0, 0.5].repeat(125);
    let mut field = shifted([0.0; 3]);
    field.elastic = Some(Elastic {
        spacing: [32; 3],
        points,
        coefficients: &coefficients,
    });
    for target in [[0, 0, 0], [31, 32, 33], [39, 39, 39]] {
        let position = reference::position(&field, target);
        for a in 0..3 {
            let shift = [1.0, -2.0, 0.5][a];
            assert!((position[a] - target[a] as f64 - shift).abs() < 1e-12);
        }
    }
}

#[test]
fn mirroring_does_not_repeat_the_edge() {
    let found: Vec<_> = (-5..9).map(|i| mirrored(i, 4)).collect();
    assert_eq!(found, [1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1, 2]);
    assert_eq!(mirrored(-7, 1), 0);
    assert_eq!(mirrored(3, 2), 1);
}

#[test]
fn positions_far_away_neither_panic_nor_hang() {
    let voxels = numbers(8, 1);
    let source = source(&voxels, [2, 2, 2], 1);
    let mut out = [0.0; 8];
    let mut workspace = Workspace::default();
    for far in [1e9, -1e9, 1e300, f64::NEG_INFINITY, f64::NAN] {
        let field = shifted([far; 3]);
        let region = Region::whole([2; 3]);
        warp_linear(
            &field,
            source,
            Border::Mirror,
            region,
            &mut out,
            &mut workspace,
        );
        warp_nearest(
            &field,
            source,
            Border::Fill(0.0),
            region,
            &mut out,
            &mut workspace,
        );
    }
}

#[test]
#[should_panic(expected = "control points")]
fn a_spline_that_does_not_cover_the_region_is_refused() {
    let voxels = numbers(8, 1);
    let mut field = shifted([0.0; 3]);
    field.elastic = Some(Elastic {
        spacing: [2; 3],
        points: [4; 3],
        coefficients: &[0.0; 192],
    });
    let mut out = vec![0.0; 64];
    let region = Region::whole([4; 3]);
    let mut workspace = Workspace::default();
    let source = source(&voxels, [2; 3], 1);
    warp_linear(
        &field,
        source,
        Border::Mirror,
        region,
        &mut out,
        &mut workspace,
    );
}
