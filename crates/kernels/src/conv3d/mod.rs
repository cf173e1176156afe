//! 3-D convolution (as the field calls it: cross-correlation) with kernels of
//! 1 or 3 along each axis, its input gradient and its weight gradient.
//!
//! `y[n, d, h, w, o] = bias[o] + sum over kd, kh, kw, i of
//! x[n, d + kd, h + kh, w + kw, i] * weights[kd, kh, kw, i, o]`
//!
//! with `x` a [`View`]: cropped, concatenated, padded with zeros, normalised and
//! activated as it is loaded. The input gradient is the same operation on the
//! output gradient, padded by `kernel - 1 - pad`, with the weights of
//! [`flipped`]; so a kernel has two passes, not three.

pub mod direct;
pub mod narrow;
pub mod pointwise;
pub mod reference;
pub mod winograd;

mod sums;

use crate::view::{Shape, Target, View};
use crate::{Context, Threads};

/// What is convolved.
#[derive(Clone, Copy, Debug)]
pub struct Problem<'a> {
    /// Input with its padding.
    pub input: View<'a>,
    /// Kernel along `[d, h, w]`.
    pub kernel: [usize; 3],
    /// Output channels.
    pub out_c: usize,
}

impl Problem<'_> {
    /// Output shape.
    pub fn output(&self) -> Shape {
        self.size().output()
    }

    /// The sizes alone.
    pub fn size(&self) -> Size {
        Size {
            n: self.input.n(),
            padded: self.input.padded(),
            in_c: self.input.c(),
            kernel: self.kernel,
            out_c: self.out_c,
        }
    }
}

/// The sizes of a convolution: what a plan needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Samples.
    pub n: usize,
    /// Input extent with padding, `[d, h, w]`.
    pub padded: [usize; 3],
    /// Input channels.
    pub in_c: usize,
    /// Kernel along `[d, h, w]`.
    pub kernel: [usize; 3],
    /// Output channels.
    pub out_c: usize,
}

impl Size {
    /// Output shape.
    pub fn output(&self) -> Shape {
        let space = std::array::from_fn(|axis| self.padded[axis] + 1 - self.kernel[axis]);
        Shape {
            n: self.n,
            space,
            c: self.out_c,
        }
    }

    /// Number of weights.
    pub fn weights(&self) -> usize {
        self.taps() * self.in_c * self.out_c
    }

    /// Kernel positions.
    pub fn taps(&self) -> usize {
        self.kernel.iter().product()
    }

    /// Multiplications and additions of the direct algorithm, one pass.
    pub fn flops(&self) -> u64 {
        2 * self.output().len() as u64 * (self.taps() * self.in_c) as u64
    }
}

/// One way to convolve. All agree with [`mod@reference`] within docs/numerics.md.
pub trait Kernel: Sync {
    /// Short name, as printed by profiles and benchmarks.
    fn name(&self) -> &'static str;

    /// Whether it can do this size.
    fn supports(&self, size: &Size) -> bool;

    /// How many times larger its rounding errors are than those of the direct
    /// sum, root mean square; 1 for direct sums, which are exact on small
    /// integers. See docs/numerics.md.
    fn growth(&self, size: &Size) -> f32;

    /// Floats of scratch memory that either pass needs with `threads` workers.
    fn scratch(&self, size: &Size, threads: usize) -> usize;

    /// Parts of a sample whose [`Target::moments`] are summed apart.
    fn parts(&self, size: &Size) -> usize;

    /// Where [`forward`](Self::forward) can take the maxima of this window along
    /// `[d, h, w]`, as [`Target::pooled`] asks for them: the extents of its tiles.
    /// Then [`Target::kept`] may begin and end at their multiples, or at the end.
    fn pools(&self, _size: &Size, _window: [usize; 3]) -> Option<[usize; 3]> {
        None
    }

    /// Computes `y`; `weights` are `kd kh kw i o`, `bias` is `o`.
    fn forward(
        &self,
        context: Context<'_>,
        problem: &Problem<'_>,
        weights: &[f32],
        bias: Option<&[f32]>,
        out: Target<'_>,
        scratch: &mut [f32],
    );

    /// Adds to `d_weights` (`kd kh kw i o`) the gradient for the output
    /// gradient `d_out`, `n d h w o`.
    fn backward_weights(
        &self,
        context: Context<'_>,
        problem: &Problem<'_>,
        d_out: &[f32],
        d_weights: &mut [f32],
        scratch: &mut [f32],
    );
}

/// Every kernel, the plainest first; a later one that supports a size is
/// preferred. Dispatch, tests and benchmarks read this list.
pub const KERNELS: &[&dyn Kernel] = &[
    &reference::Reference,
    &direct::Direct,
    &narrow::Narrow,
    &pointwise::Pointwise,
    &winograd::Winograd,
];

/// Which of the kernels may be chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// The preferred one of all.
    #[default]
    Fastest,
    /// The preferred one of those that take the sum as it is defined, without a
    /// transform ([`Kernel::growth`] of 1): slower, to compare with.
    Direct,
}

/// The preferred kernel for a size.
pub fn choose(size: &Size, method: Method) -> &'static dyn Kernel {
    KERNELS
        .iter()
        .rev()
        .copied()
        .filter(|kernel| kernel.supports(size))
        .find(|kernel| method == Method::Fastest || kernel.growth(size) <= 1.0)
        .unwrap_or(&reference::Reference)
}

/// The weights of the input gradient for the input channels `first..first + many`:
/// `flipped[kd, kh, kw, o, i] = weights[-kd, -kh, -kw, first + i, o]`.
pub fn flipped(
    size: &Size,
    weights: &[f32],
    first: usize,
    many: usize,
    threads: &Threads,
    out: &mut [f32],
) {
    let (taps, in_c, out_c) = (size.taps(), size.in_c, size.out_c);
    let one = many * out_c;
    let out = &mut out[..taps * one];
    threads.for_each_part(
        out,
        &mut [],
        taps,
        |tap| tap * one..(tap + 1) * one,
        |tap, part, _| {
            let from = &weights[(taps - 1 - tap) * in_c * out_c..][first * out_c..][..one];
            transpose(from, many, out_c, part);
        },
    );
}

/// `to[c, r] = from[r, c]`, in blocks that stay in the first-level cache.
pub(crate) fn transpose(from: &[f32], rows: usize, columns: usize, to: &mut [f32]) {
    const BLOCK: usize = 16; // 16 x 16 floats: one cache line by 16 on both sides
    for r0 in (0..rows).step_by(BLOCK) {
        for c0 in (0..columns).step_by(BLOCK) {
            for r in r0..(r0 + BLOCK).min(rows) {
                for c in c0..(c0 + BLOCK).min(columns) {
                    to[c * rows + r] = from[r * columns + c];
                }
            }
        }
    }
}
