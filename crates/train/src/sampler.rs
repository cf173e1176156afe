//! Which patch comes next: a case and a centre voxel.
//!
//! In come the cases and a [`SamplerConfig`]; out comes, for every (seed, step,
//! index in the batch), one [`Location`], drawn from these numbers alone. A
//! patch whose output part would hold no annotated voxel is never drawn: it
//! could teach nothing.

mod error;
mod kind;

use std::sync::Arc;

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};
use unet3d_kernels::random::{Stream, generator};
use unet3d_volume::{Label, Labels};

pub use self::error::SamplerError;
use self::kind::{Kind, Which};
use crate::Case;

/// What a network sees and what it predicts of it, in voxels `[z, y, x]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PatchShape {
    /// Input of the network.
    pub input: [usize; 3],
    /// Output of the network: the central part of the input.
    pub output: [usize; 3],
}

/// How patches are chosen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "centre", rename_all = "snake_case", deny_unknown_fields)]
pub enum SamplerConfig {
    /// A case, all equally likely; then one of its annotated voxels, all
    /// equally likely, becomes the centre of the patch. The authors' way, and
    /// the default.
    #[default]
    Annotated,
    /// As `Annotated`, but the kind of centre is drawn first, `positive` to
    /// `negative`: a voxel of any class but `background`, or one of it. Then a
    /// case that has this kind, then a voxel. (The blog on which this is
    /// modelled names 1:3 as usual; the paper has no such ratio.)
    Ratio {
        /// Share of patches centred on a voxel of another class.
        positive: f64,
        /// Share of patches centred on a voxel of `background`.
        negative: f64,
        /// Name of the background class.
        background: String,
    },
    /// A case, all equally likely; then any voxel of it, all equally likely,
    /// among those whose patch holds an annotated voxel in its output part.
    Uniform,
    /// As `Annotated`, but the patch then moves just so far that its output part
    /// lies inside the volume, or stands about the volume's middle where that is
    /// smaller. For volumes hardly larger than the patch, of which patches centred
    /// anywhere show a part and its mirror image.
    Inside,
}

/// Where a patch is taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// Index of the case.
    pub case: usize,
    /// Voxel `[z, y, x]` of the case under the centre (index `shape / 2`) of the patch.
    pub centre: [usize; 3],
}

/// Draws locations; holds the cases.
#[derive(Debug)]
pub struct Sampler {
    cases: Arc<[Case]>,
    patch: PatchShape,
    strategy: Strategy,
}

#[derive(Debug)]
enum Strategy {
    Annotated(Kind),
    Ratio {
        positive_share: f64,
        positive: Kind,
        negative: Kind,
    },
    Uniform(Kind),
    Inside(Kind),
}

impl PatchShape {
    /// A patch of which the network predicts the central `output`.
    ///
    /// # Errors
    /// When `output` is not a central part of `input` with whole voxels around it.
    pub fn new(input: [usize; 3], output: [usize; 3]) -> Result<Self, SamplerError> {
        for axis in 0..3 {
            let (input, output) = (input[axis], output[axis]);
            if output == 0 || output > input || !(input - output).is_multiple_of(2) {
                let axis = ['z', 'y', 'x'][axis];
                return Err(SamplerError::Patch {
                    axis,
                    input,
                    output,
                });
            }
        }
        Ok(Self { input, output })
    }

    /// Voxels on each side, `[z, y, x]`, that are seen but not predicted.
    pub fn margin(&self) -> [usize; 3] {
        std::array::from_fn(|a| (self.input[a] - self.output[a]) / 2)
    }

    /// Number of input voxels.
    pub fn input_voxels(&self) -> usize {
        self.input.iter().product()
    }

    /// Number of output voxels.
    pub fn output_voxels(&self) -> usize {
        self.output.iter().product()
    }
}

impl Sampler {
    /// A sampler over these cases. Cases without an annotated voxel are allowed
    /// and never drawn.
    ///
    /// # Errors
    /// When the patch is not one ([`PatchShape::new`]), an image and its labels
    /// differ in shape, no case has an annotated voxel, or a ratio cannot be kept.
    pub fn new(
        cases: Arc<[Case]>,
        patch: PatchShape,
        config: &SamplerConfig,
    ) -> Result<Self, SamplerError> {
        let patch = PatchShape::new(patch.input, patch.output)?;
        for case in cases.iter() {
            let (image, labels) = (case.image.geometry.shape, case.labels.geometry.shape);
            if image != labels {
                return Err(SamplerError::Shape {
                    name: case.name.clone(),
                    image,
                    labels,
                });
            }
        }
        let annotated = Kind::new(&cases, Which::Annotated);
        if annotated.is_empty() {
            return Err(SamplerError::NothingAnnotated { cases: cases.len() });
        }
        let strategy = match config {
            SamplerConfig::Annotated => Strategy::Annotated(annotated),
            SamplerConfig::Uniform => Strategy::Uniform(annotated),
            SamplerConfig::Inside => Strategy::Inside(annotated),
            SamplerConfig::Ratio {
                positive,
                negative,
                background,
            } => Strategy::ratio(&cases, *positive, *negative, background)?,
        };
        Ok(Self {
            cases,
            patch,
            strategy,
        })
    }

    /// The cases that locations refer to.
    pub fn cases(&self) -> &Arc<[Case]> {
        &self.cases
    }

    /// The patch that locations are meant for.
    pub fn patch(&self) -> PatchShape {
        self.patch
    }

    /// The location of patch `index` of the batch of `step`: equal arguments,
    /// equal location.
    pub fn draw(&self, seed: u64, step: u64, index: u64) -> Location {
        let mut rng = generator(seed, Stream::Sampler, step);
        rng.set_stream(index);
        match &self.strategy {
            Strategy::Annotated(annotated) => annotated.draw(&self.cases, &mut rng),
            Strategy::Ratio {
                positive_share,
                positive,
                negative,
            } => {
                let kind = if rng.random_bool(*positive_share) {
                    positive
                } else {
                    negative
                };
                kind.draw(&self.cases, &mut rng)
            }
            Strategy::Uniform(annotated) => self.draw_uniform(annotated, &mut rng),
            Strategy::Inside(annotated) => self.moved_inside(annotated.draw(&self.cases, &mut rng)),
        }
    }

    /// The nearest location whose output part lies in the volume, axis by axis;
    /// where the volume is smaller, the one whose output part has it in its middle.
    /// A voxel that the output part held it still holds.
    fn moved_inside(&self, location: Location) -> Location {
        let shape = self.cases[location.case].labels.geometry.shape;
        let centre = std::array::from_fn(|a| {
            // The output covers centre - output / 2 .. centre - output / 2 + output.
            let (output, half) = (self.patch.output[a], self.patch.output[a] / 2);
            match shape[a].checked_sub(output) {
                Some(room) => location.centre[a].clamp(half, half + room),
                None => half - (output - shape[a]).div_ceil(2),
            }
        });
        Location { centre, ..location }
    }

    /// Redraws until the output part holds an annotated voxel, up to a limit;
    /// where annotation is that rare, draws an annotated voxel and a patch
    /// around it that has it somewhere in its output part.
    fn draw_uniform(&self, annotated: &Kind, rng: &mut impl Rng) -> Location {
        // One look takes microseconds; 200 of them stay far below the time of
        // a step, and find annotation in 2 % of the volume with 98 % certainty.
        const LOOKS: usize = 200;
        let case = annotated.draw_case(rng);
        let labels = &self.cases[case].labels;
        let shape = labels.geometry.shape;
        for _ in 0..LOOKS {
            let centre = shape.map(|n| rng.random_range(0..n));
            if self.output_is_annotated(labels, centre) {
                return Location { case, centre };
            }
        }
        let voxel = annotated.draw_voxel(&self.cases, case, rng);
        let centre = std::array::from_fn(|a| {
            // The output covers centre - output / 2 .. centre - output / 2 + output.
            let half = self.patch.output[a] / 2;
            let first = (voxel[a] + half + 1).saturating_sub(self.patch.output[a]);
            let last = (voxel[a] + half).min(shape[a] - 1);
            rng.random_range(first..=last)
        });
        Location { case, centre }
    }

    fn output_is_annotated(&self, labels: &Labels, centre: [usize; 3]) -> bool {
        let shape = labels.geometry.shape;
        let [z, y, x] = std::array::from_fn(|a| {
            let half = self.patch.output[a] / 2;
            let end = (centre[a] + self.patch.output[a] - half).min(shape[a]);
            centre[a].saturating_sub(half)..end
        });
        z.into_iter().any(|z| {
            y.clone().any(|y| {
                let row = (z * shape[1] + y) * shape[2];
                labels.voxels[row + x.start..row + x.end]
                    .iter()
                    .any(|&label| label != Label::UNLABELED)
            })
        })
    }
}

impl Strategy {
    fn ratio(
        cases: &[Case],
        positive: f64,
        negative: f64,
        background: &str,
    ) -> Result<Self, SamplerError> {
        let sum = positive + negative;
        if !(positive >= 0.0 && negative >= 0.0 && sum > 0.0 && sum.is_finite()) {
            return Err(SamplerError::Ratio { positive, negative });
        }
        let classes = &cases[0].labels.classes;
        let Some(class) = classes.iter().position(|class| class.name == background) else {
            let names: Vec<_> = classes.iter().map(|class| class.name.as_str()).collect();
            return Err(SamplerError::UnknownClass {
                name: background.to_owned(),
                classes: names.join(", "),
            });
        };
        let class = Label::of_class(class);
        let of_kind = |which, kind, share: f64| {
            let found = Kind::new(cases, which);
            if share > 0.0 && found.is_empty() {
                let background = background.to_owned();
                return Err(SamplerError::NoneOfKind { kind, background });
            }
            Ok(found)
        };
        Ok(Self::Ratio {
            positive_share: positive / sum,
            positive: of_kind(Which::AnyBut(class), "outside", positive)?,
            negative: of_kind(Which::Only(class), "of", negative)?,
        })
    }
}

#[cfg(test)]
mod tests;
