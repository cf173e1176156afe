//! The nodes, read bottom-up, as steps of the backward pass.
//!
//! The gradient of a value is complete when its producer is reached, but for the part
//! of a pooling: all its readers come later in the list. There it goes through
//! pooling, dropout, activation and normalisation in one step, and on to the weights
//! and to the input.

use unet3d_kernels::{Region, conv3d, upconv3d};

use super::draft::Draft;
use super::forward::{input, read, stored};
use super::place::Places;
use super::step::{Backward, Chosen, ConvInput, Cost, Step, Through, UnpoolFrom};
use crate::graph::{Footprint, Node, ValueId};
use crate::profile::Pass;

/// The steps of the backward pass, in order.
pub(super) fn backward(draft: &Draft<'_>, places: &Places) -> Vec<Step<Backward>> {
    let mut lowering = Lowering {
        draft,
        places,
        steps: Vec::new(),
        present: vec![Region::NOTHING; draft.shapes.len()],
        poolings: vec![None; draft.shapes.len()],
    };
    for (index, node) in draft.nodes().iter().enumerate().rev() {
        lowering.node(index, node);
    }
    lowering.steps
}

struct Lowering<'a> {
    draft: &'a Draft<'a>,
    places: &'a Places,
    steps: Vec<Step<Backward>>,
    /// Where the gradient of each value is when a step begins.
    present: Vec<Region>,
    /// The pooling by which it will be whole.
    poolings: Vec<Option<Pooling>>,
}

/// A pooling whose part of the gradient of the pooled value is still to be added.
#[derive(Clone, Copy)]
struct Pooling {
    to: ValueId,
    window: [usize; 3],
    /// Where the gradient is already.
    present: Region,
}

impl Lowering<'_> {
    fn node(&mut self, index: usize, node: &Node) {
        match *node {
            Node::Conv {
                from,
                to,
                weight,
                bias,
                kernel,
            } => {
                self.through(index, to, bias);
                self.conv_weights(index, (from, to), weight, kernel);
                if from != 0 {
                    self.conv_input(index, (from, to), weight, kernel);
                }
            }
            Node::UpConv {
                from,
                to,
                weight,
                bias,
                window,
            } => {
                self.through(index, to, bias);
                self.up_conv(index, (from, to), weight, window);
            }
            Node::Pool { from, to, window } => {
                let pooling = Pooling {
                    to,
                    window,
                    present: self.present[from],
                };
                let other = self.poolings[from].replace(pooling);
                assert!(other.is_none(), "value {from} is pooled twice");
            }
            // Part of the producer of the value.
            Node::Norm { .. }
            | Node::Activation { .. }
            | Node::Dropout { .. }
            | Node::Concat { .. } => {}
        }
    }

    fn push(&mut self, (node, pass): (usize, Pass), of: ValueId, cost: Cost, work: Backward) {
        self.steps.push(Step {
            node,
            pass,
            is_last: true,
            shape: self.draft.shapes[of],
            cost,
            work,
        });
    }

    /// The gradient of a value by its stored form.
    fn through(&mut self, index: usize, value: ValueId, bias: Option<usize>) {
        let draft = self.draft;
        let gradient = self.places.gradients[value].clone();
        let pooling = self.poolings[value];
        debug_assert!(
            gradient.is_none()
                || pooling.is_some()
                || self.present[value] == Region::all(draft.shapes[value]),
            "value {value} has a gradient only in {:?}",
            self.present[value]
        );
        let applied = draft.applied[value].as_ref();
        assert!(
            pooling.is_none() || applied.is_some(),
            "value {value} is pooled as it is"
        );
        let is_normalised = applied.is_some_and(|applied| applied.norm.is_some());
        let bias = bias.filter(|_| !is_normalised);
        if applied.is_none() && bias.is_none() {
            return;
        }
        let y = match applied {
            Some(_) => stored(&self.places.values, value),
            None => 0..0,
        };
        // Where a pass of its own pools, what it stores is transformed.
        let raw = draft.fused[value].map(|fused| fused.to);
        let unpool = pooling.map(|pooling| UnpoolFrom {
            window: pooling.window,
            maxima: raw.map(|raw| stored(&self.places.values, raw)),
            dy: stored(&self.places.gradients, pooling.to),
            present: pooling.present,
        });
        // Value and gradient in, gradient out; of a pooled value the gradients by the
        // maxima and by what a skip keeps come in. Where nothing is applied to the value,
        // its gradient is only summed for the bias.
        let len = draft.shapes[value].len();
        let [_, d, h, w, _] = super::five(draft.shapes[value]);
        let kept = pooling.map_or(0, |pooling| {
            let of = |axis: usize| pooling.present.end[axis] - pooling.present.start[axis];
            if pooling.present.is_empty() {
                0
            } else {
                len / (d * h * w) * of(0) * of(1) * of(2)
            }
        });
        let floats = match (applied, pooling) {
            (None, _) => len,
            (_, Some(pooling)) => 2 * len + draft.shapes[pooling.to].len() + kept,
            (_, None) => 3 * len,
        };
        let work = Through {
            value,
            shape: draft.shapes[value],
            y,
            gradient,
            bias: bias.map(|bias| draft.entry(bias)),
            unpool,
        };
        let cost = Cost { flops: 0, floats };
        self.push(
            (index, Pass::Activation),
            value,
            cost,
            Backward::Through(work),
        );
    }

    fn conv_weights(
        &mut self,
        index: usize,
        (from, to): (ValueId, ValueId),
        weight: usize,
        kernel: Footprint,
    ) {
        let draft = self.draft;
        let chosen = draft.conv(from, to, kernel);
        let operands = draft.shapes[from].len() + draft.shapes[to].len();
        let cost = Cost {
            flops: chosen.size.flops(),
            floats: operands + chosen.size.weights(),
        };
        let work = Backward::ConvWeights {
            input: input(draft, self.places, from, kernel),
            kernel: chosen,
            dy: self.places.gradients[to].clone(),
            weights: draft.entry(weight),
        };
        self.push((index, Pass::Weights), to, cost, work);
    }

    /// The gradient by each part of the input.
    fn conv_input(
        &mut self,
        index: usize,
        (from, to): (ValueId, ValueId),
        weight: usize,
        kernel: Footprint,
    ) {
        let draft = self.draft;
        let size = draft.conv(from, to, kernel).size;
        let mut first = 0;
        let parts = &draft.parts[from];
        for (i, part) in parts.iter().enumerate() {
            let shape = draft.shapes[part.value];
            let (back, pad) = self.back(&size, kernel, shape.c);
            // A cropped skip leaves a rim without gradient; what is read there is that of
            // the pooling alone.
            let space = back.size.output().space;
            let region = Region {
                start: part.crop,
                end: [0, 1, 2].map(|axis| part.crop[axis] + space[axis]),
            };
            let present = self.present[part.value];
            let accumulate = !present.is_empty();
            debug_assert!(!accumulate || present == region);
            let cost = Cost {
                // Each part has its share of the input channels.
                flops: size.flops() / size.in_c as u64 * shape.c as u64,
                floats: shape.n * space.iter().product::<usize>() * shape.c
                    + draft.shapes[to].len()
                    + size.weights() / size.in_c * shape.c,
            };
            let work = ConvInput {
                size,
                back,
                pad,
                first,
                weights: draft.entry(weight),
                dy: self.places.gradients[to].clone(),
                dy_shape: draft.shapes[to],
                dx: stored(&self.places.gradients, part.value),
                dx_shape: shape,
                crop: part.crop,
                accumulate,
            };
            self.push(
                (index, Pass::Input),
                to,
                cost,
                Backward::ConvInput(Box::new(work)),
            );
            if let Some(step) = self.steps.last_mut() {
                step.is_last = i + 1 == parts.len();
            }
            self.present[part.value] = region;
            first += shape.c;
        }
    }

    /// The convolution that gives the gradient by `many` input channels, and its padding.
    fn back(&self, size: &conv3d::Size, kernel: Footprint, many: usize) -> (Chosen, [usize; 3]) {
        let pad = [0, 1, 2].map(|axis| kernel.size[axis] - 1 - kernel.pad[axis]);
        let y = size.output().space;
        let back = self.draft.chosen(conv3d::Size {
            padded: [0, 1, 2].map(|axis| y[axis] + 2 * pad[axis]),
            in_c: size.out_c,
            out_c: many,
            ..*size
        });
        (back, pad)
    }

    fn up_conv(
        &mut self,
        index: usize,
        (from, to): (ValueId, ValueId),
        weight: usize,
        window: [usize; 3],
    ) {
        let draft = self.draft;
        let size = upconv3d::Size {
            input: draft.shapes[from],
            window,
            out_c: draft.shapes[to].c,
        };
        let (x, y) = (draft.shapes[from].len(), draft.shapes[to].len());
        let cost = Cost {
            // Both gradients: input read and written, each operand once.
            flops: 4 * (y * draft.shapes[from].c) as u64,
            floats: 2 * x + y + 2 * size.weights(),
        };
        let work = Backward::UpConv {
            read: read(draft, self.places, draft.parts[from][0]),
            window,
            out_c: size.out_c,
            dy: stored(&self.places.gradients, to),
            dx: stored(&self.places.gradients, from),
            weights: draft.entry(weight),
        };
        self.push((index, Pass::Backward), to, cost, work);
        self.present[from] = Region::all(draft.shapes[from]);
    }
}
