//! Reports: one HTML file that explains itself, of a fill, a training, a prediction.
//!
//! Comes in: what a command made, gathered by `of_*` into a [`Report`], a list of
//! parts. Leaves: one page whose pictures are inside the file. Nothing is loaded from
//! anywhere, so it can be mailed or archived; without scripts and on paper it shows
//! still pictures in place of the slider.

// What is shown, gathered from what was done.
pub(crate) mod of_fill;

pub(crate) mod of_interpolation;

pub(crate) mod of_training;

pub(crate) mod of_prediction;

// Parts of the page, from large to small.
mod html;

mod viewer;

mod directions;

mod stills;

mod bars;

mod table;

mod curve;

mod diagram;

// From voxels to pictures.
mod slices;

mod gray;

mod layers;

mod plane;

mod encode;

pub(crate) mod palette;

// Words and numbers.
mod about;

mod annotated;

mod markup;

mod svg;

mod units;

use unet3d_metrics::Reliability;
use unet3d_volume::Class;

pub(crate) use gray::Source;
pub(crate) use html::{rendered, to_html};
pub(crate) use slices::{SliceScores, Slices};
pub(crate) use table::Table;

/// Everything that a report shows.
pub(crate) struct Report<'a> {
    /// Heading.
    pub(crate) title: String,
    /// One sentence under it.
    pub(crate) summary: String,
    /// In the order of the page.
    pub(crate) parts: Vec<Part<'a>>,
    /// What the program says of itself at the foot.
    pub(crate) program: String,
}

/// A part of a report, under a heading of its own.
pub(crate) enum Part<'a> {
    /// What to expect of the result.
    Quality(Quality<'a>),
    /// A slider through a volume: heading, number of the slider, volume.
    Slices(String, usize, Slices<'a>),
    /// Some slices of a volume as still pictures: heading, volume, axis and index of each.
    Still(String, Slices<'a>, Vec<(usize, usize)>),
    /// Numbers.
    Table(Table),
    /// How far the probabilities can be trusted.
    Trust(Trust<'a>),
    /// How the training went.
    Training(Training),
    /// Facts under a heading.
    Facts(&'static str, Facts),
    /// What was written, and what to do with it.
    Files(Files),
    /// A heading and what is under it.
    Text(&'static str, String),
    /// Rendered before.
    Rendered(String),
}

/// Facts in groups: heading, then name and value of each.
pub(crate) type Facts = Vec<(&'static str, Vec<(&'static str, String)>)>;

/// Annotated slices that look unlike the others, as a group of facts.
fn unlike_others(warnings: &[String]) -> Option<(&'static str, Vec<(&'static str, String)>)> {
    let rows = warnings.iter().map(|warning| ("look at", warning.clone()));
    (!warnings.is_empty()).then(|| ("Annotation unlike the rest", rows.collect()))
}

/// How good the result is likely to be.
pub(crate) struct Quality<'a> {
    /// What the large number is.
    pub(crate) heading: &'static str,
    /// What the numbers were measured on, in a sentence or two.
    pub(crate) measured_on: String,
    /// Mean IoU over the classes that occur; `None` where nothing could be held out.
    pub(crate) mean_iou: Option<f64>,
    /// What probably holds the mean IoU, where it is an estimate.
    pub(crate) interval: Option<[f64; 2]>,
    /// The classes in order of their index.
    pub(crate) names: &'a [Class],
    /// IoU, Dice and voxels of each class; `None` where the class does not occur.
    pub(crate) classes: Vec<(Option<f64>, Option<f64>, u64)>,
}

/// How far the probabilities can be trusted.
pub(crate) struct Trust<'a> {
    /// In words.
    pub(crate) sentence: String,
    /// As the network gives them.
    pub(crate) before: &'a Reliability,
    /// Calibrated.
    pub(crate) after: &'a Reliability,
}

/// How a training went.
pub(crate) struct Training {
    /// Loss of each step.
    pub(crate) losses: Vec<(u64, f32)>,
    /// Score on held-out voxels when it was measured: step and mean IoU.
    pub(crate) scores: Vec<(u64, f64)>,
}

/// What a command leaves.
pub(crate) struct Files {
    /// Files written, and what each is.
    pub(crate) written: Vec<(String, String)>,
    /// What to do next: a sentence and a command.
    pub(crate) next: Vec<(String, String)>,
}

/// What the list of files written says of a report.
pub(crate) const WHAT_IT_IS: &str = "the report with pictures: open it in a browser";

/// Characters that all sliders of a page may take together: with stills and the rest a
/// file stays below 20 MB, which mail servers take.
pub(crate) const ROOM: usize = 15_000_000;

#[cfg(test)]
mod tests;
