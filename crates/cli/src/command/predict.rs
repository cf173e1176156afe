//! `predict`: a model on new images.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::json;
use unet3d_kernels::Threads;
use unet3d_kernels::conv3d::Context;
use unet3d_predict::{Error, Model, Options, Prediction, Tiling, check_fit};
use unet3d_unet::Engine;
use unet3d_volume::{Labels, Samples, Volume};

use super::End;
use crate::arguments::{Json, Machine, ProfileFlag};
use crate::console::{self, Console};
use crate::interrupt::Interrupt;
use crate::listing::{self, Item};
use crate::progress::Progress;
use crate::{model_file, output, parse, profile_table};

/// Segment new images with a trained model
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  unet3d predict run/ new.nii.gz -o new-labels.nii.gz
  unet3d predict model.unet3d.safetensors images/ -o labels/
  unet3d predict run/ new.tif -o labels.tif --uncertainty doubts.tif --mirrored

MODEL is a model file, or the folder of a training run (then its best model).
Several images, or a folder of them, are written into the folder OUT under their
own names. The result has the geometry of its image; its values are those of the
classes that the model was trained with.")]
pub(crate) struct Predict {
    /// Model file or run folder
    #[arg(value_name = "MODEL")]
    model: PathBuf,

    /// Images: files, folders of slices, or folders of images
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<PathBuf>,

    /// File to write for one image, folder for several
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

    /// Input of one tile in voxels [default: the largest that fits the memory]
    #[arg(long, value_name = "Z,Y,X", value_parser = parse::shape)]
    tile: Option<[usize; 3]>,

    #[command(flatten)]
    profile: ProfileFlag,

    #[command(flatten)]
    machine: Machine,

    #[command(flatten)]
    json: Json,
}

/// What to predict and where to write it.
struct Job {
    item: Item,
    out: PathBuf,
    probabilities: Option<PathBuf>,
    uncertainty: Option<PathBuf>,
}

impl Job {
    /// Every file that it writes, with the flag that names it.
    fn outputs(&self) -> Vec<(&'static str, &Path)> {
        let asked = [
            ("--out", Some(&self.out)),
            ("--probabilities", self.probabilities.as_ref()),
            ("--uncertainty", self.uncertainty.as_ref()),
        ];
        let named = asked.into_iter();
        named
            .filter_map(|(flag, path)| Some((flag, path?.as_path())))
            .collect()
    }
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
        let jobs = self.plan(&file)?;
        let threads = self.machine.start_threads()?;
        let interrupt = Interrupt::listen()?;
        let context = Context {
            threads: &threads,
            isa: engine.isa,
        };
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
        let mut files = Vec::new();
        for job in &jobs {
            let source = job.item.source();
            let volume = job.item.read()?;
            console.notes(&volume.notes);
            for (_, path) in job.outputs() {
                unet3d_volume::check_shape(path, volume.geometry.shape)?;
            }
            let predicted =
                predict_volume(&model, &volume, &options, &threads, &interrupt, console)
                    .with_context(|| source.clone())?;
            let Some(prediction) = predicted else {
                console.note(format_args!(
                    "Interrupted: {} of {} written, {source} is not.",
                    files.len(),
                    console::counted(jobs.len(), "image")
                ));
                return Ok(End::Interrupted);
            };
            for warning in &prediction.warnings {
                console.note(format_args!("{source}: {warning}"));
            }
            if let Some(profile) = &prediction.profile {
                profile_table::print(profile, context, console);
            }
            write_prediction(&model, &volume, &prediction, job)?;
            console.result(format_args!(
                "Wrote {}: {} voxels in {} of {}, at most {} of memory.",
                job.out.display(),
                console::shape(volume.geometry.shape),
                console::counted(prediction.tiles, "tile"),
                console::shape(prediction.tile),
                console::bytes(prediction.peak_bytes),
            ))?;
            files.push(json!({
                "image": source,
                "out": job.out,
                "probabilities": job.probabilities,
                "uncertainty": job.uncertainty,
                "tile": prediction.tile,
                "tiles": prediction.tiles,
                "peak_bytes": prediction.peak_bytes,
            }));
        }
        console.json(&json!({
            "model": file,
            "out": self.out,
            "files": files,
            "elapsed_s": started.elapsed().as_secs_f64(),
        }))?;
        Ok(End::Done)
    }

    /// One job for each image, with every path checked.
    fn plan(&self, model: &Path) -> anyhow::Result<Vec<Job>> {
        let mut items = Vec::new();
        for image in &self.images {
            items.extend(listing::volumes(image)?);
        }
        let is_single =
            matches!(&self.images[..], [one] if items.len() == 1 && items[0].paths[0] == *one);
        let inputs: Vec<&Path> = items
            .iter()
            .flat_map(|i| i.paths.iter().map(PathBuf::as_path))
            .chain([model])
            .collect();
        let into_folder =
            !is_single || self.out.is_dir() || unet3d_volume::check_name(&self.out).is_err();
        if is_single && into_folder && !self.out.is_dir() {
            // One image and a name without a known ending: more likely a
            // forgotten ending than a folder.
            output::check_volume(&self.out, &inputs)?;
        }
        if into_folder && self.out.is_file() {
            bail!(
                "{}: is a file, several images need a folder. Give -o the name of a folder.",
                self.out.display()
            );
        }
        let mut jobs: Vec<Job> = Vec::new();
        for item in &items {
            let name = writable_name(&item.name);
            let place = |path: &PathBuf| match into_folder {
                true => path.join(&name),
                false => path.clone(),
            };
            let job = Job {
                item: item.clone(),
                out: place(&self.out),
                probabilities: self.probabilities.as_ref().map(place),
                uncertainty: self.uncertainty.as_ref().map(place),
            };
            if jobs.iter().any(|j| j.out == job.out) {
                bail!(
                    "{}: two images would be written there, both are called {}. Predict them separately.",
                    job.out.display(),
                    item.name
                );
            }
            for (_, path) in job.outputs() {
                output::check_volume(path, &inputs)?;
            }
            output::check_distinct(&job.outputs())?;
            jobs.push(job);
        }
        Ok(jobs)
    }
}

/// The name of the image where its format can be written, else as NIfTI.
fn writable_name(name: &str) -> String {
    if unet3d_volume::check_name(Path::new(name)).is_ok() {
        name.to_owned()
    } else {
        format!("{}.nii.gz", output::stem(Path::new(name)))
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
    // Cheap refusals before the image is normalised.
    check_fit(model, volume.channels, &volume.geometry)?;
    Tiling::new(model, volume.geometry.shape, options, threads)?;
    let (image, padding) = model.pipeline.image(volume)?;
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
    match predicted {
        Ok(prediction) => Ok(Some(prediction)),
        Err(Error::Interrupted { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn write_prediction(
    model: &Model,
    volume: &Volume,
    prediction: &Prediction,
    job: &Job,
) -> anyhow::Result<()> {
    let labels = Labels {
        geometry: volume.geometry.clone(),
        classes: model.pipeline.classes.clone(),
        voxels: prediction.labels.clone(),
    };
    unet3d_volume::write(&job.out, &labels.to_volume(labels.unlabeled_value()))?;
    if let (Some(path), Some(probabilities)) = (&job.probabilities, &prediction.probabilities) {
        let classes = labels.classes.len();
        let voxels = volume.geometry.voxels();
        let mut channels = vec![0.0; probabilities.len()];
        for (i, of_voxel) in probabilities.chunks_exact(classes).enumerate() {
            for (c, p) in of_voxel.iter().enumerate() {
                channels[c * voxels + i] = *p;
            }
        }
        let volume = Volume::new(volume.geometry.clone(), classes, Samples::F32(channels))?;
        unet3d_volume::write(path, &volume)?;
    }
    if let (Some(path), Some(uncertainty)) = (&job.uncertainty, &prediction.uncertainty) {
        write_map(path, volume, uncertainty)?;
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
