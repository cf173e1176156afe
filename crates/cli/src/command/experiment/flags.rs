//! The flags that all experiments share.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use unet3d_train::experiment::Comparison;
use unet3d_train::{Budget, TrainConfig};
use unet3d_volume::Class;

use super::data::DataFlags;
use crate::arguments::{Json, Machine};
use crate::learning_flags::LearningFlags;

/// Training steps of a network where nobody says: a first look, some minutes a
/// network on two cores.
pub(super) const DEFAULT_ITERATIONS: u64 = 1000;

/// Seeds at most: a slip of the hand.
const MOST_SEEDS: u64 = 1000;

/// Over what belongs to no other group of flags.
const HEADING: &str = "The experiment";

/// Help of an experiment: `text`, then what holds for all.
pub(super) fn after_help(text: &str) -> String {
    format!(
        "\
{text}

Each network gets {DEFAULT_ITERATIONS} steps unless --minutes or --iterations says otherwise; minutes are
the fairer budget, since a step of a 2D network is far shorter. The same command goes on
where the last one stopped (Ctrl-C, or a power cut); more --seeds add runs."
    )
}

/// What all experiments want to know.
#[derive(Args, Debug)]
pub(super) struct Common {
    #[command(flatten)]
    pub(super) data: DataFlags,

    /// Folder of the experiment: results.csv, results.md, results.svg, and runs/
    /// with a file for each finished run; an experiment that it holds goes on
    #[arg(short, long, value_name = "DIR", help_heading = HEADING)]
    pub(super) out: PathBuf,

    /// Train each network N times, with the seeds --seed, --seed + 1, ...
    #[arg(long, value_name = "N", help_heading = HEADING, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=MOST_SEEDS))]
    pub(super) seeds: u64,

    /// Only these of the networks: 3d, 3d-bn, 2d-bn [default: those of the paper]
    #[arg(long, value_name = "NAME,...", help_heading = HEADING, value_delimiter = ',')]
    pub(super) networks: Vec<Comparison>,

    /// The class that is background, by value or name; the foreground IoU is the
    /// mean of the others [default: the class called background, if there is one]
    #[arg(long, value_name = "CLASS", help_heading = HEADING, allow_hyphen_values = true)]
    pub(super) background: Option<String>,

    #[command(flatten)]
    pub(super) learning: LearningFlags,

    #[command(flatten)]
    pub(super) machine: Machine,

    #[command(flatten)]
    pub(super) json: Json,
}

impl Common {
    /// How networks are trained, but for what differs between them.
    ///
    /// # Errors
    /// Where a file cannot be read or a setting cannot be meant.
    pub(super) fn base(&self) -> anyhow::Result<TrainConfig> {
        let base = TrainConfig {
            budget: Budget::iterations(DEFAULT_ITERATIONS),
            ..TrainConfig::default()
        };
        let config = self.learning.settle(base, &self.machine)?;
        let last = config.seed.checked_add(self.seeds);
        if last.is_none_or(|last| i64::try_from(last).is_err()) {
            bail!(
                "--seed is {}, with --seeds {} the last would be too large. Begin at a smaller one.",
                config.seed,
                self.seeds
            );
        }
        Ok(config)
    }

    /// The networks that are compared: those asked for, else `usual`.
    pub(super) fn networks(&self, usual: &[Comparison]) -> Vec<Comparison> {
        let asked = |network: &Comparison| self.networks.contains(network);
        match self.networks.is_empty() {
            true => usual.to_vec(),
            false => Comparison::ALL.into_iter().filter(asked).collect(),
        }
    }

    /// Value of the background class, `None` where no class is known to be it.
    ///
    /// # Errors
    /// Where --background names no class.
    pub(super) fn background(&self, classes: &[Class]) -> anyhow::Result<Option<i64>> {
        let Some(asked) = &self.background else {
            let named = classes.iter();
            let mut named = named.filter(|c| c.name.eq_ignore_ascii_case("background"));
            return Ok(named.next().map(|class| class.value));
        };
        let found = classes
            .iter()
            .find(|c| c.name == *asked || c.value.to_string() == *asked);
        match found {
            Some(class) => Ok(Some(class.value)),
            None => {
                let names: Vec<_> = classes
                    .iter()
                    .map(|c| format!("{} ({})", c.value, c.name))
                    .collect();
                bail!(
                    "--background is {asked:?}, the classes are {}. Name one of them by value or name.",
                    names.join(", ")
                )
            }
        }
    }
}
