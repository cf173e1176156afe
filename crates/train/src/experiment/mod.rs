//! The paper's three experiments: who learns from what, and what is scored.
//!
//! Comes in: annotated cases. A [`Protocol`] names its [`Part`]s and gives each
//! as a [`Split`]: training cases, and labels to score on that training never
//! sees ([`SlicesCv`], [`SlicesCount`] and [`Volumes`] are tables 1 to 3 of the
//! paper). A [`Comparison`] is one of the three networks that are compared;
//! [`learn()`] trains it on a split and counts how it does; [`Baseline`]s need
//! no training. No file is touched here but the run folder that a caller names.

mod protocol;

mod slices_cv;

mod slices_count;

mod volumes;

mod comparison;

mod baseline;

mod trial;

pub use baseline::Baseline;
pub(crate) use baseline::close_crossings;
pub use comparison::Comparison;
pub use protocol::{Part, Protocol, Split};
pub use slices_count::{PAPER_SETUPS, SlicesCount};
pub use slices_cv::{AnnotatedSlice, SlicesCv};
pub use trial::{Counts, Trial, learn, needs};
pub use volumes::Volumes;

use crate::Case;
use crate::validate::HeldOut;

/// A number that tells data apart: the same cases, the same number, whatever
/// their files are called.
pub fn fingerprint(cases: &[Case]) -> String {
    crate::fingerprint::fingerprint(cases, &HeldOut::default())
}

/// The first two cases, by index, that have one image, voxel by voxel, whatever
/// their files, labels and places in the world are.
pub fn same_image(cases: &[Case]) -> Option<(usize, usize)> {
    let is_same = |a: &Case, b: &Case| {
        let (a, b) = (&a.image, &b.image);
        (a.geometry.shape, a.channels) == (b.geometry.shape, b.channels) && a.voxels == b.voxels
    };
    let mut pairs = (1..cases.len()).flat_map(|j| (0..j).map(move |i| (i, j)));
    pairs.find(|(i, j)| is_same(&cases[*i], &cases[*j]))
}
