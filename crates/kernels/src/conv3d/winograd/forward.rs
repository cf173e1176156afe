//! The forward pass, and with flipped weights the input gradient.
//!
//! Two schedules. Where the transformed weights fit the second-level cache, a
//! task takes a block of tiles through everything and its transformed input
//! never leaves that cache. Else a batch of blocks goes through each stage
//! together: transformed by all workers, multiplied frequency by frequency (so
//! that a frequency's weights are read once for a hundred tiles instead of for
//! twelve), transformed back by all workers. `stage.rs` says how its tiles get from
//! one stage to the next; the products may run on AMX, `amx.rs`.

#![allow(
    unsafe_code,
    reason = "tasks write boxes of the output and chunks of all blocks, which are no contiguous parts"
)]

use pulp::{Simd, WithSimd};

use super::amx;
use super::cut::Cut;
use super::form::{self, MOST};
use super::stage::{self, Stage};
use super::tile::{self, Buffer, Lines, Tiles, load};
use crate::amx::SIDE;
use crate::conv3d::{Context, Problem, Size};
use crate::micro::{
    Aligned, CHUNK, CHUNK_ROWS, ChunkProduct, PANEL, PAST_CACHES, row_of, stream, streamed,
};
use crate::threads::Shared;
use crate::view::{Shape, Target};

/// Floats of transformed weights up to which a block goes through alone: 2 MB,
/// what a second-level cache or a fast third-level one gives again and again.
const ALONE_WEIGHTS: usize = 512 << 10;
/// Floats of transformed tiles and products of a block that goes through alone:
/// with its products by one or two panels of output channels at a time it stays
/// within half of a second-level cache of 2 MB.
const ALONE: usize = 224 << 10;
/// Floats of transformed tiles and products of a batch: 24 MB of a third-level
/// cache.
const BATCH: usize = 6 << 20;
/// Fewest blocks of a batch: below, reading the weights costs more than the
/// products.
const LEAST_BLOCKS: usize = 4;
/// Floats of transformed weights up to which output channels are not taken in
/// stretches: 48 MB. For each stretch the input may have to be transformed anew.
const WEIGHTS: usize = 12 << 20;
/// Floats of the transformed weights of a stretch of output channels: 24 MB,
/// which a third-level cache keeps until they are used.
const STRETCH: usize = 6 << 20;
/// Input channels loaded and transformed at a time: two cache lines a voxel.
const CHANNELS: usize = 32;
/// Fewest tiles of a batch for the products on AMX: each weight is packed once for
/// all of them.
const AMX_TILES: usize = 64;

/// How tiles and output channels are batched.
pub(super) struct Batches {
    pub(super) cut: Cut,
    alone: bool,
    /// Blocks of a batch.
    blocks: usize,
    /// Output channels of a stretch.
    outputs: usize,
}

impl Batches {
    pub(super) fn new(size: &Size) -> Self {
        let cut = Cut::new(size, CHUNK_ROWS);
        let f = cut.frequencies();
        if f * size.in_c * size.out_c <= ALONE_WEIGHTS {
            return Self {
                cut,
                alone: true,
                blocks: 1,
                outputs: size.out_c,
            };
        }
        let all = f * size.in_c * size.out_c;
        let outputs = if all <= WEIGHTS {
            size.out_c
        } else {
            // In pairs, as they are multiplied.
            let panels = (size.out_c / PANEL).div_ceil(all.div_ceil(STRETCH));
            panels.next_multiple_of(2).min(size.out_c / PANEL) * PANEL
        };
        let block = f * cut.block_tiles() * (size.in_c + outputs);
        let blocks = (BATCH / block).max(LEAST_BLOCKS).min(size.n * cut.count());
        Self {
            cut,
            alone: false,
            blocks,
            outputs,
        }
    }
}

/// Floats of a block's loaded input.
pub(super) fn region(cut: &Cut, size: &Size) -> usize {
    cut.region().iter().product::<usize>() * CHANNELS.min(size.in_c)
}

/// Output channels multiplied at a time by a block alone.
fn alone_outputs(cut: &Cut, size: &Size) -> usize {
    let two = cut.frequencies() * CHUNK_ROWS * (size.in_c + 2 * PANEL);
    let panels = if two <= ALONE { 2 } else { 1 };
    (panels * PANEL).min(size.out_c)
}

/// Tiles in all blocks of a batch, rounded up to whole chunks and to whole rows of
/// AMX tiles.
pub(super) fn tiles(cut: &Cut, blocks: usize) -> usize {
    (blocks * cut.block_tiles())
        .next_multiple_of(CHUNK_ROWS)
        .next_multiple_of(SIDE)
}

/// Floats of scratch memory with `threads` workers.
pub(super) fn scratch(size: &Size, threads: usize) -> usize {
    let Batches {
        cut,
        alone,
        blocks,
        outputs,
    } = Batches::new(size);
    let at_once = if alone {
        alone_outputs(&cut, size)
    } else {
        outputs
    };
    let transformed = Tiles {
        many: tiles(&cut, blocks),
        channels: size.in_c + at_once,
        chunk: false,
    };
    cut.frequencies() * size.in_c * outputs
        + transformed.len(&cut) * if alone { threads } else { 1 }
        + threads
            * if alone {
                region(&cut, size)
            } else {
                let stage = stage::floats(&cut, size.in_c.max(outputs));
                (region(&cut, size) + stage).max(amx::scratch(size.in_c, outputs))
            }
}

/// See [`Kernel::forward`](crate::conv3d::Kernel::forward).
pub(super) fn run(
    context: Context<'_>,
    problem: &Problem<'_>,
    weights: &[f32],
    bias: Option<&[f32]>,
    out: Target<'_>,
    scratch: &mut [f32],
) {
    let size = problem.size();
    let batches = Batches::new(&size);
    let cut = &batches.cut;
    let kernels = cut.frequencies() * size.in_c * batches.outputs;
    let (kernels, scratch) = scratch.split_at_mut(kernels);
    let Target {
        data,
        shape,
        crop,
        accumulate,
        moments,
    } = out;
    let (data, moments) = (Shared::new(data), moments.map(Shared::new));
    let outputs = Outputs {
        cut,
        y: size.output(),
        bias,
        data: &data,
        shape,
        crop,
        accumulate,
        // Not where half of a cache line is written at a time.
        past_caches: !accumulate && shape.len() >= PAST_CACHES && context.isa.lanes() == PANEL,
        moments: moments.as_ref(),
    };
    if batches.alone {
        transform_weights(context, &size, cut, weights, 0..size.out_c, kernels);
        let kernels = &*kernels;
        let tasks = size.n * cut.count();
        context
            .threads
            .for_each_with(scratch, tasks, |block, mine| {
                context.isa.run(Alone {
                    problem,
                    size: &size,
                    outputs,
                    kernels,
                    block,
                    mine,
                });
            });
    } else {
        together(
            context, problem, &size, &batches, weights, outputs, kernels, scratch,
        );
    }
}

/// Batches of blocks, stage by stage.
#[allow(clippy::too_many_arguments, reason = "the other half of `run`")]
fn together(
    context: Context<'_>,
    problem: &Problem<'_>,
    size: &Size,
    batches: &Batches,
    weights: &[f32],
    outputs: Outputs<'_>,
    kernels: &mut [f32],
    scratch: &mut [f32],
) {
    let (cut, in_c) = (&batches.cut, size.in_c);
    let f = cut.frequencies();
    let many = tiles(cut, batches.blocks);
    let inputs = Tiles {
        many,
        channels: in_c,
        chunk: false,
    };
    let (v, scratch) = scratch.split_at_mut(inputs.len(cut));
    let (p, regions) = scratch.split_at_mut(f * many * batches.outputs);
    let all = size.n * cut.count();
    let tiles_of_amx = context.isa.amx().filter(|_| many >= AMX_TILES);
    for o0 in (0..size.out_c).step_by(batches.outputs) {
        let channels = batches.outputs.min(size.out_c - o0);
        let products = Tiles {
            many,
            channels,
            chunk: false,
        };
        let kernels = &mut kernels[..f * in_c * channels];
        transform_weights(context, size, cut, weights, o0..o0 + channels, kernels);
        let kernels = &*kernels;
        for first in (0..all).step_by(batches.blocks) {
            let blocks = batches.blocks.min(all - first);
            let before = cut.tiles_before(first);
            let last = first + blocks - 1;
            let here = cut.tiles_before(last) + cut.block_tiles_at(last) - before;
            // The tiles stay where all blocks are one batch.
            if o0 == 0 || all > batches.blocks {
                let v = Shared::new(&mut v[..]);
                context
                    .threads
                    .for_each_with(regions, blocks, |block, mine| {
                        let (region, stage) = mine.split_at_mut(region(cut, size));
                        context.isa.run(Load {
                            problem,
                            cut,
                            block: first + block,
                            region,
                            stage,
                            v: &v,
                            layout: inputs,
                            tile: cut.tiles_before(first + block) - before,
                        });
                    });
            }
            let v = Shared::new(&mut v[..]);
            let p_len = products.frequency();
            context.threads.for_each_chunk(
                &mut p[..products.len(cut)],
                p_len,
                regions,
                |frequency, p, scratch| {
                    let at = frequency * inputs.frequency();
                    if let Some(amx) = tiles_of_amx {
                        context.isa.run(amx::Frequency {
                            amx,
                            // SAFETY: one task a frequency.
                            v: unsafe { v.part(at..at + inputs.frequency()) },
                            kernels: &kernels[frequency * in_c * channels..][..in_c * channels],
                            p,
                            inputs,
                            products,
                            tiles: here,
                            scratch,
                        });
                        return;
                    }
                    context.isa.run(Frequency {
                        // SAFETY: one task a frequency.
                        v: unsafe { v.part(at..at + inputs.frequency()) },
                        kernels: &kernels[frequency * in_c * channels..][..in_c * channels],
                        p,
                        inputs,
                        products,
                        tiles: here,
                    });
                },
            );
            let p = &*p;
            context
                .threads
                .for_each_with(regions, blocks, |block, stage| {
                    context.isa.run(Back {
                        outputs,
                        block: first + block,
                        p,
                        layout: products,
                        tile: cut.tiles_before(first + block) - before,
                        channels: o0..o0 + channels,
                        stage,
                    });
                });
        }
    }
}

/// `G g` along the three axes of the output channels in `range`:
/// `[frequency][panel][i][PANEL]`.
fn transform_weights(
    context: Context<'_>,
    size: &Size,
    cut: &Cut,
    weights: &[f32],
    range: std::ops::Range<usize>,
    to: &mut [f32],
) {
    // A task is a panel and a stretch of input channels.
    let stretches = size.in_c.div_ceil(CHANNELS);
    let panels = range.len() / PANEL;
    let shared = Shared::new(to);
    context.threads.for_each(panels * stretches, |task| {
        let (panel, i0) = (task / stretches, task % stretches * CHANNELS);
        context.isa.run(Weights {
            size,
            cut,
            weights,
            first: range.start + panel * PANEL,
            channels: i0..(i0 + CHANNELS).min(size.in_c),
            shared: &shared,
            at: panel * size.in_c * PANEL,
            stride: range.len() * size.in_c,
        });
    });
}

/// Input channels whose transformed weights are gathered before they are written:
/// a frequency's are 512 bytes in a row then, not 64.
const TOGETHER: usize = 8;

/// The transform of some input channels' weights to one panel.
struct Weights<'a> {
    size: &'a Size,
    cut: &'a Cut,
    weights: &'a [f32],
    /// First output channel of the panel.
    first: usize,
    channels: std::ops::Range<usize>,
    shared: &'a Shared<'a, f32>,
    /// Offset of the panel, distance of frequencies.
    at: usize,
    stride: usize,
}

impl WithSimd for Weights<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let [kd, kh, kw] = self.size.kernel;
        let ([md, mh, mw], [ad, ah, aw]) = (self.cut.m, self.cut.a);
        let zero = simd.splat_f32s(0.0);
        let mut by_w = Aligned([zero; 9 * MOST]);
        let mut by_h = Aligned([zero; 3 * MOST * MOST]);
        let (by_w, by_h) = (&mut by_w.0, &mut by_h.0);
        let mut gathered = Aligned([0.0; MOST * MOST * MOST * TOGETHER * PANEL]);
        let gathered = &mut gathered.0;
        let last = self.channels.end;
        for i in self.channels {
            let place = i % TOGETHER * PANEL;
            for lane in (0..PANEL).step_by(S::F32_LANES) {
                for dh in 0..kd * kh {
                    let mut taps = [zero; 3];
                    for w in 0..kw {
                        let at = ((dh * kw + w) * self.size.in_c + i) * self.size.out_c;
                        taps[w] = load::<S>(self.weights, at + self.first + lane);
                    }
                    let line = form::weights(simd, mw, taps);
                    by_w[dh * aw..][..aw].copy_from_slice(&line[..aw]);
                }
                for d in 0..kd {
                    for fw in 0..aw {
                        let mut taps = [zero; 3];
                        for h in 0..kh {
                            taps[h] = by_w[(d * kh + h) * aw + fw];
                        }
                        let line = form::weights(simd, mh, taps);
                        for fh in 0..ah {
                            by_h[(d * ah + fh) * aw + fw] = line[fh];
                        }
                    }
                }
                for fhw in 0..ah * aw {
                    let mut taps = [zero; 3];
                    for d in 0..kd {
                        taps[d] = by_h[d * ah * aw + fhw];
                    }
                    let line = form::weights(simd, md, taps);
                    for fd in 0..ad {
                        let at = (fd * ah * aw + fhw) * TOGETHER * PANEL + place + lane;
                        tile::store::<S>(gathered, at, line[fd]);
                    }
                }
            }
            if (i + 1) % TOGETHER == 0 || i + 1 == last {
                let first = i / TOGETHER * TOGETHER;
                let many = (i + 1 - first) * PANEL;
                for (f, from) in gathered
                    .chunks_exact(TOGETHER * PANEL)
                    .take(ad * ah * aw)
                    .enumerate()
                {
                    let at = self.at + f * self.stride + first * PANEL;
                    // SAFETY: tasks differ in their panel or in their channels i.
                    let to = unsafe { self.shared.part(at..at + many) };
                    for lane in (0..many).step_by(S::F32_LANES) {
                        tile::store::<S>(to, lane, load::<S>(from, lane));
                    }
                }
            }
        }
    }
}

/// The products of one frequency.
struct Frequency<'a> {
    /// Those of this frequency, as are the weights and the products.
    v: &'a mut [f32],
    /// `[panel][i][PANEL]`.
    kernels: &'a [f32],
    p: &'a mut [f32],
    inputs: Tiles,
    products: Tiles,
    tiles: usize,
}

impl WithSimd for Frequency<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            v,
            kernels,
            p,
            inputs,
            products,
            tiles,
        } = self;
        // Zeros for the tiles that the last chunk lacks.
        let (in_c, out_c) = (inputs.channels, products.channels);
        v[tiles * in_c..tiles.next_multiple_of(CHUNK_ROWS) * in_c].fill(0.0);
        let mut packed = Aligned([0.0; MOST_CHANNELS * CHUNK_ROWS]);
        for tile in (0..tiles).step_by(CHUNK_ROWS) {
            for i0 in (0..in_c).step_by(MOST_CHANNELS) {
                let k = MOST_CHANNELS.min(in_c - i0);
                for r in 0..CHUNK_ROWS {
                    let row = &v[(tile + r) * in_c + i0..][..k];
                    for i in (0..k).step_by(S::F32_LANES) {
                        let at = i / PANEL * CHUNK + r * PANEL + i % PANEL;
                        tile::store::<S>(&mut packed.0, at, load::<S>(row, i));
                    }
                }
                for o in (0..out_c).step_by(2 * PANEL) {
                    let b = &kernels[o * in_c + i0 * PANEL..];
                    ChunkProduct {
                        a: &packed.0,
                        b,
                        b_panel: in_c * PANEL,
                        panels: 2.min((out_c - o) / PANEL),
                        k,
                        fresh: i0 == 0,
                        c: &mut p[tile * out_c + o..],
                        c_stride: out_c,
                        c_panel: PANEL,
                        next_b: b.as_ptr(),
                    }
                    .run(simd);
                }
            }
        }
    }
}

/// Input channels of a product summed in registers: 256 by twelve tiles are
/// 12 KB, a quarter of a first-level cache.
const MOST_CHANNELS: usize = 256;

/// A block alone, from its input to its outputs.
struct Alone<'a> {
    problem: &'a Problem<'a>,
    size: &'a Size,
    outputs: Outputs<'a>,
    kernels: &'a [f32],
    block: usize,
    mine: &'a mut [f32],
}

impl WithSimd for Alone<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (cut, in_c, out_c) = (self.outputs.cut, self.size.in_c, self.size.out_c);
        let f = cut.frequencies();
        let tiles = cut.block_tiles_at(self.block);
        let at_once = alone_outputs(cut, self.size);
        let inputs = Tiles {
            many: CHUNK_ROWS,
            channels: in_c,
            chunk: true,
        };
        let (v, rest) = self.mine.split_at_mut(inputs.len(cut));
        let (p, region) = rest.split_at_mut(f * CHUNK_ROWS * at_once);
        Load {
            problem: self.problem,
            cut,
            block: self.block,
            region,
            stage: &mut [],
            v: &Shared::new(&mut *v),
            layout: inputs,
            tile: 0,
        }
        .with_simd(simd);
        if tiles < CHUNK_ROWS {
            // Zeros for the tiles that the block lacks.
            for chunk in v.chunks_exact_mut(CHUNK) {
                chunk[tiles * PANEL..].fill(0.0);
            }
        }
        for o in (0..out_c).step_by(at_once) {
            let channels = at_once.min(out_c - o);
            let products = Tiles {
                many: CHUNK_ROWS,
                channels,
                chunk: true,
            };
            let v = v.chunks_exact(inputs.frequency());
            let p_all = p.chunks_exact_mut(products.frequency());
            for (frequency, (a, c)) in v.zip(p_all).enumerate() {
                let b = &self.kernels[(frequency * out_c + o) * in_c..];
                ChunkProduct {
                    a,
                    b,
                    b_panel: in_c * PANEL,
                    panels: channels / PANEL,
                    k: in_c,
                    fresh: true,
                    c,
                    c_stride: PANEL,
                    c_panel: CHUNK,
                    next_b: b.as_ptr().wrapping_add(out_c * in_c),
                }
                .run(simd);
            }
            Back {
                outputs: self.outputs,
                block: self.block,
                p,
                layout: products,
                tile: 0,
                channels: o..o + channels,
                stage: &mut [],
            }
            .with_simd(simd);
        }
    }
}

/// Loads the input of a block and transforms its tiles into `v`, the first as
/// number `tile`.
pub(super) struct Load<'a> {
    pub(super) problem: &'a Problem<'a>,
    pub(super) cut: &'a Cut,
    pub(super) block: usize,
    /// For the loaded voxels.
    pub(super) region: &'a mut [f32],
    /// For the transformed tiles on their way, or empty, see [`Stage`].
    pub(super) stage: &'a mut [f32],
    pub(super) v: &'a Shared<'a, f32>,
    pub(super) layout: Tiles,
    pub(super) tile: usize,
}

impl WithSimd for Load<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            problem,
            cut,
            block,
            region,
            stage,
            v,
            layout,
            tile,
        } = self;
        let (n, first, many) = cut.block_at(block);
        let in_c = problem.input.c();
        let padded = problem.input.padded();
        let start: [usize; 3] = std::array::from_fn(|axis| first[axis] * cut.m[axis]);
        // Voxels of the region, and those of them that are in the (padded) input.
        let extent: [usize; 3] =
            std::array::from_fn(|axis| (many[axis] - 1) * cut.m[axis] + cut.a[axis]);
        let inside: [usize; 3] =
            std::array::from_fn(|axis| extent[axis].min(padded[axis] - start[axis]));
        let mut buffer = Buffer::new(simd);
        let stage = Stage::new(cut, stage, layout, tile);
        for c0 in (0..in_c).step_by(CHANNELS) {
            let channels = CHANNELS.min(in_c - c0);
            let line = extent[2] * channels;
            for d in 0..extent[0] {
                for h in 0..extent[1] {
                    let to = &mut region[(d * extent[1] + h) * line..][..line];
                    if d >= inside[0] || h >= inside[1] {
                        to.fill(0.0);
                        continue;
                    }
                    let at = [start[0] + d, start[1] + h, start[2]];
                    problem
                        .input
                        .load_row(simd, n, at, inside[2], c0, c0 + channels, to);
                    to[inside[2] * channels..].fill(0.0);
                }
            }
            let stride = [extent[1] * line, line, channels];
            for t in 0..many.iter().product() {
                let [d, h, w] = within(many, t);
                let at =
                    d * cut.m[0] * stride[0] + h * cut.m[1] * stride[1] + w * cut.m[2] * stride[2];
                for c in (0..channels).step_by(S::F32_LANES) {
                    let from = Lines { at: at + c, stride };
                    // SAFETY: tasks write different tiles of v, which are read
                    // when all are done.
                    unsafe {
                        let into = stage.place(v, t, c0 + c);
                        tile::input(simd, cut.m, &mut buffer, (region, from), into);
                    }
                }
            }
            // SAFETY: as above.
            unsafe { stage.send::<S>(v, many.iter().product(), c0 + channels) };
        }
    }
}

/// The place of tile `t` of a block of `many` tiles along each axis.
#[inline(always)]
pub(super) fn within(many: [usize; 3], t: usize) -> [usize; 3] {
    [t / (many[1] * many[2]), t / many[2] % many[1], t % many[2]]
}

/// Where the outputs go and what happens to them on the way.
#[derive(Clone, Copy)]
struct Outputs<'a> {
    cut: &'a Cut,
    /// Of the convolution.
    y: Shape,
    bias: Option<&'a [f32]>,
    data: &'a Shared<'a, f32>,
    /// Of `data`.
    shape: Shape,
    crop: [usize; 3],
    accumulate: bool,
    /// Whether outputs go past the caches.
    past_caches: bool,
    moments: Option<&'a Shared<'a, f64>>,
}

/// Transforms a block's products back and writes the outputs.
struct Back<'a> {
    outputs: Outputs<'a>,
    block: usize,
    /// The products by these output channels, the block's from number `tile` on.
    p: &'a [f32],
    layout: Tiles,
    tile: usize,
    channels: std::ops::Range<usize>,
    /// For the products on their way, or empty.
    stage: &'a mut [f32],
}

impl WithSimd for Back<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            outputs,
            block,
            p,
            layout,
            tile,
            channels,
            stage,
        } = self;
        let (cut, y, shape) = (outputs.cut, outputs.y, outputs.shape);
        let (n, first, many) = cut.block_at(block);
        let (c0, width) = (channels.start, channels.len());
        let stride = [
            shape.space[1] * shape.space[2] * shape.c,
            shape.space[2] * shape.c,
            shape.c,
        ];
        // SAFETY: tasks differ in their block or in their channels.
        let moments = outputs.moments.map(|moments| unsafe {
            let start = block * 2 * y.c + c0;
            let sums = moments.part(start..start + width);
            (sums, moments.part(start + y.c..start + y.c + width))
        });
        let mut moments = moments;
        if let Some((sums, squares)) = &mut moments {
            sums.fill(0.0);
            squares.fill(0.0);
        }
        let mut buffer = Buffer::new(simd);
        let stage = Stage::new(cut, stage, layout, tile);
        let (tiles, group) = (many.iter().product(), stage.group());
        for o0 in (0..width).step_by(group) {
            stage.fetch::<S>(p, tiles, o0);
            for t in 0..tiles {
                let place = within(many, t);
                let start: [usize; 3] =
                    std::array::from_fn(|axis| (first[axis] + place[axis]) * cut.m[axis]);
                let inside: [usize; 3] =
                    std::array::from_fn(|axis| cut.m[axis].min(y.space[axis] - start[axis]));
                let place = std::array::from_fn(|axis| start[axis] + outputs.crop[axis]);
                let to = shape.at(n, place) + c0;
                let last = (0..3).map(|axis| (inside[axis] - 1) * stride[axis]);
                assert!(to + last.sum::<usize>() + width <= outputs.data.len());
                for o in (o0..width.min(o0 + group)).step_by(S::F32_LANES) {
                    let zero = simd.splat_f32s(0.0);
                    let mut finish = Finish::<S> {
                        // SAFETY: inside by the assert above.
                        to: unsafe { outputs.data.as_mut_ptr().add(to + o) },
                        stride,
                        inside,
                        bias: match outputs.bias {
                            Some(bias) => load::<S>(bias, c0 + o),
                            None => zero,
                        },
                        accumulate: outputs.accumulate,
                        past_caches: outputs.past_caches,
                        measured: moments.is_some(),
                        pivot: zero,
                        sum: zero,
                        squares: zero,
                    };
                    let from = stage.source(p, t, o);
                    tile::output(simd, cut.m, &mut buffer, from, &mut finish);
                    if let Some((sums, squares)) = &mut moments {
                        let count = inside.iter().product::<usize>() as f64;
                        let lanes = o..o + S::F32_LANES;
                        finish.moments(count, &mut sums[lanes.clone()], &mut squares[lanes]);
                    }
                }
            }
        }
        if outputs.past_caches {
            streamed();
        }
    }
}

/// Writes one vector of channels of one tile's outputs and sums them up.
///
/// The sums are of differences from the first value: in f32, and yet as exact
/// as sums in f64 are where the mean is far from 0.
struct Finish<S: Simd> {
    to: *mut f32,
    stride: [usize; 3],
    /// Outputs that are in the volume.
    inside: [usize; 3],
    bias: S::f32s,
    accumulate: bool,
    past_caches: bool,
    measured: bool,
    pivot: S::f32s,
    sum: S::f32s,
    squares: S::f32s,
}

impl<S: Simd> tile::Sink<S> for Finish<S> {
    #[inline(always)]
    fn put(&mut self, simd: S, [h, w]: [usize; 2], line: [S::f32s; MOST], many: usize) {
        if h >= self.inside[1] || w >= self.inside[2] {
            return;
        }
        let at = h * self.stride[1] + w * self.stride[2];
        if self.measured && h + w == 0 {
            self.pivot = simd.add_f32s(line[0], self.bias);
        }
        for d in 0..many {
            if d < self.inside[0] {
                // SAFETY: `Back` has asserted that the tile is inside the target.
                // Every output voxel belongs to one tile, and tasks differ in
                // their tiles or in their channels.
                let to = unsafe { self.to.add(at + d * self.stride[0]) };
                let mut value = simd.add_f32s(line[d], self.bias);
                if self.accumulate {
                    // SAFETY: as above.
                    value = simd.add_f32s(value, unsafe { to.cast::<S::f32s>().read_unaligned() });
                }
                if self.past_caches {
                    // SAFETY: as above.
                    let to = unsafe { std::slice::from_raw_parts_mut(to, S::F32_LANES) };
                    stream::<S>(to, row_of::<S, 1>(&[value]));
                } else {
                    // SAFETY: as above.
                    unsafe { to.cast::<S::f32s>().write_unaligned(value) };
                }
                if self.measured {
                    let difference = simd.sub_f32s(value, self.pivot);
                    self.sum = simd.add_f32s(self.sum, difference);
                    self.squares =
                        crate::micro::mul_add(simd, difference, difference, self.squares);
                }
            }
        }
    }
}

impl<S: Simd> Finish<S> {
    /// Adds the sums of values and squares of `count` values.
    #[inline(always)]
    fn moments(&self, count: f64, sums: &mut [f64], squares: &mut [f64]) {
        let (pivots, differences) = ([self.pivot], [self.sum]);
        let (pivots, differences) = (row_of::<S, 1>(&pivots), row_of::<S, 1>(&differences));
        let all = [self.squares];
        let all = row_of::<S, 1>(&all);
        for lane in 0..S::F32_LANES {
            let (pivot, sum) = (f64::from(pivots[lane]), f64::from(differences[lane]));
            sums[lane] += sum + count * pivot;
            squares[lane] += f64::from(all[lane]) + pivot * (2.0 * sum + count * pivot);
        }
    }
}
