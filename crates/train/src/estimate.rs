//! How good a prediction is where nobody annotated, from the slices held out.
//!
//! Comes in: the evidence of one prediction. Leaves: an [`Estimate`]: the scores
//! to expect on the voxels that nobody annotated, each with an interval, and how
//! far the probabilities can be trusted, with the temperature that makes them
//! honest. What each part does and why: [`strata`], [`interval()`], [`calibration`].
//!
//! [`strata`]: unet3d_metrics::strata
//! [`interval()`]: unet3d_metrics::interval::interval
//! [`calibration`]: unet3d_metrics::calibration

use unet3d_kernels::random::{Stream, generator};
use unet3d_metrics::calibration::Known;
use unet3d_metrics::interval::{Block, Estimated, combine, interval, spread};
use unet3d_metrics::strata::{BORDERS, Joined, STEPS};
use unet3d_metrics::{Calibration, Confusion, Reliability, Scores};
use unet3d_volume::Class;

use crate::evidence::{Evidence, Place};

/// Expected calibration error below which a network counts as calibrated: three
/// slices cannot tell it from none. Fitted temperatures left true errors of 0.008 to
/// 0.014 where they were or doubled them (docs/experiments.md).
const CALIBRATED: f64 = 0.02;

/// Share of the error that a temperature may leave, on slices that it was not
/// fitted on, to be worth having.
const WORTH_IT: f64 = 0.5;

/// What to expect of a prediction where no truth is known.
#[derive(Clone, Debug, PartialEq)]
pub struct Estimate {
    /// Expected on the voxels that were not annotated, the numbers of voxels too;
    /// where all are annotated, on those held out. A class that is not shown there
    /// has none, and the means are over the others.
    pub scores: Scores,
    /// Indices of the classes that are the truth of no voxel held out: nothing can be
    /// said of these. Voxels wrongly predicted as such a class count against the
    /// others, and say nothing of how good it is where it occurs.
    pub not_shown: Vec<usize>,
    /// Holds the mean IoU with the probability
    /// [`COVERAGE`](unet3d_metrics::interval::COVERAGE); `None` where too little is
    /// known to say.
    pub interval: Option<[f64; 2]>,
    /// Holds the IoU of each class with that probability.
    pub class_intervals: Vec<Option<[f64; 2]>>,
    /// Scores of the voxels held out as they are.
    pub held_out: Scores,
    /// How to make the probabilities honest. Its temperature is 1 where they are
    /// already, as far as can be told.
    pub calibration: Calibration,
    /// How reliable the probabilities are as the network gives them,
    pub reliability_before: Reliability,
    /// and calibrated, where each slice was judged with the temperature of the others.
    pub reliability_after: Reliability,
}

impl Estimate {
    /// What the evidence says. `slices` are those held out, `seed` draws the blocks.
    pub(crate) fn new(
        evidence: &Evidence<'_>,
        slices: &[Vec<usize>; 3],
        classes: &[Class],
        seed: u64,
    ) -> Self {
        let places = evidence.blocks(slices);
        let strata: Vec<usize> = rows(evidence)
            .zip(&evidence.voxels)
            .map(|(logits, voxel)| evidence.stratum(*voxel, logits))
            .collect();
        let mut seen = vec![0; evidence.not_annotated.len()];
        strata.iter().for_each(|s| seen[*s] += 1);
        let target = match evidence.not_annotated.iter().sum() {
            0u64 => &seen,
            _ => &evidence.not_annotated,
        };
        let joined = Joined::new(evidence.classes, &seen);
        let target_joined = joined.join(target);

        let blocks = blocks(evidence, &places, &strata, &joined);
        let mut sample = vec![0.0; joined.count() * evidence.classes];
        for (at, n) in blocks.iter().flat_map(|block| &block.counts) {
            sample[*at] += n;
        }
        let mut shown = vec![false; evidence.classes];
        for truth in &evidence.truth {
            shown[usize::from(*truth)] = true;
        }
        let iou = |sample: &[f64]| joined.iou(sample, &target_joined);
        let expected: Vec<Option<f64>> = (iou(&sample).into_iter().zip(&shown))
            .map(|(iou, shown)| iou.filter(|_| *shown))
            .collect();
        let mut spreads = spread(
            &blocks,
            sample.len(),
            |draw| numbers_of_draw(&iou(draw), &expected),
            &mut generator(seed, Stream::Blocks, 0),
        );
        let mut classes_known = expected.iter().zip(&spreads[1..]);
        if classes_known.any(|(iou, spread)| iou.is_some() && spread.is_none()) {
            spreads[0] = None;
        }
        let by_slice: Vec<_> = evidence
            .trained_on
            .iter()
            .map(|n| numbers(&iou(&joined.join_known(n)), &expected))
            .collect();
        let slices_held_out = slices.iter().map(Vec::len).sum();
        let estimates: Vec<Option<Estimated>> =
            (numbers(&expected, &expected).into_iter().enumerate())
                .map(|(i, value)| {
                    let held_out = Estimated {
                        value: value?,
                        spread: spreads[i]?,
                    };
                    let trained_on: Vec<f64> = by_slice.iter().filter_map(|n| n[i]).collect();
                    Some(combine(held_out, slices_held_out, &trained_on))
                })
                .collect();
        let counts: Vec<u64> = (joined.confusion(&sample, &target_joined).iter())
            .map(|n| n.round() as u64)
            .collect();
        let scores = Scores::new(&Confusion::of_counts(evidence.classes, &counts), classes)
            .with_iou(|class| estimates[class + 1].map(|e| e.value))
            .only(&shown);

        let weights = weights(&strata, &seen, target);
        let (calibration, before, after) = calibrate(evidence, &places, &weights);
        Self {
            interval: (estimates[0].zip(scores.mean_iou))
                .map(|(mean, value)| interval(Estimated { value, ..mean })),
            class_intervals: estimates[1..].iter().map(|e| e.map(interval)).collect(),
            scores,
            not_shown: (0..evidence.classes).filter(|c| !shown[*c]).collect(),
            held_out: held_out(evidence, classes).only(&shown),
            calibration,
            reliability_before: before,
            reliability_after: after,
        }
    }
}

/// The mean first, then each class. The mean is over the classes that are
/// `expected`, and there is none where one of them is not shown: of other classes it
/// would be another number.
fn numbers(iou: &[Option<f64>], expected: &[Option<f64>]) -> Vec<Option<f64>> {
    let averaged = iou.iter().zip(expected).filter(|(_, e)| e.is_some());
    let found: Option<Vec<f64>> = averaged.map(|(iou, _)| *iou).collect();
    let found = found.filter(|values| !values.is_empty());
    let mean = found.map(|values| values.iter().sum::<f64>() / values.len() as f64);
    [mean].into_iter().chain(iou.iter().copied()).collect()
}

/// The same of blocks drawn, whose mean takes a class that they happen not to show
/// as expected.
fn numbers_of_draw(iou: &[Option<f64>], expected: &[Option<f64>]) -> Vec<Option<f64>> {
    let completed: Vec<_> = (iou.iter().zip(expected))
        .map(|(iou, e)| iou.or(*e))
        .collect();
    let mean = numbers(&completed, expected)[0];
    [mean].into_iter().chain(iou.iter().copied()).collect()
}

fn rows<'a>(evidence: &'a Evidence<'_>) -> impl Iterator<Item = &'a [f32]> {
    evidence.logits.chunks_exact(evidence.classes)
}

/// The voxels held out, block by block: counts by joined stratum and truth.
fn blocks(
    evidence: &Evidence<'_>,
    places: &[Place],
    strata: &[usize],
    joined: &Joined,
) -> Vec<Block> {
    let mut order: Vec<usize> = (0..places.len()).collect();
    let cell =
        |i: usize| joined.index(strata[i]) * evidence.classes + usize::from(evidence.truth[i]);
    order.sort_by_key(|i| (places[*i].block, cell(*i)));
    let mut out: Vec<Block> = Vec::new();
    let mut last = None;
    for i in order {
        if last != Some(places[i].block) {
            last = Some(places[i].block);
            out.push(Block {
                group: places[i].slice,
                counts: Vec::new(),
            });
        }
        if let Some(block) = out.last_mut() {
            match block.counts.last_mut() {
                Some((at, n)) if *at == cell(i) => *n += 1.0,
                _ => block.counts.push((cell(i), 1.0)),
            }
        }
    }
    out
}

/// How much each voxel held out counts, so that those near the border of the
/// volume have the share that they have where nobody annotated.
fn weights(strata: &[usize], seen: &[u64], target: &[u64]) -> Vec<f64> {
    let by_border = |voxels: &[u64]| {
        let mut out = [0.0; BORDERS.len() + 1];
        for (i, n) in voxels.iter().enumerate() {
            out[i / STEPS % (BORDERS.len() + 1)] += *n as f64;
        }
        let all: f64 = out.iter().sum();
        out.map(|n| n / all.max(1.0))
    };
    let (have, want) = (by_border(seen), by_border(target));
    let border = strata.iter().map(|s| s / STEPS % (BORDERS.len() + 1));
    border
        .map(|b| want[b] / have[b].max(f64::MIN_POSITIVE))
        .collect()
}

/// Fits the temperature on all voxels held out, and says how well it does by
/// those fitted without the slice they are judged on (without the block, where
/// there is one slice only).
fn calibrate(
    evidence: &Evidence<'_>,
    places: &[Place],
    weights: &[f64],
) -> (Calibration, Reliability, Reliability) {
    let first = places.first().map(|p| p.slice);
    let is_single = places.iter().all(|p| Some(p.slice) == first);
    let fold = |place: &Place| {
        if is_single {
            place.block % 2
        } else {
            place.slice
        }
    };
    let folds: Vec<usize> = places.iter().map(fold).collect();
    let only = |keep: &dyn Fn(usize) -> bool| -> Vec<f64> {
        let kept = folds.iter().zip(weights);
        kept.map(|(fold, w)| if keep(*fold) { *w } else { 0.0 })
            .collect()
    };
    let before = known(evidence, weights).reliability(1.0);
    let mut after = Reliability::default();
    for judged in 0..=folds.iter().copied().max().unwrap_or(0) {
        let temperature = known(evidence, &only(&|fold| fold != judged)).temperature();
        after.merge(&known(evidence, &only(&|fold| fold == judged)).reliability(temperature));
    }
    let (ece_before, ece_after) = (error(&before), error(&after));
    if ece_before < CALIBRATED || ece_after > WORTH_IT * ece_before {
        // Nothing was found that would hold on other slices.
        let calibration = Calibration {
            temperature: 1.0,
            ece_before,
            ece_after: ece_before,
            mirrored: evidence.mirrored,
        };
        return (calibration, before.clone(), before);
    }
    let calibration = Calibration {
        temperature: known(evidence, weights).temperature(),
        ece_before,
        ece_after,
        mirrored: evidence.mirrored,
    };
    (calibration, before, after)
}

fn known<'a>(evidence: &'a Evidence<'_>, weights: &'a [f64]) -> Known<'a> {
    Known {
        classes: evidence.classes,
        logits: &evidence.logits,
        truth: &evidence.truth,
        weights,
    }
}

fn error(reliability: &Reliability) -> f64 {
    reliability.expected_error().unwrap_or(0.0)
}

/// The voxels held out as they are.
fn held_out(evidence: &Evidence<'_>, classes: &[Class]) -> Scores {
    let mut counts = vec![0; evidence.classes * evidence.classes];
    for (logits, truth) in rows(evidence).zip(&evidence.truth) {
        let (label, _) = unet3d_metrics::calibration::certainty(logits, 1.0);
        counts[usize::from(*truth) * evidence.classes + label] += 1;
    }
    Scores::new(&Confusion::of_counts(evidence.classes, &counts), classes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use unet3d_predict::Witness;
    use unet3d_volume::{Geometry, Label, Labels};

    /// Stripes of 4 along x of classes 0 and 1, and a lesion, class 2, near z = 24
    /// alone. Annotated are z = 4, 12, 20 and 24, of which `held_out` is not trained
    /// on; the network is right everywhere but on every tenth voxel of what it takes
    /// for the lesion, which is class 0.
    fn estimate(held_out: usize) -> Estimate {
        estimate_with(held_out, |_| false)
    }

    /// The same, where the network also takes voxels for the lesion that are none.
    fn estimate_with(held_out: usize, is_false: impl Fn(usize) -> bool) -> Estimate {
        let shape = [32, 40, 40];
        let is_lesion = |i: usize| i / 1600 > 21 && i / 40 % 40 < 20 && i % 40 < 20;
        let right = |i: usize| match is_lesion(i) {
            true => 2,
            false => i % 40 / 4 % 2,
        };
        let predicted = |i: usize| if is_false(i) { 2 } else { right(i) };
        let truth = |i: usize| match is_lesion(i) && i.is_multiple_of(10) {
            true => 0,
            false => right(i),
        };
        let classes = [0, 1, 2].map(|value| Class {
            value,
            name: value.to_string(),
        });
        let dense = Labels {
            geometry: Geometry::of_shape(shape),
            classes: classes.to_vec(),
            voxels: (0..32 * 1600).map(|i| Label::of_class(truth(i))).collect(),
        };
        let annotated = [vec![4, 12, 20, 24], vec![], vec![]];
        let (_, annotation) = dense.hold_out(&annotated).unwrap();
        let slices = [vec![held_out], vec![], vec![]];
        let (training, truth_held_out) = annotation.hold_out(&slices).unwrap();
        let mut evidence =
            Evidence::new(&annotation, &truth_held_out, &training.annotated_slices());
        for i in 0..32 * 1600 {
            let mut logits = [0.0; 3];
            logits[predicted(i)] = 4.0;
            evidence.row(i, &logits);
        }
        Estimate::new(&evidence, &slices, &classes, 1)
    }

    #[test]
    fn a_class_that_is_not_held_out_is_not_promised() {
        let found = estimate(12);
        assert_eq!(found.not_shown, [2]);
        let lesion = &found.scores.classes[2];
        assert_eq!((lesion.iou, lesion.dice), (None, None));
        assert_eq!(found.class_intervals[2], None);
        // The mean is of the two stripes, which the network gets right.
        assert_eq!(found.scores.classes_averaged, 2);
        assert!(found.scores.mean_iou > Some(0.99), "{:?}", found.scores);
        let shown = estimate(24);
        assert!(shown.not_shown.is_empty());
        let iou = shown.scores.classes[2].iou.unwrap();
        // As near as `fill` means to be.
        assert!((iou - 0.9).abs() < 0.04, "{iou}");
        assert_eq!(shown.scores.classes_averaged, 3);
    }

    #[test]
    fn a_few_false_voxels_promise_nothing_of_a_class() {
        // 40 voxels of the slice held out, which shows no lesion.
        let found = estimate_with(12, |i| i / 1600 == 12 && i % 40 == 7);
        assert_eq!(found.not_shown, [2]);
        let lesion = &found.scores.classes[2];
        assert_eq!((lesion.iou, lesion.dice), (None, None));
        assert_eq!(found.class_intervals[2], None);
        assert_eq!(found.scores.classes_averaged, 2);
        assert_eq!(found.held_out.classes[2].iou, None);
        assert_eq!(found.held_out.classes_averaged, 2);
        // They count against the class that they belong to.
        let iou = |e: &Estimate, c: usize| e.held_out.classes[c].iou.unwrap();
        assert_eq!(iou(&found, 1), 0.95);
        assert_eq!(iou(&estimate(12), 1), 1.0);
    }

    #[test]
    fn a_mean_is_of_the_classes_expected_or_none() {
        let expected = [Some(0.8), Some(0.4), None];
        let without = [Some(0.9), None, Some(0.1)];
        assert_eq!(numbers(&without, &expected)[0], None);
        let mean = numbers_of_draw(&without, &expected);
        assert!((mean[0].unwrap() - 0.65).abs() < 1e-9);
        assert_eq!(mean[1..], without);
        assert_eq!(numbers(&[None], &[None]), [None, None]);
    }
}
