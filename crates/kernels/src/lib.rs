//! The operations of the network: slices in, slices out.
//!
//! A kernel neither allocates nor spawns threads nor knows what a network is;
//! memory and [`Threads`] are handed to it and sizes arrive checked. Tensors
//! are `n d h w c`, channels innermost. Every operation has one plain
//! `reference` (nested loops, f64 sums) that the fast ones are tested against.

pub mod random;
pub mod threads;

pub use threads::Threads;
