//! The truth: nested loops.

use super::{output, place};
use crate::view::{Region, Source, View};

/// Calls `f(n, output voxel offset + channel, input voxel of the maximum, channel, maximum)`.
fn maxima(
    input: &Source<'_>,
    window: [usize; 3],
    mut f: impl FnMut(usize, usize, [usize; 3], usize, f32),
) {
    let y = output(input.shape, window);
    for n in 0..y.n {
        for d in 0..y.space[0] {
            for h in 0..y.space[1] {
                for w in 0..y.space[2] {
                    for c in 0..y.c {
                        let mut best = (f32::NEG_INFINITY, [0; 3]);
                        for tap in 0..window.iter().product() {
                            let at = place([d, h, w], window, tap);
                            let value = View::of(input).value(n, at, c);
                            if tap == 0 || value > best.0 {
                                best = (value, at);
                            }
                        }
                        f(n, y.at(n, [d, h, w]) + c, best.1, c, best.0);
                    }
                }
            }
        }
    }
}

/// Computes the pooled values.
pub fn forward(input: &Source<'_>, window: [usize; 3], out: &mut [f32]) {
    maxima(input, window, |_, to, _, _, value| out[to] = value);
}

/// The gradient by the transformed input, added to what `present` says is there.
pub fn backward(
    input: &Source<'_>,
    window: [usize; 3],
    dy: &[f32],
    present: Region,
    dx: &mut [f32],
) {
    let shape = input.shape;
    for (voxel, channels) in dx.chunks_exact_mut(shape.c).enumerate() {
        let [_, height, width] = shape.space;
        let d = voxel / (height * width) % shape.space[0];
        if !present.contains([d, voxel / width % height, voxel % width]) {
            channels.fill(0.0);
        }
    }
    maxima(input, window, |n, to, at, c, _| {
        dx[shape.at(n, at) + c] += dy[to]
    });
}
