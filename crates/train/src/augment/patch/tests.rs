//! Patches: exact without changes, image and labels together with them.

use unet3d_kernels::random::{Stream, generator};
use unet3d_volume::{Class, Geometry, Image, Labels};

use super::*;

/// Channel 0 numbers the voxels; labels as `label` says.
fn case(shape: [usize; 3], channels: usize, label: impl Fn([usize; 3]) -> Label) -> Case {
    let [depth, height, width] = shape;
    let geometry = Geometry::of_shape(shape);
    let mut voxels = Vec::new();
    let mut labels = Vec::new();
    for z in 0..depth {
        for y in 0..height {
            for x in 0..width {
                let number = ((z * height + y) * width + x) as f32;
                voxels.extend((0..channels).map(|c| number + c as f32 * 0.25));
                labels.push(label([z, y, x]));
            }
        }
    }
    let class = |value| Class {
        value,
        name: format!("class {value}"),
    };
    Case {
        name: "numbers".into(),
        subject: None,
        notes: Vec::new(),
        image: Image {
            geometry: geometry.clone(),
            channels,
            voxels,
        },
        labels: Labels {
            geometry,
            classes: (0..3).map(class).collect(),
            voxels: labels,
        },
    }
}

fn make(
    case: &Case,
    config: AugmentConfig,
    patch: PatchShape,
    centre: [usize; 3],
    seed: u64,
) -> (Vec<f32>, Vec<Label>) {
    let mut input = vec![f32::NAN; patch.input_voxels() * case.image.channels];
    let mut labels = vec![Label::UNLABELED; patch.output_voxels()];
    let mut rng = generator(seed, Stream::Augmentation, 0);
    let location = Location { case: 0, centre };
    let mut augmenter = Augmenter::new(config, patch).unwrap();
    augmenter.make_patch(case, location, &mut rng, &mut input, &mut labels);
    (input, labels)
}

#[test]
fn without_changes_the_patch_is_the_voxels() {
    let shape = [12, 13, 14];
    let case = case(shape, 2, |[z, y, x]| Label::of_class((z + y + x) % 3));
    let patch = PatchShape::new([5, 6, 8], [3, 4, 2]).unwrap();
    let (input, labels) = make(&case, AugmentConfig::none(), patch, [6, 6, 7], 1);
    for z in 0..5 {
        for y in 0..6 {
            for x in 0..8 {
                let voxel = ((z + 4) * 13 + y + 3) * 14 + x + 3;
                let found = &input[((z * 6 + y) * 8 + x) * 2..][..2];
                assert_eq!(found, &case.image.voxels[voxel * 2..][..2]);
            }
        }
    }
    for z in 0..3 {
        for y in 0..4 {
            for x in 0..2 {
                let voxel = ((z + 5) * 13 + y + 4) * 14 + x + 6;
                assert_eq!(labels[(z * 4 + y) * 2 + x], case.labels.voxels[voxel]);
            }
        }
    }
    // The centre voxel of the output is the location's.
    let at_centre = labels[(4 + 2) * 2 + 1];
    assert_eq!(at_centre, Label::of_class((6 + 6 + 7) % 3));
}

#[test]
fn image_and_labels_move_together() {
    // The image is x; the label says whether x is below 20.
    let mut case = case([40; 3], 1, |[_, _, x]| {
        Label::of_class(usize::from(x >= 20))
    });
    for (i, value) in case.image.voxels.iter_mut().enumerate() {
        *value = (i % 40) as f32;
    }
    let patch = PatchShape::new([24; 3], [16; 3]).unwrap();
    let mut config = AugmentConfig::default();
    config.gray.enabled = false;
    config.mirror = [true; 3];
    config.rotation_degrees = [[-30.0, 30.0]; 3];
    let mut moved = 0;
    for seed in 0..20 {
        let (input, labels) = make(&case, config.clone(), patch, [20; 3], seed);
        for z in 0..16 {
            for y in 0..16 {
                for x in 0..16 {
                    let value = input[((z + 4) * 24 + y + 4) * 24 + x + 4];
                    let label = labels[(z * 16 + y) * 16 + x];
                    let class = usize::from(value >= 19.5);
                    // Away from the middle between 19 and 20, where the
                    // nearest voxel and the interpolated value must agree.
                    if (value - 19.5).abs() > 1e-3 {
                        assert_eq!(label, Label::of_class(class), "seed {seed}: {value}");
                    }
                    moved += usize::from(class != usize::from(x + 12 >= 20));
                }
            }
        }
    }
    assert!(moved > 1000, "only {moved} voxels moved: no test");
}

#[test]
fn unlabeled_stays_unlabeled_and_never_blends() {
    // Only classes 0 and 2, in two slices of a volume otherwise unlabeled.
    let case = case([30; 3], 1, |[z, y, _]| match z {
        14 | 15 => Label::of_class(if y < 15 { 0 } else { 2 }),
        _ => Label::UNLABELED,
    });
    let patch = PatchShape::new([20; 3], [20; 3]).unwrap();
    for (seed, border) in [(1, Border::Mirror), (2, Border::Zero)] {
        let config = AugmentConfig {
            border,
            ..AugmentConfig::default()
        };
        let (_, labels) = make(&case, config, patch, [14, 15, 15], seed);
        let count = |label: Label| labels.iter().filter(|&&l| l == label).count();
        let (first, between, last) = (
            count(Label::of_class(0)),
            count(Label::of_class(1)),
            count(Label::of_class(2)),
        );
        assert_eq!(between, 0, "a class between two classes appeared");
        assert!(first > 100 && last > 100, "{first} {last}");
        // Two slices of 20 x 20, shrunk by at most 1.1 and blurred by nothing.
        assert!((500..1100).contains(&(first + last)), "{first} {last}");
        assert_eq!(first + last + count(Label::UNLABELED), 8000);
    }
}

#[test]
fn outside_is_mirrored_or_zero_with_no_label() {
    let case = case([4; 3], 1, |_| Label::of_class(1));
    let patch = PatchShape::new([8; 3], [8; 3]).unwrap();
    let mut config = AugmentConfig::none();
    let (input, labels) = make(&case, config.clone(), patch, [2; 3], 1);
    // Patch voxel 4 is volume voxel 2; voxel 1 is -1, mirrored 1.
    assert_eq!(
        input[(4 * 8 + 4) * 8 + 1],
        case.image.voxels[(2 * 4 + 2) * 4 + 1]
    );
    assert!(labels.iter().all(|&label| label == Label::of_class(1)));
    config.border = Border::Zero;
    let (input, labels) = make(&case, config, patch, [2; 3], 1);
    let labeled = labels.iter().filter(|&&label| label != Label::UNLABELED);
    assert_eq!(labeled.count(), 64);
    for (value, label) in input.iter().zip(&labels) {
        assert!(*label != Label::UNLABELED || *value == 0.0);
    }
}

#[test]
fn a_single_annotated_voxel_is_always_in_its_patch() {
    let centre = [10, 11, 12];
    let case = case([24; 3], 1, |at| match at == centre {
        true => Label::of_class(0),
        false => Label::UNLABELED,
    });
    // Enlarging by two lets a voxel fall between; displacements carry it out.
    let config = AugmentConfig {
        scaling: [0.4, 0.5],
        ..AugmentConfig::default()
    };
    for seed in 0..50 {
        let patch = PatchShape::new([14; 3], [2; 3]).unwrap();
        let (_, labels) = make(&case, config.clone(), patch, centre, seed);
        assert!(labels.contains(&Label::of_class(0)), "seed {seed}");
    }
}

#[test]
fn equal_numbers_make_equal_patches() {
    let case = case([20; 3], 2, |[z, ..]| Label::of_class(z % 3));
    let patch = PatchShape::new([16; 3], [12; 3]).unwrap();
    let config = AugmentConfig::default();
    let first = make(&case, config.clone(), patch, [9; 3], 5);
    assert_eq!(first, make(&case, config.clone(), patch, [9; 3], 5));
    assert_ne!(first, make(&case, config, patch, [9; 3], 6));
}
