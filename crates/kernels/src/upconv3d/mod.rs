//! Up-convolution: kernel and stride 1 or 2 along each axis, so that output
//! blocks do not overlap.
//!
//! `y[n, sd d + a, sh h + b, sw w + c, o] = bias[o] + sum over i of
//! x[n, d, h, w, i] * weights[a, b, c, i, o]` with the window `[sd, sh, sw]`.

mod fast;
pub mod reference;

pub use fast::{backward_input, backward_weights, forward, scratch};

use crate::view::{Shape, Source, View};

/// What is up-convolved.
#[derive(Clone, Copy, Debug)]
pub struct Problem<'a> {
    /// Input.
    pub input: Source<'a>,
    /// Kernel and stride along `[d, h, w]`, each 1 or 2.
    pub window: [usize; 3],
    /// Output channels.
    pub out_c: usize,
}

impl Problem<'_> {
    /// The sizes alone.
    pub fn size(&self) -> Size {
        Size {
            input: self.input.shape,
            window: self.window,
            out_c: self.out_c,
        }
    }

    fn view(&self) -> View<'_> {
        View::of(&self.input)
    }
}

/// The sizes of an up-convolution: what a plan needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Input shape.
    pub input: Shape,
    /// Kernel and stride.
    pub window: [usize; 3],
    /// Output channels.
    pub out_c: usize,
}

impl Size {
    /// Output shape.
    pub fn output(&self) -> Shape {
        let space = std::array::from_fn(|axis| self.input.space[axis] * self.window[axis]);
        Shape {
            n: self.input.n,
            space,
            c: self.out_c,
        }
    }

    /// Kernel positions.
    pub fn taps(&self) -> usize {
        self.window.iter().product()
    }

    /// Number of weights.
    pub fn weights(&self) -> usize {
        self.taps() * self.input.c * self.out_c
    }

    /// Multiplications and additions, one pass.
    pub fn flops(&self) -> u64 {
        2 * (self.input.len() * self.taps() * self.out_c) as u64
    }
}
