//! The flags of learning, laid over a configuration file, laid over defaults.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use unet3d_train::augment::AugmentConfig;
use unet3d_train::{Budget, ClassWeights, OptimizerConfig, TrainConfig};
use unet3d_unet::Preset;

use crate::arguments::Machine;
use crate::console::Console;
use crate::parse;

/// How to learn; what is not said comes from the configuration file, then from
/// the defaults.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Learning")]
pub(crate) struct LearningFlags {
    /// Stop after this many minutes (with --iterations: at whichever comes first)
    #[arg(long, value_name = "N", value_parser = parse::minutes)]
    pub(crate) minutes: Option<f64>,

    /// Stop after this many steps; a run that ends by them repeats bit by bit
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) iterations: Option<u64>,

    /// The network: small, paper, released, common, blog, twin2d [default: small]
    #[arg(long, value_name = "NAME")]
    preset: Option<Preset>,

    /// Input of the network in training, in voxels [default: chosen from the
    /// volumes and the memory]
    #[arg(long, value_name = "Z,Y,X", value_parser = parse::shape)]
    patch: Option<[usize; 3]>,

    /// Patches in a step [default: chosen from the patch]
    #[arg(long, value_name = "N")]
    batch: Option<usize>,

    /// Learning rate [default: that of the optimizer]
    #[arg(long, alias = "learning-rate", value_name = "RATE")]
    lr: Option<f64>,

    /// Weight of each class: none, balanced, or one number a class
    #[arg(long, value_name = "W", value_parser = class_weights)]
    class_weights: Option<ClassWeights>,

    /// How patches are changed on the fly: paper (elastic, rotation, scaling,
    /// gray values), light (mirroring, gray values), none
    #[arg(long, value_name = "HOW")]
    augment: Option<Augment>,

    /// Seed of all randomness: the same seed, data and options give the same
    /// bits [default: 0]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,

    /// Configuration file (TOML): any setting of a run's config.toml; flags win
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// How patches are changed.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Augment {
    Paper,
    Light,
    None,
}

fn class_weights(text: &str) -> Result<ClassWeights, String> {
    match text {
        "none" => Ok(ClassWeights::None),
        "balanced" => Ok(ClassWeights::Balanced),
        _ => {
            let weights = text.split(',').map(|w| w.trim().parse::<f32>());
            let weights: Result<Vec<f32>, _> = weights.collect();
            weights.map(ClassWeights::Given).map_err(|_| {
                "write none, balanced, or one number a class, for example 1,4,0.5".into()
            })
        }
    }
}

impl LearningFlags {
    /// The first of these flags that was given.
    pub(crate) fn first_given(&self) -> Option<&'static str> {
        [
            ("--minutes", self.minutes.is_some()),
            ("--iterations", self.iterations.is_some()),
            ("--preset", self.preset.is_some()),
            ("--patch", self.patch.is_some()),
            ("--batch", self.batch.is_some()),
            ("--lr", self.lr.is_some()),
            ("--class-weights", self.class_weights.is_some()),
            ("--augment", self.augment.is_some()),
            ("--seed", self.seed.is_some()),
            ("--config", self.config.is_some()),
        ]
        .into_iter()
        .find_map(|(flag, given)| given.then_some(flag))
    }

    /// The whole configuration, checked. `base` is what holds where neither file
    /// nor flags say otherwise.
    ///
    /// # Errors
    /// Where the file cannot be read or a setting cannot be meant.
    pub(crate) fn settle(
        &self,
        base: TrainConfig,
        machine: &Machine,
    ) -> anyhow::Result<TrainConfig> {
        let mut config = match &self.config {
            None => base,
            Some(path) => {
                let text = unet3d_volume::text::read(path).with_context(|| {
                    format!("{}: the configuration cannot be read", path.display())
                })?;
                Console::new(false).notes(text.note.as_slice());
                let read = TrainConfig::from_toml(&text.with_plain_lines(), path)?;
                overlay(base, read, &text.with_plain_lines())
            }
        };
        if self.minutes.is_some() || self.iterations.is_some() {
            config.budget = Budget {
                iterations: self.iterations,
                minutes: self.minutes,
            };
        }
        if let Some(preset) = self.preset {
            config.preset = preset;
            config.network = None;
        }
        config.patch = self.patch.or(config.patch);
        config.batch = self.batch.or(config.batch);
        config.seed = self.seed.unwrap_or(config.seed);
        config.memory_bytes = machine.memory.or(config.memory_bytes);
        if let Some(weights) = &self.class_weights {
            config.loss.class_weights = weights.clone();
        }
        match self.augment {
            None => {}
            Some(Augment::Paper) => config.augment = AugmentConfig::default(),
            Some(Augment::Light) => config.augment = AugmentConfig::light(),
            Some(Augment::None) => config.augment = AugmentConfig::none(),
        }
        if let Some(lr) = self.lr {
            if !(lr.is_finite() && lr > 0.0) {
                bail!("--lr is {lr}, it must be above 0. The default suits most data.");
            }
            let (OptimizerConfig::Sgd { rate, .. }
            | OptimizerConfig::Adam { rate, .. }
            | OptimizerConfig::AdamW { rate, .. }) = &mut config.optimizer;
            *rate = lr;
        }
        config.check()?;
        Ok(config)
    }
}

/// What a file says, over `base` where it is silent about what the two kinds of
/// training want different defaults of.
fn overlay(base: TrainConfig, read: TrainConfig, text: &str) -> TrainConfig {
    let table = text.parse::<toml::Table>().unwrap_or_default();
    let says = |field: &str| table.contains_key(field);
    TrainConfig {
        budget: if says("budget") {
            read.budget
        } else {
            base.budget
        },
        validate_every: if says("validate_every") {
            read.validate_every
        } else {
            base.validate_every
        },
        labels: read.labels.clone().or(base.labels),
        ..read
    }
}
