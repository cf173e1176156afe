//! The losses on threads, two passes over the batch.
//!
//! The first pass writes the probabilities to where the gradient will be and
//! leaves the sums of each task; these are added up in task order, so the
//! result does not depend on the number of threads. The second pass turns
//! probabilities into gradients in place. Exponentials are `f32` (their
//! arguments are never positive), sums are `f64`.

use rayon::prelude::*;

use super::{DICE_SMOOTH, Losses, Problem, TASK_VOXELS};
use crate::Threads;

/// The losses of one batch, and their gradient into `d_logits`.
///
/// | argument | shape |
/// |---|---|
/// | `logits` | `n, d, h, w, classes` |
/// | `labels` | `n, d, h, w`; a class below `classes` or [`super::UNLABELED`] |
/// | `d_logits` | as `logits`, overwritten: gradient of `cross_entropy * CE + dice * D` |
/// | `scratch` | [`Problem::scratch_len`] |
///
/// The formulas are those of [`super`]; agrees with [`super::reference`] within
/// docs/numerics.md, row softmax.
///
/// # Panics
/// When the lengths do not agree or a label is neither a class nor unlabeled.
pub fn weighted_loss(
    threads: &Threads,
    problem: &Problem<'_>,
    logits: &[f32],
    labels: &[u8],
    d_logits: &mut [f32],
    scratch: &mut [f64],
) -> Losses {
    let classes = problem.classes;
    assert_eq!(logits.len(), labels.len() * classes, "logits and labels");
    assert_eq!(logits.len(), d_logits.len(), "logits and gradient");
    assert_eq!(problem.class_weights.len(), classes, "class weights");
    if labels.is_empty() {
        return Losses::default();
    }
    let tasks = labels.len().div_ceil(TASK_VOXELS);
    let scratch = &mut scratch[..problem.scratch_len(labels.len())];
    let (partial, rest) = scratch.split_at_mut(tasks * problem.sums());
    let (hit_factor, miss_factor) = rest.split_at_mut(classes);

    threads.pool().install(|| {
        d_logits
            .par_chunks_mut(TASK_VOXELS * classes)
            .zip(partial.par_chunks_mut(problem.sums()))
            .enumerate()
            .for_each(|(task, (p, sums))| {
                let start = task * TASK_VOXELS;
                let labels = &labels[start..labels.len().min(start + TASK_VOXELS)];
                probabilities_and_sums(problem, &logits[start * classes..], labels, p, sums);
            });
    });
    let (sums, others) = partial.split_at_mut(problem.sums());
    for other in others.chunks_exact(problem.sums()) {
        for (sum, more) in sums.iter_mut().zip(other) {
            *sum += more;
        }
    }

    let (i, p_n) = sums[1..].split_at(classes);
    let (p_sum, n) = p_n.split_at(classes);
    let voxels: f64 = n.iter().sum();
    if voxels == 0.0 {
        d_logits.fill(0.0);
        return Losses::default();
    }
    let weight_sum: f64 = (0..classes)
        .map(|c| f64::from(problem.class_weights[c]) * n[c])
        .sum();
    let present = n.iter().filter(|n| **n > 0.0).count() as f64;
    let mut dice = 1.0;
    for c in 0..classes {
        // Derivative of the Dice loss by p[c]: what every counted voxel has,
        // and what those of class c have in addition.
        (miss_factor[c], hit_factor[c]) = (0.0, 0.0);
        if n[c] > 0.0 {
            let above = 2.0 * i[c] + DICE_SMOOTH;
            let below = p_sum[c] + n[c] + DICE_SMOOTH;
            dice -= above / below / present;
            miss_factor[c] = problem.dice * above / (below * below) / present;
            hit_factor[c] = problem.dice * -2.0 / below / present;
        }
    }
    let losses = Losses {
        cross_entropy: sums[0] / weight_sum,
        dice,
        voxels: voxels as u64,
    };

    let gradient = Gradient {
        problem,
        per_weight: problem.cross_entropy / weight_sum,
        hit_factor,
        miss_factor,
    };
    threads.pool().install(|| {
        d_logits
            .par_chunks_mut(TASK_VOXELS * classes)
            .zip(labels.par_chunks(TASK_VOXELS))
            .for_each(|(d, labels)| gradient.gradient_of_probabilities(d, labels));
    });
    losses
}

/// Class probabilities of every voxel: `p[c] = exp(z[c]) / sum of exp(z)`.
///
/// Logits and probabilities are `voxels, classes`.
///
/// # Panics
/// When the lengths differ or are not a multiple of `classes`.
pub fn probabilities(threads: &Threads, classes: usize, logits: &[f32], p: &mut [f32]) {
    assert_eq!(logits.len(), p.len(), "logits and probabilities");
    assert_eq!(logits.len() % classes, 0, "classes are innermost");
    threads.pool().install(|| {
        p.par_chunks_mut(TASK_VOXELS * classes)
            .zip(logits.par_chunks(TASK_VOXELS * classes))
            .for_each(|(p, z)| {
                for (p, z) in p.chunks_exact_mut(classes).zip(z.chunks_exact(classes)) {
                    softmax(z, p);
                }
            });
    });
}

/// One task of the first pass; `sums` as in [`Problem::sums`].
fn probabilities_and_sums(
    problem: &Problem<'_>,
    logits: &[f32],
    labels: &[u8],
    p: &mut [f32],
    sums: &mut [f64],
) {
    let classes = problem.classes;
    sums.fill(0.0);
    let (cross_entropy, sums) = sums.split_at_mut(1);
    let (i, p_n) = sums.split_at_mut(classes);
    let (p_sum, n) = p_n.split_at_mut(classes);
    let voxels = logits
        .chunks_exact(classes)
        .zip(p.chunks_exact_mut(classes));
    for ((z, p), &label) in voxels.zip(labels) {
        let Some(y) = problem.counted(label) else {
            continue;
        };
        let (largest, sum) = softmax(z, p);
        // The difference of two logits first: exact where they are close.
        let loss = f64::from(largest - z[y]) + f64::from(sum).ln();
        cross_entropy[0] += f64::from(problem.class_weights[y]) * loss;
        i[y] += f64::from(p[y]);
        n[y] += 1.0;
        for (sum, p) in p_sum.iter_mut().zip(p.iter()) {
            *sum += f64::from(*p);
        }
    }
}

/// What the second pass knows of the whole batch.
struct Gradient<'a> {
    problem: &'a Problem<'a>,
    /// Of the cross-entropy, for each unit of weight.
    per_weight: f64,
    hit_factor: &'a [f64],
    miss_factor: &'a [f64],
}

impl Gradient<'_> {
    /// One task of the second pass: `d` holds probabilities and receives the gradient.
    fn gradient_of_probabilities(&self, d: &mut [f32], labels: &[u8]) {
        let classes = self.problem.classes;
        for (p, &label) in d.chunks_exact_mut(classes).zip(labels) {
            let Some(y) = self.problem.counted(label) else {
                p.fill(0.0);
                continue;
            };
            let weight = f64::from(self.problem.class_weights[y]) * self.per_weight;
            let mut mean = self.hit_factor[y] * f64::from(p[y]);
            for (factor, p) in self.miss_factor.iter().zip(p.iter()) {
                mean += factor * f64::from(*p);
            }
            for (c, p) in p.iter_mut().enumerate() {
                let probability = f64::from(*p);
                let (hit, by_p) = if c == y {
                    (1.0, self.miss_factor[c] + self.hit_factor[c])
                } else {
                    (0.0, self.miss_factor[c])
                };
                *p = (weight * (probability - hit) + probability * (by_p - mean)) as f32;
            }
        }
    }
}

/// Writes the probabilities of one voxel; the largest logit and the sum of the
/// exponentials about it come back, so that `lse = largest + ln(sum)`.
fn softmax(z: &[f32], p: &mut [f32]) -> (f32, f32) {
    let largest = z.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for (p, z) in p.iter_mut().zip(z) {
        *p = (z - largest).exp();
        sum += *p;
    }
    p.iter_mut().for_each(|p| *p /= sum);
    (largest, sum)
}
