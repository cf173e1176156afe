//! Everything that decides what a training run computes, as plain data.
//!
//! Equal configuration, data and seed give equal bits, whatever the number of
//! threads (except with a budget of minutes alone, whose schedule follows the
//! clock). A run folder keeps it as
//! `config.toml`; every field has a default, so a file names only what differs.

use serde::{Deserialize, Serialize};
use unet3d_unet::{Network, Preset, UNetConfig};
use unet3d_volume::{LabelScheme, Normalise};

use crate::augment::AugmentConfig;
use crate::loss::LossConfig;
use crate::optimizer::OptimizerConfig;
use crate::sampler::SamplerConfig;
use crate::schedule::ScheduleConfig;
use crate::{Case, Error, patch};

/// The whole configuration of a training run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// Seed of all randomness.
    pub seed: u64,
    /// The network by name; channels and classes come from the data.
    pub preset: Preset,
    /// Input of the network in training, voxels along `[z, y, x]`; chosen from
    /// the volumes and the memory where not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patch: Option<[usize; 3]>,
    /// Patches in a batch; chosen from the size of the patch where not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<usize>,
    /// Steps between validations; 0 validates only at the end.
    pub validate_every: u64,
    /// Steps between checkpoints; 0 writes one only at validations and at the
    /// end. Changes nothing that is computed.
    pub checkpoint_every: u64,
    /// Largest Euclidean norm of the gradient; longer ones are shortened to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<f64>,
    /// Share by which running statistics move in a step (networks that
    /// normalise with running statistics only).
    pub running_momentum: f32,
    /// Memory that the run may take in bytes; bounds the patch chosen and the
    /// tiles of predictions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Whether image and labels are matched in the order in which they are stored,
    /// whatever their files state of their place; nothing is turned then.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub ignore_geometry: bool,
    /// How long to train.
    pub budget: Budget,
    /// How gray values become the network's input.
    pub normalise: Normalise,
    /// Which patches are drawn.
    pub sampler: SamplerConfig,
    /// What is minimised.
    pub loss: LossConfig,
    /// How parameters follow the gradient.
    pub optimizer: OptimizerConfig,
    /// How the learning rate changes.
    pub schedule: ScheduleConfig,
    /// How patches are changed.
    pub augment: AugmentConfig,
    /// The network in full, where it is none of the presets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<UNetConfig>,
    /// What label values mean, kept so that a run is resumed without being told
    /// again. Labels are read by the caller; training itself does not look here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<LabelScheme>,
}

/// When training ends: at whichever comes first.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Number of steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iterations: Option<u64>,
    /// Minutes of training and validation together. Where no steps are given the
    /// schedule follows the clock, and the run cannot be repeated bit by bit.
    /// Beside steps they only decide when to stop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minutes: Option<f64>,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            preset: Preset::Small,
            patch: None,
            batch: None,
            // Some tens of points on the curve of a run of usual length.
            validate_every: 250,
            checkpoint_every: 100,
            clip_norm: None,
            // PyTorch's and Keras' runs forget at about this pace.
            running_momentum: 0.1,
            memory_bytes: None,
            budget: Budget::iterations(2000),
            normalise: Normalise::default(),
            sampler: SamplerConfig::default(),
            loss: LossConfig::default(),
            optimizer: OptimizerConfig::default(),
            schedule: ScheduleConfig::default(),
            augment: AugmentConfig::default(),
            ignore_geometry: false,
            network: None,
            labels: None,
        }
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::iterations(2000)
    }
}

impl Budget {
    /// So many steps.
    pub fn iterations(iterations: u64) -> Self {
        Self {
            iterations: Some(iterations),
            minutes: None,
        }
    }

    /// So many minutes.
    pub fn minutes(minutes: f64) -> Self {
        Self {
            iterations: None,
            minutes: Some(minutes),
        }
    }

    /// Share of the budget spent after `steps` steps and `elapsed_s` seconds;
    /// at 1 training ends.
    pub fn share(&self, steps: u64, elapsed_s: f64) -> f64 {
        let by_steps = self.iterations.map(|all| steps as f64 / all as f64);
        let by_time = self.minutes.map(|all| elapsed_s / (60.0 * all));
        by_steps.unwrap_or(0.0).max(by_time.unwrap_or(0.0))
    }

    /// What the schedule follows: the share of the steps where steps are given,
    /// so that the clock has no say in what is computed, else that of the time.
    pub fn progress(&self, steps: u64, elapsed_s: f64) -> f64 {
        let clock = match self.iterations {
            Some(_) => 0.0,
            None => elapsed_s,
        };
        self.share(steps, clock)
    }
}

impl TrainConfig {
    /// A configuration from the text of a TOML file called `source`.
    ///
    /// # Errors
    /// Where it is no TOML or names a field that does not exist: says the line.
    pub fn from_toml(text: &str, source: &std::path::Path) -> Result<Self, Error> {
        toml::from_str(text).map_err(|e| Error::file(source, e.to_string()))
    }

    /// The configuration as a TOML file.
    ///
    /// # Errors
    /// When a number does not fit into TOML (a seed above 2^63 - 1).
    pub fn to_toml(&self) -> Result<String, Error> {
        toml::to_string(self).map_err(|e| Error::config("configuration", "as it is", e.to_string()))
    }

    /// Refuses what cannot be meant, before any work.
    ///
    /// # Errors
    /// Names the field, its value and the rule.
    pub fn check(&self) -> Result<(), Error> {
        let positive = |v: f64| v.is_finite() && v > 0.0;
        match self.budget {
            Budget {
                iterations: None,
                minutes: None,
            } => {
                let rule = "it must name iterations, minutes or both";
                return Err(Error::config("budget", "empty", rule));
            }
            Budget {
                iterations: Some(0),
                ..
            } => {
                return Err(Error::config(
                    "budget.iterations",
                    0,
                    "it must be at least 1",
                ));
            }
            Budget {
                minutes: Some(minutes),
                ..
            } if !positive(minutes) => {
                return Err(Error::config(
                    "budget.minutes",
                    minutes,
                    "it must be above 0",
                ));
            }
            _ => {}
        }
        if let Some(norm) = self.clip_norm.filter(|norm| !positive(*norm)) {
            return Err(Error::config("clip_norm", norm, "it must be above 0"));
        }
        if self.batch == Some(0) {
            return Err(Error::config("batch", 0, "it must be at least 1"));
        }
        if !(0.0..=1.0).contains(&self.running_momentum) {
            let rule = "it must be from 0 to 1";
            return Err(Error::config(
                "running_momentum",
                self.running_momentum,
                rule,
            ));
        }
        self.optimizer.check()?;
        self.normalise.check().map_err(unet3d_volume::Error::from)?;
        self.augment
            .check()
            .map_err(crate::batch::BatchError::from)?;
        Ok(())
    }

    /// The network for so many channels and classes.
    ///
    /// # Errors
    /// When the configured network is not possible or has other channels or classes.
    pub fn network(&self, channels: usize, classes: usize) -> Result<Network, Error> {
        let config = match &self.network {
            Some(config) => config.clone(),
            None => UNetConfig::preset(self.preset, channels, classes),
        };
        for (field, found, data) in [
            ("network.in_channels", config.in_channels, channels),
            ("network.classes", config.classes, classes),
        ] {
            if found != data {
                return Err(Error::config(field, found, format!("the data have {data}")));
            }
        }
        Ok(Network::new(config)?)
    }

    /// The same with `patch` and `batch` filled in where they were left open.
    ///
    /// # Errors
    /// When no patch fits the memory.
    pub fn settle(&self, network: &Network, cases: &[Case]) -> Result<Self, Error> {
        let memory = self.memory_bytes;
        let patch = match self.patch {
            Some(patch) => patch,
            None => patch::choose(network, cases, memory, self.batch.unwrap_or(1))?,
        };
        let batch = match self.batch {
            Some(batch) => batch,
            None => patch::batch_for(network, patch, memory)?,
        };
        Ok(Self {
            patch: Some(patch),
            batch: Some(batch),
            ..self.clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn toml_gives_back_what_it_was_given() {
        let mut config = TrainConfig::default();
        let text = config.to_toml().unwrap();
        assert_eq!(
            TrainConfig::from_toml(&text, "a.toml".as_ref()).unwrap(),
            config
        );
        config.patch = Some([40, 56, 40]);
        config.loss.class_weights = crate::ClassWeights::Given(vec![0.5, 2.0]);
        config.network = Some(UNetConfig::preset(Preset::Paper, 3, 3));
        config.budget = Budget::minutes(2.5);
        config.labels = Some(LabelScheme {
            objects: Some("nucleus".into()),
            ..LabelScheme::new(
                LabelScheme::of_objects("nucleus"),
                unet3d_volume::Annotated::Except(9),
            )
        });
        let text = config.to_toml().unwrap();
        assert_eq!(
            TrainConfig::from_toml(&text, "a.toml".as_ref()).unwrap(),
            config
        );
        let short = "preset = 'paper'\n[budget]\niterations = 7";
        let config = TrainConfig::from_toml(short, "a.toml".as_ref()).unwrap();
        assert_eq!(
            (config.preset, config.budget),
            (Preset::Paper, Budget::iterations(7))
        );
        let error = TrainConfig::from_toml("bach = 2", "a.toml".as_ref()).unwrap_err();
        assert!(error.to_string().contains("bach"), "{error}");
    }

    #[test]
    fn settings_that_cannot_be_meant_are_refused() {
        let wrong: [fn(&mut TrainConfig); 6] = [
            |c| c.budget.iterations = None,
            |c| c.budget.iterations = Some(0),
            |c| c.budget.minutes = Some(f64::NAN),
            |c| c.clip_norm = Some(0.0),
            |c| c.batch = Some(0),
            |c| c.running_momentum = 2.0,
        ];
        assert!(TrainConfig::default().check().is_ok());
        for change in wrong {
            let mut config = TrainConfig::default();
            change(&mut config);
            assert!(config.check().is_err());
        }
    }

    #[test]
    fn a_budget_ends_at_whichever_comes_first() {
        let both = Budget {
            iterations: Some(100),
            minutes: Some(1.0),
        };
        assert_eq!(both.share(50, 6.0), 0.5);
        assert_eq!(both.share(10, 60.0), 1.0);
        assert_eq!(both.progress(10, 60.0), 0.1);
        assert_eq!(Budget::minutes(2.0).progress(10, 60.0), 0.5);
        assert_eq!(Budget::minutes(2.0).share(1_000_000, 30.0), 0.25);
    }
}
