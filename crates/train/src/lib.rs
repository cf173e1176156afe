//! Learning from sparse annotation, in the order in which a step runs.

pub mod case;

pub mod sampler;

pub mod augment;

pub mod batch;

pub use case::Case;
