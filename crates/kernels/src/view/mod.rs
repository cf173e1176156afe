//! How an operation reads its input and writes its output: stored tensors with what is
//! still to be done to them.
//!
//! A stored activation is a raw convolution output. Its normalisation, its
//! activation and its dropout are a [`Transform`] that is applied when the next
//! operation loads it; cropping and concatenation are a [`View`] of one or two
//! [`Source`]s. Nothing of this is ever written back to memory.

mod shape;

mod transform;

mod source;

mod load;

mod lanes;

mod target;

pub use shape::{Region, Shape};
pub use source::{Source, View};
pub use target::{Pooled, Target};
pub use transform::{Dropout, Transform};

pub(crate) use lanes::{Lanes, load_lanes, store_lanes, vector};

/// Rows of the input that are fetched ahead of the one that is loaded: as many as pass
/// before memory answers.
pub(crate) const AHEAD: usize = 3;
