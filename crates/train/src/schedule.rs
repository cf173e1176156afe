//! The learning rate over a run: constant, steps, polynomial or cosine, each
//! with an optional warm-up.

use serde::{Deserialize, Serialize};

/// How the learning rate changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScheduleConfig {
    /// The curve.
    pub decay: Decay,
    /// Steps over which the rate rises linearly to its value.
    pub warm_up: u64,
}

impl Default for ScheduleConfig {
    /// Polynomial decay to the end of the budget; the warm-up lets Adam's
    /// second moment settle before steps have full length.
    fn default() -> Self {
        Self {
            decay: Decay::Polynomial { power: 0.9 },
            warm_up: 10,
        }
    }
}

/// The curve after the warm-up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Decay {
    /// Always the same.
    Constant,
    /// Multiplied by `factor` every so many steps.
    Step {
        /// Steps between changes.
        every: u64,
        /// Multiplied by.
        factor: f64,
    },
    /// `(1 - progress) ^ power`.
    Polynomial {
        /// Exponent.
        power: f64,
    },
    /// Half a cosine from 1 down to `last`.
    Cosine {
        /// Share of the rate left at the end.
        #[serde(default)]
        last: f64,
    },
}

impl ScheduleConfig {
    /// The factor of the learning rate at `step` (from 0), when this share of the
    /// budget (`progress`) is spent. Where the budget names steps, progress is a
    /// function of the step; with minutes alone it depends on the clock, and such
    /// a run does not give the same bits twice.
    pub fn factor(&self, step: u64, progress: f64) -> f64 {
        let progress = progress.clamp(0.0, 1.0);
        let warm_up = match self.warm_up {
            0 => 1.0,
            n => ((step + 1) as f64 / n as f64).min(1.0),
        };
        let decay = match self.decay {
            Decay::Constant => 1.0,
            Decay::Step { every, factor } => factor.powf((step / every.max(1)) as f64),
            Decay::Polynomial { power } => (1.0 - progress).powf(power),
            Decay::Cosine { last } => {
                last + (1.0 - last) * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos())
            }
        };
        warm_up * decay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(decay: Decay, step: u64, progress: f64) -> f64 {
        ScheduleConfig { decay, warm_up: 0 }.factor(step, progress)
    }

    #[test]
    fn curves_pass_their_points() {
        let step = Decay::Step {
            every: 10,
            factor: 0.1,
        };
        assert_eq!(at(Decay::Constant, 500, 0.9), 1.0);
        assert_eq!(at(step.clone(), 9, 0.0), 1.0);
        assert!((at(step, 20, 0.0) - 0.01).abs() < 1e-12);
        assert_eq!(at(Decay::Polynomial { power: 2.0 }, 0, 0.5), 0.25);
        assert!((at(Decay::Cosine { last: 0.2 }, 0, 0.5) - 0.6).abs() < 1e-12);
        assert!((at(Decay::Cosine { last: 0.2 }, 0, 7.0) - 0.2).abs() < 1e-12);
    }

    #[test]
    fn warm_up_rises_to_the_whole_rate() {
        let schedule = ScheduleConfig {
            decay: Decay::Constant,
            warm_up: 4,
        };
        let factors: Vec<f64> = (0..6).map(|s| schedule.factor(s, 0.0)).collect();
        assert_eq!(factors, [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]);
    }
}
