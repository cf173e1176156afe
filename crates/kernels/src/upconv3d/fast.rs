//! Up-convolution on the register tiles of the convolution.
//!
//! Forward: a task is one output row, whose taps `a`, `b` are fixed; for each
//! tap `c` it is a matrix product of the input row with one slice of the
//! weights. Input gradient: the taps `c` and the output channels of an output
//! row lie side by side, so a task (one input row) runs over `c * o` without a
//! break. Weight gradient: a task is one tap and one slab of input rows.

use pulp::Simd;

use super::{Problem, Size};
use crate::conv3d::Context;
use crate::micro::{OuterTile, PANEL, accumulate, by_panel, by_rows, row_from, row_of};
use crate::threads::LINE;

/// Points (voxels) of a weight gradient loaded at a time: with 512 channels
/// that is 256 KB, a quarter of a current second-level cache.
const POINTS: usize = 128;
/// Tasks of a weight gradient aimed at: enough for 16 threads.
const OUTER_TASKS: usize = 16;

/// Floats of scratch memory that any pass needs with `threads` workers.
pub fn scratch(size: &Size, threads: usize) -> usize {
    let (i, o) = (
        size.input.c.next_multiple_of(PANEL),
        size.out_c.next_multiple_of(PANEL),
    );
    let forward = size.taps() * size.input.c * o
        + threads * (size.input.space[2] * size.input.c).next_multiple_of(LINE);
    let input = size.taps() * size.out_c * i;
    let points = size.input.space[2] * lines(size);
    let weights = slabs(size) * size.weights()
        + threads * (points * (size.input.c + o)).next_multiple_of(LINE);
    forward.max(input).max(weights)
}

/// Input rows loaded at a time by the weight gradient.
fn lines(size: &Size) -> usize {
    (POINTS / size.input.space[2].max(1)).clamp(1, size.input.space[1].max(1))
}

fn slabs(size: &Size) -> usize {
    OUTER_TASKS
        .div_ceil(size.taps())
        .min(size.input.n * size.input.space[0])
        .max(1)
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
    let (in_c, out_c) = (size.input.c, size.out_c);
    let shape = size.output();
    let panels = out_c.div_ceil(PANEL);
    let (packed, scratch) = scratch.split_at_mut(size.taps() * in_c * panels * PANEL);
    pack(
        context,
        (size.taps() * in_c, out_c),
        |row, o| weights[row * out_c + o],
        packed,
    );
    let packed = &*packed;
    let [sd, sh, sw] = problem.window;
    let row = shape.space[2] * out_c;
    let rows = shape.n * shape.space[0] * shape.space[1];
    context.threads.for_each_part(
        y,
        scratch,
        rows,
        |task| task * row..(task + 1) * row,
        |task, part, loaded| {
            let (n, d, h) = (
                task / (shape.space[0] * shape.space[1]),
                task / shape.space[1] % shape.space[0],
                task % shape.space[1],
            );
            let width = size.input.space[2];
            let x = &mut loaded[..width * in_c];
            problem
                .view()
                .load_row(pulp::Scalar256b, n, [d / sd, h / sh, 0], width, 0, in_c, x);
            for c in 0..sw {
                let tap = ((d % sd) * sh + h % sh) * sw + c;
                for p in 0..panels {
                    let o = p * PANEL;
                    context.isa.run(Rows {
                        x: &[&*x],
                        stride: in_c,
                        k: in_c,
                        panels: &packed[p * size.taps() * in_c * PANEL..][tap * in_c * PANEL..],
                        bias: bias.map(|bias| &bias[o..out_c.min(o + PANEL)]),
                        points: width,
                        to: &mut part[c * out_c + o..],
                        to_stride: sw * out_c,
                        many: PANEL.min(out_c - o),
                    });
                }
            }
        },
    );
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
    let (in_c, out_c) = (size.input.c, size.out_c);
    let shape = size.output();
    let panels = in_c.div_ceil(PANEL);
    let packed = &mut scratch[..size.taps() * out_c * panels * PANEL];
    // Rows (tap, o), columns i.
    let weight = |row: usize, i: usize| weights[((row / out_c) * in_c + i) * out_c + row % out_c];
    pack(context, (size.taps() * out_c, in_c), weight, packed);
    let packed = &*packed;
    let [sd, sh, sw] = problem.window;
    let [depth, height, width] = size.input.space;
    let k = sw * out_c;
    context.threads.for_each_part(
        dx,
        &mut [],
        size.input.n * depth * height,
        |task| task * width * in_c..(task + 1) * width * in_c,
        |task, part, _| {
            let (n, d, h) = (
                task / (depth * height),
                task / height % depth,
                task % height,
            );
            let mut rows: [&[f32]; 4] = [&[]; 4];
            for (ab, row) in rows[..sd * sh].iter_mut().enumerate() {
                let at = shape.at(n, [d * sd + ab / sh, h * sh + ab % sh, 0]);
                *row = &dy[at..at + width * k];
            }
            for p in 0..panels {
                let i = p * PANEL;
                context.isa.run(Rows {
                    x: &rows[..sd * sh],
                    stride: k,
                    k,
                    panels: &packed[p * size.taps() * out_c * PANEL..],
                    bias: None,
                    points: width,
                    to: &mut part[i..],
                    to_stride: in_c,
                    many: PANEL.min(in_c - i),
                });
            }
        },
    );
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
    let (slabs, one) = (slabs(&size), size.input.c * size.out_c);
    let (sums, scratch) = scratch.split_at_mut(slabs * size.weights());
    let planes = size.input.n * size.input.space[0];
    context.threads.for_each_part(
        sums,
        scratch,
        slabs * size.taps(),
        |task| task * one..(task + 1) * one,
        |task, part, loaded| {
            let slab = task / size.taps();
            let planes = slab * planes / slabs..(slab + 1) * planes / slabs;
            context.isa.run(Outer {
                problem,
                size: &size,
                tap: task % size.taps(),
                planes,
                dy,
                part,
                loaded,
            });
        },
    );
    let sums = &*sums;
    context.threads.for_each_part(
        &mut dw[..size.weights()],
        &mut [],
        size.taps(),
        |tap| tap * one..(tap + 1) * one,
        |tap, part, _| {
            for slab in 0..slabs {
                let from = &sums[slab * size.weights() + tap * one..][..one];
                part.iter_mut().zip(from).for_each(|(to, from)| *to += from);
            }
        },
    );
}

/// `[panel][row][PANEL]` from a matrix `rows` by `columns`, zeros where columns end.
fn pack(
    context: Context<'_>,
    (rows, columns): (usize, usize),
    value: impl Fn(usize, usize) -> f32 + Sync,
    packed: &mut [f32],
) {
    let one = rows * PANEL;
    context.threads.for_each_part(
        packed,
        &mut [],
        columns.div_ceil(PANEL),
        |panel| panel * one..(panel + 1) * one,
        |panel, part, _| {
            for (row, to) in part.chunks_exact_mut(PANEL).enumerate() {
                for (lane, to) in to.iter_mut().enumerate() {
                    let column = panel * PANEL + lane;
                    *to = if column < columns {
                        value(row, column)
                    } else {
                        0.0
                    };
                }
            }
        },
    );
}

/// `to[p] = bias + sum over rows r, k of x[r][p * stride + k] * panels[r][k]`.
struct Rows<'a> {
    x: &'a [&'a [f32]],
    stride: usize,
    k: usize,
    panels: &'a [f32],
    bias: Option<&'a [f32]>,
    points: usize,
    to: &'a mut [f32],
    to_stride: usize,
    many: usize,
}

by_panel!(Rows);

impl Rows<'_> {
    #[inline(always)]
    fn run<S: Simd, const V: usize>(mut self, simd: S) {
        let mut p = 0;
        while p < self.points {
            p += by_rows!(self.points - p, M => self.tile::<S, M, V>(simd, p));
        }
    }

    #[inline(always)]
    fn tile<S: Simd, const M: usize, const V: usize>(&mut self, simd: S, p: usize) -> usize {
        let mut start = [0.0; PANEL];
        if let Some(bias) = self.bias {
            start[..bias.len()].copy_from_slice(bias);
        }
        let mut acc = [row_from::<S, V>(&start); M];
        for (r, x) in self.x.iter().enumerate() {
            let panel = &self.panels[r * self.k * PANEL..];
            accumulate::<S, M, V>(
                simd,
                &mut acc,
                &x[p * self.stride..],
                self.stride,
                panel,
                self.k,
            );
        }
        for (m, row) in acc.iter().enumerate() {
            let to = &mut self.to[(p + m) * self.to_stride..][..self.many];
            to.copy_from_slice(&row_of::<S, V>(row)[..self.many]);
        }
        M
    }
}

/// One weight-gradient task: tap `tap`, input planes `planes`.
struct Outer<'a> {
    problem: &'a Problem<'a>,
    size: &'a Size,
    tap: usize,
    planes: std::ops::Range<usize>,
    dy: &'a [f32],
    /// `[i][o]`.
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
            tap,
            planes,
            dy,
            part,
            loaded,
        } = self;
        let [depth, height, width] = size.input.space;
        let [sd, sh, sw] = size.window;
        let (a, b, c) = (tap / (sh * sw), tap / sw % sh, tap % sw);
        let (in_c, out_c, shape) = (size.input.c, size.out_c, size.output());
        let lines = lines(size);
        let (x, panels) = loaded.split_at_mut(lines * width * in_c);
        part.fill(0.0);
        for plane in planes {
            let (n, d) = (plane / depth, plane % depth);
            for h0 in (0..height).step_by(lines) {
                let rows = lines.min(height - h0);
                let points = rows * width;
                for r in 0..rows {
                    let to = &mut x[r * width * in_c..(r + 1) * width * in_c];
                    problem
                        .view()
                        .load_row(simd, n, [d, h0 + r, 0], width, 0, in_c, to);
                }
                for (p, o) in (0..out_c).step_by(PANEL).enumerate() {
                    let many = PANEL.min(out_c - o);
                    let panel = &mut panels[p * points * PANEL..(p + 1) * points * PANEL];
                    for (point, to) in panel.chunks_exact_mut(PANEL).enumerate() {
                        let (h, w) = (h0 + point / width, point % width);
                        let from = &dy[shape.at(n, [d * sd + a, h * sh + b, w * sw + c]) + o..];
                        to[..many].copy_from_slice(&from[..many]);
                        to[many..].fill(0.0);
                    }
                    let mut i = 0;
                    while i < in_c {
                        let tile = OuterTile {
                            x: &x[i..],
                            line: 0,
                            stride: in_c,
                            dy: panel,
                            rows: 1,
                            w: points,
                            to: &mut part[i * out_c + o..],
                            out_c,
                            many,
                        };
                        i += tile.run::<S, V>(simd, in_c - i);
                    }
                }
            }
        }
    }
}
