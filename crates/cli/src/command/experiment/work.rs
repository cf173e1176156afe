//! One run: a network trained on a split, or a baseline; scored, as a record.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context;
use unet3d_kernels::Threads;
use unet3d_metrics::{Confusion, Report};
use unet3d_train::experiment::{Counts, Split, learn};
use unet3d_train::run::Sitting;
use unet3d_train::{Case, Error, TrainConfig};
use unet3d_unet::Engine;

use super::method::Method;
use super::plan::Run;
use super::record::{Kept, Record};
use super::study::Study;
use super::watch::Watch;

/// What one run needs.
pub(super) struct Work<'a> {
    /// The experiment.
    pub(super) study: &'a Study,
    /// Its volumes.
    pub(super) cases: &'a [Case],
    /// Where an unfinished run is kept.
    pub(super) folder: PathBuf,
    /// Share of the training voxels that is annotated.
    pub(super) annotated_share: f64,
    /// How to run networks.
    pub(super) engine: Engine,
    /// On how many threads.
    pub(super) threads: &'a Threads,
}

impl Work<'_> {
    /// Makes a run; `None` where it was interrupted.
    ///
    /// # Errors
    /// Where training or prediction fails, or an unfinished run cannot go on.
    pub(super) fn make(&self, run: &Run, watch: &mut Watch) -> anyhow::Result<Option<Record>> {
        let split = self.study.protocol.split(self.cases, run.part)?;
        let made = match (run.method, &run.config) {
            (Method::Network(_), Some(config)) => self.train(config, split, watch)?,
            (Method::Baseline(baseline), _) => {
                let started = Instant::now();
                let counts = baseline.score(&split)?;
                Some(Made {
                    counts,
                    steps: 0,
                    training_s: Some(0.0),
                    prediction_s: started.elapsed().as_secs_f64(),
                    last_loss: None,
                })
            }
            (Method::Network(_), None) => None,
        };
        let Some(made) = made else { return Ok(None) };
        let part = &self.study.protocol.parts()[run.part];
        let classes = &self.cases[0].labels.classes;
        let by_case = Report::new(classes, &made.counts);
        let overall = match self.study.protocol.is_pooled() {
            false => by_case.overall.clone(),
            true => {
                let mut pooled = Confusion::new(classes.len());
                made.counts
                    .iter()
                    .for_each(|(_, counts)| pooled.merge(counts));
                Report::new(classes, &[(part.name.clone(), pooled)]).overall
            }
        };
        Ok(Some(Record {
            configuration: run.configuration.clone(),
            part: part.name.clone(),
            setup: part.setup.clone(),
            method: run.method,
            seed: run.seed,
            program: concat!("unet3d ", env!("CARGO_PKG_VERSION")).into(),
            machine: format!("{}, {} threads", self.engine.isa, self.threads.count()),
            iterations: made.steps,
            training_s: made.training_s,
            prediction_s: made.prediction_s,
            last_loss: made.last_loss,
            annotated_share: self.annotated_share,
            scores: Kept::of(&overall),
            cases: Kept::cases(&by_case),
        }))
    }

    /// Trains a network, or goes on training it.
    fn train(
        &self,
        config: &TrainConfig,
        split: Split,
        watch: &mut Watch,
    ) -> anyhow::Result<Option<Made>> {
        let sitting = Sitting {
            folder: Some(self.folder.clone()),
            resume: self.folder.join("config.toml").is_file(),
            engine: self.engine,
        };
        let trial = learn(config, split, &sitting, self.threads, watch);
        let trial = trial.map_err(|error| match (sitting.resume, &error) {
            (true, Error::File { .. }) => anyhow::Error::new(error).context(format!(
                "{}: the unfinished run there cannot go on; give another folder (-o), or remove it to start this run again",
                self.folder.display()
            )),
            _ => error.into(),
        })?;
        Ok(trial.map(|trial| Made {
            counts: trial.counts,
            steps: trial.steps,
            training_s: trial.training_s,
            prediction_s: trial.prediction_s,
            last_loss: Some(trial.last_loss),
        }))
    }

    /// Removes what an unfinished run had kept.
    ///
    /// # Errors
    /// Where the disk refuses.
    pub(super) fn clear(&self) -> anyhow::Result<()> {
        match fs::remove_dir_all(&self.folder) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(e).with_context(|| format!("{}: cannot be removed", self.folder.display()))
            }
            _ => Ok(()),
        }
    }
}

/// What came of a run.
struct Made {
    counts: Counts,
    steps: u64,
    training_s: Option<f64>,
    prediction_s: f64,
    last_loss: Option<f64>,
}
