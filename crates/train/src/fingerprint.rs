//! A number that tells data apart: what a run was begun on is recognised when it
//! is resumed, whatever its files are called.
//!
//! FNV-1a over words rather than bytes, which is faster and as good for telling
//! a change; no protection against one made on purpose.

use unet3d_volume::{Image, Labels};

use crate::Case;
use crate::validate::HeldOut;

/// Start and factor of the 64-bit FNV-1a hash.
const START: u64 = 0xcbf2_9ce4_8422_2325;
const FACTOR: u64 = 0x0000_0100_0000_01b3;

/// Of all that is learned from and scored: shapes, spacing, gray values, labels
/// and classes, in order. The same on every machine.
pub(crate) fn fingerprint(training: &[Case], held_out: &HeldOut) -> String {
    let mut hash = Hash(START);
    for case in training.iter().chain(&held_out.cases) {
        hash.image(&case.image);
        hash.labels(&case.labels);
    }
    for (index, labels) in &held_out.slices {
        hash.word(*index as u64);
        hash.labels(labels);
    }
    format!("{:016x}", hash.0)
}

struct Hash(u64);

impl Hash {
    fn word(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(FACTOR);
    }

    fn image(&mut self, image: &Image) {
        let shape = image.geometry.shape.map(|n| n as u64);
        shape.into_iter().for_each(|n| self.word(n));
        self.word(image.channels as u64);
        let spacing = image.geometry.spacing_mm.unwrap_or_default();
        spacing.into_iter().for_each(|mm| self.word(mm.to_bits()));
        image
            .voxels
            .iter()
            .for_each(|v| self.word(u64::from(v.to_bits())));
    }

    fn labels(&mut self, labels: &Labels) {
        for class in &labels.classes {
            self.word(class.value as u64);
            class
                .name
                .bytes()
                .for_each(|byte| self.word(u64::from(byte)));
        }
        for label in &labels.voxels {
            // No class has the largest number.
            self.word(label.class().map_or(u64::MAX, |class| class as u64));
        }
    }
}
