//! A prediction in tiles is the prediction of the whole, whatever the tile.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is a failed test"
)]

mod common;

use std::ops::ControlFlow;

use common::{anisotropic, image, model, two_levels};
use unet3d_kernels::Threads;
use unet3d_predict::{Error, Model, Options, Prediction, Progress, predict};
use unet3d_unet::{Normalisation, Padding};
use unet3d_volume::{Geometry, Image};

/// Largest difference of a probability between two tilings. The same sums are
/// taken over the same values; what differs is which kernel takes them, and in
/// which blocks. Logits here are below 10 and pass eleven layers of at most
/// 27 * 8 terms, so c * eps * sqrt(K) * layers is about 2e-5 * c with a fast
/// transform's c of a few.
const TOLERANCE: f32 = 1e-4;

fn run(model: &Model, image: &Image, tile: Option<[usize; 3]>) -> Prediction {
    let options = Options {
        tile,
        probabilities: true,
        ..Options::default()
    };
    let threads = Threads::new(2).unwrap();
    predict(model, image, &options, &threads, &mut |_| {
        ControlFlow::Continue(())
    })
    .unwrap()
}

/// Equal probabilities everywhere, labels that follow from them, and a network
/// that says something: not one class, not one value.
fn assert_same(whole: &Prediction, tiled: &Prediction, what: &str) {
    let (a, b) = (
        whole.probabilities.as_ref().unwrap(),
        tiled.probabilities.as_ref().unwrap(),
    );
    let worst = (0..a.len())
        .max_by(|i, j| (a[*i] - b[*i]).abs().total_cmp(&(a[*j] - b[*j]).abs()))
        .unwrap();
    let difference = (a[worst] - b[worst]).abs();
    assert!(
        difference <= TOLERANCE,
        "{what}: {difference} at probability {worst}"
    );
    for (v, p) in b.chunks_exact(3).enumerate() {
        let best = tiled.labels[v].class().unwrap();
        assert!(p.iter().all(|q| *q <= p[best]), "{what}: voxel {v}, {p:?}");
        assert!(
            (p.iter().sum::<f32>() - 1.0).abs() < 1e-5,
            "{what}: voxel {v}, {p:?}"
        );
    }
    let (low, high) = a
        .iter()
        .fold((1f32, 0f32), |(l, h), p| (l.min(*p), h.max(*p)));
    assert!(
        high - low > 0.05,
        "{what}: the network says nothing, {low} to {high}"
    );
}

/// Each forced tile against the whole volume in one.
fn compare(model: &Model, shape: [usize; 3], tiles: &[[usize; 3]]) {
    let image = image(shape, 2);
    let whole = run(model, &image, None);
    assert_eq!(whole.tiles, 1, "{shape:?}");
    for tile in tiles {
        let tiled = run(model, &image, Some(*tile));
        assert!(tiled.tiles > 1, "{shape:?} {tile:?}");
        assert_same(&whole, &tiled, &format!("{shape:?} in {tile:?}"));
    }
}

#[test]
fn valid_padding_without_normalisation() {
    let model = model(Padding::Valid, Normalisation::None, two_levels());
    compare(
        &model,
        [7, 20, 13],
        &[[20, 26, 34], [28, 20, 22], [18, 36, 30]],
    );
}

#[test]
fn valid_padding_with_running_statistics() {
    let model = model(Padding::Valid, Normalisation::BatchRunning, two_levels());
    compare(&model, [7, 20, 13], &[[20, 26, 34], [24, 20, 22]]);
}

#[test]
fn valid_padding_with_flat_kernels() {
    let model = model(Padding::Valid, Normalisation::None, anisotropic());
    compare(
        &model,
        [7, 20, 13],
        &[[5, 26, 34], [7, 20, 22], [9, 36, 30]],
    );
}

#[test]
fn same_padding_without_normalisation() {
    // Not in the interior only: tiles share the borders of the whole.
    let model = model(Padding::Same, Normalisation::None, two_levels());
    compare(
        &model,
        [6, 41, 36],
        &[[6, 28, 36], [6, 42, 24], [8, 30, 32], [6, 30, 100]],
    );
}

#[test]
fn same_padding_with_running_statistics() {
    let model = model(Padding::Same, Normalisation::BatchRunning, anisotropic());
    compare(&model, [9, 41, 36], &[[9, 28, 26], [9, 26, 36]]);
}

#[test]
fn memory_chooses_the_tile_and_changes_nothing_else() {
    let model = model(Padding::Valid, Normalisation::None, two_levels());
    let image = image([20, 24, 30], 2);
    let whole = run(&model, &image, None);
    let threads = Threads::new(1).unwrap();
    let options = Options {
        memory_bytes: Some(whole.peak_bytes / 2),
        probabilities: true,
        ..Options::default()
    };
    let tiled = predict(&model, &image, &options, &threads, &mut |_| {
        ControlFlow::Continue(())
    })
    .unwrap();
    assert!(tiled.tiles > 1);
    assert!(tiled.peak_bytes <= whole.peak_bytes / 2);
    assert_same(&whole, &tiled, "half the memory");
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let model = model(Padding::Valid, Normalisation::BatchCurrent, two_levels());
    let image = image([7, 12, 13], 2);
    let run = |count| {
        let options = Options {
            tile: Some([20, 20, 24]),
            probabilities: true,
            ..Options::default()
        };
        let threads = Threads::new(count).unwrap();
        let p = predict(&model, &image, &options, &threads, &mut |_| {
            ControlFlow::Continue(())
        })
        .unwrap();
        let bits: Vec<u32> = p
            .probabilities
            .unwrap()
            .iter()
            .map(|v| v.to_bits())
            .collect();
        (p.labels, bits)
    };
    let one = run(1);
    assert!(one == run(2) && one == run(7));
}

/// A volume smaller than its context is seen as its endless mirror image: the
/// same voxels in the middle of that image are predicted alike.
#[test]
fn tiny_volumes_are_seen_in_mirrors() {
    let model = model(Padding::Valid, Normalisation::None, two_levels());
    // A multiple of the pooling, so that both grids agree, and more than half
    // of the receptive field, so that the borders of the large one are far.
    const MARGIN: usize = 12;
    for shape in [[1, 1, 1], [1, 2, 5], [3, 1, 2]] {
        let small = image(shape, 2);
        let large_shape = shape.map(|n| n + 2 * MARGIN);
        let mut large = Image {
            geometry: Geometry::of_shape(large_shape),
            channels: 2,
            voxels: Vec::new(),
        };
        for z in 0..large_shape[0] {
            for y in 0..large_shape[1] {
                for x in 0..large_shape[2] {
                    let at = [z, y, x];
                    let [z, y, x] = [0, 1, 2].map(|a| bounce(at[a], MARGIN, shape[a]));
                    let first = ((z * shape[1] + y) * shape[2] + x) * 2;
                    large.voxels.extend(&small.voxels[first..first + 2]);
                }
            }
        }
        let small = run(&model, &small, None).probabilities.unwrap();
        let large = run(&model, &large, None).probabilities.unwrap();
        for (v, p) in small.chunks_exact(3).enumerate() {
            let (z, y, x) = (
                v / shape[2] / shape[1] + MARGIN,
                v / shape[2] % shape[1] + MARGIN,
                v % shape[2] + MARGIN,
            );
            let first = ((z * large_shape[1] + y) * large_shape[2] + x) * 3;
            for (p, q) in p.iter().zip(&large[first..]) {
                assert!(
                    (p - q).abs() <= TOLERANCE,
                    "{shape:?} voxel {v}: {p} and {q}"
                );
            }
        }
    }
}

/// Walks to and fro between the ends of an axis, starting `margin` steps before it.
fn bounce(at: usize, margin: usize, voxels: usize) -> usize {
    let (mut here, mut step) = (0isize, 1isize);
    for _ in 0..at.abs_diff(margin) {
        if voxels > 1 {
            if here + step < 0 || here + step >= voxels as isize {
                step = -step;
            }
            here += step;
        }
    }
    here as usize
}

#[test]
fn progress_counts_the_tiles_and_can_stop() {
    let model = model(Padding::Valid, Normalisation::None, two_levels());
    let image = image([4, 4, 7], 2);
    let options = Options {
        tile: Some([20, 20, 20]),
        ..Options::default()
    };
    let threads = Threads::new(1).unwrap();
    let mut seen = Vec::new();
    let prediction = predict(&model, &image, &options, &threads, &mut |p| {
        seen.push(p);
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(prediction.tiles, 2);
    assert_eq!(prediction.probabilities, None);
    let progress = |done| Progress { done, total: 2 };
    assert_eq!(seen, [progress(0), progress(1), progress(2)]);

    let stopped = predict(&model, &image, &options, &threads, &mut |p| match p.done {
        0 => ControlFlow::Continue(()),
        _ => ControlFlow::Break(()),
    });
    assert!(matches!(
        stopped,
        Err(Error::Interrupted { done: 1, total: 2 })
    ));
}
