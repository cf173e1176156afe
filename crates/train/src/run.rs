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
use unet3d_volume::text;

use crate::checkpoint::Checkpoint;
use crate::dataset::CaseFiles;
use crate::fingerprint::fingerprint;
use crate::folder::{self, RunFolder};
use crate::forecast::{Means, forecast};
use crate::keeper::{Keeper, State};
use crate::lock::Lock;
use crate::log::{Found, Line};
use crate::trainer::classes_of;
use crate::validate::{HeldOut, validate};
use crate::{Case, Error, Observer, Progress, StepRecord, TrainConfig, Trainer, Validation};

pub use crate::folder::{check_resumable, holds_a_run};
pub use crate::keeper::Rescued;

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
    /// Where the last state is, where the run folder could not take it.
    pub rescued: Option<Rescued>,
    /// Where the time went in this sitting, where asked for.
    pub profile: Option<Profile>,
}

/// Trains until the budget is spent or the observer says stop.
///
/// # Errors
/// When configuration and data do not go together, another run writes in the
/// folder, it cannot be written at the beginning, or the loss is no longer finite.
/// A disk that fails later ends no run: see [`Outcome::rescued`].
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
/// When there is no run, somebody is writing it, or its configuration cannot be
/// read.
pub fn config_of(folder: &Path) -> Result<TrainConfig, Error> {
    check_resumable(folder)?;
    Lock::check_free(folder)?;
    let (path, checkpoint) = (folder::config(folder), folder::checkpoint(folder));
    if path.symlink_metadata().is_err() {
        // The checkpoint holds it as well.
        return Ok(Checkpoint::read(&checkpoint)?.header.config);
    }
    let text = text::read(&path)?;
    TrainConfig::from_toml(&text.with_plain_lines(), &path).map_err(|error| match holds_a_run(folder) {
        true => Error::Data(format!(
            "{error}\nThe checkpoint beside it holds the configuration too: remove config.toml to go on from there"
        )),
        false => error,
    })
}

struct Run {
    trainer: Trainer,
    held_out: HeldOut,
    /// How held-out data are predicted.
    options: Options,
    record: serde_json::Value,
    /// Whoever keeps the run on the disk, if anybody does.
    keeper: Option<Keeper>,
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
        // First of all: two runs in one folder would ruin each other.
        let folder = match (&sitting.folder, sitting.resume) {
            (None, _) => None,
            (Some(path), true) => Some(RunFolder::open(path)?),
            (Some(path), false) => Some(RunFolder::create(path)?),
        };
        if let Some(note) = folder.as_ref().and_then(|folder| folder.lock().note()) {
            observer.noted(note);
        }
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
            keeper: None,
            curve: Vec::new(),
            validations: Vec::new(),
            report: None,
            best_report: None,
            started,
            earlier_s: 0.0,
            first_step: 0,
        };
        if let Some(folder) = folder {
            let has_checkpoint = holds_a_run(folder.path());
            if has_checkpoint {
                run.restore(&folder.checkpoint())?;
            }
            let steps = run.trainer.steps();
            let Found { curve, note } = Found::read(&folder.log(), steps)?;
            if let Some(note) = note {
                observer.noted(&note);
            }
            run.curve = curve;
            let config = run.trainer.config().to_toml()?;
            let mut keeper = Keeper::new(folder, config, data.split, &run.curve, &run.validations)?;
            if has_checkpoint {
                keeper.has_saved(steps);
            }
            run.keeper = Some(keeper);
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
                self.checkpoint(observer)?;
            }
            if finished || stopped {
                break;
            }
            let progress = config.budget.progress(steps, elapsed_s);
            let record = self.trainer.step(threads, progress)?;
            stopped |= observer.step(&record, &self.progress()).is_break();
            self.log_line(&Line::Step(record.clone()), observer);
            self.curve.push(record);
            if due(config.checkpoint_every, self.trainer.steps()) {
                self.checkpoint(observer)?;
            }
        }
        let rescued = self.save_last(observer)?;
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
            rescued,
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
        self.log_line(&Line::Validation(validation.clone()), observer);
        let stop = observer.validated(&validation).is_break();
        self.validations.push(validation);
        if best {
            self.best_report = Some(report.clone());
        }
        self.report = Some(report);
        if best && self.keeper.is_some() {
            // The record now names this validation.
            let bytes = self.model()?.to_bytes()?;
            if let Some(keeper) = &mut self.keeper {
                keeper.best(&bytes, observer);
            }
        }
        Ok(stop)
    }

    /// Saves what there is. A disk that refuses ends no training.
    fn checkpoint(&mut self, observer: &mut dyn Observer) -> Result<(), Error> {
        if let Some(mut keeper) = self.keeper.take() {
            let (model, checkpoint) = self.bytes()?;
            if let Err(error) = keeper.save(&self.state(&model, &checkpoint), observer) {
                keeper.put_off(&error, observer);
            }
            self.keeper = Some(keeper);
        }
        Ok(())
    }

    /// Saves the last state, elsewhere where the folder does not take it.
    fn save_last(&mut self, observer: &mut dyn Observer) -> Result<Option<Rescued>, Error> {
        let Some(mut keeper) = self.keeper.take() else {
            return Ok(None);
        };
        let (model, checkpoint) = self.bytes()?;
        let state = self.state(&model, &checkpoint);
        let saved = keeper.save(&state, observer);
        Ok(saved
            .err()
            .map(|error| keeper.rescue(&state, &error, observer)))
    }

    /// Model and checkpoint as bytes.
    fn bytes(&self) -> Result<(Vec<u8>, Vec<u8>), Error> {
        let model = self.model()?.to_bytes()?;
        let checkpoint = Checkpoint::new(
            self.trainer.state(),
            self.trainer.config().clone(),
            self.record.clone(),
            self.validations.clone(),
            self.elapsed_s(),
        );
        Ok((model, checkpoint.into_bytes()?))
    }

    fn state<'a>(&'a self, model: &'a [u8], checkpoint: &'a [u8]) -> State<'a> {
        State {
            steps: self.trainer.steps(),
            model,
            checkpoint,
            curve: &self.curve,
            validations: &self.validations,
        }
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

    fn log_line(&mut self, line: &Line, observer: &mut dyn Observer) {
        if let Some(keeper) = &mut self.keeper {
            keeper.line(line, observer);
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
