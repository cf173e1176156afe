//! The job of `fill` and `demo`: train on the annotated slices, segment the
//! volume, write the result, the model and the report, and say how good it is.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use serde_json::json;
use unet3d_metrics::{Confusion, Scores};
use unet3d_predict::Model;
use unet3d_train::fill::FillResult;
use unet3d_train::run::Sitting;
use unet3d_train::{Error, FillConfig, TrainConfig, fill};
use unet3d_volume::{Label, Labels, Volume};

use crate::arguments::Machine;
use crate::command::End;
use crate::command::evaluate::class_table;
use crate::command::predict::write_map;
use crate::command_line::CommandLine;
use crate::comparison::{Comparison, Verdict};
use crate::console::{self, Console};
use crate::interrupt::Interrupt;
use crate::output;
use crate::report;
use crate::results::Results;
use crate::watch::Watch;
use crate::{expectation, model_file, parse, run_folder};

/// Title of the report on a phantom; `demo` knows its folders by it.
pub(crate) const PHANTOM_TITLE: &str = "A phantom, filled from a few slices";

/// A checked fill.
pub(crate) struct Filling {
    /// Where everything is read from and written to.
    pub(crate) paths: Paths,
    /// The image as its file holds it.
    pub(crate) image: Volume,
    /// What is annotated.
    pub(crate) labels: Labels,
    /// What looks unlike the rest of it, a sentence each.
    pub(crate) warnings: Vec<String>,
    /// What is right everywhere, where that is known.
    pub(crate) truth: Option<Labels>,
    /// The flags that say which voxels are annotated, and the classes, as words.
    pub(crate) scheme_flags: Vec<OsString>,
    /// How to train.
    pub(crate) config: TrainConfig,
    /// Whether to predict in all mirror images.
    pub(crate) mirrored: bool,
    /// Where checkpoints are kept, if they are; the engine is the machine's.
    pub(crate) sitting: Sitting,
}

/// The files of a fill.
pub(crate) struct Paths {
    pub(crate) image: PathBuf,
    pub(crate) labels: PathBuf,
    pub(crate) out: PathBuf,
    pub(crate) model: PathBuf,
    /// Where the report is wanted.
    pub(crate) report: Option<PathBuf>,
    /// Where the map of doubts is wanted.
    pub(crate) uncertainty: Option<PathBuf>,
    /// What `--json` calls `out`: the file, or the folder of the demo.
    pub(crate) named: PathBuf,
    /// Those of the above that could not be written; empty before they are.
    pub(crate) missing: Vec<PathBuf>,
}

/// Trains, predicts, writes, tells.
///
/// # Errors
/// Where training refuses the data, or a file cannot be written: then all others are.
pub(crate) fn run(
    mut filling: Filling,
    machine: &Machine,
    console: Console,
) -> anyhow::Result<End> {
    let started = Instant::now();
    let engine = machine.engine()?;
    let threads = machine.start_threads()?;
    let interrupt = Interrupt::listen()?;
    let mut watch = Watch::new(console, interrupt.clone(), filling.config.memory_bytes);
    let config = FillConfig {
        train: filling.config.clone(),
        sitting: Sitting {
            engine,
            ..filling.sitting.clone()
        },
        // The report shows where doubts are.
        uncertainty: true,
        mirrored: filling.mirrored,
        ..FillConfig::default()
    };
    let result = fill(
        &filling.image,
        &filling.labels,
        &config,
        &threads,
        &mut watch,
    );
    watch.close();
    let result = match result {
        Err(Error::NotFilled { model, source }) => {
            return Err(keep_model(&filling.paths, &model, *source, console));
        }
        // What is wrong with the run's folder is not wrong with the image.
        Err(error) if error.names_its_file() => return Err(error.into()),
        result => result.with_context(|| filling.paths.image.display().to_string())?,
    };
    for warning in &result.warnings {
        console.note(format_args!("Note: {warning}."));
    }
    let measured = filling
        .truth
        .as_ref()
        .map(|truth| compare(&filling, truth, &result));
    let expected = result.expected.as_ref().map(|e| &e.scores);

    // What took longest first; the report last, which says what was written.
    let mut results = Results::new(console);
    let volume = result.labels.to_volume(result.labels.unlabeled_value());
    let out = results.keep(&filling.paths.out, |path| {
        Ok(unet3d_volume::write_labels(
            path,
            &volume,
            &result.labels.classes,
        )?)
    });
    drop(volume);
    let model = results.keep(&filling.paths.model, |path| {
        model_file::write(path, &result.model)
    });
    if let (Some(path), Some(map)) = (&filling.paths.uncertainty, &result.uncertainty) {
        results.add(path, |path| write_map(path, &filling.image, map));
    }
    if filling.paths.named == filling.paths.out {
        filling.paths.named.clone_from(&out);
    }
    filling.paths.out = out;
    filling.paths.model = model;
    filling.paths.missing = results.missing().to_vec();
    // Ctrl-C during the prediction came too late to cut anything short.
    let interrupted = result.stopped && interrupt.asked();
    let elapsed_s = started.elapsed().as_secs_f64();
    if let Some(path) = &filling.paths.report {
        let page = report::of_fill::page(
            &filling,
            &result,
            measured.as_ref(),
            &watch,
            (&threads, engine.isa),
            elapsed_s,
        );
        let page = report::to_html(&page);
        results.add(path, |path| output::write_file(path, page.as_bytes()));
    }
    filling.paths.missing = results.missing().to_vec();

    tell(&filling, &result, measured.as_ref(), elapsed_s, console)?;
    let paths = &filling.paths;
    let there = |path: &PathBuf| results.holds(path).then(|| console::shown(path));
    let mean = |scores: Option<&Scores>| scores.and_then(|s| s.mean_iou);
    let shown = measured.as_ref().or(expected);
    console.json(&json!({
        "mean_iou": mean(shown),
        "expected_iou": mean(expected),
        "classes": shown.map(|s| &s.classes),
        "expected_interval": result.expected.as_ref().map(|e| e.interval),
        "expected_classes": result.expected.as_ref().map(expectation::classes),
        "calibration": result.expected.as_ref().map(|e| e.calibration),
        "interpolation_iou": mean(result.interpolation.as_ref().map(|r| &r.overall)),
        "annotated": told_slices(&filling.labels),
        "warnings": filling.warnings,
        "held_out": { "z": result.held_out[0], "y": result.held_out[1], "x": result.held_out[2] },
        "elapsed_s": elapsed_s,
        "training_s": result.training_s,
        "iterations": result.steps,
        "interrupted": interrupted,
        "peak_bytes": watch.needs.map(|n| n.peak_bytes()),
        "out": console::shown(&paths.named),
        "segmentation": there(&paths.out),
        "uncertainty": paths.uncertainty.as_ref().and_then(there),
        "model": there(&paths.model),
        "report": paths.report.as_ref().and_then(there),
    }))?;
    let finished = results.finish();
    if let Some(error) = result.rescued.as_ref().map(run_folder::told) {
        if finished.is_ok() {
            return Err(error);
        }
        console.note(error);
    }
    finished?;
    Ok(if interrupted {
        End::Interrupted
    } else {
        End::Done
    })
}

/// Keeps what was learned where the volume could not be predicted; gives the error to
/// end with.
fn keep_model(paths: &Paths, model: &Model, source: Error, console: Console) -> anyhow::Error {
    let mut results = Results::new(console);
    let kept = results.keep(&paths.model, |path| model_file::write(path, model));
    let error = anyhow::Error::new(source).context(paths.image.display().to_string());
    if results.holds(&kept) {
        let predict = CommandLine::new("predict")
            .path(&kept)
            .path(&paths.image)
            .word("-o")
            .path(&paths.out);
        console.note(format_args!(
            "What was learned is kept in {}. Once the cause is mended, segment the volume with:\n    {predict}",
            kept.display()
        ));
    }
    match results.finish() {
        Ok(()) => error,
        Err(lost) => error.context(lost.to_string()),
    }
}

/// The result against the truth, on the voxels that were not annotated.
fn compare(filling: &Filling, truth: &Labels, result: &FillResult) -> Scores {
    let mut confusion = Confusion::new(truth.classes.len());
    confusion.add(
        &truth.voxels,
        &result.labels.voxels,
        Some(&filling.labels.voxels),
    );
    Scores::new(&confusion, &truth.classes)
}

fn tell(
    filling: &Filling,
    result: &FillResult,
    measured: Option<&Scores>,
    elapsed_s: f64,
    console: Console,
) -> anyhow::Result<()> {
    let paths = &filling.paths;
    console.result(format_args!(
        "{} in {}.\n",
        console::counted(result.steps, "step"),
        console::duration(elapsed_s)
    ))?;
    if let Some(sentence) = Comparison::of(result).and_then(Comparison::first) {
        console.result(format_args!("{sentence}\n"))?;
    }
    if let Some(measured) = measured {
        console
            .result("Against the phantom's own truth, on the voxels that were not annotated:\n")?;
        console.result(format_args!("{}\n", class_table(measured)))?;
    }
    match &result.expected {
        Some(expected) if measured.is_some() => console.result(format_args!(
            "Without a truth, {} would have promised a mean IoU of {}.\n",
            slices_held_out(result),
            expectation::mean_iou(expected)
        ))?,
        Some(expected) => {
            console.result(format_args!(
                "Expected quality of the voxels that were not annotated, from {}, which the network did not learn from:\n",
                slices_held_out(result)
            ))?;
            console.result(format_args!("{}\n", expectation::table(expected)))?;
            if let Some(sentence) = expectation::not_shown(expected) {
                console.result(format_args!("{sentence}\n"))?;
            }
            console.result(format_args!("{}\n", expectation::trust(expected)))?;
        }
        None => {}
    }
    if let Some(sentence) = Comparison::of(result).and_then(Comparison::after) {
        console.result(format_args!("{sentence}\n"))?;
    }
    console.result("Written:")?;
    let written = written(paths, measured.is_some());
    let rows: Vec<Vec<String>> = written
        .into_iter()
        .map(|(path, what)| vec![path, what])
        .collect();
    console.result(console::table(&rows, "<<"))?;
    console.result("\nNext:")?;
    for (sentence, command) in next(filling, result, measured.is_some()) {
        console.result(format_args!("  {sentence}\n    {command}"))?;
    }
    Ok(())
}

pub(crate) fn slices_held_out(result: &FillResult) -> String {
    named_slices(&result.held_out)
}

/// `the annotated slices z 10, y 56`.
pub(crate) fn named_slices(slices: &[Vec<usize>; 3]) -> String {
    let named = (0..3).flat_map(|axis| {
        let slices = slices[axis].iter();
        slices.map(move |i| format!("{} {i}", parse::AXES[axis]))
    });
    let named: Vec<String> = named.collect();
    let noun = if named.len() == 1 { "slice" } else { "slices" };
    format!("the annotated {noun} {}", named.join(", "))
}

pub(crate) fn written(paths: &Paths, demo: bool) -> Vec<(String, String)> {
    let mut out = Vec::new();
    let mut add = |path: &PathBuf, what: &str| {
        if !paths.missing.contains(path) {
            out.push((path.display().to_string(), what.to_owned()));
        }
    };
    if demo {
        add(&paths.image, "the phantom's image, three channels");
        add(&paths.labels, "the annotated slices; 3 is not annotated");
        add(
            &paths.labels.with_file_name("truth.tif"),
            "what is right everywhere",
        );
    }
    add(&paths.out, "the segmentation of every voxel");
    if let Some(uncertainty) = &paths.uncertainty {
        add(uncertainty, "how doubtful each voxel is, from 0 to 1");
    }
    add(&paths.model, "the model, for further volumes");
    if let Some(report) = &paths.report {
        add(report, report::WHAT_IT_IS);
    }
    out
}

/// What to do with the results: a sentence, and commands that can be pasted.
pub(crate) fn next(filling: &Filling, result: &FillResult, demo: bool) -> Vec<(String, String)> {
    let (paths, flags) = (&filling.paths, &filling.scheme_flags);
    let has_model = !paths.missing.contains(&paths.model);
    let again = |out: &Path| {
        CommandLine::new("fill")
            .path(&paths.image)
            .path(&paths.labels)
            .word("-o")
            .path(out)
            .words(flags)
    };
    let mut out = Vec::new();
    if demo {
        out.push((
            "Fill a volume of your own, of which some slices are annotated:".into(),
            CommandLine::new("fill")
                .words(["IMAGE", "LABELS", "-o", "OUT", "--unlabeled", "0"])
                .to_string(),
        ));
    } else {
        let verdict = Comparison::of(result).map(Comparison::verdict);
        if verdict == Some(Verdict::Interpolation) {
            let other = beside(&paths.out, "-interpolated");
            out.push((
                "Interpolate between the annotated slices, which did better on the held-out ones:"
                    .into(),
                again(&other).words(["--method", "interpolate"]).to_string(),
            ));
        }
        if has_model {
            let suggest = CommandLine::new("suggest")
                .path(&paths.model)
                .path(&paths.image)
                .path(&paths.labels)
                .words(flags)
                // What the model is calibrated for.
                .flag_if(filling.mirrored, "--mirrored");
            let longer = again(&paths.out)
                .words(["--minutes", &minutes_of_longer(filling)])
                // Only what this run wrote is there.
                .word("--overwrite");
            let is_stated = flags
                .first()
                .is_some_and(|flag| flag == "--annotated-slices");
            let state = match is_stated {
                true => ", add them to --annotated-slices",
                false => "",
            };
            out.push((
                format!(
                    "Not good enough? See which slices to annotate next, annotate them{state}, and train longer:"
                ),
                format!("{suggest}\n    {longer}"),
            ));
        }
    }
    if has_model {
        out.push((
            "Segment further images of the same kind without annotation:".into(),
            CommandLine::new("predict")
                .path(&paths.model)
                .words(["IMAGE", "-o", "OUT"])
                .to_string(),
        ));
    }
    out
}

/// More minutes than were given, and enough to make a difference.
fn minutes_of_longer(filling: &Filling) -> String {
    let given = filling.config.budget.minutes.unwrap_or(0.0);
    format!("{}", (2.0 * given).max(30.0).ceil())
}

/// A volume beside another, with `addition` before its ending.
pub(crate) fn beside(path: &Path, addition: &str) -> PathBuf {
    output::beside(
        path,
        &format!("{addition}{}", unet3d_volume::name::ending(path)),
    )
}

/// The slices that a person would call annotated, for `--json`.
pub(crate) fn told_slices(labels: &Labels) -> serde_json::Value {
    let [z, y, x] = labels.slices_to_tell();
    json!({ "z": z, "y": y, "x": x })
}

/// The slices annotated as a whole, by the labels' own rule.
pub(crate) fn annotated_slices(labels: &Labels, held_out: &[Vec<usize>; 3]) -> [Vec<usize>; 3] {
    let mut found = labels.annotated_slices();
    for axis in 0..3 {
        found[axis].extend(&held_out[axis]);
        found[axis].sort_unstable();
        found[axis].dedup();
        // Where everything is annotated there are no "annotated slices".
        if found[axis].len() == labels.geometry.shape[axis]
            && labels.voxels.iter().all(|l| *l != Label::UNLABELED)
        {
            found[axis].clear();
        }
    }
    found
}

pub(crate) fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(chars).collect()
    })
}
