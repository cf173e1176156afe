//! How good a segmentation is, on the voxels of which the truth is known.
//!
//! In come [`Labels`], a truth and a prediction of the same voxels; they are
//! counted into a [`Confusion`], and [`Scores`] (one case) or a [`Report`]
//! (several) come out. Voxels that are unlabeled in the truth count nowhere. A
//! class that is in neither volume has no score: it is `None`, never 0 or 1,
//! and means leave it out. [`compare_surfaces`] measures in mm how far surfaces are from
//! each other; [`SurfaceReport`] gathers that.
//!
//! What a prediction is worth where no truth is known is estimated from a sample
//! (`strata`), with an interval (`interval`), and so is what its probabilities are
//! worth (`calibration`).
//!
//! [`Labels`]: unet3d_volume::Labels

mod confusion;
mod report;
mod scores;

// Distances in place of counts.
mod surface;

// What can be said of voxels whose truth is not known, from some whose truth is.
pub mod calibration;
pub mod interval;
pub mod strata;

pub use calibration::{Calibration, Reliability};
pub use confusion::{Confusion, MismatchError};
pub use report::{CaseScores, Report};
pub use scores::{ClassScores, Scores};
pub use surface::{
    ClassSurface, LengthUnit, SurfaceCase, SurfaceReport, SurfaceScores, SurfaceSettings,
    SurfaceSummary, SurfaceVariant, compare_surfaces,
};
