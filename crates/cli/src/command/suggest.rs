//! `suggest`: which slices to annotate next.

use std::path::PathBuf;

use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};
use serde_json::json;
use unet3d_predict::Options;
use unet3d_predict::suggest::{SliceRef, Strategy, suggest};
use unet3d_volume::{Annotated, Label, LabelScheme, Labels};

use super::End;
use super::evaluate::same_shape;
use super::predict::{predict_volume, write_map};
use crate::arguments::{Json, Machine};
use crate::command_line::CommandLine;
use crate::console::{self, Console};
use crate::interrupt::Interrupt;
use crate::label_flags::LabelFlags;
use crate::listing::Item;
use crate::results::Results;
use crate::{model_file, output, parse};

/// Name the slices to annotate next, in all three directions
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  unet3d suggest filled.unet3d.safetensors image.tif labels.tif --unlabeled 0
  unet3d suggest run/ image.nii.gz labels.nii.gz --painted-slices z,y,x --count 6

Predicts the image, and looks for slices where the network is in doubt and far from
what is annotated: those teach it most. The directions take turns, the best slice of
all first. Each further slice takes those before it as annotated. Annotate as many as
you care to, best all three, add them to LABELS, and fill again.")]
pub(crate) struct Suggest {
    /// Model file or run folder, as `fill` or `train` wrote it
    #[arg(value_name = "MODEL")]
    model: PathBuf,

    /// The image
    #[arg(value_name = "IMAGE")]
    image: PathBuf,

    /// What is annotated of it so far
    #[arg(value_name = "LABELS")]
    labels: PathBuf,

    /// How many slices to name
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=1000))]
    count: u64,

    /// What to go by
    #[arg(long, value_name = "WHAT", value_enum, default_value_t = By::Uncertainty)]
    by: By,

    /// Seed of --by random
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,

    /// Look at every tile in its eight mirror images: slower, and doubts show more
    /// clearly
    #[arg(long)]
    mirrored: bool,

    /// Write how doubtful each voxel is too, from 0 to 1
    #[arg(long, value_name = "FILE")]
    uncertainty: Option<PathBuf>,

    #[command(flatten)]
    scheme: LabelFlags,

    #[command(flatten)]
    machine: Machine,

    #[command(flatten)]
    json: Json,
}

/// What to go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum By {
    /// Doubts of the network, and distance to what is annotated
    Uncertainty,
    /// Distance to what is annotated alone
    EvenlySpaced,
    /// Chance
    Random,
}

impl Suggest {
    /// Reads, predicts, ranks.
    pub(super) fn run(self) -> anyhow::Result<End> {
        let console = Console::new(self.json.json);
        let engine = self.machine.engine()?;
        if let Some(path) = &self.uncertainty {
            output::check_volume(path, &[&self.model, &self.image, &self.labels])?;
        }
        let (model, _) = model_file::read(&self.model)?;
        let image = Item::of(&self.image).read()?;
        let volume = Item::of(&self.labels).read()?;
        console.notes(&image.notes);
        console.notes(&volume.notes);
        let (image_source, source) = (
            self.image.display().to_string(),
            self.labels.display().to_string(),
        );
        same_shape(&volume, &source, &image, &image_source)?;
        let (mut labels, scheme) = self.scheme.read(&volume, &self.labels)?;
        // Spacing is the image's: label files often lose it.
        labels.geometry = image.geometry.clone();
        ensure!(
            labels.voxels.contains(&Label::UNLABELED),
            "{source}: every voxel is annotated, there is nothing to suggest. Do the label flags say so rightly?"
        );

        let threads = self.machine.start_threads()?;
        let interrupt = Interrupt::listen()?;
        let options = Options {
            memory_bytes: self.machine.memory,
            uncertainty: true,
            mirrored: self.mirrored,
            // The labels stay in memory.
            held_bytes: labels.voxels.len() as u64,
            engine,
            ..Options::default()
        };
        let predicted = predict_volume(&model, &image, &options, &threads, &interrupt, console)
            .with_context(|| image_source.clone())?;
        for warning in predicted.iter().flat_map(|p| &p.warnings) {
            console.note(format_args!("{image_source}: {warning}"));
        }
        let Some(doubts) = predicted.and_then(|p| p.uncertainty) else {
            return Ok(End::Interrupted);
        };
        let mut results = Results::new(console);
        if let Some(path) = &self.uncertainty {
            results.add(path, |path| write_map(path, &image, &doubts));
        }
        let strategy = match self.by {
            By::Uncertainty => Strategy::Uncertainty,
            By::EvenlySpaced => Strategy::EvenlySpaced,
            By::Random => Strategy::Random(self.seed),
        };
        let count = usize::try_from(self.count).unwrap_or(usize::MAX);
        let slices = suggest(&doubts, &labels, count, strategy);
        self.tell(&slices, &labels, &scheme, &results, console)?;
        results.finish()?;
        Ok(End::Done)
    }

    fn tell(
        &self,
        slices: &[SliceRef],
        labels: &Labels,
        scheme: &LabelScheme,
        results: &Results,
        console: Console,
    ) -> anyhow::Result<()> {
        let mut rows = vec![
            ["", "slice", "of", "mean doubt", "why"]
                .map(String::from)
                .to_vec(),
        ];
        for (i, slice) in slices.iter().enumerate() {
            rows.push(vec![
                (i + 1).to_string(),
                format!("{} {}", parse::AXES[slice.axis], slice.index),
                labels.geometry.shape[slice.axis].to_string(),
                format!("{:.3}", slice.uncertainty),
                self.why(slice),
            ]);
        }
        console.result(console::table(&rows, ">>>><"))?;
        console.result(
            "\nSlices are counted from 0. Annotate as many as you care to, from the first on, and fill again:",
        )?;
        let (annotated, more) = afterwards(&scheme.annotated, slices);
        let then = LabelScheme {
            annotated,
            ..scheme.clone()
        };
        let fill = CommandLine::new("fill")
            .path(&self.image)
            .path(&self.labels)
            .words(["-o", "OUT"])
            .words(then.words());
        console.result(format_args!("  {fill}"))?;
        if !more.is_empty() {
            let more: Vec<_> = more.iter().map(|axis| parse::AXES[*axis]).collect();
            console.result(format_args!(
                "--painted-slices has to name {} too once you paint there: without, what is painted on such a slice would \
                 mark all that it crosses as background.",
                more.join(" and ")
            ))?;
        }
        let named: Vec<_> = slices
            .iter()
            .map(|slice| {
                json!({
                    "axis": parse::AXES[slice.axis],
                    "index": slice.index,
                    "uncertainty": slice.uncertainty,
                    "nearest": slice.nearest,
                    "gain": slice.gain,
                })
            })
            .collect();
        let uncertainty = self.uncertainty.as_ref().filter(|path| results.holds(path));
        console.json(&json!({ "slices": named, "uncertainty": uncertainty }))
    }

    fn why(&self, slice: &SliceRef) -> String {
        let far = match slice.nearest {
            Some(1) => "next to a known slice".to_owned(),
            Some(n) => format!("{n} slices from the nearest known one"),
            None => "no slice of this direction is known".to_owned(),
        };
        match self.by {
            By::Uncertainty => format!("in doubt, and {far}"),
            By::EvenlySpaced => far,
            By::Random => format!("by chance; {far}"),
        }
    }
}

/// What says which voxels are annotated once these slices are, and the directions
/// that it names for the first time.
fn afterwards(annotated: &Annotated, slices: &[SliceRef]) -> (Annotated, Vec<usize>) {
    let Annotated::PaintedSlices(before) = annotated else {
        return (annotated.clone(), Vec::new());
    };
    let is_new = |axis: &usize| !before.contains(axis) && slices.iter().any(|s| s.axis == *axis);
    let more: Vec<usize> = (0..3).filter(is_new).collect();
    let all = before.iter().chain(&more).copied().collect();
    (Annotated::PaintedSlices(all), more)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn painted_slices_of_new_directions_are_named() {
        let across = |axis| SliceRef {
            axis,
            index: 3,
            uncertainty: 0.1,
            nearest: None,
            gain: 1.0,
        };
        let flag = |annotated: Annotated| {
            let (then, more) = afterwards(&annotated, &[across(2), across(0), across(1)]);
            (then.flag(), more)
        };
        let painted = |axes: &[usize]| flag(Annotated::PaintedSlices(axes.to_vec()));
        assert_eq!(painted(&[0]), ("--painted-slices z,y,x".into(), vec![1, 2]));
        assert_eq!(
            painted(&[2, 1, 0]),
            ("--painted-slices x,y,z".into(), vec![])
        );
        assert_eq!(flag(Annotated::Except(0)), ("--unlabeled 0".into(), vec![]));
    }
}
