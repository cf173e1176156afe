//! Annotated slices kept out of training to say how good a result is.

use unet3d_volume::Labels;

use crate::Error;

/// Annotated slices that a direction must have before one of them is held out:
/// with two, half of what is known about this direction would be lost.
const FEWEST_SLICES: usize = 3;

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

/// Holds out one of the annotated slices in each direction that has three or
/// more: the middle one, or the nearest to it that leaves every class to
/// training. `None` where no slice can be spared.
///
/// # Errors
/// None that labels read from a file can cause.
pub fn hold_out_slices(labels: &Labels) -> Result<Option<HeldOutSlices>, Error> {
    let classes = |labels: &Labels| labels.class_voxels().iter().filter(|n| **n > 0).count();
    let all = classes(labels);
    let mut best = None;
    let mut slices: [Vec<usize>; 3] = Default::default();
    for (axis, found) in labels.annotated_slices().into_iter().enumerate() {
        if found.len() < FEWEST_SLICES {
            continue;
        }
        let middle = found.len() / 2;
        let mut places: Vec<usize> = (0..found.len()).collect();
        places.sort_by_key(|place| place.abs_diff(middle));
        for place in places {
            slices[axis] = vec![found[place]];
            let (training, held_out) = labels.hold_out(&slices)?;
            if classes(&training) == all {
                best = Some((training, held_out, slices.clone()));
                break;
            }
            slices[axis].clear();
        }
    }
    Ok(best.map(|(training, held_out, slices)| HeldOutSlices {
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
