//! The report of a fill: one HTML file that explains itself.
//!
//! Comes in: the volume, what was annotated, what the network says, how the
//! training went. Leaves: one page with slice pictures, a loss curve and the
//! expected quality in plain words; pictures are inside the file, nothing is
//! loaded from anywhere, so it can be mailed or archived.

pub(crate) mod of_fill;

pub(crate) mod of_interpolation;

mod html;

mod picture;

mod curve;

mod diagram;

pub(crate) mod palette;

use unet3d_metrics::Reliability;
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
    pub(crate) facts: Facts,
    /// The classes in order of their index.
    pub(crate) classes: &'a [Class],
    /// The volumes that the pictures are cut from.
    pub(crate) slices: Slices<'a>,
    /// What to expect of the result.
    pub(crate) quality: Quality,
    /// How far the probabilities can be trusted, where that was measured.
    pub(crate) trust: Option<Trust<'a>>,
    /// Loss of each step.
    pub(crate) losses: Vec<(u64, f32)>,
    /// Score on held-out voxels when it was measured: step and mean IoU.
    pub(crate) scores: Vec<(u64, f64)>,
    /// Files written, and what each is.
    pub(crate) written: Vec<(String, String)>,
    /// What to do next: a sentence and a command.
    pub(crate) next: Vec<(String, String)>,
}

/// Facts in groups: heading, then name and value of each.
pub(crate) type Facts = Vec<(&'static str, Vec<(&'static str, String)>)>;

/// The volumes that pictures are cut from, all of one shape.
pub(crate) struct Slices<'a> {
    /// As the file holds it.
    pub(crate) image: &'a Volume,
    /// What was annotated, `[z, y, x]`.
    pub(crate) annotation: &'a [Label],
    /// What the network says.
    pub(crate) result: &'a [Label],
    /// How doubtful that is, 0 to 1.
    pub(crate) uncertainty: Option<&'a [f32]>,
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
    /// What probably holds the mean IoU, where it is an estimate.
    pub(crate) interval: Option<[f64; 2]>,
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

#[cfg(test)]
mod tests {
    use unet3d_volume::{Geometry, Samples};

    use super::*;

    /// Concentric shells: enough structure to see that a report is right.
    fn shells(shape: [usize; 3]) -> (Volume, Vec<Label>) {
        let mut gray = Vec::new();
        let mut labels = Vec::new();
        for z in 0..shape[0] {
            for y in 0..shape[1] {
                for x in 0..shape[2] {
                    let at = [z, y, x];
                    let d = |a: usize| (at[a] as f64 / shape[a] as f64 - 0.5).powi(2);
                    let r = (d(0) + d(1) + d(2)).sqrt();
                    let wave = (r * 40.0).sin();
                    gray.push((120.0 + 90.0 * wave + (x * 7 + y * 13 + z * 5) as f64 % 17.0) as u8);
                    labels.push(Label::of_class(
                        usize::from(wave > 0.0) + usize::from(r > 0.4),
                    ));
                }
            }
        }
        let geometry = Geometry {
            spacing_mm: Some([0.002, 0.001, 0.001]),
            ..Geometry::of_shape(shape)
        };
        let image = Volume {
            geometry,
            channels: 1,
            samples: Samples::U8(gray),
            scaling: None,
            notes: Vec::new(),
            placed: None,
        };
        (image, labels)
    }

    #[test]
    fn a_report_is_one_file_that_needs_nothing_else() {
        let (image, truth) = shells([24, 60, 80]);
        let annotation: Vec<Label> = (0..truth.len())
            .map(|i| {
                let (z, y) = (i / 4800, i / 80 % 60);
                if z == 4 || z == 12 || z == 20 || y == 30 {
                    truth[i]
                } else {
                    Label::UNLABELED
                }
            })
            .collect();
        let classes: Vec<Class> = (0..3)
            .map(|v| Class {
                value: v,
                name: format!("class <{v}>"),
            })
            .collect();
        let losses: Vec<(u64, f32)> = (1..300)
            .map(|s| {
                (
                    s,
                    1.1 * (-(s as f32) / 80.0).exp() + 0.1 + 0.1 * (s as f32 * 1.7).sin().abs(),
                )
            })
            .collect();
        let mut reliability = Reliability::default();
        reliability.add(0.9, true, 3.0);
        let html = to_html(&Report {
            title: "kidney.tif, filled".into(),
            summary: "Every voxel segmented from 5 annotated slices.".into(),
            program: "Written by unet3d 0.1.0.".into(),
            facts: vec![
                (
                    "Volume",
                    vec![
                        ("image", "kidney.tif".into()),
                        ("size", "24 x 60 x 80".into()),
                    ],
                ),
                (
                    "Network",
                    vec![("preset", "small".into()), ("parameters", "352,115".into())],
                ),
            ],
            classes: &classes,
            slices: Slices {
                image: &image,
                annotation: &annotation,
                result: &truth,
                uncertainty: Some(&vec![0.5; truth.len()]),
                truth: Some(&truth),
                annotated: [vec![4, 12, 20], vec![30], vec![]],
                held_out: [vec![12], vec![], vec![]],
            },
            quality: Quality {
                measured_on: "Measured on 4,800 voxels that were annotated and held out.".into(),
                mean_iou: Some(0.8123),
                interval: Some([0.77, 0.85]),
                classes: vec![
                    (Some(0.91), Some(0.95), 2000),
                    (Some(0.71), Some(0.83), 2800),
                    (None, None, 0),
                ],
            },
            trust: Some(Trust {
                sentence: "The network is too certain.".into(),
                before: &reliability,
                after: &reliability,
            }),
            losses,
            scores: vec![(100, 0.4), (200, 0.7), (299, 0.81)],
            written: vec![("kidney-filled.tif".into(), "the segmentation".into())],
            next: vec![(
                "Segment more.".into(),
                "unet3d predict model image.tif -o out.tif".into(),
            )],
        });
        assert!(html.contains("class &lt;0&gt;") && !html.contains("class <0>"));
        for outside in ["http://", "https://", "<script", "<link"] {
            assert!(!html.contains(outside), "{outside}");
        }
        assert_eq!(
            html.matches("<img").count(),
            5 * 5,
            "two slices in z and y, one in x"
        );
    }
}
