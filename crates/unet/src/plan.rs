//! Shapes, memory and kernels for one input size, fixed before anything runs.
//!
//! Everything a pass writes lives in one arena. Each buffer has a lifetime,
//! counted in steps (nodes forward, then the same nodes backward), and buffers
//! whose lifetimes do not meet share memory. So the peak is known beforehand.

use std::ops::Range;

use unet3d_kernels::conv3d::{self, Method};
use unet3d_kernels::{Region, Shape, norm, upconv3d};

use crate::graph::{Footprint, Node, ValueId};
use crate::network::{Network, SizeError};

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

/// Shapes, memory and kernels for one input size.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(crate) mode: Mode,
    pub(crate) threads: usize,
    /// Which kernels convolve.
    pub(crate) method: Method,
    /// Of each value, its pooling where that is done by the convolution that
    /// writes the value.
    pub(crate) fused: Vec<Option<Fused>>,
    /// Of each value, how it is made and used some planes at a time instead of as a whole.
    pub(crate) slabs: Vec<Option<Slabs>>,
    /// Of each value, the one whose normalisation and activation are still to be
    /// applied to it: itself, or the one that it is pooled from.
    pub(crate) origin: Vec<ValueId>,
    /// Shape of each value.
    pub(crate) shapes: Vec<Shape>,
    /// Place of each stored value in the arena; `None` for the input and for
    /// concatenations, which are not stored.
    pub(crate) values: Vec<Option<Range<usize>>>,
    /// Place of the gradient of each stored value; training only.
    pub(crate) gradients: Vec<Option<Range<usize>>>,
    /// Place of the scratch memory of kernels.
    pub(crate) scratch: Range<usize>,
    /// Place of flipped weights; training only.
    pub(crate) flipped: Range<usize>,
    /// Length of the arena.
    pub(crate) arena: usize,
    /// Length of the f64 workspace of normalisation.
    pub(crate) workspace: usize,
    /// Samples times channels of the values that are normalised or activated.
    statistics: usize,
}

/// A pooling that a convolution does as it writes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fused {
    /// Pooled value.
    pub(crate) to: ValueId,
    pub(crate) window: [usize; 3],
    /// What is stored of the value itself: in prediction the part that a skip keeps, in
    /// training all.
    pub(crate) kept: Region,
}

/// An up-convolved value of which some planes at a time are made and convolved. At
/// full resolution it is the largest value of all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slabs {
    /// The node that makes it.
    pub(crate) step: usize,
    /// The node that convolves it, with the skip beside it.
    pub(crate) reader: usize,
    /// Outputs of that convolution along its depth.
    depth: usize,
    /// Planes that a convolution needs beyond its outputs.
    halo: usize,
}

impl Slabs {
    /// Outputs of a slab along the depth: whole tiles of Winograd's convolution (2, 3 or
    /// 4 voxels), whole windows of the up-convolution.
    const DEPTH: usize = 24;

    /// The outputs of each slab along the depth. A rest is a slab only if tiles of 4
    /// suit it best, as they do the whole, so that the bits are those of the whole.
    pub(crate) fn outputs(self) -> impl Iterator<Item = Range<usize>> {
        let many = (self.depth + 2) / Self::DEPTH;
        (0..many).map(move |i| {
            let last = i + 1 == many;
            i * Self::DEPTH..if last {
                self.depth
            } else {
                (i + 1) * Self::DEPTH
            }
        })
    }

    /// The planes of the value that such outputs need.
    pub(crate) fn planes(self, outputs: &Range<usize>) -> Range<usize> {
        outputs.start..outputs.end + self.halo
    }
}

/// A buffer from the step where it is first written to the one where it is last read.
struct Buffer {
    len: usize,
    life: Range<usize>,
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
        let spaces = network.spaces(input)?;
        check_size(network, batch, input)?;
        let shape = |(space, c): (_, &usize)| Shape {
            n: batch,
            space,
            c: *c,
        };
        let channels = &network.graph().channels;
        let shapes = spaces.into_iter().zip(channels).map(shape).collect();
        Ok(Self::build(
            network,
            shapes,
            mode,
            threads,
            Method::default(),
        ))
    }

    /// The same with other kernels, and the memory that these need.
    #[must_use]
    pub fn with_method(self, network: &Network, method: Method) -> Self {
        if self.method == method {
            return self;
        }
        Self::build(network, self.shapes, self.mode, self.threads, method)
    }

    fn build(
        network: &Network,
        shapes: Vec<Shape>,
        mode: Mode,
        threads: usize,
        method: Method,
    ) -> Self {
        let workspaces = shapes.iter().map(|shape| norm::workspace(*shape));
        let activated = network.graph().nodes.iter().filter_map(|node| match node {
            Node::Activation { value, .. } => Some(shapes[*value].n * shapes[*value].c),
            _ => None,
        });
        let many = shapes.len();
        let mut plan = Self {
            mode,
            threads,
            method,
            fused: vec![None; many],
            slabs: vec![None; many],
            origin: (0..many).collect(),
            values: vec![None; many],
            gradients: vec![None; many],
            scratch: 0..0,
            flipped: 0..0,
            arena: 0,
            workspace: workspaces.max().unwrap_or(0),
            statistics: activated.sum(),
            shapes,
        };
        plan.fuse(network);
        plan.cut_slabs(network);
        plan.place_values(network);
        plan.place_kernels(network);
        plan
    }

    /// Places for the values, and in training for their gradients.
    fn place_values(&mut self, network: &Network) {
        let graph = network.graph();
        let steps = graph.nodes.len();
        let stored = |value: ValueId| {
            value != 0
                && !graph
                    .nodes
                    .iter()
                    .any(|node| matches!(node, Node::Concat { to, .. } if *to == value))
        };
        // Values: from the step that writes them to the last that reads them.
        let mut lives: Vec<Range<usize>> = vec![0..0; self.shapes.len()];
        for (step, node) in graph.nodes.iter().enumerate() {
            if let Some(to) = written(node) {
                lives[to] = step..step + 1;
            }
            if let Node::Pool { from, to, .. } = node
                && self.fused[*from].is_some()
            {
                lives[*to].start = lives[*from].start;
            }
            for value in self::read(network, node) {
                lives[value].end = step + 1;
            }
        }
        for (value, slabs) in self.slabs.iter().enumerate() {
            let Some(Slabs { step, reader, .. }) = *slabs else {
                continue;
            };
            lives[value] = reader..reader + 1;
            for value in self::read(network, &graph.nodes[step]) {
                lives[value].end = lives[value].end.max(reader + 1);
            }
        }
        if let Some(last) = lives.last_mut() {
            last.end = steps + 1; // the logits outlive the pass
        }
        let mut buffers = Vec::new();
        for (value, life) in lives.iter().enumerate().filter(|(value, _)| stored(*value)) {
            let life = if self.mode == Mode::Train {
                life.start..2 * steps - life.start + 1
            } else {
                life.clone()
            };
            let len = self.stored(value).len();
            buffers.push((value, false, Buffer { len, life }));
        }
        if self.mode == Mode::Train {
            // Backward, node s is step 2 * steps - s. The gradient of a value is
            // written first by its last reader and read last by its producer; that of
            // a pooled one, by the producer of what it is pooled from.
            let mut producers: Vec<usize> = lives.iter().map(|life| life.start).collect();
            for node in &graph.nodes {
                if let Node::Pool { from, to, .. } = *node {
                    producers[to] = producers[from];
                }
            }
            for (value, life) in lives.iter().enumerate().filter(|(value, _)| stored(*value)) {
                if value + 1 == self.shapes.len() {
                    continue; // the caller's gradient of the logits
                }
                let life = 2 * steps - (life.end - 1)..2 * steps - producers[value] + 1;
                let len = self.shapes[value].len();
                buffers.push((value, true, Buffer { len, life }));
            }
        }
        let (places, arena) = pack(&buffers);
        self.arena = arena;
        for ((value, gradient, _), place) in buffers.iter().zip(places) {
            let to = if *gradient {
                &mut self.gradients
            } else {
                &mut self.values
            };
            to[*value] = Some(place);
        }
    }

    /// Adds the memory of the kernels behind that of the values.
    fn place_kernels(&mut self, network: &Network) {
        let (scratch, flipped) = self.kernel_memory(network);
        self.flipped = self.arena..self.arena + flipped;
        self.scratch = self.flipped.end..self.flipped.end + scratch;
        self.arena = self.scratch.end;
        self.workspace = self.workspace.max(self.most_moments(network));
    }

    /// Finds the poolings that convolutions do as they write. Not where activations may be
    /// dropped before: whether 0 is the largest of a window is known only with the
    /// normalisation, which follows from the whole value.
    fn fuse(&mut self, network: &Network) {
        if self.mode == Mode::Train && network.config().dropout > 0.0 {
            return;
        }
        let nodes = &network.graph().nodes;
        for node in nodes {
            let Node::Pool { from, to, window } = *node else {
                continue;
            };
            let tile = nodes.iter().find_map(|node| match *node {
                Node::Conv {
                    from: input,
                    to,
                    kernel,
                    ..
                } if to == from => {
                    let size = self.conv_size(input, to, kernel);
                    self.kernel(&size).pools(&size, window)
                }
                _ => None,
            });
            let Some(tile) = tile else { continue };
            let skips = nodes.iter().filter_map(|node| match *node {
                Node::Concat { skip, to, .. } if skip == from => {
                    let start = self.parts(network, to)[1].1;
                    let space = self.shapes[to].space;
                    // Whole tiles.
                    let all = self.shapes[from].space;
                    Some(Region {
                        start: [0, 1, 2].map(|axis| start[axis] / tile[axis] * tile[axis]),
                        end: [0, 1, 2].map(|axis| {
                            let end = start[axis] + space[axis];
                            end.next_multiple_of(tile[axis]).min(all[axis])
                        }),
                    })
                }
                _ => None,
            });
            // A value is the skip of at most one concatenation. In training its gradient
            // needs all of it.
            let kept = match self.mode {
                Mode::Predict => { skips }.next().unwrap_or(Region::NOTHING),
                Mode::Train => Region::all(self.shapes[from]),
            };
            self.fused[from] = Some(Fused { to, window, kept });
            self.origin[to] = from;
        }
    }

    /// Finds the up-convolved values that are cut into slabs: in prediction alone, one
    /// sample at a time, where they are not normalised, which may take statistics of
    /// the whole.
    fn cut_slabs(&mut self, network: &Network) {
        let nodes = &network.graph().nodes;
        if self.mode == Mode::Train || self.shapes[0].n != 1 {
            return;
        }
        for (step, node) in nodes.iter().enumerate() {
            let Node::UpConv { to: up, .. } = *node else {
                continue;
            };
            let is_normalised = nodes
                .iter()
                .any(|node| matches!(*node, Node::Norm { value, .. } if value == up));
            let concat = nodes.iter().find_map(|node| match *node {
                Node::Concat { up: part, to, .. } if part == up => Some(to),
                _ => None,
            });
            let reader = nodes
                .iter()
                .enumerate()
                .find_map(|(step, node)| match *node {
                    Node::Conv {
                        from, to, kernel, ..
                    } if Some(from) == concat => Some((step, to, kernel)),
                    _ => None,
                });
            let Some((reader, to, kernel)) = reader else {
                continue;
            };
            let depth = self.shapes[to].space[0];
            if is_normalised || kernel.pad != [0; 3] || depth < 2 * Slabs::DEPTH {
                continue;
            }
            self.slabs[up] = Some(Slabs {
                step,
                reader,
                depth,
                halo: kernel.size[0] - 1,
            });
        }
    }

    /// The slabs in which what consists of these parts is convolved.
    pub(crate) fn slabs_of(&self, parts: &[(ValueId, [usize; 3])]) -> Option<Slabs> {
        parts.iter().find_map(|(value, _)| self.slabs[*value])
    }

    /// The sizes of a convolution: one, or one for each slab.
    fn conv_sizes(
        &self,
        network: &Network,
        from: ValueId,
        to: ValueId,
        kernel: Footprint,
    ) -> Vec<conv3d::Size> {
        let size = self.conv_size(from, to, kernel);
        let Some(slabs) = self.slabs_of(&self.parts(network, from)) else {
            return vec![size];
        };
        let of_slab = |outputs: Range<usize>| {
            let mut size = size;
            size.padded[0] = slabs.planes(&outputs).len();
            size
        };
        slabs.outputs().map(of_slab).collect()
    }

    /// The input of an up-convolution for some planes of its output: first plane, shape.
    pub(crate) fn up_input(
        &self,
        from: ValueId,
        window: [usize; 3],
        planes: &Range<usize>,
    ) -> (usize, Shape) {
        let mut shape = self.shapes[from];
        let first = planes.start / window[0];
        shape.space[0] = planes.end.div_ceil(window[0]) - first;
        (first, shape)
    }

    /// What is stored of a value.
    pub(crate) fn kept(&self, value: ValueId) -> Region {
        self.fused[value].map_or(Region::all(self.shapes[value]), |fused| fused.kept)
    }

    /// Shape of what is stored of a value.
    pub(crate) fn stored(&self, value: ValueId) -> Shape {
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

    /// The kernel for a size.
    pub(crate) fn kernel(&self, size: &conv3d::Size) -> &'static dyn conv3d::Kernel {
        conv3d::choose(size, self.method)
    }

    /// `[n, d, h, w, c]` of the input.
    pub fn input_shape(&self) -> [usize; 5] {
        five(self.shapes[0])
    }

    /// `[n, d, h, w, classes]` of the logits.
    pub fn output_shape(&self) -> [usize; 5] {
        five(self.shapes[self.shapes.len() - 1])
    }

    /// Bytes of memory that an executor of this plan holds, with the input
    /// and, in training, the gradient of the logits that its caller holds;
    /// without parameters and their gradients.
    pub fn peak_bytes(&self) -> u64 {
        let logits = self.shapes[self.shapes.len() - 1].len();
        let callers = self.shapes[0].len() + if self.mode == Mode::Train { logits } else { 0 };
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

    /// The largest needs of any node: scratch, and flipped weights.
    fn kernel_memory(&self, network: &Network) -> (usize, usize) {
        let (mut scratch, mut flipped) = (0, 0);
        for node in &network.graph().nodes {
            match *node {
                Node::Conv {
                    from, to, kernel, ..
                } => {
                    for size in self.conv_sizes(network, from, to, kernel) {
                        scratch = scratch.max(self.kernel(&size).scratch(&size, self.threads));
                    }
                    let size = self.conv_size(from, to, kernel);
                    if self.mode == Mode::Train && from != 0 {
                        for (value, _) in self.parts(network, from) {
                            let back = self.back_size(&size, kernel.pad, self.shapes[value].c);
                            flipped = flipped.max(back.weights());
                            scratch = scratch.max(self.kernel(&back).scratch(&back, self.threads));
                        }
                    }
                }
                Node::UpConv {
                    from, to, window, ..
                } => {
                    let all = 0..self.shapes[to].space[0];
                    let pieces: Vec<_> = match self.slabs[to] {
                        None => vec![all],
                        Some(slabs) => slabs.outputs().map(|out| slabs.planes(&out)).collect(),
                    };
                    for planes in pieces {
                        let size = upconv3d::Size {
                            input: self.up_input(from, window, &planes).1,
                            window,
                            out_c: self.shapes[to].c,
                        };
                        scratch = scratch.max(upconv3d::scratch(&size, self.threads));
                    }
                }
                _ => {}
            }
        }
        (scratch, flipped)
    }

    /// Length of the partial sums that a convolution leaves for statistics.
    pub(crate) fn moments(&self, size: &conv3d::Size) -> usize {
        size.n * self.kernel(size).parts(size) * 2 * size.out_c
    }

    fn most_moments(&self, network: &Network) -> usize {
        let of_node = |node: &Node| match *node {
            Node::Conv {
                from, to, kernel, ..
            } => {
                let sizes = self.conv_sizes(network, from, to, kernel);
                sizes.iter().map(|size| self.moments(size)).sum()
            }
            _ => 0,
        };
        network.graph().nodes.iter().map(of_node).max().unwrap_or(0)
    }

    pub(crate) fn conv_size(&self, from: ValueId, to: ValueId, kernel: Footprint) -> conv3d::Size {
        let input = self.shapes[from];
        conv3d::Size {
            n: input.n,
            padded: [0, 1, 2].map(|axis| input.space[axis] + 2 * kernel.pad[axis]),
            in_c: input.c,
            kernel: kernel.size,
            out_c: self.shapes[to].c,
        }
    }

    /// The convolution that gives the gradient by `many` input channels, of one whose
    /// input has `pad` zeros on each side.
    pub(crate) fn back_size(
        &self,
        size: &conv3d::Size,
        pad: [usize; 3],
        many: usize,
    ) -> conv3d::Size {
        let y = size.output().space;
        conv3d::Size {
            padded: [0, 1, 2].map(|axis| y[axis] + 2 * (size.kernel[axis] - 1 - pad[axis])),
            in_c: size.out_c,
            out_c: many,
            ..*size
        }
    }

    /// The stored values of which a value consists, each with its crop.
    pub(crate) fn parts(&self, network: &Network, value: ValueId) -> Vec<(ValueId, [usize; 3])> {
        let concat = network.graph().nodes.iter().find_map(|node| match *node {
            Node::Concat { up, skip, to } if to == value => Some((up, skip)),
            _ => None,
        });
        let Some((up, skip)) = concat else {
            return vec![(value, [0; 3])];
        };
        let (inner, outer) = (self.shapes[up].space, self.shapes[skip].space);
        vec![
            (up, [0; 3]),
            (
                skip,
                std::array::from_fn(|axis| (outer[axis] - inner[axis]) / 2),
            ),
        ]
    }

    /// How much each skip is cropped on each side, `[d, h, w]`, from the full
    /// resolution down.
    pub fn crops(&self, network: &Network) -> Vec<[usize; 3]> {
        let concats = network.graph().nodes.iter().filter_map(|node| match node {
            Node::Concat { to, .. } => Some(self.parts(network, *to)[1].1),
            _ => None,
        });
        let mut crops: Vec<_> = concats.collect();
        crops.reverse();
        crops
    }
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

fn five(shape: Shape) -> [usize; 5] {
    let [d, h, w] = shape.space;
    [shape.n, d, h, w, shape.c]
}

/// The value that a node stores.
fn written(node: &Node) -> Option<ValueId> {
    match *node {
        Node::Conv { to, .. } | Node::Pool { to, .. } | Node::UpConv { to, .. } => Some(to),
        _ => None,
    }
}

/// The stored values that a node reads.
fn read(network: &Network, node: &Node) -> Vec<ValueId> {
    match *node {
        Node::Conv { from, .. } => network
            .graph()
            .nodes
            .iter()
            .find_map(|node| match *node {
                Node::Concat { up, skip, to } if to == from => Some(vec![up, skip]),
                _ => None,
            })
            .unwrap_or(vec![from]),
        Node::Pool { from, .. } | Node::UpConv { from, .. } => vec![from],
        Node::Norm { value, .. } => vec![value],
        _ => vec![],
    }
}

/// Places for buffers so that those alive at one time do not overlap: largest
/// first, each at the lowest free place. Returns the places and their extent.
fn pack(buffers: &[(ValueId, bool, Buffer)]) -> (Vec<Range<usize>>, usize) {
    /// 64 bytes: rows begin at a cache line.
    const ALIGN: usize = 16;
    let mut order: Vec<usize> = (0..buffers.len()).collect();
    order.sort_by_key(|i| std::cmp::Reverse(buffers[*i].2.len));
    let mut places: Vec<Range<usize>> = vec![0..0; buffers.len()];
    let mut placed: Vec<usize> = Vec::new();
    let mut end = 0;
    for i in order {
        let Buffer { len, life } = &buffers[i].2;
        let mut taken: Vec<Range<usize>> = placed
            .iter()
            .filter(|j| {
                let other = &buffers[**j].2.life;
                other.start < life.end && life.start < other.end
            })
            .map(|j| places[*j].clone())
            .collect();
        taken.sort_by_key(|range| range.start);
        let mut start = 0;
        for range in taken {
            if start + len <= range.start {
                break;
            }
            start = start.max(range.end.next_multiple_of(ALIGN));
        }
        places[i] = start..start + len;
        end = end.max(places[i].end.next_multiple_of(ALIGN));
        placed.push(i);
    }
    (places, end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Preset, UNetConfig};

    #[test]
    fn the_papers_crops_are_4_16_40() {
        let network = Network::new(UNetConfig::preset(Preset::Paper, 3, 3)).unwrap();
        for input in [[116, 132, 132], [92, 92, 140]] {
            let plan = Plan::new(&network, 1, input, Mode::Predict, 1).unwrap();
            assert_eq!(plan.crops(&network), vec![[40; 3], [16; 3], [4; 3]]);
        }
        let plan = Plan::new(&network, 1, [116, 132, 132], Mode::Train, 2).unwrap();
        assert_eq!(plan.input_shape(), [1, 116, 132, 132, 3]);
        assert_eq!(plan.output_shape(), [1, 28, 44, 44, 3]);
    }

    #[test]
    fn a_skip_takes_the_room_of_what_is_read_of_it() {
        let network = Network::new(UNetConfig::preset(Preset::Common, 3, 3)).unwrap();
        let plan = Plan::new(&network, 1, [116, 132, 132], Mode::Predict, 1).unwrap();
        let mut skips = 0;
        for node in &network.graph().nodes {
            let Node::Concat { skip, to, .. } = *node else {
                continue;
            };
            let crop = plan.parts(&network, to)[1].1;
            let (read, kept) = (plan.shapes[to].space, plan.kept(skip));
            for axis in 0..3 {
                let end = crop[axis] + read[axis];
                // To whole tiles, of four voxels at most.
                assert!((0..4).contains(&(crop[axis] - kept.start[axis])));
                assert!((0..4).contains(&(kept.end[axis] - end)));
            }
            let place = plan.values[skip].clone().unwrap();
            assert_eq!(place.len(), plan.stored(skip).len());
            skips += 1;
        }
        assert_eq!(skips, 3);
        let direct = plan.clone().with_method(&network, Method::Direct);
        assert!(plan.peak_bytes() < direct.peak_bytes());
    }

    #[test]
    fn a_slab_takes_the_room_of_its_planes() {
        let network = Network::new(UNetConfig::preset(Preset::Common, 3, 3)).unwrap();
        let plan = Plan::new(&network, 1, [156, 332, 340], Mode::Predict, 2).unwrap();
        let cut: Vec<_> = (0..plan.shapes.len())
            .filter_map(|value| plan.slabs[value].map(|slabs| (value, slabs)))
            .collect();
        // That of the full resolution; the next has 38 planes.
        let [(up, slabs)] = cut[..] else {
            panic!("{cut:?}")
        };
        let outputs: Vec<_> = slabs.outputs().collect();
        assert_eq!(outputs, [0..24, 24..48, 48..70]);
        let place = plan.values[up].clone().unwrap();
        assert_eq!(plan.shapes[up].space, [72, 248, 256]);
        assert_eq!(place.len(), 26 * 248 * 256 * 128);
        assert!(plan.peak_bytes() < 4_500_000_000, "{}", plan.peak_bytes());
        // A rest of less than 22 joins the last slab.
        for (depth, last) in [(69, 24..69), (71, 48..71), (50, 24..50)] {
            let slabs = Slabs { depth, ..slabs };
            assert_eq!(slabs.outputs().last(), Some(last));
        }
        for batch in [2, 3] {
            let plan = Plan::new(&network, batch, [156, 332, 340], Mode::Predict, 2).unwrap();
            assert!(plan.slabs.iter().all(Option::is_none));
        }
    }

    #[test]
    fn sizes_beyond_all_memory_are_refused() {
        let network = Network::new(UNetConfig::preset(Preset::Small, 1, 2)).unwrap();
        for (batch, input) in [(1, [1 << 30; 3]), (usize::MAX, [8; 3]), (1 << 40, [8; 3])] {
            let error = Plan::new(&network, batch, input, Mode::Train, 1).unwrap_err();
            assert!(matches!(error, SizeError::TooLarge { .. }), "{error}");
        }
    }

    #[test]
    fn buffers_alive_at_one_time_do_not_overlap() {
        let network = Network::new(UNetConfig::preset(Preset::Small, 1, 2)).unwrap();
        let predict = Plan::new(&network, 1, [32; 3], Mode::Predict, 1).unwrap();
        let train = Plan::new(&network, 1, [32; 3], Mode::Train, 1).unwrap();
        assert!(predict.peak_bytes() < train.peak_bytes());
        let all: Vec<_> = train.values.iter().flatten().collect();
        for (i, a) in all.iter().enumerate() {
            for b in &all[..i] {
                assert!(a.end <= b.start || b.end <= a.start, "{a:?} {b:?}");
            }
        }
    }
}
