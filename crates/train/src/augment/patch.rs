//! A patch cut out of a case at a location, deformed and recoloured.

use rand::Rng;
use unet3d_kernels::warp::{self, Region, Source, Workspace};
use unet3d_volume::Label;

use super::{AugmentConfig, AugmentError, Border, Deformation, gray};
use crate::Case;
use crate::sampler::{Location, PatchShape};

/// Makes patches of one shape; holds the memory that it takes, so that each
/// worker has its own and allocates once.
pub struct Augmenter {
    config: AugmentConfig,
    patch: PatchShape,
    deformation: Deformation,
    workspace: Workspace,
    sample: Vec<f32>,
}

impl Augmenter {
    /// A maker of patches of shape `patch`.
    ///
    /// # Errors
    /// When the configuration makes no sense ([`AugmentConfig::check`]).
    pub fn new(config: AugmentConfig, patch: PatchShape) -> Result<Self, AugmentError> {
        config.check()?;
        Ok(Self {
            config,
            patch,
            deformation: Deformation::identity(patch.input),
            workspace: Workspace::default(),
            sample: Vec::new(),
        })
    }

    /// Writes the patch at `location` of `case`: `input` as `[d, h, w, c]` of
    /// the patch's input shape, `labels` as `[d, h, w]` of its output shape.
    ///
    /// The output part holds an annotated voxel whenever it would without
    /// deformation: one that moves all of them out (a thin slice can fall
    /// between the voxels of an enlarging patch) is drawn anew.
    ///
    /// # Panics
    /// When `input` or `labels` has another length.
    pub fn make_patch(
        &mut self,
        case: &Case,
        location: Location,
        rng: &mut impl Rng,
        input: &mut [f32],
        labels: &mut [Label],
    ) {
        // Eight failures in a row do not happen by chance: the annotation is a
        // few voxels wide, and the undeformed patch is what can be had.
        const ATTEMPTS: usize = 8;
        let spacing_mm = case.image.geometry.spacing_mm.unwrap_or([1.0; 3]);
        for _ in 0..ATTEMPTS {
            self.deformation.redraw(&self.config, spacing_mm, rng);
            if self.warp_labels(case, location, labels) {
                break;
            }
        }
        if labels.iter().all(|&label| label == Label::UNLABELED) {
            self.deformation.reset();
            self.warp_labels(case, location, labels);
        }
        warp::warp_linear(
            &self.deformation.field(location.centre),
            Source {
                voxels: &case.image.voxels,
                shape: case.image.geometry.shape,
                channels: case.image.channels,
            },
            match self.config.border {
                Border::Mirror => warp::Border::Mirror,
                Border::Zero => warp::Border::Fill(0.0),
            },
            Region::whole(self.patch.input),
            input,
            &mut self.workspace,
        );
        gray::change(
            &self.config.gray,
            input,
            case.image.channels,
            rng,
            &mut self.sample,
        );
    }

    /// Writes the labels of the output part; whether any voxel of it is annotated.
    fn warp_labels(&mut self, case: &Case, location: Location, labels: &mut [Label]) -> bool {
        warp::warp_nearest(
            &self.deformation.field(location.centre),
            Source {
                voxels: &case.labels.voxels,
                shape: case.labels.geometry.shape,
                channels: 1,
            },
            match self.config.border {
                Border::Mirror => warp::Border::Mirror,
                Border::Zero => warp::Border::Fill(Label::UNLABELED),
            },
            Region {
                start: self.patch.margin(),
                shape: self.patch.output,
            },
            labels,
            &mut self.workspace,
        );
        labels.iter().any(|&label| label != Label::UNLABELED)
    }
}

#[cfg(test)]
mod tests;
