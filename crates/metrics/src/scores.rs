//! The scores of one case: per class and mean.

use serde::Serialize;
use unet3d_volume::Class;

use crate::Confusion;

/// Scores of one class.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassScores {
    /// Value in label files.
    pub value: i64,
    /// Name for people.
    pub name: String,
    /// Intersection over union; `None` where the class is in neither volume.
    pub iou: Option<f64>,
    /// Dice coefficient; `None` where the class is in neither volume.
    pub dice: Option<f64>,
    /// Voxels of the class in the truth.
    pub voxels: u64,
    /// Voxels predicted as the class.
    pub predicted_voxels: u64,
}

/// Scores of one segmentation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Scores {
    /// Mean IoU of the classes that have one; `None` where none has.
    pub mean_iou: Option<f64>,
    /// Mean Dice of the classes that have one; `None` where none has.
    pub mean_dice: Option<f64>,
    /// Each class, in order of index.
    pub classes: Vec<ClassScores>,
    /// Number of classes that the means are over.
    pub classes_averaged: usize,
    /// Voxels scored.
    pub voxels: u64,
    /// `[truth][prediction]` voxels, in order of class index.
    pub confusion: Vec<Vec<u64>>,
    /// For each class of the truth, voxels that the prediction leaves unlabeled.
    pub unpredicted: Vec<u64>,
}

impl Scores {
    /// The scores that follow from the counts.
    ///
    /// # Panics
    /// When `classes` are not as many as were counted.
    pub fn new(confusion: &Confusion, classes: &[Class]) -> Self {
        assert_eq!(confusion.classes(), classes.len(), "one set of classes");
        let n = classes.len();
        let scores: Vec<ClassScores> = classes
            .iter()
            .enumerate()
            .map(|(c, class)| ClassScores {
                value: class.value,
                name: class.name.clone(),
                iou: confusion.iou(c),
                dice: confusion.dice(c),
                voxels: confusion.truth_voxels(c),
                predicted_voxels: confusion.predicted_voxels(c),
            })
            .collect();
        Self {
            mean_iou: mean(scores.iter().map(|c| c.iou)),
            mean_dice: mean(scores.iter().map(|c| c.dice)),
            classes_averaged: scores.iter().filter(|c| c.iou.is_some()).count(),
            classes: scores,
            voxels: confusion.voxels(),
            confusion: (0..n)
                .map(|t| (0..n).map(|p| confusion.count(t, p)).collect())
                .collect(),
            unpredicted: (0..n).map(|t| confusion.unpredicted(t)).collect(),
        }
    }
}

impl Scores {
    /// The same with another IoU for the classes of which `iou` knows one, and what
    /// follows from it: Dice is `2 IoU / (1 + IoU)`, the means are over the classes.
    pub fn with_iou(mut self, iou: impl Fn(usize) -> Option<f64>) -> Self {
        for (c, class) in self.classes.iter_mut().enumerate() {
            if let Some(iou) = iou(c) {
                class.iou = Some(iou);
                class.dice = Some(2.0 * iou / (1.0 + iou));
            }
        }
        self.with_means()
    }

    /// The same without IoU and Dice of the classes that are not `known`; the means
    /// are over the others.
    pub fn only(mut self, known: &[bool]) -> Self {
        for (class, _) in self.classes.iter_mut().zip(known).filter(|(_, k)| !**k) {
            (class.iou, class.dice) = (None, None);
        }
        self.with_means()
    }

    fn with_means(mut self) -> Self {
        self.mean_iou = mean(self.classes.iter().map(|c| c.iou));
        self.mean_dice = mean(self.classes.iter().map(|c| c.dice));
        self.classes_averaged = self.classes.iter().filter(|c| c.iou.is_some()).count();
        self
    }
}

/// Mean of the values that there are; `None` where there is none.
pub(crate) fn mean(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let (sum, count) = values
        .flatten()
        .fold((0.0, 0u32), |(sum, count), v| (sum + v, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}
