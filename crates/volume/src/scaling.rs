//! The scaling of a file's header, and what it leaves of whole numbers.
//!
//! A file that stores `(value - intercept) / slope` in whole numbers gives a label
//! back only as exactly as the nearest stored number and the arithmetic allow: 1
//! becomes 1.0000458. Such a value is still the label that somebody wrote. How far
//! it may lie from a whole number follows from the scaling alone, so a file without
//! one is read as strictly as ever: there, 0.9999 is no label.

use std::fmt;

/// Roundings to `f32` between the label that was written and the value read, in
/// units of 2^-24 of the numbers involved: slope and intercept are stored as `f32`,
/// product and sum were often computed in it, on writing and on reading.
const ROUNDINGS: f64 = 4.0;

/// Half a unit in the last place of an `f32` near 1.
const F32_ROUNDING: f64 = 1.0 / (1 << 24) as f64;

/// No value further than this from a whole number is taken for it: from a scaling
/// that is less precise, labels cannot be told.
const FARTHEST: f64 = 0.25;

/// How a header says that stored samples become values:
/// `value = stored * slope + intercept`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scaling {
    /// What stored samples are multiplied by.
    pub slope: f64,
    /// What is then added.
    pub intercept: f64,
    /// Distance of a value from the nearest that can be stored, at most.
    half_step: f64,
}

impl Scaling {
    /// The scaling of stored samples that are whole numbers, or are not.
    pub fn new(slope: f64, intercept: f64, of_integers: bool) -> Self {
        let half_step = 0.5 * slope.abs();
        Self {
            slope,
            intercept,
            // With larger steps, whole numbers are stored only where they were meant
            // to be, and the others are no rounding of any.
            half_step: if of_integers && half_step <= FARTHEST {
                half_step
            } else {
                0.0
            },
        }
    }

    /// How far `value` may be from what was written.
    ///
    /// ```
    /// # use unet3d_volume::Scaling;
    /// // Labels 0 to 9, which another program spread over all of int16.
    /// let scaling = Scaling::new(9.0 / 65535.0, 4.5, true);
    /// assert_eq!(scaling.whole(1.0000458), Some(1));
    /// assert_eq!(scaling.whole(1.001), None);
    /// ```
    pub fn precision(&self, value: f64) -> f64 {
        // The product is value - intercept.
        let numbers = value.abs() + 2.0 * self.intercept.abs();
        (self.half_step + ROUNDINGS * F32_ROUNDING * numbers).min(FARTHEST)
    }

    /// The whole number that `value` is within this precision; `None` where it is
    /// none or does not fit `i64`.
    pub fn whole(&self, value: f64) -> Option<i64> {
        let nearest = value.round();
        // NaN is near nothing.
        let is_near = (value - nearest).abs() <= self.precision(value);
        crate::samples::whole(nearest).filter(|_| is_near)
    }
}

impl fmt::Display for Scaling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "scl_slope {} and scl_inter {}",
            self.slope, self.intercept
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a program stores for `label` and another reads back, in f32 throughout.
    fn through(slope: f32, intercept: f32, label: f64) -> f64 {
        let stored = ((label - f64::from(intercept)) / f64::from(slope)).round() as f32;
        f64::from(stored * slope + intercept)
    }

    #[test]
    fn labels_come_through_every_scaling_that_programs_choose() {
        // Least and greatest label, and how many numbers the stored type has.
        let mut failures = Vec::new();
        for (low, high) in [(0, 1), (0, 2), (0, 3), (0, 9), (0, 255), (-3, 4), (1, 1000)] {
            for levels in [256u32, 65536] {
                let (low, high) = (f64::from(low), f64::from(high));
                let step = (high - low) / f64::from(levels - 1);
                for sign in [1.0, -1.0] {
                    let slope = (sign * step) as f32;
                    let intercept = (low + f64::from(levels / 2) * step) as f32;
                    let scaling = Scaling::new(slope.into(), intercept.into(), true);
                    for label in low as i64..=high as i64 {
                        let value = through(slope, intercept, label as f64);
                        if step <= 0.5 && scaling.whole(value) != Some(label) {
                            failures.push((low, high, levels, label, value));
                        }
                    }
                }
            }
        }
        assert!(failures.is_empty(), "{failures:?}");
    }

    #[test]
    fn masks_of_0_and_255_are_0_and_1_and_what_lies_between_is_refused() {
        let scaling = Scaling::new(f64::from(1.0f32 / 255.0), 0.0, true);
        let at = |stored: f32| scaling.whole(f64::from(stored * (1.0 / 255.0)));
        assert_eq!([at(0.0), at(255.0)], [Some(0), Some(1)]);
        assert!((1..255).all(|stored| at(stored as f32).is_none()));
    }

    #[test]
    fn a_large_intercept_and_stored_fractions_leave_what_f32_leaves() {
        let large = Scaling::new(0.001, 100_000.0, true);
        assert_eq!(large.whole(100_003.008), Some(100_003));
        assert_eq!(large.whole(100_003.3), None);
        let fractions = Scaling::new(f64::from(0.1f32), 0.0, false);
        assert_eq!(fractions.whole(10.0 * f64::from(0.1f32)), Some(1));
        assert_eq!(fractions.whole(1.0001), None);
    }

    #[test]
    fn coarse_steps_and_what_is_no_number_are_no_labels() {
        let coarse = Scaling::new(0.9, 0.0, true);
        assert_eq!((coarse.whole(0.9), coarse.whole(9.0)), (None, Some(9)));
        let half = Scaling::new(0.5, 0.0, true);
        assert_eq!((half.whole(0.5), half.whole(1.0)), (None, Some(1)));
        // A quarter step is no rounding of a whole number either.
        assert_eq!(Scaling::new(0.25, 0.0, true).whole(0.25), None);
        for value in [f64::NAN, f64::INFINITY, 1e30, -1e30] {
            assert_eq!(half.whole(value), None);
        }
        assert_eq!(Scaling::new(1.0, 1e30, true).whole(5e8), Some(500_000_000));
    }
}
