//! What can be wrong with a label image or its scheme, said so that a person
//! can settle it.

use std::fmt;
use std::path::PathBuf;

use super::scheme::axis_name;
use super::{Class, Numbered};
use crate::Scaling;
use crate::error::of_scaling;
use crate::words::counted;

/// What can be wrong with a label image or its scheme.
///
/// `source_name` is what the message calls the image, usually its path.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[allow(missing_docs, reason = "each field is explained by its message")]
pub enum LabelsError {
    /// A label image has one value for each voxel.
    #[error(
        "{source_name}: {} of {} found, a label image has one channel. {}",
        counted(*.channels, "channel"), counted(*.slices, "slice"), channels_advice(*.channels, *.slices)
    )]
    Channels {
        source_name: String,
        channels: usize,
        slices: usize,
    },
    /// The samples do not fill the shape.
    #[error(
        "{source_name}: {} found for {}. The file may be truncated.", counted(*.found, "sample"), counted(*.expected, "voxel")
    )]
    Length {
        source_name: String,
        found: usize,
        expected: usize,
    },
    /// A value that is no whole number.
    #[error(
        "{source_name}: value {value} at [z, y, x] = {position:?} ({}), label values must be whole numbers. The file may hold probabilities, or was resampled with interpolation; give class numbers (resample labels by nearest neighbour).{}",
        counted(*.count, "such voxel"), of_scaling(.scaling.as_ref())
    )]
    NotWhole {
        source_name: String,
        value: String,
        position: [usize; 3],
        count: usize,
        scaling: Option<Scaling>,
    },
    /// A value that is not a class of the scheme.
    #[error(
        "{source_name}: value {value} at [z, y, x] = {position:?} ({}) is no class of the scheme, whose classes are {classes}. {}",
        counted(*.count, "such voxel"), outside_advice(*.value, .annotated)
    )]
    OutsideScheme {
        source_name: String,
        value: i64,
        position: [usize; 3],
        count: usize,
        classes: Listed,
        annotated: String,
    },
    /// More values than there can be classes.
    #[error(
        "{source_name}: {values} different values among the annotated voxels, at most {max} classes are possible. These look like instance numbers (one for each object) or gray values, the network learns classes. If each value is the number of an object, --objects NAME makes one class of all values but 0; or turn them into classes first (such as 1 inside an object, 2 its boundary).",
        max = super::Label::MAX_CLASSES
    )]
    TooManyValues { source_name: String, values: usize },
    /// Values that look like numbers of objects, where nobody named the classes.
    #[error(
        "{source_name}: are its values classes, or numbers of objects? There are {found}. If each is the number of an object, such as a nucleus, say what these are: --objects nucleus makes one class of all values but 0. If each is a class by itself, name them: {} (each may have a name, as in 1=left). In a list of cases, objects = \"nucleus\" or classes = [...] under [labels] say the same.",
        found.as_classes()
    )]
    NumberedObjects {
        source_name: String,
        found: Box<Numbered>,
    },
    /// No voxel is annotated.
    #[error("{source_name}: no annotated voxel under {annotated}, at least one is needed. {cause}")]
    NothingAnnotated {
        source_name: String,
        annotated: String,
        cause: String,
    },
    /// All annotated voxels are of one class.
    #[error(
        "{source_name}: every annotated voxel is {class} under {annotated}, two classes or more are needed to tell anything apart. {cause}"
    )]
    OneClass {
        source_name: String,
        annotated: String,
        class: Listed,
        cause: String,
    },
    /// The mask has another shape than the labels.
    #[error(
        "{mask}: shape {mask_shape:?} [z, y, x], the labels of {source_name} have {labels_shape:?}; a mask must have the shape of its labels. It may belong to another volume, or to another resolution of it."
    )]
    MaskShape {
        source_name: String,
        mask: PathBuf,
        mask_shape: [usize; 3],
        labels_shape: [usize; 3],
    },
    /// The scheme names a mask that the caller has not read.
    #[error("{source_name}: the label scheme names the mask {mask}, which was not given.")]
    MaskMissing { source_name: String, mask: PathBuf },
    /// Paint that several sets of slices explain about as well.
    #[error(
        "{source_name}: it cannot be told which slices were painted under {annotated}: the paint around [z, y, x] = {position:?} on {} along {axis} could as well be that of {} along {other_axis}. Name only the directions in which slices were painted, remove stray paint, or give a mask (--annotated MASK).",
        counted(*.slices, "slice"), counted(*.other_slices, "slice")
    )]
    PaintedAmbiguous {
        source_name: String,
        annotated: String,
        position: [usize; 3],
        axis: &'static str,
        slices: usize,
        other_axis: &'static str,
        other_slices: usize,
    },
    /// Nothing from which the rest could be interpolated.
    #[error(
        "no voxel is annotated, so there is nothing to interpolate between. Annotate some slices; where there are some, look whether their values were taken as not annotated."
    )]
    NothingToInterpolate,
    /// More classes than a label can hold.
    #[error("label scheme: {classes} classes, at most {max} are possible.", max = super::Label::MAX_CLASSES)]
    SchemeClasses { classes: usize },
    /// Two classes that cannot be told apart.
    #[error(
        "label scheme: classes {} ({}) and {} ({}) share their value or name, each class needs its own.",
        first.value, first.name, second.value, second.name
    )]
    SchemeTwice { first: Class, second: Class },
    /// A value that is to mean both a class and unlabeled.
    #[error(
        "label scheme: value {} is both unlabeled and class {:?}; choose another unlabeled value, or leave the class out.",
        class.value, class.name
    )]
    SchemeUnlabeledClass { class: Class },
    /// Objects that cannot be told from the background.
    #[error(
        "label scheme: the objects are called {name:?}; give them a name of their own, such as nucleus."
    )]
    SchemeObjectsName { name: String },
    /// Two ways of saying what values are.
    #[error(
        "label scheme: all values but 0 are {name:?} and classes are named too; give objects or classes, not both."
    )]
    SchemeObjectsAndClasses { name: String },
    /// Directions that are none or twice the same.
    #[error(
        "label scheme: painted slices along {named:?}, one to three different directions are needed, such as z or z,y,x."
    )]
    SchemeAxes { named: String },
    /// A plane of the body in a volume that does not say how it lies.
    #[error(
        "{source_name}: which of its slices are {direction} cannot be told: the orientation is not known, {cause}. Say z, y or x."
    )]
    DirectionUnknown {
        source_name: String,
        direction: &'static str,
        cause: String,
    },
    /// A slice said to be annotated that is not there.
    #[error(
        "{source_name}: slice {axis} {index} of --annotated-slices {stated} is not there: there are {count} slices along {axis}, counted from 0 to {}. The end of a range counts; a viewer such as Fiji counts from 1, so its slice {count} is {axis} {} here.",
        .count.saturating_sub(1), .count.saturating_sub(1)
    )]
    StatedOutside {
        source_name: String,
        stated: String,
        axis: &'static str,
        index: usize,
        count: usize,
    },
    /// A slice said twice to be annotated.
    #[error(
        "{source_name}: slice {axis} {index} is named twice by --annotated-slices {stated}, each must be named once. Another slice may have been meant."
    )]
    StatedTwice {
        source_name: String,
        stated: String,
        axis: &'static str,
        index: usize,
    },
    /// Paint, and all of it outside the slices said to be annotated.
    #[error(
        "{source_name}: nothing is painted on the slices of --annotated-slices {stated}, all paint lies elsewhere: {painted}. {advice}"
    )]
    StatedMissPaint {
        source_name: String,
        stated: String,
        painted: String,
        advice: String,
    },
    /// A slice said to be annotated of which the labels hold nothing.
    #[error(
        "{source_name}: slice {axis} {index} of --annotated-slices {stated} is not among the slices that it holds, {held}. Add the file of that slice, or state only those."
    )]
    StatedNotHeld {
        source_name: String,
        stated: String,
        axis: &'static str,
        index: usize,
        held: String,
    },
    /// Painted slices in another direction than those that there are.
    #[error(
        "{source_name}: holds some slices along {axis} alone, {annotated} does not fit that. Say --painted-slices {axis}: just the slices that it holds are then annotated, empty ones included."
    )]
    OnlySlicesAcross {
        source_name: String,
        annotated: String,
        axis: &'static str,
    },
    /// A direction that is none.
    #[error("axis {axis} is none of 0 (z), 1 (y) and 2 (x).")]
    NoSuchAxis { axis: usize },
    /// A value for unlabeled voxels that is that of a class.
    #[error(
        "unlabeled value {value}: it is the value of class {name:?}, so unlabeled voxels could not be told from it in the file. Choose another, such as {free}."
    )]
    UnlabeledIsClass { value: i64, name: String, free: i64 },
    /// A slice that is not there.
    #[error("slice {axis}={index}: the labels have {} along {axis}, counted from 0.", counted(*.count, "slice"), axis = axis_name(*.axis))]
    NoSuchSlice {
        axis: usize,
        index: usize,
        count: usize,
    },
}

/// Classes in a message: values with names.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed(pub Vec<Class>);

impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // More than a line of classes hides the message itself.
        const SHOWN: usize = 12;
        for (i, class) in self.0.iter().take(SHOWN).enumerate() {
            let comma = if i > 0 { ", " } else { "" };
            write!(f, "{comma}{}", class.value)?;
            if class.name != super::read::name_of_value(class.value) {
                write!(f, " ({})", class.name)?;
            }
        }
        if self.0.len() > SHOWN {
            write!(f, " and {} more", self.0.len() - SHOWN)?;
        }
        Ok(())
    }
}

/// One slice of many channels is a stack whose slices were stored as channels.
fn channels_advice(channels: usize, slices: usize) -> String {
    /// The most that a colour picture has.
    const COLOURS: usize = 4;
    match slices == 1 && channels > COLOURS {
        true => format!(
            "These seem to be {channels} slices that were stored as channels, as tifffile does with imagej=True: \
             turn them into slices with unet3d convert --channels-are-slices IN OUT, or save them with \
             imagej=True, metadata={{'axes': 'ZYX'}} (the image too)."
        ),
        false => "It may be a colour picture or the image itself; give the file of class numbers. If these are \
                  slices that were stored as channels, unet3d convert --channels-are-slices makes slices of them."
            .to_owned(),
    }
}

fn outside_advice(value: i64, annotated: &str) -> String {
    let mut advice = format!(
        "If {value} means not annotated, say so with --unlabeled {value} (now {annotated}); if it is a class, add it to the classes"
    );
    if value == 0 {
        advice.push_str(
            "; if only some slices were painted, --painted-slices z (or y, x) makes 0 background in those and unlabeled elsewhere, with 0 as a class, and --annotated-slices z=4,14 in those that it names",
        );
    }
    advice.push('.');
    advice
}
