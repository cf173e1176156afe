//! Direct convolution on register tiles.
//!
//! Forward: a task is a few rows of one output plane. The input rows that it
//! needs are loaded (transformed, padded, `I_BLOCK` channels at a time) into
//! scratch that stays in the second-level cache; then for each block of
//! `PANEL` output channels, six neighbouring voxels (twelve with AVX-512) by 16
//! channels are kept in registers over all taps. In a row the taps along w and the channels lie
//! side by side, so the innermost loop runs over `kw * i` without a break.
//!
//! Weight gradient: a task is a block of input channels and a slab of output
//! rows; six input channels (or twelve) by 16 output channels are kept in registers over
//! the rows loaded. Slabs are cut by the problem and summed in order, so the
//! bits do not depend on the number of threads.

#![allow(
    unsafe_code,
    reason = "tasks write sums beside their part of the output"
)]

use pulp::Simd;

use super::sums::add_row;
use super::{Kernel, Problem, Size};
use crate::Context;
use crate::micro::{
    CHUNK_ROWS, OuterTile, PANEL, accumulate, by_panel, by_rows, row_from, row_of, twice_the_rows,
};
use crate::threads::{LINE, Shared};
use crate::view::{Region, Target};

/// Input channels loaded at a time: 27 taps x 64 x 16 floats of weights are
/// 110 KB, a tenth of the second-level cache of current machines.
const I_BLOCK: usize = 64;
/// Floats of loaded input of one task: 256 KB, a quarter of that cache.
const ROWS_BUDGET: usize = 64 * 1024;
/// Input channels of a weight-gradient task: four full register tiles and a
/// third, and few enough that 32 to 64 channels give one block.
const OUTER_BLOCK: usize = 48;
/// Tasks of a weight gradient aimed at: enough for 16 threads.
const OUTER_TASKS: usize = 16;

/// Direct convolution; any size.
pub struct Direct;

/// How a size is cut.
struct Cut {
    /// Padded width of the input.
    width: usize,
    /// Output rows of a task.
    rows: usize,
    /// Tasks of one plane.
    per_plane: usize,
    /// Output channels rounded up to panels.
    out_padded: usize,
}

impl Cut {
    fn new(size: &Size, i_block: usize) -> Self {
        let width = size.padded[2];
        let row = size.kernel[0] * width * i_block.min(size.in_c);
        let out_rows = size.output().space[1].max(1);
        let fit = (ROWS_BUDGET / row.max(1)).saturating_sub(size.kernel[1] - 1);
        let per_plane = out_rows.div_ceil(fit.clamp(1, 16)); // 16 rows leave tasks for many threads
        Self {
            width,
            rows: out_rows.div_ceil(per_plane),
            per_plane,
            out_padded: size.out_c.next_multiple_of(PANEL),
        }
    }

    /// Output rows of task `t` of a plane.
    fn rows_of(&self, size: &Size, t: usize) -> std::ops::Range<usize> {
        let all = size.output().space[1];
        (t * self.rows).min(all)..((t + 1) * self.rows).min(all)
    }

    fn loaded(&self, size: &Size, i_block: usize) -> usize {
        size.kernel[0] * (self.rows + size.kernel[1] - 1) * self.width * i_block.min(size.in_c)
    }
}

/// Slabs of output planes of a weight gradient and blocks of input channels.
fn outer_cut(size: &Size) -> (usize, usize) {
    let blocks = size.in_c.div_ceil(OUTER_BLOCK);
    let planes = size.n * size.output().space[0];
    (OUTER_TASKS.div_ceil(blocks).min(planes).max(1), blocks)
}

impl Kernel for Direct {
    fn name(&self) -> &'static str {
        "direct"
    }

    fn supports(&self, _: &Size) -> bool {
        true
    }

    fn growth(&self, _: &Size) -> f32 {
        1.0
    }

    fn scratch(&self, size: &Size, threads: usize) -> usize {
        let cut = Cut::new(size, I_BLOCK);
        let forward = size.taps() * size.in_c * cut.out_padded
            + threads * cut.loaded(size, I_BLOCK).next_multiple_of(LINE);
        let outer = Cut::new(size, OUTER_BLOCK);
        let dy = outer.rows * size.output().space[2] * outer.out_padded;
        let backward = outer_cut(size).0 * size.weights()
            + threads * (outer.loaded(size, OUTER_BLOCK) + dy).next_multiple_of(LINE);
        forward.max(backward)
    }

    fn parts(&self, size: &Size) -> usize {
        size.output().space[0] * Cut::new(size, I_BLOCK).per_plane
    }

    fn forward(
        &self,
        context: Context<'_>,
        problem: &Problem<'_>,
        weights: &[f32],
        bias: Option<&[f32]>,
        out: Target<'_>,
        scratch: &mut [f32],
    ) {
        let size = problem.size();
        let cut = Cut::new(&size, I_BLOCK);
        let (packed, scratch) = scratch.split_at_mut(size.taps() * size.in_c * cut.out_padded);
        pack(context, &size, weights, cut.out_padded, packed);
        let packed = &*packed;

        let y = size.output();
        let Target {
            data,
            shape,
            crop,
            accumulate,
            moments,
            kept,
            pooled,
        } = out;
        assert!(pooled.is_none(), "this kernel does not pool");
        assert_eq!(kept, Region::all(y), "this kernel keeps all");
        let moments = moments.map(Shared::new);
        let row = shape.space[2] * shape.c;
        let place = |task: usize| {
            let (plane, t) = (task / cut.per_plane, task % cut.per_plane);
            (plane / y.space[0], plane % y.space[0], t)
        };
        context.threads.for_each_part(
            data,
            scratch,
            y.n * y.space[0] * cut.per_plane,
            |task| {
                let (n, d, t) = place(task);
                let rows = cut.rows_of(&size, t);
                let start = shape.at(n, [d + crop[0], rows.start + crop[1], 0]);
                start..start + rows.len() * row
            },
            |task, part, loaded| {
                let (n, d, t) = place(task);
                let rows = cut.rows_of(&size, t);
                // SAFETY: every task has its own part.
                let moments = moments
                    .as_ref()
                    .map(|m| unsafe { m.part(task * 2 * y.c..(task + 1) * 2 * y.c) });
                if rows.is_empty() {
                    moments.into_iter().for_each(|moments| moments.fill(0.0));
                } else {
                    context.isa.run(Forward {
                        moments,
                        problem,
                        size: &size,
                        packed,
                        bias,
                        n,
                        d,
                        rows,
                        part,
                        row,
                        crop_w: crop[2],
                        c: shape.c,
                        accumulate,
                        loaded,
                        out_padded: cut.out_padded,
                    });
                }
            },
        );
    }

    fn backward_weights(
        &self,
        context: Context<'_>,
        problem: &Problem<'_>,
        d_out: &[f32],
        d_weights: &mut [f32],
        scratch: &mut [f32],
    ) {
        let size = problem.size();
        let cut = Cut::new(&size, OUTER_BLOCK);
        let (slabs, blocks) = outer_cut(&size);
        let planes = size.n * size.output().space[0];
        let (sums, scratch) = scratch.split_at_mut(slabs * size.weights());
        // A part is one block's weights of one slab: taps x channels x outputs.
        let block =
            |b: usize| (b * OUTER_BLOCK).min(size.in_c)..((b + 1) * OUTER_BLOCK).min(size.in_c);
        let range = |task: usize| {
            let (slab, i) = (task / blocks, block(task % blocks));
            let start = slab * size.weights();
            let per_channel = size.taps() * size.out_c;
            start + i.start * per_channel..start + i.end * per_channel
        };
        context.threads.for_each_part(
            sums,
            scratch,
            slabs * blocks,
            range,
            |task, part, loaded| {
                let slab = task / blocks;
                context.isa.run(Outer {
                    problem,
                    size: &size,
                    cut: &cut,
                    d_out,
                    channels: block(task % blocks),
                    planes: slab * planes / slabs..(slab + 1) * planes / slabs,
                    part,
                    loaded,
                });
            },
        );
        // d_weights[tap][i][o] += the slabs' sums in order.
        let sums = &*sums;
        let one = size.in_c * size.out_c;
        context.threads.for_each_part(
            &mut d_weights[..size.weights()],
            &mut [],
            size.taps(),
            |tap| tap * one..(tap + 1) * one,
            |tap, part, _| {
                for slab in 0..slabs {
                    for b in 0..blocks {
                        let i = block(b);
                        let start = slab * size.weights() + i.start * size.taps() * size.out_c;
                        let many = i.len() * size.out_c;
                        let from = &sums[start + tap * many..][..many];
                        for (to, from) in part[i.start * size.out_c..].iter_mut().zip(from) {
                            *to += from;
                        }
                    }
                }
            },
        );
    }
}

/// Weights as `[i block][o block][tap][i][PANEL]`, zeros where `o` ends.
fn pack(context: Context<'_>, size: &Size, weights: &[f32], out_padded: usize, packed: &mut [f32]) {
    let panels = out_padded / PANEL;
    let i_blocks = size.in_c.div_ceil(I_BLOCK);
    let channels = |b: usize| b * I_BLOCK..((b + 1) * I_BLOCK).min(size.in_c);
    context.threads.for_each_part(
        packed,
        &mut [],
        i_blocks * panels,
        |task| {
            let i = channels(task / panels);
            let start = size.taps() * (i.start * out_padded + (task % panels) * i.len() * PANEL);
            start..start + size.taps() * i.len() * PANEL
        },
        |task, part, _| {
            let (i, o) = (channels(task / panels), (task % panels) * PANEL);
            let many = PANEL.min(size.out_c - o);
            for (k, to) in part.chunks_exact_mut(PANEL).enumerate() {
                let (tap, i) = (k / i.len(), i.start + k % i.len());
                to[..many]
                    .copy_from_slice(&weights[(tap * size.in_c + i) * size.out_c + o..][..many]);
                to[many..].fill(0.0);
            }
        },
    );
}

/// One forward task: output rows `rows` of plane `(n, d)`.
struct Forward<'a> {
    problem: &'a Problem<'a>,
    size: &'a Size,
    packed: &'a [f32],
    bias: Option<&'a [f32]>,
    n: usize,
    d: usize,
    rows: std::ops::Range<usize>,
    part: &'a mut [f32],
    row: usize,
    crop_w: usize,
    c: usize,
    accumulate: bool,
    loaded: &'a mut [f32],
    out_padded: usize,
    moments: Option<&'a mut [f64]>,
}

by_panel!(Forward);

impl Forward<'_> {
    #[inline(always)]
    fn run<S: Simd, const V: usize>(mut self, simd: S) {
        let size = self.size;
        let width = size.padded[2];
        let out_w = size.output().space[2];
        for i0 in (0..size.in_c).step_by(I_BLOCK) {
            let ib = I_BLOCK.min(size.in_c - i0);
            self.load(simd, i0, ib);
            let block = &self.packed[size.taps() * i0 * self.out_padded..];
            for o in (0..size.out_c).step_by(PANEL) {
                let panels = &block[size.taps() * ib * o..][..size.taps() * ib * PANEL];
                for r in 0..self.rows.len() {
                    let mut w = 0;
                    while w < out_w {
                        let place = Tile {
                            i0,
                            ib,
                            width,
                            panels,
                            o,
                            r,
                            w,
                        };
                        w += if twice_the_rows::<S>(out_w - w) {
                            self.tile::<S, CHUNK_ROWS, V>(simd, place)
                        } else {
                            by_rows!(out_w - w, M => self.tile::<S, M, V>(simd, place))
                        };
                    }
                }
            }
        }
        if let Some(moments) = self.moments {
            moments.fill(0.0);
            for r in 0..self.rows.len() {
                let start = r * self.row + self.crop_w * self.c;
                add_row(simd, &self.part[start..start + out_w * self.c], moments);
            }
        }
    }

    /// Input rows of the task, channels `i0..i0 + ib`: `[kd][h][w][i]`.
    #[inline(always)]
    fn load<S: Simd>(&mut self, simd: S, i0: usize, ib: usize) {
        let size = self.size;
        let line = size.padded[2] * ib;
        let lines = self.rows.len() + size.kernel[1] - 1;
        for kd in 0..size.kernel[0] {
            for line_h in 0..lines {
                let to = &mut self.loaded[(kd * lines + line_h) * line..][..line];
                let at = [self.d + kd, self.rows.start + line_h, 0];
                self.problem
                    .input
                    .load_row(simd, self.n, at, size.padded[2], i0, i0 + ib, to);
            }
        }
    }

    /// `M` voxels of one row by one panel of channels.
    #[inline(always)]
    fn tile<S: Simd, const M: usize, const V: usize>(&mut self, simd: S, t: Tile<'_>) -> usize {
        let size = self.size;
        let lines = self.rows.len() + size.kernel[1] - 1;
        let many = PANEL.min(size.out_c - t.o);
        let mut acc = [[simd.splat_f32s(0.0); V]; M];
        let first = t.i0 == 0;
        if let (true, Some(bias)) = (first, self.bias) {
            let mut padded = [0.0; PANEL];
            padded[..many].copy_from_slice(&bias[t.o..][..many]);
            acc = [row_from::<S, V>(&padded); M];
        }
        for kd in 0..size.kernel[0] {
            for kh in 0..size.kernel[1] {
                let x = &self.loaded[((kd * lines + t.r + kh) * t.width + t.w) * t.ib..];
                let k = size.kernel[2] * t.ib;
                let panel = &t.panels[(kd * size.kernel[1] + kh) * k * PANEL..];
                accumulate::<S, M, V>(simd, &mut acc, x, t.ib, panel, k);
            }
        }
        let add = self.accumulate || !first;
        for (m, row) in acc.iter().enumerate() {
            let to =
                &mut self.part[t.r * self.row + (self.crop_w + t.w + m) * self.c + t.o..][..many];
            let values = row_of::<S, V>(row);
            if add {
                to.iter_mut().zip(values).for_each(|(to, v)| *to += v);
            } else {
                to.copy_from_slice(&values[..many]);
            }
        }
        M
    }
}

/// Where a register tile stands.
#[derive(Clone, Copy)]
struct Tile<'a> {
    i0: usize,
    ib: usize,
    width: usize,
    panels: &'a [f32],
    o: usize,
    r: usize,
    w: usize,
}

/// One weight-gradient task: input channels `channels`, output planes `planes`.
struct Outer<'a> {
    problem: &'a Problem<'a>,
    size: &'a Size,
    cut: &'a Cut,
    d_out: &'a [f32],
    channels: std::ops::Range<usize>,
    planes: std::ops::Range<usize>,
    /// `[tap][i][o]`.
    part: &'a mut [f32],
    loaded: &'a mut [f32],
}

by_panel!(Outer);

impl Outer<'_> {
    #[inline(always)]
    fn run<S: Simd, const V: usize>(self, simd: S) {
        let Self {
            problem,
            size,
            cut,
            d_out,
            channels,
            planes,
            part,
            loaded,
        } = self;
        let y = size.output();
        let (width, ib) = (cut.width, channels.len());
        let [kernel_d, kernel_h, kernel_w] = size.kernel;
        let (x, dy) = loaded.split_at_mut(cut.loaded(size, OUTER_BLOCK));
        part.fill(0.0);
        for plane in planes {
            let (n, d) = (plane / y.space[0], plane % y.space[0]);
            for t in 0..cut.per_plane {
                let rows = cut.rows_of(size, t);
                let lines = rows.len() + kernel_h - 1;
                for kd in 0..kernel_d {
                    for line in 0..lines {
                        let to = &mut x[(kd * lines + line) * width * ib..][..width * ib];
                        let at = [d + kd, rows.start + line, 0];
                        problem.input.load_row(
                            simd,
                            n,
                            at,
                            width,
                            channels.start,
                            channels.end,
                            to,
                        );
                    }
                }
                // Output gradients by panels: [o block][row][w][PANEL].
                let points = rows.len() * y.space[2];
                let from = &d_out[y.at(n, [d, rows.start, 0])..][..points * y.c];
                for (b, panel) in dy[..points * cut.out_padded]
                    .chunks_exact_mut(points * PANEL)
                    .enumerate()
                {
                    let many = PANEL.min(y.c - b * PANEL);
                    for (to, from) in panel.chunks_exact_mut(PANEL).zip(from.chunks_exact(y.c)) {
                        to[..many].copy_from_slice(&from[b * PANEL..][..many]);
                        to[many..].fill(0.0);
                    }
                }
                for (b, panel) in dy[..points * cut.out_padded]
                    .chunks_exact(points * PANEL)
                    .enumerate()
                {
                    for tap in 0..size.taps() {
                        let (kd, kh, kw) = (
                            tap / (kernel_h * kernel_w),
                            tap / kernel_w % kernel_h,
                            tap % kernel_w,
                        );
                        let mut i = 0;
                        while i < ib {
                            let at = OuterTile {
                                x: &x[((kd * lines + kh) * width + kw) * ib + i..],
                                line: width * ib,
                                stride: ib,
                                dy: panel,
                                rows: rows.len(),
                                w: y.space[2],
                                to: &mut part[(tap * ib + i) * y.c + b * PANEL..],
                                out_c: y.c,
                                many: PANEL.min(y.c - b * PANEL),
                            };
                            i += at.run::<S, V>(simd, ib - i);
                        }
                    }
                }
            }
        }
    }
}
