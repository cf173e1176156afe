//! `fill`: train on the annotated slices of one volume, or interpolate between
//! them, and segment all of it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use unet3d_train::FillConfig;
use unet3d_train::fill::DEFAULT_MINUTES;
use unet3d_train::run::Sitting;
use unet3d_volume::place::{How, Outside, bring, place_slices};
use unet3d_volume::{Annotated, LabelScheme, Labels, NumberType, Volume};

use super::End;
use crate::absent;
use crate::arguments::{Json, Machine, Out, Overwrite, ReportFlags};
use crate::console::Console;
use crate::filling::{self, Filling, Paths};
use crate::interpolating::{self, Interpolating};
use crate::label_flags::{LabelFlags, read_under, tell_annotation};
use crate::learning_flags::LearningFlags;
use crate::listing::Item;
use crate::model_file;
use crate::output::{self, Planned};
use crate::run_folder;

/// Segment a whole volume from its few annotated slices
#[derive(Args, Debug)]
#[command(after_help = after_help())]
pub(crate) struct Fill {
    /// The image: a file or a folder of slices
    #[arg(value_name = "IMAGE")]
    image: PathBuf,

    /// The labels of its annotated slices, at the same place: of the same shape, or a
    /// part of it where the files say where they lie
    #[arg(value_name = "LABELS")]
    labels: PathBuf,

    #[command(flatten)]
    out: Out,

    /// How to fill: `network` learns from the image; `interpolate` continues the shapes
    /// between the annotated slices, learns nothing and takes seconds
    #[arg(long, value_name = "HOW", default_value = "network")]
    method: Method,

    /// Where to write the model [default: beside OUT, ending in .unet3d.safetensors]
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,

    #[command(flatten)]
    report: ReportFlags,

    /// Write how doubtful each voxel is too: 0 where the network is certain, 1 where
    /// all classes are as probable
    #[arg(long, value_name = "FILE")]
    uncertainty: Option<PathBuf>,

    /// Predict in eight mirror images and take the mean: eight times the work of
    /// predicting, often a little better, and doubts show more clearly
    #[arg(long)]
    mirrored: bool,

    /// Keep checkpoints and the log in this folder, as `train` does
    #[arg(long, value_name = "RUN")]
    run: Option<PathBuf>,

    /// Go on with the run in --run, under the configuration and the label flags it
    /// was begun with
    #[arg(long, requires = "run")]
    resume: bool,

    #[command(flatten)]
    scheme: LabelFlags,

    #[command(flatten)]
    learning: LearningFlags,

    #[command(flatten)]
    machine: Machine,

    #[command(flatten)]
    overwrite: Overwrite,

    #[command(flatten)]
    json: Json,
}

/// How a volume is filled.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Method {
    Network,
    Interpolate,
}

impl Fill {
    /// Checks, reads, fills.
    pub(super) fn run(self) -> anyhow::Result<End> {
        let console = Console::new(self.json.json);
        match self.method {
            Method::Network => filling::run(self.plan(console)?, &self.machine, console),
            Method::Interpolate => interpolating::run(self.plan_interpolation(console)?, console),
        }
    }

    fn plan(&self, console: Console) -> anyhow::Result<Filling> {
        self.machine.engine()?;
        let out = &self.out.out;
        let begun = match &self.run {
            Some(run) => run_folder::configuration(run, self.resume)?,
            None => None,
        };
        let base = begun.unwrap_or_else(|| FillConfig::default().train);
        let mut config = self.learning.settle(base, &self.machine)?;
        let inputs: [&Path; 2] = [&self.image, &self.labels];
        output::check_volume(out, &inputs, self.replace())?;
        let paths = Paths {
            image: self.image.clone(),
            labels: self.labels.clone(),
            out: out.clone(),
            model: self
                .model
                .clone()
                .unwrap_or_else(|| output::beside(out, model_file::ENDING)),
            named: out.clone(),
            missing: Vec::new(),
            uncertainty: self.uncertainty.clone(),
            report: self.report_path(),
        };
        let mut outputs: Vec<(&str, &Path)> =
            vec![("--out", &paths.out), ("--model", &paths.model)];
        outputs.extend(paths.report.iter().map(|path| ("--report", path.as_path())));
        for (flag, path) in &outputs[1..] {
            output::check_file(path, &inputs, self.replace()).with_context(|| *flag)?;
        }
        if let Some(uncertainty) = &paths.uncertainty {
            output::check_volume(uncertainty, &inputs, self.replace()).context("--uncertainty")?;
            outputs.push(("--uncertainty", uncertainty));
        }
        output::check_distinct(&outputs)?;
        let said = self.scheme.annotated();
        let said = said.or_else(|| config.labels.as_ref().map(|l| l.annotated.clone()));
        config.ignore_geometry |= self.scheme.ignore_geometry;
        let by_index = config.ignore_geometry;
        let (image, labels) = self.volumes(said.as_ref(), by_index)?;
        let source = self.labels.display().to_string();
        let volume = labels;
        let (labels, scheme) = match (self.scheme.scheme()?, config.labels.take()) {
            (None, Some(scheme)) => (read_under(&scheme, &volume, &source, by_index)?, scheme),
            _ => self.scheme.read(&volume, &self.labels)?,
        };
        config.labels = Some(LabelScheme {
            classes: labels.classes.clone(),
            ..scheme.clone()
        });
        labels.require_two_classes(&scheme.annotated, &source)?;
        self.check_results(&labels)?;
        self.absent_classes(&labels);
        let warnings = tell_annotation(&volume, &labels, &scheme, &self.labels, console)?;
        Ok(Filling {
            warnings,
            paths,
            image,
            labels,
            truth: None,
            scheme_flags: with_geometry(scheme.words(), by_index),
            config,
            mirrored: self.mirrored,
            sitting: Sitting {
                folder: self.run.clone(),
                resume: self.resume,
                ..Sitting::default()
            },
        })
    }
}

impl Fill {
    /// The plan without a network.
    fn plan_interpolation(&self, console: Console) -> anyhow::Result<Interpolating> {
        let of_network = [
            ("--model", self.model.is_some()),
            ("--run", self.run.is_some()),
            ("--uncertainty", self.uncertainty.is_some()),
            ("--mirrored", self.mirrored),
        ];
        let given = of_network.into_iter().find(|(_, given)| *given);
        if let Some(flag) = (given.map(|(flag, _)| flag)).or_else(|| self.learning.first_given()) {
            bail!(
                "{flag}: is for learning, --method interpolate learns nothing and has no model. \
                 Leave out {flag}, or take --method network."
            );
        }
        let out = &self.out.out;
        let inputs: [&Path; 2] = [&self.image, &self.labels];
        let report = self.report_path();
        output::check_volume(out, &inputs, self.replace())?;
        if let Some(report) = &report {
            output::check_file(report, &inputs, self.replace()).context("--report")?;
            output::check_distinct(&[("--out", out), ("--report", report)])?;
        }
        let said = self.scheme.annotated();
        let (image, labels) = self.volumes(said.as_ref(), self.scheme.ignore_geometry)?;
        let volume = labels;
        let (labels, scheme) = self.scheme.read(&volume, &self.labels)?;
        labels.require_two_classes(&scheme.annotated, &self.labels.display().to_string())?;
        self.check_results(&labels)?;
        self.absent_classes(&labels);
        let warnings = tell_annotation(&volume, &labels, &scheme, &self.labels, console)?;
        Ok(Interpolating {
            warnings,
            ends: scheme.annotated.ends(),
            paths: interpolating::Paths {
                image: self.image.clone(),
                labels: self.labels.clone(),
                out: out.clone(),
                report,
                missing: Vec::new(),
            },
            image,
            labels,
            scheme_flags: with_geometry(scheme.words(), self.scheme.ignore_geometry),
        })
    }

    /// Warns of classes that no annotated voxel is of.
    fn absent_classes(&self, labels: &Labels) {
        let names = absent::without_voxels(&labels.classes, &labels.class_voxels());
        if let Some(sentence) = absent::not_learned(&names, "annotated voxel") {
            let console = Console::new(self.json.json);
            console.note(format_args!(
                "Warning: {}: {sentence}",
                self.labels.display()
            ));
        }
    }

    /// Refuses results that their formats cannot hold, or their disks have no room for.
    fn check_results(&self, labels: &Labels) -> anyhow::Result<()> {
        let planned = |path, number_type| Planned {
            path,
            shape: labels.geometry.shape,
            channels: 1,
            number_type,
        };
        let mut results = vec![planned(
            &*self.out.out,
            Labels::number_type(&labels.classes),
        )];
        let doubts = self.uncertainty.as_deref();
        results.extend(doubts.map(|path| planned(path, NumberType::F32)));
        output::check_planned(&results)
    }

    /// Whether results may take the place of files: asked for, or those of the run that
    /// is gone on with.
    fn replace(&self) -> bool {
        self.overwrite.overwrite || self.resume
    }

    fn report_path(&self) -> Option<PathBuf> {
        let beside = || output::beside(&self.out.out, ".html");
        self.report.path(beside)
    }

    /// The image, and the labels on its grid.
    fn volumes(
        &self,
        annotated: Option<&Annotated>,
        by_index: bool,
    ) -> anyhow::Result<(Volume, Volume)> {
        let mut image = Item::of(&self.image).read(by_index)?;
        let labels = Item::of(&self.labels).read(by_index)?;
        let console = Console::new(self.json.json);
        console.notes(&image.notes);
        // Where the two do not belong together, a note may say why.
        let of_labels = labels.notes.clone();
        let grid = &mut image.geometry;
        let labels = place_slices(labels, &self.labels, &self.image, grid, annotated)
            .inspect_err(|_| console.notes(&of_labels))?;
        let names = [&self.image, &self.labels].map(|path| path.display().to_string());
        let how = How {
            by_index,
            outside: Outside::of_labels(annotated),
        };
        let (labels, _) = bring(grid, labels, [&names[0], &names[1]], how)
            .inspect_err(|_| console.notes(&of_labels))?;
        console.notes(&labels.notes);
        Ok((image, labels))
    }
}

/// The flags by which the same voxels are meant again.
fn with_geometry(mut words: Vec<OsString>, by_index: bool) -> Vec<OsString> {
    if by_index {
        words.push("--ignore-geometry".into());
    }
    words
}

/// Help that states the default budget as it is.
fn after_help() -> String {
    format!(
        "\
Examples:
  unet3d fill image.nii.gz labels.nii.gz -o filled.nii.gz --unlabeled 0
  unet3d fill image.tif painted.tif -o filled.tif --painted-slices z --minutes 30
  unet3d fill mr.nii.gz tumour.nii.gz -o filled.nii.gz --annotated-slices z=every:10
  unet3d fill image.tif labels.tif -o plain.tif --unlabeled 0 --method interpolate
  unet3d fill image.tif labels.tif -o filled.tif --unlabeled 0 --uncertainty doubts.tif

Trains for {DEFAULT_MINUTES} minutes unless --minutes or --iterations says otherwise. Beside
filled.nii.gz it writes the model, filled.unet3d.safetensors, for `unet3d predict`
on further volumes, and the report, filled.html, with pictures and the expected
quality. That is judged by every third annotated slice of a direction (three at
most), which the network does not learn from, and comes with an interval that
holds the truth nine times in ten. The same slices say how far the certainty of the
network can be trusted, and what interpolation between the others would have reached
without a network. --uncertainty says where the result is doubtful.
LABELS are brought to IMAGE by their place in the world: turned where they are stored
along other axes, placed where they are a part of it, which is said in one line. The
result has the geometry of IMAGE.
The segmentation is written first. Where a model, a map or a report cannot be written
in the end, all else is, and the exit code is 1.
Ctrl-C stops training early and writes the result of what was learned so far."
    )
}
