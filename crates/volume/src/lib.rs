//! Files to volumes and back, and what a label means.
//!
//! Order of reading: a file becomes a [`Volume`] (`format`), the image is
//! normalised (`normalise`) and brought to the wanted spacing (`resample`),
//! its label image is brought to its grid (`place`), label values become
//! [`Labels`] under a stated [`LabelScheme`] (`labels`).
//! Arrays are `[z, y, x]`, several channels `[c, z, y, x]`, spacing in mm in
//! the same order.

pub mod atomic;
mod error;
mod filled;
mod plain_file;

mod format;
pub mod name;
mod samples;
mod scaling;
pub mod text;
pub mod volume;
pub mod words;

pub mod normalise;

// Two volumes become one grid, by their place in the world.
pub mod place;

pub mod resample;

pub mod labels;

// Stands in for a file where there is none.
pub mod phantom;

pub use error::Error;
pub use filled::Filled;
pub use format::{
    check_content, check_name, check_shape, check_target, is_folder_to_write, is_name_of_slice,
    is_name_of_volume, is_name_of_written_slice, is_samples_of_pair, read, write, write_labels,
};
pub use labels::{Annotated, Class, Label, LabelScheme, Labels};
pub use normalise::{Normalise, Padding};
pub use phantom::Phantom;
pub use place::Orientation;
pub use plain_file::{read_file, read_text};
pub use samples::{NumberType, Samples};
pub use scaling::Scaling;
pub use volume::{Forms, Geometry, Image, Volume};
