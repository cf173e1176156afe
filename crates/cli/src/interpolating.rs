//! The job of `fill --method interpolate`: fill the volume from its annotated
//! slices without a network, write the result and the report, and say how good
//! it is likely to be.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Instant;

use serde_json::json;
use unet3d_metrics::Scores;
use unet3d_train::{Interpolated, fill_by_interpolation};
use unet3d_volume::labels::Ends;
use unet3d_volume::{Label, Labels, Volume};

use crate::command::End;
use crate::command::evaluate::class_table;
use crate::command_line::CommandLine;
use crate::console::{self, Console};
use crate::filling::{beside, capital, named_slices, told_slices};
use crate::results::Results;
use crate::{expectation, output, report};

/// Why the score is below what to expect: a slice held out lies a whole gap away
/// from the next, a voxel between slices at most half of one.
pub(crate) const RATHER_LOW: &str =
    "This is rather low: once all slices are used, no voxel is as far from one as these were.";

/// A checked fill without a network.
pub(crate) struct Interpolating {
    /// Where everything is read from and written to.
    pub(crate) paths: Paths,
    /// The image as its file holds it: for the pictures alone.
    pub(crate) image: Volume,
    /// What is annotated.
    pub(crate) labels: Labels,
    /// What looks unlike the rest of it, a sentence each.
    pub(crate) warnings: Vec<String>,
    /// What becomes of a class that a slice does not show.
    pub(crate) ends: Ends,
    /// The flags that say which voxels are annotated, and the classes, as words.
    pub(crate) scheme_flags: Vec<OsString>,
}

/// The files of a fill without a network.
pub(crate) struct Paths {
    pub(crate) image: PathBuf,
    pub(crate) labels: PathBuf,
    pub(crate) out: PathBuf,
    /// Where the report is wanted.
    pub(crate) report: Option<PathBuf>,
    /// Those of the above that could not be written; empty before they are.
    pub(crate) missing: Vec<PathBuf>,
}

/// Interpolates, writes, tells.
///
/// # Errors
/// Where nothing is annotated, or a file cannot be written.
pub(crate) fn run(mut job: Interpolating, console: Console) -> anyhow::Result<End> {
    let started = Instant::now();
    let result = fill_by_interpolation(&job.labels, job.ends)?;
    for warning in &result.warnings {
        console.note(format_args!("Note: {}.", capital(warning)));
    }
    let mut results = Results::new(console);
    let volume = result.labels.to_volume(result.labels.unlabeled_value());
    job.paths.out = results.keep(&job.paths.out, |path| {
        Ok(unet3d_volume::write_labels(
            path,
            &volume,
            &result.labels.classes,
        )?)
    });
    drop(volume);
    job.paths.missing = results.missing().to_vec();
    let elapsed_s = started.elapsed().as_secs_f64();
    if let Some(path) = &job.paths.report {
        // The pictures of slices held out show what was scored, not the annotation
        // that the result has there.
        let shown = match &result.expected {
            Some((_, trial)) => with_slices_of(&result.labels, trial, &result.held_out),
            None => result.labels.voxels.clone(),
        };
        let page = report::of_interpolation::page(&job, &result, &shown, elapsed_s);
        let page = report::to_html(&page);
        results.add(path, |path| output::write_file(path, page.as_bytes()));
    }
    job.paths.missing = results.missing().to_vec();
    let paths = &job.paths;

    let expected = expected(&result);
    console.result(format_args!(
        "Interpolated in {}.\n",
        console::duration(elapsed_s)
    ))?;
    if let Some(expected) = expected {
        console.result(format_args!(
            "Expected quality, measured on {}, interpolated from the other slices alone:\n",
            named_slices(&result.held_out)
        ))?;
        console.result(format_args!("{}\n\n{RATHER_LOW}\n", class_table(expected)))?;
        if let Some(sentence) = expectation::not_shown_by(expected) {
            console.result(format_args!("{sentence}\n"))?;
        }
    }
    console.result("Written:")?;
    let rows: Vec<Vec<String>> = written(paths)
        .into_iter()
        .map(|(path, what)| vec![path, what])
        .collect();
    console.result(console::table(&rows, "<<"))?;
    console.result("\nNext:")?;
    for (sentence, command) in next(&job) {
        console.result(format_args!("  {sentence}\n    {command}"))?;
    }
    let mean = expected.and_then(|s| s.mean_iou);
    console.json(&json!({
        "method": "interpolate",
        "mean_iou": mean,
        "expected_iou": mean,
        "classes": expected.map(|s| &s.classes),
        "expected_classes": expected.map(|s| &s.classes),
        "annotated": told_slices(&job.labels),
        "warnings": job.warnings,
        "held_out": {
            "z": result.held_out[0], "y": result.held_out[1], "x": result.held_out[2],
        },
        "elapsed_s": elapsed_s,
        "iterations": 0,
        "interrupted": false,
        "out": console::shown(&paths.out),
        "segmentation": results.holds(&paths.out).then(|| console::shown(&paths.out)),
        "report": paths.report.as_deref().filter(|path| results.holds(path)).map(console::shown),
    }))?;
    results.finish()?;
    Ok(End::Done)
}

pub(crate) fn expected(result: &Interpolated) -> Option<&Scores> {
    result.expected.as_ref().map(|(report, _)| &report.overall)
}

/// `labels` with these slices of `other`.
fn with_slices_of(labels: &Labels, other: &Labels, slices: &[Vec<usize>; 3]) -> Vec<Label> {
    let mut out = labels.voxels.clone();
    for (i, label) in out.iter_mut().enumerate() {
        let at = labels.geometry.position(i);
        if (0..3).any(|axis| slices[axis].contains(&at[axis])) {
            *label = other.voxels[i];
        }
    }
    out
}

pub(crate) fn written(paths: &Paths) -> Vec<(String, String)> {
    let report = paths.report.as_ref();
    let files = [
        Some((&paths.out, "the segmentation of every voxel")),
        report.map(|path| (path, report::WHAT_IT_IS)),
    ];
    (files.into_iter().flatten())
        .filter(|(path, _)| !paths.missing.contains(path))
        .map(|(path, what)| (path.display().to_string(), what.to_owned()))
        .collect()
}

pub(crate) fn next(job: &Interpolating) -> Vec<(String, String)> {
    let paths = &job.paths;
    let fill = CommandLine::new("fill")
        .path(&paths.image)
        .path(&paths.labels)
        .word("-o")
        .path(&beside(&paths.out, "-network"))
        .words(&job.scheme_flags);
    vec![(
        "Let a network learn from the image too; it says whether it does better:".into(),
        fill.to_string(),
    )]
}
