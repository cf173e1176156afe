//! How doubtful a voxel is: entropy of its probabilities, and the mean of what
//! the network says of a tile and its mirror images.
//!
//! A network that segments well should say the same of an object and of its
//! mirror image. Where it does not, the mean is less certain, and on average
//! nearer to the truth.

use unet3d_unet::UNetConfig;

use crate::Tiling;
use crate::stitch::softmax;

/// Mirror images of a box, itself first: each axis as it is or reversed.
const MIRRORS: usize = 8;

/// Entropy of the probabilities of one voxel over that of equal ones, 0 to 1:
/// `-sum of p ln p / ln classes`. 0 where there is one class only.
pub(crate) fn normalised_entropy(probabilities: &[f32]) -> f32 {
    if probabilities.len() < 2 {
        return 0.0;
    }
    let entropy: f32 = probabilities
        .iter()
        // p ln p goes to 0 with p.
        .map(|p| if *p > 0.0 { -p * p.ln() } else { 0.0 })
        .sum();
    (entropy / (probabilities.len() as f32).ln()).clamp(0.0, 1.0)
}

/// Predicts a tile in all its mirror images.
pub(crate) struct Mirrors {
    input_shape: [usize; 3],
    output_shape: [usize; 3],
    classes: usize,
    channels: usize,
    /// A mirrored input, `d h w c`.
    input: Vec<f32>,
    /// Sum of the probabilities, at last the logarithm of their mean, `d h w classes`.
    mean: Vec<f32>,
}

impl Mirrors {
    /// For all tiles of `tiling`.
    pub(crate) fn new(tiling: &Tiling, channels: usize, classes: usize) -> Self {
        let voxels = |shape: [usize; 3]| shape.iter().product::<usize>();
        Self {
            input: vec![0.0; voxels(tiling.input_shape()) * channels],
            mean: vec![0.0; voxels(tiling.output_shape()) * classes],
            input_shape: tiling.input_shape(),
            output_shape: tiling.output_shape(),
            classes,
            channels,
        }
    }

    /// Memory that mirroring takes beside the network.
    pub(crate) fn bytes(input: [usize; 3], output: [usize; 3], network: &UNetConfig) -> u64 {
        let voxels = |shape: [usize; 3]| shape.iter().map(|n| *n as u64).product::<u64>();
        let numbers =
            voxels(input) * network.in_channels as u64 + voxels(output) * network.classes as u64;
        numbers * size_of::<f32>() as u64
    }

    /// Logits whose softmax is the mean probability over the mirror images of
    /// `input`; `forward` hands the logits of an input to its second argument.
    pub(crate) fn mean(
        &mut self,
        input: &[f32],
        mut forward: impl FnMut(&[f32], &mut dyn FnMut(&[f32])),
    ) -> &[f32] {
        self.mean.fill(0.0);
        let mut p = vec![0.0; self.classes];
        for mirror in 0..MIRRORS {
            let reversed = [0, 1, 2].map(|axis| mirror >> axis & 1 == 1);
            for (to, voxel) in self.input.chunks_exact_mut(self.channels).enumerate() {
                let from = mirrored(to, self.input_shape, reversed) * self.channels;
                voxel.copy_from_slice(&input[from..from + self.channels]);
            }
            let (mean, classes, shape) = (&mut self.mean, self.classes, self.output_shape);
            forward(&self.input, &mut |logits| {
                for (to, sum) in mean.chunks_exact_mut(classes).enumerate() {
                    let from = mirrored(to, shape, reversed) * classes;
                    p.copy_from_slice(&logits[from..from + classes]);
                    softmax(&mut p, 1.0);
                    sum.iter_mut().zip(&p).for_each(|(sum, p)| *sum += p);
                }
            });
        }
        for value in &mut self.mean {
            // NaN stays NaN and is refused with the tile's other logits.
            let mean = *value / MIRRORS as f32;
            *value = if mean < f32::MIN_POSITIVE {
                f32::MIN_POSITIVE.ln()
            } else {
                mean.ln()
            };
        }
        &self.mean
    }
}

/// Index of the voxel that stands where `index` was before the axes were reversed.
fn mirrored(index: usize, [depth, height, width]: [usize; 3], reversed: [bool; 3]) -> usize {
    let flip = |i: usize, n: usize, reversed: bool| if reversed { n - 1 - i } else { i };
    let z = flip(index / width / height, depth, reversed[0]);
    let y = flip(index / width % height, height, reversed[1]);
    let x = flip(index % width, width, reversed[2]);
    (z * height + y) * width + x
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entropy_by_hand() {
        assert_eq!(normalised_entropy(&[1.0, 0.0, 0.0]), 0.0);
        assert_eq!(normalised_entropy(&[1.0]), 0.0);
        for classes in [2usize, 3, 7] {
            let even = normalised_entropy(&vec![1.0 / classes as f32; classes]);
            assert!((even - 1.0).abs() < 1e-6, "{classes}: {even}");
        }
        // 0.25 ln 4 + 0.75 ln 4/3 = 0.5623, over ln 2.
        assert!((normalised_entropy(&[0.25, 0.75]) - 0.811_278).abs() < 1e-5);
    }

    #[test]
    fn mirrors_are_their_own_inverse_and_all_different() {
        let shape = [2, 3, 5];
        let mut seen = Vec::new();
        for mirror in 0..MIRRORS {
            let reversed = [0, 1, 2].map(|axis| mirror >> axis & 1 == 1);
            let to: Vec<usize> = (0..30).map(|i| mirrored(i, shape, reversed)).collect();
            assert!((0..30).all(|i| to[to[i]] == i));
            assert!(!seen.contains(&to));
            seen.push(to);
        }
        assert_eq!(mirrored(0, shape, [true, false, true]), 19);
    }

    #[test]
    fn the_mean_undoes_the_mirroring() {
        // A "network" that says of each voxel what it sees there.
        let shape = [2, 2, 3];
        let input: Vec<f32> = (0..12).flat_map(|i| [i as f32 / 4.0, 0.0]).collect();
        let mut mirrors = Mirrors {
            input_shape: shape,
            output_shape: shape,
            classes: 2,
            channels: 2,
            input: vec![0.0; 24],
            mean: vec![0.0; 24],
        };
        let mean = mirrors.mean(&input, |seen, take| take(seen));
        for (i, (m, x)) in mean.chunks(2).zip(input.chunks(2)).enumerate() {
            let (found, expected) = (m[0] - m[1], x[0] - x[1]);
            assert!(
                (found - expected).abs() < 1e-4,
                "voxel {i}: {found}, {expected}"
            );
        }
    }
}
