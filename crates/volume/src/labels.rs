//! What the values of a label image mean: classes, and "not annotated".
//!
//! Files disagree on what 0 means and most cannot say "not annotated" at all,
//! so a label image enters only with a [`LabelScheme`].

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

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
}

/// A class: the value that files store for it, and its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Class {
    /// Value in label files.
    pub value: i64,
    /// Name for people.
    pub name: String,
}

/// Which voxels of a label image are annotated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Annotated {
    /// Every voxel.
    Dense,
    /// Every voxel that does not have this value.
    Except(i64),
    /// The slices along these axes (0 = z, 1 = y, 2 = x) that hold any value
    /// but 0; in them 0 is background.
    PaintedSlices(Vec<usize>),
    /// The voxels where this mask volume is not 0.
    Mask(PathBuf),
}

/// How the values of label files are to be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelScheme {
    /// The classes in order of their index; empty where they are to be taken
    /// from the values found.
    pub classes: Vec<Class>,
    /// Which voxels are annotated.
    pub annotated: Annotated,
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
