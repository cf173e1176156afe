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

/// Holds out the middle one of the annotated slices in each direction that has
/// three or more. `None` where no direction has, or where training would be
/// left with a single class.
///
/// # Errors
/// None that labels read from a file can cause.
pub fn hold_out_slices(labels: &Labels) -> Result<Option<HeldOutSlices>, Error> {
    let slices = labels.annotated_slices().map(|found| {
        match found.len() >= FEWEST_SLICES && found.len() > 1 {
            true => vec![found[found.len() / 2]],
            false => Vec::new(),
        }
    });
    if slices.iter().all(Vec::is_empty) {
        return Ok(None);
    }
    let (training, held_out) = labels.hold_out(&slices)?;
    let classes = |labels: &Labels| labels.class_voxels().iter().filter(|n| **n > 0).count();
    if classes(&training) < classes(labels) {
        return Ok(None);
    }
    Ok(Some(HeldOutSlices {
        training,
        held_out,
        slices,
    }))
}
