//! (being written)

use crate::{Geometry, Samples, Volume};

/// A built-in, seeded volume.
#[derive(Clone, Debug, PartialEq)]
pub struct Phantom {
    /// Voxels along `[z, y, x]`.
    pub shape: [usize; 3],
    /// Which kind of tissue.
    pub seed: u64,
    /// Which sample of this kind.
    pub sample: u64,
    /// Distance of voxels in mm along `[z, y, x]`.
    pub spacing_mm: [f64; 3],
}

impl Phantom {
    /// Sample 0 with the voxels of the paper, 2.04 x 1.76 x 1.76 um.
    pub fn new(shape: [usize; 3], seed: u64) -> Self {
        Self {
            shape,
            seed,
            sample: 0,
            spacing_mm: [0.00204, 0.00176, 0.00176],
        }
    }

    /// The image of three channels and its labels.
    pub fn build(&self) -> (Volume, Volume) {
        let geometry = Geometry {
            spacing_mm: Some(self.spacing_mm),
            ..Geometry::of_shape(self.shape)
        };
        let n = geometry.voxels();
        let labels = Volume {
            geometry: geometry.clone(),
            channels: 1,
            samples: Samples::U8((0..n).map(|i| (i % 3) as u8).collect()),
        };
        (
            Volume {
                geometry,
                channels: 3,
                samples: Samples::U8(vec![0; 3 * n]),
            },
            labels,
        )
    }
}
