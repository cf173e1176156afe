//! The network: configuration, graph, plan, forward and backward.
//!
//! A [`UNetConfig`] says which network, `graph` spells it out as a list of
//! nodes, `plan` fixes shapes and memory for one input size, and `execute` runs
//! the list forwards and, read bottom-up, backwards.

pub mod config;

pub use config::{Activation, Normalisation, Padding, UNetConfig};
