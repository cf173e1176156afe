//! Runs the network over the tiles of an image and stitches what it says.
//!
//! Comes in: a model and a normalised image. Leaves: a label for each voxel
//! and, on request, the probability of each class. Tiles run one after another;
//! the threads work inside a tile, so memory is that of one tile.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};

use unet3d_kernels::Threads;
use unet3d_unet::{Executor, Mode, Plan};
use unet3d_volume::{Image, Label};

use crate::mirror::gather;
use crate::{Error, Model, Tile, Tiling, check_fit};

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
    let mut executor = Executor::new(&model.network, &plan);

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

/// `[z, y, x]` of the voxel with this index.
fn position(shape: [usize; 3], index: usize) -> [usize; 3] {
    [
        index / shape[2] / shape[1],
        index / shape[2] % shape[1],
        index % shape[2],
    ]
}

/// One tile's output on its way into the volume.
struct Stitch<'a> {
    /// Of the volume.
    shape: [usize; 3],
    /// Of the tile's output.
    output: [usize; 3],
    classes: usize,
    tile: &'a Tile,
    /// `d h w classes`.
    logits: &'a [f32],
}

impl Stitch<'_> {
    /// Writes the labels that this tile decides.
    fn labels(&self, threads: &Threads, labels: &mut [Label]) -> Result<(), Error> {
        let first_bad = AtomicUsize::new(usize::MAX);
        self.for_each_row(threads, labels, 1, |first, logits, row| {
            let voxels = logits.chunks_exact(self.classes).zip(row);
            for (i, (logits, label)) in voxels.enumerate() {
                let best = argmax(logits);
                if !logits.iter().all(|v| v.is_finite()) {
                    first_bad.fetch_min(first + i, Ordering::Relaxed);
                }
                *label = Label::of_class(best);
            }
        });
        match first_bad.into_inner() {
            usize::MAX => Ok(()),
            index => Err(Error::OutputNotFinite {
                at: position(self.shape, index),
            }),
        }
    }

    /// Writes the probabilities of the voxels that this tile decides.
    fn probabilities(&self, threads: &Threads, probabilities: &mut [f32]) {
        self.for_each_row(threads, probabilities, self.classes, |_, logits, row| {
            row.copy_from_slice(logits);
            row.chunks_exact_mut(self.classes).for_each(softmax);
        });
    }

    /// Calls `write(index of the first voxel, logits, part of volume)` for each
    /// row of the tile; `volume` has `per_voxel` elements for each voxel.
    fn for_each_row<T: Send>(
        &self,
        threads: &Threads,
        volume: &mut [T],
        per_voxel: usize,
        write: impl Fn(usize, &[f32], &mut [T]) + Sync,
    ) {
        let Tile {
            keep_start: [z0, y0, x0],
            keep_shape: [depth, height, width],
            first_output: [oz, oy, ox],
            ..
        } = *self.tile;
        let [_, rows, columns] = self.shape;
        let plane = rows * columns * per_voxel;
        threads.for_each_part(
            volume,
            &mut [],
            depth,
            |z| (z0 + z) * plane..(z0 + z + 1) * plane,
            |z, part, _| {
                for y in 0..height {
                    let to = (y0 + y) * columns + x0;
                    let from = ((oz + z) * self.output[1] + oy + y) * self.output[2] + ox;
                    write(
                        (z0 + z) * rows * columns + to,
                        &self.logits[from * self.classes..(from + width) * self.classes],
                        &mut part[to * per_voxel..(to + width) * per_voxel],
                    );
                }
            },
        );
    }
}

/// Index of the largest value, of equals the first.
fn argmax(values: &[f32]) -> usize {
    let mut best = 0;
    for (i, v) in values.iter().enumerate() {
        if *v > values[best] {
            best = i;
        }
    }
    best
}

/// `exp(v) / sum of exp(v)` in place, by way of the largest, so that logits of
/// any finite size give finite probabilities.
fn softmax(values: &mut [f32]) {
    let largest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for v in values.iter_mut() {
        *v = (*v - largest).exp();
        sum += *v;
    }
    values.iter_mut().for_each(|v| *v /= sum);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_equal_logits_the_first_class_wins() {
        assert_eq!(argmax(&[1.0, 1.0, 1.0]), 0);
        assert_eq!(argmax(&[0.0, 2.0, 2.0]), 1);
        assert_eq!(argmax(&[-3.0]), 0);
    }

    #[test]
    fn softmax_of_extreme_logits_is_finite_and_sums_to_one() {
        for logits in [[1e4f32, -1e4, 0.0], [-1e4; 3], [f32::MAX, f32::MIN, 0.0]] {
            let mut p = logits;
            softmax(&mut p);
            // Three additions and divisions, each rounded once.
            assert!(
                (p.iter().sum::<f32>() - 1.0).abs() <= 4.0 * f32::EPSILON,
                "{p:?}"
            );
        }
    }
}
