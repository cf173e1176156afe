//! Numbers and comparisons that the kernel tests share.
#![allow(dead_code, reason = "each test file uses its part")]

use rand::Rng;
use unet3d_kernels::random::{Stream, generator};

/// Uniform in -1..1.
pub(crate) fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut random = generator(seed, Stream::Test, 0);
    (0..count)
        .map(|_| (random.next_u32() >> 8) as f32 / (1 << 23) as f32 - 1.0)
        .collect()
}

/// Small integers: sums are exact, so kernels must agree to the bit.
pub(crate) fn integers(count: usize, seed: u64) -> Vec<f32> {
    let mut random = generator(seed, Stream::Test, 1);
    (0..count)
        .map(|_| (random.next_u32() % 7) as f32 - 3.0)
        .collect()
}

/// Notes the first element that is further from the truth than
/// `4 eps sqrt(terms) * largest value` (docs/numerics.md), or than 0 where
/// the arithmetic is exact.
pub(crate) fn compare(
    failures: &mut Vec<String>,
    what: &str,
    got: &[f32],
    want: &[f32],
    terms: usize,
    exact: bool,
) {
    assert_eq!(got.len(), want.len(), "{what}");
    let largest = want.iter().fold(0f32, |m, v| m.max(v.abs()));
    let bound = if exact {
        0.0
    } else {
        4.0 * f32::EPSILON * (terms as f32).sqrt() * largest.max(1.0)
    };
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        if (g - w).abs() > bound || g.is_nan() {
            failures.push(format!(
                "{what}: element {i} is {g}, should be {w} (bound {bound:e})"
            ));
            return;
        }
    }
}

/// All failures at once.
pub(crate) fn report(failures: &[String]) {
    assert!(
        failures.is_empty(),
        "{} failures:\n{}",
        failures.len(),
        failures.join("\n")
    );
}
