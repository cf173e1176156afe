//! Dropout drops as often as it says, and nothing follows from what it dropped.

#![allow(clippy::unwrap_used, reason = "tests")]

use unet3d_kernels::Dropout;

const MANY: usize = 1 << 20;

/// 1 where an element is kept, 0 where it is dropped.
fn kept(key: u64, rate: f32) -> Vec<f64> {
    let dropout = Dropout { key, rate };
    (0..MANY)
        .map(|index| f64::from(u8::from(dropout.factor(index) > 0.0)))
        .collect()
}

/// Covariance over the deviation that chance gives it.
fn covariance(a: &[f64], b: &[f64], rate: f64) -> f64 {
    let many = a.len().min(b.len());
    let sum: f64 = a
        .iter()
        .zip(b)
        .map(|(a, b)| (a - (1.0 - rate)) * (b - (1.0 - rate)))
        .sum();
    sum / ((many as f64).sqrt() * rate * (1.0 - rate))
}

#[test]
fn as_many_are_dropped_as_the_rate_says() {
    for (key, rate) in [
        (0, 0.3),
        (1, 0.3),
        (u64::MAX, 0.5),
        (0x1234_5678_9ABC, 0.05),
    ] {
        let share = kept(key, rate).iter().sum::<f64>() / MANY as f64;
        let deviation = (f64::from(rate) * (1.0 - f64::from(rate)) / MANY as f64).sqrt();
        assert!(
            (share - (1.0 - f64::from(rate))).abs() < 4.0 * deviation,
            "key {key}, rate {rate}: {share} kept"
        );
    }
    let dropout = Dropout { key: 3, rate: 0.0 };
    assert!((0..1000).all(|index| dropout.factor(index) == 1.0));
}

#[test]
fn what_is_kept_is_scaled() {
    let dropout = Dropout { key: 3, rate: 0.2 };
    assert!((0..1000).all(|i| [0.0, 1.25].contains(&dropout.factor(i))));
}

/// Neighbours along every axis of a tensor, and the masks of other layers and steps.
#[test]
fn no_drop_follows_from_another() {
    let rate = 0.3;
    let one = kept(42, rate);
    for distance in [1, 2, 16, 32, 64, 128 * 32, 4096, 1 << 16] {
        let z = covariance(&one, &one[distance..], f64::from(rate));
        assert!(
            z.abs() < 4.5,
            "elements {distance} apart: {z:.1} deviations"
        );
    }
    for key in (0..64).map(|bit| 42 ^ (1 << bit)).chain([!42]) {
        let z = covariance(&one, &kept(key, rate), f64::from(rate));
        assert!(z.abs() < 4.5, "keys 42 and {key}: {z:.1} deviations");
    }
}
