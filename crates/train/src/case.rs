//! One volume to learn from: its image and what is annotated in it.

use unet3d_volume::{Image, Labels};

/// An image with its labels; both have the same shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// Name for people, unique in a data set.
    pub name: String,
    /// Whom the volume is of, where known: cases of one subject belong on the
    /// same side of a split.
    pub subject: Option<String>,
    /// Normalised image.
    pub image: Image,
    /// Classes of the annotated voxels.
    pub labels: Labels,
}
