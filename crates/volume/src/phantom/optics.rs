//! The microscope: blur, light lost in depth, noise, eight bits.

use rand::Rng;

use super::cells::Noise;
use super::tubes::{Grid, between, normal};

/// Deviation of the point spread along z, y, x in micrometres. A confocal
/// microscope resolves about three times worse along its axis than across.
const BLUR: [f32; 3] = [2.1, 0.8, 0.8];
/// Depth in micrometres at which 1/e of the light is left: the deepest slice of
/// the paper's volumes (130 um) is then at 48 %.
const DEPTH: f32 = 180.0;
/// Photons that make full brightness. 60 give a noise of 9 % of full scale at
/// half of it, of the order seen in fast confocal stacks.
const PHOTONS: f32 = 60.0;
/// Noise of the electronics, and the level of black, as shares of full scale.
const READ_NOISE: f32 = 0.015;
const BLACK: f32 = 0.03;

/// What the microscope makes of a channel of brightness 0 to about 1.
pub(super) fn photograph(channel: &mut [f32], grid: &Grid, rng: &mut impl Rng) -> Vec<u8> {
    for axis in 0..3 {
        blur(channel, grid, axis);
    }
    // Uneven illumination and absorption by what lies above.
    let uneven = Noise::new(grid, 120.0, rng);
    let depth = DEPTH * between(rng, [0.85, 1.15]);
    let mut out = Vec::with_capacity(channel.len());
    for z in 0..grid.shape[0] {
        let at_z = (z as f32 + 0.5) * grid.spacing[0];
        let left = (-at_z / depth).exp();
        for y in 0..grid.shape[1] {
            let at_y = (y as f32 + 0.5) * grid.spacing[1];
            for x in 0..grid.shape[2] {
                let at_x = (x as f32 + 0.5) * grid.spacing[2];
                let light = left * (0.8 + 0.4 * uneven.at([at_z, at_y, at_x]));
                let signal = light * channel[out.len()];
                let deviation = (signal / PHOTONS + READ_NOISE * READ_NOISE).sqrt();
                let seen = BLACK + signal + deviation * normal(rng);
                // `as` clips to 0 and 255, as a detector does.
                out.push((seen * 255.0 + 0.5) as u8);
            }
        }
    }
    out
}

/// Gaussian blur along one axis; the border value continues outside.
fn blur(channel: &mut [f32], grid: &Grid, axis: usize) {
    let n = grid.shape[axis];
    if channel.is_empty() {
        return;
    }
    let deviation = BLUR[axis] / grid.spacing[axis];
    // Three deviations hold 99.7 %.
    let reach = (3.0 * deviation).ceil() as usize;
    let mut kernel: Vec<f32> = (0..=2 * reach)
        .map(|k| (-0.5 * ((k as f32 - reach as f32) / deviation).powi(2)).exp())
        .collect();
    let sum: f32 = kernel.iter().sum();
    kernel.iter_mut().for_each(|k| *k /= sum);

    let inner: usize = grid.shape[axis + 1..].iter().product();
    let mut copy = vec![0.0; n * inner];
    for block in channel.chunks_exact_mut(n * inner) {
        copy.copy_from_slice(block);
        for (i, out) in block.chunks_exact_mut(inner).enumerate() {
            out.fill(0.0);
            for (k, &weight) in kernel.iter().enumerate() {
                let from = (i + k).saturating_sub(reach).min(n - 1);
                let line = &copy[from * inner..][..inner];
                for (out, v) in out.iter_mut().zip(line) {
                    *out += weight * v;
                }
            }
        }
    }
}
