//! Annotated slices kept out of training to say how good a result is.

use unet3d_volume::Labels;
use unet3d_volume::labels::evenly_spaced;

use crate::Error;

/// Annotated slices of a direction for each that is held out: of two, half of what
/// is known about this direction would be lost.
const FEWEST_SLICES: usize = 3;

/// Slices held out of a direction at most: what further ones would tell is worth
/// less than what the network would learn from them.
const MOST_HELD_OUT: usize = 3;

/// Labels in two parts, with the slices that were taken out.
#[derive(Clone, Debug)]
pub struct HeldOutSlices {
    /// What training may see: nothing on the slices held out, also where slices
    /// that stay cross them.
    pub training: Labels,
    /// The slices held out, all else unlabeled.
    pub held_out: Labels,
    /// Their indices along `[z, y, x]`.
    pub slices: [Vec<usize>; 3],
}

/// Holds out every third of the annotated slices in each direction that has three
/// or more, three at most: evenly spaced among them, or the nearest to that which
/// leave every class to training. `None` where no slice can be spared.
///
/// # Errors
/// None that labels read from a file can cause.
pub fn hold_out_slices(labels: &Labels) -> Result<Option<HeldOutSlices>, Error> {
    let classes = |labels: &Labels| labels.class_voxels().iter().filter(|n| **n > 0).count();
    let all = classes(labels);
    let mut best = None;
    let mut slices: [Vec<usize>; 3] = Default::default();
    for (axis, found) in labels.annotated_slices().into_iter().enumerate() {
        let wanted = (found.len() / FEWEST_SLICES).min(MOST_HELD_OUT);
        for place in evenly_spaced(found.len(), wanted) {
            let mut places: Vec<usize> = (0..found.len()).collect();
            places.sort_by_key(|other| other.abs_diff(place));
            for place in places {
                if slices[axis].contains(&found[place]) {
                    continue;
                }
                let mut tried = slices.clone();
                tried[axis].push(found[place]);
                tried[axis].sort_unstable();
                let (training, held_out) = labels.hold_out(&tried)?;
                if classes(&training) == all {
                    slices = tried;
                    best = Some((training, held_out));
                    break;
                }
            }
        }
    }
    Ok(best.map(|(training, held_out)| HeldOutSlices {
        training,
        held_out,
        slices,
    }))
}

/// Why [`hold_out_slices`] found none, in words.
pub(crate) fn why_none(labels: &Labels) -> &'static str {
    let mut found = labels.annotated_slices().into_iter();
    match found.any(|slices| slices.len() >= FEWEST_SLICES) {
        true => "each annotated slice alone shows some class, which training would lose",
        false => "no direction has three annotated slices",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use unet3d_volume::{Class, Geometry, Label};

    #[test]
    fn every_third_slice_is_held_out_and_three_at_most() {
        let labels = Labels {
            geometry: Geometry::of_shape([60, 6, 8]),
            classes: [0, 1]
                .map(|value| Class {
                    value,
                    name: value.to_string(),
                })
                .to_vec(),
            voxels: (0..60 * 48).map(|i| Label::of_class(i % 2)).collect(),
        };
        let held = |slices| {
            let held_out = hold_out_slices(&labels.sparsify(slices)).unwrap();
            held_out.map(|h| h.slices.map(|s| s.len()))
        };
        assert_eq!(held([2, 2, 2]), None);
        assert_eq!(held([3, 0, 4]), Some([1, 0, 1]));
        assert_eq!(held([6, 3, 5]), Some([2, 1, 1]));
        assert_eq!(held([30, 0, 0]), Some([3, 0, 0]));
        // The middle one of three, as the others then stand on both sides.
        let held_out = hold_out_slices(&labels.sparsify([3, 0, 0]))
            .unwrap()
            .unwrap();
        assert_eq!(held_out.slices[0], [30]);
    }

    #[test]
    fn a_slice_that_alone_shows_a_class_stays() {
        let geometry = Geometry::of_shape([3, 8, 8]);
        let class = |value: i64| Class {
            value,
            name: value.to_string(),
        };
        // Class 1 is in the middle slice alone.
        let voxels = (0..192).map(|i| Label::of_class(usize::from((70..90).contains(&i))));
        let mut labels = Labels {
            voxels: voxels.collect(),
            classes: vec![class(0), class(1)],
            geometry,
        };
        // Annotated across z alone.
        labels.voxels[..8].fill(Label::UNLABELED);
        let z = |labels: &Labels| hold_out_slices(labels).unwrap().unwrap().slices[0].clone();
        assert_ne!(z(&labels), [1]);
    }
}
