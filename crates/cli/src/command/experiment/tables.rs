//! What an experiment leaves: `results.csv`, `results.md`, `results.svg`.

use unet3d_train::{Budget, Case};

use super::flags::Common;
use super::grid::Grid;
use super::record::Record;
use super::study::Study;
use super::{csv, markdown, plot};
use crate::console::Console;
use crate::output;

/// The files that [`Tables::write`] writes.
pub(super) const FILES: [&str; 3] = ["results.csv", "results.md", "results.svg"];

/// Everything that the tables are made from.
pub(super) struct Tables<'a> {
    /// The experiment.
    pub(super) study: &'a Study,
    /// Its finished runs.
    pub(super) records: &'a [Record],
    /// Number of runs, finished or not.
    pub(super) planned: usize,
    /// Value of the background class, where there is one.
    pub(super) background: Option<i64>,
    /// The volumes.
    pub(super) cases: &'a [Case],
    /// What was asked for.
    pub(super) common: &'a Common,
    /// What each network gets.
    pub(super) budget: Budget,
    /// Runs that failed, and why.
    pub(super) failures: &'a [String],
}

impl Tables<'_> {
    /// The table of the mean IoU.
    pub(super) fn mean_iou(&self) -> Grid {
        let seeds = self.common.seeds;
        Grid::new(self.study, self.records, seeds, &|record| {
            record.scores.mean_iou
        })
    }

    /// Writes all three.
    ///
    /// # Errors
    /// Where the disk refuses.
    pub(super) fn write(&self) -> anyhow::Result<()> {
        let out = |name: &str| self.common.out.join(name);
        let grid = self.mean_iou();
        output::write_file(&out("results.csv"), csv::text(self).as_bytes())?;
        output::write_file(&out("results.md"), markdown::text(self, &grid).as_bytes())?;
        output::write_file(&out("results.svg"), plot::svg(self.study, &grid).as_bytes())
    }

    /// The table on the console, and what was written.
    ///
    /// # Errors
    /// Where the console is gone.
    pub(super) fn tell(&self, console: Console) -> anyhow::Result<()> {
        console.result(format_args!("Mean IoU:\n\n{}\n", self.mean_iou().text()))?;
        let written = |name: &str| self.common.out.join(name).display().to_string();
        console.result(format_args!(
            "Wrote {} (all tables, the paper's beside them), {} and {}.",
            written("results.md"),
            written("results.csv"),
            written("results.svg")
        ))
    }
}
