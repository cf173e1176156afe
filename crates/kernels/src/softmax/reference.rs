//! The formulas of [`super`] written down plainly in `f64`: the truth that the
//! fast path is tested against.

use super::{DICE_SMOOTH, Losses, Problem};

/// The losses and their gradient; see [`super`] for the formulas.
///
/// | argument | shape |
/// |---|---|
/// | `logits` | `voxels, classes` |
/// | `labels` | `voxels` |
/// | `d_logits` (result) | `voxels, classes`: of `cross_entropy * CE + dice * D` |
pub fn weighted_loss(problem: &Problem<'_>, logits: &[f64], labels: &[u8]) -> (Losses, Vec<f64>) {
    let classes = problem.classes;
    let mut losses = Losses::default();
    let mut d_logits = vec![0.0; logits.len()];
    let mut weight_sum = 0.0;
    let (mut i, mut p_sum, mut n) = (vec![0.0; classes], vec![0.0; classes], vec![0.0; classes]);
    for (z, &label) in logits.chunks_exact(classes).zip(labels) {
        let Some(y) = problem.counted(label) else {
            continue;
        };
        let (p, lse) = softmax(z);
        let weight = f64::from(problem.class_weights[y]);
        losses.voxels += 1;
        losses.cross_entropy += weight * (lse - z[y]);
        weight_sum += weight;
        i[y] += p[y];
        n[y] += 1.0;
        for c in 0..classes {
            p_sum[c] += p[c];
        }
    }
    if losses.voxels == 0 {
        return (losses, d_logits);
    }
    losses.cross_entropy /= weight_sum;
    let present = n.iter().filter(|n| **n > 0.0).count() as f64;
    losses.dice = 1.0;
    for c in (0..classes).filter(|c| n[*c] > 0.0) {
        losses.dice -= (2.0 * i[c] + DICE_SMOOTH) / (p_sum[c] + n[c] + DICE_SMOOTH) / present;
    }

    for (v, &label) in labels.iter().enumerate() {
        let Some(y) = problem.counted(label) else {
            continue;
        };
        let (p, _) = softmax(&logits[v * classes..][..classes]);
        let weight = f64::from(problem.class_weights[y]);
        // Derivative of the Dice loss by each probability of this voxel.
        let by_p: Vec<f64> = (0..classes)
            .map(|c| {
                if n[c] == 0.0 {
                    return 0.0;
                }
                let below = p_sum[c] + n[c] + DICE_SMOOTH;
                let hit = if c == y { 2.0 } else { 0.0 };
                -(hit / below - (2.0 * i[c] + DICE_SMOOTH) / (below * below)) / present
            })
            .collect();
        let mean: f64 = (0..classes).map(|c| p[c] * by_p[c]).sum();
        for c in 0..classes {
            let hit = if c == y { 1.0 } else { 0.0 };
            d_logits[v * classes + c] = problem.cross_entropy * weight / weight_sum * (p[c] - hit)
                + problem.dice * p[c] * (by_p[c] - mean);
        }
    }
    (losses, d_logits)
}

/// Probabilities and the logarithm of the sum of exponentials of one voxel.
fn softmax(z: &[f64]) -> (Vec<f64>, f64) {
    let largest = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = z.iter().map(|z| (z - largest).exp()).sum();
    let p = z.iter().map(|z| (z - largest).exp() / sum).collect();
    (p, largest + sum.ln())
}
