//! The semi-automated job: the annotated slices of one volume in, labels for
//! every voxel out, with an estimate of their quality.
//!
//! Of every three annotated slices in a direction one is held out of training;
//! the network learns from the rest until the budget is spent, predicts the whole
//! volume, and the slices held out say how good that is and how far its
//! probabilities can be trusted. Where doubts are wanted, the volume is then
//! predicted once more with the probabilities made honest.

use std::ops::ControlFlow;

use unet3d_kernels::Threads;
use unet3d_metrics::Report;
use unet3d_predict::{Model, Options, Tiling, predict, predict_before};
use unet3d_volume::labels::Ends;
use unet3d_volume::place::{Relation, relate};
use unet3d_volume::{Image, Labels, Padding, Volume};

use crate::estimate::Estimate;
use crate::evidence::Evidence;
use crate::hold_out::why_none;
use crate::interpolated::score_beside;
use crate::run::{Outcome, Rescued, RunData, Sitting, run_then};
use crate::validate::HeldOut;
use crate::{
    Budget, Case, Error, LossConfig, Observer, StepRecord, TrainConfig, Validation, hold_out_slices,
};

/// How a volume is filled.
#[derive(Clone, Debug)]
pub struct FillConfig {
    /// How the network is trained.
    pub train: TrainConfig,
    /// Whether to hold slices out to say how good the result is.
    pub hold_out: bool,
    /// Whether to give the probabilities of all classes too.
    pub probabilities: bool,
    /// Whether to say how doubtful each voxel is.
    pub uncertainty: bool,
    /// Whether to predict in all mirror images: eight times the work.
    pub mirrored: bool,
    /// How the run is carried out; its folder, where it has one, keeps checkpoint,
    /// log and model, so that the job can be resumed.
    pub sitting: Sitting,
}

/// Minutes that `fill` trains where nobody says: short enough to wait for. More
/// time may well give a better result.
pub const DEFAULT_MINUTES: f64 = 2.0;

impl Default for FillConfig {
    fn default() -> Self {
        Self {
            train: TrainConfig {
                budget: Budget::minutes(DEFAULT_MINUTES),
                // The slices held out are scored once, at the end.
                validate_every: 0,
                loss: LossConfig::default(),
                ..TrainConfig::default()
            },
            hold_out: true,
            probabilities: false,
            uncertainty: false,
            mirrored: false,
            sitting: Sitting::default(),
        }
    }
}

/// A filled volume.
pub struct FillResult {
    /// A class for every voxel, in the geometry of the image; classes as the
    /// annotation's.
    pub labels: Labels,
    /// Probability of each class `[z, y, x, class]`, where asked for; calibrated
    /// where slices were held out.
    pub probabilities: Option<Vec<f32>>,
    /// Entropy of these probabilities `[z, y, x]`, 0 to 1, where asked for.
    pub uncertainty: Option<Vec<f32>>,
    /// The model, for other volumes of the kind.
    pub model: Model,
    /// How good the labels are where nobody annotated; `None` where no slice was
    /// held out.
    pub expected: Option<Estimate>,
    /// Scores on the same slices of interpolation between the others, without a
    /// network; `None` also where the volume is too large to do this in passing.
    pub interpolation: Option<Report>,
    /// The slices held out, indices along `[z, y, x]`.
    pub held_out: [Vec<usize>; 3],
    /// Every training step, those before a resumption too.
    pub curve: Vec<StepRecord>,
    /// Every validation, those before a resumption too.
    pub validations: Vec<Validation>,
    /// Steps done.
    pub steps: u64,
    /// Whether the observer ended training before the budget was spent.
    pub stopped: bool,
    /// Duration of training.
    pub training_s: f64,
    /// Why the result may be poor, in words.
    pub warnings: Vec<String>,
    /// Where the run is, where its folder could not take its end.
    pub rescued: Option<Rescued>,
}

/// Fills a volume. An observer that says stop ends the training; the volume is
/// then predicted with what was learned so far.
///
/// # Errors
/// When image and labels do not go together, fewer than two classes are
/// annotated, training or prediction will not fit the memory (said before
/// training begins), or one of them fails; what a prediction that fails leaves of the
/// training is in [`Error::NotFilled`].
pub fn fill(
    volume: &Volume,
    labels: &Labels,
    config: &FillConfig,
    threads: &Threads,
    observer: &mut dyn Observer,
) -> Result<FillResult, Error> {
    config.train.check()?;
    let (mut image, padding) =
        Image::normalised(volume, &config.train.normalise, Padding::LeftOut)?;
    if relate(&image.geometry, &labels.geometry) == Ok(Relation::SecondSays) {
        image.geometry.clone_from(&labels.geometry);
    }
    for found in &padding {
        observer.noticed(&found.to_string());
    }
    let counts = labels.class_voxels();
    let present = counts.iter().filter(|n| **n > 0).count();
    if present < 2 {
        return Err(Error::Data(format!(
            "the annotation shows {present} of {} classes, at least 2 are needed to tell them apart. \
             Annotate some voxels of another class, or look whether unlabeled voxels were meant to be one",
            counts.len()
        )));
    }
    let mut warnings = Vec::new();
    let slices = match config.hold_out {
        true => hold_out_slices(labels)?,
        false => None,
    };
    if config.hold_out && slices.is_none() {
        warnings.push(format!(
            "{}, so none is held out and nothing can be said about how good the result is",
            why_none(labels)
        ));
    }
    let (training, held_out, indices) = match slices {
        Some(s) => (s.training, Some(s.held_out), s.slices),
        None => (labels.clone(), None, Default::default()),
    };
    let interpolation = match &held_out {
        Some(held_out) => {
            let scheme = config.train.labels.as_ref();
            let ends = scheme.map_or(Ends::Halfway, |scheme| scheme.annotated.ends());
            score_beside(&training, held_out, ends)?
        }
        None => None,
    };

    let trained_on = slices_trained_on(labels, &indices);
    let case = Case::new("volume", image, training)?;
    let data = RunData {
        record: serde_json::json!({
            "shape": labels.geometry.shape,
            "annotated_voxels": counts,
            "held_out_slices": indices,
        }),
        training: vec![case],
        split: Vec::new(),
        held_out: match (&held_out, config.train.validate_every) {
            (Some(labels), 1..) => HeldOut {
                cases: Vec::new(),
                slices: vec![(0, labels.clone())],
            },
            _ => HeldOut::default(),
        },
    };
    let options = Options {
        // Beside it the data stay in memory.
        memory_bytes: config
            .train
            .memory_bytes
            .map(|given| given.saturating_sub(data.bytes())),
        // The second prediction holds more than the first.
        probabilities: config.probabilities,
        uncertainty: config.uncertainty,
        mirrored: config.mirrored,
        // The labels of the first prediction wait for the second.
        held_bytes: labels.voxels.len() as u64
            + held_out
                .as_ref()
                .map_or(0, |h| Evidence::bytes(h, &trained_on)),
        engine: config.sitting.engine,
        ..Options::default()
    };
    let Outcome {
        mut model,
        cases,
        curve,
        validations,
        steps,
        stopped,
        elapsed_s,
        rescued,
        ..
    } = run_then(
        &config.train,
        data,
        &config.sitting,
        Some(&options),
        threads,
        observer,
    )?;

    observer.trained();
    // Whoever stopped the training wants its result: this runs to its end.
    let second = config.probabilities || config.uncertainty;
    let passes = 1 + usize::from(second);
    let image = &cases[0].image;
    let mut predict_all = || -> Result<_, Error> {
        // The same tiles twice, or results might differ where a network normalises by
        // the statistics of a tile.
        let tiling = Tiling::new(&model, image.geometry.shape, &options, threads)?;
        let options = Options {
            tile: Some(tiling.input_shape()),
            ..options
        };
        let plain = Options {
            probabilities: false,
            uncertainty: false,
            ..options.clone()
        };
        let mut progress = in_passes(observer, 0, passes);
        let (prediction, expected) = match &held_out {
            None => (
                predict(&model, image, &plain, threads, &mut progress)?,
                None,
            ),
            Some(truth) => {
                let mut evidence =
                    Evidence::new(labels, truth, &trained_on).of_mirrored(config.mirrored);
                let prediction =
                    predict_before(&model, image, &plain, threads, &mut progress, &mut evidence)?;
                let seed = config.train.seed;
                let estimate = Estimate::new(&evidence, &indices, &labels.classes, seed);
                (prediction, Some(estimate))
            }
        };
        model.pipeline.calibration = expected.as_ref().map(|e| e.calibration);
        drop(progress);
        let doubts = match second {
            true => {
                let mut progress = in_passes(observer, 1, passes);
                Some(predict(&model, image, &options, threads, &mut progress)?)
            }
            false => None,
        };
        Ok((prediction, expected, doubts))
    };
    let (prediction, expected, doubts) = match predict_all() {
        Ok(predicted) => predicted,
        Err(source) => {
            return Err(Error::NotFilled {
                model: Box::new(model),
                source: Box::new(source),
            });
        }
    };
    let (probabilities, uncertainty) =
        doubts.map_or((None, None), |d| (d.probabilities, d.uncertainty));
    warnings.extend(prediction.warnings);
    Ok(FillResult {
        labels: Labels {
            geometry: cases[0].image.geometry.clone(),
            classes: labels.classes.clone(),
            voxels: prediction.labels,
        },
        probabilities,
        uncertainty,
        model,
        expected,
        interpolation,
        held_out: indices,
        curve,
        validations,
        steps,
        stopped,
        training_s: elapsed_s,
        warnings,
        rescued,
    })
}

/// The annotated slices that are not held out, also those of which slices held out
/// take so much where they cross that what is left is not a slice by itself.
fn slices_trained_on(labels: &Labels, held_out: &[Vec<usize>; 3]) -> [Vec<usize>; 3] {
    let mut slices = labels.annotated_slices();
    for (slices, held_out) in slices.iter_mut().zip(held_out) {
        slices.retain(|index| !held_out.contains(index));
    }
    slices
}

/// Tells an observer of one of several predictions of the same tiles, which runs
/// to its end whatever it answers.
fn in_passes(
    observer: &mut dyn Observer,
    pass: usize,
    passes: usize,
) -> impl FnMut(unet3d_predict::Progress) -> ControlFlow<()> {
    move |p| {
        let _ = observer.predicting(pass * p.total + p.done, passes * p.total);
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use unet3d_volume::{Class, Geometry, Label};

    #[test]
    fn slices_that_held_out_ones_cross_stay_trained_on() {
        // A slice across x loses a seventh to the one held out across z.
        let shape = [7, 24, 24];
        let class = |value: i64| Class {
            value,
            name: value.to_string(),
        };
        let dense = Labels {
            geometry: Geometry::of_shape(shape),
            classes: vec![class(0), class(1)],
            voxels: (0..7 * 576).map(|i| Label::of_class(i % 2)).collect(),
        };
        let labels = dense.sparsify([3, 0, 2]);
        let [z, _, x] = labels.annotated_slices();
        let split = hold_out_slices(&labels).unwrap().unwrap();
        assert_eq!(split.slices, [vec![z[1]], vec![], vec![]]);
        assert!(split.training.annotated_slices()[2].is_empty());
        let trained_on = slices_trained_on(&labels, &split.slices);
        assert_eq!(trained_on, [vec![z[0], z[2]], vec![], x]);
    }
}
