//! Paint outside the slices that a person stated: it counts as not annotated, which
//! is told; and where all of it lies outside, the numbers are wrong, which is an error.

use super::values::for_each_value;
use super::{LabelsError, StatedSlices, slices_in_words};
use crate::Volume;
use crate::volume::position;
use crate::words::counted;

/// Where paint lies, seen from the slices stated.
struct Paint {
    /// Painted voxels on the slices.
    on_slices: usize,
    /// Painted voxels elsewhere.
    elsewhere: usize,
    /// The slices that hold the latter, along the stated direction with fewest of them.
    slices: [Vec<usize>; 3],
}

impl Paint {
    fn of(volume: &Volume, stated: &[Vec<usize>; 3]) -> Self {
        let shape = volume.geometry.shape;
        let is_stated = [0, 1, 2].map(|axis: usize| {
            let mut is_stated = vec![false; shape[axis]];
            stated[axis].iter().for_each(|&i| is_stated[i] = true);
            is_stated
        });
        let (mut on_slices, mut elsewhere) = (0, 0);
        let mut holds = shape.map(|n| vec![false; n]);
        for_each_value(volume, |i, value| {
            if value == 0 {
                return;
            }
            let p = position(i, shape);
            if (0..3).any(|axis| is_stated[axis][p[axis]]) {
                on_slices += 1;
            } else {
                elsewhere += 1;
                (0..3).for_each(|axis| holds[axis][p[axis]] = true);
            }
        });
        let mut slices: [Vec<usize>; 3] = Default::default();
        let count = |axis: &usize| holds[*axis].iter().filter(|h| **h).count();
        let named = (0..3).filter(|axis| !stated[*axis].is_empty());
        if let Some(axis) = named.min_by_key(count) {
            slices[axis] = (0..shape[axis]).filter(|&i| holds[axis][i]).collect();
        }
        Self {
            on_slices,
            elsewhere,
            slices,
        }
    }
}

/// Refuses stated slices that hold no paint where there is some elsewhere.
pub(super) fn refuse_if_all(
    volume: &Volume,
    slices: &[Vec<usize>; 3],
    stated: &StatedSlices,
    source: &str,
) -> Result<(), LabelsError> {
    let paint = Paint::of(volume, slices);
    if paint.on_slices > 0 || paint.elsewhere == 0 {
        return Ok(());
    }
    let shifted = |by: isize| {
        let moved = |&i: &usize| i.checked_add_signed(by);
        let moved = |of: &Vec<usize>| of.iter().filter_map(moved).collect::<Vec<_>>();
        (0..3).all(|a| paint.slices[a].is_empty() || moved(&slices[a]) == paint.slices[a])
    };
    let found = StatedSlices::of(&paint.slices);
    let advice = if shifted(-1) {
        format!(
            "Fiji and other viewers count slices from 1, this program from 0: say --annotated-slices {found}."
        )
    } else {
        format!(
            "Slices are counted from 0, in most viewers from 1. If the painted ones were meant, say --annotated-slices {found}; \
             if really nothing was found on the stated slices, there is nothing to learn from."
        )
    };
    Err(LabelsError::StatedMissPaint {
        source_name: source.into(),
        stated: stated.to_string(),
        painted: slices_in_words(&paint.slices),
        advice,
    })
}

/// A sentence where paint is left out.
pub(super) fn warning(
    volume: &Volume,
    slices: &[Vec<usize>; 3],
    stated: &StatedSlices,
    source: &str,
) -> Option<String> {
    let paint = Paint::of(volume, slices);
    let voxels = match paint.elsewhere {
        0 => return None,
        1 => "1 painted voxel lies".to_owned(),
        n => format!("{} lie", counted(n, "painted voxel")),
    };
    let all = StatedSlices::merged([stated.clone(), StatedSlices::of(&paint.slices)]);
    Some(format!(
        "{source}: {voxels} outside the slices of --annotated-slices {stated} and count as not annotated: {}. \
         If these slices were annotated as a whole, state them too: --annotated-slices {all}",
        slices_in_words(&paint.slices)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Annotated, Geometry, LabelScheme, Labels, Samples};

    /// Paint on these z slices of 30.
    fn painted(slices: &[usize]) -> Volume {
        let mut values = vec![0u8; 30 * 16];
        slices.iter().for_each(|z| values[z * 16 + 5] = 2);
        Volume {
            geometry: Geometry::of_shape([30, 4, 4]),
            channels: 1,
            samples: Samples::U8(values),
            notes: Vec::new(),
            scaling: None,
            placed: None,
        }
    }

    fn read(volume: &Volume, stated: &str) -> Result<Labels, String> {
        let scheme = LabelScheme {
            classes: vec![],
            objects: None,
            annotated: Annotated::Slices(stated.parse().unwrap()),
        };
        Labels::from_volume(volume, &scheme, None, "l.tif").map_err(|e| e.to_string())
    }

    #[test]
    fn empty_slices_are_background_and_others_unlabeled_though_painted() {
        let labels = read(&painted(&[4, 7]), "z=4,14,24").unwrap();
        assert_eq!(labels.annotated_slices(), [vec![4, 14, 24], vec![], vec![]]);
        assert_eq!(labels.class_voxels(), [3 * 16 - 1, 1]);
        assert_eq!(labels.classes[0].name, "background");
        assert!(!labels.voxels[7 * 16 + 5].is_annotated());
    }

    #[test]
    fn slices_counted_from_1_are_recognised() {
        let error = read(&painted(&[3, 13, 23]), "z=4,14,24").unwrap_err();
        for part in ["l.tif", "Fiji", "say --annotated-slices z=3,13,23."] {
            assert!(error.contains(part), "{part} in {error}");
        }
        let error = read(&painted(&[3, 9]), "z=4,14").unwrap_err();
        for part in ["l.tif", "z 3, 9 (2 slices)", "--annotated-slices z=3,9"] {
            assert!(error.contains(part), "{part} in {error}");
        }
        let error = read(&painted(&[]), "z=4,14").unwrap_err();
        assert!(error.contains("Nothing is painted"), "{error}");
    }

    #[test]
    fn paint_left_out_is_counted() {
        let stated: StatedSlices = "z=4,14".parse().unwrap();
        let told = |painted_slices: &[usize]| {
            let volume = painted(painted_slices);
            let slices = stated.resolve(&volume.geometry, "l").unwrap();
            warning(&volume, &slices, &stated, "l.tif")
        };
        assert_eq!(told(&[4, 14]), None);
        let text = told(&[4, 9]).unwrap();
        assert!(
            text.starts_with("l.tif: 1 painted voxel lies outside"),
            "{text}"
        );
        assert!(text.ends_with("--annotated-slices z=4,14,9"), "{text}");
        let text = told(&[4, 9, 11]).unwrap();
        for part in ["2 painted voxels lie", "z 9, 11 (2 slices)"] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
