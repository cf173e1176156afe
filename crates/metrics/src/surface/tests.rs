//! Surfaces by hand: what can be said without another program. Against other programs:
//! `golden.rs`.

use unet3d_volume::{Class, Geometry, Label, Labels};

use super::*;

/// Two classes; class 1 where `inside` of `[z, y, x]`.
fn labels(shape: [usize; 3], inside: impl Fn([usize; 3]) -> bool) -> Labels {
    let geometry = Geometry::of_shape(shape);
    Labels {
        voxels: (0..geometry.voxels())
            .map(|i| Label::of_class(usize::from(inside(geometry.position(i)))))
            .collect(),
        classes: [0, 1]
            .map(|value| Class {
                value,
                name: format!("c{value}"),
            })
            .to_vec(),
        geometry,
    }
}

fn settings(variant: SurfaceVariant, spacing: [f64; 3], tolerance: f64) -> SurfaceSettings {
    SurfaceSettings {
        variant,
        spacing,
        tolerance,
    }
}

/// Class 1 of two masks of 8 x 9 x 10.
fn compare(
    truth: impl Fn([usize; 3]) -> bool,
    prediction: impl Fn([usize; 3]) -> bool,
    settings: &SurfaceSettings,
) -> Option<SurfaceScores> {
    let [truth, prediction] = [labels([8, 9, 10], truth), labels([8, 9, 10], prediction)];
    compare_surfaces(1, &truth, &prediction, None, settings).expect("comparable")
}

fn ball([z, y, x]: [usize; 3]) -> bool {
    let from = |v: usize, centre: f64| (v as f64 - centre).powi(2);
    from(z, 4.0) + from(y, 4.0) + from(x, 4.5) < 9.0
}

#[test]
fn names_are_those_in_files() {
    for variant in SurfaceVariant::ALL {
        assert_eq!(serde_json::json!(variant), variant.name());
    }
}

#[test]
fn a_mask_is_at_no_distance_from_itself() {
    for variant in SurfaceVariant::ALL {
        let scores = compare(ball, ball, &settings(variant, [3.0, 1.0, 0.5], 0.0)).unwrap();
        assert_eq!(
            [scores.hausdorff, scores.hausdorff95, scores.assd],
            [0.0; 3]
        );
        assert_eq!(scores.surface_dice, 1.0);
    }
}

#[test]
fn a_voxel_and_its_shifted_copy() {
    // Three voxels along z, two along x.
    for variant in SurfaceVariant::ALL {
        let settings = settings(variant, [2.0, 1.0, 0.5], 6.0);
        let scores = compare(|at| at == [1, 4, 4], |at| at == [4, 4, 6], &settings).unwrap();
        // Elements are at corners: the nearest two layers are two and three steps
        // apart along z, one and two along x.
        let far: f64 = 36.0 + 1.0;
        assert!((scores.hausdorff - far.sqrt()).abs() < 1e-12, "{scores:?}");
        let mean = match variant {
            SurfaceVariant::Elements => {
                let corner = |z: f64, x: f64| ((2.0 * z).powi(2) + (0.5 * x).powi(2)).sqrt();
                (corner(3.0, 2.0) + corner(3.0, 1.0) + corner(2.0, 2.0) + corner(2.0, 1.0)) / 4.0
            }
            _ => far.sqrt(),
        };
        assert!((scores.assd - mean).abs() < 1e-12, "{scores:?}");
        assert_eq!(scores.truth_to_prediction, scores.prediction_to_truth);
        let within = if variant == SurfaceVariant::Elements {
            0.5
        } else {
            0.0
        };
        assert_eq!(scores.surface_dice, within, "{variant:?}");
    }
}

#[test]
fn a_tolerance_that_is_the_distance_counts_as_within() {
    // 3 * 0.1 is a little more than 0.3 in f64.
    let settings = settings(SurfaceVariant::Voxels, [0.1; 3], 0.3);
    let scores = compare(|at| at == [1, 1, 1], |at| at == [1, 1, 4], &settings).unwrap();
    assert!(scores.hausdorff > 0.3 && scores.surface_dice == 1.0);
}

#[test]
fn empty_masks() {
    for variant in SurfaceVariant::ALL {
        let settings = settings(variant, [1.0; 3], 1.0);
        assert_eq!(compare(|_| false, |_| false, &settings), None);
        let missed = compare(ball, |_| false, &settings).unwrap();
        let invented = compare(|_| false, ball, &settings).unwrap();
        for scores in [missed, invented] {
            assert_eq!(scores.hausdorff, f64::INFINITY);
            assert_eq!(scores.hausdorff95, f64::INFINITY);
            assert_eq!(scores.assd, f64::INFINITY);
            assert_eq!(scores.surface_dice, 0.0);
        }
        assert_eq!(missed.truth_to_prediction, Some(f64::INFINITY));
        assert_eq!(missed.prediction_to_truth, None);
        assert_eq!(invented.truth_to_prediction, None);
    }
}

#[test]
fn exchanging_truth_and_prediction_exchanges_the_directions() {
    let other = |[z, y, x]: [usize; 3]| ball([z, y, x]) && x < 5 && y != 3;
    for variant in SurfaceVariant::ALL {
        let settings = settings(variant, [2.0, 1.0, 0.7], 1.0);
        let there = compare(ball, other, &settings).unwrap();
        let back = compare(other, ball, &settings).unwrap();
        assert_eq!(there.truth_to_prediction, back.prediction_to_truth);
        assert_ne!(there.truth_to_prediction, there.prediction_to_truth);
        assert_eq!(there.hausdorff, back.hausdorff);
        assert_eq!(there.hausdorff95, back.hausdorff95);
        assert!((there.assd - back.assd).abs() < 1e-12);
    }
}

#[test]
fn what_is_left_out_does_not_count_but_is_still_a_surface() {
    let truth = labels([8, 9, 10], |at| at == [2, 2, 2] || at == [2, 2, 8]);
    let prediction = labels([8, 9, 10], |at| at == [2, 2, 2]);
    let mut sparse = labels([8, 9, 10], |_| false);
    sparse.voxels.fill(Label::UNLABELED);
    let settings = settings(SurfaceVariant::Elements, [1.0; 3], 1.0);
    let scores = |sparse: &Labels| {
        compare_surfaces(1, &truth, &prediction, Some(sparse), &settings).expect("comparable")
    };
    assert_eq!(scores(&sparse).unwrap().hausdorff, 6.0);
    // The slice x = 9 is beside the second voxel: only its other corners count.
    for i in (9..sparse.voxels.len()).step_by(10) {
        sparse.voxels[i] = Label::of_class(0);
    }
    assert_eq!(scores(&sparse).unwrap().hausdorff, 5.0);
    for i in (7..sparse.voxels.len()).step_by(10) {
        sparse.voxels[i] = Label::of_class(0);
    }
    assert_eq!(scores(&sparse).unwrap().hausdorff, 0.0);
    sparse.voxels.fill(Label::of_class(0));
    assert_eq!(scores(&sparse), None, "nothing is left");
}

#[test]
fn a_truth_that_is_annotated_in_part_is_refused() {
    let prediction = labels([2, 2, 2], |_| true);
    let mut truth = prediction.clone();
    truth.voxels[3] = Label::UNLABELED;
    let settings = settings(SurfaceVariant::Elements, [1.0; 3], 1.0);
    let error = compare_surfaces(1, &truth, &prediction, None, &settings).unwrap_err();
    assert!(error.to_string().contains("1 of 8 voxels"), "{error}");
    let small = labels([2, 2, 1], |_| true);
    let error = compare_surfaces(1, &prediction, &small, None, &settings).unwrap_err();
    assert!(error.to_string().contains("shape"), "{error}");
}
