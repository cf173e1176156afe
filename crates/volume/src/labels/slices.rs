//! Annotated slices: which there are, keeping some, holding some out.

use super::{Label, Labels, LabelsError};
use crate::Error;
use crate::volume::position;

/// Share of a slice's voxels from which the slice counts as annotated. Not 1,
/// because people leave doubtful spots and borders open; not much lower,
/// because many slices along one axis cover a large share of those across it.
const ANNOTATED_SHARE: f64 = 0.9;

/// The two axes that a slice along z, y, x has, rows first.
pub(super) const PLANES: [[usize; 2]; 3] = [[1, 2], [0, 2], [0, 1]];

/// `k` of `n` slices, evenly spaced: slice i of k stands at floor((i + 0.5) n / k);
/// all of them where `k >= n`.
///
/// ```
/// use unet3d_volume::labels::evenly_spaced;
/// assert_eq!(evenly_spaced(128, 3), [21, 64, 106]);
/// assert_eq!(evenly_spaced(2, 5), [0, 1]);
/// ```
pub fn evenly_spaced(n: usize, k: usize) -> Vec<usize> {
    let k = k.min(n);
    (0..k).map(|i| (2 * i + 1) * n / (2 * k)).collect()
}

impl Labels {
    /// What is left when only `slices` evenly spaced slices along `[z, y, x]`
    /// are annotated (0: none along that axis): voxels on none of them become
    /// unlabeled.
    pub fn sparsify(&self, slices: [usize; 3]) -> Self {
        let shape = self.geometry.shape;
        self.only_slices(&[0, 1, 2].map(|a| evenly_spaced(shape[a], slices[a])))
    }

    /// The slices along z, y and x that are annotated as a whole: at least 90 %
    /// of their voxels, since people leave doubtful spots open. In densely
    /// labeled volumes these are all; where strokes were painted, none.
    pub fn annotated_slices(&self) -> [Vec<usize>; 3] {
        let shape = self.geometry.shape;
        let mut annotated = shape.map(|n| vec![0usize; n]);
        for (i, label) in self.voxels.iter().enumerate() {
            if label.is_annotated() {
                let p = position(i, shape);
                (0..3).for_each(|a| annotated[a][p[a]] += 1);
            }
        }
        [0, 1, 2].map(|a| {
            let voxels = (self.voxels.len() / shape[a].max(1)) as f64;
            (0..shape[a])
                .filter(|&i| annotated[a][i] > 0)
                .filter(|&i| annotated[a][i] as f64 >= ANNOTATED_SHARE * voxels)
                .collect()
        })
    }

    /// The labels without the slices `indices` along `axis` (0 = z, 1 = y,
    /// 2 = x): every voxel on them is unlabeled, also where a slice of another
    /// direction that stays crosses them.
    ///
    /// # Errors
    /// A slice that is not there.
    pub fn without_slices(&self, axis: usize, indices: &[usize]) -> Result<Self, Error> {
        let mut slices = [const { Vec::new() }; 3];
        let Some(named) = slices.get_mut(axis) else {
            return Err(LabelsError::NoSuchAxis { axis }.into());
        };
        named.extend_from_slice(indices);
        Ok(self.hold_out(&slices)?.0)
    }

    /// Parts the labels for an honest score: first what stays for training,
    /// then what is held out, by slices along `[z, y, x]`.
    ///
    /// A voxel on any held-out slice is in the second part alone, also where
    /// slices that stay cross it; so no annotated voxel is in both, and each is
    /// in one.
    ///
    /// # Errors
    /// A slice that is not there.
    pub fn hold_out(&self, slices: &[Vec<usize>; 3]) -> Result<(Self, Self), Error> {
        for (axis, indices) in slices.iter().enumerate() {
            let count = self.geometry.shape[axis];
            if let Some(&index) = indices.iter().find(|&&i| i >= count) {
                return Err(LabelsError::NoSuchSlice { axis, index, count }.into());
            }
        }
        let held_out = self.only_slices(slices);
        let mut rest = self.clone();
        for (rest, held) in rest.voxels.iter_mut().zip(&held_out.voxels) {
            if held.is_annotated() {
                *rest = Label::UNLABELED;
            }
        }
        Ok((rest, held_out))
    }

    /// The labels on these slices along `[z, y, x]`, all others unlabeled.
    fn only_slices(&self, slices: &[Vec<usize>; 3]) -> Self {
        let shape = self.geometry.shape;
        let kept = [0, 1, 2].map(|a| {
            let mut kept = vec![false; shape[a]];
            slices[a].iter().for_each(|&i| kept[i] = true);
            kept
        });
        let mut out = self.clone();
        for (i, label) in out.voxels.iter_mut().enumerate() {
            let p = position(i, shape);
            if !(0..3).any(|a| kept[a][p[a]]) {
                *label = Label::UNLABELED;
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Class, Geometry};
    use proptest::prelude::*;

    fn dense(shape: [usize; 3]) -> Labels {
        let class = |value: i64| Class {
            value,
            name: value.to_string(),
        };
        Labels {
            geometry: Geometry::of_shape(shape),
            classes: vec![class(0), class(1)],
            voxels: (0..shape.iter().product())
                .map(|i| Label::of_class(i % 2))
                .collect(),
        }
    }

    #[test]
    fn evenly_spaced_by_hand() {
        assert_eq!(evenly_spaced(64, 1), [32]);
        assert_eq!(evenly_spaced(10, 3), [1, 5, 8]);
        assert_eq!(evenly_spaced(3, 3), [0, 1, 2]);
        assert_eq!(evenly_spaced(5, 0), [0; 0]);
        assert_eq!(evenly_spaced(0, 4), [0; 0]);
    }

    #[test]
    fn sparsify_keeps_whole_slices_that_are_found_again() {
        let labels = dense([20, 22, 24]);
        let sparse = labels.sparsify([3, 0, 2]);
        assert_eq!(
            sparse.annotated_slices(),
            [vec![3, 10, 16], vec![], vec![6, 18]]
        );
        assert_eq!(
            sparse.annotated_voxels(),
            3 * 22 * 24 + 2 * 20 * 22 - 3 * 2 * 22
        );
        for (a, b) in labels.voxels.iter().zip(&sparse.voxels) {
            assert!(!b.is_annotated() || a == b);
        }
    }

    #[test]
    fn dense_labels_have_all_slices_and_strokes_none() {
        let labels = dense([3, 4, 5]);
        assert_eq!(labels.annotated_slices().map(|s| s.len()), [3, 4, 5]);
        let mut strokes = dense([10, 10, 10]);
        strokes.voxels[20..].fill(Label::UNLABELED);
        assert!(strokes.annotated_slices().iter().all(Vec::is_empty));
    }

    #[test]
    fn slices_held_out_leave_also_where_others_cross_them() {
        let sparse = dense([20, 20, 20]).sparsify([3, 3, 0]);
        let slices = [vec![10], vec![], vec![]];
        let (rest, held_out) = sparse.hold_out(&slices).unwrap();
        assert_eq!(held_out.annotated_slices(), [vec![10], vec![], vec![]]);
        assert_eq!(held_out.annotated_voxels(), 400);
        // The y slices that stay have lost the line where z = 10 crosses them.
        assert_eq!(
            rest.annotated_slices(),
            [vec![3, 16], vec![3, 10, 16], vec![]]
        );
        assert_eq!(rest, sparse.without_slices(0, &[10]).unwrap());
    }

    #[test]
    fn slices_that_are_not_there_are_refused() {
        let labels = dense([2, 2, 2]);
        let error = labels.without_slices(1, &[2]).unwrap_err().to_string();
        assert!(
            error.starts_with("slice y=2: the labels have 2 slices"),
            "{error}"
        );
        assert!(labels.without_slices(3, &[]).is_err());
    }

    proptest! {
        #[test]
        fn each_annotated_voxel_is_in_exactly_one_part(
            keep in [0usize..4, 0..4, 0..4],
            z in prop::collection::vec(0usize..6, 0..3),
            x in prop::collection::vec(0usize..8, 0..3),
        ) {
            let sparse = dense([6, 7, 8]).sparsify(keep);
            let (rest, held_out) = sparse.hold_out(&[z, vec![], x]).unwrap();
            for i in 0..sparse.voxels.len() {
                let parts = [rest.voxels[i], held_out.voxels[i]];
                let annotated = parts.iter().filter(|l| l.is_annotated()).count();
                prop_assert_eq!(annotated, usize::from(sparse.voxels[i].is_annotated()));
            }
        }

        #[test]
        fn evenly_spaced_ascends_within_bounds_and_is_symmetric_to_one(n in 1usize..300, k in 1usize..300) {
            let slices = evenly_spaced(n, k);
            prop_assert_eq!(slices.len(), k.min(n));
            prop_assert!(slices.windows(2).all(|w| w[0] < w[1]));
            let (first, last) = (slices[0], slices[slices.len() - 1]);
            prop_assert!(last < n);
            prop_assert!((n - 1 - last).abs_diff(first) <= 1);
        }
    }
}
