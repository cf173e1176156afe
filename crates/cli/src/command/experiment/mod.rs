//! `experiment`: the paper's experiments on given data.
//!
//! In the order of the work: `flags` and `data` (what is asked for), one file an
//! experiment (a [`Study`](study::Study): protocol, methods, the paper's
//! table), `study` (all of it), `plan` (the runs), `work` (one of them), `record`
//! (each kept as a file), `watch` (how long yet), then what is written, `tables`:
//! `grid` gathers the records, and `csv`, `markdown` and `plot` write them.

mod flags;

mod data;

mod method;

mod paper;

mod slices_cv;

mod slices_count;

mod volumes;

mod study;

mod plan;

mod work;

mod record;

mod watch;

mod tables;

mod grid;

mod csv;

mod markdown;

mod plot;

// Apart from these: not of the paper.
mod suggest;

use clap::{Args, Subcommand};

use super::End;

/// Repeat the 3D U-Net paper's experiments on your data, or compare ways to choose slices
#[derive(Args, Debug)]
#[command(after_help = "\
Each experiment trains several networks one after the other, keeps each finished
run as a file, and goes on where it was when the same command is given again.
slices-cv, slices-count and volumes are tables 1 to 3 of the paper; suggest, which is
not of the paper, asks whether the slices that `unet3d suggest` names teach more than
evenly spaced or random ones.

Examples:
  unet3d experiment slices-cv image.tif labels.tif --unlabeled 0 -o cv --minutes 5
  unet3d experiment suggest image.tif truth.tif -o suggest --iterations 150

See also docs/experiments.md and: unet3d experiment slices-cv --help")]
pub(crate) struct Experiment {
    #[command(subcommand)]
    which: Which,
}

/// The experiments, in the order of the paper's tables.
#[derive(Subcommand, Debug)]
enum Which {
    SlicesCv(Box<slices_cv::SlicesCv>),
    SlicesCount(Box<slices_count::SlicesCount>),
    Volumes(Box<volumes::Volumes>),
    Suggest(Box<suggest::Suggest>),
}

impl Experiment {
    /// Plans and runs.
    pub(super) fn run(self) -> anyhow::Result<End> {
        match self.which {
            Which::SlicesCv(experiment) => experiment.run(),
            Which::SlicesCount(experiment) => experiment.run(),
            Which::Volumes(experiment) => experiment.run(),
            Which::Suggest(experiment) => experiment.run(),
        }
    }
}
