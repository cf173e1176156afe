//! The weight gradient.
//!
//! A batch of tiles is transformed, input and output gradient, into
//! `[frequency][tile][channel]`; then each frequency adds its outer products to
//! `[frequency][i][o]`. Both halves are cut by the problem. The sums of a
//! stretch of output channels are transformed back when all batches are in.

#![allow(
    unsafe_code,
    reason = "tiles write to every frequency, which is no contiguous part"
)]

use pulp::{Simd, WithSimd};

use super::cut::Cut;
use super::form;
use super::forward::{Rows, transform_input};
use super::tile::{Common, Lines, output_adjoint, with_forms};
use crate::conv3d::{Context, Problem, Size};
use crate::micro::{PANEL, accumulate_outer, by_panel, by_rows, row_from, row_of};
use crate::threads::Shared;

/// Tiles transformed by one task.
const BLOCK: usize = 12;
/// Floats of the transformed tiles of a batch: 16 MB, half of a third-level
/// cache of 32 MB.
const BATCH: usize = 4 << 20;
/// Fewest tiles of a batch: below, adding to the sums costs more than the
/// products.
const LEAST_TILES: usize = 48;
/// Floats of the sums of a stretch of output channels: 32 MB.
const SUMS: usize = 8 << 20;

/// How the tiles and the output channels are batched.
struct Batches {
    cut: Cut,
    /// Blocks of a batch.
    blocks: usize,
    /// Output channels of a stretch.
    outputs: usize,
}

impl Batches {
    fn new(size: &Size) -> Self {
        let cut = Cut::new(size, BLOCK);
        let per_channel = cut.frequencies() * size.in_c;
        let outputs = (SUMS / per_channel / PANEL * PANEL).clamp(PANEL, size.out_c);
        let tile = cut.frequencies() * (size.in_c + outputs);
        let tiles = (BATCH / tile).max(LEAST_TILES);
        let blocks = tiles.div_ceil(cut.block_tiles()).min(size.n * cut.count());
        Self {
            cut,
            blocks,
            outputs,
        }
    }

    fn tiles(&self) -> usize {
        self.blocks * self.cut.block_tiles()
    }
}

/// Floats of scratch memory with `threads` workers.
pub(super) fn scratch(size: &Size, threads: usize) -> usize {
    let batches = Batches::new(size);
    let f = batches.cut.frequencies();
    let region = batches.cut.region().iter().product::<usize>() * size.in_c.min(32);
    f * size.in_c * batches.outputs
        + f * batches.tiles() * (size.in_c + batches.outputs)
        + threads * region
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
    let batches = Batches::new(&size);
    let cut = &batches.cut;
    let (f, tiles) = (cut.frequencies(), batches.tiles());
    let (sums, scratch) = scratch.split_at_mut(f * size.in_c * batches.outputs);
    let (v, scratch) = scratch.split_at_mut(f * tiles * size.in_c);
    let (u, scratch) = scratch.split_at_mut(f * tiles * batches.outputs);
    let all = size.n * cut.count();
    for o0 in (0..size.out_c).step_by(batches.outputs) {
        let outputs = batches.outputs.min(size.out_c - o0);
        let sums = &mut sums[..f * size.in_c * outputs];
        for first in (0..all).step_by(batches.blocks) {
            let blocks = batches.blocks.min(all - first);
            let mut starts = 0;
            // Tiles of the blocks before each one, in order.
            let before: Vec<usize> = (first..first + blocks)
                .map(|block| {
                    let here = starts;
                    starts += cut.block_at(block).2.iter().product::<usize>();
                    here
                })
                .collect();
            let tiles = starts;
            {
                let (v, u) = (Shared::new(v), Shared::new(u));
                context
                    .threads
                    .for_each_with(scratch, blocks, |block, region| {
                        context.isa.run(Transform {
                            problem,
                            size: &size,
                            cut,
                            d_out,
                            block: first + block,
                            tile: before[block],
                            tiles,
                            o0,
                            outputs,
                            v: &v,
                            u: &u,
                            region,
                        });
                    });
            }
            let (v, u) = (&*v, &*u);
            let one = size.in_c * outputs;
            context.threads.for_each_part(
                sums,
                &mut [],
                f,
                |f| f * one..(f + 1) * one,
                |f, part, _| {
                    context.isa.run(Outer {
                        v: &v[f * tiles * size.in_c..][..tiles * size.in_c],
                        u: &u[f * tiles * outputs..][..tiles * outputs],
                        in_c: size.in_c,
                        outputs,
                        tiles,
                        fresh: first == 0,
                        part,
                    });
                },
            );
        }
        let shared = Shared::new(d_weights);
        context.threads.for_each(size.in_c, |i| {
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

/// One block of tiles: the input to `v`, the output gradient to `u`.
struct Transform<'a> {
    problem: &'a Problem<'a>,
    size: &'a Size,
    cut: &'a Cut,
    d_out: &'a [f32],
    block: usize,
    tile: usize,
    tiles: usize,
    o0: usize,
    outputs: usize,
    v: &'a Shared<'a, f32>,
    u: &'a Shared<'a, f32>,
    region: &'a mut [f32],
}

impl WithSimd for Transform<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            problem,
            size,
            cut,
            d_out,
            block,
            tile,
            tiles,
            o0,
            outputs,
            v,
            u,
            region,
        } = self;
        let (n, first, many) = cut.block_at(block);
        let (in_c, y) = (size.in_c, size.output());
        // SAFETY: blocks write different tiles of v and of u, which are read when
        // all are done.
        let (mut v, mut u) = unsafe { (Common::new(v), Common::new(u)) };
        let rows = Rows {
            stride: tiles * in_c,
            per_tile: in_c,
        };
        transform_input(
            simd, problem, cut, n, first, many, region, &mut v, rows, tile,
        );
        let rows = Rows {
            stride: tiles * outputs,
            per_tile: outputs,
        };
        let mut t = tile;
        for d in 0..many[0] {
            for h in 0..many[1] {
                for w in 0..many[2] {
                    let at = [first[0] + d, first[1] + h, first[2] + w];
                    let start: [usize; 3] = std::array::from_fn(|axis| at[axis] * cut.m[axis]);
                    let inside =
                        std::array::from_fn(|axis| cut.m[axis].min(y.space[axis] - start[axis]));
                    let stride = [y.space[1] * y.space[2] * y.c, y.space[2] * y.c, y.c];
                    for o in (0..outputs).step_by(S::F32_LANES) {
                        let from = Lines {
                            at: y.at(n, start) + o0 + o,
                            stride,
                        };
                        let into = rows.lines(cut, t, o);
                        with_forms!(
                            cut,
                            output_adjoint::<S>(simd, cut, inside, d_out, from, &mut u, into)
                        );
                    }
                    t += 1;
                }
            }
        }
    }
}

/// The outer products of one frequency: `part[i][o] += sum over tiles of v * u`.
struct Outer<'a> {
    v: &'a [f32],
    u: &'a [f32],
    in_c: usize,
    outputs: usize,
    tiles: usize,
    fresh: bool,
    part: &'a mut [f32],
}

by_panel!(Outer);

impl Outer<'_> {
    #[inline(always)]
    fn run<S: Simd, const V: usize>(mut self, simd: S) {
        for o in (0..self.outputs).step_by(PANEL) {
            let mut i = 0;
            while i < self.in_c {
                i += by_rows!(self.in_c - i, M => self.tile::<S, M, V>(simd, i, o));
            }
        }
    }

    #[inline(always)]
    fn tile<S: Simd, const M: usize, const V: usize>(
        &mut self,
        simd: S,
        i: usize,
        o: usize,
    ) -> usize {
        let mut acc = [[simd.splat_f32s(0.0); V]; M];
        if !self.fresh {
            for (m, row) in acc.iter_mut().enumerate() {
                *row = row_from::<S, V>(&self.part[(i + m) * self.outputs + o..]);
            }
        }
        let (v, u) = ((&self.v[i..], self.in_c), (&self.u[o..], self.outputs));
        accumulate_outer::<S, M, V>(simd, &mut acc, v, u, self.tiles);
        for (m, row) in acc.iter().enumerate() {
            self.part[(i + m) * self.outputs + o..][..PANEL].copy_from_slice(row_of::<S, V>(row));
        }
        M
    }
}

/// `G'` along the three axes for one input channel, added to the weights' gradient.
struct Back<'a> {
    size: &'a Size,
    cut: &'a Cut,
    /// `[frequency][i][o]`.
    sums: &'a [f32],
    i: usize,
    o0: usize,
    outputs: usize,
    shared: &'a Shared<'a, f32>,
}

impl WithSimd for Back<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
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
        let [ad, ah, aw] = cut.a;
        let rows = cut.m.map(form::kernel);
        for o in (0..outputs).step_by(PANEL) {
            let mut by_d = [[0.0f32; PANEL]; 3 * form::MOST * form::MOST];
            for fd in 0..ad {
                for fhw in 0..ah * aw {
                    let from =
                        &sums[((fd * ah * aw + fhw) * size.in_c + i) * outputs + o..][..PANEL];
                    for d in 0..kd {
                        let to = &mut by_d[d * ah * aw + fhw];
                        for lane in 0..PANEL {
                            to[lane] += rows[0][fd][d] * from[lane];
                        }
                    }
                }
            }
            let mut by_h = [[0.0f32; PANEL]; 9 * form::MOST];
            for d in 0..kd {
                for fh in 0..ah {
                    for fw in 0..aw {
                        for h in 0..kh {
                            let to = &mut by_h[(d * kh + h) * aw + fw];
                            for lane in 0..PANEL {
                                to[lane] += rows[1][fh][h] * by_d[(d * ah + fh) * aw + fw][lane];
                            }
                        }
                    }
                }
            }
            for dh in 0..kd * kh {
                for w in 0..kw {
                    let at = ((dh * kw + w) * size.in_c + i) * size.out_c + o0 + o;
                    // SAFETY: tasks differ in their input channel i.
                    let to = unsafe { shared.part(at..at + PANEL) };
                    for fw in 0..aw {
                        for lane in 0..PANEL {
                            to[lane] += rows[2][fw][w] * by_h[dh * aw + fw][lane];
                        }
                    }
                }
            }
        }
    }
}
