//! The operations of the network: slices in, slices out.
//!
//! A kernel neither allocates nor spawns threads nor knows what a network is;
//! memory and [`Threads`] are handed to it and sizes arrive checked. Tensors
//! are `n d h w c`, channels innermost. Every operation has one plain
//! `reference` (nested loops, f64 sums) that the fast ones are tested against.

// What every kernel is handed.
mod context;
pub mod isa;
pub mod memory;
pub mod random;
pub mod softmax;
pub mod threads;
pub mod view;
pub mod warp;

// The operations, in the order a voxel meets them.
pub mod conv3d;
pub mod norm;
pub mod pool3d;
pub mod upconv3d;

// What they are measured against.
pub mod probe;

mod micro;

pub use context::Context;
pub use isa::Isa;
pub use memory::{Memory, is_obtainable};
pub use threads::Threads;
pub use view::{Dropout, Pooled, Region, Shape, Source, Target, Transform, View};
