//! A tile's output into the volume: logits become labels, probabilities and
//! uncertainty.
//!
//! Only the voxels that the tile decides are written, each once. The plane of
//! the volume is the task of a thread.

use std::sync::atomic::{AtomicUsize, Ordering};

use unet3d_kernels::Threads;
use unet3d_volume::Label;

use crate::uncertainty::normalised_entropy;
use crate::{Error, Tile, Witness};

/// One tile's output on its way into the volume.
pub(crate) struct Stitch<'a> {
    /// Of the volume.
    pub(crate) shape: [usize; 3],
    /// Of the tile's output.
    pub(crate) output: [usize; 3],
    /// Of the network.
    pub(crate) classes: usize,
    /// Where it lies and what it decides.
    pub(crate) tile: &'a Tile,
    /// `d h w classes`.
    pub(crate) logits: &'a [f32],
    /// By which logits are divided before they become probabilities.
    pub(crate) temperature: f64,
}

impl Stitch<'_> {
    /// Writes the labels that this tile decides.
    pub(crate) fn labels(&self, threads: &Threads, labels: &mut [Label]) -> Result<(), Error> {
        let first_bad = AtomicUsize::new(usize::MAX);
        self.for_each_row(threads, labels, 1, |first, logits, row| {
            let voxels = logits.chunks_exact(self.classes).zip(row);
            for (i, (logits, label)) in voxels.enumerate() {
                let best = argmax(logits);
                if !logits.iter().all(|v| v.is_finite()) {
                    first_bad.fetch_min(first + i, Ordering::Relaxed);
                }
                *label = Label::of_class(best);
            }
        });
        match first_bad.into_inner() {
            usize::MAX => Ok(()),
            index => Err(Error::OutputNotFinite {
                at: position(self.shape, index),
            }),
        }
    }

    /// Writes the probabilities of the voxels that this tile decides.
    pub(crate) fn probabilities(&self, threads: &Threads, probabilities: &mut [f32]) {
        self.for_each_row(threads, probabilities, self.classes, |_, logits, row| {
            row.copy_from_slice(logits);
            let softer = 1.0 / self.temperature as f32;
            row.chunks_exact_mut(self.classes)
                .for_each(|voxel| softmax(voxel, softer));
        });
    }

    /// Writes the uncertainty of the voxels that this tile decides.
    pub(crate) fn uncertainty(&self, threads: &Threads, uncertainty: &mut [f32]) {
        let softer = 1.0 / self.temperature as f32;
        self.for_each_row(threads, uncertainty, 1, |_, logits, row| {
            let mut p = vec![0.0; self.classes];
            for (logits, out) in logits.chunks_exact(self.classes).zip(row) {
                p.copy_from_slice(logits);
                softmax(&mut p, softer);
                *out = normalised_entropy(&p);
            }
        });
    }

    /// Shows the logits that this tile decides, row by row in a fixed order.
    pub(crate) fn show(&self, witness: &mut dyn Witness) {
        let Tile {
            keep_start: [z0, y0, x0],
            keep_shape: [depth, height, width],
            first_output: [oz, oy, ox],
            ..
        } = *self.tile;
        let [_, rows, columns] = self.shape;
        for z in 0..depth {
            for y in 0..height {
                let first = ((z0 + z) * rows + y0 + y) * columns + x0;
                let from = ((oz + z) * self.output[1] + oy + y) * self.output[2] + ox;
                let logits = &self.logits[from * self.classes..(from + width) * self.classes];
                witness.row(first, logits);
            }
        }
    }

    /// Calls `write(index of the first voxel, logits, part of volume)` for each
    /// row of the tile; `volume` has `per_voxel` elements for each voxel.
    fn for_each_row<T: Send>(
        &self,
        threads: &Threads,
        volume: &mut [T],
        per_voxel: usize,
        write: impl Fn(usize, &[f32], &mut [T]) + Sync,
    ) {
        let Tile {
            keep_start: [z0, y0, x0],
            keep_shape: [depth, height, width],
            first_output: [oz, oy, ox],
            ..
        } = *self.tile;
        let [_, rows, columns] = self.shape;
        let plane = rows * columns * per_voxel;
        threads.for_each_part(
            volume,
            &mut [],
            depth,
            |z| (z0 + z) * plane..(z0 + z + 1) * plane,
            |z, part, _| {
                for y in 0..height {
                    let to = (y0 + y) * columns + x0;
                    let from = ((oz + z) * self.output[1] + oy + y) * self.output[2] + ox;
                    write(
                        (z0 + z) * rows * columns + to,
                        &self.logits[from * self.classes..(from + width) * self.classes],
                        &mut part[to * per_voxel..(to + width) * per_voxel],
                    );
                }
            },
        );
    }
}

/// `[z, y, x]` of the voxel with this index.
pub(crate) fn position(shape: [usize; 3], index: usize) -> [usize; 3] {
    [
        index / shape[2] / shape[1],
        index / shape[2] % shape[1],
        index % shape[2],
    ]
}

/// Index of the largest value, of equals the first.
fn argmax(values: &[f32]) -> usize {
    let mut best = 0;
    for (i, v) in values.iter().enumerate() {
        if *v > values[best] {
            best = i;
        }
    }
    best
}

/// `exp(sharpness v) / sum of exp(sharpness v)` in place, by way of the largest,
/// so that logits of any finite size give finite probabilities.
pub(crate) fn softmax(values: &mut [f32], sharpness: f32) {
    let largest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for v in values.iter_mut() {
        *v = (sharpness * (*v - largest)).exp();
        sum += *v;
    }
    values.iter_mut().for_each(|v| *v /= sum);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_equal_logits_the_first_class_wins() {
        assert_eq!(argmax(&[1.0, 1.0, 1.0]), 0);
        assert_eq!(argmax(&[0.0, 2.0, 2.0]), 1);
        assert_eq!(argmax(&[-3.0]), 0);
    }

    #[test]
    fn softmax_of_extreme_logits_is_finite_and_sums_to_one() {
        for logits in [[1e4f32, -1e4, 0.0], [-1e4; 3], [f32::MAX, f32::MIN, 0.0]] {
            let mut p = logits;
            softmax(&mut p, 1.0);
            // Three additions and divisions, each rounded once.
            assert!(
                (p.iter().sum::<f32>() - 1.0).abs() <= 4.0 * f32::EPSILON,
                "{p:?}"
            );
        }
    }
}
