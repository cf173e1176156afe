//! Normalisation: channel statistics, and the gradient through pooling, dropout,
//! activation and normalisation in one.
//!
//! Forward, only sums are computed here; what follows from them (a scale and a
//! shift for each sample and channel) is applied by whoever loads the value.
//! Sums are f64, one plane at a time, planes in order: the bits do not depend
//! on the number of threads, and `E[y^2] - E[y]^2` loses nothing that f32 had.
//!
//! Backward, memory is the limit, so it is walked twice and no more: once to read
//! for the sums, once to read again and write what follows from them.

mod pooled;
pub mod reference;

use std::ops::Range;

use pulp::{Simd, WithSimd};

use crate::Context;
use crate::micro::{PANEL, PAST_CACHES, doubles_of, prefetch, widened};
use crate::view::{Lanes, Shape, Source, Transform, load_lanes, store_lanes};
pub use pooled::Unpool;
use pooled::{PooledApply, PooledSums, Windows};

/// Length of the f64 workspace for tensors of this shape.
pub fn workspace(shape: Shape) -> usize {
    shape.n * shape.space[0] * 2 * shape.c
}

/// `sums[n][0][c] = sum of y`, `sums[n][1][c] = sum of y * y`, each over one
/// sample. `workspace` holds the sums of the planes.
pub fn moments(
    context: Context<'_>,
    y: &[f32],
    shape: Shape,
    workspace: &mut [f64],
    sums: &mut [f64],
) {
    plane_sums(context, shape, workspace, sums, |plane, part| {
        let len = shape.at(0, [1, 0, 0]);
        context.isa.run(Moments {
            y: &y[plane * len..][..len],
            part,
        });
    });
}

/// `sums[n][k][c]` from the [`moments`](crate::Target::moments) that a convolution
/// left in `parts`, `[n][part][2][c]`: added in order.
pub fn sum_parts(parts: &[f64], samples: usize, sums: &mut [f64]) {
    let two = sums.len() / samples;
    sums.fill(0.0);
    for (sums, parts) in sums
        .chunks_exact_mut(two)
        .zip(parts.chunks_exact(parts.len() / samples))
    {
        for part in parts.chunks_exact(two) {
            sums.iter_mut().zip(part).for_each(|(to, from)| *to += from);
        }
    }
}

/// `sums[n][0][c] = sum of g` over one sample: the gradient of a bias.
pub fn channel_sums(
    context: Context<'_>,
    g: &[f32],
    shape: Shape,
    workspace: &mut [f64],
    sums: &mut [f64],
) {
    plane_sums(context, shape, workspace, sums, |plane, part| {
        let g = &g[plane * shape.at(0, [1, 0, 0])..][..shape.at(0, [1, 0, 0])];
        context.isa.run(GradientSums {
            y: g,
            g,
            transform: None,
            normalised: None,
            first: 0,
            n: 0,
            part,
        });
    });
}

/// What the gradient through a normalisation needs of the forward pass, for
/// each sample and channel: `x_hat = (y - mean) * inv_std`.
#[derive(Clone, Copy, Debug)]
pub struct Normalised<'a> {
    /// `n * c`.
    pub mean: &'a [f32],
    /// `n * c`.
    pub inv_std: &'a [f32],
}

/// A value whose gradient goes back through what is done to it when it is read.
#[derive(Clone, Copy, Debug)]
pub struct Value<'a> {
    /// As it is stored, `n d h w c`.
    pub y: &'a [f32],
    /// Of `y`.
    pub shape: Shape,
    /// What is done to it.
    pub transform: Transform<'a>,
    /// What its gradient lacks, where it is pooled: whatever gradient `dz` by the
    /// transformed value is given, `dz` inside [`Unpool::present`] and 0 elsewhere is
    /// meant, and that of the maxima added.
    pub unpool: Option<Unpool<'a>>,
}

/// Of the gradient `g` by `u = scale * y + shift` that follows from the gradient
/// `dz` by the transformed value, the sums `[n][0][c]` of `g` and `[n][1][c]` of
/// `g * x_hat` (of `g` alone where nothing is normalised). `g` itself is not
/// stored: computing it again costs less than writing and reading it.
pub fn backward_sums(
    context: Context<'_>,
    value: &Value<'_>,
    normalised: Option<Normalised<'_>>,
    dz: &[f32],
    workspace: &mut [f64],
    sums: &mut [f64],
) {
    let Value {
        y,
        shape,
        ref transform,
        unpool,
    } = *value;
    if let Some(unpool) = unpool {
        let source = &source_of(value);
        let pooled = unpool.shape(shape);
        plane_sums(context, pooled, workspace, sums, |plane, part| {
            let (n, d) = (plane / pooled.space[0], plane % pooled.space[0]);
            let planes = d * unpool.window[0]..(d + 1) * unpool.window[0];
            for row in unpool.present.rows(planes) {
                let [first, end] = row.map(|at| shape.at(n, at));
                context.isa.run(GradientSums {
                    y: &y[first..end],
                    g: &dz[first..end],
                    transform: Some(transform),
                    normalised,
                    first,
                    n,
                    part,
                });
            }
            context.isa.run(PooledSums {
                windows: Windows {
                    y: source,
                    transform,
                    unpool,
                    plane,
                },
                normalised,
                part,
            });
        });
        return;
    }
    let len = shape.at(0, [1, 0, 0]);
    plane_sums(context, shape, workspace, sums, |plane, part| {
        context.isa.run(GradientSums {
            y: &y[plane * len..][..len],
            g: &dz[plane * len..][..len],
            transform: Some(transform),
            normalised,
            first: plane * len,
            n: plane / shape.space[0],
            part,
        });
    });
}

/// From the gradient `dz` by the transformed value to the gradient by the stored
/// one, in place: `g`, or `a * g + (b * y + c)` for each sample and channel with
/// the coefficients that follow from the sums.
pub fn backward_apply(
    context: Context<'_>,
    value: &Value<'_>,
    coefficients: Option<[&[f32]; 3]>,
    dz: &mut [f32],
) {
    let Value {
        y,
        shape,
        ref transform,
        unpool,
    } = *value;
    let coefficients = coefficients.map(Coefficients);
    let dz = &mut dz[..shape.len()];
    if let Some(unpool) = unpool {
        let y = &source_of(value);
        let len = shape.at(0, [unpool.window[0], 0, 0]);
        // Not where half of a cache line is written at a time.
        let past_caches = shape.len() >= PAST_CACHES && context.isa.lanes() == PANEL;
        context
            .threads
            .for_each_chunk(dz, len, &mut [], |plane, part, _| {
                context.isa.run(PooledApply {
                    windows: Windows {
                        y,
                        transform,
                        unpool,
                        plane,
                    },
                    coefficients,
                    first: plane * len,
                    past_caches,
                    part,
                });
            });
        return;
    }
    let len = shape.at(0, [1, 0, 0]);
    context
        .threads
        .for_each_chunk(dz, len, &mut [], |plane, part, _| {
            context.isa.run(Apply {
                y: &y[plane * len..][..len],
                transform,
                coefficients,
                first: plane * len,
                n: plane / shape.space[0],
                c: shape.c,
                part,
            });
        });
}

/// A value as operations read it.
fn source_of<'a>(value: &Value<'a>) -> Source<'a> {
    Source {
        data: value.y,
        shape: value.shape,
        crop: [0; 3],
        transform: Some(value.transform),
    }
}

/// Fills `workspace` plane by plane through `f` and adds planes up in order.
fn plane_sums(
    context: Context<'_>,
    shape: Shape,
    workspace: &mut [f64],
    sums: &mut [f64],
    f: impl Fn(usize, &mut [f64]) + Sync,
) {
    let two = 2 * shape.c;
    let planes = shape.n * shape.space[0];
    let workspace = &mut workspace[..planes * two];
    context
        .threads
        .for_each_chunk(workspace, two, &mut [], |plane, part, _| {
            part.fill(0.0);
            f(plane, part);
        });
    let sums = &mut sums[..shape.n * two];
    sums.fill(0.0);
    for (plane, from) in workspace.chunks_exact(two).enumerate() {
        let n = plane / shape.space[0];
        sums[n * two..][..two]
            .iter_mut()
            .zip(from)
            .for_each(|(to, from)| *to += from);
    }
}

/// Floats of a tensor over which sums are kept in registers, channels outside,
/// voxels inside: 8 KB of each of two tensors stay in the first cache until the
/// last channels have been there.
const BLOCK: usize = 2048;

/// Calls `add(voxels, i, many)` of a task for all blocks of voxels (as a range of
/// elements) and vectors of channels of a plane.
macro_rules! by_blocks {
    ($self:ident, $simd:ident, $len:expr, $c:expr) => {
        let (len, c) = ($len, $c);
        let block = (BLOCK / c).max(1) * c;
        let whole = c / S::F32_LANES * S::F32_LANES;
        for start in (0..len).step_by(block) {
            let end = len.min(start + block);
            for i in (0..whole).step_by(S::F32_LANES) {
                $self.add::<S, true>($simd, start..end, i, S::F32_LANES);
            }
            if whole < c {
                $self.add::<S, false>($simd, start..end, whole, c - whole);
            }
        }
    };
}

/// Sums of values and of products, of a vector of channels.
struct Sums<S: Simd> {
    values: [S::f64s; 2],
    products: [S::f64s; 2],
}

impl<S: Simd> Sums<S> {
    #[inline(always)]
    fn new(simd: S) -> Self {
        let zero = [simd.splat_f64s(0.0); 2];
        Self {
            values: zero,
            products: zero,
        }
    }

    #[inline(always)]
    fn add_value(&mut self, simd: S, a: [S::f64s; 2]) {
        for half in 0..2 {
            self.values[half] = simd.add_f64s(self.values[half], a[half]);
        }
    }

    /// A product of two floats is exact.
    #[inline(always)]
    fn add_product(&mut self, simd: S, a: [S::f64s; 2], b: [S::f64s; 2]) {
        for half in 0..2 {
            let product = simd.mul_f64s(a[half], b[half]);
            self.products[half] = simd.add_f64s(self.products[half], product);
        }
    }

    /// Adds `g` and, of a normalised value `y`, `g * x_hat`; `many` channels from
    /// `nc = n * C + c` on.
    #[inline(always)]
    fn add_gradient<const WHOLE: bool>(
        &mut self,
        simd: S,
        g: S::f32s,
        y: S::f32s,
        normalised: Option<Normalised<'_>>,
        (nc, many): (usize, usize),
    ) {
        let g = widened::<S>(g);
        self.add_value(simd, g);
        if let Some(Normalised { mean, inv_std }) = normalised {
            let mean = load_lanes::<S, WHOLE>(simd, &mean[nc..], many);
            let inv_std = load_lanes::<S, WHOLE>(simd, &inv_std[nc..], many);
            let x_hat = simd.mul_f32s(simd.sub_f32s(y, mean), inv_std);
            self.add_product(simd, g, widened::<S>(x_hat));
        }
    }

    /// Adds them to those of a plane, `[2][c]`, from channel `i` on.
    #[inline(always)]
    fn flush(&self, part: &mut [f64], i: usize, many: usize) {
        let (values, products) = part.split_at_mut(part.len() / 2);
        let add = [(values, &self.values), (products, &self.products)];
        for (to, from) in add {
            for (to, from) in to[i..][..many].iter_mut().zip(doubles_of::<S>(from)) {
                *to += from;
            }
        }
    }
}

struct Moments<'a> {
    y: &'a [f32],
    /// `[2][c]`.
    part: &'a mut [f64],
}

impl WithSimd for Moments<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        by_blocks!(self, simd, self.y.len(), self.part.len() / 2);
    }
}

impl Moments<'_> {
    #[inline(always)]
    fn add<S: Simd, const WHOLE: bool>(
        &mut self,
        simd: S,
        voxels: Range<usize>,
        i: usize,
        many: usize,
    ) {
        let ahead = voxels.len();
        let mut sums = Sums::new(simd);
        for at in voxels.step_by(self.part.len() / 2) {
            let y = &self.y[at + i..];
            prefetch(y.as_ptr().wrapping_add(ahead));
            let y = widened::<S>(load_lanes::<S, WHOLE>(simd, y, many));
            sums.add_value(simd, y);
            sums.add_product(simd, y, y);
        }
        sums.flush(self.part, i, many);
    }
}

struct GradientSums<'a> {
    y: &'a [f32],
    g: &'a [f32],
    /// What `g` has still to go through.
    transform: Option<&'a Transform<'a>>,
    normalised: Option<Normalised<'a>>,
    /// Element with which `y` and `g` begin, and its sample.
    first: usize,
    n: usize,
    /// `[2][c]`.
    part: &'a mut [f64],
}

impl WithSimd for GradientSums<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        by_blocks!(self, simd, self.g.len(), self.part.len() / 2);
    }
}

impl GradientSums<'_> {
    #[allow(
        clippy::manual_map,
        reason = "a closure that is not inlined passes vectors through memory"
    )]
    #[inline(always)]
    fn add<S: Simd, const WHOLE: bool>(
        &mut self,
        simd: S,
        voxels: Range<usize>,
        i: usize,
        many: usize,
    ) {
        let c = self.part.len() / 2;
        let nc = self.n * c + i;
        let lanes = match self.transform {
            Some(transform) => Some(Lanes::of::<WHOLE>(simd, transform, nc, many)),
            None => None,
        };
        let ahead = voxels.len();
        let mut sums = Sums::new(simd);
        for at in voxels.step_by(c) {
            let (y, g) = (&self.y[at + i..], &self.g[at + i..]);
            prefetch(y.as_ptr().wrapping_add(ahead));
            prefetch(g.as_ptr().wrapping_add(ahead));
            let y = load_lanes::<S, WHOLE>(simd, y, many);
            let mut g = load_lanes::<S, WHOLE>(simd, g, many);
            if let Some(lanes) = &lanes {
                g = lanes.back(simd, y, g, self.first + at + i);
            }
            sums.add_gradient::<WHOLE>(simd, g, y, self.normalised, (nc, many));
        }
        sums.flush(self.part, i, many);
    }
}

/// `a`, `b` and `c` of `a * g + (b * y + c)`, each for all samples and channels.
#[derive(Clone, Copy)]
struct Coefficients<'a>([&'a [f32]; 3]);

impl Coefficients<'_> {
    /// The gradient by `many` channels from `nc = n * C + c` on of the value `y`.
    #[inline(always)]
    fn apply<S: Simd, const WHOLE: bool>(
        &self,
        simd: S,
        g: S::f32s,
        y: S::f32s,
        nc: usize,
        many: usize,
    ) -> S::f32s {
        let [a, b, k] = self.0;
        let a = load_lanes::<S, WHOLE>(simd, &a[nc..], many);
        let b = load_lanes::<S, WHOLE>(simd, &b[nc..], many);
        let k = load_lanes::<S, WHOLE>(simd, &k[nc..], many);
        let by_y = simd.add_f32s(simd.mul_f32s(b, y), k);
        simd.add_f32s(simd.mul_f32s(a, g), by_y)
    }
}

struct Apply<'a> {
    y: &'a [f32],
    transform: &'a Transform<'a>,
    coefficients: Option<Coefficients<'a>>,
    /// Element with which `y` and `part` begin, and its sample.
    first: usize,
    n: usize,
    c: usize,
    part: &'a mut [f32],
}

impl WithSimd for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let c = self.c;
        let whole = c / S::F32_LANES * S::F32_LANES;
        for start in (0..self.part.len()).step_by(c) {
            for i in (0..whole).step_by(S::F32_LANES) {
                self.apply::<S, true>(simd, start, i, S::F32_LANES);
            }
            if whole < c {
                self.apply::<S, false>(simd, start, whole, c - whole);
            }
        }
    }
}

impl Apply<'_> {
    /// Does `many` channels from `i` on of the voxel that begins at `start`.
    #[inline(always)]
    fn apply<S: Simd, const WHOLE: bool>(&mut self, simd: S, start: usize, i: usize, many: usize) {
        let nc = self.n * self.c + i;
        let to = &mut self.part[start + i..];
        let y = load_lanes::<S, WHOLE>(simd, &self.y[start + i..], many);
        let dz = load_lanes::<S, WHOLE>(simd, to, many);
        let lanes = Lanes::of::<WHOLE>(simd, self.transform, nc, many);
        let mut dy = lanes.back(simd, y, dz, self.first + start + i);
        if let Some(coefficients) = self.coefficients {
            dy = coefficients.apply::<S, WHOLE>(simd, dy, y, nc, many);
        }
        store_lanes::<S, WHOLE>(simd, dy, to, many);
    }
}
