//! A patch as training sees it: cut out, deformed, its gray values changed.
//!
//! In come a case, a location and random numbers; out come the input of the
//! network and the labels of its output part. Everything geometric is one
//! [`Deformation`], so image and labels move together and the image is
//! interpolated once; gray values are changed afterwards ([`gray`]).

pub mod config;

pub mod deformation;

pub mod gray;

pub mod patch;

pub use config::{AugmentConfig, AugmentError, Border, Elastic, Gray};
pub use deformation::Deformation;
pub use patch::Augmenter;
