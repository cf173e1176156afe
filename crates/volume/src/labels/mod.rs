//! What the values of a label image mean: classes, and "not annotated".
//!
//! Files disagree on what 0 means and most cannot say "not annotated" at all,
//! so a label image enters only with a [`LabelScheme`]. In comes a [`Volume`]
//! of whole numbers, out go [`Labels`]: a class or [`Label::UNLABELED`] for
//! every voxel. From there on nobody looks at file values any more, until
//! [`Labels::to_volume`] writes them back.
//!
//! [`Volume`]: crate::Volume

// How classes are shown.
pub(crate) mod colours;

// What a label is and what a file's values may mean.
mod direction;
mod error;
mod scheme;
mod stated;
mod values;

// The question asked where no scheme is given, and the reading under one.
mod describe;
mod objects;
mod painted;
mod read;

// What a person should be told of an annotation before anything learns from it.
mod in_words;
mod left_out;
mod odd_slices;

// What is done with labels, and back to a file.
mod slices;
mod write;

// A class for every voxel without learning anything.
mod interpolate;

use serde::{Deserialize, Serialize};

pub use colours::colour_of_class;
pub use describe::{FoundValue, FoundValues, describe_values};
pub use direction::Direction;
pub use error::{LabelsError, Listed};
pub use in_words::{annotated_in_words, slices_in_words};
pub use interpolate::{Ends, interpolate, interpolate_with};
pub use objects::Numbered;
pub use odd_slices::annotation_warnings;
pub use read::{ask_whether_numbered, classes_of};
pub use scheme::{Annotated, LabelScheme};
pub use slices::evenly_spaced;
pub use stated::StatedSlices;

use crate::Geometry;

/// The label of one voxel: a class, or not annotated. Never an index by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Label(u8);

impl Label {
    /// Nobody said what this voxel is.
    pub const UNLABELED: Self = Self(u8::MAX);
    /// Most classes a scheme can have.
    pub const MAX_CLASSES: usize = u8::MAX as usize;

    /// The label of class `index`.
    ///
    /// # Panics
    /// When `index` is not below [`MAX_CLASSES`](Self::MAX_CLASSES).
    pub fn of_class(index: usize) -> Self {
        assert!(
            index < Self::MAX_CLASSES,
            "class index {index} is not below {}",
            Self::MAX_CLASSES
        );
        Self(index as u8)
    }

    /// Index of the class, `None` where the voxel is not annotated.
    pub fn class(self) -> Option<usize> {
        (self != Self::UNLABELED).then_some(usize::from(self.0))
    }

    /// Whether somebody said what this voxel is.
    pub fn is_annotated(self) -> bool {
        self != Self::UNLABELED
    }
}

/// A class: the value that files store for it, and its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Class {
    /// Value in label files.
    pub value: i64,
    /// Name for people.
    pub name: String,
}

/// A label image whose meaning is settled.
#[derive(Clone, Debug, PartialEq)]
pub struct Labels {
    /// Shape, spacing and orientation.
    pub geometry: Geometry,
    /// The classes in order of their index.
    pub classes: Vec<Class>,
    /// `[z, y, x]`.
    pub voxels: Vec<Label>,
}

impl Labels {
    /// Number of voxels that somebody annotated.
    pub fn annotated_voxels(&self) -> usize {
        self.voxels.iter().filter(|l| l.is_annotated()).count()
    }

    /// Number of annotated voxels of each class, in order of their index.
    pub fn class_voxels(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes.len()];
        for class in self.voxels.iter().filter_map(|l| l.class()) {
            counts[class] += 1;
        }
        counts
    }
}
