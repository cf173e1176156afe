//! Surfaces against other programs: `surface-distance`, SciPy with NumPy, and MedPy.
//!
//! `scripts/surface.sh` makes the file that is read here; the masks are made again by the
//! formulae of `scripts/surface.py`. All differences are reported, not the first.

use serde::Deserialize;
use unet3d_volume::{Class, Geometry, Label, Labels};

use super::*;

/// Relative. Both sides compute in f64; sums are in another order, over at most some
/// thousand terms of one sign.
const TOLERANCE: f64 = 1e-10;

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
    areas: Vec<Areas>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    shape: [usize; 3],
    spacing: [f64; 3],
    tolerance: f64,
    truth: Vec<Part>,
    prediction: Vec<Part>,
    voxels: [usize; 2],
    scores: ByVariant,
}

/// The scores of each variant, by its name in files.
type ByVariant = std::collections::BTreeMap<String, Expected>;

#[derive(Deserialize)]
struct Expected {
    hausdorff: Option<f64>,
    hausdorff95: Option<f64>,
    assd: Option<f64>,
    truth_to_prediction: Option<f64>,
    prediction_to_truth: Option<f64>,
    surface_dice: Option<f64>,
}

#[derive(Deserialize)]
struct Areas {
    spacing: [f64; 3],
    areas: Vec<f64>,
}

/// A part of a mask: its kind and its numbers, as in `scripts/surface.py`.
type Part = Vec<serde_json::Value>;

fn golden() -> Golden {
    serde_json::from_str(include_str!("../../tests/data/surface.json")).expect("the golden file")
}

fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ x >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ x >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ x >> 31
}

fn is_in(part: &Part, index: usize, at: [usize; 3]) -> bool {
    let n: Vec<i64> = part[1..]
        .iter()
        .map(|v| v.as_i64().expect("whole"))
        .collect();
    let at = at.map(|v| v as i64);
    match (part[0].as_str(), &n[..]) {
        (Some("ball"), [z, y, x, square]) => {
            (at[0] - z).pow(2) + (at[1] - y).pow(2) + (at[2] - x).pow(2) < *square
        }
        (Some("box"), ends) => (0..3).all(|k| (ends[2 * k]..ends[2 * k + 1]).contains(&at[k])),
        (Some("noise"), [seed, one_in]) => {
            (mix(((*seed as u64) << 32) + index as u64) >> 40).is_multiple_of(*one_in as u64)
        }
        _ => unreachable!("{part:?}"),
    }
}

fn labels(shape: [usize; 3], parts: &[Part]) -> Labels {
    let geometry = Geometry::of_shape(shape);
    let inside = |i: usize| parts.iter().any(|p| is_in(p, i, geometry.position(i)));
    let class = |value| Class {
        value,
        name: value.to_string(),
    };
    Labels {
        voxels: (0..geometry.voxels())
            .map(|i| Label::of_class(usize::from(inside(i))))
            .collect(),
        classes: vec![class(0), class(1)],
        geometry,
    }
}

#[test]
fn scores_are_those_of_other_programs() {
    let cases = golden().cases;
    assert!(cases.len() >= 16);
    let mut wrong = Vec::new();
    for case in cases {
        let masks = [&case.truth, &case.prediction].map(|parts| labels(case.shape, parts));
        assert_eq!(
            [0, 1].map(|m| masks[m].class_voxels()[1]),
            case.voxels,
            "{}: the masks are not those of the script",
            case.name
        );
        assert_eq!(case.scores.len(), 3);
        for (variant, expected) in case.scores {
            let variant = serde_json::from_value(serde_json::json!(variant)).expect("a variant");
            let settings = SurfaceSettings {
                variant,
                spacing: case.spacing,
                tolerance: case.tolerance,
            };
            let found = compare_surfaces(1, &masks[0], &masks[1], None, &settings)
                .expect("comparable")
                .expect("not both are empty");
            let finite = |v: f64| v.is_finite().then_some(v);
            for (what, found, expected) in [
                ("hausdorff", finite(found.hausdorff), expected.hausdorff),
                (
                    "hausdorff95",
                    finite(found.hausdorff95),
                    expected.hausdorff95,
                ),
                ("assd", finite(found.assd), expected.assd),
                (
                    "truth_to_prediction",
                    found.truth_to_prediction.and_then(finite),
                    expected.truth_to_prediction,
                ),
                (
                    "prediction_to_truth",
                    found.prediction_to_truth.and_then(finite),
                    expected.prediction_to_truth,
                ),
                (
                    "surface_dice",
                    Some(found.surface_dice),
                    expected.surface_dice,
                ),
            ] {
                let same = match (found, expected) {
                    (Some(a), Some(b)) => (a - b).abs() <= TOLERANCE * b.abs(),
                    (a, b) => a == b,
                };
                if !same {
                    wrong.push(format!(
                        "{}, {variant:?}, {what}: {found:?}, expected {expected:?}",
                        case.name
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn areas_are_those_of_surface_distance() {
    for table in golden().areas {
        assert_eq!(table.areas.len(), 256);
        let found = elements::areas(table.spacing);
        let wrong: Vec<_> = (0..=255u8)
            .filter(|&code| {
                // That program counts the bits from the other end.
                let expected = table.areas[usize::from(code.reverse_bits())];
                (found[usize::from(code)] - expected).abs() > TOLERANCE * expected
            })
            .collect();
        assert!(wrong.is_empty(), "{:?}: codes {wrong:?}", table.spacing);
    }
}
