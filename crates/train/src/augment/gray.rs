//! Gray values through a random monotone curve, as the authors' layer draws it.
//!
//! The curve starts as the line from a random black to a random white. Points
//! are inserted midway, each at a random height that keeps the slopes to both
//! neighbours in the allowed range; the polygon is rounded by a Gaussian of a
//! quarter of its spacing. A [`Curve`] is that as a table over 0..1, and linear
//! beyond it, so that no two gray values become one.

use rand::Rng;

use super::config::Gray;
use super::deformation::uniform;

/// Steps of the table (Caffe's has 256 entries); fine enough that its chords
/// and the curve differ by less than 1e-4 of the range.
const STEPS: usize = 256;

/// A monotone map of gray values, the identity on average.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// Heights at `i / STEPS`.
    table: [f32; STEPS + 1],
}

impl Curve {
    /// The curve that changes nothing.
    pub fn identity() -> Self {
        Self {
            table: std::array::from_fn(|i| i as f32 / STEPS as f32),
        }
    }

    /// A random curve.
    pub fn draw(gray: &Gray, rng: &mut impl Rng) -> Self {
        let intervals = 1usize << gray.insertions;
        let mut points = vec![0.0; intervals + 1];
        points[0] = uniform(gray.black, rng);
        points[intervals] = uniform(gray.white, rng);
        let mut step = intervals;
        while step > 1 {
            let rise =
                [gray.slope[0], gray.slope[1]].map(|s| s * (step / 2) as f64 / intervals as f64);
            for left in (0..intervals).step_by(step) {
                let (low, high) = (points[left], points[left + step]);
                let least = (low + rise[0]).max(high - rise[1]);
                let most = (low + rise[1]).min(high - rise[0]);
                // Where ends drawn too far apart leave no height that keeps
                // both slopes, the line between them stays as it is.
                points[left + step / 2] = if least <= most {
                    uniform([least, most], rng)
                } else {
                    (low + high) / 2.0
                };
            }
            step /= 2;
        }
        Self::smoothed(&points)
    }

    /// Height of the curve at `t`.
    pub fn at(&self, t: f32) -> f32 {
        let scaled = t * STEPS as f32;
        // Held inside by one step: beyond, the last chord goes on.
        let step = scaled.clamp(0.0, (STEPS - 1) as f32) as usize;
        let low = self.table[step];
        low + (scaled - step as f32) * (self.table[step + 1] - low)
    }

    /// The polygon through evenly spaced `points`, rounded.
    fn smoothed(points: &[f64]) -> Self {
        let spacing = 1.0 / (points.len() - 1) as f64;
        let sigma = spacing / 4.0;
        let reach = (3.0 * sigma * STEPS as f64).ceil() as i64;
        let kernel: Vec<f64> = (-reach..=reach)
            .map(|i| (-0.5 * (i as f64 / STEPS as f64 / sigma).powi(2)).exp())
            .collect();
        let sum: f64 = kernel.iter().sum();
        let table = std::array::from_fn(|i| {
            let heights = kernel.iter().zip(-reach..).map(|(weight, offset)| {
                let t = (i as i64 + offset) as f64 / STEPS as f64;
                weight * polygon(points, t)
            });
            (heights.sum::<f64>() / sum) as f32
        });
        Self { table }
    }
}

/// Height of the polygon at `t`; its ends go on as lines.
fn polygon(points: &[f64], t: f64) -> f64 {
    let intervals = points.len() - 1;
    let scaled = t * intervals as f64;
    let left = scaled.clamp(0.0, (intervals - 1) as f64) as usize;
    points[left] + (scaled - left as f64) * (points[left + 1] - points[left])
}

/// Sends every channel of a patch (`[.., c]`) through its own random curve.
///
/// `sample` is working memory. Channels without contrast stay as they are.
pub fn change(
    gray: &Gray,
    patch: &mut [f32],
    channels: usize,
    rng: &mut impl Rng,
    sample: &mut Vec<f32>,
) {
    if !gray.enabled {
        return;
    }
    for c in 0..channels {
        let curve = Curve::draw(gray, rng);
        let [low, high] = range(patch, channels, c, sample);
        let width = high - low;
        if !(width > 0.0 && width.is_finite()) {
            continue;
        }
        for value in patch[c..].iter_mut().step_by(channels) {
            *value = low + width * curve.at((*value - low) / width);
        }
    }
}

/// The 1st and the 99th percentile of a channel, from evenly spaced voxels.
fn range(patch: &[f32], channels: usize, c: usize, sample: &mut Vec<f32>) -> [f32; 2] {
    // 4,000 voxels give percentiles to within a few tenths of a percent.
    const VOXELS: usize = 4000;
    let voxels = patch.len() / channels;
    // An odd stride does not fall into step with rows of even length.
    let stride = (voxels / VOXELS) | 1;
    sample.clear();
    sample.extend(patch.iter().skip(c).step_by(stride * channels));
    if sample.is_empty() {
        return [0.0; 2];
    }
    let rank = (sample.len() - 1) / 100;
    let last = sample.len() - 1;
    let low = *sample.select_nth_unstable_by(rank, f32::total_cmp).1;
    let high = *sample.select_nth_unstable_by(last - rank, f32::total_cmp).1;
    [low, high]
}

#[cfg(test)]
mod tests {
    use super::*;
    use unet3d_kernels::random::{Stream, generator};

    #[test]
    fn curves_rise_within_their_slopes() {
        let gray = Gray::default();
        let mut rng = generator(1, Stream::Test, 0);
        for _ in 0..200 {
            let curve = Curve::draw(&gray, &mut rng);
            assert!((-0.08..0.08).contains(&curve.at(0.0)), "{}", curve.at(0.0));
            assert!((0.92..1.08).contains(&curve.at(1.0)), "{}", curve.at(1.0));
            for i in -100..400 {
                let slope = (curve.at((i + 1) as f32 / 256.0) - curve.at(i as f32 / 256.0)) * 256.0;
                // f32 heights near 1 carry 256 * 1.2e-7 of slope.
                assert!((0.7999..1.2001).contains(&slope), "step {i}: slope {slope}");
            }
        }
    }

    #[test]
    fn a_curve_without_freedom_is_the_identity() {
        let gray = Gray {
            black: [0.0; 2],
            white: [1.0; 2],
            slope: [1.0; 2],
            ..Gray::default()
        };
        let curve = Curve::draw(&gray, &mut generator(1, Stream::Test, 1));
        for i in -10..30 {
            let t = i as f32 / 20.0;
            assert!((curve.at(t) - t).abs() < 1e-5, "{t} became {}", curve.at(t));
            assert!((Curve::identity().at(t) - t).abs() < 1e-6);
        }
    }

    #[test]
    fn ends_out_of_reach_of_the_slopes_still_give_a_rising_curve() {
        let gray = Gray {
            black: [0.4; 2],
            white: [0.6; 2],
            ..Gray::default()
        };
        let curve = Curve::draw(&gray, &mut generator(1, Stream::Test, 2));
        assert!((curve.at(0.5) - 0.5).abs() < 1e-5);
        assert!(curve.at(0.9) > curve.at(0.1));
    }

    #[test]
    fn channels_have_curves_of_their_own_and_order_is_kept() {
        let gray = Gray::default();
        let mut patch: Vec<f32> = (0..900).flat_map(|i| [i as f32, i as f32, 5.0]).collect();
        let mut sample = Vec::new();
        change(
            &gray,
            &mut patch,
            3,
            &mut generator(1, Stream::Test, 3),
            &mut sample,
        );
        let channel = |c: usize| patch.iter().skip(c).step_by(3);
        for c in 0..2 {
            assert!(
                channel(c).is_sorted_by(|a, b| a < b),
                "channel {c} lost its order"
            );
        }
        assert!(channel(0).zip(channel(1)).any(|(a, b)| (a - b).abs() > 1.0));
        assert!(channel(2).all(|&v| v == 5.0), "no contrast, no change");
    }

    #[test]
    fn extreme_voxels_do_not_set_the_range() {
        let mut sample = Vec::new();
        let patch: Vec<f32> = (0..1000)
            .map(|i| if i == 7 { 1e6 } else { i as f32 })
            .collect();
        let [low, high] = range(&patch, 1, 0, &mut sample);
        assert!(
            (5.0..20.0).contains(&low) && (980.0..1000.0).contains(&high),
            "{low} {high}"
        );
        assert_eq!(range(&[], 1, 0, &mut sample), [0.0; 2]);
    }
}
