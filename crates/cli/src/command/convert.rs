//! `convert`: a volume from one format to another.

use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use serde_json::json;
use unet3d_volume::{Geometry, Volume};

use super::End;
use crate::arguments::{Json, Overwrite};
use crate::console::{self, Console, shown};
use crate::output::{self, Planned};
use crate::parse;

/// Write a volume in another format
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  unet3d convert stack.tif stack.nii.gz --spacing 0.002,0.00176,0.00176
  unet3d convert big.tif corner.tif --crop 0:128,0:128,0:128
  unet3d convert labels.tif stack.tif --channels-are-slices

Samples keep their type and values. Spacing, orientation and channels are kept
where the format can hold them; docs/formats.md says what each can.")]
pub(crate) struct Convert {
    /// File or folder of slices to read
    #[arg(value_name = "IN")]
    input: PathBuf,

    /// File to write; its ending chooses the format
    #[arg(value_name = "OUT")]
    out: PathBuf,

    /// Spacing in mm along z,y,x, instead of what the input says
    #[arg(long, value_name = "Z,Y,X", value_parser = parse::spacing)]
    spacing: Option<[f64; 3]>,

    /// Keep these voxels only, first:end along z,y,x, the end not included
    #[arg(long, value_name = "Z:Z,Y:Y,X:X", value_parser = parse::ranges)]
    crop: Option<[Range<usize>; 3]>,

    /// Take the channels for slices: stacks of one slice and many channels, as
    /// tifffile writes them with imagej=True and without axes
    #[arg(long)]
    channels_are_slices: bool,

    #[command(flatten)]
    overwrite: Overwrite,

    #[command(flatten)]
    json: Json,
}

impl Convert {
    /// Reads, then writes.
    pub(super) fn run(self) -> anyhow::Result<End> {
        let console = Console::new(self.json.json);
        // The input first: what is odd about it is told in any case.
        let mut volume = unet3d_volume::read(&self.input)?;
        if self.channels_are_slices {
            // The note that advises the flag is answered by it.
            volume = volume
                .channels_as_slices()
                .with_context(|| self.input.display().to_string())?;
        } else {
            console.notes(&volume.notes);
        }
        // What is there may be this very volume, as where a command is given twice.
        let may_be_there = !self.overwrite.overwrite && self.out.is_file();
        let replace = self.overwrite.overwrite || may_be_there;
        output::check_volume(&self.out, &[&self.input], replace)?;
        if let Some(ranges) = self.crop {
            volume = volume
                .crop(ranges)
                .with_context(|| format!("--crop of {}", self.input.display()))?;
        }
        if let Some(spacing_mm) = self.spacing {
            set_spacing(&mut volume.geometry, spacing_mm);
        }
        output::check_planned(&[Planned {
            path: &self.out,
            shape: volume.geometry.shape,
            channels: volume.channels,
            number_type: volume.samples.number_type(),
        }])?;
        let is_there = may_be_there && holds(&self.out, &volume);
        if !is_there {
            output::check_volume(&self.out, &[&self.input], self.overwrite.overwrite)?;
            unet3d_volume::write(&self.out, &volume)
                .with_context(|| format!("{} as {}", self.input.display(), self.out.display()))?;
        }
        let done = match is_there {
            true => "Left as it was, the same volume",
            false => "Wrote",
        };
        console.result(format_args!(
            "{done} {}: {} voxels, {}, {}.",
            self.out.display(),
            console::shape(volume.geometry.shape),
            console::counted(volume.channels, "channel"),
            volume.type_name()
        ))?;
        console.json(&json!({ "out": shown(&self.out), "shape": volume.geometry.shape }))?;
        Ok(End::Done)
    }
}

/// Whether a file holds this volume already: its samples, and of its place what the
/// format can hold.
fn holds(path: &Path, volume: &Volume) -> bool {
    let ends = |ending: &str| unet3d_volume::name::ends_with(path.as_os_str(), ending);
    let is_bare = ends(".npy") || ends(".png");
    let is_tiff = ends(".tif") || ends(".tiff");
    unet3d_volume::read(path).is_ok_and(|there| {
        let (a, b) = (&there.geometry, &volume.geometry);
        there.samples == volume.samples
            && there.channels == volume.channels
            && a.shape == b.shape
            && (is_bare || a.spacing_mm == b.spacing_mm)
            && (is_bare || is_tiff || a.world_from_volume == b.world_from_volume)
    })
}

/// Changes the spacing, and with it the length (not the direction) of the
/// axes in the world.
fn set_spacing(geometry: &mut Geometry, spacing_mm: [f64; 3]) {
    if let Some(world_from_volume) = &mut geometry.world_from_volume {
        for axis in 0..3 {
            let squares = world_from_volume.iter().map(|row| row[axis].powi(2));
            let length = squares.sum::<f64>().sqrt();
            if length > 0.0 {
                for row in world_from_volume.iter_mut() {
                    row[axis] *= spacing_mm[axis] / length;
                }
            }
        }
    }
    geometry.spacing_mm = Some(spacing_mm);
}
