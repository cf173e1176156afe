//! What the three experiments have in common: parts, each with a split.

use unet3d_volume::Labels;

use crate::validate::HeldOut;
use crate::{Case, Error};

/// A part of an experiment: one split, on which each method is trained and
/// scored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What is tested: a subset of the slices, a volume, a group of volumes.
    pub name: String,
    /// How much is annotated, where the experiment varies that.
    pub setup: Option<String>,
}

/// What is learned from, and what is scored.
#[derive(Clone, Debug)]
pub struct Split {
    /// The training cases. No voxel that is scored is annotated in them.
    pub training: Vec<Case>,
    /// What is scored: whole cases, or labels of training cases.
    pub held_out: HeldOut,
}

/// An experiment on given cases.
pub trait Protocol {
    /// The parts, in the order of the table.
    fn parts(&self) -> &[Part];

    /// The split of part `index` of the `cases` that the protocol was made for.
    ///
    /// # Errors
    /// When the part leaves too little to learn from.
    ///
    /// # Panics
    /// When there is no such part, or the cases are others.
    fn split(&self, cases: &[Case], index: usize) -> Result<Split, Error>;

    /// Whether a part is scored over all its voxels together (parts of volumes)
    /// or by the mean over its cases (whole volumes).
    fn is_pooled(&self) -> bool;
}

/// A part, named alone.
pub(super) fn part(name: impl Into<String>) -> Part {
    Part {
        name: name.into(),
        setup: None,
    }
}

/// A case with other labels.
pub(super) fn with_labels(case: &Case, labels: Labels) -> Case {
    Case {
        name: case.name.clone(),
        subject: case.subject.clone(),
        notes: Vec::new(),
        image: case.image.clone(),
        labels,
    }
}

/// Refuses training cases that together show fewer than two classes.
pub(super) fn require_two_classes(training: &[Case], part: &Part) -> Result<(), Error> {
    let classes = training.first().map_or(0, |c| c.labels.classes.len());
    let shown = |class: usize| training.iter().any(|c| c.voxels_by_class()[class] > 0);
    let shown = (0..classes).filter(|class| shown(*class)).count();
    if shown >= 2 {
        return Ok(());
    }
    Err(Error::Data(format!(
        "{}{}: what is left to learn from shows {shown} of {classes} classes, at least 2 are needed. \
         Annotate more slices, or hold out less",
        part.name,
        part.setup
            .as_ref()
            .map_or(String::new(), |setup| format!(", slices {setup}"))
    )))
}

/// Whether whole volumes are annotated rather than single slices: across two
/// directions or more, more than half of all slices. There, no slice can be held
/// out that others do not cross all over.
pub(super) fn is_dense(labels: &Labels) -> bool {
    let found = labels.annotated_slices();
    let shape = labels.geometry.shape;
    let is_full = |axis: &usize| 2 * found[*axis].len() > shape[*axis];
    (0..3).filter(is_full).count() >= 2
}

#[cfg(test)]
pub(super) mod testing {
    //! Cases for the tests of the protocols.

    use unet3d_volume::{Class, Geometry, Image, Label, Labels};

    use crate::Case;

    /// A densely annotated case of two classes in a chess board of blocks.
    pub(crate) fn dense(name: &str, shape: [usize; 3]) -> Case {
        let geometry = Geometry::of_shape(shape);
        let class = |value: i64| Class {
            value,
            name: value.to_string(),
        };
        let [_, height, width] = shape;
        let voxels = (0..geometry.voxels()).map(|i| {
            let (z, y, x) = (i / height / width, i / width % height, i % width);
            Label::of_class((z / 2 + y / 2 + x / 3) % 2)
        });
        let labels = Labels {
            classes: vec![class(1), class(2)],
            voxels: voxels.collect(),
            geometry: geometry.clone(),
        };
        let image = Image {
            voxels: labels
                .voxels
                .iter()
                .map(|l| l.class().unwrap_or(0) as f32)
                .collect(),
            channels: 1,
            geometry,
        };
        Case::new(name, image, labels).unwrap()
    }

    /// The same with so many annotated slices along `[z, y, x]`.
    pub(crate) fn sparse(name: &str, shape: [usize; 3], slices: [usize; 3]) -> Case {
        let mut case = dense(name, shape);
        case.labels = case.labels.sparsify(slices);
        case
    }
}
