//! What is padding and what is not, on made-up channels.

use proptest::prelude::*;

use super::*;
use crate::{Geometry, Image, Normalise, Samples, Volume};

const SHAPE: [usize; 3] = [16, 24, 24];

/// A number from 0 to 1 for each voxel, the same on every run.
fn noise(i: usize) -> f64 {
    let mut x = (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x ^= x >> 29;
    x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (x >> 40) as f64 / (1u64 << 24) as f64
}

/// Nearly normal, mean 0 and deviation 1.
fn normal(i: usize) -> f64 {
    (0..12).map(|k| noise(12 * i + k)).sum::<f64>() - 6.0
}

fn channel(value: impl Fn(usize, [usize; 3]) -> f64) -> Vec<f32> {
    let voxels: usize = SHAPE.iter().product();
    let value = |i| value(i, position(i, SHAPE)) as f32;
    (0..voxels).map(value).collect()
}

/// Distance from the axis of the volume across z, in halves of its width.
fn from_axis([_, y, x]: [usize; 3]) -> f64 {
    let d = |v: usize| (v as f64 - 11.5) / 12.0;
    d(y).hypot(d(x))
}

/// Whether a voxel lies within a ball, or a head.
fn in_head([z, y, x]: [usize; 3]) -> bool {
    from_axis([z, y, x]).hypot((z as f64 - 7.5) / 8.0) < 0.95
}

/// Gray values of a CT: air, soft tissue and bone, from -1010 to 1200.
fn ct(i: usize) -> f64 {
    let tissue = [-1000.0, -1000.0, -80.0, 40.0, 60.0, 1100.0][i / 7 % 6];
    (tissue + 20.0 * normal(i)).round()
}

/// A brain's, from 100 to 900.
fn brain(i: usize) -> f64 {
    [180.0, 420.0, 640.0][i / 5 % 3] + 60.0 * normal(i)
}

fn values(found: &[(f32, f64)]) -> Vec<f32> {
    found.iter().map(|(v, _)| *v).collect()
}

#[test]
fn what_stands_outside_the_field_of_view_is_padding() {
    for value in [-32768.0, -3024.0, -2048.0, -2000.0, 32767.0, 65535.0, -1e30] {
        let found = padding(
            &channel(|i, p| if from_axis(p) > 1.0 { value } else { ct(i) }),
            SHAPE,
        );
        assert_eq!(values(&found), [value as f32]);
        assert!((found[0].1 - 0.2).abs() < 0.05, "{found:?}");
    }
    // Slices that were not recorded, on one side, on all, and a single one.
    let sides: [fn([usize; 3]) -> bool; 5] = [
        |[z, ..]| z >= 12,
        |[z, y, x]| !(2..=13).contains(&z) || !(3..21).contains(&y) || !(3..21).contains(&x),
        |[z, ..]| z == 0,
        |[.., x]| x == 23,
        // A cap in the middle of a face, which a crop left of what is outside.
        |[z, y, x]| y < 5 && (6..18).contains(&x) && (3..13).contains(&z),
    ];
    for is_side in sides {
        let gray = channel(|i, p| if is_side(p) { -32768.0 } else { ct(i) });
        assert_eq!(values(&padding(&gray, SHAPE)), [-32768.0]);
    }
}

#[test]
fn what_surrounds_a_brain_is_padding_at_an_end_and_within_the_range() {
    let stripped = channel(|i, p| if in_head(p) { brain(i).max(1.0) } else { 0.0 });
    let found = padding(&stripped, SHAPE);
    assert_eq!(values(&found), [0.0]);
    assert!(found[0].1 > 0.5, "{found:?}");
    // Whole numbers, with a smear of resampling at the surface.
    let smeared = channel(|i, p| match (in_head(p), from_axis(p) > 0.9) {
        (true, true) => (brain(i) * noise(i + 1)).round().max(1.0),
        (true, false) => brain(i).round().max(1.0),
        _ => 0.0,
    });
    assert_eq!(values(&padding(&smeared, SHAPE)), [0.0]);
    // Brought to mean 0, the zeros around it lie in the midst of it.
    let centred = channel(|i, p| {
        if in_head(p) {
            (brain(i) - 400.0) / 200.0
        } else {
            0.0
        }
    });
    assert_eq!(values(&padding(&centred, SHAPE)), [0.0]);
    // Negative zero is zero.
    let signs = channel(|i, p| match in_head(p) {
        true => brain(i).max(1.0),
        false => {
            if i % 2 == 0 {
                0.0
            } else {
                -0.0
            }
        }
    });
    assert_eq!(values(&padding(&signs, SHAPE)), [0.0]);
}

#[test]
fn two_paddings_one_within_the_other_are_both_found() {
    // A round field of view, in a volume that a registration turned and filled.
    let gray = channel(|i, p| match (p[1] < 3, from_axis(p) > 0.9) {
        (true, _) => -32768.0,
        (false, true) => -3024.0,
        _ => ct(i),
    });
    let mut found = values(&padding(&gray, SHAPE));
    found.sort_by(f32::total_cmp);
    assert_eq!(found, [-32768.0, -3024.0]);
    // The inner one at no corner.
    let nested = channel(|i, p| match from_axis(p) {
        d if d > 0.95 => -32768.0,
        d if d > 0.8 => -3024.0,
        _ => ct(i),
    });
    let mut found = values(&padding(&nested, SHAPE));
    found.sort_by(f32::total_cmp);
    assert_eq!(found, [-32768.0, -3024.0]);
}

#[test]
fn ordinary_images_have_no_padding() {
    let poisson = |i: usize, mean: f64| {
        let (mut k, mut p, limit) = (0, noise(1000 + 40 * i), (-mean).exp());
        while p > limit {
            k += 1;
            p *= noise(1000 + 40 * i + k);
        }
        k as f64
    };
    let cell = |p: [usize; 3]| (p[1] / 6 + p[2] / 6 + p[0] / 5).is_multiple_of(2);
    let ordinary: Vec<(&str, Vec<f32>)> = vec![
        ("an MR", channel(|i, _| (300.0 + 80.0 * normal(i)).round())),
        (
            "a CT with air around",
            channel(|i, p| match from_axis(p) > 0.8 {
                true => (-1000.0 + 10.0 * normal(i)).round().max(-1024.0),
                false => ct(i),
            }),
        ),
        // A third of it zeros, which ones and twos are among.
        (
            "fluorescence",
            channel(|i, p| poisson(i, if cell(p) { 40.0 } else { 0.5 })),
        ),
        (
            "dim fluorescence",
            channel(|i, p| poisson(i, if cell(p) { 6.0 } else { 0.1 })),
        ),
        // Background taken off, what was below it is 0, what is above follows at once.
        (
            "background taken off",
            channel(|i, p| {
                let d = from_axis(p);
                (150.0 * (-4.0 * d).exp() - 12.0 + 2.0 * normal(i))
                    .max(0.0)
                    .round()
            }),
        ),
        (
            "saturated",
            channel(|i, p| {
                (240.0 * from_axis(p) + 60.0 + 12.0 * normal(i))
                    .clamp(0.0, 255.0)
                    .round()
            }),
        ),
        (
            "saturated spots",
            channel(|i, p| match p[1] % 8 < 2 && p[2] % 8 < 2 && p[0] % 8 < 2 {
                true => 4095.0,
                false => 200.0 + 30.0 * normal(i),
            }),
        ),
        // A vessel at the end of the range that leaves through the side.
        (
            "a vessel",
            channel(
                |i, p| match (10..13).contains(&p[1]) && (5..9).contains(&p[0]) {
                    true => 4095.0,
                    false => 200.0 + 30.0 * normal(i),
                },
            ),
        ),
        (
            "spots on black",
            channel(|i, _| if i % 997 == 3 { 200.0 } else { 0.0 }),
        ),
        (
            "a drawing",
            channel(|_, p| if cell(p) { 100.0 } else { 0.0 }),
        ),
        ("one value", channel(|_, _| -32768.0)),
        (
            "a hole",
            channel(|i, p| {
                if (3..13).contains(&p[0]) && from_axis(p) < 0.5 {
                    -3024.0
                } else {
                    ct(i)
                }
            }),
        ),
        (
            "dead pixels",
            channel(|i, _| if i % 29 == 0 { -32768.0 } else { ct(i) }),
        ),
        (
            "zeros beside the noise of an MR's air",
            channel(|i, p| match (p[2] < 5, in_head(p)) {
                (true, _) => 0.0,
                (_, true) => brain(i),
                _ => (8.0 + 3.0 * normal(i)).max(1.0),
            }),
        ),
    ];
    let found: Vec<_> = ordinary
        .iter()
        .map(|(name, gray)| (*name, padding(gray, SHAPE)))
        .filter(|(_, found)| !found.is_empty())
        .collect();
    assert!(found.is_empty(), "{found:?}");
    assert!(padding(&[], [0, 0, 0]).is_empty());
    for voxels in 1..6 {
        assert!(padding(&vec![3.0; voxels], [1, 1, voxels]).is_empty());
    }
}

fn volume(channels: &[Vec<f32>]) -> Volume {
    let geometry = Geometry::of_shape(SHAPE);
    Volume::new(geometry, channels.len(), Samples::F32(channels.concat())).unwrap()
}

fn image(channels: &[Vec<f32>], how: &Normalise) -> (Vec<f32>, Vec<FoundPadding>) {
    let (image, found) = Image::normalised(&volume(channels), how, Padding::LeftOut).unwrap();
    (image.voxels, found)
}

#[test]
fn gray_values_are_normalised_as_if_the_padding_were_not_there() {
    let is_padded = |p| from_axis(p) > 1.0;
    let padded = channel(|i, p| if is_padded(p) { -32768.0 } else { ct(i) });
    let inside: Vec<f32> = padded.iter().copied().filter(|v| *v != -32768.0).collect();
    let alone = Volume::new(
        Geometry::of_shape([1, 1, inside.len()]),
        1,
        Samples::F32(inside),
    );
    let alone = alone.unwrap();
    let fixed = Normalise::Fixed {
        mean: vec![0.0],
        std: vec![500.0],
    };
    let percentile = Normalise::Percentile {
        low: 1.0,
        high: 99.0,
    };
    for how in [Normalise::ZScore, percentile, fixed] {
        let (found, paddings) = image(std::slice::from_ref(&padded), &how);
        assert_eq!(paddings.len(), 1, "{how:?}");
        let expected = Image::from_volume(&alone, &how).unwrap().voxels;
        let values = padded.iter().zip(&found);
        let kept: Vec<f32> = values
            .clone()
            .filter(|(v, _)| **v != -32768.0)
            .map(|(_, f)| *f)
            .collect();
        assert_eq!(kept, expected, "{how:?}");
        // What is padded is as dark as the darkest, and no darker.
        let darkest = expected.iter().copied().fold(f32::INFINITY, f32::min);
        let of_padding = values.filter(|(v, _)| **v == -32768.0);
        assert!(
            of_padding.into_iter().all(|(_, f)| *f == darkest),
            "{how:?}"
        );
    }
    // Counted, as models of earlier versions have it, what was recorded is a point.
    let counted = Image::normalised(
        &volume(std::slice::from_ref(&padded)),
        &Normalise::ZScore,
        Padding::Counted,
    );
    let (counted, none) = counted.unwrap();
    assert!(none.is_empty());
    let inside = padded
        .iter()
        .zip(&counted.voxels)
        .filter(|(v, _)| **v != -32768.0);
    let (low, high) = inside.fold((f32::INFINITY, f32::NEG_INFINITY), |(l, h), (_, f)| {
        (l.min(*f), h.max(*f))
    });
    assert!(high - low < 0.2, "{low} {high}");
}

#[test]
fn each_channel_has_its_own_padding_and_says_so() {
    let plain = channel(|i, _| ct(i));
    let padded = channel(|i, p| {
        if from_axis(p) > 1.0 {
            -3024.0
        } else {
            ct(i + 5)
        }
    });
    let (both, found) = image(&[plain.clone(), padded.clone()], &Normalise::ZScore);
    let said: Vec<String> = found.iter().map(FoundPadding::to_string).collect();
    assert_eq!(
        said,
        [
            "a padding value of -3024 fills 22 % of channel 1 and is left out of mean, deviation and clipping"
        ]
    );
    let (first, none) = image(std::slice::from_ref(&plain), &Normalise::ZScore);
    assert!(none.is_empty());
    let (second, found) = image(std::slice::from_ref(&padded), &Normalise::ZScore);
    assert!(
        found[0].to_string().contains("of the image and"),
        "{}",
        found[0]
    );
    for (i, pair) in both.chunks_exact(2).enumerate() {
        assert_eq!(pair, [first[i], second[i]]);
    }
}

#[test]
fn where_nothing_is_taken_from_the_image_nothing_is_looked_for() {
    let padded = channel(|i, p| if from_axis(p) > 1.0 { -3024.0 } else { ct(i) });
    let range = Normalise::Range {
        low: -1000.0,
        high: 1000.0,
    };
    for how in [range, Normalise::None] {
        let (_, found) = image(std::slice::from_ref(&padded), &how);
        assert!(found.is_empty(), "{how:?}");
    }
}

proptest! {
    /// Ordinary noise of any scale, in any shape, is normalised to the same bits.
    #[test]
    fn without_padding_the_bits_are_those_of_before(
        shape in [1usize..6, 1..9, 1..9],
        scale in 0.5f64..1e5,
        seed in 0usize..1000,
    ) {
        let voxels: usize = shape.iter().product();
        let gray = (0..voxels).map(|i| (scale * normal(i + 7919 * seed)) as f32).collect();
        let volume = Volume::new(Geometry::of_shape(shape), 1, Samples::F32(gray)).unwrap();
        let (a, found) = Image::normalised(&volume, &Normalise::ZScore, Padding::LeftOut).unwrap();
        let (b, _) = Image::normalised(&volume, &Normalise::ZScore, Padding::Counted).unwrap();
        prop_assert!(found.is_empty());
        prop_assert_eq!(a, b);
    }
}
