//! A volume filled by interpolation between its annotated slices, with the same
//! honest score as [`fill()`](crate::fill::fill): what can be had without a
//! network, and what a network adds.

use unet3d_metrics::{Confusion, Report};
use unet3d_volume::labels::{Ends, interpolate_with};
use unet3d_volume::place::Turn;
use unet3d_volume::{Labels, Orientation};

use crate::experiment::close_crossings;
use crate::hold_out::why_none;
use crate::{Error, hold_out_slices};

/// Voxels up to which the score is worth its wait beside a training: it runs on one
/// thread and shows no progress, and takes 2 to 3 seconds for 250^3 (16 to 24 for 500^3).
const CHEAP_VOXELS: usize = 250 * 250 * 250;

/// A volume filled by interpolation.
pub struct Interpolated {
    /// A class for every voxel, from all annotated slices.
    pub labels: Labels,
    /// Scores on the slices held out, and the labels that were scored there,
    /// which come from the other slices alone; `None` where none was held out.
    pub expected: Option<(Report, Labels)>,
    /// The slices held out, indices along `[z, y, x]`.
    pub held_out: [Vec<usize>; 3],
    /// Why nothing can be said about the quality, in words.
    pub warnings: Vec<String>,
}

/// Fills a volume from its annotation alone. Like `fill`, it holds annotated
/// slices out to say how good that is; they are interpolated from too once that
/// is said. `ends` says what becomes of a class that a slice does not show.
///
/// Where it is known how the volume lies in the world, the result does not depend on
/// the axes along which it is stored: ties, and slices to hold out, are settled in one
/// order for all.
///
/// # Errors
/// When no voxel is annotated.
pub fn fill_by_interpolation(labels: &Labels, ends: Ends) -> Result<Interpolated, Error> {
    let stored = labels.geometry.orientation();
    let turn = stored.map_or(Turn::NONE, |stored| stored.turn_to(Orientation::RAS));
    if turn.is_none() {
        return in_this_order(labels, ends);
    }
    let turned = turn.labels(labels);
    let filled = in_this_order(&turned, ends)?;
    let back = turn.inverse();
    // The geometry as it was, not as turning it twice rounds it.
    let as_stored = |turned: &Labels| Labels {
        geometry: labels.geometry.clone(),
        ..back.labels(turned)
    };
    Ok(Interpolated {
        labels: as_stored(&filled.labels),
        expected: (filled.expected).map(|(report, trial)| (report, as_stored(&trial))),
        held_out: back.slices(&filled.held_out, turned.geometry.shape),
        // In the words of the axes as they are stored.
        warnings: filled.warnings.iter().map(|_| no_score(labels)).collect(),
    })
}

/// Fills a volume along the axes along which it is stored.
fn in_this_order(labels: &Labels, ends: Ends) -> Result<Interpolated, Error> {
    let mut warnings = Vec::new();
    let (expected, held_out) = match hold_out_slices(labels)? {
        Some(s) => {
            let trial = interpolate_between(&s.training, &s.held_out, ends)?;
            (Some((score(&trial, &s.held_out), trial)), s.slices)
        }
        None => {
            warnings.push(no_score(labels));
            (None, Default::default())
        }
    };
    Ok(Interpolated {
        labels: interpolate_with(labels, ends)?,
        expected,
        held_out,
        warnings,
    })
}

fn no_score(labels: &Labels) -> String {
    format!(
        "{}, so none is held out and nothing can be said about how good the result is",
        why_none(labels)
    )
}

/// What interpolation from `training` scores on `held_out`; `None` where the
/// volume is so large that it would have to be waited for.
///
/// # Errors
/// When no voxel of `training` is annotated.
pub(crate) fn score_beside(
    training: &Labels,
    held_out: &Labels,
    ends: Ends,
) -> Result<Option<Report>, Error> {
    if training.voxels.len() > CHEAP_VOXELS {
        return Ok(None);
    }
    let trial = interpolate_between(training, held_out, ends)?;
    Ok(Some(score(&trial, held_out)))
}

/// Interpolates from `training`, the slices of which are whole to it also where those
/// held out cross them.
fn interpolate_between(training: &Labels, held_out: &Labels, ends: Ends) -> Result<Labels, Error> {
    Ok(interpolate_with(
        &close_crossings(training, held_out),
        ends,
    )?)
}

fn score(result: &Labels, held_out: &Labels) -> Report {
    let mut confusion = Confusion::new(held_out.classes.len());
    confusion.add(&held_out.voxels, &result.voxels, None);
    Report::of_held_out(
        &held_out.classes,
        &[("held-out slices".to_owned(), confusion)],
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use unet3d_volume::{Class, Geometry, Label};

    #[test]
    fn the_score_is_of_slices_that_were_not_interpolated_from() {
        // Stripes along z that change class only in the slice held out.
        let shape = [9, 12, 12];
        let voxels = (0..9 * 144).map(|i| {
            let [z, y] = [i / 144, i / 12 % 12];
            match (z, y < 6) {
                (1 | 7, true) | (4, false) => Label::of_class(0),
                (1 | 7, false) | (4, true) => Label::of_class(1),
                _ => Label::UNLABELED,
            }
        });
        let class = |value: i64| Class {
            value,
            name: value.to_string(),
        };
        let labels = Labels {
            voxels: voxels.collect(),
            classes: vec![class(0), class(1)],
            geometry: Geometry::of_shape(shape),
        };
        let filled = fill_by_interpolation(&labels, Ends::Halfway).unwrap();
        assert_eq!(filled.held_out[0], [4]);
        let (report, trial) = filled.expected.unwrap();
        // The others say the opposite of what the slice shows.
        assert_eq!(report.overall.mean_iou, Some(0.0));
        assert_ne!(trial.voxels[4 * 144], labels.voxels[4 * 144]);
        // In the result the slice is as annotated.
        assert_eq!(filled.labels.voxels[4 * 144], labels.voxels[4 * 144]);
    }

    #[test]
    fn slices_that_held_out_ones_cross_are_interpolated_from_as_slices() {
        // A cylinder along x, annotated on three slices across z and two across x: those
        // across x lose a ninth to the one held out across z.
        let shape = [9, 24, 12];
        let is_inside = |z: usize, y: usize| (z as f64 - 4.0).hypot(y as f64 - 12.0) < 3.5;
        let dense = Labels {
            geometry: Geometry::of_shape(shape),
            classes: [0, 1]
                .map(|value| Class {
                    value,
                    name: value.to_string(),
                })
                .to_vec(),
            voxels: (0..9 * 288)
                .map(|i| Label::of_class(usize::from(is_inside(i / 288, i / 12 % 24))))
                .collect(),
        };
        let slices = [vec![0, 4, 8], vec![], vec![2, 9]];
        let (_, labels) = dense.hold_out(&slices).unwrap();
        let (report, _) = fill_by_interpolation(&labels, Ends::Halfway)
            .unwrap()
            .expected
            .unwrap();
        // As strokes they lead to 0.885.
        assert!(report.overall.mean_iou > Some(0.9), "{:?}", report.overall);
    }

    #[test]
    fn without_slices_to_spare_there_is_a_warning_in_place_of_a_score() {
        let labels = Labels {
            geometry: Geometry::of_shape([2, 2, 2]),
            classes: vec![Class {
                value: 0,
                name: "0".into(),
            }],
            voxels: [vec![Label::of_class(0); 4], vec![Label::UNLABELED; 4]].concat(),
        };
        let filled = fill_by_interpolation(&labels, Ends::Halfway).unwrap();
        assert!(filled.expected.is_none() && filled.warnings.len() == 1);
    }
}
