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
                (Self::Interpolation, Some(annotation)) => interpolated(annotation, truth)?,
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

/// What interpolation makes of the slices of `annotation`; `test` has been taken
/// out of it. Of a volume that has nothing left it knows nothing.
fn interpolated(annotation: &Labels, test: &Labels) -> Result<Vec<Label>, Error> {
    if annotation.annotated_voxels() == 0 {
        return Ok(annotation.voxels.clone());
    }
    let completed = close_crossings(annotation, test);
    Ok(unet3d_volume::labels::interpolate(&completed)?.voxels)
}

/// The annotation without the gaps that held-out slices leave where they cross
/// its slices, or hardly a slice would count as annotated: each voxel there gets
/// the class of the nearest one along the slice. Such a slice is annotated but
/// for what was held out, and most of what is annotated on it is `annotation`'s:
/// a slice that was held out shows mostly `test`. What was held out is not
/// looked at, only where.
pub(crate) fn close_crossings(annotation: &Labels, test: &Labels) -> Labels {
    let shape = annotation.geometry.shape;
    let mut whole = annotation.clone();
    for (label, held) in whole.voxels.iter_mut().zip(&test.voxels) {
        if held.is_annotated() {
            *label = *held;
        }
    }
    let (learned, tested) = (by_slice(annotation), by_slice(test));
    let mut closed = annotation.clone();
    for (axis, slices) in whole.annotated_slices().into_iter().enumerate() {
        let strides = [shape[1] * shape[2], shape[2], 1];
        let [a, b] = [[1, 2], [0, 2], [0, 1]][axis];
        let is_learned = |i: &usize| learned[axis][*i] > tested[axis][*i];
        for index in slices.into_iter().filter(is_learned) {
            for (i, j) in (0..shape[a]).flat_map(|i| (0..shape[b]).map(move |j| (i, j))) {
                let at =
                    |i: usize, j: usize| index * strides[axis] + i * strides[a] + j * strides[b];
                if closed.voxels[at(i, j)].is_annotated() {
                    continue;
                }
                let known = |i: Option<usize>, j: Option<usize>| {
                    let (i, j) = (i.filter(|i| *i < shape[a])?, j.filter(|j| *j < shape[b])?);
                    let label = annotation.voxels[at(i, j)];
                    label.is_annotated().then_some(label)
                };
                let around = |r: usize| {
                    known(i.checked_sub(r), Some(j))
                        .or_else(|| known(Some(i + r), Some(j)))
                        .or_else(|| known(Some(i), j.checked_sub(r)))
                        .or_else(|| known(Some(i), Some(j + r)))
                };
                if let Some(label) = (1..shape[a].max(shape[b])).find_map(around) {
                    closed.voxels[at(i, j)] = label;
                }
            }
        }
    }
    closed
}

/// Annotated voxels of every slice along `[z, y, x]`.
fn by_slice(labels: &Labels) -> [Vec<usize>; 3] {
    let shape = labels.geometry.shape;
    let mut counts = shape.map(|n| vec![0; n]);
    for (at, label) in labels.voxels.iter().enumerate() {
        if label.is_annotated() {
            let [_, height, width] = shape;
            counts[0][at / width / height] += 1;
            counts[1][at / width % height] += 1;
            counts[2][at % width] += 1;
        }
    }
    counts
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
    use super::super::{PAPER_SETUPS, Protocol, SlicesCount, SlicesCv, Volumes};
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
        assert!(counts[0].1.unpredicted(0) + counts[0].1.unpredicted(1) == 0);
    }

    #[test]
    fn slices_that_held_out_ones_cross_count_as_annotated_again() {
        // A third of the z slices is held out: the y slices lose a sixth.
        let case = sparse("a", [12, 16, 16], [6, 2, 0]);
        let protocol = SlicesCv::new(std::slice::from_ref(&case), 3).unwrap();
        let split = protocol.split(std::slice::from_ref(&case), 0).unwrap();
        let (training, test) = (&split.training[0].labels, &split.held_out.slices[0].1);
        let kept = |axis: usize| {
            let held = protocol.folds()[0].iter().filter(|s| s.axis == axis);
            let held: Vec<usize> = held.map(|s| s.index).collect();
            let mut slices = case.labels.annotated_slices()[axis].clone();
            slices.retain(|i| !held.contains(i));
            slices
        };
        assert_ne!(training.annotated_slices()[1], kept(1));
        let closed = close_crossings(training, test);
        assert_eq!(closed.annotated_slices(), [kept(0), kept(1), vec![]]);
        // Nothing that was there changed, and nothing else came.
        for (i, label) in closed.voxels.iter().enumerate() {
            let before = training.voxels[i];
            assert!(before == *label || (!before.is_annotated() && test.voxels[i].is_annotated()));
        }
    }

    #[test]
    fn slices_of_a_dense_volume_that_are_scored_stay_open() {
        // So small that no z slice of the test is annotated to nine tenths.
        let cases = [dense("a", [32, 48, 48])];
        let protocol = SlicesCount::new(&cases, &PAPER_SETUPS).unwrap();
        for part in 0..PAPER_SETUPS.len() {
            let split = protocol.split(&cases, part).unwrap();
            let (training, test) = (&split.training[0].labels, &split.held_out.slices[0].1);
            assert!(test.annotated_slices()[0].is_empty());
            assert!(*training == close_crossings(training, test), "part {part}");
        }
    }
}
