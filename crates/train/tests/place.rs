//! The same voxels in the world, whatever axes the files of a case are stored along:
//! cases of data sets, filling by interpolation, scores.

use std::path::{Path, PathBuf};

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use unet3d_metrics::{Confusion, SurfaceSettings, SurfaceVariant, compare_surfaces};
use unet3d_train::dataset::{CaseFiles, DataSet, Split};
use unet3d_train::{Case, fill_by_interpolation};
use unet3d_volume::labels::Ends;
use unet3d_volume::place::{Outside, Turn, bring_either};
use unet3d_volume::{
    Annotated, Class, Geometry, Label, LabelScheme, Labels, Normalise, Samples, Volume,
};

const SHAPE: [usize; 3] = [7, 9, 8];

/// A grid with axes turned by up to 30 degrees from the world's, as f32 holds it.
fn grid(random: &mut impl Rng) -> Geometry {
    let mut axes = [[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]];
    for (i, j) in [(0, 1), (1, 2), (0, 2)] {
        let (sin, cos) = random.random_range(-0.5..0.5f64).sin_cos();
        for axis in &mut axes {
            let (a, b) = (axis[i], axis[j]);
            (axis[i], axis[j]) = (cos * a - sin * b, sin * a + cos * b);
        }
    }
    let spacing: [f32; 3] = std::array::from_fn(|_| random.random_range(0.2..3.0));
    let spacing = spacing.map(f64::from);
    let rows = std::array::from_fn(|r| {
        let origin = random.random_range(-100.0..100.0);
        let row = [
            axes[0][r] * spacing[0],
            axes[1][r] * spacing[1],
            axes[2][r] * spacing[2],
            origin,
        ];
        row.map(|v: f64| f64::from(v as f32))
    });
    Geometry {
        spacing_mm: Some(spacing),
        world_from_volume: Some(rows),
        ..Geometry::of_shape(SHAPE)
    }
}

/// Files of one case, and what they hold.
struct Made {
    channels: [Volume; 2],
    labels: Volume,
    mask: Volume,
}

impl Made {
    /// Two blobs in noise; the mask holds some slices of each direction.
    fn new(random: &mut impl Rng) -> Self {
        let geometry = grid(random);
        let count = geometry.voxels();
        let centre: [f64; 3] = std::array::from_fn(|_| random.random_range(2.0..6.0));
        let class = |i: usize| {
            let at = geometry.position(i);
            let squared: f64 = (0..3).map(|a| (at[a] as f64 - centre[a]).powi(2)).sum();
            u8::from(squared < 6.0) + u8::from(squared < 2.0)
        };
        let values: Vec<u8> = (0..count).map(class).collect();
        let volume = |samples| Volume::new(geometry.clone(), 1, samples).expect("parts agree");
        let mut gray = |low: i16| {
            let values = values.iter().map(|v| low + 50 * i16::from(*v));
            let noise: Vec<i16> = values.map(|v| v + random.random_range(-9..10)).collect();
            volume(Samples::I16(noise))
        };
        let channels = [gray(0), gray(-1000)];
        let in_slice = |i: usize| {
            let at = geometry.position(i);
            u8::from(at[0] % 2 == 1 || at[1] == 4 || at[2] == 2)
        };
        Self {
            channels,
            labels: volume(Samples::U8(values)),
            mask: volume(Samples::U8((0..count).map(in_slice).collect())),
        }
    }

    /// Writes each file turned in its way: first channel, second, labels, mask.
    fn write(&self, folder: &Path, name: &str, turns: [Turn; 4]) -> CaseFiles {
        let path = |what: &str| folder.join(format!("{name}-{what}.nii"));
        let files = [
            (&self.channels[0], path("0")),
            (&self.channels[1], path("1")),
            (&self.labels, path("labels")),
            (&self.mask, path("mask")),
        ];
        for ((volume, path), turn) in files.iter().zip(turns) {
            unet3d_volume::write(path, &turn.volume(volume)).expect("writes");
        }
        let [a, b, labels, mask] = files.map(|(_, path)| path);
        CaseFiles {
            name: name.into(),
            subject: None,
            images: vec![a, b],
            labels,
            mask: Some(mask),
            annotated_slices: None,
            split: Split::Train,
        }
    }
}

fn classes() -> Vec<Class> {
    let class = |value: i64| Class {
        value,
        name: value.to_string(),
    };
    (0..3).map(class).collect()
}

fn load(cases: Vec<CaseFiles>) -> Vec<Case> {
    let mut set = DataSet {
        name: "set".into(),
        cases,
        scheme: LabelScheme::new(classes(), Annotated::Mask(PathBuf::new())),
        how_split: String::new(),
        is_split_given: false,
        notes: Vec::new(),
        ignore_geometry: false,
        orientation: None,
    };
    set.load(Split::Train, &Normalise::default())
        .expect("reads")
}

/// A turn of its own for each file of a case, of which the first goes through all 48.
fn turns(index: usize, random: &mut impl Rng) -> [Turn; 4] {
    let all: Vec<Turn> = Turn::all().collect();
    std::array::from_fn(|file| match file {
        0 => all[index],
        _ => all[random.random_range(0..48)],
    })
}

#[test]
fn cases_are_the_same_bits_in_the_order_of_the_first() {
    let mut random = ChaCha8Rng::seed_from_u64(5);
    let folder = tempfile::tempdir().unwrap();
    let mut made = Vec::new();
    for index in 0..48 {
        if index % 12 == 0 {
            let cases = [Made::new(&mut random), Made::new(&mut random)];
            let plain = |i: usize, name| cases[i].write(folder.path(), name, [Turn::NONE; 4]);
            let expected = load(vec![plain(0, "plain-a"), plain(1, "plain-b")]);
            made.push((cases, expected));
        }
        let ([first, second], expected) = &made[index / 12];
        // The files of the first case lie as its image does, all of the second anyhow.
        let mut of_first = turns(index, &mut random);
        of_first[0] = Turn::NONE;
        let found = load(vec![
            first.write(folder.path(), "a", of_first),
            second.write(folder.path(), "b", turns(index, &mut random)),
        ]);
        for (found, expected) in found.iter().zip(expected) {
            assert_eq!(found.image.voxels, expected.image.voxels, "turn {index}");
            assert_eq!(found.labels.voxels, expected.labels.voxels, "turn {index}");
            assert_eq!(found.image.geometry.shape, SHAPE);
            assert_eq!(
                found.image.geometry.orientation(),
                expected.image.geometry.orientation()
            );
        }
        let turned = found[1]
            .notes
            .iter()
            .any(|note| note.contains("the cases before it as"));
        assert_eq!(turned, index != 0, "{:?}", found[1].notes);
    }
}

#[test]
fn a_case_in_any_order_is_filled_by_interpolation_with_the_same_labels() {
    let mut random = ChaCha8Rng::seed_from_u64(6);
    let folder = tempfile::tempdir().unwrap();
    let labels = |made: &Made, turns| {
        let case = load(vec![made.write(folder.path(), "a", turns)]);
        case.into_iter().next().unwrap().labels
    };
    let mut filled = Vec::new();
    for index in 0..48 {
        if index % 12 == 0 {
            let made = Made::new(&mut random);
            let plain = labels(&made, [Turn::NONE; 4]);
            let expected = fill_by_interpolation(&plain, Ends::Halfway).unwrap();
            filled.push((made, expected));
        }
        let (made, expected) = &filled[index / 12];
        let of_files = turns(index, &mut random);
        let stored = labels(made, of_files);
        let found = fill_by_interpolation(&stored, Ends::Halfway).unwrap();
        // In the geometry of the image, every voxel as in the order of the others.
        assert_eq!(found.labels.geometry, stored.geometry);
        let turn = of_files[0];
        assert_eq!(
            found.labels.voxels,
            turn.labels(&expected.labels).voxels,
            "turn {index}"
        );
        assert_eq!(found.held_out, turn.slices(&expected.held_out, SHAPE));
        let score = |filled: &unet3d_train::Interpolated| {
            filled
                .expected
                .as_ref()
                .and_then(|(report, _)| report.overall.mean_iou)
        };
        assert!(score(expected).is_some());
        assert_eq!(score(&found), score(expected));
    }
}

#[test]
fn scores_are_those_of_the_same_place() {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    for index in 0..48 {
        let (truth, mut predicted) = (Made::new(&mut random), Made::new(&mut random).labels);
        let truth = truth.labels;
        predicted.geometry.clone_from(&truth.geometry);
        // A part of one of the two, with background around it.
        let low: [usize; 3] = std::array::from_fn(|_| random.random_range(0..3));
        let part = predicted.crop([0, 1, 2].map(|a| low[a]..SHAPE[a])).unwrap();
        let scored = |truth: Volume, predicted: Volume| {
            let outside = [Outside::Background; 2];
            let (truth, predicted) =
                bring_either(truth, predicted, ["t", "p"], false, outside).unwrap();
            let read = |volume: &Volume| {
                let scheme = LabelScheme::new(classes(), Annotated::Dense);
                Labels::from_volume(volume, &scheme, None, "l").unwrap()
            };
            let (truth, predicted) = (read(&truth), read(&predicted));
            let confusion = Confusion::compare(&truth, &predicted, None).unwrap();
            let settings = SurfaceSettings {
                variant: SurfaceVariant::Elements,
                spacing: truth.geometry.spacing().unwrap(),
                tolerance: 0.7,
            };
            let surfaces: Vec<f64> = (0..3)
                .flat_map(|class| {
                    let score =
                        compare_surfaces(class, &truth, &predicted, None, &settings).unwrap();
                    let summary = format!("{score:?}");
                    // Every number of it.
                    let numbers =
                        summary.split(|c: char| !(c.is_ascii_digit() || ".-e".contains(c)));
                    numbers.filter_map(|n| n.parse().ok()).collect::<Vec<f64>>()
                })
                .collect();
            (confusion, surfaces)
        };
        let expected = scored(truth.clone(), part.clone());
        let [a, b, ..] = turns(index, &mut random);
        for turn in [b, Turn::NONE] {
            let found = scored(a.volume(&truth), turn.volume(&part));
            assert_eq!(found.0, expected.0, "turn {index}");
            assert_eq!(found.1.len(), expected.1.len());
            for (found, expected) in found.1.iter().zip(&expected.1) {
                let bound = 1e-12 * expected.abs().max(1.0);
                assert!(
                    (found - expected).abs() <= bound,
                    "turn {index}: {found} {expected}"
                );
            }
        }
        let swapped = scored(b.volume(&part), a.volume(&truth));
        assert_eq!(swapped.0.voxels(), expected.0.voxels());
    }
}

#[test]
fn unlabeled_around_a_part_is_learned_from_by_nobody() {
    let mut random = ChaCha8Rng::seed_from_u64(8);
    let folder = tempfile::tempdir().unwrap();
    for index in (0..48).step_by(4) {
        let made = Made::new(&mut random);
        let low: [usize; 3] = std::array::from_fn(|_| random.random_range(0..3));
        let part = Made {
            channels: made.channels.clone(),
            labels: made
                .labels
                .crop([0, 1, 2].map(|a| low[a]..SHAPE[a] - 1))
                .unwrap(),
            mask: made.mask.clone(),
        };
        let plain = load(vec![made.write(folder.path(), "a", [Turn::NONE; 4])]);
        let mut of_part = turns(index, &mut random);
        of_part[0] = Turn::NONE;
        let cut = load(vec![part.write(folder.path(), "a", of_part)]);
        for (i, (whole, cut)) in plain[0]
            .labels
            .voxels
            .iter()
            .zip(&cut[0].labels.voxels)
            .enumerate()
        {
            let at = plain[0].labels.geometry.position(i);
            let is_inside = (0..3).all(|a| (low[a]..SHAPE[a] - 1).contains(&at[a]));
            assert_eq!(*cut, if is_inside { *whole } else { Label::UNLABELED });
        }
    }
}
