//! Learning from sparse annotation, in the order in which a step runs.
//!
//! Cases are sampled, augmented and batched ahead of their use; the network
//! runs forward; the loss leaves a gradient; the network runs backward; the
//! optimizer changes the parameters at the rate that the schedule says.

pub mod case;

pub mod sampler;

pub mod augment;

pub mod batch;

pub mod loss;

pub mod optimizer;

pub mod schedule;

pub mod observer;

mod error;

pub use case::Case;
pub use error::Error;
pub use loss::{ClassWeights, Loss, LossConfig, LossValue};
pub use observer::{Needs, Observer, Progress, StepRecord, Validation};
pub use optimizer::OptimizerConfig;
pub use schedule::ScheduleConfig;
