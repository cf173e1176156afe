//! Convolution of one to four input channels: the first layer of every network,
//! and the input gradient of its last.
//!
//! Forward: a task is a few rows of one output plane. The input rows that it
//! needs are loaded once (transformed, padded); with so few channels the taps
//! along w lie side by side, so a register tile of twelve neighbouring voxels by
//! two vectors of channels (AVX2 and NEON: six by a panel) reads the values of a
//! voxel at constant distances from the one before, and the weights of all taps
//! (at most 108 rows) stay in the first-level cache. The sums for the
//! statistics are taken from the registers before they are written.
//!
//! Weight gradient: a task is a slab of output planes. The taps along w of one
//! input row, at most twelve values, by two vectors of channels are kept in
//! registers along the row: the output gradient is read from memory once, and
//! from the cache once for each input row.
//!
//! Against [`direct`](super::direct), whose tile of six rows by one AVX-512
//! vector has too few sums to hide the latency of a multiply-add: docs/performance.md.

#![allow(
    unsafe_code,
    reason = "the innermost loops: bounds are asserted once, outside them"
)]

use std::ops::Range;

use pulp::Simd;

use super::sums::{RUN, Sums};
use super::{Kernel, Problem, Size};
use crate::Context;
use crate::micro::{
    CHUNK, CHUNK_ROWS, PANEL, PAST_CACHES, mul_add, prefetch, row_from, row_of, stream, streamed,
};
use crate::threads::{LINE, Shared};
use crate::view::{Region, Target};

/// Input channels at most: three taps of four are the twelve rows of a register
/// tile.
const MOST_IN: usize = 4;
/// Floats of loaded input of one task: 256 KB, a quarter of a second-level cache.
const ROWS_BUDGET: usize = 64 * 1024;
/// Output rows of a task at most: small planes still give tasks for many threads.
const MOST_ROWS: usize = 16;
/// Tasks of a weight gradient aimed at: enough for 16 threads.
const OUTER_TASKS: usize = 16;

/// Convolution of few input channels.
pub struct Narrow;

/// How a size is cut.
#[derive(Clone, Copy)]
struct Cut {
    size: Size,
    /// Output rows of a task.
    rows: usize,
    /// Tasks of one plane.
    per_plane: usize,
    /// Floats of a loaded row: as many voxels as whole register tiles read.
    line: usize,
    /// Output channels rounded up to panels.
    out_padded: usize,
}

impl Cut {
    fn new(size: &Size) -> Self {
        let y = size.output();
        let voxels = y.space[2].next_multiple_of(CHUNK_ROWS) + size.kernel[2] - 1;
        let line = voxels.max(size.padded[2]) * size.in_c;
        let fit = (ROWS_BUDGET / (size.kernel[0] * line)).saturating_sub(size.kernel[1] - 1);
        let out_rows = y.space[1].max(1);
        let per_plane = out_rows.div_ceil(fit.clamp(1, MOST_ROWS));
        Self {
            size: *size,
            rows: out_rows.div_ceil(per_plane),
            per_plane,
            line,
            out_padded: size.out_c.next_multiple_of(PANEL),
        }
    }

    /// Output rows of task `t` of a plane.
    fn rows_of(&self, t: usize) -> Range<usize> {
        let all = self.size.output().space[1];
        (t * self.rows).min(all)..((t + 1) * self.rows).min(all)
    }

    /// Input rows of so many output rows, in each plane.
    fn lines(&self, rows: usize) -> usize {
        rows + self.size.kernel[1] - 1
    }

    /// Floats of the input rows of a task.
    fn loaded(&self) -> usize {
        (self.size.kernel[0] * self.lines(self.rows) * self.line).next_multiple_of(LINE)
    }

    /// Rows of the matrix of weights.
    fn k(&self) -> usize {
        self.size.taps() * self.size.in_c
    }

    /// Floats of that matrix, its rows padded to panels.
    fn weights(&self) -> usize {
        self.k() * self.out_padded
    }

    /// Slabs of output planes of a weight gradient.
    fn slabs(&self) -> usize {
        OUTER_TASKS.min(self.planes()).max(1)
    }

    /// Output planes of all samples.
    fn planes(&self) -> usize {
        self.size.n * self.size.output().space[0]
    }

    /// Loads the input rows `[kd][line]` of the output rows `rows` of `(n, d)`.
    #[inline(always)]
    fn load<S: Simd>(
        &self,
        simd: S,
        problem: &Problem<'_>,
        (n, d): (usize, usize),
        rows: &Range<usize>,
        loaded: &mut [f32],
    ) {
        let (lines, width) = (self.lines(rows.len()), self.size.padded[2]);
        let in_c = self.size.in_c;
        for kd in 0..self.size.kernel[0] {
            for line in 0..lines {
                let to = &mut loaded[(kd * lines + line) * self.line..][..self.line];
                let at = [d + kd, rows.start + line, 0];
                problem
                    .input
                    .load_row(simd, n, at, width, 0, in_c, &mut *to);
                to[width * in_c..].fill(0.0);
            }
        }
    }
}

impl Kernel for Narrow {
    fn name(&self) -> &'static str {
        "narrow"
    }

    fn supports(&self, size: &Size) -> bool {
        (1..=MOST_IN).contains(&size.in_c) && size.kernel.iter().all(|k| [1, 3].contains(k))
    }

    fn growth(&self, _: &Size) -> f32 {
        1.0
    }

    fn scratch(&self, size: &Size, threads: usize) -> usize {
        let cut = Cut::new(size);
        let forward = cut.weights() + threads * cut.loaded();
        // A row of output gradients, padded to a panel where it does not fill one.
        let row = size.output().space[2] * PANEL;
        let backward = cut.slabs() * cut.weights() + threads * (cut.loaded() + row);
        forward.max(backward)
    }

    fn parts(&self, size: &Size) -> usize {
        size.output().space[0] * Cut::new(size).per_plane
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
        let cut = Cut::new(&problem.size());
        let y = problem.output();
        let (packed, scratch) = scratch.split_at_mut(cut.weights());
        let rows = weights[..cut.k() * y.c].chunks_exact(y.c);
        for (to, from) in packed.chunks_exact_mut(cut.out_padded).zip(rows) {
            to[..y.c].copy_from_slice(from);
            to[y.c..].fill(0.0);
        }
        let packed = &*packed;
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
            (plane / y.space[0], plane % y.space[0], cut.rows_of(t))
        };
        context.threads.for_each_part(
            data,
            scratch,
            cut.planes() * cut.per_plane,
            |task| {
                let (n, d, rows) = place(task);
                let start = shape.at(n, [d + crop[0], rows.start + crop[1], 0]);
                start..start + rows.len() * row
            },
            |task, part, loaded| {
                let (n, d, rows) = place(task);
                // SAFETY: every task has its own part.
                let mut moments = moments
                    .as_ref()
                    .map(|m| unsafe { m.part(task * 2 * y.c..(task + 1) * 2 * y.c) });
                if let Some(moments) = &mut moments {
                    moments.fill(0.0);
                }
                if !rows.is_empty() {
                    context.isa.run(Forward {
                        problem,
                        cut: &cut,
                        packed,
                        bias,
                        at: (n, d),
                        rows,
                        part,
                        row,
                        first: crop[2] * shape.c,
                        accumulate,
                        past_caches: !accumulate && y.len() >= PAST_CACHES,
                        loaded,
                        moments,
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
        let cut = Cut::new(&problem.size());
        let (planes, slabs, one) = (cut.planes(), cut.slabs(), cut.weights());
        let (sums, scratch) = scratch.split_at_mut(slabs * one);
        context.threads.for_each_part(
            sums,
            scratch,
            slabs,
            |slab| slab * one..(slab + 1) * one,
            |slab, part, loaded| {
                context.isa.run(Outer {
                    problem,
                    cut: &cut,
                    d_out,
                    planes: slab * planes / slabs..(slab + 1) * planes / slabs,
                    part,
                    loaded,
                });
            },
        );
        // The slabs in order, at most 108 rows of them.
        let out_c = cut.size.out_c;
        for slab in sums.chunks_exact(one) {
            let rows = d_weights[..cut.k() * out_c].chunks_exact_mut(out_c);
            for (to, from) in rows.zip(slab.chunks_exact(cut.out_padded)) {
                to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
            }
        }
    }
}

/// The sums of a register tile: voxels, then channels.
#[repr(align(64))]
struct Tile([f32; 2 * CHUNK]);

/// One forward task: the output rows `rows` of the plane `at`.
struct Forward<'a> {
    problem: &'a Problem<'a>,
    cut: &'a Cut,
    /// `[tap][i][out_padded]`.
    packed: &'a [f32],
    bias: Option<&'a [f32]>,
    /// Sample and output plane.
    at: (usize, usize),
    rows: Range<usize>,
    part: &'a mut [f32],
    /// Floats of a row of `part`, and where its first voxel is written.
    row: usize,
    first: usize,
    accumulate: bool,
    /// Whether the output is more than the caches hold.
    past_caches: bool,
    loaded: &'a mut [f32],
    moments: Option<&'a mut [f64]>,
}

impl pulp::WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match self.cut.size.in_c {
            1 => self.run::<S, 1>(simd),
            2 => self.run::<S, 2>(simd),
            3 => self.run::<S, 3>(simd),
            _ => self.run::<S, MOST_IN>(simd),
        }
    }
}

impl Forward<'_> {
    /// `C` input channels.
    #[inline(always)]
    fn run<S: Simd, const C: usize>(mut self, simd: S) {
        self.cut
            .load(simd, self.problem, self.at, &self.rows, self.loaded);
        let mut o = 0;
        while o < self.cut.out_padded {
            o += match (S::F32_LANES, self.cut.out_padded - o) {
                (16, PANEL) => self.rows::<S, C, 12, 1>(simd, o),
                (16, _) => self.rows::<S, C, 12, 2>(simd, o),
                (8, _) => self.rows::<S, C, 6, 2>(simd, o),
                _ => self.rows::<S, C, 6, 4>(simd, o),
            };
        }
        if self.past_caches {
            streamed();
        }
    }

    /// All rows, in tiles of `M` voxels by `V` vectors of channels from `o` on.
    #[inline(always)]
    fn rows<S: Simd, const C: usize, const M: usize, const V: usize>(
        &mut self,
        simd: S,
        o: usize,
    ) -> usize {
        let size = &self.cut.size;
        let (out_w, lines) = (size.output().space[2], self.cut.lines(self.rows.len()));
        assert_eq!(size.in_c, C);
        assert!(CHUNK_ROWS.is_multiple_of(M) && o + V * S::F32_LANES <= self.cut.out_padded);
        assert!(self.loaded.len() >= size.kernel[0] * lines * self.cut.line);
        assert!(self.packed.len() >= self.cut.weights());
        let mut bias = [[0.0; PANEL]; 2];
        if let Some(from) = self.bias {
            let many = (V * S::F32_LANES).min(size.out_c - o);
            bias.as_flattened_mut()[..many].copy_from_slice(&from[o..][..many]);
        }
        let bias = row_from::<S, V>(bias.as_flattened());
        let mut tile = Tile([0.0; 2 * CHUNK]);
        for r in 0..self.rows.len() {
            let mut sums = Sums::<S, V>::new(simd);
            for w in (0..out_w).step_by(M) {
                self.tile::<S, C, M, V>(simd, bias, [r, w, o], &mut tile);
                let inside = M.min(out_w - w);
                self.write(simd, &tile, [r, w, o], inside, &mut sums);
                if let Some(moments) = &mut self.moments {
                    sums.flush(simd, M, moments, o);
                }
            }
            if let Some(moments) = &mut self.moments {
                sums.flush(simd, RUN, moments, o);
            }
        }
        V * S::F32_LANES
    }

    /// The sums of `M` voxels by `V` vectors.
    #[inline(always)]
    fn tile<S: Simd, const C: usize, const M: usize, const V: usize>(
        &self,
        simd: S,
        bias: [S::f32s; V],
        [r, w, o]: [usize; 3],
        tile: &mut Tile,
    ) {
        let size = &self.cut.size;
        let lines = self.cut.lines(self.rows.len());
        let run = size.kernel[2] * C;
        let mut acc = [bias; M];
        let mut b = self.packed[o..].as_ptr();
        for kd in 0..size.kernel[0] {
            for kh in 0..size.kernel[1] {
                let at = (kd * lines + r + kh) * self.cut.line + w * C;
                // SAFETY: the line is inside `loaded`, as `rows` has asserted,
                // and has room for the taps of whole tiles.
                let x = unsafe { self.loaded.as_ptr().add(at) };
                for i in 0..run {
                    let mut line = [simd.splat_f32s(0.0); V];
                    for v in 0..V {
                        // SAFETY: one of the rows of `packed`, asserted by `rows`.
                        line[v] =
                            unsafe { b.add(v * S::F32_LANES).cast::<S::f32s>().read_unaligned() };
                    }
                    b = b.wrapping_add(self.cut.out_padded);
                    for m in 0..M {
                        // SAFETY: as above.
                        let x = simd.splat_f32s(unsafe { *x.add(m * C + i) });
                        for v in 0..V {
                            acc[m][v] = mul_add(simd, x, line[v], acc[m][v]);
                        }
                    }
                }
            }
        }
        // By constant places, or the sums would be in memory and not in registers.
        let width = V * S::F32_LANES;
        for m in 0..M {
            tile.0[m * width..][..width].copy_from_slice(row_of::<S, V>(&acc[m]));
        }
    }

    /// Writes the first `inside` voxels of a tile and sums them up.
    #[inline(always)]
    fn write<S: Simd, const V: usize>(
        &mut self,
        simd: S,
        tile: &Tile,
        [r, w, o]: [usize; 3],
        inside: usize,
        sums: &mut Sums<S, V>,
    ) {
        let c = self.cut.size.out_c;
        let width = V * S::F32_LANES;
        let many = width.min(c - o);
        let to = &mut self.part[r * self.row + self.first + w * c + o..];
        let to = &mut to[..(inside - 1) * c + many];
        for (to, from) in to.chunks_mut(c).zip(tile.0.chunks_exact(width)) {
            let to = &mut to[..many];
            let mut value = row_from::<S, V>(from);
            if self.accumulate {
                let mut old = [[0.0; PANEL]; 2];
                old.as_flattened_mut()[..many].copy_from_slice(to);
                let old = row_from::<S, V>(old.as_flattened());
                for v in 0..V {
                    value[v] = simd.add_f32s(value[v], old[v]);
                }
            }
            if many == width && self.past_caches {
                stream::<S>(to, row_of::<S, V>(&value));
            } else if many == width {
                to.copy_from_slice(row_of::<S, V>(&value));
            } else {
                to.copy_from_slice(&row_of::<S, V>(&value)[..many]);
            }
            if self.moments.is_some() {
                sums.add(simd, &value);
            }
        }
    }
}

/// One weight-gradient task: the output planes `planes`.
struct Outer<'a> {
    problem: &'a Problem<'a>,
    cut: &'a Cut,
    d_out: &'a [f32],
    planes: Range<usize>,
    /// `[tap][i][out_padded]`.
    part: &'a mut [f32],
    loaded: &'a mut [f32],
}

impl pulp::WithSimd for Outer<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            problem,
            cut,
            d_out,
            planes,
            part,
            loaded,
        } = self;
        let (size, y) = (&cut.size, cut.size.output());
        let (x, tail) = loaded.split_at_mut(cut.loaded());
        let row = y.space[2] * y.c;
        part.fill(0.0);
        for plane in planes {
            let (n, d) = (plane / y.space[0], plane % y.space[0]);
            for t in 0..cut.per_plane {
                let rows = cut.rows_of(t);
                cut.load(simd, problem, (n, d), &rows, x);
                for r in 0..rows.len() {
                    let dy = &d_out[y.at(n, [d, rows.start + r, 0])..][..row];
                    let whole = y.c / PANEL * PANEL;
                    let mut outer = Row {
                        cut,
                        x: &x[r * cut.line..],
                        plane: cut.lines(rows.len()) * cut.line,
                        dy,
                        stride: y.c,
                        part: &mut *part,
                    };
                    outer.panels(simd, 0..whole);
                    if whole < y.c {
                        let tail = &mut tail[..y.space[2] * PANEL];
                        for (to, from) in tail.chunks_exact_mut(PANEL).zip(dy.chunks_exact(y.c)) {
                            to[..y.c - whole].copy_from_slice(&from[whole..]);
                            to[y.c - whole..].fill(0.0);
                        }
                        (outer.dy, outer.stride) = (tail, PANEL);
                        outer.part = &mut outer.part[whole..];
                        outer.panels(simd, 0..PANEL);
                    }
                }
            }
        }
        debug_assert_eq!(size.out_c, y.c);
    }
}

/// The outer products of one row of output gradients with its input rows.
struct Row<'a> {
    cut: &'a Cut,
    /// From the first input row on; the same row of the next plane is `plane` on.
    x: &'a [f32],
    plane: usize,
    /// `[w][stride]`.
    dy: &'a [f32],
    stride: usize,
    /// `[tap][i][out_padded]`, added to.
    part: &'a mut [f32],
}

impl Row<'_> {
    /// The output channels `panels`.
    #[inline(always)]
    fn panels<S: Simd>(&mut self, simd: S, panels: Range<usize>) {
        let (size, lanes) = (&self.cut.size, S::F32_LANES);
        let run = size.kernel[2] * size.in_c;
        let mut o = panels.start;
        while o < panels.end {
            let left = panels.end - o;
            // Eight sums or more hide the latency of the multiply-adds; sixteen
            // registers have room for twelve.
            o += match (run, size.kernel[1], lanes) {
                (3, 3, 16) if left >= 2 * lanes => self.lines::<S, 3, 3, 2>(simd, o),
                (3, 3, _) => self.lines::<S, 3, 3, 1>(simd, o),
                (1, _, _) => self.lines::<S, 1, 1, 1>(simd, o),
                (2, _, _) => self.lines::<S, 1, 2, 1>(simd, o),
                (3, _, _) => self.lines::<S, 1, 3, 1>(simd, o),
                (4, _, _) => self.lines::<S, 1, 4, 1>(simd, o),
                (6, _, _) if left >= 2 * lanes => self.lines::<S, 1, 6, 2>(simd, o),
                (6, _, _) => self.lines::<S, 1, 6, 1>(simd, o),
                (9, _, 16) if left >= 2 * lanes => self.lines::<S, 1, 9, 2>(simd, o),
                (9, _, _) => self.lines::<S, 1, 9, 1>(simd, o),
                (_, _, 16) if left >= 2 * lanes => self.lines::<S, 1, 12, 2>(simd, o),
                _ => self.lines::<S, 1, 12, 1>(simd, o),
            };
        }
    }

    /// All input rows, `L` of them times `J` values by `V` vectors at a time.
    #[inline(always)]
    fn lines<S: Simd, const L: usize, const J: usize, const V: usize>(
        &mut self,
        simd: S,
        o: usize,
    ) -> usize {
        let size = &self.cut.size;
        let [kernel_d, kernel_h, kernel_w] = size.kernel;
        assert!(J == kernel_w * size.in_c && kernel_h.is_multiple_of(L));
        for kd in 0..kernel_d {
            for kh in (0..kernel_h).step_by(L) {
                let at = kd * self.plane + kh * self.cut.line;
                let first = (kd * kernel_h + kh) * J;
                let acc = self.tile::<S, L, J, V>(simd, at, o, first / (L * J));
                for l in 0..L {
                    for j in 0..J {
                        let k = first + l * J + j;
                        let to = &mut self.part[k * self.cut.out_padded + o..];
                        let mut sum = row_from::<S, V>(to);
                        for v in 0..V {
                            sum[v] = simd.add_f32s(sum[v], acc[l][j][v]);
                        }
                        to[..V * S::F32_LANES].copy_from_slice(row_of::<S, V>(&sum));
                    }
                }
            }
        }
        V * S::F32_LANES
    }

    #[inline(always)]
    fn tile<S: Simd, const L: usize, const J: usize, const V: usize>(
        &self,
        simd: S,
        at: usize,
        o: usize,
        pass: usize,
    ) -> [[[S::f32s; V]; J]; L] {
        let (points, in_c) = (self.cut.size.output().space[2], self.cut.size.in_c);
        let x = &self.x[at..];
        assert!(x.len() >= (L - 1) * self.cut.line + (points - 1) * in_c + J);
        assert!(self.dy.len() >= (points - 1) * self.stride + o + V * S::F32_LANES);
        let mut acc = [[[simd.splat_f32s(0.0); V]; J]; L];
        let (mut x, mut dy) = (x.as_ptr(), self.dy[o..].as_ptr());
        // The first passes over a row fetch the next one, a cache line a point.
        let mut next = if o == 0 && pass * LINE < self.stride {
            dy.wrapping_add(points * self.stride + (pass * points) * LINE)
        } else {
            dy
        };
        for _ in 0..points {
            let mut b = [simd.splat_f32s(0.0); V];
            for v in 0..V {
                // SAFETY: one of the points that the assert has shown inside.
                b[v] = unsafe { dy.add(v * S::F32_LANES).cast::<S::f32s>().read_unaligned() };
            }
            for l in 0..L {
                for j in 0..J {
                    // SAFETY: as above.
                    let a = simd.splat_f32s(unsafe { *x.add(l * self.cut.line + j) });
                    for v in 0..V {
                        acc[l][j][v] = mul_add(simd, a, b[v], acc[l][j][v]);
                    }
                }
            }
            prefetch(next);
            next = next.wrapping_add(LINE);
            (x, dy) = (x.wrapping_add(in_c), dy.wrapping_add(self.stride));
        }
        acc
    }
}
