//! A volume that is made up, with a truth that is known everywhere.
//!
//! It resembles the kidney data of Cicek et al. 2016: branching tubules of one
//! layer of cells around a lumen, in other tissue, under a confocal microscope
//! with three channels (lectin, nuclei, cell borders). A threshold must fail on
//! it and a small network succeed: the lumen is as dark as the gaps of the
//! tissue and the blood vessels; every stain of the tubule wall occurs outside
//! of it too; what tells them apart is shape and arrangement.
//!
//! Lengths inside this module are in micrometres, arrays `[z, y, x]`.

mod cells;
mod optics;
mod stain;
mod tubes;

use unet3d_kernels::random::{Stream, generator};

use self::tubes::{Grid, Tissue};
use crate::labels::Class;
use crate::{Geometry, Samples, Volume};

/// A built-in volume: equal fields, equal bits.
///
/// ```
/// use unet3d_volume::Phantom;
/// let (image, labels) = Phantom::new([24, 40, 40], 7).build();
/// assert_eq!((image.channels, labels.channels), (3, 1));
/// assert_eq!(labels.geometry.shape, [24, 40, 40]);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Phantom {
    /// Voxels along `[z, y, x]`.
    pub shape: [usize; 3],
    /// Voxel distance in mm along `[z, y, x]`. Structures keep their size in
    /// mm: finer voxels show them larger.
    pub spacing_mm: [f64; 3],
    /// Seed of all randomness.
    pub seed: u64,
    /// Which sample of one experiment: another specimen under the same stains.
    pub sample: u64,
}

impl Phantom {
    /// Shape of the first volume of the paper, `[z, y, x]`.
    pub const PAPER_SHAPE: [usize; 3] = [64, 244, 248];
    /// The three samples of the paper, `[z, y, x]`: shape, and slices annotated
    /// across each axis.
    pub const PAPER_SAMPLES: [([usize; 3], [usize; 3]); 3] = [
        (Self::PAPER_SHAPE, [21, 5, 7]),
        ([56, 244, 245], [12, 7, 6]),
        ([59, 244, 246], [10, 5, 4]),
    ];
    /// Names of the three channels.
    pub const CHANNELS: [&str; 3] = ["lectin", "nuclei", "cell borders"];
    /// Voxels of the paper: 2.04 x 1.76 x 1.76 um.
    pub const PAPER_SPACING_MM: [f64; 3] = [0.00204, 0.00176, 0.00176];

    /// The first sample, with the voxels of the paper.
    pub fn new(shape: [usize; 3], seed: u64) -> Self {
        Self {
            shape,
            spacing_mm: Self::PAPER_SPACING_MM,
            seed,
            sample: 0,
        }
    }

    /// The classes of the truth, valued as in the paper (where 3 is unlabeled).
    pub fn classes() -> Vec<Class> {
        [(0, "inside"), (1, "tubule"), (2, "background")]
            .map(|(value, name)| Class {
                value,
                name: name.into(),
            })
            .to_vec()
    }

    /// Memory in bytes that [`build`](Self::build) takes for a shape: the distances
    /// to two kinds of tubes and three stains, `f32` each, beside the result;
    /// `None` where that is beyond counting.
    pub fn build_bytes(shape: [usize; 3]) -> Option<u64> {
        const PER_VOXEL: u64 = 40;
        shape
            .iter()
            .try_fold(PER_VOXEL, |bytes, &n| bytes.checked_mul(n as u64))
    }

    /// The image, three channels of `u8`, and the truth of every voxel: 0 inside
    /// a tubule, 1 tubule (its wall), 2 background.
    pub fn build(&self) -> (Volume, Volume) {
        let rng = &mut generator(self.seed, Stream::Phantom, self.sample);
        let grid = Grid {
            shape: self.shape,
            spacing: self.spacing_mm.map(|mm| (mm * 1000.0) as f32),
        };
        let tissue = Tissue::grow(&grid, rng);
        let mut channels = stain::channels(&grid, &tissue, rng);
        let image = channels
            .iter_mut()
            .flat_map(|channel| optics::photograph(channel, &grid, rng))
            .collect();
        let labels = (0..grid.voxels()).map(|i| tissue.class(i)).collect();
        let volume = |channels, samples| Volume {
            geometry: Geometry {
                spacing_mm: Some(self.spacing_mm),
                ..Geometry::of_shape(self.shape)
            },
            channels,
            samples: Samples::U8(samples),
            scaling: None,
            notes: Vec::new(),
            placed: None,
        };
        (volume(3, image), volume(1, labels))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(volume: &Volume) -> &[u8] {
        match &volume.samples {
            Samples::U8(v) => v,
            other => panic!("{other:?}"),
        }
    }

    fn shares(labels: &Volume) -> [f64; 3] {
        [0, 1, 2].map(|class| {
            let v = bytes(labels);
            v.iter().filter(|&&l| l == class).count() as f64 / v.len() as f64
        })
    }

    #[test]
    fn equal_fields_give_equal_bits_and_samples_differ() {
        let phantom = Phantom::new([20, 40, 44], 3);
        assert_eq!(phantom.build(), phantom.build());
        let other = Phantom {
            sample: 1,
            ..phantom.clone()
        };
        assert_ne!(phantom.build().1, other.build().1);
        assert_ne!(phantom.build().1, Phantom::new([20, 40, 44], 4).build().1);
    }

    #[test]
    fn classes_have_the_shares_of_the_paper_at_every_size_and_seed() {
        for (shape, seeds) in [([40, 80, 80], 0..4), ([64, 128, 128], 0..1)] {
            for seed in seeds {
                let [inside, tubule, background] = shares(&Phantom::new(shape, seed).build().1);
                assert!(
                    (0.05..0.12).contains(&inside) && (0.15..0.25).contains(&tubule),
                    "{shape:?} seed {seed}: {inside:.3} {tubule:.3} {background:.3}"
                );
            }
        }
    }

    #[test]
    fn the_lumen_is_closed_by_wall() {
        let shape = [40, 80, 80];
        let (_, labels) = Phantom::new(shape, 5).build();
        let v = bytes(&labels);
        let at = |z: usize, y: usize, x: usize| v[(z * shape[1] + y) * shape[2] + x];
        for z in 0..shape[0] {
            for y in 0..shape[1] {
                for x in 0..shape[2] - 1 {
                    let pair = [at(z, y, x), at(z, y, x + 1)];
                    assert!(pair != [0, 2] && pair != [2, 0], "{z} {y} {x}");
                }
            }
        }
    }

    #[test]
    fn no_threshold_of_one_channel_finds_a_class() {
        let (image, labels) = Phantom::new([48, 96, 96], 1).build();
        let (image, labels) = (bytes(&image), bytes(&labels));
        for channel in image.chunks(labels.len()) {
            for class in 0..2 {
                let all = labels.iter().filter(|&&l| l == class).count();
                let best = (0..=255u8)
                    .flat_map(|t| [(t, true), (t, false)])
                    .map(|(t, above)| {
                        let taken = |v: u8| (v >= t) == above;
                        let pairs = channel.iter().zip(labels).filter(|(v, _)| taken(**v));
                        let (n, hit) = pairs.fold((0, 0), |(n, hit), (_, &l)| {
                            (n + 1, hit + usize::from(l == class))
                        });
                        hit as f64 / (all + n - hit) as f64
                    })
                    .fold(0.0, f64::max);
                assert!(best < 0.45, "class {class}: IoU {best:.3} by a threshold");
            }
        }
    }

    #[test]
    fn brightness_falls_with_depth() {
        let (image, _) = Phantom::new([60, 64, 64], 2).build();
        let slice = 64 * 64;
        for channel in bytes(&image).chunks(60 * slice) {
            let mean = |range: std::ops::Range<usize>| {
                let part = &channel[range.start * slice..range.end * slice];
                part.iter().map(|&v| f64::from(v)).sum::<f64>() / part.len() as f64
            };
            assert!(mean(45..60) < 0.8 * mean(0..15));
        }
    }

    #[test]
    fn tiny_and_empty_shapes_build() {
        for shape in [[1, 1, 1], [1, 30, 30], [3, 2, 50], [0, 4, 4]] {
            let (image, labels) = Phantom::new(shape, 0).build();
            let voxels: usize = shape.iter().product();
            assert_eq!(bytes(&image).len(), 3 * voxels);
            assert_eq!(bytes(&labels).len(), voxels);
        }
    }
}
