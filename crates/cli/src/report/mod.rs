//! The report of a fill: one HTML file that explains itself.
//!
//! Comes in: the volume, what was annotated, what the network says, how the
//! training went. Leaves: one page with slice pictures, a loss curve and the
//! expected quality in plain words; pictures are inside the file, nothing is
//! loaded from anywhere, so it can be mailed or archived.

mod html;

mod picture;

mod curve;

mod palette;

use unet3d_volume::{Class, Label, Volume};

pub(crate) use html::to_html;

/// Everything that a report shows.
pub(crate) struct Report<'a> {
    /// Heading.
    pub(crate) title: String,
    /// One sentence under it.
    pub(crate) summary: String,
    /// What the program says of itself at the foot.
    pub(crate) program: String,
    /// Facts in groups: heading, then name and value of each.
    pub(crate) facts: Vec<(&'static str, Vec<(&'static str, String)>)>,
    /// The classes in order of their index.
    pub(crate) classes: &'a [Class],
    /// The volumes that the pictures are cut from.
    pub(crate) slices: Slices<'a>,
    /// What to expect of the result.
    pub(crate) quality: Quality,
    /// Loss of each step.
    pub(crate) losses: &'a [(u64, f32)],
    /// Score on held-out voxels when it was measured: step and mean IoU.
    pub(crate) scores: &'a [(u64, f64)],
    /// Files written, and what each is.
    pub(crate) written: Vec<(String, String)>,
    /// What to do next: a sentence and a command.
    pub(crate) next: Vec<(String, String)>,
}

/// The volumes that pictures are cut from, all of one shape.
pub(crate) struct Slices<'a> {
    /// As the file holds it.
    pub(crate) image: &'a Volume,
    /// What was annotated, `[z, y, x]`.
    pub(crate) annotation: &'a [Label],
    /// What the network says.
    pub(crate) result: &'a [Label],
    /// What is known to be right, where it is known.
    pub(crate) truth: Option<&'a [Label]>,
    /// Annotated slices along z, y, x.
    pub(crate) annotated: [Vec<usize>; 3],
    /// Those of them that were held out of training.
    pub(crate) held_out: [Vec<usize>; 3],
}

/// How good the result is likely to be.
pub(crate) struct Quality {
    /// What the numbers were measured on, in a sentence or two.
    pub(crate) measured_on: String,
    /// Mean IoU over the classes that occur; `None` where nothing could be held out.
    pub(crate) mean_iou: Option<f64>,
    /// IoU, Dice and voxels of each class; `None` where the class does not occur.
    pub(crate) classes: Vec<(Option<f64>, Option<f64>, u64)>,
}
