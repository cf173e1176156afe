//! `sparsify`: sparse annotation out of dense labels, to try `fill` on data
//! whose truth is known.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use serde_json::json;
use unet3d_volume::labels::evenly_spaced;
use unet3d_volume::{Annotated, Class, LabelScheme};

use super::End;
use crate::arguments::{Json, Out, Overwrite};
use crate::console::{self, Console, shown};
use crate::label_flags::read_under;
use crate::{output, parse};

/// Make sparse annotation from dense labels: keep a few slices
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  unet3d sparsify dense.nii.gz -o sparse.nii.gz --slices z=3,y=3,x=3
  unet3d fill image.nii.gz sparse.nii.gz -o filled.nii.gz --unlabeled 255
  unet3d evaluate filled.nii.gz dense.nii.gz --except sparse.nii.gz --unlabeled 255

Slices are evenly spaced: slice i of k stands at floor((i + 0.5) n / k).
Voxels on none of them become unlabeled, which is written as 0 where 0 is not a
class, else as 255; --unlabeled chooses another value.")]
pub(crate) struct Sparsify {
    /// Dense labels
    #[arg(value_name = "LABELS")]
    labels: PathBuf,

    #[command(flatten)]
    out: Out,

    /// How many slices to keep across each direction
    #[arg(long, value_name = "z=N,y=N,x=N", value_parser = parse::slices)]
    slices: [usize; 3],

    /// Value to write for voxels that are not annotated
    #[arg(long, value_name = "V", allow_negative_numbers = true)]
    unlabeled: Option<i64>,

    /// LABELS is itself annotated only in part: its voxels of value V
    /// (--unlabeled) are not annotated already
    #[arg(long, requires = "unlabeled")]
    partial: bool,

    /// The classes, where LABELS may not show them all [default: the values found]
    #[arg(long, value_name = "V=NAME,...", value_delimiter = ',', value_parser = parse::class, allow_hyphen_values = true)]
    classes: Vec<Class>,

    #[command(flatten)]
    overwrite: Overwrite,

    #[command(flatten)]
    json: Json,
}

impl Sparsify {
    /// Reads, thins out, writes.
    pub(super) fn run(self) -> anyhow::Result<End> {
        let console = Console::new(self.json.json);
        let out = &self.out.out;
        output::check_volume(out, &[&self.labels], self.overwrite.overwrite)?;
        let source = self.labels.display().to_string();
        let volume = unet3d_volume::read(&self.labels)?;
        console.notes(&volume.notes);
        let annotated = match self.unlabeled {
            Some(value) if self.partial => Annotated::Except(value),
            _ => Annotated::Dense,
        };
        let scheme = LabelScheme::new(self.classes.clone(), annotated);
        let dense = read_under(&scheme, &volume, &source, false)?;
        let sparse = dense.sparsify(self.slices);
        let value = self.unlabeled.unwrap_or_else(|| sparse.unlabeled_value());
        if let Some(class) = dense.classes.iter().find(|c| c.value == value) {
            bail!(
                "--unlabeled is {value}, which is also a value of {source} ({}): kept and left-out voxels could not be \
                 told apart. Choose another, such as {}; or, if {value} already means \"not annotated\" there, add --partial.",
                class.name,
                sparse.unlabeled_value()
            );
        }
        unet3d_volume::write_labels(out, &sparse.to_volume(value), &sparse.classes)?;

        let shape = volume.geometry.shape;
        let kept = [0, 1, 2].map(|a| evenly_spaced(shape[a], self.slices[a]));
        let annotated = sparse.annotated_voxels();
        let share = annotated as f64 / sparse.voxels.len() as f64;
        console.result(format_args!(
            "Wrote {}: {} of the voxels annotated, on slices z {:?}, y {:?}, x {:?}.",
            out.display(),
            console::percent(share),
            kept[0],
            kept[1],
            kept[2]
        ))?;
        console.result(format_args!(
            "Voxels that are not annotated have the value {value}: pass it on as --unlabeled {value}."
        ))?;
        console.json(&json!({
            "out": shown(out),
            "unlabeled": value,
            "slices": { "z": kept[0], "y": kept[1], "x": kept[2] },
            "annotated_voxels": annotated,
            "annotated_share": share,
        }))?;
        Ok(End::Done)
    }
}
