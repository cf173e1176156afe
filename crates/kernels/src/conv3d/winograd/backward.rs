//! The weight gradient.
//!
//! Where the sums of all frequencies fit the caches of a core, a slab of blocks is one
//! task: two blocks at a time are transformed and multiplied without leaving these
//! caches. Slabs are cut by the problem and added in order.
//!
//! Else a batch of tiles is transformed, input and output gradient, into
//! `[frequency][tile][channel]`; then each frequency adds its outer products to
//! `[frequency][pair of output panels][i][o]`. Both halves are cut by the problem.
//! The sums of a stretch of output channels are transformed back when all batches
//! are in.

#![allow(
    unsafe_code,
    reason = "tiles write to every frequency, which is no contiguous part"
)]

use pulp::{Simd, WithSimd};

use super::cut::Cut;
use super::form::{self, MOST};
use super::forward::{of_batch, tiles};
use super::input::{Load, region};
use super::stage::{self, Stage};
use super::tile::{self, Buffer, Lines, OUTPUTS, Tiles, load, output_at, output_lines};
use crate::conv3d::{Context, Problem, Size};
use crate::micro::{Aligned, CHUNK_ROWS, OuterProduct, PANEL};
use crate::threads::Shared;

/// Floats of the transformed tiles of a batch: 24 MB of a third-level cache.
const BATCH: usize = 6 << 20;
/// Fewest blocks of a batch: below, adding to the sums costs more than the
/// products.
const LEAST_BLOCKS: usize = 4;
/// Floats of the sums of a stretch of output channels: 48 MB.
const SUMS: usize = 12 << 20;

/// Floats of sums of a slab: 4 MB, which a worker reads and writes once for
/// [`SLAB_BLOCKS`] blocks.
const SLAB_SUMS: usize = 1 << 20;
/// Blocks of a slab multiplied at a time. With one the sums pass twice as often, with
/// four the tiles leave the caches too.
const SLAB_BLOCKS: usize = 2;
/// Stretches of output channels up to which slabs are used: for each the input
/// is transformed anew.
const SLAB_STRETCHES: usize = 2;
/// Most slabs: enough for 16 threads.
const SLABS: usize = 16;
/// Tiles whose outer products are summed in registers at a time: 64 rows of 128
/// channels are 32 KB, most of a first-level cache.
const POINTS: usize = 64;

/// How the tiles and the output channels are batched.
struct Batches {
    cut: Cut,
    /// Blocks of a batch.
    blocks: usize,
    /// Output channels of a stretch.
    outputs: usize,
}

/// Slabs of blocks.
struct Slabs {
    cut: Cut,
    /// How many.
    many: usize,
    /// Output channels of a stretch.
    outputs: usize,
}

impl Slabs {
    /// `None` where the sums are too large for them.
    fn new(size: &Size) -> Option<Self> {
        let cut = Cut::new(size, CHUNK_ROWS);
        let most = SLAB_SUMS / (cut.frequencies() * size.in_c) / PANEL * PANEL;
        let stretches = size.out_c.div_ceil(most.max(1));
        (stretches <= SLAB_STRETCHES).then(|| Self {
            cut,
            many: SLABS.min(size.n * cut.count()),
            outputs: most.min(size.out_c),
        })
    }

    /// Floats of the sums of a slab.
    fn sums(&self, size: &Size) -> usize {
        self.cut.frequencies() * size.in_c * self.outputs
    }
}

impl Batches {
    fn new(size: &Size) -> Self {
        let cut = Cut::new(size, CHUNK_ROWS);
        let per_channel = cut.frequencies() * size.in_c;
        let outputs = (SUMS / per_channel / PANEL * PANEL).clamp(PANEL, size.out_c);
        let block = cut.frequencies() * CHUNK_ROWS * (size.in_c + outputs);
        let blocks = of_batch((BATCH / block).max(LEAST_BLOCKS), size.n * cut.count());
        Self {
            cut,
            blocks,
            outputs,
        }
    }
}

/// Floats of scratch memory with `threads` workers.
pub(super) fn scratch(size: &Size, threads: usize) -> usize {
    if let Some(slabs) = Slabs::new(size) {
        let channels = size.in_c + slabs.outputs;
        let blocks = slabs.cut.frequencies() * SLAB_BLOCKS * CHUNK_ROWS * channels;
        return slabs.many * slabs.sums(size) + threads * (blocks + region(&slabs.cut, size));
    }
    let Batches {
        cut,
        blocks,
        outputs,
    } = Batches::new(size);
    let transformed = Tiles {
        many: tiles(&cut, blocks),
        channels: size.in_c + outputs,
        chunk: false,
    };
    let stage = stage::floats(&cut, size.in_c.max(outputs));
    cut.frequencies() * size.in_c * outputs
        + transformed.len(&cut)
        + threads * (region(&cut, size) + stage)
}

/// See [`Kernel::backward_weights`](crate::conv3d::Kernel::backward_weights).
pub(super) fn run(
    context: Context<'_>,
    problem: &Problem<'_>,
    d_out: &[f32],
    d_weights: &mut [f32],
    scratch: &mut [f32],
) {
    let size = problem.size();
    if let Some(slabs) = Slabs::new(&size) {
        for o in (0..size.out_c).step_by(slabs.outputs) {
            let channels = o..(o + slabs.outputs).min(size.out_c);
            in_slabs(
                context, problem, &slabs, channels, d_out, d_weights, scratch,
            );
        }
        return;
    }
    let batches = Batches::new(&size);
    let (cut, in_c) = (&batches.cut, size.in_c);
    let f = cut.frequencies();
    let (sums, scratch) = scratch.split_at_mut(f * in_c * batches.outputs);
    let many = tiles(cut, batches.blocks);
    let inputs = Tiles {
        many,
        channels: in_c,
        chunk: false,
    };
    let (v, scratch) = scratch.split_at_mut(inputs.len(cut));
    let (u, regions) = scratch.split_at_mut(f * many * batches.outputs);
    let all = size.n * cut.count();
    for o0 in (0..size.out_c).step_by(batches.outputs) {
        let outputs = batches.outputs.min(size.out_c - o0);
        let gradients = Tiles {
            many,
            channels: outputs,
            chunk: false,
        };
        let sums = &mut sums[..f * in_c * outputs];
        for first in (0..all).step_by(batches.blocks) {
            let blocks = batches.blocks.min(all - first);
            let before = cut.tiles_before(first);
            let last = first + blocks - 1;
            let here = cut.tiles_before(last) + cut.block_tiles_at(last) - before;
            let (v, u) = (Shared::new(&mut v[..]), Shared::new(&mut u[..]));
            // The input's tiles stay where all blocks are one batch.
            let load = o0 == 0 || all > batches.blocks;
            context
                .threads
                .for_each_with(regions, blocks, |block, mine| {
                    let (region, stage) = mine.split_at_mut(region(cut, &size));
                    let (block, tile) = (first + block, cut.tiles_before(first + block) - before);
                    if load {
                        context.isa.run(Load {
                            problem,
                            cut,
                            block,
                            region,
                            stage,
                            v: &v,
                            layout: inputs,
                            tile,
                        });
                    }
                    context.isa.run(Gradients {
                        size: &size,
                        cut,
                        d_out,
                        block,
                        channels: o0..o0 + outputs,
                        stage,
                        u: &u,
                        layout: gradients,
                        tile,
                    });
                });
            context
                .threads
                .for_each_chunk(sums, in_c * outputs, &mut [], |frequency, c, _| {
                    let (at_v, at_u) = (
                        frequency * inputs.frequency(),
                        frequency * gradients.frequency(),
                    );
                    // SAFETY: one task a frequency.
                    let (v, u) = unsafe {
                        (
                            v.part(at_v..at_v + inputs.frequency()),
                            u.part(at_u..at_u + gradients.frequency()),
                        )
                    };
                    context.isa.run(Frequency {
                        v,
                        u,
                        inputs,
                        gradients,
                        tiles: here,
                        fresh: first == 0,
                        c,
                    });
                });
        }
        let shared = Shared::new(&mut *d_weights);
        context.threads.for_each(in_c, |i| {
            context.isa.run(Back {
                size: &size,
                cut,
                sums,
                i,
                o0,
                outputs,
                shared: &shared,
            });
        });
    }
}

/// Slabs of blocks, each by one worker, for some output channels.
fn in_slabs(
    context: Context<'_>,
    problem: &Problem<'_>,
    slabs: &Slabs,
    channels: std::ops::Range<usize>,
    d_out: &[f32],
    d_weights: &mut [f32],
    scratch: &mut [f32],
) {
    let (size, cut) = (&problem.size(), &slabs.cut);
    let (in_c, outputs) = (size.in_c, channels.len());
    let one = cut.frequencies() * in_c * outputs;
    let (sums, scratch) = scratch.split_at_mut(slabs.many * slabs.sums(size));
    let sums = &mut sums[..slabs.many * one];
    let all = size.n * cut.count();
    let tiles = |channels| Tiles {
        many: SLAB_BLOCKS * CHUNK_ROWS,
        channels,
        chunk: false,
    };
    let (inputs, gradients) = (tiles(in_c), tiles(outputs));
    context
        .threads
        .for_each_chunk(sums, one, scratch, |slab, sums, mine| {
            let (v, rest) = mine.split_at_mut(inputs.len(cut));
            let (u, region) = rest.split_at_mut(gradients.len(cut));
            let blocks = slab * all / slabs.many..(slab + 1) * all / slabs.many;
            for first in blocks.clone().step_by(SLAB_BLOCKS) {
                let before = cut.tiles_before(first);
                let mut here = 0;
                for block in first..blocks.end.min(first + SLAB_BLOCKS) {
                    let tile = cut.tiles_before(block) - before;
                    context.isa.run(Load {
                        problem,
                        cut,
                        block,
                        region,
                        stage: &mut [],
                        v: &Shared::new(&mut *v),
                        layout: inputs,
                        tile,
                    });
                    context.isa.run(Gradients {
                        size,
                        cut,
                        d_out,
                        block,
                        channels: channels.clone(),
                        stage: &mut [],
                        u: &Shared::new(&mut *u),
                        layout: gradients,
                        tile,
                    });
                    here = tile + cut.block_tiles_at(block);
                }
                context.isa.run(Frequencies {
                    v,
                    u,
                    inputs,
                    gradients,
                    tiles: here,
                    fresh: first == blocks.start,
                    sums,
                });
            }
        });
    let (first, others) = sums.split_at_mut(one);
    context
        .threads
        .for_each_chunk(first, in_c * outputs, &mut [], |frequency, sums, _| {
            for other in others.chunks_exact(one) {
                let other = &other[frequency * in_c * outputs..][..in_c * outputs];
                sums.iter_mut()
                    .zip(other)
                    .for_each(|(to, from)| *to += from);
            }
        });
    let shared = Shared::new(d_weights);
    context.threads.for_each(in_c, |i| {
        context.isa.run(Back {
            size,
            cut,
            sums: first,
            i,
            o0: channels.start,
            outputs,
            shared: &shared,
        });
    });
}

/// The outer products of all frequencies of some blocks.
struct Frequencies<'a> {
    v: &'a [f32],
    u: &'a [f32],
    inputs: Tiles,
    gradients: Tiles,
    tiles: usize,
    fresh: bool,
    /// One frequency after the other, in it as [`sum_at`] says.
    sums: &'a mut [f32],
}

impl WithSimd for Frequencies<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let v = self.v.chunks_exact(self.inputs.frequency());
        let u = self.u.chunks_exact(self.gradients.frequency());
        let one = self.inputs.channels * self.gradients.channels;
        for ((v, u), c) in v.zip(u).zip(self.sums.chunks_exact_mut(one)) {
            Frequency {
                v,
                u,
                inputs: self.inputs,
                gradients: self.gradients,
                tiles: self.tiles,
                fresh: self.fresh,
                c,
            }
            .with_simd(simd);
        }
    }
}

/// The output gradients of one block of tiles, transformed into `u`.
struct Gradients<'a> {
    size: &'a Size,
    cut: &'a Cut,
    d_out: &'a [f32],
    block: usize,
    channels: std::ops::Range<usize>,
    /// For the transformed tiles on their way, or empty.
    stage: &'a mut [f32],
    u: &'a Shared<'a, f32>,
    layout: Tiles,
    /// Number of the first tile.
    tile: usize,
}

impl WithSimd for Gradients<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (cut, y) = (self.cut, self.size.output());
        let (n, first, many) = cut.block_at(self.block);
        let stride = [y.space[1] * y.space[2] * y.c, y.space[2] * y.c, y.c];
        let mut buffer = Buffer::new(simd);
        let mut padded = Aligned([0.0f32; OUTPUTS]);
        let padded = &mut padded.0;
        let stage = Stage::new(cut, self.stage, self.layout, self.tile);
        let (tiles, group, width) = (many.iter().product(), stage.group(), self.channels.len());
        for o0 in (0..width).step_by(group) {
            for t in 0..tiles {
                let (start, inside) = cut.outputs_of((first, many), t, y.space);
                for o in (o0..width.min(o0 + group)).step_by(S::F32_LANES) {
                    let from = y.at(n, start) + self.channels.start + o;
                    let gradients = if inside == cut.m {
                        (self.d_out, Lines { at: from, stride })
                    } else {
                        // Zeros where the tile leaves the volume.
                        for zero in (0..OUTPUTS).step_by(S::F32_LANES) {
                            tile::store::<S>(padded, zero, simd.splat_f32s(0.0));
                        }
                        for d in 0..inside[0] {
                            for h in 0..inside[1] {
                                for w in 0..inside[2] {
                                    let at = from + d * stride[0] + h * stride[1] + w * stride[2];
                                    let to = output_at::<S>([d, h, w]);
                                    tile::store::<S>(padded, to, load::<S>(self.d_out, at));
                                }
                            }
                        }
                        (&padded[..], output_lines::<S>())
                    };
                    let into = stage.place(self.u, t, o);
                    // SAFETY: blocks write different tiles of u, which are read
                    // when all are done.
                    unsafe {
                        tile::output_adjoint(simd, cut.m, &mut buffer, gradients, into);
                    }
                }
            }
            // SAFETY: as above.
            unsafe { stage.send::<S>(self.u, tiles, width.min(o0 + group)) };
        }
    }
}

/// The outer products of one frequency.
struct Frequency<'a> {
    /// Tiles of this frequency.
    v: &'a [f32],
    u: &'a [f32],
    inputs: Tiles,
    gradients: Tiles,
    tiles: usize,
    fresh: bool,
    /// See [`sum_at`].
    c: &'a mut [f32],
}

impl WithSimd for Frequency<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            v,
            u,
            inputs,
            gradients,
            tiles,
            fresh,
            c,
        } = self;
        let outputs = gradients.channels;
        for first in (0..tiles).step_by(POINTS) {
            let points = POINTS.min(tiles - first);
            for o in (0..outputs).step_by(2 * PANEL) {
                for i in (0..inputs.channels).step_by(PANEL) {
                    let b = &u[first * outputs + o..];
                    // With the last input panel the next outputs.
                    let ahead = if i + PANEL < inputs.channels {
                        0
                    } else {
                        2 * PANEL
                    };
                    OuterProduct {
                        a: &v[first * inputs.channels + i..],
                        a_stride: inputs.channels,
                        b,
                        b_stride: outputs,
                        b_panel: PANEL,
                        panels: 2.min((outputs - o) / PANEL),
                        points,
                        fresh: fresh && first == 0,
                        c: &mut c[sum_at(inputs.channels, outputs, i, o)..],
                        c_stride: (2 * PANEL).min(outputs - o),
                        next_b: b.as_ptr().wrapping_add(ahead),
                    }
                    .run(simd);
                }
            }
        }
    }
}

/// Where the sum of an input and an output channel is, within a frequency:
/// `[pair of output panels][i][o]`. In this order they are added to, and processors see
/// that coming.
#[inline(always)]
fn sum_at(in_c: usize, out_c: usize, i: usize, o: usize) -> usize {
    let first = o / (2 * PANEL) * (2 * PANEL);
    first * in_c + i * (2 * PANEL).min(out_c - first) + o - first
}

/// `G'` along the three axes for one input channel, added to the weights' gradient.
struct Back<'a> {
    size: &'a Size,
    cut: &'a Cut,
    /// One frequency after the other, in it as [`sum_at`] says.
    sums: &'a [f32],
    i: usize,
    o0: usize,
    outputs: usize,
    shared: &'a Shared<'a, f32>,
}

impl WithSimd for Back<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            size,
            cut,
            sums,
            i,
            o0,
            outputs,
            shared,
        } = self;
        let [kd, kh, kw] = size.kernel;
        let ([md, mh, mw], [ad, ah, aw]) = (cut.m, cut.a);
        let zero = simd.splat_f32s(0.0);
        let mut by_d = Aligned([zero; 3 * MOST * MOST]);
        let mut by_h = Aligned([zero; 9 * MOST]);
        let (by_d, by_h) = (&mut by_d.0, &mut by_h.0);
        for o in (0..outputs).step_by(S::F32_LANES) {
            for fhw in 0..ah * aw {
                let mut line = [zero; MOST];
                for fd in 0..ad {
                    let f = fd * ah * aw + fhw;
                    let at = f * size.in_c * outputs + sum_at(size.in_c, outputs, i, o);
                    line[fd] = load::<S>(sums, at);
                }
                let taps = form::weights_adjoint(simd, md, line);
                for d in 0..kd {
                    by_d[d * ah * aw + fhw] = taps[d];
                }
            }
            for d in 0..kd {
                for fw in 0..aw {
                    let mut line = [zero; MOST];
                    for fh in 0..ah {
                        line[fh] = by_d[(d * ah + fh) * aw + fw];
                    }
                    let taps = form::weights_adjoint(simd, mh, line);
                    for h in 0..kh {
                        by_h[(d * kh + h) * aw + fw] = taps[h];
                    }
                }
            }
            for dh in 0..kd * kh {
                let mut line = [zero; MOST];
                line[..aw].copy_from_slice(&by_h[dh * aw..][..aw]);
                let taps = form::weights_adjoint(simd, mw, line);
                for w in 0..kw {
                    let at = ((dh * kw + w) * size.in_c + i) * size.out_c + o0 + o;
                    // SAFETY: tasks differ in their input channel i.
                    let to = unsafe { shared.part(at..at + S::F32_LANES) };
                    let sum = simd.add_f32s(load::<S>(to, 0), taps[w]);
                    tile::store::<S>(to, 0, sum);
                }
            }
        }
    }
}
