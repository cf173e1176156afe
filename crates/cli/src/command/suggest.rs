//! `suggest`: which slices to annotate next.

use std::path::PathBuf;

use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};
use serde_json::json;
use unet3d_predict::Options;
use unet3d_predict::suggest::{SliceRef, Strategy, suggest};
use unet3d_volume::labels::{Direction, StatedSlices};
use unet3d_volume::place::{How, Outside, bring, place_slices};
use unet3d_volume::{Annotated, Geometry, Label, LabelScheme, Labels, Volume};

use super::End;
use super::predict::{predict_volume, tell_as_stored, write_map};
use crate::arguments::{Json, Machine, Overwrite};
use crate::command_line::CommandLine;
use crate::console::{self, Console, shown};
use crate::interrupt::Interrupt;
use crate::label_flags::{LabelFlags, tell_annotation};
use crate::listing::Item;
use crate::results::Results;
use crate::{model_file, output, parse};

/// Name the slices to annotate next
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  unet3d suggest filled.unet3d.safetensors image.tif labels.tif --unlabeled 0
  unet3d suggest run/ image.nii.gz labels.nii.gz --painted-slices z,y,x --count 6
  unet3d suggest run/ mr.nii.gz labels.nii.gz --annotated-slices z=every:10 --directions z

Predicts the image, and looks for slices where the network is in doubt and far from
what is annotated: those teach it most. The directions take turns, the best slice of
all first. Each further slice takes those before it as annotated. Annotate as many as
you care to, best all three, add them to LABELS, and fill again. Slices are counted from
0, beside it as Fiji counts them, from 1; `index` of --json is counted from 0.")]
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

    /// Directions in which you can annotate: z, y, x, or axial, coronal, sagittal where
    /// the orientation is known [default: all three]
    #[arg(long, value_name = "AXES", value_delimiter = ',', value_parser = parse::direction)]
    directions: Vec<Direction>,

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
    overwrite: Overwrite,

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
            let inputs = [&*self.model, &*self.image, &*self.labels];
            output::check_volume(path, &inputs, self.overwrite.overwrite)?;
        }
        let (mut model, _) = model_file::read(&self.model)?;
        let by_index = self.scheme.ignore_geometry;
        let mut image = Item::of(&self.image).read(by_index)?;
        let volume = Item::of(&self.labels).read(by_index)?;
        let (said, grid) = (self.scheme.annotated(), &image.geometry);
        let volume = place_slices(volume, &self.labels, &self.image, grid, said.as_ref())?;
        let (image_source, source) = (
            self.image.display().to_string(),
            self.labels.display().to_string(),
        );
        let how = How {
            by_index,
            outside: Outside::of_labels(said.as_ref()),
        };
        let names = [&image_source[..], &source];
        let (volume, _) = bring(&mut image.geometry, volume, names, how)?;
        console.notes(&image.notes);
        console.notes(&volume.notes);
        if by_index {
            let learned = model.pipeline.orientation.take();
            tell_as_stored(learned, &image.geometry, &image_source, console);
        }
        let across = self.across(&image)?;
        let (labels, scheme) = self.scheme.read(&volume, &self.labels)?;
        tell_annotation(&volume, &labels, &scheme, &self.labels, console)?;
        drop(volume);
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
        let slices = suggest(&doubts, &labels, count, strategy, &across);
        self.tell(&slices, &labels, &scheme, &results, console)?;
        results.finish()?;
        Ok(End::Done)
    }

    /// The axes of the image across which slices may be named.
    fn across(&self, image: &Volume) -> anyhow::Result<Vec<usize>> {
        if self.directions.is_empty() {
            return Ok(vec![0, 1, 2]);
        }
        let source = self.image.display().to_string();
        let axes = self.directions.iter().map(|direction| {
            let axis = direction.axis(&image.geometry, &source);
            axis.context("--directions")
        });
        let axes: Vec<usize> = axes.collect::<anyhow::Result<_>>()?;
        ensure!(
            axes.iter().any(|axis| image.geometry.shape[*axis] > 1),
            "--directions: {source} has a single slice in this direction, which is all of it. Name another."
        );
        Ok(axes)
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
                named(slice),
                labels.geometry.shape[slice.axis].to_string(),
                format!("{:.3}", slice.uncertainty),
                self.why(slice),
            ]);
        }
        console.result(console::table(&rows, ">>>><"))?;
        console.result(
            "\nSlices are counted from 0, in Fiji from 1. Annotate as many as you care to, from the first on, and fill again:",
        )?;
        let (annotated, more) = afterwards(&scheme.annotated, slices, &labels.geometry);
        let then = LabelScheme {
            annotated,
            ..scheme.clone()
        };
        let fill = CommandLine::new("fill")
            .path(&self.image)
            .path(&self.labels)
            .words(["-o", "OUT"])
            .words(then.words())
            .flag_if(self.scheme.ignore_geometry, "--ignore-geometry");
        console.result(format_args!("  {fill}"))?;
        if !more.is_empty() {
            let more: Vec<_> = more.iter().map(|axis| parse::AXES[*axis]).collect();
            console.result(format_args!(
                "--painted-slices has to name {} too once you paint there: without, what is painted on such a slice would \
                 mark all that it crosses as background.",
                more.join(" and ")
            ))?;
        }
        if let Annotated::Slices(_) = scheme.annotated {
            console.result(
                "--annotated-slices names the suggested slices already: take those out that you do not annotate.",
            )?;
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
        let uncertainty = self
            .uncertainty
            .as_deref()
            .filter(|path| results.holds(path));
        console.json(&json!({ "slices": named, "uncertainty": uncertainty.map(shown) }))
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

/// A slice as this program and as Fiji counts it.
fn named(slice: &SliceRef) -> String {
    let SliceRef { axis, index, .. } = slice;
    format!(
        "{} {index} (slice {} in Fiji)",
        parse::AXES[*axis],
        index + 1
    )
}

/// What says which voxels are annotated once these slices are, and the directions
/// that it names for the first time.
fn afterwards(
    annotated: &Annotated,
    slices: &[SliceRef],
    geometry: &Geometry,
) -> (Annotated, Vec<usize>) {
    let before = match annotated {
        Annotated::PaintedSlices(before) => before,
        Annotated::Slices(stated) => {
            let mut new: [Vec<usize>; 3] = Default::default();
            for slice in slices {
                new[slice.axis].push(slice.index);
            }
            new.iter_mut().for_each(|new| new.sort_unstable());
            let all = StatedSlices::merged([stated.clone(), StatedSlices::of(&new)]);
            return (Annotated::Slices(all), Vec::new());
        }
        other => return (other.clone(), Vec::new()),
    };
    let known: Vec<usize> = (before.iter())
        .filter_map(|direction| direction.axis(geometry, "").ok())
        .collect();
    let is_new = |axis: &usize| !known.contains(axis) && slices.iter().any(|s| s.axis == *axis);
    let more: Vec<usize> = (0..3).filter(is_new).collect();
    let new = more.iter().copied().filter_map(Direction::of_axis);
    let all = before.iter().copied().chain(new).collect();
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
            let slices = [across(2), across(0), across(1)];
            let geometry = Geometry {
                world_from_volume: Some([
                    [0.0, 0.0, 1.0, 0.0],
                    [0.0, 1.0, 0.0, 0.0],
                    [1.0, 0.0, 0.0, 0.0],
                ]),
                ..Geometry::of_shape([9, 9, 9])
            };
            let (then, more) = afterwards(&annotated, &slices, &geometry);
            (then.flag(), more)
        };
        let painted =
            |directions: &[Direction]| flag(Annotated::PaintedSlices(directions.to_vec()));
        use Direction::{Axial, X, Y, Z};
        assert_eq!(painted(&[Z]), ("--painted-slices z,y,x".into(), vec![1, 2]));
        assert_eq!(
            painted(&[X, Y, Z]),
            ("--painted-slices x,y,z".into(), vec![])
        );
        assert_eq!(
            painted(&[Axial]),
            ("--painted-slices axial,y,x".into(), vec![1, 2])
        );
        assert_eq!(flag(Annotated::Except(0)), ("--unlabeled 0".into(), vec![]));
    }

    #[test]
    fn stated_slices_are_those_before_and_the_new_ones() {
        let at = |axis, index| SliceRef {
            axis,
            index,
            uncertainty: 0.1,
            nearest: None,
            gain: 1.0,
        };
        let stated = Annotated::Slices("z=4,14".parse().unwrap());
        let slices = [at(0, 25), at(0, 9), at(2, 3)];
        let (then, more) = afterwards(&stated, &slices, &Geometry::of_shape([30; 3]));
        assert_eq!(then.flag(), "--annotated-slices z=4,14,9,25,x=3");
        assert!(more.is_empty());
        assert_eq!(named(&slices[1]), "z 9 (slice 10 in Fiji)");
    }
}
