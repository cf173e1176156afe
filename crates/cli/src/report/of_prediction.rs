//! What the report of `predict` shows: the slices of one image, or a picture of each of
//! several, and how much of each class is in each.
//!
//! Images are predicted one after another and each is gone before the next, so what
//! the page shows of one is made into text at once, and stays small where there are many.

use std::path::Path;

use unet3d_kernels::Threads;
use unet3d_predict::{Model, Prediction};
use unet3d_unet::Engine;
use unet3d_volume::{Class, Label, Volume};

use super::layers::Shades;
use super::slices::class_voxels;
use super::table::{Cell, Column};
use super::{
    Facts, Files, Part, ROOM, Report, Slices, Source, Table, about, annotated, rendered, units,
};
use crate::console::{self, count, counted, percent};

/// Characters of pictures after which further images have none: a page of many images
/// is for a glance at each.
const ROOM_OF_MANY: usize = 6_000_000;

/// What is told of predictions, gathered one by one.
pub(crate) struct Gathered<'a> {
    classes: &'a [Class],
    /// Whether the page is of one image alone.
    is_single: bool,
    pictures: Vec<Part<'static>>,
    volumes: Vec<Part<'static>>,
    rows: Vec<Vec<Cell>>,
    /// Images without a picture, for want of room.
    not_pictured: usize,
    room: usize,
    facts: Facts,
    written: Vec<(String, String)>,
    names: Vec<String>,
}

/// What the page shows of one image.
pub(crate) struct Shown {
    name: String,
    out: String,
    /// As HTML; `None` where there is no room left.
    picture: Option<String>,
    volumes: Table,
    /// Of the table of many images.
    row: Vec<Cell>,
    facts: Facts,
}

/// What made the predictions.
pub(crate) struct Means<'a> {
    /// The model, and where it was read.
    pub(crate) model: (&'a Model, &'a Path),
    /// The machine's part.
    pub(crate) threads: &'a Threads,
    /// How the network was run.
    pub(crate) engine: Engine,
    /// Whether each prediction was the mean over mirror images.
    pub(crate) mirrored: bool,
}

impl<'a> Gathered<'a> {
    /// Nothing so far, of as many images as were asked for.
    pub(crate) fn new(classes: &'a [Class], images: usize) -> Self {
        Self {
            classes,
            is_single: images == 1,
            pictures: Vec::new(),
            volumes: Vec::new(),
            rows: Vec::new(),
            not_pictured: 0,
            room: ROOM_OF_MANY,
            facts: Vec::new(),
            written: Vec::new(),
            names: Vec::new(),
        }
    }

    /// Whether there is nothing to show.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// What the page shows of one image, before its result is written: afterwards image
    /// and result are gone.
    pub(crate) fn shown(
        &self,
        name: &str,
        out: &Path,
        volume: &Volume,
        prediction: &Prediction,
    ) -> Shown {
        let geometry = &volume.geometry;
        let slices = |room: usize| Slices {
            name: name.to_owned(),
            image: Source::File(volume),
            classes: self.classes,
            annotation: None,
            result: &prediction.labels,
            doubts: prediction.uncertainty.as_deref(),
            truth: None,
            annotated: Default::default(),
            held_out: Default::default(),
            scores: Vec::new(),
            room,
        };
        let part = if self.is_single {
            Some(Part::Slices("Slices".into(), 1, slices(ROOM)))
        } else if self.room > 0 {
            let chosen = fullest(self.classes, &prediction.labels, geometry.shape);
            let still = Part::Still(name.to_owned(), slices(0), vec![(0, chosen)]);
            Some(still)
        } else {
            None
        };
        let voxels = class_voxels(&prediction.labels, self.classes.len());
        let sizes = units::volumes(&voxels, geometry.spacing());
        let mut row = vec![Cell::Text(name.to_owned())];
        row.extend((0..self.classes.len()).map(|i| {
            let size = (sizes.as_ref()).map_or_else(|| count(voxels[i]), |s| s[i].clone());
            let share = voxels[i] as f64 / prediction.labels.len().max(1) as f64;
            Cell::Text(format!("{size} ({})", percent(share)))
        }));
        Shown {
            name: name.to_owned(),
            out: out.display().to_string(),
            picture: part.map(|part| rendered(&part)),
            volumes: annotated::volumes(self.classes, &prediction.labels, geometry),
            row,
            facts: about_image(name, volume, prediction),
        }
    }

    /// Takes what is shown of an image whose result is written.
    pub(crate) fn add(&mut self, shown: Shown) {
        match shown.picture {
            Some(html) => {
                self.room = self.room.saturating_sub(html.len());
                self.pictures.push(Part::Rendered(html));
            }
            None => self.not_pictured += 1,
        }
        if self.is_single {
            self.volumes.push(Part::Table(shown.volumes));
            self.facts.extend(shown.facts);
        }
        self.rows.push(shown.row);
        let what = "the segmentation of every voxel".to_owned();
        self.written.push((shown.out, what));
        self.names.push(shown.name);
    }

    /// All that the report shows; `failures` are the images that are not segmented, each
    /// with the reason.
    pub(crate) fn page(self, failures: &[(String, String)], means: &Means<'_>) -> Report<'a> {
        let images = self.rows.len();
        let title = match (self.is_single, self.names.first()) {
            (true, Some(name)) => format!("{name}, segmented"),
            _ => format!("{}, segmented", counted(images, "image")),
        };
        let mut parts = Vec::new();
        if !self.is_single {
            parts.push(Part::Table(volumes_of_many(self.classes, self.rows)));
        }
        if !failures.is_empty() {
            parts.push(Part::Table(not_segmented(failures)));
        }
        if !self.is_single {
            parts.push(Part::Text("Slices", about_slices(self.not_pictured)));
        }
        parts.extend(self.pictures);
        parts.extend(self.volumes);
        let facts = [self.facts, facts(means)].concat();
        parts.push(Part::Facts("What was done", facts));
        parts.push(Part::Files(Files {
            written: self.written,
            next: Vec::new(),
        }));
        Report {
            title,
            summary: "By a trained model. How good it is cannot be said where nobody annotated: \
                      look at the slices, or annotate some and compare with unet3d evaluate."
                .into(),
            parts,
            program: format!(
                "Written by {}: 3D segmentation, after Cicek et al., MICCAI 2016. \
                 This file holds everything it shows.",
                about::version()
            ),
        }
    }
}

fn about_image(name: &str, volume: &Volume, prediction: &Prediction) -> Facts {
    let geometry = &volume.geometry;
    let voxels = format!(
        "{} (z, y, x), {}, {}",
        console::shape(geometry.shape),
        counted(volume.channels, "channel"),
        volume.type_name()
    );
    let tiles = format!(
        "{} of {}",
        prediction.tiles,
        console::shape(prediction.tile)
    );
    let facts = vec![
        ("image", name.to_owned()),
        ("voxels", voxels),
        ("spacing", units::spacing(geometry.spacing())),
        ("tiles", tiles),
    ];
    vec![("Image", facts)]
}

fn volumes_of_many(classes: &[Class], rows: Vec<Vec<Cell>>) -> Table {
    let of_classes = classes.iter().map(|c| Column::Numbers(c.name.clone()));
    Table {
        heading: "How much of each class".into(),
        intro: String::new(),
        columns: [Column::Words("image".into())]
            .into_iter()
            .chain(of_classes)
            .collect(),
        rows,
        note: "Volumes where the file states the size of a voxel, else voxels; and the share \
               of the image."
            .into(),
    }
}

fn not_segmented(failures: &[(String, String)]) -> Table {
    let cells = |(name, why): &(String, String)| [name, why].map(|t| Cell::Text(t.clone())).into();
    Table {
        heading: "Not segmented".into(),
        columns: ["image", "why"]
            .map(|name| Column::Words(name.into()))
            .into(),
        rows: failures.iter().map(cells).collect(),
        ..Table::default()
    }
}

fn about_slices(not_pictured: usize) -> String {
    let rest = match not_pictured {
        0 => String::new(),
        1 => " To keep this file small, the last image is not shown.".into(),
        n => format!(" To keep this file small, the last {n} images are not shown."),
    };
    format!(
        "Of each image the slice across z that shows most of all classes but the background.{rest}"
    )
}

/// The slice across z with the most voxels of classes that are not background; the one
/// in the middle where there is none.
fn fullest(classes: &[Class], labels: &[Label], shape: [usize; 3]) -> usize {
    let background = Shades::new(classes, &class_voxels(labels, classes.len())).background;
    let of_slice = labels.chunks(shape[1] * shape[2]).map(|slice| {
        let classes = slice.iter().filter_map(|l| l.class());
        classes.filter(|c| Some(*c) != background).count()
    });
    let fullest = of_slice.enumerate().max_by_key(|(z, n)| {
        // Of equals the one nearest to the middle.
        (*n, usize::MAX - (2 * z + 1).abs_diff(shape[0]))
    });
    fullest.map_or(0, |(z, _)| z)
}

fn facts(means: &Means<'_>) -> Facts {
    let (model, path) = means.model;
    let calibrated = match &model.pipeline.calibration {
        Some(_) => "yes",
        None => "no",
    };
    vec![
        (
            "Model",
            vec![
                ("file", path.display().to_string()),
                ("parameters", count(model.network.parameter_count() as u64)),
                ("levels", model.network.config().levels.len().to_string()),
                ("calibrated", calibrated.into()),
                (
                    "mirror images",
                    if means.mirrored {
                        "the mean of eight"
                    } else {
                        "no"
                    }
                    .into(),
                ),
            ],
        ),
        (
            "Machine",
            vec![
                ("threads", means.threads.count().to_string()),
                ("instructions", means.engine.isa.name().to_owned()),
                ("system", about::system()),
            ],
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fullest_slice_is_chosen_and_background_fills_none() {
        let classes: Vec<Class> = (0..2)
            .map(|value| Class {
                value,
                name: value.to_string(),
            })
            .collect();
        let labels = |ones: &[usize]| -> Vec<Label> {
            (0..5 * 6)
                .map(|i| Label::of_class(usize::from(ones.contains(&i))))
                .collect()
        };
        let shape = [5, 2, 3];
        for (ones, expected) in [
            (&[][..], 2),
            (&[1], 0),
            (&[6, 25, 26], 4),
            (&[7, 13, 20], 2),
        ] {
            assert_eq!(
                fullest(&classes, &labels(ones), shape),
                expected,
                "{ones:?}"
            );
        }
    }
}
