//! The volumes of which a report shows slices, and what lies over which slice.

use unet3d_metrics::{Confusion, Scores};
use unet3d_volume::{Class, Label};

use super::encode::Indexed;
use super::gray::{Gray, Source};
use super::layers::{self, Shades};
use super::plane::Plane;

/// The volumes that pictures are cut from, all of one shape.
pub(crate) struct Slices<'a> {
    /// What the pictures show, for those who do not see them.
    pub(crate) name: String,
    /// What is under all else.
    pub(crate) image: Source<'a>,
    /// The classes in order of their index.
    pub(crate) classes: &'a [Class],
    /// What was annotated, `[z, y, x]`.
    pub(crate) annotation: Option<&'a [Label]>,
    /// What the network says.
    pub(crate) result: &'a [Label],
    /// How doubtful that is, 0 to 1.
    pub(crate) doubts: Option<&'a [f32]>,
    /// What is known to be right, where it is known.
    pub(crate) truth: Option<&'a [Label]>,
    /// Annotated slices along z, y, x.
    pub(crate) annotated: [Vec<usize>; 3],
    /// Those of them that were held out of training.
    pub(crate) held_out: [Vec<usize>; 3],
    /// The scores of those, where they are known.
    pub(crate) scores: Vec<SliceScores>,
    /// Characters that the slider may take.
    pub(crate) room: usize,
}

impl Slices<'_> {
    /// Whether any slice was annotated as a whole.
    pub(super) fn has_annotated(&self) -> bool {
        self.annotated.iter().any(|slices| !slices.is_empty())
    }

    /// Whether any slice was held out.
    pub(super) fn has_held_out(&self) -> bool {
        self.held_out.iter().any(|slices| !slices.is_empty())
    }
}

/// Scores of one slice.
pub(crate) struct SliceScores {
    /// 0 (z), 1 (y), 2 (x).
    pub(crate) axis: usize,
    /// From 0.
    pub(crate) index: usize,
    /// Of the voxels whose class is known.
    pub(crate) scores: Scores,
}

impl SliceScores {
    /// Scores a result on each of these slices of a volume of this shape.
    pub(crate) fn all(
        slices: &[Vec<usize>; 3],
        shape: [usize; 3],
        classes: &[Class],
        truth: &[Label],
        result: &[Label],
    ) -> Vec<Self> {
        let mut out = Vec::new();
        for (axis, indices) in slices.iter().enumerate() {
            for index in indices.iter().copied().filter(|i| *i < shape[axis]) {
                let plane = Plane::new(shape, axis, index, 1);
                let part = |from: &[Label]| plane.middles().map(|v| from[v]).collect::<Vec<_>>();
                let mut confusion = Confusion::new(classes.len());
                confusion.add(&part(truth), &part(result), None);
                out.push(Self {
                    axis,
                    index,
                    scores: Scores::new(&confusion, classes),
                });
            }
        }
        out
    }
}

/// A layer over the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layer {
    Annotation,
    Result,
    Doubts,
    Difference,
    Truth,
}

impl Layer {
    pub(super) const ALL: [Self; 5] = [
        Self::Annotation,
        Self::Result,
        Self::Doubts,
        Self::Difference,
        Self::Truth,
    ];

    /// As the reader knows it, and as the data call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Annotation => "annotation",
            Self::Result => "result",
            Self::Doubts => "doubts",
            Self::Difference => "difference",
            Self::Truth => "truth",
        }
    }

    /// Whether it is made of classes, which have outlines.
    pub(super) fn has_outlines(self) -> bool {
        matches!(self, Self::Annotation | Self::Result | Self::Truth)
    }
}

/// Slices, ready to be made into pictures.
pub(super) struct Painter<'a> {
    pub(super) slices: &'a Slices<'a>,
    pub(super) gray: Gray<'a>,
    pub(super) shades: Shades,
}

impl<'a> Painter<'a> {
    pub(super) fn new(slices: &'a Slices<'a>) -> Self {
        let counts = class_voxels(slices.result, slices.classes.len());
        Self {
            slices,
            gray: Gray::new(slices.image),
            shades: Shades::new(slices.classes, &counts),
        }
    }

    /// Voxels along z, y, x.
    pub(super) fn shape(&self) -> [usize; 3] {
        self.slices.image.geometry().shape
    }

    /// The layers that some slice has.
    pub(super) fn layers(&self) -> Vec<Layer> {
        let slices = self.slices;
        let has = |layer: &Layer| match layer {
            Layer::Annotation => slices.annotation.is_some(),
            Layer::Result => true,
            Layer::Doubts => slices.doubts.is_some(),
            Layer::Difference => slices.truth.is_some() || slices.has_held_out(),
            Layer::Truth => slices.truth.is_some(),
        };
        Layer::ALL.into_iter().filter(has).collect()
    }

    /// What a layer shows of a slice; `None` where it has nothing there.
    pub(super) fn layer(
        &self,
        layer: Layer,
        (axis, index): (usize, usize),
        plane: &Plane,
    ) -> Option<Indexed> {
        let slices = self.slices;
        match layer {
            Layer::Annotation => self.shades.labels(slices.annotation?, plane),
            Layer::Result => self.shades.labels(slices.result, plane),
            Layer::Doubts => Some(layers::doubts(slices.doubts?, plane)),
            Layer::Truth => self.shades.labels(slices.truth?, plane),
            Layer::Difference => {
                // Beyond the slices held out, what is known was learned from.
                let is_held_out = slices.held_out[axis].contains(&index);
                let known = slices.annotation.filter(|_| is_held_out);
                let known = slices.truth.or(known)?;
                self.shades.difference(known, slices.result, plane)
            }
        }
    }
}

/// Voxels of each class.
pub(super) fn class_voxels(labels: &[Label], classes: usize) -> Vec<u64> {
    let mut counts = vec![0; classes];
    for class in labels.iter().filter_map(|l| l.class()) {
        counts[class] += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_slice_is_scored_by_its_own_voxels() {
        let classes: Vec<Class> = (0..2)
            .map(|value| Class {
                value,
                name: value.to_string(),
            })
            .collect();
        let shape = [3, 2, 4];
        // On z = 1 half is right, on x = 3 all; z = 2 is not annotated but for x = 3.
        let mut truth = vec![Label::UNLABELED; 24];
        let result: Vec<Label> = (0..24).map(|i| Label::of_class(i % 2)).collect();
        truth[8..12].copy_from_slice(&result[8..12]);
        truth[12..16].fill(Label::of_class(0));
        for i in [3, 7, 19, 23] {
            truth[i] = result[i];
        }
        let slices = [vec![1, 7], vec![], vec![3]];
        let found = SliceScores::all(&slices, shape, &classes, &truth, &result);
        assert_eq!(found.len(), 2, "a slice beyond the volume is none");
        let [z, x] = &found[..] else { panic!("two") };
        assert_eq!((z.axis, z.index, z.scores.voxels), (0, 1, 8));
        // Class 0: 4 right of 6; class 1: 2 right of 4.
        assert_eq!(z.scores.classes[0].iou, Some(4.0 / 6.0));
        assert_eq!(z.scores.classes[1].iou, Some(0.5));
        assert_eq!((x.axis, x.index, x.scores.voxels), (2, 3, 6));
        assert_eq!(x.scores.classes[1].predicted_voxels, 6);
    }
}
