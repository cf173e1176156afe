//! How two volumes that are used voxel by voxel meet: by their place in the world.
//!
//! In comes the geometry of a first volume (an image) and a second volume (its
//! labels, a mask, another channel). [`bring()`] leaves the second on the grid of
//! the first, or refuses. What it may do, and all that it may do:
//!
//! | found | done |
//! |---|---|
//! | the same grid | used as it is |
//! | the same grid, axes permuted or reversed | turned, which loses nothing |
//! | a box of the grid | placed there; outside nothing is known |
//! | one states less than the other, same shape | what the other states is used |
//! | anything else | refused |
//!
//! Labels that hold only some slices of a stack, a file each, are placed before that
//! by the names of the files ([`place_slices`]).
//!
//! Nothing is ever interpolated here. Whatever is done beyond the first row becomes
//! a note of the second volume, so that a person is told.

mod bring;

// Files of some slices beside a whole stack.
mod slice_names;
mod some_slices;

// What is known of two grids, and what a person is told of it.
mod apart;
mod relation;

// Turning without loss, and which way an axis points.
mod orientation;
mod turn;

pub use apart::{Apart, Why};
pub use bring::{Done, How, Outside, bring, bring_either, bring_mask};
pub use orientation::Orientation;
pub use relation::{Relation, relate};
pub use some_slices::place_slices;
pub use turn::Turn;

pub(crate) use slice_names::numbers;

pub(crate) use relation::{corners, is_same_place, precision_mm};

#[cfg(test)]
mod tests;
