//! What makes cases, patch and configuration unfit for each other.

use unet3d_volume::words::counted;

/// Why nothing can be sampled.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SamplerError {
    /// The output is not a central part of the input.
    #[error(
        "patch: output {output} along {axis} with input {input}, the output must be at least 1, no \
         larger than the input, and differ from it by an even number of voxels"
    )]
    Patch {
        /// Name of the axis.
        axis: char,
        /// Input size in voxels.
        input: usize,
        /// Output size in voxels.
        output: usize,
    },
    /// Image and labels disagree.
    #[error(
        "case {name}: the image has shape {image:?} (z, y, x), its labels {labels:?}, both must be \
         equal. Was the right label file paired with the image?"
    )]
    Shape {
        /// Name of the case.
        name: String,
        /// Shape of the image.
        image: [usize; 3],
        /// Shape of the labels.
        labels: [usize; 3],
    },
    /// Nothing to learn from.
    #[error(
        "no annotated voxel in {}, there must be at least one. Perhaps the value \
         that marks unlabeled voxels is not what the label files use: look at their values with `unet3d info`", counted(*.cases, "case")
    )]
    NothingAnnotated {
        /// Number of cases.
        cases: usize,
    },
    /// The ratio names a class that does not exist.
    #[error("sampler: background class \"{name}\" not found, must be one of: {classes}")]
    UnknownClass {
        /// The name given.
        name: String,
        /// The names that exist.
        classes: String,
    },
    /// The ratio is no ratio.
    #[error(
        "sampler: positive {positive} to negative {negative}, both must be finite, not below 0, and \
         not both 0"
    )]
    Ratio {
        /// Share of positive centres.
        positive: f64,
        /// Share of negative centres.
        negative: f64,
    },
    /// The ratio asks for voxels that no case has.
    #[error(
        "sampler: no annotated voxel {kind} class \"{background}\" in any case, but the ratio asks \
         for such patches. Annotate some, or sample with centre = \"annotated\""
    )]
    NoneOfKind {
        /// "of" or "outside".
        kind: &'static str,
        /// Name of the background class.
        background: String,
    },
}
