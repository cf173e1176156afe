//! What can be had without learning from gray values, to see what a network adds.

use serde::{Deserialize, Serialize};
use unet3d_metrics::Confusion;
use unet3d_volume::resample::resample_labels;
use unet3d_volume::{Label, Labels};

use super::{Counts, Split};
use crate::{Case, Error};

/// A method that needs no training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Baseline {
    /// Shape-based interpolation between the annotated slices of a volume.
    Interpolation,
    /// Where a class lies in the training volumes: each voxel gets the class
    /// that is most frequent there among the training labels, brought to the
    /// shape of the tested volume.
    LocationPrior,
}

impl Baseline {
    /// As files call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Interpolation => "interpolation",
            Self::LocationPrior => "location-prior",
        }
    }

    /// As tables call it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Interpolation => "interpolation",
            Self::LocationPrior => "location prior",
        }
    }

    /// Segments and counts what is held out.
    ///
    /// # Errors
    /// Interpolation where whole cases are held out, or where labels have
    /// nothing to interpolate between.
    pub fn score(self, split: &Split) -> Result<Counts, Error> {
        let held_out = &split.held_out;
        let whole = held_out
            .cases
            .iter()
            .map(|case| (&case.name, &case.labels, None));
        let slices = held_out.slices.iter().map(|(index, truth)| {
            let case = &split.training[*index];
            (&case.name, truth, Some(&case.labels))
        });
        let counts = whole.chain(slices).map(|(name, truth, annotation)| {
            let predicted = match (self, annotation) {
                (Self::LocationPrior, _) => location_prior(&split.training, truth.geometry.shape),
                (Self::Interpolation, Some(annotation)) => interpolated(annotation)?,
                (Self::Interpolation, None) => {
                    return Err(Error::Data(format!(
                        "{name}: interpolation needs annotated slices of the volume itself, of which none is learned from"
                    )));
                }
            };
            let mut confusion = Confusion::new(truth.classes.len());
            confusion.add(&truth.voxels, &predicted, None);
            Ok((name.clone(), confusion))
        });
        counts.collect()
    }
}

fn interpolated(annotation: &Labels) -> Result<Vec<Label>, Error> {
    Ok(annotation.voxels.clone()) // TEMPORARY
}

/// The most frequent class of each voxel of a volume of `shape`; where no
/// training label says anything, the most frequent class of all.
fn location_prior(training: &[Case], shape: [usize; 3]) -> Vec<Label> {
    let classes = training.first().map_or(0, |c| c.labels.classes.len());
    let mut counts = vec![0u32; shape.iter().product::<usize>() * classes];
    let mut all = vec![0u64; classes];
    for case in training {
        let labels = &case.labels;
        let labels = resample_labels(&labels.voxels, labels.geometry.shape, shape);
        for (counts, label) in counts.chunks_exact_mut(classes.max(1)).zip(labels) {
            if let Some(class) = label.class() {
                counts[class] += 1;
                all[class] += 1;
            }
        }
    }
    let usual = most_frequent(&all).unwrap_or(0);
    let voxels = counts.chunks_exact(classes.max(1));
    voxels
        .map(|counts| Label::of_class(most_frequent(counts).unwrap_or(usual)))
        .collect()
}

/// Index of the largest count, of equals the first; `None` where all are 0.
fn most_frequent<T: Copy + Ord + Default>(counts: &[T]) -> Option<usize> {
    let most = counts.iter().copied().max().filter(|n| *n > T::default())?;
    counts.iter().position(|n| *n == most)
}

#[cfg(test)]
mod tests {
    use super::super::protocol::testing::{dense, sparse};
    use super::super::{Protocol, SlicesCv, Volumes};
    use super::*;

    #[test]
    fn the_prior_is_the_majority_at_each_place() {
        // Blocks lie at the same share of the extent in all three.
        let cases = [
            dense("a", [8, 8, 12]),
            dense("b", [8, 8, 12]),
            dense("c", [8, 8, 12]),
        ];
        let groups = ["a", "b", "c"].map(str::to_owned);
        let protocol = Volumes::leave_out(&groups, None, None).unwrap();
        let split = protocol.split(&cases, 2).unwrap();
        let counts = Baseline::LocationPrior.score(&split).unwrap();
        let (name, confusion) = &counts[0];
        assert_eq!(name, "c");
        assert_eq!((confusion.iou(0), confusion.iou(1)), (Some(1.0), Some(1.0)));
        assert!(Baseline::Interpolation.score(&split).is_err());
        // Where nothing is annotated, the most frequent class stands.
        let prior = location_prior(&[sparse("a", [8, 8, 12], [1, 0, 0])], [8, 8, 12]);
        assert!(prior[..96].iter().all(|label| *label == prior[0]));
    }

    #[test]
    fn interpolation_is_scored_on_the_slices_held_out() {
        let cases = [sparse("a", [16, 16, 16], [4, 2, 2])];
        let protocol = SlicesCv::new(&cases, 2).unwrap();
        let split = protocol.split(&cases, 0).unwrap();
        let counts = Baseline::Interpolation.score(&split).unwrap();
        let held = split.held_out.slices[0].1.annotated_voxels();
        assert_eq!(counts[0].1.voxels(), held as u64);
    }
}
