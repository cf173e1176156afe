//! The truth: nested loops, sums in f64, no tuning. (It writes its input out
//! once, which makes it bearable in tests; a kernel in use allocates nothing.)

use super::{Kernel, Problem, Size};
use crate::Context;
use crate::view::{Shape, Target, View};

/// Plain convolution.
pub struct Reference;

impl Kernel for Reference {
    fn name(&self) -> &'static str {
        "reference"
    }

    fn supports(&self, _: &Size) -> bool {
        true
    }

    fn growth(&self, _: &Size) -> f32 {
        1.0
    }

    fn scratch(&self, _: &Size, _: usize) -> usize {
        0
    }

    fn parts(&self, _: &Size) -> usize {
        1
    }

    fn forward(
        &self,
        _: Context<'_>,
        problem: &Problem<'_>,
        weights: &[f32],
        bias: Option<&[f32]>,
        out: Target<'_>,
        _: &mut [f32],
    ) {
        let y = problem.output();
        let in_c = problem.input.c();
        let (x, shape) = written_out(&problem.input);
        let [kernel_d, kernel_h, kernel_w] = problem.kernel;
        let mut moments = out.moments;
        if let Some(moments) = &mut moments {
            moments[..y.n * 2 * y.c].fill(0.0);
        }
        for n in 0..y.n {
            for d in 0..y.space[0] {
                for h in 0..y.space[1] {
                    for w in 0..y.space[2] {
                        for o in 0..y.c {
                            let mut sum = bias.map_or(0.0, |bias| f64::from(bias[o]));
                            for kd in 0..kernel_d {
                                for kh in 0..kernel_h {
                                    for kw in 0..kernel_w {
                                        for i in 0..in_c {
                                            let x = x[shape.at(n, [d + kd, h + kh, w + kw]) + i];
                                            let tap = (kd * kernel_h + kh) * kernel_w + kw;
                                            let weight = weights[(tap * in_c + i) * y.c + o];
                                            sum += x * f64::from(weight);
                                        }
                                    }
                                }
                            }
                            let at = [d + out.crop[0], h + out.crop[1], w + out.crop[2]];
                            let to = &mut out.data[out.shape.at(n, at) + o];
                            *to = if out.accumulate {
                                *to + sum as f32
                            } else {
                                sum as f32
                            };
                            if let Some(moments) = &mut moments {
                                let value = f64::from(*to);
                                moments[n * 2 * y.c + o] += value;
                                moments[(n * 2 + 1) * y.c + o] += value * value;
                            }
                        }
                    }
                }
            }
        }
    }

    fn backward_weights(
        &self,
        _: Context<'_>,
        problem: &Problem<'_>,
        d_out: &[f32],
        d_weights: &mut [f32],
        _: &mut [f32],
    ) {
        let y = problem.output();
        let in_c = problem.input.c();
        let (x, shape) = written_out(&problem.input);
        let [kernel_d, kernel_h, kernel_w] = problem.kernel;
        for kd in 0..kernel_d {
            for kh in 0..kernel_h {
                for kw in 0..kernel_w {
                    for i in 0..in_c {
                        for o in 0..y.c {
                            let mut sum = 0.0;
                            for n in 0..y.n {
                                for d in 0..y.space[0] {
                                    for h in 0..y.space[1] {
                                        for w in 0..y.space[2] {
                                            let x = x[shape.at(n, [d + kd, h + kh, w + kw]) + i];
                                            let dy = d_out[y.at(n, [d, h, w]) + o];
                                            sum += x * f64::from(dy);
                                        }
                                    }
                                }
                            }
                            let tap = (kd * kernel_h + kh) * kernel_w + kw;
                            d_weights[(tap * in_c + i) * y.c + o] += sum as f32;
                        }
                    }
                }
            }
        }
    }
}

/// The view as a tensor of its own.
fn written_out(view: &View<'_>) -> (Vec<f64>, Shape) {
    let shape = Shape {
        n: view.n(),
        space: view.padded(),
        c: view.c(),
    };
    let mut out = Vec::with_capacity(shape.len());
    for n in 0..shape.n {
        for d in 0..shape.space[0] {
            for h in 0..shape.space[1] {
                for w in 0..shape.space[2] {
                    out.extend((0..shape.c).map(|c| f64::from(view.value(n, [d, h, w], c))));
                }
            }
        }
    }
    (out, shape)
}
