//! The confusion matrix: how often each class of the truth was taken for each.

use unet3d_volume::{Label, Labels};

/// How often each class of the truth was predicted as each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confusion {
    classes: usize,
    /// `[truth, prediction]`; the last column counts voxels that the prediction
    /// leaves unlabeled.
    counts: Vec<u64>,
}

/// Labels that cannot be compared.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[allow(missing_docs, reason = "each field is explained by its message")]
pub enum MismatchError {
    /// Different shapes.
    #[error(
        "{what}: shape {found:?} [z, y, x], the truth has {truth:?}; both must have the same. They may belong to different volumes or resolutions."
    )]
    Shape {
        what: &'static str,
        found: [usize; 3],
        truth: [usize; 3],
    },
    /// Different classes.
    #[error(
        "prediction: classes have the values {found:?}, those of the truth {truth:?}; both must have the same, in the same order. Read both under the same label scheme."
    )]
    Classes { found: Vec<i64>, truth: Vec<i64> },
    /// A truth whose surfaces are not known everywhere.
    #[error(
        "{unlabeled} of {voxels} voxels are not annotated in the truth, so nobody knows where its surfaces are; they can be measured only in a truth that is annotated everywhere. Give a dense truth."
    )]
    PartlyAnnotated { unlabeled: usize, voxels: usize },
}

impl MismatchError {
    /// Refuses volumes of another shape than the truth.
    pub(crate) fn check_shapes(
        truth: &Labels,
        prediction: &Labels,
        except: Option<&Labels>,
    ) -> Result<(), Self> {
        let others = [
            ("prediction", Some(prediction)),
            ("excepted labels", except),
        ];
        for (what, other) in others {
            if let Some(other) = other
                && other.geometry.shape != truth.geometry.shape
            {
                return Err(Self::Shape {
                    what,
                    found: other.geometry.shape,
                    truth: truth.geometry.shape,
                });
            }
        }
        Ok(())
    }
}

impl Confusion {
    /// No voxel counted yet.
    pub fn new(classes: usize) -> Self {
        Self {
            classes,
            counts: vec![0; classes * (classes + 1)],
        }
    }

    /// Voxels `[truth, prediction]` that were counted, or expected, otherwise.
    ///
    /// # Panics
    /// When `voxels` are not as many as pairs of classes.
    pub fn of_counts(classes: usize, voxels: &[u64]) -> Self {
        assert_eq!(voxels.len(), classes * classes, "a count a pair of classes");
        let mut out = Self::new(classes);
        for (i, n) in voxels.iter().enumerate() {
            out.counts[i / classes * (classes + 1) + i % classes] = *n;
        }
        out
    }

    /// Counts a whole volume. Voxels that are unlabeled in `truth`, and those
    /// annotated in `except` (what the network was trained on), count nowhere.
    ///
    /// # Errors
    /// Volumes of different shapes, classes of different values.
    pub fn compare(
        truth: &Labels,
        prediction: &Labels,
        except: Option<&Labels>,
    ) -> Result<Self, MismatchError> {
        MismatchError::check_shapes(truth, prediction, except)?;
        let values = |labels: &Labels| labels.classes.iter().map(|c| c.value).collect::<Vec<_>>();
        if values(truth) != values(prediction) {
            return Err(MismatchError::Classes {
                found: values(prediction),
                truth: values(truth),
            });
        }
        let mut confusion = Self::new(truth.classes.len());
        let except = except.map(|e| &e.voxels[..]);
        confusion.add(&truth.voxels, &prediction.voxels, except);
        Ok(confusion)
    }

    /// Counts voxels. Those that are unlabeled in `truth` or annotated in
    /// `except` count nowhere; those unlabeled in `prediction` count as missed.
    ///
    /// # Panics
    /// When the slices differ in length or hold a class that is not below the
    /// number of classes.
    pub fn add(&mut self, truth: &[Label], prediction: &[Label], except: Option<&[Label]>) {
        assert_eq!(truth.len(), prediction.len(), "one prediction per voxel");
        if let Some(except) = except {
            assert_eq!(truth.len(), except.len(), "one exception per voxel");
        }
        for (i, (t, p)) in truth.iter().zip(prediction).enumerate() {
            let Some(t) = t.class() else { continue };
            if except.is_some_and(|e| e[i].is_annotated()) {
                continue;
            }
            let p = p.class().unwrap_or(self.classes);
            assert!(p <= self.classes, "class {p} of {}", self.classes);
            self.counts[t * (self.classes + 1) + p] += 1;
        }
    }

    /// Adds the counts of `other`.
    ///
    /// # Panics
    /// When the numbers of classes differ.
    pub fn merge(&mut self, other: &Self) {
        assert_eq!(self.classes, other.classes, "one set of classes");
        for (a, b) in self.counts.iter_mut().zip(&other.counts) {
            *a += b;
        }
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Voxels of class `truth` predicted as class `prediction`.
    pub fn count(&self, truth: usize, prediction: usize) -> u64 {
        assert!(prediction < self.classes);
        self.counts[truth * (self.classes + 1) + prediction]
    }

    /// Voxels of class `truth` that the prediction leaves unlabeled.
    pub fn unpredicted(&self, truth: usize) -> u64 {
        self.counts[truth * (self.classes + 1) + self.classes]
    }

    /// Voxels of class `class` in the truth.
    pub fn truth_voxels(&self, class: usize) -> u64 {
        let row = self.classes + 1;
        self.counts[class * row..][..row].iter().sum()
    }

    /// Voxels predicted as class `class`.
    pub fn predicted_voxels(&self, class: usize) -> u64 {
        (0..self.classes).map(|t| self.count(t, class)).sum()
    }

    /// Voxels counted.
    pub fn voxels(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Intersection over union, `TP / (TP + FP + FN)`; `None` where the class
    /// is in neither volume.
    pub fn iou(&self, class: usize) -> Option<f64> {
        let both = self.count(class, class);
        let either = self.truth_voxels(class) + self.predicted_voxels(class) - both;
        (either > 0).then(|| both as f64 / either as f64)
    }

    /// Dice coefficient, `2 TP / (2 TP + FP + FN)`; `None` where the class is
    /// in neither volume.
    pub fn dice(&self, class: usize) -> Option<f64> {
        let both = 2 * self.count(class, class);
        let sum = self.truth_voxels(class) + self.predicted_voxels(class);
        (sum > 0).then(|| both as f64 / sum as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use unet3d_volume::{Class, Geometry};

    pub(crate) fn row(classes: usize, voxels: &[i32]) -> Labels {
        Labels {
            geometry: Geometry::of_shape([1, 1, voxels.len()]),
            classes: (0..classes as i64)
                .map(|value| Class {
                    value,
                    name: format!("c{value}"),
                })
                .collect(),
            voxels: voxels
                .iter()
                .map(|&v| usize::try_from(v).map_or(Label::UNLABELED, Label::of_class))
                .collect(),
        }
    }

    #[test]
    fn by_hand() {
        let truth = row(3, &[0, 0, 0, 0, 1, 1, -1, -1]);
        let prediction = row(3, &[0, 0, 1, -1, 1, 0, 2, 1]);
        let c = Confusion::compare(&truth, &prediction, None).unwrap();
        assert_eq!(c.voxels(), 6);
        assert_eq!([c.count(0, 0), c.count(0, 1), c.unpredicted(0)], [2, 1, 1]);
        assert_eq!([c.count(1, 0), c.count(1, 1)], [1, 1]);
        assert_eq!([c.truth_voxels(0), c.predicted_voxels(0)], [4, 3]);
        assert_eq!(
            [c.iou(0), c.iou(1), c.iou(2)],
            [Some(0.4), Some(1.0 / 3.0), None]
        );
        assert_eq!(
            [c.dice(0), c.dice(1), c.dice(2)],
            [Some(4.0 / 7.0), Some(0.5), None]
        );
    }

    #[test]
    fn a_class_that_is_only_predicted_or_only_missed_scores_0() {
        let c = Confusion::compare(&row(2, &[0, 0]), &row(2, &[1, 1]), None).unwrap();
        assert_eq!([c.iou(0), c.iou(1)], [Some(0.0), Some(0.0)]);
        assert_eq!([c.dice(0), c.dice(1)], [Some(0.0), Some(0.0)]);
    }

    #[test]
    fn voxels_annotated_in_the_exception_count_nowhere() {
        let truth = row(2, &[0, 1, 1]);
        let prediction = row(2, &[1, 1, 1]);
        let sparse = row(2, &[0, -1, -1]);
        let c = Confusion::compare(&truth, &prediction, Some(&sparse)).unwrap();
        assert_eq!(c.voxels(), 2);
        assert_eq!([c.iou(0), c.iou(1)], [None, Some(1.0)]);
    }

    #[test]
    fn labels_that_do_not_match_are_refused() {
        let a = row(2, &[0, 1]);
        let message = |prediction: &Labels, except: Option<&Labels>| {
            Confusion::compare(&a, prediction, except)
                .unwrap_err()
                .to_string()
        };
        assert!(message(&row(2, &[0]), None).starts_with("prediction: shape [1, 1, 1]"));
        assert!(message(&a, Some(&row(2, &[0]))).starts_with("excepted labels: shape"));
        assert!(message(&row(3, &[0, 1]), None).contains("values [0, 1, 2]"));
    }

    proptest! {
        #[test]
        fn scores_agree_with_sets_and_parts_add_up(
            voxels in prop::collection::vec((-1i32..4, -1i32..4), 1..60),
            cut in 0usize..60,
        ) {
            let (t, p): (Vec<_>, Vec<_>) = voxels.iter().copied().unzip();
            let (truth, prediction) = (row(4, &t), row(4, &p));
            let whole = Confusion::compare(&truth, &prediction, None).unwrap();
            for c in 0..4 {
                let k = c as i32;
                let count = |f: &dyn Fn(i32, i32) -> bool| {
                    voxels.iter().filter(|(t, p)| *t >= 0 && f(*t, *p)).count() as f64
                };
                let both = count(&|t, p| t == k && p == k);
                let either = count(&|t, p| t == k || p == k);
                let iou = (either > 0.0).then(|| both / either);
                prop_assert_eq!(whole.iou(c), iou);
                if let (Some(iou), Some(dice)) = (iou, whole.dice(c)) {
                    prop_assert!((dice - 2.0 * iou / (1.0 + iou)).abs() < 1e-12);
                }
            }
            let cut = cut.min(t.len());
            let mut parts = Confusion::new(4);
            for range in [0..cut, cut..t.len()] {
                let mut part = Confusion::new(4);
                part.add(&truth.voxels[range.clone()], &prediction.voxels[range], None);
                parts.merge(&part);
            }
            prop_assert_eq!(parts, whole);
        }
    }
}
