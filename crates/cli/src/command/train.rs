//! `train`: learn from a data set.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::json;
use unet3d_kernels::Context;
use unet3d_train::dataset::{self, CaseFiles, DataSet, Split};
use unet3d_train::run::{RunData, Sitting};
use unet3d_train::validate::HeldOut;
use unet3d_train::{Case, Error, TrainConfig};
use unet3d_unet::Engine;
use unet3d_volume::labels::{annotated_in_words, describe_values};
use unet3d_volume::{Labels, Normalise};

use super::End;
use super::evaluate::{class_table, score};
use crate::absent::{self, Judge};
use crate::arguments::{Json, Machine, ProfileFlag, ReportFlags};
use crate::command_line::CommandLine;
use crate::console::{self, Console, shown};
use crate::interrupt::Interrupt;
use crate::label_flags::LabelFlags;
use crate::learning_flags::LearningFlags;
use crate::output;
use crate::profile_table;
use crate::report::{self, of_training::Trained};
use crate::results::Results;
use crate::run_folder;
use crate::watch::Watch;

/// Learn from a set of annotated volumes
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  unet3d train data/ -o run/ --iterations 5000
  unet3d train data/ -o run/ --resume
  unet3d predict run/ new.nii.gz -o new-labels.nii.gz

DATASET is a folder as nnU-Net and the Medical Segmentation Decathlon lay it out
(dataset.json, imagesTr, labelsTr; a class named `ignore` is not annotated), or a
TOML list of files:

  [labels]                 # or painted_slices = [\"z\"], dense = true, masks = true,
  unlabeled = 0            # annotated_slices = { z = [4, 14], y = \"every:10\" }
  classes = [{ value = 1, name = \"inside\" }, { value = 2, name = \"membrane\" }]
                           # or objects = \"nucleus\": all values but 0 are one class
  [[case]]
  image = \"a.tif\"          # a list: one file a channel
  labels = \"a-labels.tif\"  # a case may have annotated_slices of its own
  subject = \"mouse 1\"      # optional, as is split = \"train\", \"validate\" or \"test\"

split.tsv beside the data (columns case, subject, split) says who is held out;
without it a fifth of the subjects is, or, where these are few, annotated slices.

RUN holds config.toml (every setting), log.jsonl (one line a step), the best and
the last model, a checkpoint, and report.html: the curve, the scores of each held-out
case, the best and the worst in pictures. Ctrl-C, or even a power cut, loses nothing that
a checkpoint has: --resume goes on, to the same bits as an undisturbed run.")]
pub(crate) struct Train {
    /// Data set folder, or a TOML list of cases
    #[arg(value_name = "DATASET")]
    data: PathBuf,

    /// Folder of the run
    #[arg(short, long, value_name = "RUN")]
    out: PathBuf,

    /// Go on with the run in RUN, under the configuration it was begun with
    #[arg(long)]
    resume: bool,

    #[command(flatten)]
    labels: LabelFlags,

    #[command(flatten)]
    learning: LearningFlags,

    #[command(flatten)]
    report: ReportFlags,

    #[command(flatten)]
    profile: ProfileFlag,

    #[command(flatten)]
    machine: Machine,

    /// Replace a report that exists (a run is never replaced)
    #[arg(long)]
    overwrite: bool,

    #[command(flatten)]
    json: Json,
}

/// Name of the report in the folder of a run.
const REPORT: &str = "report.html";

/// What can be trained.
struct Plan {
    config: TrainConfig,
    data: RunData,
    /// Who is held out, in words.
    how_split: String,
    report: Option<PathBuf>,
}

impl Train {
    /// Checks, loads, trains.
    pub(super) fn run(self) -> anyhow::Result<End> {
        let console = Console::new(self.json.json);
        let engine = Engine {
            profile: self.profile.profile,
            ..self.machine.engine()?
        };
        let plan = self.plan(console)?;
        let threads = self.machine.start_threads()?;
        let interrupt = Interrupt::listen()?;
        let mut watch = Watch::new(console, interrupt.clone(), plan.config.memory_bytes);
        let sitting = Sitting {
            folder: Some(self.out.clone()),
            resume: self.resume,
            engine,
        };
        let outcome = unet3d_train::run(&plan.config, plan.data, &sitting, &threads, &mut watch);
        watch.close();
        let outcome = outcome?;

        let best = outcome
            .validations
            .iter()
            .filter(|v| v.best)
            .max_by_key(|v| v.step);
        console.result(format_args!(
            "{} in {}.",
            console::counted(outcome.steps, "step"),
            console::duration(outcome.elapsed_s)
        ))?;
        if let Some(report) = &outcome.report {
            console.result("\nScores of the last model on what was held out:\n")?;
            console.result(format_args!("{}\n", class_table(&report.overall)))?;
        }
        if let Some(best) = best {
            console.result(format_args!(
                "Best model: step {}, mean IoU {}, mean Dice {}.",
                best.step,
                score(best.mean_iou),
                score(best.mean_dice)
            ))?;
        }
        if let Some(profile) = &outcome.profile {
            let context = Context {
                threads: &threads,
                isa: engine.isa,
            };
            profile_table::print(profile, context, console);
        }
        let rescue = outcome.rescued.as_ref();
        let saved_in = rescue
            .and_then(|r| r.folder.as_deref())
            .unwrap_or(&self.out);
        let run = saved_in.display();
        let stopped = outcome.stopped && interrupt.asked();
        if stopped {
            let resume = CommandLine::new("train")
                .path(&self.data)
                .word("-o")
                .path(saved_in)
                .word("--resume");
            console.note(format_args!(
                "Interrupted and saved. Go on with:\n    {resume}"
            ));
        }
        let mut results = Results::new(console);
        if let Some(path) = &plan.report {
            let trained = Trained {
                data: &self.data,
                folder: saved_in,
                how_split: &plan.how_split,
                config: &plan.config,
                needs: watch.needs,
                outcome: &outcome,
                interrupted: stopped,
            };
            results.add(path, |path| {
                let shown = trained.extremes(&threads, engine, &interrupt)?;
                let page = report::of_training::page(&trained, &shown, &threads, engine);
                output::write_file(path, report::to_html(&page).as_bytes())
            });
        }
        if rescue.is_none_or(|rescued| rescued.folder.is_some()) {
            console.result(format_args!(
                "Wrote {run}: the best and the last model, the log, the configuration{}.\n\
             Use it:\n    {}",
                match &plan.report {
                    Some(path) if results.holds(path) =>
                        format!("; and the report, {}", path.display()),
                    _ => String::new(),
                },
                CommandLine::new("predict")
                    .path(saved_in)
                    .words(["IMAGE", "-o", "OUT"])
            ))?;
        }
        let scored = outcome.report.as_ref().map(|r| &r.overall);
        console.json(&json!({
            "iterations": outcome.steps,
            "elapsed_s": outcome.elapsed_s,
            "mean_iou": best.and_then(|b| b.mean_iou),
            "mean_dice": best.and_then(|b| b.mean_dice),
            "best_step": best.map(|b| b.step),
            "last": scored,
            "interrupted": stopped,
            "peak_bytes": watch.needs.map(|n| n.peak_bytes()),
            "out": shown(saved_in),
            "report": plan.report.as_deref().filter(|path| results.holds(path)).map(shown),
        }))?;
        let finished = results.finish();
        if let Some(error) = rescue.map(run_folder::told) {
            if finished.is_ok() {
                return Err(error);
            }
            console.note(error);
        }
        finished?;
        Ok(if stopped { End::Interrupted } else { End::Done })
    }

    fn plan(&self, console: Console) -> anyhow::Result<Plan> {
        // Long before the data are read.
        if !self.resume {
            run_folder::check_apart(&self.out, &self.data)?;
        }
        let base = run_folder::configuration(&self.out, self.resume)?.unwrap_or_default();
        let mut config = self.learning.settle(base, &self.machine)?;
        let scheme = self.labels.scheme()?.or(config.labels.take());
        let mut data_set = match dataset::find(&self.data, scheme.as_ref()) {
            Err(Error::NoScheme { labels }) => return Err(ask(&self.data, &labels)),
            found => found?,
        };
        console.notes(&data_set.notes);
        if let Some(name) = &self.labels.objects {
            data_set.take_as_objects(name)?;
        }
        config.ignore_geometry |= self.labels.ignore_geometry;
        data_set.ignore_geometry = config.ignore_geometry;
        data_set.settle_classes()?;
        config.labels = Some(data_set.scheme.clone());
        let mut training = load(&mut data_set, Split::Train, &config)?;
        let mut held_out = HeldOut {
            cases: load(&mut data_set, Split::Validate, &config)?,
            ..HeldOut::default()
        };
        same_channels(training.iter().chain(&held_out.cases))?;
        let cases = || training.iter().chain(&held_out.cases);
        tell_notes(cases(), &self.data, console);
        tell_annotation(cases(), console);
        let mut how = data_set.how_split.clone();
        if held_out.cases.is_empty() {
            held_out = HeldOut::slices_of(&mut training)?;
            if !held_out.is_empty() {
                how.push_str("; annotated slices are held out instead of cases");
            }
        }
        absent_classes(&training, &held_out, console);
        console.note(format_args!(
            "{}: {} to learn from, {} held out ({how}).",
            self.data.display(),
            console::counted(training.len(), "case"),
            held_out.cases.len(),
        ));
        output::check_folder(&self.out)?;
        let report = self.report.path(|| self.out.join(REPORT));
        if let Some(report) = &report {
            // The run's own report is part of the run.
            let replace = self.overwrite || self.resume || report.starts_with(&self.out);
            output::check_file(report, &[&self.data], replace)?;
        }
        Ok(Plan {
            config,
            how_split: how,
            report,
            data: RunData {
                training,
                held_out,
                record: data_set.record(),
                split: data_set.cases,
            },
        })
    }
}

/// Tells which slices are annotated, of the cases that are not wholly.
fn tell_annotation<'a>(cases: impl Iterator<Item = &'a Case>, console: Console) {
    /// More lines hide what matters beside them; `check` tells all.
    const MOST: usize = 20;
    let words = cases.map(|case| (&case.name, annotated_in_words(&case.labels)));
    let sparse: Vec<_> = words.filter(|(_, words)| words != "every voxel").collect();
    for (name, words) in sparse.iter().take(MOST) {
        console.note(format_args!("{name}: annotated: {words}."));
    }
    if sparse.len() > MOST {
        console.note(format_args!(
            "and {} annotated in part; `check` lists all.",
            console::counted(sparse.len() - MOST, "more case")
        ));
    }
}

/// Warns of classes that nothing shows that is learned from, or held out.
fn absent_classes(training: &[Case], held_out: &HeldOut, console: Console) {
    let Some(classes) = training.first().map(|case| &case.labels.classes) else {
        return;
    };
    let absent = |labels: &mut dyn Iterator<Item = &Labels>| {
        absent::without_voxels(classes, &absent::voxels_of(classes.len(), labels))
    };
    let not_learned = absent(&mut training.iter().map(|case| &case.labels));
    let sentence = absent::not_learned(&not_learned, "training case");
    let cases = held_out.cases.iter().map(|case| &case.labels);
    let slices = held_out.slices.iter().map(|(_, labels)| labels);
    let mut not_scored = absent(&mut cases.chain(slices));
    // Of what is not learned that is said already.
    not_scored.retain(|name| !not_learned.contains(name));
    let by = match held_out.cases.is_empty() {
        true => Judge::Slices,
        false => Judge::Cases,
    };
    let unscored = absent::not_scored(&not_scored, by).filter(|_| !held_out.is_empty());
    for sentence in [sentence, unscored].into_iter().flatten() {
        console.note(format_args!("Warning: {sentence}"));
    }
}

/// Reads the cases of a split, naming the files of one that is refused.
fn load(data_set: &mut DataSet, split: Split, config: &TrainConfig) -> anyhow::Result<Vec<Case>> {
    let files: Vec<CaseFiles> = data_set.of(split).cloned().collect();
    let mut cases = Vec::with_capacity(files.len());
    for files in &files {
        let case = load_case(data_set, files, &config.normalise)?;
        cases.push(case);
    }
    Ok(cases)
}

/// Reads one case, naming its files where it is refused. The first that says how it
/// lies settles how all others are turned.
pub(super) fn load_case(
    data_set: &mut DataSet,
    files: &CaseFiles,
    normalise: &Normalise,
) -> anyhow::Result<Case> {
    let read = data_set.load_case(files, normalise);
    let case = read.with_context(|| {
        format!(
            "{} with {}",
            files.images[0].display(),
            files.labels.display()
        )
    })?;
    data_set.settle_orientation(&case);
    Ok(case)
}

/// Says what was noticed while the cases of `data` were read, of many the first.
pub(super) fn tell_notes<'a>(
    cases: impl Iterator<Item = &'a Case> + Clone,
    data: &Path,
    console: Console,
) {
    /// What a person still reads.
    const SHOWN: usize = 20;
    let notes = || cases.clone().flat_map(|case| &case.notes);
    notes().take(SHOWN).for_each(|note| console.note(note));
    let count = notes().count();
    if count > SHOWN {
        console.note(format_args!(
            "and {} more notes on the files of {}; `unet3d check` lists them all.",
            count - SHOWN,
            data.display()
        ));
    }
    if let Some(sentence) = dataset::unoriented(cases) {
        console.note(format_args!("{}: {sentence}", data.display()));
    }
}

/// The question which voxels are annotated, with the values of one label file.
pub(super) fn ask(data: &Path, labels: &Path) -> anyhow::Error {
    let source = labels.display().to_string();
    let volume = match unet3d_volume::read(labels) {
        Ok(volume) => volume,
        Err(error) => return error.into(),
    };
    match describe_values(&volume, &source) {
        Ok(found) => anyhow::anyhow!(
            "{}: what the values of its labels mean is not said. In {source}:\n\n{found}",
            data.display()
        ),
        Err(error) => error.into(),
    }
}

/// Refuses cases whose images differ in their number of channels.
pub(super) fn same_channels<'a>(cases: impl Iterator<Item = &'a Case>) -> anyhow::Result<()> {
    let mut first: Option<&Case> = None;
    for case in cases {
        let first = *first.get_or_insert(case);
        if case.image.channels != first.image.channels {
            bail!(
                "case {}: {}, case {} has {}; all images of a data set need the same channels.",
                case.name,
                console::counted(case.image.channels, "channel"),
                first.name,
                first.image.channels
            );
        }
    }
    Ok(())
}
