//! Winograd's convolution, F(m x m x m, 3 x 3 x 3) with m chosen for each axis.
//!
//! With m = 4 a tile of 4x4x4 outputs costs 216 products a channel pair instead
//! of 1,728; with its transforms that leaves a third to a fifth of the direct
//! time. A block of tiles is loaded (transformed by the producer's normalisation
//! and activation) and transformed frequency by frequency; each frequency is a
//! matrix product; the products are transformed back and written. `forward.rs`
//! and `backward.rs` say in which order, so that tiles stay in the caches.
//!
//! The weight gradient transforms tiles of the input and of the output gradient,
//! adds the outer products frequency by frequency, and transforms the sums back
//! once at the end.
//!
//! Blocks are cut by the problem and sums run in tile order, so the bits do not
//! depend on the number of threads. The error is that of F(4, 3) in three
//! dimensions: docs/numerics.md.

// How outputs are cut into tiles, and the transform of one.
mod cut;
mod form;
mod tile;

// In the order of the forward pass.
mod weights;

mod input;

mod stage;

mod back;

mod forward;

mod backward;

use super::{Kernel, Problem, Size};
use crate::Context;
use crate::view::Target;

/// Winograd convolution; channels in multiples of 16, kernels with at least
/// two axes of 3.
pub struct Winograd;

impl Kernel for Winograd {
    fn name(&self) -> &'static str {
        "winograd"
    }

    fn supports(&self, size: &Size) -> bool {
        // With one long axis the transforms cost more than they save.
        size.kernel.iter().filter(|k| **k == 3).count() >= 2
            && size.in_c.is_multiple_of(16)
            && size.out_c.is_multiple_of(16)
            && !size.output().is_empty()
    }

    fn growth(&self, size: &Size) -> f32 {
        cut::Cut::new(size, 1)
            .m
            .into_iter()
            .map(form::growth)
            .product()
    }

    fn scratch(&self, size: &Size, threads: usize) -> usize {
        forward::scratch(size, threads).max(backward::scratch(size, threads))
    }

    fn parts(&self, size: &Size) -> usize {
        cut::Cut::of(size).count()
    }

    fn pools(&self, size: &Size, window: [usize; 3]) -> Option<[usize; 3]> {
        let m = cut::Cut::of(size).m;
        // A window is inside one tile then.
        let inside = (0..3).all(|axis| m[axis].is_multiple_of(window[axis]));
        inside.then_some(m)
    }

    fn forward(
        &self,
        context: Context<'_>,
        problem: &Problem<'_>,
        weights: &[f32],
        bias: Option<&[f32]>,
        out: Target<'_>,
        scratch: &mut [f32],
    ) {
        forward::run(context, problem, weights, bias, out, scratch);
    }

    fn backward_weights(
        &self,
        context: Context<'_>,
        problem: &Problem<'_>,
        d_out: &[f32],
        d_weights: &mut [f32],
        scratch: &mut [f32],
    ) {
        backward::run(context, problem, d_out, d_weights, scratch);
    }
}
