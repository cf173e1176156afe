//! What is known of a network at one input size before places are given: the
//! shape of each value, what it consists of, what is applied to it, and (filled
//! in by `fuse` and `slab`) how it is made.

use std::ops::Range;

use unet3d_kernels::conv3d::{self, Method};
use unet3d_kernels::{Region, Shape};

use super::Mode;
use super::fuse::Fused;
use super::slab::Slabs;
use super::step::Chosen;
use crate::graph::{Footprint, Node, ValueId};
use crate::network::{Network, SizeError};

/// A plan in the making.
pub(super) struct Draft<'a> {
    pub(super) network: &'a Network,
    pub(super) mode: Mode,
    pub(super) threads: usize,
    pub(super) method: Method,
    /// Shape of each value.
    pub(super) shapes: Vec<Shape>,
    /// The stored values that each value consists of.
    pub(super) parts: Vec<Vec<Part>>,
    /// What is applied to each value when it is read.
    pub(super) applied: Vec<Option<Applied>>,
    /// The value whose `applied` counts when a value is read: the value itself, or
    /// the one that it is pooled from as it is written.
    pub(super) origin: Vec<ValueId>,
    /// The pooling that a convolution does as it writes this value.
    pub(super) fused: Vec<Option<Fused>>,
    /// The slabs in which this value is made and used.
    pub(super) slabs: Vec<Option<Slabs>>,
}

/// A stored value as a part of another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub(super) value: ValueId,
    /// First voxel that is seen.
    pub(super) crop: [usize; 3],
}

/// The normalisation, activation and dropout of a value.
#[derive(Clone, Debug)]
pub(crate) struct Applied {
    pub(crate) norm: Option<Normalised>,
    /// Factor of negative values.
    pub(crate) slope: f32,
    /// Rate and index of the dropout.
    pub(crate) dropout: Option<(f32, usize)>,
    pub(crate) shape: Shape,
}

/// The parameters of a normalisation.
#[derive(Clone, Debug)]
pub(crate) struct Normalised {
    /// Among the trained parameters.
    pub(crate) scale: Range<usize>,
    pub(crate) shift: Range<usize>,
    /// Mean and variance among the running statistics.
    pub(crate) running: Option<[Range<usize>; 2]>,
    /// Whether statistics are taken: not where running ones are used.
    pub(crate) is_measured: bool,
}

impl<'a> Draft<'a> {
    /// The network with `batch` samples of extent `input`, nothing fused or cut.
    pub(super) fn new(
        network: &'a Network,
        batch: usize,
        input: [usize; 3],
        (mode, threads, method): (Mode, usize, Method),
    ) -> Result<Self, SizeError> {
        let spaces = network.spaces(input)?;
        check_size(network, batch, input)?;
        let shapes: Vec<Shape> = spaces
            .into_iter()
            .zip(&network.graph().channels)
            .map(|(space, c)| Shape {
                n: batch,
                space,
                c: *c,
            })
            .collect();
        Ok(Self {
            network,
            mode,
            threads,
            method,
            parts: parts(network, &shapes),
            applied: applied(network, &shapes, mode),
            origin: (0..shapes.len()).collect(),
            fused: vec![None; shapes.len()],
            slabs: vec![None; shapes.len()],
            shapes,
        })
    }

    /// The nodes, in the order of the forward pass.
    pub(super) fn nodes(&self) -> &'a [Node] {
        &self.network.graph().nodes
    }

    /// Place of an entry of the layout among the parameters.
    pub(super) fn entry(&self, entry: usize) -> Range<usize> {
        self.network.layout().entries[entry].range.clone()
    }

    /// What is stored of a value.
    pub(super) fn kept(&self, value: ValueId) -> Region {
        self.fused[value].map_or(Region::all(self.shapes[value]), |fused| fused.kept)
    }

    /// Shape of what is stored of a value.
    pub(super) fn stored(&self, value: ValueId) -> Shape {
        let kept = self.kept(value);
        let mut space = [0, 1, 2].map(|axis| kept.end[axis] - kept.start[axis]);
        if let Some(slabs) = self.slabs[value] {
            // Whole windows of at most two planes.
            let planes = slabs.outputs().map(|outputs| slabs.planes(&outputs).len());
            space[0] = planes.max().unwrap_or(0).next_multiple_of(2).min(space[0]);
        }
        Shape {
            space,
            ..self.shapes[value]
        }
    }

    /// Whether a value has memory: not the input, which the caller holds, nor a
    /// concatenation, which is only a way of reading.
    pub(super) fn is_stored(&self, value: ValueId) -> bool {
        value != 0 && self.parts[value][0].value == value
    }

    /// The slabs in which a value is convolved.
    pub(super) fn slabs_of(&self, value: ValueId) -> Option<Slabs> {
        let mut parts = self.parts[value].iter();
        parts.find_map(|part| self.slabs[part.value])
    }

    /// Sizes of a convolution, and its kernel.
    pub(super) fn conv(&self, from: ValueId, to: ValueId, kernel: Footprint) -> Chosen {
        let input = self.shapes[from];
        self.chosen(conv3d::Size {
            n: input.n,
            padded: [0, 1, 2].map(|axis| input.space[axis] + 2 * kernel.pad[axis]),
            in_c: input.c,
            kernel: kernel.size,
            out_c: self.shapes[to].c,
        })
    }

    /// The kernel for a size.
    pub(super) fn chosen(&self, size: conv3d::Size) -> Chosen {
        Chosen {
            size,
            kernel: conv3d::choose(&size, self.method),
        }
    }
}

/// What each value consists of: itself, or the two of a concatenation.
fn parts(network: &Network, shapes: &[Shape]) -> Vec<Vec<Part>> {
    let itself = |value| {
        vec![Part {
            value,
            crop: [0; 3],
        }]
    };
    let mut parts: Vec<_> = (0..shapes.len()).map(itself).collect();
    for node in &network.graph().nodes {
        if let Node::Concat { up, skip, to } = *node {
            let (inner, outer) = (shapes[up].space, shapes[skip].space);
            let crop = [0, 1, 2].map(|axis| (outer[axis] - inner[axis]) / 2);
            parts[to] = vec![
                Part {
                    value: up,
                    crop: [0; 3],
                },
                Part { value: skip, crop },
            ];
        }
    }
    parts
}

/// The Norm, Activation and Dropout nodes by value.
fn applied(network: &Network, shapes: &[Shape], mode: Mode) -> Vec<Option<Applied>> {
    let range = |entry: usize| network.layout().entries[entry].range.clone();
    let of_running = |entry: usize| network.running_layout().entries[entry].range.clone();
    let mut applied: Vec<Option<Applied>> = vec![None; shapes.len()];
    for node in &network.graph().nodes {
        let (&Node::Norm { value, .. }
        | &Node::Activation { value, .. }
        | &Node::Dropout { value, .. }) = node
        else {
            continue;
        };
        let of_value = applied[value].get_or_insert(Applied {
            norm: None,
            slope: 1.0,
            dropout: None,
            shape: shapes[value],
        });
        match *node {
            Node::Norm {
                scale,
                shift,
                running,
                ..
            } => {
                of_value.norm = Some(Normalised {
                    scale: range(scale),
                    shift: range(shift),
                    running: running.map(|both| both.map(of_running)),
                    is_measured: running.is_none() || mode == Mode::Train,
                });
            }
            Node::Activation { slope, .. } => of_value.slope = slope,
            Node::Dropout { rate, index, .. } => of_value.dropout = Some((rate, index)),
            _ => {}
        }
    }
    applied
}

/// Refuses sizes whose buffers could not be counted in a `usize`.
fn check_size(network: &Network, batch: usize, input: [usize; 3]) -> Result<(), SizeError> {
    /// 2^44 floats are 64 TB; a sum over some hundred buffers stays far from
    /// the end of the range.
    const MOST: usize = 1 << 44;
    let widest = network.graph().channels.iter().copied().max();
    [batch, widest.unwrap_or(1)]
        .into_iter()
        .chain(input)
        .try_fold(1usize, |product, n| {
            product.checked_mul(n).filter(|p| *p <= MOST)
        })
        .map(|_| ())
        .ok_or(SizeError::TooLarge { batch, input })
}
