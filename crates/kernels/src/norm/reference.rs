//! The truth: batch and instance normalisation written out, sums in f64.

use crate::view::{Shape, Transform};

/// Mean and biased variance over the elements of channel `c` of sample `n`,
/// or of all samples where `n` is `None`.
pub fn mean_and_variance(y: &[f32], shape: Shape, n: Option<usize>, c: usize) -> (f64, f64) {
    let samples = n.map_or(0..shape.n, |n| n..n + 1);
    let len = shape.voxels() * shape.c;
    let values = || {
        samples
            .clone()
            .flat_map(|n| y[n * len..(n + 1) * len][c..].iter().step_by(shape.c))
    };
    let count = values().count() as f64;
    let mean = values().map(|v| f64::from(*v)).sum::<f64>() / count;
    let variance = values()
        .map(|v| (f64::from(*v) - mean).powi(2))
        .sum::<f64>()
        / count;
    (mean, variance)
}

/// The gradient by `u = scale * y + shift` for the gradient `dz` by the
/// transformed value.
pub fn backward_activation(
    y: &[f32],
    shape: Shape,
    transform: &Transform<'_>,
    dz: &[f32],
) -> Vec<f32> {
    let len = shape.voxels() * shape.c;
    let derivative = |i: usize| transform.derivative(y[i], i / len * shape.c + i % shape.c, i);
    dz.iter()
        .enumerate()
        .map(|(i, dz)| dz * derivative(i))
        .collect()
}
