//! The weight gradient.
//!
//! A part is some input by some output channels, whose sums of all frequencies fit the
//! caches of a core. It is one task: two blocks at a time are transformed, input and output
//! gradient, and multiplied without leaving these caches; in the end the sums are
//! transformed back. Where parts are few and blocks many, a task is a slab of blocks of a
//! part, and the sums of its slabs are added in order before that. Parts and slabs are cut
//! by the problem. With many channels a tile is transformed for each part anew, which costs
//! less than to carry tiles, or sums, to memory and back.

#![allow(
    unsafe_code,
    reason = "tiles write to every frequency, which is no contiguous part"
)]

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::cut::Cut;
use super::form::{self, MOST};
use super::input::{Load, region};
use super::tile::{self, Buffer, Lines, OUTPUTS, Tiles, load, output_at, output_lines};
use crate::Context;
use crate::conv3d::{Problem, Size};
use crate::micro::{Aligned, CHUNK_ROWS, OuterProduct, PANEL};
use crate::threads::Shared;

/// Floats of the sums of a part: 4 MB, which a worker reads and writes once for
/// [`BLOCKS`] blocks.
const SUMS: usize = 1 << 20;
/// Blocks multiplied at a time. With one the sums pass twice as often, with four the tiles
/// leave the caches too.
const BLOCKS: usize = 2;
/// Tasks that slabs are cut for, or somewhat more: enough for as many threads.
const TASKS: usize = 16;
/// Blocks that a slab has at least, or nearly: its sums go through memory once.
const SLAB_BLOCKS: usize = 16;
/// Tasks below which parts are made smaller, to [`LEAST`] sums a frequency.
const FEWEST_TASKS: usize = 4;
/// Those of 32 by 32 channels.
const LEAST: usize = 32 * 32;

/// How channels are cut into parts and parts into slabs.
struct Parts {
    cut: Cut,
    /// Channels of a part.
    inputs: usize,
    outputs: usize,
    /// Parts along the input channels, and all.
    along: usize,
    all: usize,
    /// Slabs of a part.
    slabs: usize,
}

/// Channels, in whole panels, of each of as few parts as have at most `most` of `all`.
fn balanced(all: usize, most: usize) -> usize {
    let (all, most) = (all / PANEL, (most / PANEL).max(1));
    all.div_ceil(all.div_ceil(most)) * PANEL
}

impl Parts {
    fn new(size: &Size) -> Self {
        let cut = Cut::of(size);
        let mut room = SUMS / cut.frequencies();
        loop {
            let parts = Self::of(size, cut, room);
            if parts.all * parts.slabs >= FEWEST_TASKS || room / 2 < LEAST {
                return parts;
            }
            room /= 2;
        }
    }

    /// Parts of at most `room` sums a frequency.
    fn of(size: &Size, cut: Cut, room: usize) -> Self {
        // As square as can be: then the fewest tiles are transformed twice.
        let fewer = balanced(size.in_c.min(size.out_c), room.isqrt());
        let more = balanced(size.in_c.max(size.out_c), room / fewer);
        let (inputs, outputs) = if size.in_c <= size.out_c {
            (fewer, more)
        } else {
            (more, fewer)
        };
        let along = size.in_c.div_ceil(inputs);
        let all = along * size.out_c.div_ceil(outputs);
        let most = (size.n * cut.count() / SLAB_BLOCKS).max(1);
        let slabs = TASKS.div_ceil(all).min(most);
        Self {
            cut,
            inputs,
            outputs,
            along,
            all,
            // Tasks in even numbers, as most machines have cores.
            slabs: if slabs > 1 {
                slabs + (all * slabs) % 2
            } else {
                1
            },
        }
    }

    /// Input and output channels of a part.
    fn channels(&self, size: &Size, part: usize) -> [Range<usize>; 2] {
        let (i, o) = (
            part % self.along * self.inputs,
            part / self.along * self.outputs,
        );
        [
            i..size.in_c.min(i + self.inputs),
            o..size.out_c.min(o + self.outputs),
        ]
    }

    /// Floats of the sums of a slab.
    fn sums(&self) -> usize {
        self.cut.frequencies() * self.inputs * self.outputs
    }
}

/// Tiles of blocks that are multiplied at a time.
fn tiles(channels: usize) -> Tiles {
    Tiles {
        many: BLOCKS * CHUNK_ROWS,
        channels,
        chunk: false,
    }
}

/// Floats of scratch memory with `threads` workers.
pub(super) fn scratch(size: &Size, threads: usize) -> usize {
    let parts = Parts::new(size);
    let transformed = tiles(parts.inputs + parts.outputs).len(&parts.cut);
    let sums = if parts.slabs > 1 {
        parts.all * parts.slabs
    } else {
        threads
    };
    sums * parts.sums() + threads * (transformed + region(&parts.cut, size))
}

/// See [`Kernel::backward_weights`](crate::conv3d::Kernel::backward_weights).
pub(super) fn run(
    context: Context<'_>,
    problem: &Problem<'_>,
    d_out: &[f32],
    d_weights: &mut [f32],
    scratch: &mut [f32],
) {
    let size = &problem.size();
    let parts = Parts::new(size);
    let (cut, slabs, one) = (&parts.cut, parts.slabs, parts.sums());
    let sum = |part: usize, slab: usize, sums: &mut [f32], mine: &mut [f32]| {
        let [inputs, outputs] = parts.channels(size, part);
        let all = size.n * cut.count();
        context.isa.run(Slab {
            problem,
            size,
            cut,
            d_out,
            inputs,
            outputs,
            blocks: slab * all / slabs..(slab + 1) * all / slabs,
            sums,
            mine,
        });
    };
    let shared = Shared::new(d_weights);
    let back = |part: usize, i: usize, sums: &[f32]| {
        let [inputs, outputs] = parts.channels(size, part);
        context.isa.run(Back {
            size,
            cut,
            sums,
            inputs,
            i,
            outputs,
            shared: &shared,
        });
    };
    if slabs == 1 {
        context
            .threads
            .for_each_with(scratch, parts.all, |part, mine| {
                let (sums, mine) = mine.split_at_mut(one);
                sum(part, 0, sums, mine);
                for i in 0..parts.channels(size, part)[0].len() {
                    back(part, i, sums);
                }
            });
        return;
    }
    let (sums, scratch) = scratch.split_at_mut(parts.all * slabs * one);
    context
        .threads
        .for_each_chunk(sums, one, scratch, |task, sums, mine| {
            sum(task / slabs, task % slabs, sums, mine);
        });
    for (part, sums) in sums.chunks_exact_mut(slabs * one).enumerate() {
        let [inputs, outputs] = parts.channels(size, part);
        let frequency = inputs.len() * outputs.len();
        let (sums, others) = sums.split_at_mut(one);
        let sums = &mut sums[..cut.frequencies() * frequency];
        context
            .threads
            .for_each_chunk(sums, frequency, &mut [], |number, sums, _| {
                for other in others.chunks_exact(one) {
                    let other = &other[number * frequency..][..frequency];
                    sums.iter_mut()
                        .zip(other)
                        .for_each(|(to, from)| *to += from);
                }
            });
        let sums = &*sums;
        context
            .threads
            .for_each(inputs.len(), |i| back(part, i, sums));
    }
}

/// The sums of some blocks of a part.
struct Slab<'a> {
    problem: &'a Problem<'a>,
    size: &'a Size,
    cut: &'a Cut,
    d_out: &'a [f32],
    inputs: Range<usize>,
    outputs: Range<usize>,
    blocks: Range<usize>,
    sums: &'a mut [f32],
    /// Memory of this worker.
    mine: &'a mut [f32],
}

impl WithSimd for Slab<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let cut = self.cut;
        let (inputs, gradients) = (tiles(self.inputs.len()), tiles(self.outputs.len()));
        let (v, rest) = self.mine.split_at_mut(inputs.len(cut));
        let (u, region) = rest.split_at_mut(gradients.len(cut));
        for first in self.blocks.clone().step_by(BLOCKS) {
            let before = cut.tiles_before(first);
            let mut tiles = 0;
            for block in first..self.blocks.end.min(first + BLOCKS) {
                let tile = cut.tiles_before(block) - before;
                Load {
                    problem: self.problem,
                    cut,
                    block,
                    channels: self.inputs.clone(),
                    region,
                    stage: &mut [],
                    v: &Shared::new(&mut *v),
                    layout: inputs,
                    tile,
                }
                .with_simd(simd);
                Gradients {
                    size: self.size,
                    cut,
                    d_out: self.d_out,
                    block,
                    channels: self.outputs.clone(),
                    u: &Shared::new(&mut *u),
                    layout: gradients,
                    tile,
                }
                .with_simd(simd);
                tiles = tile + cut.block_tiles_at(block);
            }
            Frequencies {
                v,
                u,
                inputs,
                gradients,
                tiles,
                fresh: first == self.blocks.start,
                sums: &mut *self.sums,
            }
            .with_simd(simd);
        }
    }
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
        let (inputs, outputs) = (self.inputs.channels, self.gradients.channels);
        let v = self.v.chunks_exact(self.inputs.frequency());
        let u = self.u.chunks_exact(self.gradients.frequency());
        for ((v, u), c) in v.zip(u).zip(self.sums.chunks_exact_mut(inputs * outputs)) {
            for o in (0..outputs).step_by(2 * PANEL) {
                for i in (0..inputs).step_by(PANEL) {
                    // With the last input panel the next outputs.
                    let ahead = if i + PANEL < inputs { 0 } else { 2 * PANEL };
                    OuterProduct {
                        a: &v[i..],
                        a_stride: inputs,
                        b: &u[o..],
                        b_stride: outputs,
                        b_panel: PANEL,
                        panels: 2.min((outputs - o) / PANEL),
                        points: self.tiles,
                        fresh: self.fresh,
                        c: &mut c[sum_at(inputs, outputs, i, o)..],
                        c_stride: (2 * PANEL).min(outputs - o),
                        next_b: u[o..].as_ptr().wrapping_add(ahead),
                    }
                    .run(simd);
                }
            }
        }
    }
}

/// The output gradients of one block of tiles, transformed into `u`.
struct Gradients<'a> {
    size: &'a Size,
    cut: &'a Cut,
    d_out: &'a [f32],
    block: usize,
    channels: Range<usize>,
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
        for t in 0..many.iter().product() {
            let (start, inside) = cut.outputs_of((first, many), t, y.space);
            for o in (0..self.channels.len()).step_by(S::F32_LANES) {
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
                let into = self.layout.lines(cut, self.tile + t, o);
                // SAFETY: u is this task's alone.
                unsafe {
                    tile::output_adjoint(simd, cut.m, &mut buffer, gradients, (self.u, into));
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
    inputs: Range<usize>,
    /// Among these.
    i: usize,
    outputs: Range<usize>,
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
            inputs,
            i,
            outputs,
            shared,
        } = self;
        let (many, width) = (inputs.len(), outputs.len());
        let [kd, kh, kw] = size.kernel;
        let ([md, mh, mw], [ad, ah, aw]) = (cut.m, cut.a);
        let zero = simd.splat_f32s(0.0);
        let mut by_d = Aligned([zero; 3 * MOST * MOST]);
        let mut by_h = Aligned([zero; 9 * MOST]);
        let (by_d, by_h) = (&mut by_d.0, &mut by_h.0);
        for o in (0..width).step_by(S::F32_LANES) {
            for fhw in 0..ah * aw {
                let mut line = [zero; MOST];
                for fd in 0..ad {
                    let f = fd * ah * aw + fhw;
                    let at = f * many * width + sum_at(many, width, i, o);
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
                    let place = (dh * kw + w) * size.in_c + inputs.start + i;
                    let at = place * size.out_c + outputs.start + o;
                    // SAFETY: tasks differ in their part or in their input channel i.
                    let to = unsafe { shared.part(at..at + S::F32_LANES) };
                    let sum = simd.add_f32s(load::<S>(to, 0), taps[w]);
                    tile::store::<S>(to, 0, sum);
                }
            }
        }
    }
}
