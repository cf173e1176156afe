//! Normalisation: channel statistics, and the gradient through dropout,
//! activation and normalisation in one.
//!
//! Forward, only sums are computed here; what follows from them (a scale and a
//! shift for each sample and channel) is applied by whoever loads the value.
//! Sums are f64, one plane at a time, planes in order: the bits do not depend
//! on the number of threads, and `E[y^2] - E[y]^2` loses nothing that f32 had.

pub mod reference;

use pulp::{Simd, WithSimd};

use crate::conv3d::Context;
use crate::view::{Shape, Transform};

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
            normalised: None,
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

/// From the gradient `dz` by the transformed value to the gradient `g` by
/// `u = scale * y + shift`, in place, and the sums `[n][0][c]` of `g` and
/// `[n][1][c]` of `g * x_hat` (of `g` alone where nothing is normalised).
pub fn backward_activation(
    context: Context<'_>,
    (y, shape): (&[f32], Shape),
    transform: &Transform<'_>,
    normalised: Option<Normalised<'_>>,
    dz: &mut [f32],
    workspace: &mut [f64],
    sums: &mut [f64],
) {
    let len = shape.at(0, [1, 0, 0]);
    context.threads.for_each_part(
        dz,
        &mut [],
        shape.n * shape.space[0],
        |plane| plane * len..(plane + 1) * len,
        |plane, part, _| {
            let n = plane / shape.space[0];
            context.isa.run(Activation {
                y,
                transform,
                first: plane * len,
                n,
                c: shape.c,
                part,
            });
        },
    );
    let g = &*dz;
    plane_sums(context, shape, workspace, sums, |plane, part| {
        let n = plane / shape.space[0];
        let of = |all: &'_ [f32]| -> std::ops::Range<usize> {
            debug_assert!(all.len() >= (n + 1) * shape.c);
            n * shape.c..(n + 1) * shape.c
        };
        context.isa.run(GradientSums {
            y: &y[plane * len..][..len],
            g: &g[plane * len..][..len],
            normalised: normalised.map(|s| (&s.mean[of(s.mean)], &s.inv_std[of(s.inv_std)])),
            part,
        });
    });
}

/// `dy = a * g + b * y + c` for each sample and channel, in place on `g`:
/// the gradient by the raw value, whose coefficients follow from the sums.
pub fn backward_statistics(
    context: Context<'_>,
    (y, shape): (&[f32], Shape),
    [a, b, c]: [&[f32]; 3],
    g: &mut [f32],
) {
    let len = shape.at(0, [1, 0, 0]);
    context.threads.for_each_part(
        g,
        &mut [],
        shape.n * shape.space[0],
        |plane| plane * len..(plane + 1) * len,
        |plane, part, _| {
            let n = plane / shape.space[0] * shape.c;
            context.isa.run(Affine {
                y: &y[plane * len..][..len],
                coefficients: [a, b, c].map(|all| &all[n..n + shape.c]),
                part,
            });
        },
    );
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
    context.threads.for_each_part(
        workspace,
        &mut [],
        planes,
        |plane| plane * two..(plane + 1) * two,
        |plane, part, _| {
            part.fill(0.0);
            f(plane, part);
        },
    );
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

struct Moments<'a> {
    y: &'a [f32],
    /// `[2][c]`.
    part: &'a mut [f64],
}

impl WithSimd for Moments<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        add_moments(self.y, self.part);
    }
}

/// Adds the values of some voxels and their squares to `moments`, `[2][c]`.
#[inline(always)] // compiled for the caller's instruction set
pub(crate) fn add_moments(y: &[f32], moments: &mut [f64]) {
    let c = moments.len() / 2;
    let (sum, squares) = moments.split_at_mut(c);
    for row in y.chunks_exact(c) {
        for i in 0..c {
            let y = f64::from(row[i]);
            sum[i] += y;
            squares[i] += y * y;
        }
    }
}

struct Activation<'a> {
    y: &'a [f32],
    transform: &'a Transform<'a>,
    first: usize,
    n: usize,
    c: usize,
    part: &'a mut [f32],
}

impl WithSimd for Activation<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self {
            y,
            transform,
            first,
            n,
            c,
            part,
        } = self;
        let y = &y[first..first + part.len()];
        let scale = &transform.scale[n * c..][..c];
        let shift = &transform.shift[n * c..][..c];
        for (row, (g, y)) in part.chunks_exact_mut(c).zip(y.chunks_exact(c)).enumerate() {
            for i in 0..c {
                let u = y[i] * scale[i] + shift[i];
                g[i] = if u > 0.0 {
                    g[i]
                } else {
                    g[i] * transform.slope
                };
            }
            if let Some(dropout) = transform.dropout {
                for (i, g) in g.iter_mut().enumerate() {
                    *g *= dropout.factor(first + row * c + i);
                }
            }
        }
    }
}

struct GradientSums<'a> {
    y: &'a [f32],
    g: &'a [f32],
    normalised: Option<(&'a [f32], &'a [f32])>,
    part: &'a mut [f64],
}

impl WithSimd for GradientSums<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let c = self.part.len() / 2;
        let (sum, products) = self.part.split_at_mut(c);
        for (y, g) in self.y.chunks_exact(c).zip(self.g.chunks_exact(c)) {
            if let Some((mean, inv_std)) = self.normalised {
                for i in 0..c {
                    sum[i] += f64::from(g[i]);
                    products[i] += f64::from(g[i]) * f64::from((y[i] - mean[i]) * inv_std[i]);
                }
            } else {
                for i in 0..c {
                    sum[i] += f64::from(g[i]);
                }
            }
        }
    }
}

struct Affine<'a> {
    y: &'a [f32],
    coefficients: [&'a [f32]; 3],
    part: &'a mut [f32],
}

impl WithSimd for Affine<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let [a, b, k] = self.coefficients;
        let c = a.len();
        for (g, y) in self.part.chunks_exact_mut(c).zip(self.y.chunks_exact(c)) {
            for i in 0..c {
                g[i] = a[i] * g[i] + (b[i] * y[i] + k[i]);
            }
        }
    }
}
