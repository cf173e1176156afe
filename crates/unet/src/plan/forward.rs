//! The nodes as steps of the forward pass.
//!
//! What another step does already makes no step of its own: a pooling that its
//! convolution does, an activation, which is applied when its value is read.

use std::ops::Range;

use unet3d_kernels::{Region, Shape, upconv3d};

use super::draft::{Draft, Part};
use super::place::Places;
use super::slab::Slabs;
use super::step::{
    Chosen, Conv, Cost, Forward, Input, Norm, PooledTo, Read, Statistics, Step, UpConv,
};
use crate::graph::{Footprint, Node, ValueId};
use crate::profile::Pass;

/// The steps of the forward pass, in order.
pub(super) fn forward(draft: &Draft<'_>, places: &Places) -> Vec<Step<Forward>> {
    let mut lowering = Lowering {
        draft,
        places,
        steps: Vec::new(),
        moments: 0,
    };
    for (index, node) in draft.nodes().iter().enumerate() {
        lowering.node(index, node);
    }
    lowering.steps
}

struct Lowering<'a> {
    draft: &'a Draft<'a>,
    places: &'a Places,
    steps: Vec<Step<Forward>>,
    /// Length of the partial sums that the last convolution leaves.
    moments: usize,
}

/// A convolution node.
#[derive(Clone, Copy)]
struct ConvNode {
    index: usize,
    from: ValueId,
    to: ValueId,
    weight: usize,
    bias: Option<usize>,
    kernel: Footprint,
}

impl Lowering<'_> {
    fn node(&mut self, index: usize, node: &Node) {
        let draft = self.draft;
        match *node {
            Node::Conv {
                from,
                to,
                weight,
                bias,
                kernel,
            } => {
                let conv = ConvNode {
                    index,
                    from,
                    to,
                    weight,
                    bias,
                    kernel,
                };
                self.moments = 0;
                match draft.slabs_of(from) {
                    None => self.conv(conv, None),
                    Some(slabs) => self.conv_in_slabs(conv, slabs),
                }
            }
            // Its steps stand before those of the convolution that reads it.
            Node::UpConv { to, .. } if draft.slabs[to].is_some() => {}
            Node::UpConv { to, .. } => {
                let all = 0..draft.shapes[to].space[0];
                self.up_conv(index, all, true);
            }
            Node::Pool { from, .. } if draft.fused[from].is_some() => {}
            Node::Pool { from, to, window } => {
                let work = Forward::Pool {
                    read: read(draft, self.places, draft.parts[from][0]),
                    window,
                    to: stored(&self.places.values, to),
                };
                let cost = Cost {
                    flops: 0,
                    floats: draft.shapes[from].len() + draft.shapes[to].len(),
                };
                self.push(index, draft.shapes[to], cost, work);
            }
            Node::Norm { value, .. } => self.norm(index, value),
            Node::Activation { .. } | Node::Dropout { .. } | Node::Concat { .. } => {}
        }
    }

    fn push(&mut self, node: usize, shape: Shape, cost: Cost, work: Forward) {
        self.steps.push(Step {
            node,
            pass: Pass::Forward,
            is_last: true,
            shape,
            cost,
            work,
        });
    }

    /// A convolution and the up-convolution before it, some planes at a time.
    fn conv_in_slabs(&mut self, conv: ConvNode, slabs: Slabs) {
        let all: Vec<_> = slabs.outputs().collect();
        for (i, outputs) in all.iter().enumerate() {
            let is_last = i + 1 == all.len();
            self.up_conv(slabs.maker, slabs.planes(outputs), is_last);
            self.conv(conv, Some((outputs.clone(), is_last)));
        }
    }

    /// All outputs of a convolution, or those of one slab. Partial sums for statistics
    /// follow those of the slabs before.
    fn conv(&mut self, conv: ConvNode, slab: Option<(Range<usize>, bool)>) {
        let draft = self.draft;
        let ConvNode { from, to, .. } = conv;
        let mut input = input(draft, self.places, from, conv.kernel);
        let mut kernel = draft.conv(from, to, conv.kernel);
        let (mut to_crop, mut kept) = ([0; 3], draft.kept(to));
        let mut written = draft.stored(to).len();
        if let Some((outputs, _)) = &slab {
            let mut size = kernel.size;
            size.padded[0] = outputs.len() + size.kernel[0] - 1;
            kernel = draft.chosen(size);
            input.space[0] = size.padded[0];
            // Of the value in slabs there are just these planes.
            for (read, part) in input.reads.iter_mut().zip(&draft.parts[from]) {
                if draft.slabs[part.value].is_none() {
                    read.crop[0] += outputs.start;
                }
            }
            to_crop = [outputs.start, 0, 0];
            kept = Region::all(size.output());
            written = size.output().len();
        }
        let norm = draft.applied[to].as_ref().and_then(|a| a.norm.as_ref());
        let is_measured = norm.is_some_and(|norm| norm.is_measured);
        let moments = is_measured.then(|| {
            let first = self.moments;
            self.moments += moments(&kernel);
            first..self.moments
        });
        let pooled = draft.fused[to].map(|fused| PooledTo {
            to: stored(&self.places.values, fused.to),
            window: fused.window,
            scale: norm.map(|norm| norm.scale.clone()),
        });
        // The maxima are written too.
        let maxima = draft.fused[to].map_or(0, |fused| draft.shapes[fused.to].len());
        let read = input.space.iter().product::<usize>() * kernel.size.n * kernel.size.in_c;
        let cost = Cost {
            flops: kernel.size.flops(),
            floats: read + written + kernel.size.weights() + maxima,
        };
        let work = Conv {
            input,
            kernel,
            weights: draft.entry(conv.weight),
            bias: conv.bias.map(|bias| draft.entry(bias)),
            to: stored(&self.places.values, to),
            to_shape: draft.stored(to),
            to_crop,
            kept,
            moments,
            pooled,
        };
        self.push(
            conv.index,
            draft.shapes[to],
            cost,
            Forward::Conv(Box::new(work)),
        );
        self.mark(slab.is_none_or(|(_, is_last)| is_last));
    }

    /// The planes `planes` of an up-convolution, in whole windows.
    fn up_conv(&mut self, index: usize, planes: Range<usize>, is_last: bool) {
        let draft = self.draft;
        let Node::UpConv {
            from,
            to,
            weight,
            bias,
            window,
        } = draft.nodes()[index]
        else {
            return;
        };
        let mut read = read(draft, self.places, draft.parts[from][0]);
        if planes.len() < draft.shapes[to].space[0] {
            let first = planes.start / window[0];
            let offset = read.shape.at(0, [first, 0, 0]);
            read.shape.space[0] = planes.end.div_ceil(window[0]) - first;
            let len = read.shape.len();
            if let Some(place) = &mut read.place {
                *place = place.start + offset..place.start + offset + len;
            }
        }
        let size = upconv3d::Size {
            input: read.shape,
            window,
            out_c: draft.shapes[to].c,
        };
        let (x, y) = (read.shape.len(), size.output().len());
        let place = stored(&self.places.values, to);
        let work = UpConv {
            read,
            size,
            weights: draft.entry(weight),
            bias: bias.map(|bias| draft.entry(bias)),
            to: place.start..place.start + y,
        };
        let cost = Cost {
            // Every output voxel is reached by one tap.
            flops: 2 * (y * draft.shapes[from].c) as u64,
            floats: x + y + size.weights(),
        };
        self.push(index, draft.shapes[to], cost, Forward::UpConv(work));
        self.mark(is_last);
    }

    /// Whether the step just pushed completes its node.
    fn mark(&mut self, is_last: bool) {
        if let Some(step) = self.steps.last_mut() {
            step.is_last = is_last;
        }
    }

    fn norm(&mut self, index: usize, value: ValueId) {
        let draft = self.draft;
        let Some(norm) = draft.applied[value].as_ref().and_then(|a| a.norm.as_ref()) else {
            return;
        };
        let len = std::mem::take(&mut self.moments);
        let statistics = match &norm.running {
            Some(running) if !norm.is_measured => Statistics::Running(running.clone()),
            _ if len > 0 => Statistics::Moments { len },
            _ => Statistics::Value(stored(&self.places.values, value)),
        };
        let work = Norm {
            value,
            statistics,
            scale: norm.scale.clone(),
            shift: norm.shift.clone(),
        };
        let cost = Cost {
            flops: 0,
            floats: draft.shapes[value].len(),
        };
        self.push(index, draft.shapes[value], cost, Forward::Norm(work));
    }
}

/// Length of the partial sums that a convolution leaves for statistics.
pub(super) fn moments(conv: &Chosen) -> usize {
    conv.size.n * conv.kernel.parts(&conv.size) * 2 * conv.size.out_c
}

/// The input of a convolution.
pub(super) fn input(draft: &Draft<'_>, places: &Places, from: ValueId, kernel: Footprint) -> Input {
    let parts = draft.parts[from].iter();
    Input {
        reads: parts.map(|part| read(draft, places, *part)).collect(),
        space: draft.shapes[from].space,
        pad: kernel.pad,
    }
}

/// A part of a value, as it is stored.
pub(super) fn read(draft: &Draft<'_>, places: &Places, part: Part) -> Read {
    let Part { value, crop } = part;
    let kept = draft.kept(value);
    let origin = draft.origin[value];
    Read {
        place: places.values[value].clone(),
        shape: draft.stored(value),
        crop: [0, 1, 2].map(|axis| crop[axis] - kept.start[axis]),
        applied: draft.applied[origin].is_some().then_some(origin),
    }
}

/// The place of what must have one.
pub(super) fn stored(places: &[Option<Range<usize>>], value: ValueId) -> Range<usize> {
    debug_assert!(places[value].is_some(), "value {value} has no place");
    places[value].clone().unwrap_or(0..0)
}
