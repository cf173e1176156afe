//! What is minimised: weighted cross-entropy, soft Dice, or a loss of one's own.
//!
//! A [`Loss`] sees the logits and the labels of one batch and leaves the
//! gradient with respect to the logits. [`CrossEntropyDice`] is the one that
//! the program uses; its formulas are in `unet3d_kernels::softmax`.

use serde::{Deserialize, Serialize};
use unet3d_kernels::{Threads, softmax};
use unet3d_volume::Label;

use crate::{Case, Error};

/// How far the network is from the labels, and which way is better.
pub trait Loss: Send {
    /// The value of the loss, and its gradient into `d_logits`.
    ///
    /// | argument | shape |
    /// |---|---|
    /// | `logits` | `n, d, h, w, classes` |
    /// | `labels` | `n, d, h, w` |
    /// | `d_logits` | as `logits`, to be overwritten |
    ///
    /// A voxel that is [`Label::UNLABELED`] must get the gradient 0.
    fn evaluate(
        &mut self,
        threads: &Threads,
        logits: &[f32],
        labels: &[Label],
        d_logits: &mut [f32],
    ) -> LossValue;
}

/// The loss of one batch, with its parts for the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LossValue {
    /// What is minimised.
    pub total: f64,
    /// Weighted cross-entropy before its factor, where it is part of the loss.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cross_entropy: Option<f64>,
    /// One minus the mean soft Dice coefficient, before its factor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dice: Option<f64>,
}

/// Settings of the loss.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LossConfig {
    /// Factor of the weighted cross-entropy.
    pub cross_entropy: f64,
    /// Factor of the soft Dice loss.
    pub dice: f64,
    /// Weight of a voxel by its class; unlabeled voxels always weigh 0.
    pub class_weights: ClassWeights,
}

impl Default for LossConfig {
    /// Both terms: cross-entropy gives calm gradients from the first step, Dice
    /// makes small classes count as much as large ones.
    fn default() -> Self {
        Self {
            cross_entropy: 1.0,
            dice: 1.0,
            class_weights: ClassWeights::None,
        }
    }
}

/// Weight of a voxel by its class.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClassWeights {
    /// Every annotated voxel weighs 1.
    #[default]
    None,
    /// `w_c = (1 - N_c / N) / (C - 1)` with `N_c` annotated voxels of class `c`
    /// among the `N` of the training cases (Roth et al. 2017), then scaled so
    /// that the mean weight of an annotated voxel is 1. A class that nobody
    /// annotated weighs 0 and does not count in `C`.
    Balanced,
    /// One weight a class, in class order.
    Given(Vec<f32>),
}

impl ClassWeights {
    /// The weights for these training cases.
    ///
    /// # Errors
    /// Given weights that are too few or too many, negative, not finite or all 0.
    pub fn resolve(&self, cases: &[Case], classes: usize) -> Result<Vec<f32>, Error> {
        match self {
            Self::None => Ok(vec![1.0; classes]),
            Self::Balanced => {
                let mut counts = vec![0u64; classes];
                for case in cases {
                    for (sum, n) in counts.iter_mut().zip(case.voxels_by_class()) {
                        *sum += n;
                    }
                }
                Ok(balanced(&counts))
            }
            Self::Given(weights) => {
                let sound = weights.iter().all(|w| w.is_finite() && *w >= 0.0);
                if weights.len() != classes || !sound || weights.iter().all(|w| *w == 0.0) {
                    return Err(Error::config(
                        "loss.class_weights",
                        format!("{weights:?}"),
                        format!(
                            "it must be {classes} numbers, one a class, none negative and not all 0"
                        ),
                    ));
                }
                Ok(weights.clone())
            }
        }
    }
}

/// Balanced weights of classes with these numbers of voxels.
fn balanced(counts: &[u64]) -> Vec<f32> {
    let all = counts.iter().sum::<u64>() as f64;
    let present = counts.iter().filter(|n| **n > 0).count();
    if present < 2 {
        return counts
            .iter()
            .map(|n| if *n > 0 { 1.0 } else { 0.0 })
            .collect();
    }
    let raw: Vec<f64> = counts
        .iter()
        .map(|n| match *n as f64 {
            0.0 => 0.0,
            n => (1.0 - n / all) / (present - 1) as f64,
        })
        .collect();
    let mean: f64 = raw
        .iter()
        .zip(counts)
        .map(|(w, n)| w * *n as f64 / all)
        .sum();
    raw.iter().map(|w| (w / mean) as f32).collect()
}

/// `cross_entropy * CE + dice * D`, as in `unet3d_kernels::softmax`.
pub struct CrossEntropyDice {
    weights: Vec<f32>,
    factors: [f64; 2],
    labels: Vec<u8>,
    scratch: Vec<f64>,
}

impl CrossEntropyDice {
    /// The loss of a configuration, for these training cases.
    ///
    /// # Errors
    /// When the weights are not sound, or both terms have factor 0.
    pub fn new(config: &LossConfig, cases: &[Case], classes: usize) -> Result<Self, Error> {
        let factors = [config.cross_entropy, config.dice];
        for (field, factor) in [
            ("loss.cross_entropy", factors[0]),
            ("loss.dice", factors[1]),
        ] {
            if !(factor.is_finite() && factor >= 0.0) {
                return Err(Error::config(field, factor, "it must not be negative"));
            }
        }
        if factors == [0.0, 0.0] {
            return Err(Error::config(
                "loss.cross_entropy",
                0,
                "and so is loss.dice: one of them must be above 0",
            ));
        }
        Ok(Self {
            weights: config.class_weights.resolve(cases, classes)?,
            factors,
            labels: Vec::new(),
            scratch: Vec::new(),
        })
    }

    /// The class weights in use.
    pub fn class_weights(&self) -> &[f32] {
        &self.weights
    }
}

impl Loss for CrossEntropyDice {
    fn evaluate(
        &mut self,
        threads: &Threads,
        logits: &[f32],
        labels: &[Label],
        d_logits: &mut [f32],
    ) -> LossValue {
        let problem = softmax::Problem {
            classes: self.weights.len(),
            class_weights: &self.weights,
            cross_entropy: self.factors[0],
            dice: self.factors[1],
        };
        self.labels.clear();
        self.labels.extend(labels.iter().map(|l| byte(*l)));
        self.scratch.resize(problem.scratch_len(labels.len()), 0.0);
        let losses = softmax::weighted_loss(
            threads,
            &problem,
            logits,
            &self.labels,
            d_logits,
            &mut self.scratch,
        );
        let part = |factor: f64, value| (factor > 0.0).then_some(value);
        LossValue {
            total: self.factors[0] * losses.cross_entropy + self.factors[1] * losses.dice,
            cross_entropy: part(self.factors[0], losses.cross_entropy),
            dice: part(self.factors[1], losses.dice),
        }
    }
}

/// The label as kernels know it.
fn byte(label: Label) -> u8 {
    label
        .class()
        .map_or(softmax::UNLABELED, |class| class as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn balanced_weights_have_mean_one_and_favour_rare_classes() {
        let counts = [900, 90, 0, 10];
        let weights = balanced(&counts);
        assert_eq!(weights[2], 0.0);
        assert!(weights[0] < weights[1] && weights[1] < weights[3]);
        let mean: f64 = (0..4)
            .map(|c| f64::from(weights[c]) * counts[c] as f64)
            .sum();
        assert!((mean / 1000.0 - 1.0).abs() < 1e-6);
        // (1 - 0.9) / 2 against (1 - 0.01) / 2.
        assert!((weights[3] / weights[0] - 9.9).abs() < 1e-4);
        assert_eq!(balanced(&[0, 5]), [0.0, 1.0]);
    }

    #[test]
    fn given_weights_are_checked() {
        for weights in [
            vec![1.0],
            vec![-1.0, 1.0],
            vec![0.0, 0.0],
            vec![f32::NAN, 1.0],
        ] {
            assert!(ClassWeights::Given(weights).resolve(&[], 2).is_err());
        }
        assert!(ClassWeights::Given(vec![0.0, 2.0]).resolve(&[], 2).is_ok());
    }

    #[test]
    fn gradient_is_exactly_zero_where_nobody_annotated() {
        let threads = Threads::new(2).unwrap();
        let mut loss = CrossEntropyDice::new(&LossConfig::default(), &[], 2).unwrap();
        let labels = [Label::of_class(0), Label::UNLABELED, Label::of_class(1)];
        let mut d_logits = [f32::NAN; 6];
        let value = loss.evaluate(
            &threads,
            &[0.5, -1.0, 3.0, 2.0, 1.0, 1.0],
            &labels,
            &mut d_logits,
        );
        assert_eq!(d_logits[2..4], [0.0, 0.0]);
        assert!(d_logits[0] < 0.0 && d_logits[5] < 0.0);
        assert_eq!(
            value.total,
            value.cross_entropy.unwrap() + value.dice.unwrap()
        );
    }
}
