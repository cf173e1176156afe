//! The loop: steps until the budget is spent, with validation, checkpoints and
//! a log around them, and without files where no folder is named.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use unet3d_kernels::Threads;
use unet3d_metrics::Report;
use unet3d_predict::{Model, Options, Pipeline};
use unet3d_unet::{Engine, Profile};
use unet3d_volume::Orientation;

use crate::checkpoint::Checkpoint;
use crate::dataset::{CaseFiles, SPLIT_FILE, write_split};
use crate::fingerprint::fingerprint;
use crate::folder::{RunFolder, write_atomically};
use crate::forecast::{Means, forecast};
use crate::log::{Line, Log};
use crate::trainer::classes_of;
use crate::validate::{HeldOut, validate};
use crate::{Case, Error, Observer, Progress, StepRecord, TrainConfig, Trainer, Validation};

/// What a run learns from.
#[derive(Clone, Debug)]
pub struct RunData {
    /// The training cases, all with the same classes.
    pub training: Vec<Case>,
    /// What is scored.
    pub held_out: HeldOut,
    /// What the model is to remember of the data; a run is resumed only on data
    /// with the same record.
    pub record: serde_json::Value,
    /// Who is trained on and who is held out, kept in the run folder as
    /// `split.tsv`; none where there are no such files.
    pub split: Vec<CaseFiles>,
}

impl RunData {
    /// Bytes that the data keep in memory.
    pub(crate) fn bytes(&self) -> u64 {
        self.training.iter().map(Case::bytes).sum::<u64>() + self.held_out.bytes()
    }
}

/// How a run, or a part of it between two interruptions, is carried out: nothing
/// that belongs to its configuration.
#[derive(Clone, Debug, Default)]
pub struct Sitting {
    /// The run folder; `None` keeps nothing.
    pub folder: Option<PathBuf>,
    /// Whether to go on with the run in the folder.
    pub resume: bool,
    /// How to run the network. A profile is made of training alone, without
    /// validations.
    pub engine: Engine,
}

/// What a run leaves.
pub struct Outcome {
    /// The model after the last step.
    pub model: Model,
    /// The training cases.
    pub cases: Arc<[Case]>,
    /// Every step.
    pub curve: Vec<StepRecord>,
    /// Every validation.
    pub validations: Vec<Validation>,
    /// The last validation in full, where there was one in this sitting.
    pub report: Option<Report>,
    /// The best validation in full, where it was in this sitting.
    pub best_report: Option<Report>,
    /// What was scored.
    pub held_out: HeldOut,
    /// How it was predicted, within the memory that the run was given.
    pub prediction: Options,
    /// Steps done.
    pub steps: u64,
    /// Whether the observer ended the run before its budget was spent.
    pub stopped: bool,
    /// Duration of the training, interruptions left out.
    pub elapsed_s: f64,
    /// Where the time went in this sitting, where asked for.
    pub profile: Option<Profile>,
}

/// Trains until the budget is spent or the observer says stop.
///
/// # Errors
/// When configuration and data do not go together, the loss is no longer
/// finite, or a file cannot be written.
pub fn run(
    config: &TrainConfig,
    data: RunData,
    sitting: &Sitting,
    threads: &Threads,
    observer: &mut dyn Observer,
) -> Result<Outcome, Error> {
    run_then(config, data, sitting, None, threads, observer)
}

/// The same, where the first case is predicted afterwards with these options:
/// a run whose prediction will not fit the memory is refused before it begins.
pub(crate) fn run_then(
    config: &TrainConfig,
    data: RunData,
    sitting: &Sitting,
    afterwards: Option<&Options>,
    threads: &Threads,
    observer: &mut dyn Observer,
) -> Result<Outcome, Error> {
    Run::start(config, data, sitting, afterwards, threads, observer)?.until_end(threads, observer)
}

/// The configuration of the run in a folder, to resume it with.
///
/// # Errors
/// When there is no run, or its configuration cannot be read.
pub fn config_of(folder: &Path) -> Result<TrainConfig, Error> {
    let path = RunFolder::open(folder)?.config();
    let text = unet3d_volume::text::read(&path)?;
    TrainConfig::from_toml(&text.with_plain_lines(), &path)
}

struct Run {
    trainer: Trainer,
    held_out: HeldOut,
    /// How held-out data are predicted.
    options: Options,
    record: serde_json::Value,
    folder: Option<RunFolder>,
    log: Option<Log>,
    curve: Vec<StepRecord>,
    validations: Vec<Validation>,
    report: Option<Report>,
    best_report: Option<Report>,
    started: Instant,
    /// Spent before this sitting.
    earlier_s: f64,
    first_step: u64,
}

impl Run {
    fn start(
        config: &TrainConfig,
        data: RunData,
        sitting: &Sitting,
        afterwards: Option<&Options>,
        threads: &Threads,
        observer: &mut dyn Observer,
    ) -> Result<Self, Error> {
        let started = Instant::now();
        config.check()?;
        let cases: Arc<[Case]> = data.training.into();
        let classes = classes_of(&cases)?;
        let network = config.network(cases[0].image.channels, classes)?;
        let config = config.settle(&network, &cases)?;
        let forecast = forecast(
            &config,
            &network,
            &cases,
            &data.held_out,
            afterwards,
            Means {
                keeps_files: sitting.folder.is_some(),
                engine: Engine {
                    profile: false,
                    ..sitting.engine
                },
                threads,
            },
        )?;
        observer.planned(&forecast.needs);
        let content = fingerprint(&cases, &data.held_out);
        let mut run = Self {
            trainer: Trainer::new(&config, cases, threads)?.with_engine(sitting.engine),
            held_out: data.held_out,
            options: forecast.validation,
            record: serde_json::json!({ "about": data.record, "content": content }),
            folder: None,
            log: None,
            curve: Vec::new(),
            validations: Vec::new(),
            report: None,
            best_report: None,
            started,
            earlier_s: 0.0,
            first_step: 0,
        };
        if let Some(path) = &sitting.folder {
            let folder = match sitting.resume {
                true => RunFolder::open(path)?,
                false => RunFolder::create(path)?,
            };
            if folder.checkpoint().exists() {
                run.restore(&folder.checkpoint())?;
            }
            let config = run.trainer.config().to_toml()?;
            write_atomically(&folder.config(), config.as_bytes())?;
            if !data.split.is_empty() {
                write_split(&data.split, &path.join(SPLIT_FILE))?;
            }
            let (log, lines) = Log::open(&folder.log(), run.trainer.steps(), &run.validations)?;
            run.curve = lines
                .into_iter()
                .filter_map(|line| match line {
                    Line::Step(record) => Some(record),
                    Line::Validation(_) => None,
                })
                .collect();
            (run.folder, run.log) = (Some(folder), Some(log));
        }
        Ok(run)
    }

    fn until_end(
        mut self,
        threads: &Threads,
        observer: &mut dyn Observer,
    ) -> Result<Outcome, Error> {
        let config = self.trainer.config().clone();
        let due = |every: u64, step: u64| every > 0 && step > 0 && step.is_multiple_of(every);
        let mut stopped = false;
        loop {
            let steps = self.trainer.steps();
            let elapsed_s = self.elapsed_s();
            let finished = config.budget.share(steps, elapsed_s) >= 1.0;
            // Before the next step rather than after the last, so that a run
            // stopped at this step makes up for it when it is resumed.
            let unscored = self.validations.last().is_none_or(|v| v.step < steps);
            if !stopped && unscored && (finished || due(config.validate_every, steps)) {
                stopped |= self.validate(threads, observer)?;
                self.save(observer)?;
            }
            if finished || stopped {
                break;
            }
            let progress = config.budget.progress(steps, elapsed_s);
            let record = self.trainer.step(threads, progress)?;
            stopped |= observer.step(&record, &self.progress()).is_break();
            self.log_line(&Line::Step(record.clone()))?;
            self.curve.push(record);
            if due(config.checkpoint_every, self.trainer.steps()) {
                self.save(observer)?;
            }
        }
        self.save(observer)?;
        // Asked to stop when nothing was left to do, a run is complete.
        let steps = self.trainer.steps();
        let is_scored =
            self.held_out.is_empty() || self.validations.last().is_some_and(|v| v.step == steps);
        stopped &= !(is_scored && config.budget.share(steps, self.elapsed_s()) >= 1.0);
        Ok(Outcome {
            model: self.model()?,
            cases: self.trainer.cases().clone(),
            steps: self.trainer.steps(),
            elapsed_s: self.elapsed_s(),
            profile: self.trainer.profile().cloned(),
            curve: self.curve,
            validations: self.validations,
            report: self.report,
            best_report: self.best_report,
            held_out: self.held_out,
            prediction: self.options,
            stopped,
        })
    }

    /// Scores the model as it is now; true where the observer wants to stop.
    fn validate(&mut self, threads: &Threads, observer: &mut dyn Observer) -> Result<bool, Error> {
        if self.held_out.is_empty() {
            return Ok(false);
        }
        let model = self.model()?;
        let (cases, options) = (self.trainer.cases().clone(), self.options.clone());
        let Some(report) = validate(&model, &self.held_out, &cases, &options, threads, observer)?
        else {
            return Ok(true);
        };
        let score = report.overall.mean_dice;
        let before = self.validations.iter().filter_map(|v| v.mean_dice);
        let before = before.fold(f64::NEG_INFINITY, f64::max);
        let best = score.is_some_and(|score| score > before);
        let validation = Validation::new(self.trainer.steps(), &report, best);
        self.log_line(&Line::Validation(validation.clone()))?;
        let stop = observer.validated(&validation).is_break();
        self.validations.push(validation);
        if best {
            self.best_report = Some(report.clone());
        }
        self.report = Some(report);
        if let (Some(folder), true) = (&self.folder, best) {
            // The record now names this validation.
            let bytes = self.model()?.to_bytes()?;
            write_atomically(&folder.best(), &bytes)?;
            observer.saved(&folder.best());
        }
        Ok(stop)
    }

    /// Writes model and checkpoint, in this order: a checkpoint never speaks of
    /// files that are not there yet.
    fn save(&mut self, observer: &mut dyn Observer) -> Result<(), Error> {
        let Some(folder) = &self.folder else {
            return Ok(());
        };
        if let Some(log) = &mut self.log {
            log.sync()?;
        }
        write_atomically(&folder.last(), &self.model()?.to_bytes()?)?;
        observer.saved(&folder.last());
        let checkpoint = Checkpoint::new(
            self.trainer.state(),
            self.trainer.config().clone(),
            self.record.clone(),
            self.validations.clone(),
            self.elapsed_s(),
        );
        checkpoint.write(&folder.checkpoint())?;
        observer.saved(&folder.checkpoint());
        Ok(())
    }

    fn restore(&mut self, path: &Path) -> Result<(), Error> {
        let checkpoint = Checkpoint::read(path)?;
        let header = checkpoint.header;
        let now = TrainConfig {
            checkpoint_every: header.config.checkpoint_every,
            ..self.trainer.config().clone()
        };
        if let Some((field, then, now)) = first_difference(&header.config, &now) {
            return Err(Error::file(
                path,
                format!(
                    "the run was begun with {field} = {then}, now it is {now}; a run is resumed as it was begun. \
                     Leave the setting out, or begin a new run"
                ),
            ));
        }
        if header.data != self.record {
            return Err(Error::file(
                path,
                "the run was begun on other data (cases, split, gray values or labels differ); \
                 a run is resumed on the data it was begun on. Were files changed or annotations added since? \
                 Then begin a new run",
            ));
        }
        self.trainer.restore(checkpoint.state)?;
        self.first_step = self.trainer.steps();
        self.validations = header.validations;
        self.earlier_s = header.elapsed_s.unwrap_or(0.0);
        Ok(())
    }

    fn log_line(&mut self, line: &Line) -> Result<(), Error> {
        match &mut self.log {
            Some(log) => log.append(line),
            None => Ok(()),
        }
    }

    /// The model as it is now. Its record holds nothing that depends on the
    /// clock, or on whether the run was interrupted.
    fn model(&self) -> Result<Model, Error> {
        let trainer = &self.trainer;
        let case = &trainer.cases()[0];
        let scored = self.validations.last();
        let scored = scored.filter(|v| v.step == trainer.steps());
        let config = TrainConfig {
            checkpoint_every: 0,
            ..trainer.config().clone()
        };
        let record = serde_json::json!({
            "program": concat!("unet3d ", env!("CARGO_PKG_VERSION")),
            "steps": trainer.steps(),
            "data": self.record,
            // `predict` takes a folder of slices for images then, not for one volume.
            "cases_of_one_slice": trainer.cases().iter().all(|c| c.image.geometry.shape[0] == 1),
            "config": serde_json::to_value(config).map_err(|e| Error::Data(e.to_string()))?,
            "validation": scored,
        });
        Ok(Model {
            network: trainer.network().clone(),
            parameters: trainer.parameters().clone(),
            pipeline: Pipeline {
                normalise: trainer.config().normalise.clone(),
                padding: unet3d_volume::Padding::LeftOut,
                spacing_mm: case.image.geometry.spacing_mm,
                orientation: self.orientation(),
                classes: case.labels.classes.clone(),
                patch: trainer.config().patch.unwrap_or_default(),
                calibration: None,
                record,
            },
        })
    }

    /// How the training images lie: all in one way, so that the first that says it
    /// speaks for all.
    fn orientation(&self) -> Option<Orientation> {
        let trainer = &self.trainer;
        if trainer.config().ignore_geometry {
            return None;
        }
        let mut cases = trainer.cases().iter();
        cases.find_map(|case| case.image.geometry.orientation())
    }

    fn elapsed_s(&self) -> f64 {
        self.earlier_s + self.started.elapsed().as_secs_f64()
    }

    fn progress(&self) -> Progress {
        let elapsed_s = self.started.elapsed().as_secs_f64();
        let budget = self.trainer.config().budget;
        let steps = self.trainer.steps();
        let pace_s = elapsed_s / (steps - self.first_step).max(1) as f64;
        let by_steps = budget
            .iterations
            .map(|all| pace_s * all.saturating_sub(steps) as f64);
        let by_time = budget.minutes.map(|all| 60.0 * all - self.elapsed_s());
        Progress {
            share: budget.share(steps, self.elapsed_s()).min(1.0),
            elapsed_s,
            left_s: by_steps
                .unwrap_or(f64::INFINITY)
                .min(by_time.unwrap_or(f64::INFINITY))
                .max(0.0),
        }
    }
}

/// The first field in which two configurations differ, with both values.
fn first_difference(a: &TrainConfig, b: &TrainConfig) -> Option<(String, String, String)> {
    if a == b {
        return None;
    }
    let (a, b) = (serde_json::to_value(a).ok()?, serde_json::to_value(b).ok()?);
    let fields = a.as_object()?.keys().chain(b.as_object()?.keys());
    fields
        .filter(|field| a[*field] != b[*field])
        .map(|field| (field.clone(), a[field].to_string(), b[field].to_string()))
        .next()
}
