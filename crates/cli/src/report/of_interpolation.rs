//! What the report of `fill --method interpolate` shows.

use unet3d_train::Interpolated;
use unet3d_volume::Label;

use super::{Facts, Quality, Report, Slices};
use crate::command::info::spacing;
use crate::filling::{annotated_slices, named_slices};
use crate::interpolating::{Interpolating, RATHER_LOW, expected, next, written};
use crate::{console, expectation, parse};

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
    Report {
        title: format!("{}, filled by interpolation", name.to_string_lossy()),
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
        facts: facts(job, &annotated, share, elapsed_s),
        classes: &labels.classes,
        slices: Slices {
            image,
            annotation: &labels.voxels,
            result: shown,
            uncertainty: None,
            truth: None,
            annotated,
            held_out: result.held_out.clone(),
        },
        quality: Quality {
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
                None => "Not measured: no annotated slice could be spared. Annotate three or more in one \
                         direction, and the next run will say how good it is."
                    .into(),
            },
            mean_iou: expected.and_then(|s| s.mean_iou),
            interval: None,
            classes: expected.map_or_else(Vec::new, |s| {
                let scores = s.classes.iter();
                scores.map(|c| (c.iou, c.dice, c.voxels)).collect()
            }),
        },
        trust: None,
        losses: Vec::new(),
        scores: Vec::new(),
        written: written(&job.paths),
        next: next(job),
    }
}

fn facts(job: &Interpolating, annotated: &[Vec<usize>; 3], share: f64, elapsed_s: f64) -> Facts {
    let geometry = &job.image.geometry;
    let slices: Vec<String> = (0..3)
        .map(|a| format!("{} across {}", annotated[a].len(), parse::AXES[a]))
        .collect();
    vec![
        (
            "Volume",
            vec![
                ("image", job.paths.image.display().to_string()),
                (
                    "voxels",
                    format!("{} (z, y, x)", console::shape(geometry.shape)),
                ),
                ("spacing", spacing(geometry.spacing_mm)),
                ("labels", job.paths.labels.display().to_string()),
                (
                    "annotated",
                    format!("{} of the voxels", console::percent(share)),
                ),
            ],
        ),
        (
            "Interpolation",
            vec![
                ("annotated slices", slices.join(", ")),
                ("took", console::duration(elapsed_s)),
            ],
        ),
    ]
}
