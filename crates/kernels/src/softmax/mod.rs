//! Softmax with weighted cross-entropy and soft Dice: the two losses and their
//! gradient with respect to the logits.
//!
//! In come logits `[n d h w classes]` and one label a voxel; out go the two
//! losses and `d_logits` of the same shape as the logits. A voxel that is
//! [`UNLABELED`], or whose class has weight 0, counts nowhere: its gradient is
//! exactly 0 and the losses do not change with its logits.
//!
//! ```text
//! cross-entropy   CE   = sum over voxels of w[y] * (lse(z) - z[y]) / sum over voxels of w[y]
//! soft Dice       D    = 1 - mean over classes c of (2 I_c + s) / (P_c + N_c + s)
//!                 I_c  = sum of p[c] over counted voxels of class c
//!                 P_c  = sum of p[c] over counted voxels
//!                 N_c  = number of counted voxels of class c
//! ```
//!
//! `p = softmax(z)`, `lse` is the logarithm of the sum of exponentials, taken
//! about the largest logit so that no exponential overflows, `s` is
//! [`DICE_SMOOTH`]. The mean runs over the classes that occur among the counted
//! voxels: a class that nobody annotated in this batch says nothing. Cicek et
//! al. 2016 have the first term alone.

pub mod portable;
pub mod reference;

pub use portable::{probabilities, weighted_loss};

/// The label of a voxel that nobody annotated.
pub const UNLABELED: u8 = u8::MAX;

/// Added to both sides of the Dice fraction, in voxels: keeps the gradient of a
/// class of a handful of voxels bounded (it is at most 1 / `DICE_SMOOTH`), and
/// is nothing beside the hundreds that a patch usually holds.
pub const DICE_SMOOTH: f64 = 1.0;

/// Voxels that one task takes: about 0.1 ms of work, so that a thread is
/// neither woken for nothing nor left idle at the end. Part of the definition
/// of the result, since sums are taken task by task.
pub const TASK_VOXELS: usize = 4096;

/// Which losses, checked by the caller.
#[derive(Clone, Copy, Debug)]
pub struct Problem<'a> {
    /// Number of classes, below 255; the innermost extent of the logits.
    pub classes: usize,
    /// Weight of a voxel by its class, finite and not negative, one a class.
    pub class_weights: &'a [f32],
    /// Factor of the cross-entropy in the gradient.
    pub cross_entropy: f64,
    /// Factor of the Dice loss in the gradient.
    pub dice: f64,
}

impl Problem<'_> {
    /// The class whose loss voxel `label` takes part in, `None` where it counts
    /// nowhere.
    pub fn counted(&self, label: u8) -> Option<usize> {
        let class = usize::from(label);
        (label != UNLABELED && self.class_weights[class] > 0.0).then_some(class)
    }

    /// Numbers of `f64` that [`weighted_loss`] needs as scratch for so many voxels.
    pub fn scratch_len(&self, voxels: usize) -> usize {
        voxels.div_ceil(TASK_VOXELS) * self.sums() + 2 * self.classes
    }

    /// Sums that a task leaves: cross-entropy, then `I`, `P` and `N` by class.
    fn sums(&self) -> usize {
        1 + 3 * self.classes
    }
}

/// The losses of one batch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Losses {
    /// Weighted cross-entropy divided by the sum of weights; 0 where nothing counts.
    pub cross_entropy: f64,
    /// One minus the mean soft Dice coefficient; 0 where nothing counts.
    pub dice: f64,
    /// Number of voxels that count.
    pub voxels: u64,
}

#[cfg(test)]
mod tests;
