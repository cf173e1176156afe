//! Table 3: new volumes. Some are learned from, the others tested, all their
//! annotated voxels.
//!
//! The paper leaves out one of three volumes in turn. With more, groups (several
//! volumes of one subject, say) are left out together, one group or, in
//! `folds`, every k-th group at a time; or the data set's own split is used once.

use unet3d_volume::words::counted;

use super::protocol::{Part, Protocol, Split, part, require_two_classes, with_labels};
use crate::validate::HeldOut;
use crate::{Case, Error};

/// Volumes left out in turn.
#[derive(Clone, Debug)]
pub struct Volumes {
    parts: Vec<Part>,
    /// Of each part: the cases that are tested.
    tested: Vec<Vec<usize>>,
    /// Slices along `[z, y, x]` that training cases are thinned out to.
    slices: Option<[usize; 3]>,
}

impl Volumes {
    /// Leaves out the cases of one group at a time, or of every `folds`-th group.
    /// `groups` names the group of each case; training learns from `slices`
    /// evenly spaced slices along `[z, y, x]` of each case, where given, while
    /// tests have all that is annotated.
    ///
    /// # Errors
    /// Fewer than two groups, fewer than two folds, more folds than groups.
    pub fn leave_out(
        groups: &[String],
        folds: Option<usize>,
        slices: Option<[usize; 3]>,
    ) -> Result<Self, Error> {
        let mut names: Vec<&String> = Vec::new();
        for group in groups {
            if !names.contains(&group) {
                names.push(group);
            }
        }
        let n = names.len();
        if n < 2 {
            return Err(Error::Data(format!(
                "there is {n} group of volumes, at least 2 are needed to leave one out. \
                 Give more volumes, or another grouping"
            )));
        }
        let k = folds.unwrap_or(n);
        if k < 2 || k > n {
            let rule = format!("it must be from 2 to the number of groups, {n}");
            return Err(Error::config("folds", k, rule));
        }
        let in_fold = |fold: usize| {
            let left_out: Vec<&String> = names.iter().skip(fold).step_by(k).copied().collect();
            (0..groups.len())
                .filter(|i| left_out.contains(&&groups[*i]))
                .collect()
        };
        let name = |fold: usize| match k == n {
            true => part(names[fold].clone()),
            false => part(format!("fold {}", fold + 1)),
        };
        Ok(Self {
            parts: (0..k).map(name).collect(),
            tested: (0..k).map(in_fold).collect(),
            slices,
        })
    }

    /// Tests the cases that `is_tested` says, once.
    ///
    /// # Errors
    /// When nothing is tested, or nothing is learned from.
    pub fn once(is_tested: &[bool], slices: Option<[usize; 3]>) -> Result<Self, Error> {
        let tested: Vec<usize> = (0..is_tested.len()).filter(|i| is_tested[*i]).collect();
        if tested.is_empty() || tested.len() == is_tested.len() {
            return Err(Error::Data(format!(
                "the split tests {} of {}; some must be tested and some learned from",
                tested.len(),
                counted(is_tested.len(), "volume")
            )));
        }
        Ok(Self {
            parts: vec![part("validate")],
            tested: vec![tested],
            slices,
        })
    }

    /// The cases that each part tests.
    pub fn tested(&self) -> &[Vec<usize>] {
        &self.tested
    }
}

impl Protocol for Volumes {
    fn parts(&self) -> &[Part] {
        &self.parts
    }

    fn split(&self, cases: &[Case], index: usize) -> Result<Split, Error> {
        let tested = &self.tested[index];
        let learned = (0..cases.len()).filter(|i| !tested.contains(i));
        let training: Vec<Case> = learned
            .map(|i| match self.slices {
                Some(slices) => with_labels(&cases[i], cases[i].labels.sparsify(slices)),
                None => cases[i].clone(),
            })
            .collect();
        require_two_classes(&training, &self.parts[index])?;
        Ok(Split {
            training,
            held_out: HeldOut {
                cases: tested.iter().map(|i| cases[*i].clone()).collect(),
                slices: Vec::new(),
            },
        })
    }

    fn is_pooled(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::super::protocol::testing::dense;
    use super::*;

    fn groups(names: &[&str]) -> Vec<String> {
        names.iter().map(|n| (*n).to_owned()).collect()
    }

    #[test]
    fn every_case_is_tested_once_and_groups_stay_together() {
        let names = groups(&["a", "a", "b", "c", "b", "d", "e"]);
        for folds in [None, Some(2), Some(3)] {
            let protocol = Volumes::leave_out(&names, folds, None).unwrap();
            assert_eq!(protocol.parts().len(), folds.unwrap_or(5));
            let mut all: Vec<usize> = protocol.tested().concat();
            all.sort_unstable();
            assert_eq!(all, [0, 1, 2, 3, 4, 5, 6]);
            for tested in protocol.tested() {
                let of = |group: &str| tested.iter().filter(|i| names[**i] == group).count();
                assert!([0, 2].contains(&of("a")) && [0, 2].contains(&of("b")));
            }
        }
        let one_each = Volumes::leave_out(&names, None, None).unwrap();
        assert_eq!(one_each.parts()[1].name, "b");
    }

    #[test]
    fn tested_cases_are_not_learned_from_and_keep_all_their_labels() {
        let cases: Vec<Case> = ["a", "b", "c"].map(|n| dense(n, [8; 3])).to_vec();
        let protocol =
            Volumes::leave_out(&groups(&["a", "b", "c"]), None, Some([1, 1, 0])).unwrap();
        let split = protocol.split(&cases, 1).unwrap();
        let names: Vec<_> = split.training.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names, ["a", "c"]);
        assert_eq!(split.training[0].labels.annotated_voxels(), 64 + 64 - 8);
        assert_eq!(split.held_out.cases, [cases[1].clone()]);
    }

    #[test]
    fn what_leaves_nothing_is_refused() {
        let names = groups(&["a", "b"]);
        assert!(Volumes::leave_out(&groups(&["a", "a"]), None, None).is_err());
        assert!(Volumes::leave_out(&names, Some(1), None).is_err());
        assert!(Volumes::leave_out(&names, Some(3), None).is_err());
        assert!(Volumes::once(&[true, true], None).is_err());
        assert!(Volumes::once(&[false, false], None).is_err());
        assert_eq!(Volumes::once(&[false, true], None).unwrap().tested(), [[1]]);
    }
}
