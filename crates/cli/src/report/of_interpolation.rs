//! What the report of `fill --method interpolate` shows.

use unet3d_train::Interpolated;
use unet3d_volume::Label;

use super::{
    Facts, Files, Part, Quality, ROOM, Report, SliceScores, Slices, Source, about, annotated,
    units, unlike_others,
};
use crate::filling::{annotated_slices, named_slices};
use crate::interpolating::{Interpolating, RATHER_LOW, expected, next, written};
use crate::{command_line, console, expectation};

/// Number of the slider, of which this page has one.
const SLIDER: usize = 1;

/// All that the report shows; `shown` is the result that the pictures show.
pub(crate) fn page<'a>(
    job: &'a Interpolating,
    result: &'a Interpolated,
    shown: &'a [Label],
    elapsed_s: f64,
) -> Report<'a> {
    let (image, labels) = (&job.image, &job.labels);
    let annotated = annotated_slices(labels, &result.held_out);
    let share = labels.annotated_voxels() as f64 / labels.voxels.len() as f64;
    let expected = expected(result);
    let name = job.paths.image.file_name().unwrap_or_default();
    let name = name.to_string_lossy().into_owned();
    let quality = Quality {
        heading: "Mean IoU of held-out slices",
        names: &labels.classes,
        measured_on: match expected {
            Some(scores) => {
                let not_shown = expectation::not_shown_by(scores);
                format!(
                    "Measured on {}, interpolated from the other slices alone; their pictures below show that. \
                     {RATHER_LOW} {}",
                    named_slices(&result.held_out),
                    not_shown.unwrap_or_default()
                )
            }
            None => {
                "Not measured: no annotated slice could be spared. Annotate three or more in one \
                     direction, and the next run will say how good it is."
                    .into()
            }
        },
        mean_iou: expected.and_then(|s| s.mean_iou),
        interval: None,
        classes: expected.map_or_else(Vec::new, |s| {
            let scores = s.classes.iter();
            scores.map(|c| (c.iou, c.dice, c.voxels)).collect()
        }),
    };
    let scores = SliceScores::all(
        &result.held_out,
        image.geometry.shape,
        &labels.classes,
        &labels.voxels,
        shown,
    );
    let of_slices = annotated::held_out(&labels.classes, &scores, SLIDER);
    let slices = Slices {
        name: name.clone(),
        image: Source::File(image),
        classes: &labels.classes,
        annotation: Some(&labels.voxels),
        result: shown,
        doubts: None,
        truth: None,
        annotated: annotated.clone(),
        held_out: result.held_out.clone(),
        scores,
        room: ROOM,
    };
    let volumes = annotated::volumes(&labels.classes, &result.labels.voxels, &image.geometry);
    let used = annotated::slices(&annotated, &result.held_out, image.geometry.shape);
    let tables = [Some(volumes), of_slices, used].into_iter().flatten();
    let mut parts = vec![
        Part::Quality(quality),
        Part::Slices("Slices".into(), SLIDER, slices),
    ];
    parts.extend(tables.map(Part::Table));
    parts.push(Part::Facts("What was done", facts(job, share, elapsed_s)));
    parts.push(Part::Files(Files {
        written: written(&job.paths),
        next: next(job),
    }));
    Report {
        title: format!("{name}, filled by interpolation"),
        summary: format!(
            "Every one of {} voxels, from the {} of them that were annotated. Nothing was learned and \
             the image was not looked at: shapes were interpolated between the annotated slices.",
            console::count(labels.voxels.len() as u64),
            console::percent(share)
        ),
        program: format!(
            "Written by unet3d {}: shape-based interpolation, after Raya and Udupa (1990) and \
             Herman, Zheng and Bucholtz (1992), in up to three directions. \
             This file holds everything it shows.",
            env!("CARGO_PKG_VERSION")
        ),
        parts,
    }
}

fn facts(job: &Interpolating, share: f64, elapsed_s: f64) -> Facts {
    let geometry = &job.image.geometry;
    let mut facts = vec![
        (
            "Volume",
            vec![
                ("image", job.paths.image.display().to_string()),
                (
                    "voxels",
                    format!("{} (z, y, x)", console::shape(geometry.shape)),
                ),
                ("spacing", units::spacing(geometry.spacing())),
                ("labels", job.paths.labels.display().to_string()),
                ("read with", command_line::words(&job.scheme_flags)),
                (
                    "annotated",
                    format!("{} of the voxels", console::percent(share)),
                ),
            ],
        ),
        (
            "Interpolation",
            vec![
                ("took", console::duration(elapsed_s)),
                ("system", about::system()),
            ],
        ),
    ];
    facts.extend(unlike_others(&job.warnings));
    facts
}
