//! `predict`: a model on new images.
//!
//! All images are judged before the first is predicted; one that is refused keeps no
//! other from its result.

mod outcome;
mod plan;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context as _;
use clap::Args;
use serde_json::{Value, json};
use unet3d_kernels::{Context, Threads};
use unet3d_predict::{
    Error, Model, Options, Prediction, Tiling, channels_first, check_fit, turn_for,
};
use unet3d_unet::Engine;
use unet3d_volume::{Geometry, Labels, Orientation, Samples, Volume};

use self::outcome::Outcomes;
use self::plan::{Job, Jobs};
use super::End;
use crate::arguments::{Json, Machine, Overwrite, ProfileFlag, ReportFlags};
use crate::console::{self, Console, shown};
use crate::interrupt::Interrupt;
use crate::listing::{Expected, FolderFlag, Item};
use crate::progress::Progress;
use crate::report;
use crate::report::of_prediction::{Gathered, Means};
use crate::results::Results;
use crate::{model_file, output, parse, profile_table};

/// Segment new images with a trained model
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  unet3d predict run/ new.nii.gz -o new-labels.nii.gz
  unet3d predict model.unet3d.safetensors images/ -o labels/
  unet3d predict run/ new.tif -o labels.tif --uncertainty doubts.tif --mirrored

MODEL is a model file, or the folder of a training run (then its best model).
OUT is a file where its name ends as one (.nii, .nii.gz, .tif, .npy, .png), else a
folder, in which each result has the name of its image. The result has the geometry
of its image; its values are those of the classes that the model was trained with.
An image that is stored along other axes than those the model learned from is turned
for the network, and the result back.

A file for each channel: CASE_0000, CASE_0001 and so on, as many as the model has;
naming one brings the others, and the result is called CASE. Other numbers are part
of the name. Patterns such as \"images/*.nii.gz\" are understood.

An image that cannot be predicted is told in a table at the end, the others are
predicted all the same, and the code is 1.

The report shows every slice of one image (beside its result, ending in .html), or a
slice of each of several (beside their folder, as OUT.html), with the volume of each
class.")]
pub(crate) struct Predict {
    /// Model file or run folder
    #[arg(value_name = "MODEL")]
    model: PathBuf,

    /// Images: files, folders of slices, or folders of images
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<PathBuf>,

    /// File to write, or folder to write into: see below
    #[arg(short, long, value_name = "OUT")]
    out: PathBuf,

    /// Write the probability of each class too, as channels (a folder for several
    /// images); calibrated where the model knows how
    #[arg(long, value_name = "PATH")]
    probabilities: Option<PathBuf>,

    /// Give probabilities and doubts as the network has them, not calibrated
    #[arg(long)]
    uncalibrated: bool,

    /// Write how doubtful each voxel is too: 0 where the network is certain, 1 where
    /// all classes are as probable (a folder for several images)
    #[arg(long, value_name = "PATH")]
    uncertainty: Option<PathBuf>,

    /// Predict every tile in its eight mirror images and take the mean: eight times
    /// the work, often a little better, and doubts show more clearly
    #[arg(long)]
    mirrored: bool,

    /// Take each image in the order in which its voxels are stored, whatever its file
    /// says of how they lie; also match files of channels so
    #[arg(long)]
    ignore_geometry: bool,

    /// Input of one tile in voxels, as the network sees the image [default: the largest that fits the memory]
    #[arg(long, value_name = "Z,Y,X", value_parser = parse::shape)]
    tile: Option<[usize; 3]>,

    #[command(flatten)]
    folder: FolderFlag,

    #[command(flatten)]
    report: ReportFlags,

    #[command(flatten)]
    overwrite: Overwrite,

    #[command(flatten)]
    profile: ProfileFlag,

    #[command(flatten)]
    machine: Machine,

    #[command(flatten)]
    json: Json,
}

impl Predict {
    /// Checks, then predicts one image after another.
    pub(super) fn run(self) -> anyhow::Result<End> {
        let console = Console::new(self.json.json);
        let started = Instant::now();
        let engine = Engine {
            profile: self.profile.profile,
            ..self.machine.engine()?
        };
        let (mut model, file) = model_file::read(&self.model)?;
        if self.uncalibrated {
            model.pipeline.calibration = None;
        }
        let expected = Expected {
            channels: Some(model.network.config().in_channels),
            slices: self.folder.folder,
            of_one_slice: model.pipeline.record["cases_of_one_slice"].as_bool(),
        };
        let Jobs {
            jobs,
            notes,
            report,
        } = plan::jobs(&self, &file, &expected)?;
        console.notes(&notes);
        let threads = self.machine.start_threads()?;
        let interrupt = Interrupt::listen()?;
        let options = Options {
            memory_bytes: self.machine.memory,
            tile: self.tile,
            probabilities: self.probabilities.is_some(),
            uncertainty: self.uncertainty.is_some(),
            mirrored: self.mirrored,
            held_bytes: 0,
            engine,
        };
        if let Some(tile) = self.tile {
            model.network.output_shape(tile).context("--tile")?;
        }
        let learned = model.pipeline.orientation;
        if self.ignore_geometry {
            model.pipeline.orientation = None;
        }
        let classes = model.pipeline.classes.clone();
        let mut gathered = (report.as_ref()).map(|_| Gathered::new(&classes, jobs.len()));
        let mut outcomes = Outcomes::default();
        let mut interrupted = false;
        let as_stored = self.ignore_geometry.then_some(learned).flatten();
        let judged = judge(
            &model,
            (self.ignore_geometry, as_stored),
            &jobs,
            &options,
            &threads,
            console,
            &mut outcomes,
        )?;
        for Judged { job, volume } in judged {
            let source = job.item.source();
            // Again from its file, unless it is the only one.
            let volume = volume.map_or_else(|| job.item.read(self.ignore_geometry), Ok);
            let done = volume.and_then(|volume| {
                self.one(
                    &model,
                    job,
                    volume,
                    &options,
                    (&threads, &interrupt),
                    (console, gathered.as_mut()),
                )
            });
            match done {
                Ok(Some(about)) => outcomes.done(job, about),
                Ok(None) => {
                    console.note(format_args!(
                        "Interrupted: {} of {} written, {source} is not.",
                        outcomes.files.len(),
                        console::counted(jobs.len(), "image")
                    ));
                    interrupted = true;
                    break;
                }
                Err(error) if jobs.len() == 1 => return Err(error),
                Err(error) => outcomes.failed(job, &error, console),
            }
        }
        let end = outcomes.tell(console)?;
        let mut results = Results::new(console);
        if let (Some(path), Some(gathered)) = (&report, gathered.filter(|g| !g.is_empty())) {
            let means = Means {
                model: (&model, &file),
                threads: &threads,
                engine,
                mirrored: self.mirrored,
            };
            let page = report::to_html(&gathered.page(&outcomes.reasons(), &means));
            results.add(path, |path| output::write_file(path, page.as_bytes()));
            if results.holds(path) {
                console.result(format_args!("Report: {}", shown(path)))?;
            }
        }
        if interrupted {
            results.finish()?;
            return Ok(End::Interrupted);
        }
        console.json(&json!({
            "model": shown(&file),
            "out": shown(&self.out),
            "files": outcomes.files,
            "failures": outcomes.failures(),
            "report": report.as_deref().filter(|path| results.holds(path) && path.exists()).map(shown),
            "elapsed_s": started.elapsed().as_secs_f64(),
        }))?;
        results.finish()?;
        Ok(end)
    }

    /// Predicts one image and writes its results; what `--json` says of it, or `None`
    /// when the person asked to stop.
    fn one(
        &self,
        model: &Model,
        job: &Job,
        volume: Volume,
        options: &Options,
        (threads, interrupt): (&Threads, &Interrupt),
        (console, gathered): (Console, Option<&mut Gathered<'_>>),
    ) -> anyhow::Result<Option<Value>> {
        let source = job.item.source();
        let options = Options {
            held_bytes: held_bytes(&volume, options),
            ..options.clone()
        };
        let predicted = predict_volume(model, &volume, &options, threads, interrupt, console)
            .with_context(|| source.clone())?;
        let Some(prediction) = predicted else {
            return Ok(None);
        };
        for warning in &prediction.warnings {
            console.note(format_args!("{source}: {warning}"));
        }
        if let Some(profile) = &prediction.profile {
            let context = Context {
                threads,
                isa: options.engine.isa,
            };
            profile_table::print(profile, context, console);
        }
        let page = gathered.map(|gathered| {
            let name = job.item.name();
            (
                gathered.shown(&name, &job.out, &volume, &prediction),
                gathered,
            )
        });
        let Volume { geometry, .. } = volume;
        let shape = geometry.shape;
        let (tile, tiles, peak_bytes) = (prediction.tile, prediction.tiles, prediction.peak_bytes);
        write_prediction(model, geometry, prediction, job)?;
        if let Some((page, gathered)) = page {
            gathered.add(page);
        }
        console.result(format_args!(
            "Wrote {}: {} voxels in {} of {}, at most {} of memory.",
            job.out.display(),
            console::shape(shape),
            console::counted(tiles, "tile"),
            console::shape(tile),
            console::bytes(peak_bytes),
        ))?;
        Ok(Some(json!({
            "image": source,
            "out": shown(&job.out),
            "probabilities": job.probabilities.as_deref().map(shown),
            "uncertainty": job.uncertainty.as_deref().map(shown),
            "tile": tile,
            "tiles": tiles,
            "peak_bytes": peak_bytes,
        })))
    }
}

/// An image that can be predicted.
struct Judged<'a> {
    job: &'a Job,
    /// Where it is the only one, what its file holds: no need to read it twice.
    volume: Option<Volume>,
}

/// Looks at every image before the first is predicted: whether it can be read, suits
/// the model and the memory, and whether its results can be written.
///
/// # Errors
/// Where the only image is refused, or all results together do not fit the disk.
fn judge<'a>(
    model: &Model,
    (by_index, learned): (bool, Option<Orientation>),
    jobs: &'a [Job],
    options: &Options,
    threads: &Threads,
    console: Console,
    outcomes: &mut Outcomes,
) -> anyhow::Result<Vec<Judged<'a>>> {
    let mut planned = Vec::new();
    let mut judged = Vec::new();
    for job in jobs {
        let read = job.item.read(by_index).and_then(|volume| {
            let options = Options {
                held_bytes: held_bytes(&volume, options),
                ..options.clone()
            };
            let of_job = job.planned(model, volume.geometry.shape);
            output::check_planned(&of_job)?;
            let seen = seen(model, &volume.geometry);
            check_fit(model, volume.channels, &seen)
                .map_err(|error| naming_channels(error.into(), model, &volume, &job.item))
                .and_then(|_| Ok(Tiling::new(model, seen.shape, &options, threads)?))
                .with_context(|| job.item.source())?;
            Ok((volume, of_job))
        });
        match read {
            Ok((volume, of_job)) => {
                console.notes(&volume.notes);
                tell_as_stored(learned, &volume.geometry, &job.item.source(), console);
                planned.extend(of_job);
                let volume = (jobs.len() == 1).then_some(volume);
                judged.push(Judged { job, volume });
            }
            Err(error) if jobs.len() == 1 => return Err(error),
            Err(error) => outcomes.failed(job, &error, console),
        }
    }
    output::check_planned(&planned)?;
    Ok(judged)
}

/// The refusal of an image with fewer channels than the model, with the names that
/// files of channels have.
fn naming_channels(
    error: anyhow::Error,
    model: &Model,
    volume: &Volume,
    item: &Item,
) -> anyhow::Error {
    let channels = model.network.config().in_channels;
    if volume.channels >= channels {
        return error;
    }
    let stem = unet3d_volume::name::stem(Path::new(&item.name));
    let case = unet3d_volume::name::channel(&stem).map_or(stem, |(case, _)| case);
    anyhow::anyhow!(
        "{error} Files of single channels must be called {0}_0000, {0}_0001 and so on, {channels} of them, and lie beside each other.",
        case.display()
    )
}

/// What the caller holds beside the prediction where it gives more than labels: the
/// image as its file has it and as the network sees it.
fn held_bytes(volume: &Volume, options: &Options) -> u64 {
    let samples = volume.samples.len();
    let bytes = samples * (volume.samples.number_type().bytes() + size_of::<f32>());
    match options.probabilities || options.uncertainty {
        true => bytes as u64,
        false => 0,
    }
}

/// How an image lies when the model sees it.
fn seen(model: &Model, image: &Geometry) -> Geometry {
    match turn_for(model, image) {
        Some((turn, _)) => turn.geometry(image),
        None => image.clone(),
    }
}

/// Says of an image that is taken as it is stored that it lies otherwise than those the
/// model learned from; `learned` is how these lay.
pub(crate) fn tell_as_stored(
    learned: Option<Orientation>,
    image: &Geometry,
    source: &str,
    console: Console,
) {
    if let (Some(learned), Some(stored)) = (learned, image.orientation())
        && learned != stored
    {
        console.note(format_args!(
            "{source}: is stored as {stored} (x, y, z), the model learned from images stored as {learned}; \
             it is taken as it is stored (--ignore-geometry)."
        ));
    }
}

/// Normalises and predicts; `None` when the person asked to stop.
///
/// # Errors
/// Where the image does not suit the model or the memory.
pub(crate) fn predict_volume(
    model: &Model,
    volume: &Volume,
    options: &Options,
    threads: &Threads,
    interrupt: &Interrupt,
    console: Console,
) -> anyhow::Result<Option<Prediction>> {
    let stored_shape = volume.geometry.shape;
    let turn = turn_for(model, &volume.geometry);
    let geometry = seen(model, &volume.geometry);
    // Cheap refusals before the image is normalised.
    check_fit(model, volume.channels, &geometry)?;
    Tiling::new(model, geometry.shape, options, threads)?;
    // Turned before it is normalised: sums over it then have the order that they would
    // have had if it had been stored so.
    let (image, padding) = match &turn {
        Some((turn, _)) => model
            .pipeline
            .image(&turn.volume(volume))
            .map_err(|error| error.before_turn(turn, stored_shape))?,
        None => model.pipeline.image(volume)?,
    };
    for found in padding {
        console.note(format_args!("Note: {found}."));
    }
    let mut bar = Progress::new(console, "predict", "tile");
    let predicted = unet3d_predict::predict(model, &image, options, threads, &mut |p| {
        bar.update(p.done as f64 / p.total.max(1) as f64, p.done as u64, "");
        match interrupt.flow() {
            // What is finished is finished.
            ControlFlow::Break(()) if p.done < p.total => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    });
    bar.finish();
    let predicted = match turn {
        Some((turn, note)) => predicted
            .map(|prediction| {
                let mut back = prediction.turned_back(&turn, stored_shape);
                back.warnings.push(note);
                back
            })
            .map_err(|error| error.before_turn(&turn, stored_shape)),
        None => predicted,
    };
    match predicted {
        Ok(prediction) => Ok(Some(prediction)),
        Err(Error::Interrupted { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Writes what was predicted. Nothing is copied but the class values: probabilities
/// can be most of the memory.
fn write_prediction(
    model: &Model,
    geometry: Geometry,
    prediction: Prediction,
    job: &Job,
) -> anyhow::Result<()> {
    let labels = Labels {
        geometry,
        classes: model.pipeline.classes.clone(),
        voxels: prediction.labels,
    };
    unet3d_volume::write_labels(
        &job.out,
        &labels.to_volume(labels.unlabeled_value()),
        &labels.classes,
    )?;
    let Labels {
        geometry, classes, ..
    } = labels;
    if let (Some(path), Some(mut probabilities)) = (&job.probabilities, prediction.probabilities) {
        let [_, rows, columns] = geometry.shape;
        channels_first(&mut probabilities, rows * columns, classes.len());
        let samples = Samples::F32(probabilities);
        let volume = Volume::new(geometry.clone(), classes.len(), samples)?;
        unet3d_volume::write(path, &volume)?;
    }
    if let (Some(path), Some(uncertainty)) = (&job.uncertainty, prediction.uncertainty) {
        let volume = Volume::new(geometry, 1, Samples::F32(uncertainty))?;
        unet3d_volume::write(path, &volume)?;
    }
    Ok(())
}

/// Writes a number a voxel with the geometry of `volume`.
///
/// # Errors
/// Where the file cannot be written.
pub(crate) fn write_map(path: &Path, volume: &Volume, values: &[f32]) -> anyhow::Result<()> {
    let samples = Samples::F32(values.to_vec());
    let map = Volume::new(volume.geometry.clone(), 1, samples)?;
    Ok(unet3d_volume::write(path, &map)?)
}
