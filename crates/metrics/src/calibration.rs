//! Whether a network's probabilities mean what they say, and one number that
//! makes them.
//!
//! In come voxels of which the truth is known. Out come a [`Reliability`] (of the
//! voxels labeled with a certainty of 80 %, how many are right?) with its expected
//! calibration error, and a temperature: logits are divided by it, which makes
//! probabilities softer above 1 and sharper below. The most probable class stays
//! the most probable, so labels do not change.
//!
//! Guo, Pleiss, Sun, Weinberger: On calibration of modern neural networks,
//! ICML 2017, sections 2 and 4.2.

use serde::{Deserialize, Serialize};

/// Bins of a [`Reliability`], equally wide from 0 to 1: as in Guo et al. 2017.
pub const BINS: usize = 15;

/// Temperatures beyond these are not meant: at 20, a network that was certain to
/// 0.9999 of one of two classes says 0.61; at 1/20 the least doubt is gone.
const TEMPERATURES: [f64; 2] = [0.05, 20.0];

/// Halvings of the logarithm of that bracket: to 6 / 2^30, far below what a
/// sample can tell.
const HALVINGS: usize = 30;

/// How the probabilities of a model became honest ones, and what that is worth.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// By which logits are divided before they become probabilities.
    pub temperature: f64,
    /// Expected calibration error without it.
    pub ece_before: f64,
    /// The same with it, measured on voxels that it was not fitted on.
    pub ece_after: f64,
    /// Whether it was fitted on means over mirror images, which are less certain than
    /// single predictions: it holds for these alone, or for those alone.
    #[serde(default)]
    pub mirrored: bool,
}

/// Voxels of which the truth is known.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Number of classes.
    pub classes: usize,
    /// `[voxel, class]`.
    pub logits: &'a [f32],
    /// Index of the true class, by voxel.
    pub truth: &'a [u8],
    /// How much each voxel counts.
    pub weights: &'a [f64],
}

impl<'a> Known<'a> {
    /// Logits, true class and weight of each voxel.
    fn voxels(self) -> impl Iterator<Item = (&'a [f32], usize, f64)> {
        let rows = self.logits.chunks_exact(self.classes);
        let known = self.truth.iter().zip(self.weights);
        rows.zip(known)
            .map(|(row, (t, w))| (row, usize::from(*t), *w))
    }

    /// The temperature under which the truth is the least surprising: the minimum
    /// of the weighted mean of `-ln softmax(logits / temperature)[truth]`. 1 where
    /// nothing counts.
    ///
    /// The mean is convex in 1 / temperature, so bisection of its slope finds the
    /// one minimum.
    pub fn temperature(self) -> f64 {
        if self.weights.iter().all(|w| *w <= 0.0) {
            return 1.0;
        }
        // d/dβ of the mean at β = 1 / temperature.
        let slope = |beta: f64| -> f64 {
            self.voxels()
                .map(|(row, truth, weight)| {
                    weight * (mean_logit(row, beta) - f64::from(row[truth]))
                })
                .sum()
        };
        let [mut sharp, mut soft] = TEMPERATURES.map(f64::ln);
        for _ in 0..HALVINGS {
            let middle = f64::midpoint(sharp, soft);
            if slope((-middle).exp()) > 0.0 {
                sharp = middle;
            } else {
                soft = middle;
            }
        }
        f64::midpoint(sharp, soft).exp()
    }

    /// How reliable the probabilities are at this temperature.
    pub fn reliability(self, temperature: f64) -> Reliability {
        let mut out = Reliability::default();
        for (row, truth, weight) in self.voxels() {
            let (label, certainty) = certainty(row, temperature);
            out.add(certainty, label == truth, weight);
        }
        out
    }
}

/// Voxels sorted by how certain the network was of their label, with how often
/// it was right.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reliability {
    /// From the least to the most certain.
    pub bins: [ReliabilityBin; BINS],
}

/// Voxels whose label had about one certainty. Numbers are sums of weights, each
/// 1 where nobody weighted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ReliabilityBin {
    /// Voxels in it.
    pub voxels: f64,
    /// Those of them with the right label.
    pub right: f64,
    /// Sum of the probabilities of their labels.
    pub certainty: f64,
}

impl Reliability {
    /// Counts a voxel whose label has the probability `certainty`.
    pub fn add(&mut self, certainty: f64, right: bool, weight: f64) {
        let bin = ((certainty * BINS as f64) as usize).min(BINS - 1);
        let bin = &mut self.bins[bin];
        bin.voxels += weight;
        bin.right += if right { weight } else { 0.0 };
        bin.certainty += weight * certainty;
    }

    /// Adds the counts of `other`.
    pub fn merge(&mut self, other: &Self) {
        for (a, b) in self.bins.iter_mut().zip(&other.bins) {
            a.voxels += b.voxels;
            a.right += b.right;
            a.certainty += b.certainty;
        }
    }

    /// Expected calibration error of the label: over the bins, the mean of
    /// |share that is right - mean certainty|, weighted by their voxels. `None`
    /// where nothing was counted.
    pub fn expected_error(&self) -> Option<f64> {
        let voxels: f64 = self.bins.iter().map(|b| b.voxels).sum();
        let gaps = self.bins.iter().map(|b| (b.right - b.certainty).abs());
        let gaps: f64 = gaps.sum();
        (voxels > 0.0).then(|| gaps / voxels)
    }
}

/// The most probable class, of equals the first, and its probability in
/// `softmax(logits / temperature)`.
pub fn certainty(logits: &[f32], temperature: f64) -> (usize, f64) {
    let mut best = 0;
    for (i, l) in logits.iter().enumerate() {
        if *l > logits[best] {
            best = i;
        }
    }
    let largest = f64::from(logits[best]);
    let others = logits
        .iter()
        .map(|l| ((f64::from(*l) - largest) / temperature).exp());
    (best, 1.0 / others.sum::<f64>())
}

/// Mean of the logits under `softmax(beta logits)`.
fn mean_logit(logits: &[f32], beta: f64) -> f64 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let (mut sum, mut weighted) = (0.0, 0.0);
    for l in logits {
        let weight = (beta * f64::from(*l - largest)).exp();
        sum += weight;
        weighted += weight * f64::from(*l);
    }
    weighted / sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    /// Voxels whose truth follows `softmax(logits)`, told with logits `sharper`
    /// times too large.
    fn voxels(count: usize, sharper: f64) -> (Vec<f32>, Vec<u8>) {
        let mut random = ChaCha8Rng::seed_from_u64(3);
        let (mut logits, mut truth) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let row: [f64; 3] = std::array::from_fn(|_| 3.0 * random.random::<f64>());
            let sum: f64 = row.iter().map(|l| l.exp()).sum();
            let mut left = random.random::<f64>() * sum;
            let class = row.iter().position(|l| {
                left -= l.exp();
                left < 0.0
            });
            truth.push(class.unwrap_or(2) as u8);
            logits.extend(row.map(|l| (sharper * l) as f32));
        }
        (logits, truth)
    }

    #[test]
    fn a_known_temperature_is_found_and_removes_the_error() {
        for sharper in [0.5, 1.0, 2.5] {
            let (logits, truth) = voxels(40_000, sharper);
            let weights = vec![1.0; truth.len()];
            let known = Known {
                classes: 3,
                logits: &logits,
                truth: &truth,
                weights: &weights,
            };
            let found = known.temperature();
            // The slope of the mean has a standard error near 1 / sqrt(40,000).
            assert!((found / sharper - 1.0).abs() < 0.03, "{sharper}: {found}");
            let after = known.reliability(found).expected_error().unwrap();
            assert!(after < 0.012, "{sharper}: {after}");
            let before = known.reliability(1.0).expected_error().unwrap();
            assert!(sharper == 1.0 || before > 0.08, "{sharper}: {before}");
        }
    }

    #[test]
    fn an_error_by_hand() {
        let mut reliability = Reliability::default();
        assert_eq!(reliability.expected_error(), None);
        // Certain to 0.9, right once in two: 0.4 off. Certain to 0.5, right: 0.5 off.
        reliability.add(0.9, true, 1.0);
        reliability.add(0.9, false, 1.0);
        reliability.add(0.5, true, 2.0);
        let error = reliability.expected_error().unwrap();
        assert!((error - 0.45).abs() < 1e-12, "{error}");
        let mut twice = reliability.clone();
        twice.merge(&reliability);
        assert_eq!(twice.expected_error(), reliability.expected_error());
    }

    #[test]
    fn voxels_of_no_weight_do_not_count() {
        let (mut logits, mut truth) = voxels(2_000, 2.0);
        let fit = |logits: &[f32], truth: &[u8], weights: &[f64]| {
            let known = Known {
                classes: 3,
                logits,
                truth,
                weights,
            };
            (known.temperature(), known.reliability(1.0))
        };
        let without = fit(&logits, &truth, &vec![0.5; 2_000]);
        logits.extend([9.0, -9.0, 0.0]);
        truth.push(1);
        let mut weights = vec![0.5; 2_001];
        weights[2_000] = 0.0;
        assert_eq!(fit(&logits, &truth, &weights), without);
        assert_eq!(fit(&logits, &truth, &[0.0; 2_001]).0, 1.0);
    }

    #[test]
    fn extreme_logits_stay_finite() {
        for row in [[1e4f32, -1e4, 0.0], [-1e4; 3]] {
            let (_, certainty) = certainty(&row, 0.05);
            assert!((0.3..=1.0).contains(&certainty));
            assert!(mean_logit(&row, 20.0).is_finite());
        }
    }
}
