//! `demo`: the whole fill job on a volume that is made up, so that its truth
//! is known everywhere.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use unet3d_train::lock::Lock;
use unet3d_train::run::Sitting;
use unet3d_train::{Budget, FillConfig, TrainConfig};
use unet3d_volume::labels::evenly_spaced;
use unet3d_volume::{Annotated, LabelScheme, Phantom, read_file};

use super::End;
use crate::arguments::{Json, Machine};
use crate::console::{self, Console};
use crate::filling::{self, Filling, Paths};
use crate::label_flags::read_under;
use crate::learning_flags::LearningFlags;
use crate::output;

/// Voxels of the phantom: a quarter of the paper's first volume, so that the
/// whole demo takes about two minutes on two cores.
const SHAPE: [usize; 3] = [64, 112, 112];

/// Slices annotated across z, y, x: about what a person does in an afternoon.
const SLICES: [usize; 3] = [3, 3, 3];

/// Value of voxels that are not annotated, as in the paper's data.
const UNLABELED: i64 = 3;

/// Steps of training: what two cores do in well under two minutes.
const ITERATIONS: u64 = 150;

/// Where that would take longer than promised, time ends the training. Where all
/// steps are done, results are the same bits on every machine with the same
/// instruction set.
const MINUTES: f64 = 2.25;

// What is written into the folder.
const IMAGE: &str = "image.tif";
const ANNOTATION: &str = "annotation.tif";
const TRUTH: &str = "truth.tif";
const RESULT: &str = "result.tif";
const MODEL: &str = "model.unet3d.safetensors";
const REPORT: &str = "report.html";

/// See the whole job on a built-in phantom, in about two minutes
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  unet3d demo
  unet3d demo -o /tmp/demo --json

Makes a volume that resembles the kidney data of the 3D U-Net paper (tubules with
lumen, wall and background under a confocal microscope), annotates a few slices
of it, trains on these alone, segments every voxel, and compares with the truth,
which here is known. Writes the volumes, the model and a report with pictures.")]
pub(crate) struct Demo {
    /// Folder to write into
    #[arg(short, long, value_name = "DIR", default_value = "demo")]
    out: PathBuf,

    #[command(flatten)]
    learning: LearningFlags,

    #[command(flatten)]
    machine: Machine,

    #[command(flatten)]
    json: Json,
}

impl Demo {
    /// Refuses a folder where files would be replaced that no demo wrote. A demo
    /// that ran to its end is known by its report.
    fn spare_files_of_others(&self) -> anyhow::Result<()> {
        let report = read_file(&self.out.join(REPORT)).unwrap_or_default();
        if String::from_utf8_lossy(&report).contains(filling::PHANTOM_TITLE) {
            return Ok(());
        }
        let files = [IMAGE, ANNOTATION, TRUTH, RESULT, MODEL, REPORT];
        if let Some(name) = files.iter().find(|name| self.out.join(name).exists()) {
            bail!(
                "{}: holds {name}, which is not from a demo that ran to its end and would be replaced. \
                 Give another folder (-o), or move the file elsewhere.",
                self.out.display()
            );
        }
        Ok(())
    }

    /// Makes the phantom, fills it, compares.
    pub(super) fn run(self) -> anyhow::Result<End> {
        let console = Console::new(self.json.json);
        let base = TrainConfig {
            budget: Budget {
                iterations: Some(ITERATIONS),
                minutes: Some(MINUTES),
            },
            ..FillConfig::default().train
        };
        let config = self.learning.settle(base, &self.machine)?;
        self.machine.engine()?;
        let lock = Lock::take(&self.out)?;
        lock.note().into_iter().for_each(|note| console.note(note));
        self.spare_files_of_others()?;
        output::check_folder(&self.out)?;
        let (image, truth) = Phantom::new(SHAPE, config.seed).build();
        let truth = read_under(
            &LabelScheme::new(Phantom::classes(), Annotated::Dense),
            &truth,
            "phantom",
            false,
        )?;
        let labels = truth.sparsify(SLICES);
        let path = |name: &str| self.out.join(name);
        let (image_path, labels_path) = (path(IMAGE), path(ANNOTATION));
        unet3d_volume::write(&image_path, &image)?;
        unet3d_volume::write_labels(&labels_path, &labels.to_volume(UNLABELED), &labels.classes)?;
        unet3d_volume::write_labels(&path(TRUTH), &truth.to_volume(UNLABELED), &truth.classes)?;
        let share = labels.annotated_voxels() as f64 / labels.voxels.len() as f64;
        let kept = [0, 1, 2].map(|a| evenly_spaced(SHAPE[a], SLICES[a]).len());
        console.note(format_args!(
            "A phantom of {} voxels and {} channels, {} + {} + {} slices annotated across z, y, x: {} of its voxels.",
            console::shape(SHAPE),
            image.channels,
            kept[0],
            kept[1],
            kept[2],
            console::percent(share)
        ));
        let paths = Paths {
            image: image_path,
            labels: labels_path,
            out: path(RESULT),
            model: path(MODEL),
            report: Some(path(REPORT)),
            uncertainty: None,
            named: self.out.clone(),
            missing: Vec::new(),
        };
        filling::run(
            Filling {
                paths,
                image,
                labels,
                warnings: Vec::new(),
                truth: Some(truth),
                scheme_flags: Annotated::Except(UNLABELED).words(),
                config,
                mirrored: false,
                sitting: Sitting::default(),
            },
            &self.machine,
            console,
        )
    }
}
