//! The one-dimensional transforms F(m, 3) of Winograd's minimal filtering
//! (Lavin and Gray 2016): `m` outputs of a 3-wide kernel from `m + 2` inputs
//! with `m + 2` products.
//!
//! `y = A'[(G g) * (B' d)]`, by interpolation at 0, 1, -1 (m = 2), also 2
//! (m = 3), also -2 (m = 4), and infinity. The gradients are the adjoints:
//! by the kernel `G'[(A dy) * (B' d)]`. A 1-wide kernel is the identity, m = 1.

use pulp::Simd;

use crate::micro::mul_add;

/// Most inputs of a form.
pub(super) const MOST: usize = 6;

/// The forms a 3-wide kernel can take.
pub(super) const OUTPUTS: [usize; 3] = [2, 3, 4];

/// Inputs of a form with `m` outputs.
pub(super) const fn inputs(m: usize) -> usize {
    if m == 1 { 1 } else { m + 2 }
}

/// A transform of lines: what a tile goes through along each axis.
pub(super) trait Line {
    /// Values of a line that go in and come out for the form `m`.
    const SIZES: [(usize, usize); 5];

    /// The transformed line; only the first values count on both sides.
    fn apply<S: Simd>(simd: S, m: usize, line: [S::f32s; MOST]) -> [S::f32s; MOST];
}

/// `B'`: inputs to products.
pub(super) struct Input;
/// `A'`: products to outputs.
pub(super) struct Output;
/// `A`: gradients of outputs to products.
pub(super) struct OutputAdjoint;

impl Line for Input {
    const SIZES: [(usize, usize); 5] = [(0, 0), (1, 1), (4, 4), (5, 5), (6, 6)];

    #[inline(always)]
    fn apply<S: Simd>(simd: S, m: usize, line: [S::f32s; MOST]) -> [S::f32s; MOST] {
        input(simd, m, line)
    }
}

impl Line for Output {
    const SIZES: [(usize, usize); 5] = [(0, 0), (1, 1), (4, 2), (5, 3), (6, 4)];

    #[inline(always)]
    fn apply<S: Simd>(simd: S, m: usize, line: [S::f32s; MOST]) -> [S::f32s; MOST] {
        output(simd, m, line)
    }
}

impl Line for OutputAdjoint {
    const SIZES: [(usize, usize); 5] = [(0, 0), (1, 1), (2, 4), (3, 5), (4, 6)];

    #[inline(always)]
    fn apply<S: Simd>(simd: S, m: usize, line: [S::f32s; MOST]) -> [S::f32s; MOST] {
        output_adjoint(simd, m, line)
    }
}

/// `factor * a + b`.
#[inline(always)]
fn fma<S: Simd>(simd: S, factor: f32, a: S::f32s, b: S::f32s) -> S::f32s {
    mul_add(simd, simd.splat_f32s(factor), a, b)
}

/// `factor * a`.
#[inline(always)]
fn times<S: Simd>(simd: S, factor: f32, a: S::f32s) -> S::f32s {
    simd.mul_f32s(simd.splat_f32s(factor), a)
}

/// `B' d`.
#[inline(always)]
pub(super) fn input<S: Simd>(simd: S, m: usize, d: [S::f32s; MOST]) -> [S::f32s; MOST] {
    let [d0, d1, d2, d3, d4, d5] = d;
    match m {
        4 => {
            let (p, q) = (fma(simd, -4.0, d2, d4), fma(simd, -4.0, d1, d3));
            let (r, s) = (simd.sub_f32s(d4, d2), simd.sub_f32s(d3, d1));
            [
                fma(simd, 4.0, d0, fma(simd, -5.0, d2, d4)),
                simd.add_f32s(p, q),
                simd.sub_f32s(p, q),
                fma(simd, 2.0, s, r),
                fma(simd, -2.0, s, r),
                fma(simd, 4.0, d1, fma(simd, -5.0, d3, d5)),
            ]
        }
        3 => {
            let r = simd.sub_f32s(d3, d1);
            [
                fma(simd, 2.0, simd.sub_f32s(d0, d2), r),
                fma(simd, -2.0, d1, simd.sub_f32s(d3, d2)),
                fma(simd, 2.0, d1, fma(simd, -3.0, d2, d3)),
                r,
                fma(simd, -2.0, r, simd.sub_f32s(d4, d2)),
                d5,
            ]
        }
        2 => [
            simd.sub_f32s(d0, d2),
            simd.add_f32s(d1, d2),
            simd.sub_f32s(d2, d1),
            simd.sub_f32s(d1, d3),
            d4,
            d5,
        ],
        _ => d,
    }
}

/// `A' p`, the outputs in the first `m` places.
#[inline(always)]
pub(super) fn output<S: Simd>(simd: S, m: usize, p: [S::f32s; MOST]) -> [S::f32s; MOST] {
    let [p0, p1, p2, p3, p4, p5] = p;
    match m {
        4 => {
            let (s1, d1, s2, d2) = (
                simd.add_f32s(p1, p2),
                simd.sub_f32s(p1, p2),
                simd.add_f32s(p3, p4),
                simd.sub_f32s(p3, p4),
            );
            [
                simd.add_f32s(simd.add_f32s(p0, s1), s2),
                fma(simd, 2.0, d2, d1),
                fma(simd, 4.0, s2, s1),
                simd.add_f32s(fma(simd, 8.0, d2, d1), p5),
                p4,
                p5,
            ]
        }
        3 => {
            let (s, d) = (simd.add_f32s(p1, p2), simd.sub_f32s(p1, p2));
            [
                simd.add_f32s(simd.add_f32s(p0, s), p3),
                fma(simd, 2.0, p3, d),
                simd.add_f32s(fma(simd, 4.0, p3, s), p4),
                p3,
                p4,
                p5,
            ]
        }
        2 => [
            simd.add_f32s(p0, simd.add_f32s(p1, p2)),
            simd.sub_f32s(simd.sub_f32s(p1, p2), p3),
            p2,
            p3,
            p4,
            p5,
        ],
        _ => p,
    }
}

/// `A dy`, from the first `m` places.
#[inline(always)]
pub(super) fn output_adjoint<S: Simd>(simd: S, m: usize, y: [S::f32s; MOST]) -> [S::f32s; MOST] {
    let [y0, y1, y2, y3, y4, y5] = y;
    match m {
        4 => {
            let (even, odd) = (simd.add_f32s(y0, y2), simd.add_f32s(y1, y3));
            let (even4, odd4) = (fma(simd, 4.0, y2, y0), fma(simd, 4.0, y3, y1));
            [
                y0,
                simd.add_f32s(even, odd),
                simd.sub_f32s(even, odd),
                fma(simd, 2.0, odd4, even4),
                fma(simd, -2.0, odd4, even4),
                y3,
            ]
        }
        3 => {
            let even = simd.add_f32s(y0, y2);
            [
                y0,
                simd.add_f32s(even, y1),
                simd.sub_f32s(even, y1),
                fma(simd, 4.0, y2, fma(simd, 2.0, y1, y0)),
                y2,
                y5,
            ]
        }
        2 => [
            y0,
            simd.add_f32s(y0, y1),
            simd.sub_f32s(y0, y1),
            simd.neg_f32s(y1),
            y4,
            y5,
        ],
        _ => y,
    }
}

/// `G g`: from the three taps to the products of the form.
#[inline(always)]
pub(super) fn weights<S: Simd>(simd: S, m: usize, taps: [S::f32s; 3]) -> [S::f32s; MOST] {
    const SIXTH: f32 = 1.0 / 6.0;
    let [g0, g1, g2] = taps;
    let outer = simd.add_f32s(g0, g2);
    let (sum, difference) = (simd.add_f32s(outer, g1), simd.sub_f32s(outer, g1));
    match m {
        4 => {
            let even = fma(simd, SIXTH, g2, times(simd, 0.25 * SIXTH, g0));
            let odd = times(simd, 0.5 * SIXTH, g1);
            [
                times(simd, 0.25, g0),
                times(simd, -SIXTH, sum),
                times(simd, -SIXTH, difference),
                simd.add_f32s(even, odd),
                simd.sub_f32s(even, odd),
                g2,
            ]
        }
        3 => [
            times(simd, 0.5, g0),
            times(simd, -0.5, sum),
            times(simd, -SIXTH, difference),
            fma(
                simd,
                SIXTH,
                g0,
                fma(simd, 2.0 * SIXTH, g1, times(simd, 4.0 * SIXTH, g2)),
            ),
            g2,
            g2,
        ],
        2 => [
            g0,
            times(simd, 0.5, sum),
            times(simd, 0.5, difference),
            g2,
            g2,
            g2,
        ],
        _ => [g0, g1, g2, g0, g0, g0],
    }
}

/// `G' p`: the gradient of the three taps from that of the products.
#[inline(always)]
pub(super) fn weights_adjoint<S: Simd>(simd: S, m: usize, p: [S::f32s; MOST]) -> [S::f32s; 3] {
    const SIXTH: f32 = 1.0 / 6.0;
    let [p0, p1, p2, p3, p4, p5] = p;
    match m {
        4 => {
            let (s1, d1) = (simd.add_f32s(p1, p2), simd.sub_f32s(p2, p1));
            let (s2, d2) = (simd.add_f32s(p3, p4), simd.sub_f32s(p3, p4));
            let outer = times(simd, -SIXTH, s1);
            [
                fma(simd, 0.25, p0, fma(simd, 0.25 * SIXTH, s2, outer)),
                fma(simd, 0.5 * SIXTH, d2, times(simd, SIXTH, d1)),
                fma(simd, SIXTH, s2, simd.add_f32s(outer, p5)),
            ]
        }
        3 => {
            let outer = fma(simd, -0.5, p1, times(simd, -SIXTH, p2));
            [
                fma(simd, 0.5, p0, fma(simd, SIXTH, p3, outer)),
                fma(
                    simd,
                    2.0 * SIXTH,
                    p3,
                    fma(simd, -0.5, p1, times(simd, SIXTH, p2)),
                ),
                fma(simd, 4.0 * SIXTH, p3, simd.add_f32s(outer, p4)),
            ]
        }
        2 => {
            let half = times(simd, 0.5, simd.add_f32s(p1, p2));
            [
                simd.add_f32s(p0, half),
                times(simd, 0.5, simd.sub_f32s(p1, p2)),
                simd.add_f32s(p3, half),
            ]
        }
        _ => [p0, p1, p2],
    }
}

/// The rows of `G`: what [`weights`] computes, as a matrix.
#[cfg(test)]
pub(super) fn kernel(m: usize) -> &'static [[f32; 3]] {
    const SIXTH: f32 = 1.0 / 6.0;
    match m {
        4 => &[
            [0.25, 0.0, 0.0],
            [-SIXTH, -SIXTH, -SIXTH],
            [-SIXTH, SIXTH, -SIXTH],
            [0.25 * SIXTH, 0.5 * SIXTH, SIXTH],
            [0.25 * SIXTH, -0.5 * SIXTH, SIXTH],
            [0.0, 0.0, 1.0],
        ],
        3 => &[
            [0.5, 0.0, 0.0],
            [-0.5, -0.5, -0.5],
            [-SIXTH, SIXTH, -SIXTH],
            [SIXTH, 2.0 * SIXTH, 4.0 * SIXTH],
            [0.0, 0.0, 1.0],
        ],
        2 => &[
            [1.0, 0.0, 0.0],
            [0.5, 0.5, 0.5],
            [0.5, -0.5, 0.5],
            [0.0, 0.0, 1.0],
        ],
        _ => &[[1.0, 0.0, 0.0]],
    }
}

/// Growth of rounding errors over the direct sum, root mean square: with
/// independent inputs, product k has the size `|G_k| |B'_k|` and enters output
/// o with `A'_ok`, so the error of o is `sqrt(sum over k of (A'_ok |G_k|
/// |B'_k|)^2)` where the direct sum has `sqrt(3)`; the largest over o.
pub(super) fn growth(m: usize) -> f32 {
    match m {
        4 => 5.61,
        3 => 3.39,
        2 => 1.30,
        _ => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulp::Scalar256b;

    /// The matrix of a transform, by its columns.
    fn matrix(apply: impl Fn([pulp::f32x8; MOST]) -> [pulp::f32x8; MOST]) -> [[f64; MOST]; MOST] {
        let mut rows = [[0.0; MOST]; MOST];
        for column in 0..MOST {
            let mut unit = [Scalar256b.splat_f32s(0.0); MOST];
            unit[column] = Scalar256b.splat_f32s(1.0);
            for (row, value) in apply(unit).into_iter().enumerate() {
                rows[row][column] = f64::from(value.0);
            }
        }
        rows
    }

    #[test]
    fn forms_are_convolutions_and_their_adjoints() {
        for m in OUTPUTS {
            let b = matrix(|d| input(Scalar256b, m, d));
            let a = matrix(|p| output(Scalar256b, m, p));
            let adjoint = matrix(|y| output_adjoint(Scalar256b, m, y));
            let g = kernel(m);
            for o in 0..m {
                for i in 0..inputs(m) {
                    for tap in 0..3 {
                        let sum: f64 = (0..inputs(m))
                            .map(|k| a[o][k] * f64::from(g[k][tap]) * b[k][i])
                            .sum();
                        let want = f64::from(u8::from(i == o + tap));
                        assert!(
                            (sum - want).abs() < 1e-6,
                            "F({m},3): output {o} input {i} tap {tap}: {sum}"
                        );
                    }
                }
                for k in 0..inputs(m) {
                    assert_eq!(adjoint[k][o], a[o][k], "F({m},3): A[{k}][{o}]");
                }
            }
        }
    }

    #[test]
    fn weights_are_those_of_the_matrices() {
        let splat = |v: f32| Scalar256b.splat_f32s(v);
        for m in OUTPUTS {
            let g = kernel(m);
            for tap in 0..3 {
                let unit = std::array::from_fn(|t| splat(f32::from(u8::from(t == tap))));
                let products = weights(Scalar256b, m, unit);
                for k in 0..inputs(m) {
                    let want = g[k][tap];
                    assert!(
                        (products[k].0 - want).abs() < 1e-7,
                        "F({m},3): G[{k}][{tap}]"
                    );
                    let mut unit = [splat(0.0); MOST];
                    unit[k] = splat(1.0);
                    let taps = weights_adjoint(Scalar256b, m, unit);
                    assert!(
                        (taps[tap].0 - want).abs() < 1e-7,
                        "F({m},3): G'[{tap}][{k}] is {}, should be {want}",
                        taps[tap].0
                    );
                }
            }
        }
    }

    #[test]
    fn growth_is_that_of_the_matrices() {
        for m in OUTPUTS {
            let b = matrix(|d| input(Scalar256b, m, d));
            let a = matrix(|p| output(Scalar256b, m, p));
            let error = |o: usize| -> f64 {
                let square = |row: &mut dyn Iterator<Item = f64>| row.map(|v| v * v).sum::<f64>();
                let of = |k: usize| {
                    let g = square(&mut kernel(m)[k].iter().map(|v| f64::from(*v)));
                    a[o][k].powi(2) * g * square(&mut b[k][..inputs(m)].iter().copied())
                };
                ((0..inputs(m)).map(of).sum::<f64>() / 3.0).sqrt()
            };
            let largest = (0..m).map(error).fold(0.0, f64::max);
            let stated = f64::from(growth(m));
            assert!(
                largest <= stated && stated < 1.01 * largest,
                "F({m},3): {largest}, stated {stated}"
            );
        }
    }
}
