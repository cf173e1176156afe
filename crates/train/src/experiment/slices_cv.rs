//! Table 1: cross-validation over the annotated slices of all volumes.
//!
//! The slices of all volumes and directions are pooled and parted into folds;
//! the slices of one fold are made unlabeled in all volumes, one network learns
//! from what is left of all volumes, and the fold's slices score it.
//!
//! The paper says "uniformly partitioned" and no more. Here slice `i` of the
//! pool, ordered by volume, direction and position, is in fold `i mod k`: folds
//! differ by one slice at most in all, by two in each volume, and each has slices
//! all over the volumes. A voxel where a held-out slice crosses one that stays
//! is held out (docs/decisions/0003).

use unet3d_volume::words::counted;

use super::protocol::{Part, Protocol, Split, is_dense, part, require_two_classes, with_labels};
use crate::validate::HeldOut;
use crate::{Case, Error};

/// One annotated slice of one case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AnnotatedSlice {
    /// Index of the case.
    pub case: usize,
    /// Axis that it lies across: 0 (z), 1 (y), 2 (x).
    pub axis: usize,
    /// Position along that axis.
    pub index: usize,
}

/// Cross-validation over pooled slices.
#[derive(Clone, Debug)]
pub struct SlicesCv {
    parts: Vec<Part>,
    folds: Vec<Vec<AnnotatedSlice>>,
}

impl SlicesCv {
    /// Parts the annotated slices of `cases` into `folds`.
    ///
    /// # Errors
    /// Fewer than two folds, fewer slices than folds, or a densely annotated
    /// case, which has no slices to speak of.
    pub fn new(cases: &[Case], folds: usize) -> Result<Self, Error> {
        if folds < 2 {
            return Err(Error::config("folds", folds, "it must be at least 2"));
        }
        if let Some(case) = cases.iter().find(|case| is_dense(&case.labels)) {
            return Err(Error::Data(format!(
                "{}: most of its slices are annotated, so all that is not held out crosses what is. \
                 Say which slices a person would annotate, for example --slices z=5,y=3,x=3",
                case.name
            )));
        }
        let pool = pool(cases);
        if pool.len() < folds {
            return Err(Error::config(
                "folds",
                folds,
                format!(
                    "but all volumes together have {} (a slice counts where nine tenths of it \
                     are annotated); each fold needs one",
                    counted(pool.len(), "annotated slice")
                ),
            ));
        }
        Ok(Self {
            parts: (1..=folds).map(|k| part(format!("subset {k}"))).collect(),
            folds: partition(&pool, folds),
        })
    }

    /// The slices that each fold holds out.
    pub fn folds(&self) -> &[Vec<AnnotatedSlice>] {
        &self.folds
    }
}

impl Protocol for SlicesCv {
    fn parts(&self) -> &[Part] {
        &self.parts
    }

    fn split(&self, cases: &[Case], index: usize) -> Result<Split, Error> {
        let mut training = Vec::with_capacity(cases.len());
        let mut held_out = HeldOut::default();
        for (number, case) in cases.iter().enumerate() {
            let mut slices: [Vec<usize>; 3] = Default::default();
            for slice in self.folds[index].iter().filter(|s| s.case == number) {
                slices[slice.axis].push(slice.index);
            }
            let (rest, held) = case.labels.hold_out(&slices)?;
            training.push(with_labels(case, rest));
            if held.annotated_voxels() > 0 {
                held_out.slices.push((number, held));
            }
        }
        require_two_classes(&training, &self.parts[index])?;
        Ok(Split { training, held_out })
    }

    fn is_pooled(&self) -> bool {
        true
    }
}

/// The annotated slices of all cases, ordered by case, axis and position.
fn pool(cases: &[Case]) -> Vec<AnnotatedSlice> {
    let mut pool = Vec::new();
    for (case, found) in cases
        .iter()
        .map(|c| c.labels.annotated_slices())
        .enumerate()
    {
        for (axis, indices) in found.into_iter().enumerate() {
            pool.extend(
                indices
                    .into_iter()
                    .map(|index| AnnotatedSlice { case, axis, index }),
            );
        }
    }
    pool
}

fn partition(pool: &[AnnotatedSlice], folds: usize) -> Vec<Vec<AnnotatedSlice>> {
    let fold = |k: usize| pool.iter().copied().skip(k).step_by(folds).collect();
    (0..folds).map(fold).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::protocol::testing::{dense, sparse};
    use super::*;

    /// The paper's three samples in small: as many slices along z, y, x.
    fn paper() -> Vec<Case> {
        vec![
            sparse("1", [32, 30, 31], [8, 5, 7]),
            sparse("2", [28, 30, 30], [6, 7, 6]),
            sparse("3", [30, 30, 30], [5, 5, 4]),
        ]
    }

    #[test]
    fn each_slice_is_held_out_once_and_folds_are_equal() {
        let cases = paper();
        let protocol = SlicesCv::new(&cases, 3).unwrap();
        let all: Vec<AnnotatedSlice> = protocol.folds().concat();
        assert_eq!(all.len(), 53);
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), 53);
        let sizes: Vec<usize> = protocol.folds().iter().map(Vec::len).collect();
        assert_eq!(sizes, [18, 18, 17]);
        for fold in protocol.folds() {
            for (case, slices) in [20, 19, 14].into_iter().enumerate() {
                let n = fold.iter().filter(|s| s.case == case).count();
                assert!(n.abs_diff(slices / 3) <= 1, "{n} of {slices}");
            }
            // All over each volume: some in each direction.
            assert!((0..3).all(|axis| fold.iter().any(|s| s.case == 0 && s.axis == axis)));
        }
    }

    #[test]
    fn no_voxel_is_both_learned_from_and_scored_and_none_is_lost() {
        let cases = paper();
        let protocol = SlicesCv::new(&cases, 3).unwrap();
        for fold in 0..3 {
            let split = protocol.split(&cases, fold).unwrap();
            assert_eq!(split.training.len(), 3);
            assert_eq!(split.held_out.slices.len(), 3);
            for (case, held) in &split.held_out.slices {
                let training = &split.training[*case].labels;
                let original = &cases[*case].labels;
                for i in 0..held.voxels.len() {
                    let parts = [held.voxels[i], training.voxels[i]];
                    let annotated = parts.iter().filter(|l| l.is_annotated()).count();
                    assert_eq!(annotated, usize::from(original.voxels[i].is_annotated()));
                }
            }
            // Whole slices are scored, also where slices that stay cross them.
            let slice = protocol.folds()[fold][0];
            let (_, held) = &split.held_out.slices[0];
            assert!(held.annotated_slices()[slice.axis].contains(&slice.index));
        }
    }

    #[test]
    fn what_cannot_be_parted_is_refused() {
        let refused = |cases: &[Case], folds| SlicesCv::new(cases, folds).unwrap_err().to_string();
        assert!(refused(&paper(), 1).contains("at least 2"));
        let few = [sparse("a", [20; 3], [1, 1, 0])];
        assert!(refused(&few, 3).contains("2 annotated slices"));
        assert!(refused(&[dense("a", [8; 3])], 3).contains("--slices"));
        // Two folds of one slice each leave half of the annotation.
        let split = SlicesCv::new(&few, 2).unwrap().split(&few, 0).unwrap();
        assert_eq!(split.held_out.slices.len(), 1);
    }
}
