//! Runs the network over the tiles of an image and stitches what it says.
//!
//! Comes in: a model and a normalised image. Leaves: a label for each voxel
//! and, on request, the probability of each class. Tiles run one after another;
//! the threads work inside a tile, so memory is that of one tile.

use std::ops::ControlFlow;

use unet3d_kernels::Threads;
use unet3d_unet::{Engine, Executor, Mode, Plan, Profile};
use unet3d_volume::{Image, Label};

use crate::mirror::gather;
use crate::stitch::{Stitch, position};
use crate::{Error, Model, Tiling, check_fit};

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
    /// Probability of each class, `[z, y, x, class]`, where asked for.
    pub probabilities: Option<Vec<f32>>,
    /// Input of a tile, voxels along `[z, y, x]`.
    pub tile: [usize; 3],
    /// How many tiles there were.
    pub tiles: usize,
    /// Memory computed before the first tile: network, tile and results.
    pub peak_bytes: u64,
    /// Why the result may be poor, in words; see [`check_fit`].
    pub warnings: Vec<String>,
    /// Where the time went, over all tiles, where asked for.
    pub profile: Option<Profile>,
}

/// Predicts every voxel of a normalised image.
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
    let warnings = check_fit(model, image.channels, &image.geometry)?;
    check_samples(image)?;
    let shape = image.geometry.shape;
    let tiling = Tiling::new(model, shape, options, threads)?;
    let plan = Plan::new(
        &model.network,
        1,
        tiling.input_shape(),
        Mode::Predict,
        threads.count(),
    )?;
    let mut executor = Executor::new(&model.network, &plan).with_engine(options.engine);

    let classes = model.network.config().classes;
    let mut input = vec![0.0; tiling.input_shape().iter().product::<usize>() * image.channels];
    let mut labels = vec![Label::UNLABELED; image.geometry.voxels()];
    let mut probabilities = options
        .probabilities
        .then(|| vec![0.0; image.geometry.voxels() * classes]);

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
        let logits = executor.forward(threads, &model.parameters, &input, None);
        let stitch = Stitch {
            shape,
            output: tiling.output_shape(),
            classes,
            tile: &tile,
            logits,
        };
        stitch.labels(threads, &mut labels)?;
        if let Some(probabilities) = &mut probabilities {
            stitch.probabilities(threads, probabilities);
        }
        report(i + 1)?;
    }
    Ok(Prediction {
        labels,
        probabilities,
        tile: tiling.input_shape(),
        tiles: total,
        peak_bytes: tiling.peak_bytes(),
        warnings,
        profile: executor.profile().cloned(),
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
