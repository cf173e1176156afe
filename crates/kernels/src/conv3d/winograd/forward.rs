//! The forward pass, and with flipped weights the input gradient.
//!
//! Two schedules. Alone, a task takes a block of tiles through everything and its
//! transformed input stays in the caches of one core, which reads all transformed weights
//! for it. Together, where there are too few blocks for the workers, or too many workers
//! for the memory that the weights come from, a batch of blocks goes through each stage:
//! transformed by all workers, multiplied frequency by frequency (so that a frequency's
//! weights are read once for a hundred tiles instead of for twelve), transformed back by
//! all workers. `stage.rs` says how its tiles get from one stage to the next. Both add in
//! one order, to the same bits.

#![allow(
    unsafe_code,
    reason = "a frequency of a batch is read by one task of many"
)]

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::back::{Back, Outputs, Pools};
use super::cut::Cut;
use super::input::{Load, region};
use super::stage;
use super::tile::{self, Tiles, load};
use super::weights::transform_weights;
use crate::Context;
use crate::conv3d::{Problem, Size};
use crate::micro::{Aligned, CHUNK, CHUNK_ROWS, ChunkProduct, PANEL, PAST_CACHES};
use crate::pool3d;
use crate::threads::Shared;
use crate::view::Target;

/// Floats of transformed weights up to which blocks always go through alone: 2 MB, what a
/// second-level cache or a fast third-level one gives again and again.
const SMALL_WEIGHTS: usize = 512 << 10;
/// Floats up to which any number of workers may read them block after block: 16 MB, which
/// a third-level cache keeps.
const SHARED_WEIGHTS: usize = 4 << 20;
/// Workers that may each read larger ones from memory.
const READERS: usize = 4;
/// Floats of transformed tiles and products up to which a block alone stays within half
/// of a second-level cache of 2 MB; decides between one and two panels of products.
const ALONE: usize = 224 << 10;
/// Floats of transformed tiles and products of a batch: 24 MB of a third-level
/// cache.
const BATCH: usize = 6 << 20;
/// Fewest blocks of a batch: below, reading the weights costs more than the
/// products.
const LEAST_BLOCKS: usize = 4;
/// Floats of transformed weights up to which output channels are not taken in
/// stretches where blocks go through alone: 96 MB. For each stretch the input is
/// transformed anew.
const READ_WEIGHTS: usize = 24 << 20;
/// The same where they go together: 48 MB.
const WEIGHTS: usize = 12 << 20;
/// Floats of the transformed weights of a stretch where they go together: 24 MB, which a
/// third-level cache keeps until they are used.
const STRETCH: usize = 6 << 20;

/// Part of input and output that the transformed weights of a stretch may take where
/// that is more: with many tiles it costs more to transform them again than to read
/// weights from memory.
const BESIDE: usize = 4;

/// How tiles and output channels are batched.
struct Batches {
    cut: Cut,
    alone: bool,
    /// Blocks of a batch.
    blocks: usize,
    /// Output channels of a stretch.
    outputs: usize,
}

impl Batches {
    /// With `threads` workers, who change the schedule and not the results.
    fn new(size: &Size, cut: Cut, threads: usize) -> Self {
        let f = cut.frequencies();
        let all = f * size.in_c * size.out_c;
        // Beside a large input and output larger weights hardly count.
        let voxels = |space: [usize; 3]| size.n * space.iter().product::<usize>();
        let tensors = voxels(size.padded) * size.in_c + voxels(size.output().space) * size.out_c;
        let room = tensors / BESIDE;
        // Channels of a stretch: all, or in pairs of panels, as they are multiplied.
        let stretch = |most: usize, of: usize| {
            if all <= most.max(room) {
                return size.out_c;
            }
            let panels = (size.out_c / PANEL).div_ceil(all.div_ceil(of.max(room)));
            panels.next_multiple_of(2).min(size.out_c / PANEL) * PANEL
        };
        let tasks = size.n * cut.count();
        // At most a fifth of the workers' time may be waiting for the last.
        let even = tasks.next_multiple_of(threads) * 4 <= tasks * 5;
        let readable = threads <= READERS || all <= SHARED_WEIGHTS;
        if all <= SMALL_WEIGHTS || (even && readable) {
            let outputs = stretch(READ_WEIGHTS, READ_WEIGHTS);
            return Self {
                cut,
                alone: true,
                blocks: 1,
                outputs,
            };
        }
        let outputs = stretch(WEIGHTS, STRETCH);
        let block = f * cut.block_tiles() * (size.in_c + outputs);
        let blocks = of_batch((BATCH / block).max(LEAST_BLOCKS), tasks);
        Self {
            cut,
            alone: false,
            blocks,
            outputs,
        }
    }
}

/// Blocks of a batch that has room for `most`: all, or an even number, as of nine one
/// worker of two would take five while the other waits.
fn of_batch(most: usize, all: usize) -> usize {
    if most < all { most - most % 2 } else { all }
}

/// Output channels multiplied at a time by a block alone: two panels, as suits the
/// register tile, or one where it is that one which lets the block stay in its cache.
fn alone_outputs(cut: &Cut, size: &Size) -> usize {
    let with = |panels: usize| cut.frequencies() * CHUNK_ROWS * (size.in_c + panels * PANEL);
    let one = with(1) <= ALONE && with(2) > ALONE;
    (if one { 1 } else { 2 } * PANEL).min(size.out_c)
}

/// Tiles in all blocks of a batch, rounded up to whole chunks.
fn tiles(cut: &Cut, blocks: usize) -> usize {
    (blocks * cut.block_tiles()).next_multiple_of(CHUNK_ROWS)
}

/// Floats of scratch memory with `threads` workers: never less than with fewer, though
/// four that go alone may need more than five together.
pub(super) fn scratch(size: &Size, threads: usize) -> usize {
    let cut = Cut::of(size);
    (1..=threads)
        .map(|threads| floats(size, cut, threads))
        .max()
        .unwrap_or(0)
}

/// What exactly so many workers need.
fn floats(size: &Size, cut: Cut, threads: usize) -> usize {
    let Batches {
        alone,
        blocks,
        outputs,
        ..
    } = Batches::new(size, cut, threads);
    let at_once = if alone {
        alone_outputs(&cut, size).min(outputs)
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
                region(&cut, size) + stage::floats(&cut, size.in_c.max(outputs))
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
    let batches = Batches::new(&size, Cut::of(&size), context.threads.count());
    let cut = &batches.cut;
    let kernels = cut.frequencies() * size.in_c * batches.outputs;
    let (kernels, scratch) = scratch.split_at_mut(kernels);
    let Target {
        data,
        shape,
        crop,
        accumulate,
        moments,
        kept,
        pooled,
    } = out;
    let y = size.output();
    assert!(
        (0..3).all(|axis| {
            let at_tiles = |at: usize| at >= y.space[axis] || at.is_multiple_of(cut.m[axis]);
            at_tiles(kept.start[axis]) && at_tiles(kept.end[axis])
        }),
        "{kept:?} of {y:?} in tiles of {:?}",
        cut.m
    );
    let (data, moments) = (Shared::new(data), moments.map(Shared::new));
    let pooled = pooled.map(|pooled| (Shared::new(pooled.data), pooled.window, pooled.scale));
    let outputs = Outputs {
        cut,
        y,
        bias,
        data: &data,
        shape,
        crop,
        accumulate,
        // Not where half of a cache line is written at a time.
        past_caches: !accumulate && shape.len() >= PAST_CACHES && context.isa.lanes() == PANEL,
        moments: moments.as_ref(),
        kept,
        pooled: pooled.as_ref().map(|(data, window, scale)| Pools {
            data,
            shape: pool3d::output(y, *window),
            shift: window.map(|extent| extent - 1),
            scale: *scale,
        }),
    };
    if batches.alone {
        for o0 in (0..size.out_c).step_by(batches.outputs) {
            let channels = o0..size.out_c.min(o0 + batches.outputs);
            let kernels = &mut kernels[..cut.frequencies() * size.in_c * channels.len()];
            transform_weights(context, &size, cut, weights, channels.clone(), kernels);
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
                        channels: channels.clone(),
                        block,
                        mine,
                    });
                });
        }
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
                            channels: 0..in_c,
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
                &mut [],
                |frequency, p, _| {
                    let at = frequency * inputs.frequency();
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
    /// Transformed, of these output channels.
    kernels: &'a [f32],
    channels: Range<usize>,
    block: usize,
    mine: &'a mut [f32],
}

impl WithSimd for Alone<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (cut, in_c, out_c) = (self.outputs.cut, self.size.in_c, self.channels.len());
        let f = cut.frequencies();
        let tiles = cut.block_tiles_at(self.block);
        let at_once = alone_outputs(cut, self.size).min(out_c);
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
            channels: 0..in_c,
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
                channels: self.channels.start + o..self.channels.start + o + channels,
                stage: &mut [],
            }
            .with_simd(simd);
        }
    }
}
