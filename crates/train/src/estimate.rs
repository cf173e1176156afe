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
use unet3d_metrics::strata::{BORDERS, Joined, STEPS, iou};
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
    /// where all are annotated, on those held out.
    pub scores: Scores,
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
        let confusion = |sample: &[f64]| joined.confusion(sample, &target_joined);
        let mut sample = vec![0.0; joined.count() * evidence.classes];
        for (at, n) in blocks.iter().flat_map(|block| &block.counts) {
            sample[*at] += n;
        }
        let all = |sample: &[f64]| numbers(&iou(&confusion(sample), evidence.classes));
        let spreads = spread(
            &blocks,
            sample.len(),
            all,
            &mut generator(seed, Stream::Blocks, 0),
        );
        let by_slice: Vec<_> = evidence
            .trained_on
            .iter()
            .map(|n| all(&joined.join_known(n)))
            .collect();
        let slices_held_out = slices.iter().map(Vec::len).sum();
        let estimates: Vec<Option<Estimated>> = (all(&sample).into_iter().enumerate())
            .map(|(i, value)| {
                let held_out = Estimated {
                    value: value?,
                    spread: spreads[i]?,
                };
                let trained_on: Vec<f64> = by_slice.iter().filter_map(|n| n[i]).collect();
                Some(combine(held_out, slices_held_out, &trained_on))
            })
            .collect();
        let counts: Vec<u64> = confusion(&sample)
            .iter()
            .map(|n| n.round() as u64)
            .collect();
        let scores = Scores::new(&Confusion::of_counts(evidence.classes, &counts), classes)
            .with_iou(|class| estimates[class + 1].map(|e| e.value));

        let weights = weights(&strata, &seen, target);
        let (calibration, before, after) = calibrate(evidence, &places, &weights);
        Self {
            interval: (estimates[0].zip(scores.mean_iou))
                .map(|(mean, value)| interval(Estimated { value, ..mean })),
            class_intervals: estimates[1..].iter().map(|e| e.map(interval)).collect(),
            scores,
            held_out: held_out(evidence, classes),
            calibration,
            reliability_before: before,
            reliability_after: after,
        }
    }
}

/// The mean first, then each class.
fn numbers(iou: &[Option<f64>]) -> Vec<Option<f64>> {
    let found: Vec<f64> = iou.iter().flatten().copied().collect();
    let mean = (!found.is_empty()).then(|| found.iter().sum::<f64>() / found.len() as f64);
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
        };
        return (calibration, before.clone(), before);
    }
    let calibration = Calibration {
        temperature: known(evidence, weights).temperature(),
        ece_before,
        ece_after,
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
