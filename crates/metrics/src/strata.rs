//! From voxels of known truth to what a prediction as a whole is worth.
//!
//! A few slices are a poor sample of a volume: they may show more of a class, or
//! less of the rim, than the rest. But the prediction is known everywhere. So
//! voxels are sorted into strata (the class predicted, how near the border of the
//! volume, how certain), the sample says how often the truth is which class in
//! each, and each stratum counts as often as it occurs where nothing is known.
//! That is post-stratification, as in the theory of surveys (Särndal, Swensson,
//! Wretman: Model assisted survey sampling, 1992, section 7.6).
//!
//! Small strata borrow from the larger one they are part of: the class predicted
//! and the border, and that from the class predicted.

/// Voxels from the nearest border of the volume at which the next stratum
/// begins. Context is missing there: membranes and nuclei were segmented up to
/// 0.1 IoU worse within 4 voxels of the border than further inside.
pub const BORDERS: [usize; 3] = [2, 5, 10];

/// Fine steps in which certainty is counted, each a quarter of ln(p / (1 - p)).
pub const STEPS: usize = 64;

/// Strata of certainty that the steps are joined to, of equal size in the
/// sample: fewer leave a bias where the sample is less certain than the rest,
/// more only become smaller.
const CERTAINTIES: usize = 12;

/// Voxels that the larger stratum counts for in a smaller one: for border and
/// certainty. Neighbouring voxels are alike, so that a hundred hardly say more
/// than a few.
const BORROWED: [f64; 2] = [100.0, 20.0];

/// The stratum of a voxel, [`STEPS`] of them for each class and border.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stratum {
    /// Class predicted.
    pub class: usize,
    /// How many of [`BORDERS`] the voxel lies beyond.
    pub border: usize,
    /// Which of [`STEPS`].
    pub step: usize,
}

impl Stratum {
    /// How many there are.
    pub fn count(classes: usize) -> usize {
        classes * (BORDERS.len() + 1) * STEPS
    }

    /// Of a voxel with this label and `certainty`, its probability, so many voxels
    /// from the nearest border.
    pub fn new(class: usize, certainty: f64, voxels_from_border: usize) -> Self {
        let odds = (certainty / (1.0 - certainty).max(f64::MIN_POSITIVE)).ln();
        // From below even odds, as the best of several classes may be.
        let step = ((odds + 2.0) * 4.0).clamp(0.0, STEPS as f64 - 1.0);
        Self {
            class,
            border: BORDERS.iter().filter(|b| voxels_from_border >= **b).count(),
            step: step as usize,
        }
    }

    /// Its place among all.
    pub fn index(self) -> usize {
        (self.class * (BORDERS.len() + 1) + self.border) * STEPS + self.step
    }
}

/// How the fine steps of certainty are joined.
#[derive(Clone, Debug)]
pub struct Joined {
    classes: usize,
    stratum_of_step: [usize; STEPS],
}

impl Joined {
    /// Joins the steps to strata that are equally large in a sample, of which
    /// `voxels` are the counts by [`Stratum`].
    ///
    /// # Panics
    /// When there are not as many counts as strata.
    pub fn new(classes: usize, voxels: &[u64]) -> Self {
        assert_eq!(voxels.len(), Stratum::count(classes), "a count a stratum");
        let mut steps = [0; STEPS];
        for (i, n) in voxels.iter().enumerate() {
            steps[i % STEPS] += n;
        }
        let all = steps.iter().sum::<u64>().max(1) as f64;
        let mut before = 0.0;
        let stratum_of_step = steps.map(|n| {
            let middle = before + n as f64 / 2.0;
            before += n as f64;
            ((middle / all * CERTAINTIES as f64) as usize).min(CERTAINTIES - 1)
        });
        Self {
            classes,
            stratum_of_step,
        }
    }

    /// Number of joined strata.
    pub fn count(&self) -> usize {
        self.classes * (BORDERS.len() + 1) * CERTAINTIES
    }

    /// The joined stratum of a stratum.
    pub fn index(&self, stratum: usize) -> usize {
        stratum / STEPS * CERTAINTIES + self.stratum_of_step[stratum % STEPS]
    }

    /// Counts by joined stratum from counts by [`Stratum`].
    pub fn join(&self, voxels: &[u64]) -> Vec<u64> {
        let mut out = vec![0; self.count()];
        for (i, n) in voxels.iter().enumerate() {
            out[self.index(i)] += n;
        }
        out
    }

    /// Counts by joined stratum and truth from counts by [`Stratum`] and truth.
    pub fn join_known(&self, voxels: &[u32]) -> Vec<f64> {
        let mut out = vec![0.0; self.count() * self.classes];
        for (i, n) in voxels.iter().enumerate().filter(|(_, n)| **n > 0) {
            let (stratum, truth) = (i / self.classes, i % self.classes);
            out[self.index(stratum) * self.classes + truth] += f64::from(*n);
        }
        out
    }

    /// Expected confusion, `[truth, prediction]` in voxels, of a prediction that
    /// has `target` voxels in each joined stratum, where `sample`
    /// (`[joined stratum, truth]`) was seen.
    ///
    /// # Panics
    /// When counts are not as many as strata.
    pub fn confusion(&self, sample: &[f64], target: &[u64]) -> Vec<f64> {
        let classes = self.classes;
        assert_eq!(target.len(), self.count(), "a count a stratum");
        assert_eq!(sample.len(), self.count() * classes, "a row a stratum");
        let mut out = vec![0.0; classes * classes];
        let of_class = (BORDERS.len() + 1) * CERTAINTIES * classes;
        let rows = sample.chunks_exact(of_class);
        let targets = target.chunks_exact(of_class / classes);
        for (class, (sample, target)) in rows.zip(targets).enumerate() {
            // Where a class was never predicted in the sample, it counts as right;
            // `iou` says nothing of a class that the sample does not show at all.
            let mut right = vec![0.0; classes];
            right[class] = 1.0;
            let all = shares(sample, &right, f64::MIN_POSITIVE);
            let borders = sample.chunks_exact(CERTAINTIES * classes);
            for (border, target) in borders.zip(target.chunks_exact(CERTAINTIES)) {
                let of_border = shares(border, &all, BORROWED[0]);
                for (cell, voxels) in border.chunks_exact(classes).zip(target) {
                    let of_cell = shares(cell, &of_border, BORROWED[1]);
                    for (truth, share) in of_cell.iter().enumerate() {
                        out[truth * classes + class] += share * *voxels as f64;
                    }
                }
            }
        }
        out
    }

    /// Whether each class is in `sample` (`[joined stratum, truth]`), as the truth
    /// or as what was predicted.
    pub fn shown(&self, sample: &[f64]) -> Vec<bool> {
        let of_class = (BORDERS.len() + 1) * CERTAINTIES;
        let mut shown = vec![false; self.classes];
        for (i, _) in sample.iter().enumerate().filter(|(_, n)| **n > 0.0) {
            let (stratum, truth) = (i / self.classes, i % self.classes);
            shown[stratum / of_class] = true;
            shown[truth] = true;
        }
        shown
    }

    /// Expected IoU of each class of the prediction that [`confusion`] is about;
    /// `None` of a class that `sample` does not show, of which it can say nothing,
    /// and as [`iou()`].
    ///
    /// [`confusion`]: Self::confusion
    ///
    /// # Panics
    /// When counts are not as many as strata.
    pub fn iou(&self, sample: &[f64], target: &[u64]) -> Vec<Option<f64>> {
        let expected = iou(&self.confusion(sample, target), self.classes);
        let known = expected.into_iter().zip(self.shown(sample));
        known.map(|(iou, shown)| iou.filter(|_| shown)).collect()
    }
}

/// Share of each truth in rows of counts, with `borrowed` voxels of the shares
/// `from` added.
fn shares(rows: &[f64], from: &[f64], borrowed: f64) -> Vec<f64> {
    let classes = from.len();
    let mut out: Vec<f64> = from.iter().map(|share| borrowed * share).collect();
    for row in rows.chunks_exact(classes) {
        out.iter_mut().zip(row).for_each(|(sum, n)| *sum += n);
    }
    let sum: f64 = out.iter().sum();
    out.iter_mut().for_each(|n| *n /= sum);
    out
}

/// IoU of each class from a confusion, `[truth, prediction]`; `None` where a class
/// has less than half a voxel in both.
pub fn iou(confusion: &[f64], classes: usize) -> Vec<Option<f64>> {
    let of = |class: usize| {
        let both = confusion[class * classes + class];
        let either: f64 = (0..classes)
            .map(|other| confusion[class * classes + other] + confusion[other * classes + class])
            .sum::<f64>()
            - both;
        (either >= 0.5).then(|| both / either)
    };
    (0..classes).map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strata_are_apart_and_in_bounds() {
        for certainty in [0.0, 0.34, 0.5, 0.9, 0.999_999, 1.0] {
            for border in [0, 1, 2, 9, 10, 1000] {
                let stratum = Stratum::new(1, certainty, border);
                assert!(stratum.index() < Stratum::count(2), "{stratum:?}");
                assert!(stratum.index() >= Stratum::count(1), "{stratum:?}");
            }
        }
        assert_eq!(Stratum::new(0, 0.5, 4).border, 1);
        assert!(Stratum::new(0, 0.9, 0).step > Stratum::new(0, 0.5, 0).step);
    }

    /// A sample certain and right, unsure and right half of the time; the sample
    /// has equally many of each, the rest of the volume mostly unsure ones.
    #[test]
    fn a_sample_that_is_easier_than_the_rest_does_not_flatter() {
        let sure = Stratum::new(1, 0.999, 50).index();
        let unsure = Stratum::new(1, 0.6, 50).index();
        let mut seen = vec![0; Stratum::count(2)];
        (seen[sure], seen[unsure]) = (10_000, 10_000);
        let joined = Joined::new(2, &seen);
        let mut sample = vec![0.0; joined.count() * 2];
        sample[joined.index(sure) * 2 + 1] = 10_000.0;
        sample[joined.index(unsure) * 2] = 5_000.0;
        sample[joined.index(unsure) * 2 + 1] = 5_000.0;
        let mut target = vec![0; Stratum::count(2)];
        (target[sure], target[unsure]) = (1_000, 9_000);
        let confusion = joined.confusion(&sample, &joined.join(&target));
        assert!((confusion.iter().sum::<f64>() - 10_000.0).abs() < 1e-6);
        // 1,000 + 4,500 of 10,000; borrowing moves it by a few voxels.
        let iou = iou(&confusion, 2)[1].unwrap();
        assert!((iou - 0.55).abs() < 0.003, "{iou}");
    }

    #[test]
    fn of_a_class_that_the_sample_does_not_show_nothing_is_said() {
        let stratum = |class| Stratum::new(class, 0.9, 50).index();
        let mut seen = vec![0; Stratum::count(3)];
        seen[stratum(0)] = 100;
        let joined = Joined::new(3, &seen);
        // Class 0 is predicted and mostly right, 1 is missed, 2 is in neither.
        let mut sample = vec![0.0; joined.count() * 3];
        sample[joined.index(stratum(0)) * 3] = 75.0;
        sample[joined.index(stratum(0)) * 3 + 1] = 25.0;
        let mut target = seen.clone();
        target[stratum(2)] = 50;
        let target = joined.join(&target);
        assert_eq!(joined.shown(&sample), [true, true, false]);
        let found = joined.iou(&sample, &target);
        assert!((found[0].unwrap() - 0.75).abs() < 1e-9, "{found:?}");
        assert_eq!(found[1..], [Some(0.0), None]);
    }

    #[test]
    fn a_class_in_neither_has_no_score() {
        assert_eq!(iou(&[5.0, 0.0, 0.0, 0.0], 2), [Some(1.0), None]);
        assert_eq!(iou(&[6.0, 2.0, 0.0, 4.0], 2), [Some(0.75), Some(4.0 / 6.0)]);
    }
}
