//! What an executor does, one entry after the other: operands found, kernels
//! chosen, places in the arena and among the parameters known.
//!
//! Ranges are of the arena where nothing else is said. A gradient without a
//! place of its own is that of the logits, which the caller holds.

use std::ops::Range;

use unet3d_kernels::{Region, Shape, conv3d, upconv3d};

use crate::graph::ValueId;
use crate::profile::Pass;

/// One entry of a pass.
#[derive(Clone)]
pub(crate) struct Step<Work> {
    /// The node that it is a part of, and which part.
    pub(crate) node: usize,
    pub(crate) pass: Pass,
    /// Whether the node's part is complete with it: all but the last of several
    /// slabs are not.
    pub(crate) is_last: bool,
    /// Shape of what it writes or changes.
    pub(crate) shape: Shape,
    pub(crate) cost: Cost,
    pub(crate) work: Work,
}

/// What a step cannot do without.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    /// Multiplications and additions of the direct algorithm.
    pub(crate) flops: u64,
    /// Floats of its operands, each read or written once.
    pub(crate) floats: usize,
}

/// A step of the forward pass.
#[derive(Clone)]
pub(crate) enum Forward {
    Conv(Box<Conv>),
    UpConv(UpConv),
    Pool {
        read: Read,
        window: [usize; 3],
        to: Range<usize>,
    },
    Norm(Norm),
}

/// A step of the backward pass.
#[derive(Clone)]
pub(crate) enum Backward {
    /// The gradient of a value through what is applied to it, in place, and the
    /// sums for parameters that come with it.
    Through(Through),
    ConvWeights {
        input: Input,
        kernel: Chosen,
        /// Gradient of the output.
        dy: Option<Range<usize>>,
        /// Among the parameters.
        weights: Range<usize>,
    },
    ConvInput(Box<ConvInput>),
    /// Both gradients of an up-convolution.
    UpConv {
        read: Read,
        window: [usize; 3],
        out_c: usize,
        dy: Range<usize>,
        dx: Range<usize>,
        /// Among the parameters.
        weights: Range<usize>,
    },
}

/// A stored value as a step reads it.
#[derive(Clone)]
pub(crate) struct Read {
    /// `None` for the input of the network.
    pub(crate) place: Option<Range<usize>>,
    /// Of what lies there.
    pub(crate) shape: Shape,
    /// First voxel that is seen.
    pub(crate) crop: [usize; 3],
    /// The value whose normalisation, activation and dropout are applied.
    pub(crate) applied: Option<ValueId>,
}

/// The input of a convolution: one value, or two side by side.
#[derive(Clone)]
pub(crate) struct Input {
    pub(crate) reads: Vec<Read>,
    /// Voxels seen, `[d, h, w]`.
    pub(crate) space: [usize; 3],
    /// Zeros around.
    pub(crate) pad: [usize; 3],
}

/// A convolution's sizes and its kernel.
#[derive(Clone, Copy)]
pub(crate) struct Chosen {
    pub(crate) size: conv3d::Size,
    pub(crate) kernel: &'static dyn conv3d::Kernel,
}

/// All outputs of a convolution, or those of one slab.
#[derive(Clone)]
pub(crate) struct Conv {
    pub(crate) input: Input,
    pub(crate) kernel: Chosen,
    /// Among the parameters.
    pub(crate) weights: Range<usize>,
    pub(crate) bias: Option<Range<usize>>,
    /// Where it writes, the shape there, and the first voxel written.
    pub(crate) to: Range<usize>,
    pub(crate) to_shape: Shape,
    pub(crate) to_crop: [usize; 3],
    /// Outputs that are kept.
    pub(crate) kept: Region,
    /// Partial sums for statistics: a range of the workspace.
    pub(crate) moments: Option<Range<usize>>,
    pub(crate) pooled: Option<PooledTo>,
}

/// Maxima that a convolution takes as it writes.
#[derive(Clone)]
pub(crate) struct PooledTo {
    pub(crate) to: Range<usize>,
    pub(crate) window: [usize; 3],
    /// Among the parameters: the factor of the normalisation to come.
    pub(crate) scale: Option<Range<usize>>,
}

/// All outputs of an up-convolution, or some planes of them.
#[derive(Clone)]
pub(crate) struct UpConv {
    pub(crate) read: Read,
    pub(crate) size: upconv3d::Size,
    /// Among the parameters.
    pub(crate) weights: Range<usize>,
    pub(crate) bias: Option<Range<usize>>,
    pub(crate) to: Range<usize>,
}

/// Scale and shift of a value's channels.
#[derive(Clone)]
pub(crate) struct Norm {
    pub(crate) value: ValueId,
    pub(crate) statistics: Statistics,
    /// Among the parameters.
    pub(crate) scale: Range<usize>,
    pub(crate) shift: Range<usize>,
}

/// Where mean and variance come from.
#[derive(Clone)]
pub(crate) enum Statistics {
    /// Partial sums that the convolution has left at the start of the workspace.
    Moments { len: usize },
    /// The value itself, at this place.
    Value(Range<usize>),
    /// Mean and variance among the running statistics.
    Running([Range<usize>; 2]),
}

/// See [`Backward::Through`].
#[derive(Clone)]
pub(crate) struct Through {
    pub(crate) value: ValueId,
    pub(crate) shape: Shape,
    /// The value as it is stored; empty where nothing is applied to it.
    pub(crate) y: Range<usize>,
    /// Its gradient.
    pub(crate) gradient: Option<Range<usize>>,
    /// Among the parameters: the bias whose gradient are the sums. None before a
    /// normalisation, where a bias changes nothing.
    pub(crate) bias: Option<Range<usize>>,
    pub(crate) unpool: Option<UnpoolFrom>,
}

/// The part of a gradient that comes back through a pooling.
#[derive(Clone)]
pub(crate) struct UnpoolFrom {
    pub(crate) window: [usize; 3],
    /// The maxima as the convolution took them; `None` where a step of its own pooled.
    pub(crate) maxima: Option<Range<usize>>,
    /// Gradient of the pooled value.
    pub(crate) dy: Range<usize>,
    /// Where the gradient of the value is already.
    pub(crate) present: Region,
}

/// The gradient by one part of a convolution's input.
#[derive(Clone)]
pub(crate) struct ConvInput {
    /// Sizes of the convolution forwards.
    pub(crate) size: conv3d::Size,
    /// Those of the convolution that gives the gradient.
    pub(crate) back: Chosen,
    /// Its padding.
    pub(crate) pad: [usize; 3],
    /// First input channel of the part.
    pub(crate) first: usize,
    /// Among the parameters.
    pub(crate) weights: Range<usize>,
    /// Gradient of the output.
    pub(crate) dy: Option<Range<usize>>,
    pub(crate) dy_shape: Shape,
    /// Gradient of the part, its shape, and the first voxel written.
    pub(crate) dx: Range<usize>,
    pub(crate) dx_shape: Shape,
    pub(crate) crop: [usize; 3],
    /// Whether another reader's gradient is there already.
    pub(crate) accumulate: bool,
}
