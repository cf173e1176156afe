//! What the report of `fill` and `demo` shows, gathered from the run.

use unet3d_kernels::{Isa, Threads};
use unet3d_metrics::Scores;
use unet3d_train::fill::FillResult;

use super::{
    Facts, Files, Part, Quality, ROOM, Report, SliceScores, Slices, Source, Training, Trust, about,
    annotated, units, unlike_others,
};
use crate::comparison::Comparison;
use crate::filling::{
    Filling, PHANTOM_TITLE, annotated_slices, capital, next, slices_held_out, written,
};
use crate::watch::Watch;
use crate::{command_line, console, expectation};

/// Number of the slider, of which this page has one.
const SLIDER: usize = 1;

/// All that the report shows.
pub(crate) fn page<'a>(
    filling: &'a Filling,
    result: &'a FillResult,
    measured: Option<&Scores>,
    watch: &'a Watch,
    machine: (&Threads, Isa),
    elapsed_s: f64,
) -> Report<'a> {
    let paths = &filling.paths;
    let (image, labels) = (&filling.image, &filling.labels);
    let name = paths.image.file_name().unwrap_or_default();
    let name = name.to_string_lossy().into_owned();
    let annotated = annotated_slices(labels, &result.held_out);
    let counts = annotated.clone().map(|a| a.len());
    let share = labels.annotated_voxels() as f64 / labels.voxels.len() as f64;
    let slices: usize = counts.iter().sum();
    let from = if slices == 0 {
        format!(
            "{} of the voxels, which were annotated",
            console::percent(share)
        )
    } else {
        format!(
            "{} ({} across z, {} across y, {} across x)",
            console::counted(slices, "annotated slice"),
            counts[0],
            counts[1],
            counts[2]
        )
    };
    let shown = measured.or(result.expected.as_ref().map(|e| &e.scores));
    let quality = Quality {
        heading: if measured.is_some() {
            "Mean IoU"
        } else {
            "Expected mean IoU"
        },
        names: &labels.classes,
        measured_on: [
            Comparison::of(result).and_then(Comparison::first),
            Some(measured_on(result, measured)),
            result.expected.as_ref().and_then(expectation::not_shown),
            Comparison::of(result).and_then(Comparison::after),
        ]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(" "),
        mean_iou: shown.and_then(|s| s.mean_iou),
        interval: (result.expected.as_ref())
            .filter(|_| measured.is_none())
            .and_then(|e| e.interval),
        classes: shown.map_or_else(Vec::new, |s| {
            s.classes
                .iter()
                .map(|c| (c.iou, c.dice, c.voxels))
                .collect()
        }),
    };
    let shape = image.geometry.shape;
    // Of what is known, the annotation: the truth of a phantom is no part of the job.
    let scores = SliceScores::all(
        &result.held_out,
        shape,
        &labels.classes,
        &labels.voxels,
        &result.labels.voxels,
    );
    let mut parts = vec![Part::Quality(quality)];
    let of_slices = annotated::held_out(&labels.classes, &scores, SLIDER);
    parts.push(Part::Slices(
        "Slices".into(),
        SLIDER,
        Slices {
            name: name.clone(),
            image: Source::File(image),
            classes: &labels.classes,
            annotation: Some(&labels.voxels),
            result: &result.labels.voxels,
            doubts: result.uncertainty.as_deref(),
            truth: filling.truth.as_ref().map(|t| &t.voxels[..]),
            annotated: annotated.clone(),
            held_out: result.held_out.clone(),
            scores,
            room: ROOM,
        },
    ));
    let volumes = annotated::volumes(&labels.classes, &result.labels.voxels, &image.geometry);
    let learned_from = annotated::slices(&annotated, &result.held_out, shape);
    let tables = [Some(volumes), of_slices].into_iter().flatten();
    parts.extend(tables.map(Part::Table));
    parts.extend(result.expected.as_ref().map(|expected| {
        Part::Trust(Trust {
            sentence: expectation::trust(expected),
            before: &expected.reliability_before,
            after: &expected.reliability_after,
        })
    }));
    // Of the result, not of the watch: a resumed run began before it.
    let losses = result.curve.iter();
    let scores = result.validations.iter();
    parts.push(Part::Training(Training {
        losses: losses.map(|s| (s.step, s.loss.total as f32)).collect(),
        scores: scores.filter_map(|v| Some((v.step, v.mean_iou?))).collect(),
    }));
    parts.extend(learned_from.map(Part::Table));
    let facts = facts(filling, result, watch, machine, share, elapsed_s);
    parts.push(Part::Facts("What was done", facts));
    parts.push(Part::Files(Files {
        written: written(paths, measured.is_some()),
        next: next(filling, result, measured.is_some()),
    }));
    Report {
        title: if measured.is_some() {
            PHANTOM_TITLE.into()
        } else {
            format!("{name}, filled")
        },
        summary: format!(
            "Every one of {} voxels, learned from {from}.",
            console::count(labels.voxels.len() as u64)
        ),
        program: format!(
            "Written by unet3d {}: 3D segmentation from sparse annotation, after Cicek et al., MICCAI 2016. \
             This file holds everything it shows.",
            env!("CARGO_PKG_VERSION")
        ),
        parts,
    }
}

fn measured_on(result: &FillResult, measured: Option<&Scores>) -> String {
    let expected = result.expected.as_ref();
    match (measured, expected) {
        (Some(measured), Some(expected)) => format!(
            "Measured on the {} voxels that were not annotated, against the phantom's own truth. {} alone, \
             as without a truth, would have said {}.",
            console::count(measured.voxels),
            capital(&slices_held_out(result)),
            expectation::mean_iou(expected),
        ),
        (Some(measured), None) => format!(
            "Measured on the {} voxels that were not annotated, against the phantom's own truth.",
            console::count(measured.voxels)
        ),
        (None, Some(expected)) => format!(
            "{} To be expected of the voxels that nobody annotated, judging by {}, which the network did not \
             learn from. Parts that look unlike anything annotated may come out worse.",
            expectation::interval(expected),
            slices_held_out(result)
        ),
        (None, None) => "Not measured: no annotated slice could be spared, all were needed to learn from. \
             Annotate further slices, three or more in one direction, and the next run will say how good it is. Until then, judge by the pictures below."
            .into(),
    }
}

fn facts(
    filling: &Filling,
    result: &FillResult,
    watch: &Watch,
    (threads, isa): (&Threads, Isa),
    share: f64,
    elapsed_s: f64,
) -> Facts {
    let (image, labels) = (&filling.image, &filling.labels);
    let (network, pipeline) = (&result.model.network, &result.model.pipeline);
    let counts = labels.class_voxels();
    let classes: Vec<String> = labels
        .classes
        .iter()
        .zip(&counts)
        .map(|(class, n)| format!("{} {}", console::count(*n as u64), class.name))
        .collect();
    let config = &filling.config;
    let preset = match config.network {
        Some(_) => "as configured".to_owned(),
        None => config.preset.to_string(),
    };
    let memory = watch
        .needs
        .map_or_else(String::new, |n| console::bytes(n.peak_bytes()));
    let mut facts = vec![
        (
            "Volume",
            vec![
                ("image", filling.paths.image.display().to_string()),
                (
                    "voxels",
                    format!(
                        "{} (z, y, x), {}, {}",
                        console::shape(image.geometry.shape),
                        console::counted(image.channels, "channel"),
                        image.type_name()
                    ),
                ),
                ("spacing", units::spacing(image.geometry.spacing())),
                ("labels", filling.paths.labels.display().to_string()),
                ("read with", command_line::words(&filling.scheme_flags)),
                (
                    "annotated",
                    format!(
                        "{} of the voxels: {}",
                        console::percent(share),
                        classes.join(", ")
                    ),
                ),
            ],
        ),
        (
            "Network",
            vec![
                ("preset", preset),
                (
                    "parameters",
                    console::count(network.parameter_count() as u64),
                ),
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
                ("steps", console::count(result.steps)),
                (
                    "ended",
                    if result.stopped {
                        "by the user".into()
                    } else {
                        "as planned".into()
                    },
                ),
                ("training", console::duration(result.training_s)),
                ("in all", console::duration(elapsed_s)),
                ("seed", config.seed.to_string()),
            ],
        ),
        (
            "Machine",
            vec![
                ("threads", threads.count().to_string()),
                ("instructions", isa.name().to_owned()),
                ("memory planned", memory),
                ("system", about::system()),
            ],
        ),
    ];
    facts.extend(unlike_others(&filling.warnings));
    facts
}
