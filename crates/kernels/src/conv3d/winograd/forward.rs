//! The forward pass, and with flipped weights the input gradient.

#![allow(
    unsafe_code,
    reason = "tasks write boxes of the output, which are no contiguous parts"
)]

use pulp::{Simd, WithSimd};

use super::cut::Cut;
use super::form;
use super::tile::{self, Lines, input as transform_tile, load, output as back, with_forms};
use crate::conv3d::{Context, Problem, Size};
use crate::micro::{PANEL, accumulate, by_panel, by_rows, row_of};
use crate::threads::Shared;
use crate::view::{Shape, Target};

/// Tiles of a block: a multiple of the 6 rows of the register tile. Each
/// transformed weight that is loaded serves this many tiles, so fewer would
/// wait for memory; more would leave the second-level cache (with 32 channels
/// 24 tiles are 660 KB).
const BLOCK: usize = 24;
/// Input channels loaded and transformed at a time: two cache lines a voxel.
const CHANNELS: usize = 32;

fn region(cut: &Cut, size: &Size) -> usize {
    cut.region().iter().product::<usize>() * CHANNELS.min(size.in_c)
}

/// Floats of scratch memory with `threads` workers.
pub(super) fn scratch(size: &Size, threads: usize) -> usize {
    let cut = Cut::new(size, BLOCK);
    let tiles = cut.frequencies() * cut.block_tiles();
    cut.frequencies() * size.in_c * size.out_c
        + threads * (tiles * (size.in_c + PANEL) + region(&cut, size))
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
    let cut = Cut::new(&size, BLOCK);
    let (kernels, scratch) = scratch.split_at_mut(cut.frequencies() * size.in_c * size.out_c);
    transform_weights(context, &size, &cut, weights, kernels);
    let Target {
        data,
        shape,
        crop,
        accumulate,
    } = out;
    let shared = Shared::new(data);
    let (kernels, shared) = (&*kernels, &shared);
    context
        .threads
        .for_each_with(scratch, size.n * cut.count(), |task, mine| {
            let block = Block {
                problem,
                size: &size,
                cut: &cut,
                kernels,
                bias,
                shared,
                shape,
                crop,
                accumulate,
            };
            context.isa.run(Task { block, task, mine });
        });
}

/// `G g` along the three axes: `[panel][frequency][i][PANEL]`.
fn transform_weights(
    context: Context<'_>,
    size: &Size,
    cut: &Cut,
    weights: &[f32],
    to: &mut [f32],
) {
    let per_panel = cut.frequencies() * size.in_c * PANEL;
    // A task is a panel and a stretch of input channels.
    let stretches = size.in_c.div_ceil(CHANNELS);
    let shared = Shared::new(to);
    context
        .threads
        .for_each(size.out_c / PANEL * stretches, |task| {
            let (panel, i0) = (task / stretches, task % stretches * CHANNELS);
            for i in i0..(i0 + CHANNELS).min(size.in_c) {
                context.isa.run(Weights {
                    size,
                    cut,
                    weights,
                    panel,
                    i,
                    shared: &shared,
                    at: panel * per_panel,
                });
            }
        });
}

/// The transform of one input channel's weights to one panel.
struct Weights<'a> {
    size: &'a Size,
    cut: &'a Cut,
    weights: &'a [f32],
    panel: usize,
    i: usize,
    shared: &'a Shared<'a, f32>,
    at: usize,
}

impl WithSimd for Weights<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self {
            size,
            cut,
            weights,
            panel,
            i,
            shared,
            at,
        } = self;
        let [kd, kh, kw] = size.kernel;
        let [ad, ah, aw] = cut.a;
        let rows = cut.m.map(form::kernel);
        let mut by_w = [[0.0f32; PANEL]; 9 * form::MOST];
        for dh in 0..kd * kh {
            for fw in 0..aw {
                let to = &mut by_w[dh * aw + fw];
                *to = [0.0; PANEL];
                for w in 0..kw {
                    let from = &weights
                        [((dh * kw + w) * size.in_c + i) * size.out_c + panel * PANEL..][..PANEL];
                    for lane in 0..PANEL {
                        to[lane] += rows[2][fw][w] * from[lane];
                    }
                }
            }
        }
        let mut by_h = [[0.0f32; PANEL]; 3 * form::MOST * form::MOST];
        for d in 0..kd {
            for fh in 0..ah {
                for fw in 0..aw {
                    let mut sum = [0.0; PANEL];
                    for h in 0..kh {
                        for lane in 0..PANEL {
                            sum[lane] += rows[1][fh][h] * by_w[(d * kh + h) * aw + fw][lane];
                        }
                    }
                    by_h[(d * ah + fh) * aw + fw] = sum;
                }
            }
        }
        for fd in 0..ad {
            for fhw in 0..ah * aw {
                let mut sum = [0.0; PANEL];
                for d in 0..kd {
                    for lane in 0..PANEL {
                        sum[lane] += rows[0][fd][d] * by_h[d * ah * aw + fhw][lane];
                    }
                }
                let start = at + ((fd * ah * aw + fhw) * size.in_c + i) * PANEL;
                // SAFETY: tasks differ in their panel or in their channels i.
                unsafe { shared.part(start..start + PANEL) }.copy_from_slice(&sum);
            }
        }
    }
}

/// What the tasks share.
#[derive(Clone, Copy)]
struct Block<'a> {
    problem: &'a Problem<'a>,
    size: &'a Size,
    cut: &'a Cut,
    kernels: &'a [f32],
    bias: Option<&'a [f32]>,
    shared: &'a Shared<'a, f32>,
    shape: Shape,
    crop: [usize; 3],
    accumulate: bool,
}

struct Task<'a> {
    block: Block<'a>,
    task: usize,
    mine: &'a mut [f32],
}

by_panel!(Task);

impl Task<'_> {
    #[inline(always)]
    fn run<S: Simd, const V: usize>(self, simd: S) {
        let Self { block, task, mine } = self;
        let (size, cut) = (block.size, block.cut);
        let (n, first, many) = cut.block_at(task);
        let tiles: usize = many.iter().product();
        let (v, rest) = mine.split_at_mut(cut.frequencies() * cut.block_tiles() * size.in_c);
        let (p, region) = rest.split_at_mut(cut.frequencies() * cut.block_tiles() * PANEL);
        let out = Rows {
            stride: tiles * size.in_c,
            per_tile: size.in_c,
        };
        transform_input(
            simd,
            block.problem,
            cut,
            n,
            first,
            many,
            region,
            &mut tile::Own(&mut *v),
            out,
            0,
        );
        for panel in 0..size.out_c / PANEL {
            let kernels = &block.kernels[panel * cut.frequencies() * size.in_c * PANEL..];
            for f in 0..cut.frequencies() {
                let kernel = &kernels[f * size.in_c * PANEL..][..size.in_c * PANEL];
                let v = &v[f * tiles * size.in_c..][..tiles * size.in_c];
                let p = &mut p[f * tiles * PANEL..][..tiles * PANEL];
                let mut t = 0;
                while t < tiles {
                    t += by_rows!(tiles - t, M => products::<S, M, V>(simd, v, kernel, p, t, size.in_c));
                }
            }
            block.write(simd, n, first, many, panel, p);
        }
    }
}

/// `M` tiles by one panel at one frequency.
#[inline(always)]
fn products<S: Simd, const M: usize, const V: usize>(
    simd: S,
    v: &[f32],
    kernel: &[f32],
    p: &mut [f32],
    t: usize,
    in_c: usize,
) -> usize {
    let mut acc = [[simd.splat_f32s(0.0); V]; M];
    accumulate::<S, M, V>(simd, &mut acc, &v[t * in_c..], in_c, kernel, in_c);
    for (m, row) in acc.iter().enumerate() {
        p[(t + m) * PANEL..][..PANEL].copy_from_slice(row_of::<S, V>(row));
    }
    M
}

/// Layout of transformed tiles: `[frequency][tile][channel]`.
#[derive(Clone, Copy)]
pub(super) struct Rows {
    /// Distance of frequencies.
    pub(super) stride: usize,
    /// Distance of tiles.
    pub(super) per_tile: usize,
}

impl Rows {
    /// The frequencies of one vector of channels of one tile.
    pub(super) fn lines(self, cut: &Cut, tile: usize, channel: usize) -> Lines {
        let [_, ah, aw] = cut.a;
        Lines {
            at: tile * self.per_tile + channel,
            stride: [ah * aw * self.stride, aw * self.stride, self.stride],
        }
    }
}

/// Loads the input of a block and transforms its tiles into `v`, the first as
/// number `tile`. `region` holds the loaded voxels.
#[allow(clippy::too_many_arguments, reason = "shared by both passes")]
#[inline(always)]
pub(super) fn transform_input<S: Simd>(
    simd: S,
    problem: &Problem<'_>,
    cut: &Cut,
    n: usize,
    first: [usize; 3],
    many: [usize; 3],
    region: &mut [f32],
    v: &mut impl tile::Sink<S>,
    rows: Rows,
    tile: usize,
) {
    let in_c = problem.input.c();
    let padded = problem.input.padded();
    let start: [usize; 3] = std::array::from_fn(|axis| first[axis] * cut.m[axis]);
    // Voxels of the region, and those of them that are in the (padded) input.
    let extent: [usize; 3] =
        std::array::from_fn(|axis| (many[axis] - 1) * cut.m[axis] + cut.a[axis]);
    let inside: [usize; 3] =
        std::array::from_fn(|axis| extent[axis].min(padded[axis] - start[axis]));
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
                    .load_row(n, at, inside[2], c0, c0 + channels, to);
                to[inside[2] * channels..].fill(0.0);
            }
        }
        let stride = [extent[1] * line, line, channels];
        let mut t = tile;
        for d in 0..many[0] {
            for h in 0..many[1] {
                for w in 0..many[2] {
                    let at = d * cut.m[0] * stride[0]
                        + h * cut.m[1] * stride[1]
                        + w * cut.m[2] * stride[2];
                    for c in (0..channels).step_by(S::F32_LANES) {
                        let from: Lines = Lines { at: at + c, stride };
                        with_forms!(
                            cut,
                            transform_tile::<S>(
                                simd,
                                cut,
                                region,
                                from,
                                v,
                                rows.lines(cut, t, c0 + c)
                            )
                        );
                    }
                    t += 1;
                }
            }
        }
    }
}

impl Block<'_> {
    /// Transforms one panel's products back and writes the outputs.
    #[inline(always)]
    fn write<S: Simd>(
        &self,
        simd: S,
        n: usize,
        first: [usize; 3],
        many: [usize; 3],
        panel: usize,
        p: &[f32],
    ) {
        let (cut, y) = (self.cut, self.size.output());
        let tiles: usize = many.iter().product();
        let rows = Rows {
            stride: tiles * PANEL,
            per_tile: PANEL,
        };
        let mut t = 0;
        for d in 0..many[0] {
            for h in 0..many[1] {
                for w in 0..many[2] {
                    let tile = [first[0] + d, first[1] + h, first[2] + w];
                    let start: [usize; 3] = std::array::from_fn(|axis| tile[axis] * cut.m[axis]);
                    let inside =
                        std::array::from_fn(|axis| cut.m[axis].min(y.space[axis] - start[axis]));
                    let row = self.shape.space[2] * self.shape.c;
                    let place = std::array::from_fn(|axis| start[axis] + self.crop[axis]);
                    let first = self.shape.at(n, place) + panel * PANEL;
                    for lane in (0..PANEL).step_by(S::F32_LANES) {
                        let bias = match self.bias {
                            Some(bias) => load::<S>(bias, panel * PANEL + lane),
                            None => simd.splat_f32s(0.0),
                        };
                        let write = Outputs {
                            block: self,
                            at: first + lane,
                            row,
                            many: inside[2],
                            bias,
                        };
                        with_forms!(
                            cut,
                            back::<S>(simd, cut, p, rows.lines(cut, t, lane), inside, write)
                        );
                    }
                    t += 1;
                }
            }
        }
    }
}

/// Writes the outputs of one vector of channels of one tile.
struct Outputs<'a, S: Simd> {
    block: &'a Block<'a>,
    /// First output voxel of the tile.
    at: usize,
    /// Distance of neighbouring rows.
    row: usize,
    /// Outputs of a row that are in the volume.
    many: usize,
    bias: S::f32s,
}

impl<S: Simd> tile::Write<S> for Outputs<'_, S> {
    #[inline(always)]
    fn write(&mut self, simd: S, [d, h]: [usize; 2], line: [S::f32s; form::MOST]) {
        let at = self.at + (d * self.block.shape.space[1] + h) * self.row;
        for w in 0..form::MOST {
            if w < self.many {
                let at = at + w * self.block.shape.c;
                // SAFETY: every output voxel belongs to one tile and every tile to
                // one task.
                let to = unsafe { self.block.shared.part(at..at + S::F32_LANES) };
                let mut value = simd.add_f32s(line[w], self.bias);
                if self.block.accumulate {
                    value = simd.add_f32s(value, load::<S>(to, 0));
                }
                tile::store::<S>(to, 0, value);
            }
        }
    }
}
