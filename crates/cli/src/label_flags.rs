//! The flags that say what the values of a label file mean, and the question
//! that is asked where nothing says it.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use unet3d_volume::labels::{
    Direction, StatedSlices, annotated_in_words, annotation_warnings, ask_whether_numbered,
    describe_values,
};
use unet3d_volume::place::bring_mask;
use unet3d_volume::{Annotated, Class, LabelScheme, Labels, Volume};

use crate::console::Console;
use crate::parse;

/// Which voxels are annotated, and the classes. One of the first five.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "What the label values mean")]
pub(crate) struct LabelFlags {
    /// Voxels of this value are not annotated; every other voxel is
    #[arg(
        long,
        value_name = "V",
        group = "scheme",
        allow_negative_numbers = true
    )]
    pub(crate) unlabeled: Option<i64>,

    /// Slices across these directions that hold any paint are annotated, and 0
    /// in them is background; all other slices are not annotated [z, y, x, or axial,
    /// coronal, sagittal where the orientation is known]
    #[arg(long, value_name = "AXES", group = "scheme", value_delimiter = ',', value_parser = parse::direction)]
    pub(crate) painted_slices: Option<Vec<Direction>>,

    /// These slices are annotated, also where nothing was found on them, and 0 in
    /// them is background; all else is not annotated. Counted from 0, along the axes
    /// of the image: z=4,14,24, z=every:10 (0, 10, 20, ...), z=4..54:10 (from 4 to
    /// 54, the end included, in steps of 10). For several directions z=4,14,y=3, or
    /// the flag again
    #[arg(long, value_name = "SLICES", group = "scheme", value_parser = parse::annotated_slices)]
    pub(crate) annotated_slices: Option<Vec<StatedSlices>>,

    /// A volume that is not 0 where the labels are annotated
    #[arg(long, value_name = "MASK", group = "scheme")]
    pub(crate) annotated: Option<PathBuf>,

    /// Every voxel is annotated
    #[arg(long, group = "scheme")]
    pub(crate) dense: bool,

    /// The classes and their names, for example 0=inside,1=tubule,2=background
    /// [default: the values found]
    #[arg(long, value_name = "V=NAME,...", value_delimiter = ',', value_parser = parse::class, allow_hyphen_values = true)]
    pub(crate) classes: Vec<Class>,

    /// The values number objects, such as nuclei: all but 0 become one class of this
    /// name (value 1); 0 is background, unless it means not annotated
    #[arg(long, value_name = "NAME", conflicts_with = "classes")]
    pub(crate) objects: Option<String>,

    /// Match volumes in the order in which their voxels are stored, whatever their
    /// files say of their place in the world
    #[arg(long, help_heading = "Options")]
    pub(crate) ignore_geometry: bool,
}

impl LabelFlags {
    /// Which voxels the flags call annotated, `None` where none says.
    pub(crate) fn annotated(&self) -> Option<Annotated> {
        if self.dense {
            return Some(Annotated::Dense);
        }
        self.unlabeled
            .map(Annotated::Except)
            .or_else(|| self.painted_slices.clone().map(Annotated::PaintedSlices))
            .or_else(|| {
                let stated = self.annotated_slices.clone()?;
                Some(Annotated::Slices(StatedSlices::merged(stated)))
            })
            .or_else(|| self.annotated.clone().map(Annotated::Mask))
    }

    /// The scheme that the flags state, `None` where they do not say which
    /// voxels are annotated.
    ///
    /// # Errors
    /// A scheme that contradicts itself.
    pub(crate) fn scheme(&self) -> anyhow::Result<Option<LabelScheme>> {
        let Some(annotated) = self.annotated() else {
            return Ok(None);
        };
        let scheme = LabelScheme {
            classes: self.classes.clone(),
            annotated,
            objects: self.objects.clone(),
        };
        scheme.check()?;
        Ok(Some(scheme))
    }

    /// Reads the labels of `volume` under these flags, or asks.
    ///
    /// # Errors
    /// Where the flags do not say which voxels are annotated: the question,
    /// with the values found. Else as [`read_or_ask`].
    pub(crate) fn read(
        &self,
        volume: &Volume,
        path: &Path,
    ) -> anyhow::Result<(Labels, LabelScheme)> {
        let source = path.display().to_string();
        let Some(scheme) = self.scheme()? else {
            bail!(
                "{source}: what its values mean is not said.\n\n{}",
                describe_values(volume, &source)?
            );
        };
        let labels = read_or_ask(&scheme, volume, &source, self.ignore_geometry)?;
        Ok((labels, scheme))
    }
}

/// Tells what is annotated and what looks unlike the rest of it, before anything learns
/// from that; gives the latter back.
///
/// # Errors
/// None where the labels could be read.
pub(crate) fn tell_annotation(
    volume: &Volume,
    labels: &Labels,
    scheme: &LabelScheme,
    path: &Path,
    console: Console,
) -> anyhow::Result<Vec<String>> {
    let source = path.display().to_string();
    console.note(format_args!(
        "{source}: annotated: {}.",
        annotated_in_words(labels)
    ));
    let warnings = annotation_warnings(volume, labels, &scheme.annotated, &source)?;
    for warning in &warnings {
        console.note(format_args!("Warning: {warning}"));
    }
    Ok(warnings)
}

/// Reads the labels of `volume`, which lies on the grid of its image, under a scheme,
/// with the mask it may name.
///
/// # Errors
/// As [`Labels::from_volume`], and where the mask cannot be read or lies elsewhere.
pub(crate) fn read_under(
    scheme: &LabelScheme,
    volume: &Volume,
    source: &str,
    by_index: bool,
) -> anyhow::Result<Labels> {
    let mask = mask(scheme, volume, source, by_index)?;
    Ok(Labels::from_volume(volume, scheme, mask.as_ref(), source)?)
}

/// The same where something is to be learned: values that look like numbers of
/// objects are asked about, unless the scheme says what they are.
///
/// # Errors
/// As [`read_under`], and the question.
pub(crate) fn read_or_ask(
    scheme: &LabelScheme,
    volume: &Volume,
    source: &str,
    by_index: bool,
) -> anyhow::Result<Labels> {
    let mask = mask(scheme, volume, source, by_index)?;
    ask_whether_numbered(volume, scheme, mask.as_ref(), source)?;
    Ok(Labels::from_volume(volume, scheme, mask.as_ref(), source)?)
}

/// The mask that a scheme names, on the grid of its labels. What was noticed of it is
/// told.
///
/// # Errors
/// Where it cannot be read or lies elsewhere.
pub(crate) fn mask(
    scheme: &LabelScheme,
    labels: &Volume,
    source: &str,
    by_index: bool,
) -> anyhow::Result<Option<Volume>> {
    let Annotated::Mask(path) = &scheme.annotated else {
        return Ok(None);
    };
    let mask = unet3d_volume::read(path).context("--annotated MASK")?;
    let names = [source, &path.display().to_string()];
    let mask = bring_mask(&labels.geometry, mask, names, by_index)?;
    // Notes go to standard error under --json too.
    Console::new(false).notes(&mask.notes);
    Ok(Some(mask))
}
