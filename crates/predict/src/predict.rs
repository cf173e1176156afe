//! Runs the network over the tiles of an image and stitches what it says.
//!
//! Comes in: a model and a normalised image. Leaves: a label for each voxel
//! and, on request, the probability of each class and the uncertainty. Tiles run
//! one after another; the threads work inside a tile, so memory is that of one
//! tile.

use std::ops::ControlFlow;

use unet3d_kernels::{Threads, is_obtainable};
use unet3d_unet::{Engine, Executor, Mode, Plan, Profile};
use unet3d_volume::place::Turn;
use unet3d_volume::{Image, Label};

use crate::mirror::gather;
use crate::stitch::{Stitch, position};
use crate::uncertainty::Mirrors;
use crate::{Error, Model, Tiling, check_fit, turn_for};

/// What prediction may use and what it gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Memory for network, tile and results; `None` for
    /// [`DEFAULT_MEMORY_BYTES`](crate::DEFAULT_MEMORY_BYTES).
    pub memory_bytes: Option<u64>,
    /// Input of a tile, voxels along `[z, y, x]`, reduced to what the volume
    /// needs where that is less; `None` chooses by memory.
    pub tile: Option<[usize; 3]>,
    /// Whether to give the probabilities of all classes too.
    pub probabilities: bool,
    /// Whether to give the uncertainty of each voxel too.
    pub uncertainty: bool,
    /// Whether to predict each tile in its eight mirror images and take the mean
    /// of their probabilities: eight times the work.
    pub mirrored: bool,
    /// Memory that the caller holds beside the prediction, counted with it.
    pub held_bytes: u64,
    /// How to run the network.
    pub engine: Engine,
}

/// How far a prediction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Tiles finished.
    pub done: usize,
    /// Tiles in all.
    pub total: usize,
}

/// What the network says of an image.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// The most probable class, `[z, y, x]`; of equals the one with the lowest index.
    pub labels: Vec<Label>,
    /// Probability of each class, `[z, y, x, class]`, where asked for; calibrated
    /// where the model is, for predictions as mirrored as this one.
    pub probabilities: Option<Vec<f32>>,
    /// Entropy of these probabilities, `[z, y, x]`, where asked for: 0 where one
    /// class is certain, 1 where all are equally probable.
    pub uncertainty: Option<Vec<f32>>,
    /// Input of a tile, voxels along `[z, y, x]`.
    pub tile: [usize; 3],
    /// How many tiles there were.
    pub tiles: usize,
    /// Memory computed before the first tile: network, tile and results.
    pub peak_bytes: u64,
    /// Why the result may be poor, in words; see [`check_fit`]. Also where
    /// probabilities are not calibrated because the model is for another kind of them.
    pub warnings: Vec<String>,
    /// Where the time went, over all tiles, where asked for.
    pub profile: Option<Profile>,
}

/// Sees what the network says of every voxel, for instance to count it.
pub trait Witness {
    /// The logits (`[voxel, class]`, not calibrated) of voxels that follow each
    /// other along x; `first` is the index of the first in `[z, y, x]`. Each voxel
    /// is seen once; the order does not depend on the number of threads.
    fn row(&mut self, first: usize, logits: &[f32]);
}

/// A witness that looks away.
impl Witness for () {
    fn row(&mut self, _first: usize, _logits: &[f32]) {}
}

impl Prediction {
    /// What was predicted of a turned image, for the image as it is stored; `shape` is
    /// that of the stored one.
    pub fn turned_back(self, turn: &Turn, shape: [usize; 3]) -> Self {
        let back = turn.inverse();
        let turned = turn.shape(shape);
        let array = |values: &[f32], inner: usize| back.array(values, 1, turned, inner);
        let voxels = self.labels.len().max(1);
        Self {
            labels: back.array(&self.labels, 1, turned, 1),
            probabilities: (self.probabilities).map(|p| array(&p, p.len() / voxels)),
            uncertainty: self.uncertainty.map(|u| array(&u, 1)),
            ..self
        }
    }
}

/// Predicts every voxel of a normalised image. One that is stored along other axes
/// than the training images were is turned for the network ([`turn_for`]), and the
/// result back; a warning says so.
///
/// `progress` is called before the first tile and after each; `Break` stops.
/// The result does not depend on the number of threads, nor, without
/// normalisation by the statistics of the tile itself, on the tile.
///
/// # Errors
/// When the image does not fit the model or is not finite, when tile or memory
/// are not possible (see [`Tiling::new`]), or on interruption.
pub fn predict(
    model: &Model,
    image: &Image,
    options: &Options,
    threads: &Threads,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Prediction, Error> {
    let Some((turn, note)) = turn_for(model, &image.geometry) else {
        return predict_before(model, image, options, threads, progress, &mut ());
    };
    let shape = image.geometry.shape;
    let turned = turn.image(image);
    let options = Options {
        held_bytes: options.held_bytes + size_of_val(&turned.voxels[..]) as u64,
        ..options.clone()
    };
    let predicted = predict_before(model, &turned, &options, threads, progress, &mut ())
        .map_err(|error| error.before_turn(&turn, shape))?;
    let mut predicted = predicted.turned_back(&turn, shape);
    predicted.warnings.push(note);
    Ok(predicted)
}

/// The same before a witness, of the image as it is stored: it sees voxels in the
/// order in which the network does.
///
/// # Errors
/// As [`predict()`].
pub fn predict_before(
    model: &Model,
    image: &Image,
    options: &Options,
    threads: &Threads,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    witness: &mut dyn Witness,
) -> Result<Prediction, Error> {
    let mut warnings = check_fit(model, image.channels, &image.geometry)?;
    warnings.extend(not_calibrated(model, options));
    check_samples(image)?;
    let shape = image.geometry.shape;
    let tiling = Tiling::new(model, shape, options, threads)?;
    let needed = tiling.peak_bytes().saturating_sub(options.held_bytes);
    if !is_obtainable(needed) {
        return Err(Error::NotObtainable {
            needed,
            tile: tiling.input_shape(),
        });
    }
    let plan = Plan::new(
        &model.network,
        1,
        tiling.input_shape(),
        Mode::Predict,
        threads.count(),
    )?
    .with_method(&model.network, options.engine.method);
    let mut executor = Executor::new(&model.network, &plan).with_engine(options.engine);

    let classes = model.network.config().classes;
    let mut input = vec![0.0; tiling.input_shape().iter().product::<usize>() * image.channels];
    let mut labels = vec![Label::UNLABELED; image.geometry.voxels()];
    let mut probabilities = options
        .probabilities
        .then(|| vec![0.0; image.geometry.voxels() * classes]);
    let mut uncertainty = options
        .uncertainty
        .then(|| vec![0.0; image.geometry.voxels()]);
    let mut mirrors = options
        .mirrored
        .then(|| Mirrors::new(&tiling, image.channels, classes));

    let total = tiling.count();
    let mut report = |done| match progress(Progress { done, total }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Error::Interrupted { done, total }),
    };
    report(0)?;
    for (i, tile) in tiling.tiles().enumerate() {
        gather(
            image,
            tile.input_start,
            tiling.input_shape(),
            threads,
            &mut input,
        );
        let logits = match &mut mirrors {
            None => executor.forward(threads, &model.parameters, &input, None),
            Some(mirrors) => mirrors.mean(&input, |input, take| {
                take(executor.forward(threads, &model.parameters, input, None));
            }),
        };
        let stitch = Stitch {
            shape,
            output: tiling.output_shape(),
            classes,
            tile: &tile,
            logits,
            temperature: model.pipeline.temperature(options.mirrored),
        };
        stitch.labels(threads, &mut labels)?;
        if let Some(probabilities) = &mut probabilities {
            stitch.probabilities(threads, probabilities);
        }
        if let Some(uncertainty) = &mut uncertainty {
            stitch.uncertainty(threads, uncertainty);
        }
        stitch.show(witness);
        report(i + 1)?;
    }
    Ok(Prediction {
        labels,
        probabilities,
        uncertainty,
        tile: tiling.input_shape(),
        tiles: total,
        peak_bytes: tiling.peak_bytes(),
        warnings,
        profile: executor.profile().cloned(),
    })
}

/// A warning where probabilities matter and the model's temperature was fitted on
/// predictions that are mirrored and this one is not, or the reverse.
fn not_calibrated(model: &Model, options: &Options) -> Option<String> {
    let calibration = model.pipeline.calibration?;
    let wanted = options.probabilities || options.uncertainty;
    let other = calibration.mirrored != options.mirrored && calibration.temperature != 1.0;
    let (of, this, remedy) = match calibration.mirrored {
        true => ("mirrored", "without mirror images", "mirrored as well"),
        false => ("plain", "mirrored", "without mirror images"),
    };
    (wanted && other).then(|| {
        format!(
            "certainty is as the network gives it: the model is calibrated for {of} predictions, this one is {this}. \
             Predict {remedy} to have it calibrated"
        )
    })
}

/// Refuses images that no prediction can come of.
fn check_samples(image: &Image) -> Result<(), Error> {
    let shape = image.geometry.shape;
    let expected = image.geometry.voxels() * image.channels;
    if expected == 0 || image.voxels.len() != expected {
        return Err(Error::Shape {
            shape,
            channels: image.channels,
            found: image.voxels.len(),
            expected,
        });
    }
    match image.voxels.iter().position(|v| !v.is_finite()) {
        Some(i) => Err(Error::ImageNotFinite {
            at: position(shape, i / image.channels),
            channel: i % image.channels,
            value: image.voxels[i],
        }),
        None => Ok(()),
    }
}
