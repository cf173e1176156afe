//! The truth: nested loops, sums in f64, no tuning.

use super::Problem;

/// Calls `f(input voxel offset, output voxel offset, tap)` for every pair.
fn pairs(problem: &Problem<'_>, mut f: impl FnMut(usize, [usize; 3], usize, usize)) {
    let (x, y) = (problem.input.shape, problem.size().output());
    let [window_d, window_h, window_w] = problem.window;
    for n in 0..y.n {
        for d in 0..y.space[0] {
            for h in 0..y.space[1] {
                for w in 0..y.space[2] {
                    let from = [d / window_d, h / window_h, w / window_w];
                    let tap = ((d % window_d) * window_h + h % window_h) * window_w + w % window_w;
                    debug_assert!(x.at(n, from) < x.len());
                    f(n, from, y.at(n, [d, h, w]), tap);
                }
            }
        }
    }
}

/// Computes `y`, `n d h w o`.
pub fn forward(problem: &Problem<'_>, weights: &[f32], bias: Option<&[f32]>, y: &mut [f32]) {
    let (in_c, out_c) = (problem.input.shape.c, problem.out_c);
    pairs(problem, |n, from, to, tap| {
        for o in 0..out_c {
            let mut sum = bias.map_or(0.0, |bias| f64::from(bias[o]));
            for i in 0..in_c {
                let weight = weights[(tap * in_c + i) * out_c + o];
                sum += f64::from(problem.view().value(n, from, i)) * f64::from(weight);
            }
            y[to + o] = sum as f32;
        }
    });
}

/// Computes the gradient by the (transformed) input, `n d h w i`.
pub fn backward_input(problem: &Problem<'_>, weights: &[f32], dy: &[f32], dx: &mut [f32]) {
    let (in_c, out_c) = (problem.input.shape.c, problem.out_c);
    let mut sums = vec![0.0f64; dx.len()];
    pairs(problem, |n, from, to, tap| {
        let at = problem.input.shape.at(n, from);
        for i in 0..in_c {
            for o in 0..out_c {
                let weight = weights[(tap * in_c + i) * out_c + o];
                sums[at + i] += f64::from(dy[to + o]) * f64::from(weight);
            }
        }
    });
    dx.iter_mut()
        .zip(sums)
        .for_each(|(dx, sum)| *dx = sum as f32);
}

/// Adds the gradient by the weights, `a b c i o`.
pub fn backward_weights(problem: &Problem<'_>, dy: &[f32], dw: &mut [f32]) {
    let (in_c, out_c) = (problem.input.shape.c, problem.out_c);
    let mut sums = vec![0.0f64; dw.len()];
    pairs(problem, |n, from, to, tap| {
        for i in 0..in_c {
            let x = f64::from(problem.view().value(n, from, i));
            for o in 0..out_c {
                sums[(tap * in_c + i) * out_c + o] += x * f64::from(dy[to + o]);
            }
        }
    });
    dw.iter_mut()
        .zip(sums)
        .for_each(|(dw, sum)| *dw += sum as f32);
}
