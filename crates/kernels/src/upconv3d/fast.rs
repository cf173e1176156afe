//! Up-convolution as products of matrices, on the register tiles of chunks:
//! twelve voxels by two panels of channels.
//!
//! Forward: a task is a group of chunks of input voxels (in the order of memory,
//! across rows) by some of the pairs of a tap and two output panels. It loads and
//! transforms its voxels once, multiplies, and scatters the products to where the
//! tap writes. Input gradient: the same product with the taps and output channels
//! of a voxel side by side, gathered, for input channels. Weight gradient: a task
//! is a tap by some input panels, or by a slab of voxels where there are few
//! weights; its sums of outer products go over the voxels in order.
//!
//! How tasks are cut depends on the problem alone, and so do the bits.

#![allow(
    unsafe_code,
    reason = "the products of a task are no contiguous part of the output"
)]

use std::ops::Range;

use pulp::Simd;

use super::{Problem, Size};
use crate::Context;
use crate::conv3d::transpose;
use crate::micro::{
    Aligned, CHUNK, CHUNK_ROWS, ChunkProduct, OuterProduct, PANEL, PAST_CACHES, prefetch, stream,
    streamed,
};
use crate::threads::Shared;

/// Floats of loaded chunks of a task: 768 KB, less than half of a second-level
/// cache of 2 MB, through which the weights stream.
const BUDGET: usize = 192 * 1024;
/// Floats of weights, 1 MB, that stay in that cache beside the chunks: tasks then
/// need not be large for the weights' sake.
const FEW_WEIGHTS: usize = 256 * 1024;
/// Tasks aimed at: enough for 16 threads.
const TASKS: usize = 16;
/// Chunks of a weight gradient loaded at a time: those of one input panel and two
/// output panels, 27 KB, stay in the first-level cache.
const OUTER_CHUNKS: usize = 12;

/// Floats of scratch memory that any pass needs with `threads` workers.
pub fn scratch(size: &Size, threads: usize) -> usize {
    let product = |cut: Cut| cut.weights() + threads * cut.loaded();
    let outer = OuterCut::new(size);
    product(Cut::forward(size))
        .max(product(Cut::input(size)))
        .max(outer.sums() + threads * outer.loaded())
}

/// Computes `y`, `n d h w o`.
pub fn forward(
    context: Context<'_>,
    problem: &Problem<'_>,
    weights: &[f32],
    bias: Option<&[f32]>,
    y: &mut [f32],
    scratch: &mut [f32],
) {
    let size = problem.size();
    let cut = Cut::forward(&size);
    let (packed, scratch) = scratch.split_at_mut(cut.weights());
    let (in_c, out_c) = (size.input.c, size.out_c);
    // A part is a tap and a panel: `[i][PANEL]`.
    context
        .threads
        .for_each_chunk(packed, cut.k * PANEL, &mut [], |part, to, _| {
            let (tap, o) = (part / cut.panels, part % cut.panels * PANEL);
            let many = PANEL.min(out_c - o);
            let from = &weights[tap * in_c * out_c..][..in_c * out_c];
            for (i, to) in to.chunks_exact_mut(PANEL).enumerate() {
                if i < in_c {
                    let from = &from[i * out_c + o..];
                    prefetch(from.as_ptr().wrapping_add(AHEAD * out_c));
                    copy_padded(&from[..many], to);
                } else {
                    to.fill(0.0);
                }
            }
        });
    let pass = Pass::Forward {
        bias,
        past_caches: y.len() >= PAST_CACHES,
    };
    cut.multiply(context, problem, packed, pass, y, scratch);
}

/// Computes the gradient by the (transformed) input, `n d h w i`.
pub fn backward_input(
    context: Context<'_>,
    problem: &Problem<'_>,
    weights: &[f32],
    dy: &[f32],
    dx: &mut [f32],
    scratch: &mut [f32],
) {
    let size = problem.size();
    let cut = Cut::input(&size);
    let (packed, scratch) = scratch.split_at_mut(cut.weights());
    let (in_c, out_c) = (size.input.c, size.out_c);
    // A part is an input panel and a tap: `[o][PANEL]`.
    let len = cut.k / size.taps() * PANEL;
    context
        .threads
        .for_each_chunk(packed, len, &mut [], |part, to, _| {
            let (i, tap) = (part / size.taps() * PANEL, part % size.taps());
            let many = PANEL.min(in_c - i);
            let from = &weights[(tap * in_c + i) * out_c..][..many * out_c];
            if many == PANEL {
                transpose(from, PANEL, out_c, &mut to[..out_c * PANEL]);
                to[out_c * PANEL..].fill(0.0);
            } else {
                to.fill(0.0);
                for (lane, from) in from.chunks_exact(out_c).enumerate() {
                    for (to, from) in to.chunks_exact_mut(PANEL).zip(from) {
                        to[lane] = *from;
                    }
                }
            }
        });
    cut.multiply(context, problem, packed, Pass::Input { dy }, dx, scratch);
}

/// Adds the gradient by the weights, `a b c i o`.
pub fn backward_weights(
    context: Context<'_>,
    problem: &Problem<'_>,
    dy: &[f32],
    dw: &mut [f32],
    scratch: &mut [f32],
) {
    let size = problem.size();
    let cut = OuterCut::new(&size);
    let dw = &mut dw[..size.weights()];
    let (sums, scratch) = scratch.split_at_mut(cut.sums());
    let fresh = !cut.in_place;
    let task = |task: usize, part: &mut [f32], loaded: &mut [f32]| {
        let (slab, tap) = (task / cut.splits / size.taps(), task / cut.splits);
        let (tap, split) = (tap % size.taps(), task % cut.splits);
        context.isa.run(Outer {
            problem,
            cut: &cut,
            tap,
            inputs: split * cut.inputs / cut.splits..(split + 1) * cut.inputs / cut.splits,
            chunks: slab * cut.chunks / cut.slabs..(slab + 1) * cut.chunks / cut.slabs,
            fresh,
            dy,
            part,
            loaded,
        });
    };
    let tasks = cut.slabs * size.taps() * cut.splits;
    let one = cut.inputs * PANEL * cut.columns();
    let range = |task: usize| {
        let bound = |split: usize| split * cut.inputs / cut.splits * PANEL * cut.columns();
        let (matrix, split) = (task / cut.splits * one, task % cut.splits);
        matrix + bound(split)..matrix + bound(split + 1)
    };
    if cut.in_place {
        context
            .threads
            .for_each_part(dw, scratch, tasks, range, task);
        return;
    }
    context
        .threads
        .for_each_part(&mut *sums, scratch, tasks, range, task);
    let (sums, out_c) = (&*sums, size.out_c);
    context
        .threads
        .for_each_chunk(dw, size.input.c * out_c, &mut [], |tap, part, _| {
            for slab in 0..cut.slabs {
                let from = &sums[(slab * size.taps() + tap) * one..][..one];
                let rows = from.chunks_exact(cut.columns());
                for (to, from) in part.chunks_exact_mut(out_c).zip(rows) {
                    to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
                }
            }
        });
}

/// Rows of weights fetched ahead: what memory needs for an answer.
const AHEAD: usize = 16;

/// A panel's row from as many channels as there are.
#[inline(always)]
fn copy_padded(from: &[f32], to: &mut [f32]) {
    if from.len() == PANEL {
        to[..PANEL].copy_from_slice(from);
    } else {
        to[..from.len()].copy_from_slice(from);
        to[from.len()..].fill(0.0);
    }
}

/// How a product is cut: of all voxels, `k` values each, with `matrices` of
/// `panels`.
#[derive(Clone, Copy)]
struct Cut {
    size: Size,
    /// Values of a voxel, whole panels.
    k: usize,
    matrices: usize,
    /// Panels of a matrix.
    panels: usize,
    /// Chunks of all voxels, and their groups.
    chunks: usize,
    groups: usize,
    /// Tasks that share a group, each with some of the matrices' panels.
    splits: usize,
}

impl Cut {
    fn forward(size: &Size) -> Self {
        let k = size.input.c.next_multiple_of(PANEL);
        Self::new(size, k, size.taps(), size.out_c.div_ceil(PANEL))
    }

    fn input(size: &Size) -> Self {
        let k = size.taps() * size.out_c.next_multiple_of(PANEL);
        Self::new(size, k, 1, size.input.c.div_ceil(PANEL))
    }

    fn new(size: &Size, k: usize, matrices: usize, panels: usize) -> Self {
        let chunks = (size.input.n * size.input.voxels()).div_ceil(CHUNK_ROWS);
        let mut cut = Self {
            size: *size,
            k,
            matrices,
            panels,
            chunks,
            groups: 1,
            splits: 1,
        };
        cut.groups = chunks.div_ceil((BUDGET / (CHUNK_ROWS * k)).max(1)).max(1);
        if cut.weights() <= FEW_WEIGHTS {
            cut.groups = cut.groups.max(TASKS.min(chunks));
        }
        cut.splits = TASKS.div_ceil(cut.groups).min(cut.units()).max(1);
        cut
    }

    /// Products of a group: a matrix with two of its panels.
    fn units(&self) -> usize {
        self.matrices * self.panels.div_ceil(2)
    }

    /// Floats of all matrices.
    fn weights(&self) -> usize {
        self.matrices * self.panels * PANEL * self.k
    }

    /// Floats of the chunks of a group.
    fn loaded(&self) -> usize {
        self.chunks.div_ceil(self.groups) * CHUNK_ROWS * self.k
    }

    fn multiply(
        &self,
        context: Context<'_>,
        problem: &Problem<'_>,
        packed: &[f32],
        pass: Pass<'_>,
        to: &mut [f32],
        scratch: &mut [f32],
    ) {
        let to = Shared::new(to);
        context
            .threads
            .for_each_with(scratch, self.groups * self.splits, |task, loaded| {
                let (group, split) = (task / self.splits, task % self.splits);
                context.isa.run(Product {
                    problem,
                    cut: self,
                    packed,
                    pass,
                    chunks: group * self.chunks / self.groups
                        ..(group + 1) * self.chunks / self.groups,
                    units: split * self.units() / self.splits
                        ..(split + 1) * self.units() / self.splits,
                    to: &to,
                    loaded,
                });
            });
    }
}

/// What is multiplied.
#[derive(Clone, Copy)]
enum Pass<'a> {
    /// Voxels by the matrices of the taps.
    Forward {
        bias: Option<&'a [f32]>,
        past_caches: bool,
    },
    /// Output gradients of all taps by one matrix.
    Input { dy: &'a [f32] },
}

/// One task: some chunks by some units.
struct Product<'a> {
    problem: &'a Problem<'a>,
    cut: &'a Cut,
    /// `[matrix][panel][k][PANEL]`.
    packed: &'a [f32],
    pass: Pass<'a>,
    chunks: Range<usize>,
    units: Range<usize>,
    to: &'a Shared<'a, f32>,
    loaded: &'a mut [f32],
}

/// A product of a chunk with two panels.
type Tile = Aligned<[f32; 2 * CHUNK]>;

impl pulp::WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (cut, size) = (self.cut, &self.cut.size);
        let chunk = CHUNK_ROWS * cut.k;
        match self.pass {
            Pass::Forward { .. } => {
                let places = (CHUNK, chunk);
                load(
                    simd,
                    self.problem,
                    &self.chunks,
                    0..cut.k / PANEL,
                    self.loaded,
                    places,
                );
            }
            Pass::Input { dy } => {
                let panels = cut.k / PANEL / size.taps();
                for tap in 0..size.taps() {
                    let to = &mut self.loaded[tap * panels * CHUNK..];
                    gather(size, dy, tap, &self.chunks, to, (CHUNK, chunk));
                }
            }
        }
        let pairs = cut.panels.div_ceil(2);
        let place = |unit: usize| {
            let (matrix, panel) = (unit / pairs, unit % pairs * 2);
            (matrix, panel, (matrix * cut.panels + panel) * cut.k * PANEL)
        };
        let mut tile = Aligned([0.0; 2 * CHUNK]);
        for unit in self.units.clone() {
            let (matrix, panel, from) = place(unit);
            let panels = (cut.panels - panel).min(2);
            let b = &self.packed[from..][..panels * cut.k * PANEL];
            for (n, at) in self.chunks.clone().enumerate() {
                // The weights ahead; with the last chunk, those of the next unit.
                let next = if at + 1 < self.chunks.end || unit + 1 == self.units.end {
                    b.as_ptr().wrapping_add(PANEL * PANEL)
                } else {
                    self.packed[place(unit + 1).2..].as_ptr()
                };
                let product = ChunkProduct {
                    a: &self.loaded[n * chunk..][..chunk],
                    b,
                    b_panel: cut.k * PANEL,
                    panels,
                    k: cut.k,
                    fresh: true,
                    c: &mut tile.0,
                    c_stride: PANEL,
                    c_panel: CHUNK,
                    next_b: next,
                };
                product.run(simd);
                self.write::<S>(&tile, at, matrix, panel..panel + panels);
            }
        }
        if let Pass::Forward {
            past_caches: true, ..
        } = self.pass
        {
            streamed();
        }
    }
}

impl Product<'_> {
    /// Writes the products of chunk `at` to their voxels.
    #[inline(always)]
    fn write<S: Simd>(&self, tile: &Tile, at: usize, matrix: usize, panels: Range<usize>) {
        let size = &self.cut.size;
        let (c, bias, past_caches) = match self.pass {
            Pass::Forward { bias, past_caches } => (size.out_c, bias, past_caches),
            Pass::Input { .. } => (size.input.c, None, false),
        };
        let mut walk = Walk::new(size, at * CHUNK_ROWS);
        for row in 0..CHUNK_ROWS.min(walk.left()) {
            let voxel = match self.pass {
                Pass::Forward { .. } => walk.output(matrix),
                Pass::Input { .. } => (at * CHUNK_ROWS + row) * c,
            };
            walk.step();
            for (p, from) in panels.clone().zip(tile.0.chunks_exact(CHUNK)) {
                let o = p * PANEL;
                let many = PANEL.min(c - o);
                let from = &from[row * PANEL..][..PANEL];
                // SAFETY: every voxel, tap and panel belongs to one unit of one
                // task, and together they are a place of the output.
                let to = unsafe { self.to.part(voxel + o..voxel + o + many) };
                if many == PANEL {
                    let mut line = Line([0.0; PANEL]);
                    line.0.copy_from_slice(from);
                    if let Some(bias) = bias {
                        for (value, bias) in line.0.iter_mut().zip(&bias[o..][..PANEL]) {
                            *value += bias;
                        }
                    }
                    if past_caches {
                        stream::<S>(to, &line.0);
                    } else {
                        to.copy_from_slice(&line.0);
                    }
                } else {
                    for (i, (to, from)) in to.iter_mut().zip(from).enumerate() {
                        *to = from + bias.map_or(0.0, |bias| bias[o + i]);
                    }
                }
            }
        }
    }
}

/// A row of a panel.
#[repr(align(64))]
struct Line([f32; PANEL]);

/// Steps through the input voxels in the order of memory.
#[derive(Clone, Copy)]
struct Walk<'a> {
    size: &'a Size,
    point: usize,
    n: usize,
    at: [usize; 3],
}

impl<'a> Walk<'a> {
    #[inline(always)]
    fn new(size: &'a Size, point: usize) -> Self {
        let [depth, height, width] = size.input.space;
        let row = point / width;
        Self {
            size,
            point,
            n: row / (depth * height),
            at: [row / height % depth, row % height, point % width],
        }
    }

    /// Voxels from here on.
    #[inline(always)]
    fn left(&self) -> usize {
        (self.size.input.n * self.size.input.voxels()).saturating_sub(self.point)
    }

    /// Voxels from here to the end of the row.
    #[inline(always)]
    fn row(&self) -> usize {
        self.size.input.space[2] - self.at[2]
    }

    #[inline(always)]
    fn step(&mut self) {
        self.point += 1;
        self.at[2] += 1;
        if self.row() == 0 {
            *self = Self::new(self.size, self.point);
        }
    }

    /// Where the tap of this voxel writes.
    #[inline(always)]
    fn output(&self, tap: usize) -> usize {
        let [sd, sh, sw] = self.size.window;
        let [d, h, w] = self.at;
        let (a, b, c) = (tap / (sh * sw), tap / sw % sh, tap % sw);
        let at = [d * sd + a, h * sh + b, w * sw + c];
        self.size.output().at(self.n, at)
    }
}

/// Loads the transformed input `panels` of the voxels of `chunks`; chunks of a
/// voxel's next panel, and of the next voxels, are `places` apart.
#[inline(always)]
fn load<S: Simd>(
    simd: S,
    problem: &Problem<'_>,
    chunks: &Range<usize>,
    panels: Range<usize>,
    to: &mut [f32],
    places: (usize, usize),
) {
    let size = problem.size();
    let view = problem.view();
    for (n, chunk) in chunks.clone().enumerate() {
        let to = &mut to[n * places.1..];
        let mut walk = Walk::new(&size, chunk * CHUNK_ROWS);
        let mut row = 0;
        let end = CHUNK_ROWS.min(walk.left());
        while row < end {
            let many = walk.row().min(end - row);
            for (q, panel) in panels.clone().enumerate() {
                let i = panel * PANEL;
                let channels = PANEL.min(size.input.c - i);
                let to = &mut to[q * places.0 + row * PANEL..][..many * PANEL];
                view.load_row(simd, walk.n, walk.at, many, i, i + channels, to);
                spread(to, many, channels);
            }
            row += many;
            walk = Walk::new(&size, walk.point + many);
        }
        for q in 0..panels.len() {
            to[q * places.0..][row * PANEL..CHUNK].fill(0.0);
        }
    }
}

/// Rows of `channels` values, one after the other, to rows of a panel with zeros
/// behind, in place and so from the last on.
#[inline(always)]
fn spread(rows: &mut [f32], many: usize, channels: usize) {
    if channels < PANEL {
        for row in (0..many).rev() {
            rows.copy_within(row * channels..(row + 1) * channels, row * PANEL);
            rows[row * PANEL + channels..(row + 1) * PANEL].fill(0.0);
        }
    }
}

/// Gathers the output gradients of one tap at the voxels of `chunks`, all panels;
/// `places` as for [`load`].
#[inline(always)]
fn gather(
    size: &Size,
    dy: &[f32],
    tap: usize,
    chunks: &Range<usize>,
    to: &mut [f32],
    places: (usize, usize),
) {
    let c = size.out_c;
    // No processor guesses these strides: 4 KB ahead, as far as pages go.
    let ahead = 1024usize.div_ceil(c) * size.window[2] * c;
    for (n, chunk) in chunks.clone().enumerate() {
        let to = &mut to[n * places.1..];
        let mut walk = Walk::new(size, chunk * CHUNK_ROWS);
        let end = CHUNK_ROWS.min(walk.left());
        for row in 0..end {
            let from = &dy[walk.output(tap)..][..c];
            walk.step();
            for (q, from) in from.chunks(PANEL).enumerate() {
                prefetch(from.as_ptr().wrapping_add(ahead));
                copy_padded(from, &mut to[q * places.0 + row * PANEL..][..PANEL]);
            }
        }
        for q in 0..c.div_ceil(PANEL) {
            to[q * places.0..][end * PANEL..CHUNK].fill(0.0);
        }
    }
}

/// How a weight gradient is cut.
struct OuterCut {
    size: Size,
    /// Chunks of all voxels.
    chunks: usize,
    /// Panels of input and of output channels.
    inputs: usize,
    outputs: usize,
    /// Slabs of chunks, summed apart.
    slabs: usize,
    /// Tasks that share a tap, each with some of the input panels.
    splits: usize,
    /// Whether tasks add to the gradient itself.
    in_place: bool,
}

impl OuterCut {
    fn new(size: &Size) -> Self {
        let chunks = (size.input.n * size.input.voxels()).div_ceil(CHUNK_ROWS);
        let (i, o) = (size.input.c, size.out_c);
        let whole = i.is_multiple_of(PANEL) && o.is_multiple_of(PANEL);
        let in_place = whole && size.weights() > FEW_WEIGHTS;
        let (inputs, many) = (i.div_ceil(PANEL), TASKS.div_ceil(size.taps()));
        Self {
            size: *size,
            chunks,
            inputs,
            outputs: o.div_ceil(PANEL),
            slabs: if in_place { 1 } else { many.min(chunks).max(1) },
            splits: if in_place { many.min(inputs) } else { 1 },
            in_place,
        }
    }

    /// Floats of a row of sums.
    fn columns(&self) -> usize {
        self.outputs * PANEL
    }

    /// Floats of the sums of all slabs.
    fn sums(&self) -> usize {
        if self.in_place {
            return 0;
        }
        self.slabs * self.size.taps() * self.inputs * PANEL * self.columns()
    }

    /// Floats that a task loads at a time.
    fn loaded(&self) -> usize {
        (self.inputs.div_ceil(self.splits) + self.outputs) * OUTER_CHUNKS * CHUNK
    }
}

/// One weight-gradient task: a tap, input panels, chunks of voxels.
struct Outer<'a> {
    problem: &'a Problem<'a>,
    cut: &'a OuterCut,
    tap: usize,
    inputs: Range<usize>,
    chunks: Range<usize>,
    /// Whether `part` begins with 0 instead of what is there.
    fresh: bool,
    dy: &'a [f32],
    /// `[i][o]`, whole panels.
    part: &'a mut [f32],
    loaded: &'a mut [f32],
}

impl pulp::WithSimd for Outer<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (cut, columns) = (self.cut, self.cut.columns());
        let panel = OUTER_CHUNKS * CHUNK;
        let (x, dy) = self.loaded.split_at_mut(self.inputs.len() * panel);
        let mut fresh = self.fresh;
        for first in self.chunks.clone().step_by(OUTER_CHUNKS) {
            let chunks = first..self.chunks.end.min(first + OUTER_CHUNKS);
            let places = (panel, CHUNK);
            load(simd, self.problem, &chunks, self.inputs.clone(), x, places);
            gather(&cut.size, self.dy, self.tap, &chunks, dy, places);
            for i in 0..self.inputs.len() {
                let outer = OuterProduct {
                    a: &x[i * panel..],
                    a_stride: PANEL,
                    b: dy,
                    b_stride: PANEL,
                    b_panel: panel,
                    panels: cut.outputs,
                    points: chunks.len() * CHUNK_ROWS,
                    fresh,
                    c: &mut self.part[i * PANEL * columns..],
                    c_stride: columns,
                    next_b: dy.as_ptr(),
                };
                outer.run(simd);
            }
            fresh = false;
        }
    }
}
