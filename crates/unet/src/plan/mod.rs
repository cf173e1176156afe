//! What an executor does for one input size, fixed before anything runs.
//!
//! A network, an input size and a purpose become two lists of steps, one for each
//! direction, in passes a file each:
//!
//! 1. `draft`: shapes, what each value consists of and what is applied to it,
//! 2. `fuse`: poolings that convolutions do as they write,
//! 3. `slab`: up-convolved values that exist some planes at a time,
//! 4. `place`: each buffer gets a place in one arena,
//! 5. `forward`, `backward`: nodes become steps with operands and kernels found.
//!
//! Executor, profile and memory read the lists; nobody asks again. The peak of the
//! memory is known before the first step.

mod draft;

mod fuse;
mod slab;

mod place;

pub(crate) mod step;

mod forward;

mod backward;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use unet3d_kernels::conv3d::Method;
use unet3d_kernels::{Shape, norm, upconv3d};

use crate::network::{Network, SizeError};
pub(crate) use draft::Applied;
use draft::Draft;
use step::{Backward, Forward, Step};

/// Workers that a choice by memory (of a tile or a patch) reckons with. Scratch
/// memory grows with the workers; were they counted as they are, the same
/// `--memory` would choose another tile on another number of threads, and with
/// statistics of the tile itself another result.
pub const NOMINAL_THREADS: usize = 16;

/// What a plan is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Forward only; activations are forgotten as soon as they are used.
    Predict,
    /// Forward and backward.
    Train,
}

/// Steps and memory for one input size.
#[derive(Clone)]
pub struct Plan {
    mode: Mode,
    threads: usize,
    method: Method,
    /// The forward pass, in order.
    pub(crate) forward: Arc<[Step<Forward>]>,
    /// The backward pass, in order; empty in prediction.
    pub(crate) backward: Arc<[Step<Backward>]>,
    /// What is applied to each value when it is read.
    pub(crate) applied: Vec<Option<Applied>>,
    /// Shapes of the input and of the logits.
    pub(crate) input: Shape,
    pub(crate) output: Shape,
    /// Place of the logits in the arena.
    pub(crate) logits: Range<usize>,
    /// Place of flipped weights; training only.
    pub(crate) flipped: Range<usize>,
    /// Place of the scratch memory of kernels.
    pub(crate) scratch: Range<usize>,
    /// Length of the arena.
    pub(crate) arena: usize,
    /// Length of the f64 workspace of normalisation.
    pub(crate) workspace: usize,
    /// Most samples times channels of any value.
    pub(crate) most_channels: usize,
    /// Samples times channels of the values that are normalised or activated.
    statistics: usize,
}

impl Plan {
    /// Plans `batch` samples of extent `input` (`[z, y, x]`) on `threads` workers.
    ///
    /// # Errors
    /// When the input does not fit the network (names the nearest legal sizes)
    /// or is beyond all memory.
    pub fn new(
        network: &Network,
        batch: usize,
        input: [usize; 3],
        mode: Mode,
        threads: usize,
    ) -> Result<Self, SizeError> {
        let how = (mode, threads, Method::default());
        Ok(Self::of(Draft::new(network, batch, input, how)?))
    }

    /// The same with other kernels, and the memory that these need.
    #[must_use]
    pub fn with_method(self, network: &Network, method: Method) -> Self {
        if self.method == method {
            return self;
        }
        let Shape { n, space, .. } = self.input;
        let how = (self.mode, self.threads, method);
        // The size has been planned already.
        Draft::new(network, n, space, how).map_or(self, Self::of)
    }

    fn of(mut draft: Draft<'_>) -> Self {
        fuse::fuse(&mut draft);
        slab::cut_slabs(&mut draft);
        let places = place::place(&draft);
        let forward = forward::forward(&draft, &places);
        let backward = match draft.mode {
            Mode::Train => backward::backward(&draft, &places),
            Mode::Predict => Vec::new(),
        };
        let needs = KernelNeeds::of(&forward, &backward, draft.threads);
        let flipped = places.len..places.len + needs.flipped;
        let scratch = flipped.end..flipped.end + needs.scratch;
        let workspaces = draft.shapes.iter().map(|shape| norm::workspace(*shape));
        let channels = |shape: &Shape| shape.n * shape.c;
        let activated = draft.applied.iter().flatten();
        let last = draft.shapes.len() - 1;
        Self {
            mode: draft.mode,
            threads: draft.threads,
            method: draft.method,
            forward: forward.into(),
            backward: backward.into(),
            input: draft.shapes[0],
            output: draft.shapes[last],
            logits: places.values[last].clone().unwrap_or(0..0),
            arena: scratch.end,
            flipped,
            scratch,
            workspace: workspaces.max().unwrap_or(0).max(needs.moments),
            most_channels: draft.shapes.iter().map(channels).max().unwrap_or(0),
            statistics: activated.map(|applied| channels(&applied.shape)).sum(),
            applied: draft.applied,
        }
    }

    /// `[n, d, h, w, c]` of the input.
    pub fn input_shape(&self) -> [usize; 5] {
        five(self.input)
    }

    /// `[n, d, h, w, classes]` of the logits.
    pub fn output_shape(&self) -> [usize; 5] {
        five(self.output)
    }

    /// Bytes of memory that an executor of this plan holds, with the input
    /// and, in training, the gradient of the logits that its caller holds;
    /// without parameters and their gradients.
    pub fn peak_bytes(&self) -> u64 {
        let logits = self.output.len();
        let callers = self.input.len() + if self.mode == Mode::Train { logits } else { 0 };
        // Mean, inverse deviation, scale and shift, and three coefficients of the gradient.
        let floats = self.arena + callers + 7 * self.statistics;
        4 * floats as u64 + 8 * self.workspace as u64
    }

    /// What this plan is for.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Workers that the scratch memory is cut for.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Which kernels convolve.
    pub fn method(&self) -> Method {
        self.method
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan")
            .field("mode", &self.mode)
            .field("input", &self.input)
            .field("output", &self.output)
            .field("steps", &(self.forward.len() + self.backward.len()))
            .field("arena", &self.arena)
            .finish_non_exhaustive()
    }
}

/// The largest needs of any step: floats of scratch memory and of flipped weights,
/// doubles of partial sums.
#[derive(Default)]
struct KernelNeeds {
    scratch: usize,
    flipped: usize,
    moments: usize,
}

impl KernelNeeds {
    fn of(forward: &[Step<Forward>], backward: &[Step<Backward>], threads: usize) -> Self {
        let mut needs = Self::default();
        let mut moments = 0;
        for step in forward {
            match &step.work {
                Forward::Conv(conv) => {
                    let scratch = conv.kernel.kernel.scratch(&conv.kernel.size, threads);
                    needs.scratch = needs.scratch.max(scratch);
                    // Counted for all, measured or not: the sum over a node's slabs.
                    moments += forward::moments(&conv.kernel);
                    needs.moments = needs.moments.max(moments);
                    if step.is_last {
                        moments = 0;
                    }
                }
                Forward::UpConv(up) => {
                    needs.scratch = needs.scratch.max(upconv3d::scratch(&up.size, threads));
                }
                Forward::Pool { .. } | Forward::Norm(_) => {}
            }
        }
        for step in backward {
            // The other kernels of this pass are those of the forward pass.
            if let Backward::ConvInput(conv) = &step.work {
                let scratch = conv.back.kernel.scratch(&conv.back.size, threads);
                needs.scratch = needs.scratch.max(scratch);
                needs.flipped = needs.flipped.max(conv.back.size.weights());
            }
        }
        needs
    }
}

fn five(shape: Shape) -> [usize; 5] {
    let [d, h, w] = shape.space;
    [shape.n, d, h, w, shape.c]
}

#[cfg(test)]
mod tests;
