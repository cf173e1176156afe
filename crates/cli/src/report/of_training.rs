//! What the report of `train` shows: how it went, each held-out case with its scores,
//! and the best and the worst of them in pictures.
//!
//! The pictures are of the model that `predict` takes, which is the best one; its
//! two cases are predicted once more for them, after the training has given its memory
//! back and within what validations were given.

use std::ops::ControlFlow;
use std::path::Path;

use unet3d_kernels::Threads;
use unet3d_metrics::Report as Scored;
use unet3d_predict::Model;
use unet3d_train::run::Outcome;
use unet3d_train::{Needs, TrainConfig};
use unet3d_unet::Engine;
use unet3d_volume::{Image, Label, Labels};

use super::table::{Cell, Column};
use super::{
    Facts, Files, Part, Quality, ROOM, Report, SliceScores, Slices, Source, Table, Training, about,
};
use crate::command_line::CommandLine;
use crate::console::{self, count, counted};
use crate::interrupt::Interrupt;
use crate::{command_line, model_file};

/// A training that is over.
pub(crate) struct Trained<'a> {
    /// The data set.
    pub(crate) data: &'a Path,
    /// The folder of the run.
    pub(crate) folder: &'a Path,
    /// Who is held out, and why.
    pub(crate) how_split: &'a str,
    /// How it was to be trained.
    pub(crate) config: &'a TrainConfig,
    /// Memory that was planned.
    pub(crate) needs: Option<Needs>,
    /// What came out.
    pub(crate) outcome: &'a Outcome,
    /// Whether the person ended it.
    pub(crate) interrupted: bool,
}

/// The scores that the page tells, and of which model they are.
struct Judged<'a> {
    scored: &'a Scored,
    is_best: bool,
}

/// One held-out case, predicted for its pictures.
pub(crate) struct Shown<'a> {
    what: String,
    image: &'a Image,
    truth: &'a Labels,
    /// Whether slices of the case were held out, not all of it.
    is_sparse: bool,
    result: Vec<Label>,
}

impl<'a> Trained<'a> {
    fn judged(&self) -> Option<Judged<'a>> {
        let outcome = self.outcome;
        match (&outcome.best_report, &outcome.report) {
            (Some(scored), _) => Some(Judged {
                scored,
                is_best: true,
            }),
            (None, Some(scored)) => Some(Judged {
                scored,
                is_best: false,
            }),
            (None, None) => None,
        }
    }

    /// The best and the worst held-out case, predicted. None where the person is in
    /// haste or nothing was held out.
    ///
    /// # Errors
    /// Where the model cannot be read or a prediction fails.
    pub(crate) fn extremes(
        &self,
        threads: &Threads,
        engine: Engine,
        interrupt: &Interrupt,
    ) -> anyhow::Result<Vec<Shown<'a>>> {
        let Some(Judged { scored, is_best }) = self.judged().filter(|_| !self.interrupted) else {
            return Ok(Vec::new());
        };
        let best_model = match is_best {
            true => Some(model_file::read(self.folder)?.0),
            false => None,
        };
        let model = best_model.as_ref().unwrap_or(&self.outcome.model);
        let mut out = Vec::new();
        for (index, what) in extremes(scored) {
            let Some((image, truth, is_sparse)) = self.held_out(index) else {
                continue;
            };
            let Some(result) = self.predicted(model, image, threads, engine, interrupt)? else {
                break;
            };
            out.push(Shown {
                what: format!("{what}: {}", scored.cases[index].name),
                image,
                truth,
                is_sparse,
                result,
            });
        }
        Ok(out)
    }

    /// Image and truth of what was scored as this case, whole cases first.
    fn held_out(&self, case: usize) -> Option<(&'a Image, &'a Labels, bool)> {
        let held_out = &self.outcome.held_out;
        match held_out.cases.get(case) {
            Some(case) => Some((&case.image, &case.labels, false)),
            None => {
                let (index, labels) = held_out.slices.get(case - held_out.cases.len())?;
                Some((&self.outcome.cases.get(*index)?.image, labels, true))
            }
        }
    }

    /// The labels of an image; `None` where the person stopped it.
    fn predicted(
        &self,
        model: &Model,
        image: &Image,
        threads: &Threads,
        engine: Engine,
        interrupt: &Interrupt,
    ) -> anyhow::Result<Option<Vec<Label>>> {
        let mut options = self.outcome.prediction.clone();
        options.engine = Engine {
            profile: false,
            ..engine
        };
        let found =
            unet3d_predict::predict(model, image, &options, threads, &mut |_| match interrupt
                .asked()
            {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            });
        match found {
            Ok(prediction) => Ok(Some(prediction.labels)),
            Err(unet3d_predict::Error::Interrupted { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// The cases with the highest and the lowest mean Dice; one where there is one.
fn extremes(scored: &Scored) -> Vec<(usize, &'static str)> {
    let known = scored.cases.iter().enumerate();
    let mut known: Vec<(usize, f64)> = known
        .filter_map(|(i, case)| Some((i, case.scores.mean_dice?)))
        .collect();
    known.sort_by(|a, b| a.1.total_cmp(&b.1));
    match known[..] {
        [] => Vec::new(),
        [(only, _)] => vec![(only, "The held-out case")],
        [(worst, _), .., (best, _)] => vec![
            (worst, "The worst held-out case"),
            (best, "The best held-out case"),
        ],
    }
}

/// All that the report shows.
pub(crate) fn page<'a>(
    run: &Trained<'a>,
    shown: &'a [Shown<'a>],
    threads: &Threads,
    engine: Engine,
) -> Report<'a> {
    let outcome = run.outcome;
    let classes = &outcome.model.pipeline.classes;
    let judged = run.judged();
    let which = match &judged {
        Some(judged) if judged.is_best => "the best model",
        _ => "the last model",
    };
    let overall = judged.as_ref().map(|j| &j.scored.overall);
    let mut parts = vec![Part::Quality(Quality {
        heading: "Mean IoU",
        measured_on: match overall {
            Some(scores) => format!(
                "Of {which}, measured on {} that it did not learn from.",
                counted(scores.voxels, "voxel")
            ),
            None if outcome.held_out.is_empty() => {
                "Not measured: nothing could be held out. Add cases, or annotate further slices."
                    .into()
            }
            None => {
                "Not measured in this sitting: it ended before a validation. Go on with --resume."
                    .into()
            }
        },
        mean_iou: overall.and_then(|s| s.mean_iou),
        interval: None,
        names: classes,
        classes: overall.map_or_else(Vec::new, |s| {
            let scores = s.classes.iter();
            scores.map(|c| (c.iou, c.dice, c.voxels)).collect()
        }),
    })];
    parts.push(Part::Training(Training {
        losses: (outcome.curve.iter())
            .map(|s| (s.step, s.loss.total as f32))
            .collect(),
        scores: (outcome.validations.iter())
            .filter_map(|v| Some((v.step, v.mean_iou?)))
            .collect(),
    }));
    for (i, shown) in shown.iter().enumerate() {
        parts.push(slices(shown, i + 1, ROOM / 2));
    }
    if run.interrupted && !outcome.held_out.is_empty() {
        let text = "The run was interrupted, so no case was predicted for this page. \
                    Go on with --resume, and the report will show them.";
        parts.push(Part::Text("Pictures", text.into()));
    }
    parts.extend(judged.map(|judged| Part::Table(cases(&judged, which))));
    parts.push(Part::Facts("What was done", facts(run, threads, engine)));
    parts.push(Part::Files(files(run)));
    let name = run.folder.file_name().unwrap_or(run.folder.as_os_str());
    Report {
        title: format!("{}, trained", name.to_string_lossy()),
        summary: format!(
            "{} learned from {}.",
            counted(outcome.steps, "step"),
            counted(outcome.cases.len(), "case")
        ),
        parts,
        program: format!(
            "Written by {}: 3D segmentation from sparse annotation, after Cicek et al., MICCAI 2016. \
             This file holds everything it shows.",
            about::version()
        ),
    }
}

/// Scores of each held-out case.
fn cases(judged: &Judged<'_>, which: &str) -> Table {
    let scored = judged.scored;
    let number = |name: &str| Column::Numbers(name.to_owned());
    let mut columns = vec![
        Column::Words("case".into()),
        number("mean IoU"),
        number("mean Dice"),
    ];
    columns.extend(scored.overall.classes.iter().map(|c| number(&c.name)));
    columns.push(number("voxels"));
    let rows = scored.cases.iter().map(|case| {
        let mut row = vec![
            Cell::Text(case.name.clone()),
            Cell::score(case.scores.mean_iou),
            Cell::score(case.scores.mean_dice),
        ];
        row.extend(case.scores.classes.iter().map(|c| Cell::score(c.iou)));
        row.push(Cell::Text(count(case.scores.voxels)));
        row
    });
    Table {
        heading: "Each held-out case".into(),
        intro: format!(
            "Scores of {which} on cases, or slices of cases, that it did not learn from; for each class its IoU."
        ),
        columns,
        rows: rows.collect(),
        note: "\u{2013}: the class is neither annotated nor found there.".into(),
    }
}

/// A slider through one case, where what is known and the result can be compared.
fn slices<'a>(shown: &'a Shown<'a>, id: usize, room: usize) -> Part<'a> {
    let truth = shown.truth;
    let held_out = match shown.is_sparse {
        true => truth.annotated_slices(),
        false => Default::default(),
    };
    let scores = SliceScores::all(
        &held_out,
        truth.geometry.shape,
        &truth.classes,
        &truth.voxels,
        &shown.result,
    );
    let slices = Slices {
        name: shown.what.clone(),
        image: Source::Normalised(shown.image),
        classes: &truth.classes,
        annotation: None,
        result: &shown.result,
        doubts: None,
        truth: Some(&truth.voxels),
        annotated: held_out.clone(),
        held_out,
        scores,
        room,
    };
    Part::Slices(shown.what.clone(), id, slices)
}

fn facts(run: &Trained<'_>, threads: &Threads, engine: Engine) -> Facts {
    let (outcome, config) = (run.outcome, run.config);
    let pipeline = &outcome.model.pipeline;
    let network = &outcome.model.network;
    let held_out = match outcome.held_out.cases.len() {
        0 => format!(
            "slices of {}",
            counted(outcome.held_out.slices.len(), "case")
        ),
        cases => counted(cases, "case"),
    };
    let classes: Vec<String> = (pipeline.classes.iter())
        .map(|c| format!("{} = {}", c.value, c.name))
        .collect();
    let scheme = (config.labels.as_ref()).map_or_else(
        || "as the data set says".into(),
        |scheme| command_line::words(&scheme.words()),
    );
    let memory =
        (run.needs).map_or_else(|| "not planned".into(), |n| console::bytes(n.peak_bytes()));
    vec![
        (
            "Data",
            vec![
                ("data set", run.data.display().to_string()),
                ("learned from", counted(outcome.cases.len(), "case")),
                ("held out", held_out),
                ("who", run.how_split.to_owned()),
                ("classes", classes.join(", ")),
                ("labels read with", scheme),
            ],
        ),
        (
            "Network",
            vec![
                (
                    "preset",
                    match config.network {
                        Some(_) => "as configured".to_owned(),
                        None => config.preset.to_string(),
                    },
                ),
                ("parameters", count(network.parameter_count() as u64)),
                ("levels", network.config().levels.len().to_string()),
                (
                    "patch",
                    format!("{} voxels", console::shape(pipeline.patch)),
                ),
            ],
        ),
        (
            "Training",
            vec![
                ("steps", count(outcome.steps)),
                (
                    "ended",
                    match run.interrupted {
                        true => "by the user".into(),
                        false => "as planned".into(),
                    },
                ),
                ("took", console::duration(outcome.elapsed_s)),
                ("seed", config.seed.to_string()),
                (
                    "all settings",
                    "config.toml in the folder of the run".into(),
                ),
            ],
        ),
        (
            "Machine",
            vec![
                ("threads", threads.count().to_string()),
                ("instructions", engine.isa.name().to_owned()),
                ("memory planned", memory),
                ("system", about::system()),
            ],
        ),
    ]
}

fn files(run: &Trained<'_>) -> Files {
    let train = CommandLine::new("train")
        .path(run.data)
        .word("-o")
        .path(run.folder)
        .word("--resume");
    let mut next = vec![(
        "Segment further images of the same kind:".to_owned(),
        CommandLine::new("predict")
            .path(run.folder)
            .words(["IMAGE", "-o", "OUT"])
            .to_string(),
    )];
    if run.interrupted {
        next.insert(0, ("Go on with the training:".into(), train.to_string()));
    }
    Files {
        written: vec![(
            run.folder.display().to_string(),
            "the best and the last model, the log, the configuration".into(),
        )],
        next,
    }
}
