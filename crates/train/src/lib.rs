//! Learning from sparse annotation, in the order in which a step runs.
//!
//! A data set becomes [`Case`]s; patches are sampled, augmented and batched
//! ahead of their use; the network runs forward; the loss leaves a gradient;
//! the network runs backward; the optimizer changes the parameters at the rate
//! that the schedule says ([`step`]). Held-out data score the result. [`run()`]
//! is the loop with files around it, [`fill()`](fill::fill) the whole job on
//! one volume, [`experiment`] the paper's three experiments.

pub mod config;

pub mod case;

pub mod dataset;

mod hold_out;

pub mod patch;

pub mod sampler;

pub mod augment;

pub mod batch;

pub mod loss;

pub mod optimizer;

pub mod schedule;

pub mod trainer;

pub mod step;

mod forecast;

mod fingerprint;

pub mod validate;

pub mod observer;

pub mod checkpoint;

pub mod log;

pub mod lock;

mod folder;

mod keeper;

pub mod run;

mod evidence;

pub mod estimate;

pub mod fill;

pub mod interpolated;

pub mod experiment;

mod error;

pub use case::Case;
pub use config::{Budget, TrainConfig};
pub use error::Error;
pub use estimate::Estimate;
pub use fill::{FillConfig, FillResult, fill};
pub use hold_out::hold_out_slices;
pub use interpolated::{Interpolated, fill_by_interpolation};
pub use loss::{ClassWeights, Loss, LossConfig, LossValue};
pub use observer::{Needs, Observer, Progress, StepRecord, Validation};
pub use optimizer::OptimizerConfig;
pub use run::{Outcome, RunData, run};
pub use schedule::ScheduleConfig;
pub use trainer::Trainer;
