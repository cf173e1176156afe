//! The network: configuration, graph, plan, forward and backward.
//!
//! A [`UNetConfig`] says which network, `graph` spells it out as a list of
//! nodes, `shape` reads off these what sizes the network takes, `plan` fixes shapes and memory for one input size, and `execute` runs
//! the list forwards and, read bottom-up, backwards.

pub mod config;
pub mod preset;

pub mod layout;

pub mod graph;
pub mod network;
mod shape;

pub mod plan;

pub mod profile;

pub mod execute;

pub use config::{Activation, Biases, ConfigError, Level, Normalisation, Padding, UNetConfig};
pub use execute::{Engine, Executor};
pub use layout::{Entry, Kind, Layout};
pub use network::{Network, Parameters, SizeError};
pub use plan::{Mode, NOMINAL_THREADS, Plan};
pub use preset::Preset;
pub use profile::{Pass, Profile};
